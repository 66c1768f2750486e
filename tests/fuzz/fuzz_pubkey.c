// Public key text: whatever is accepted, written back as a line, must be accepted again as the very same key.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/pubkey.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err count(const struct pubkey *key, void *arg, struct fault *f)
{
    (void)f;
    if (key->bits == 0 || strlen(key->fingerprint) != 50)
        abort();
    (*(int *)arg)++;
    return ERR_NONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pubkey key, again, bare;
    static char line[KEYOPTION_TEXT + PUBKEY_TYPE_SIZE + PUBKEY_BASE64_SIZE + PUBKEY_COMMENT_SIZE];
    struct fault f;
    int keys = 0;
    if (pubkey_parse_file((const char *)data, size, count, &keys, &f) == ERR_NONE && keys == 0)
        abort();
    if (pubkey_parse((const char *)data, size, &key, &f) != ERR_NONE)
        return 0;
    int n = snprintf(line, sizeof line, "%s %s %s %s", key.options, key.type, key.base64, key.comment);
    if (pubkey_parse(line, (size_t)n, &again, &f) != ERR_NONE || memcmp(&key, &again, sizeof key) != 0)
        abort();
    if (pubkey_from_base64(key.base64, &bare, &f) != ERR_NONE ||
        strcmp(bare.fingerprint, key.fingerprint) != 0)
        abort();
    return 0;
}
