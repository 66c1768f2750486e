// Options of keys: what is accepted must be accepted again once from= is taken off for the box, and mean the
// same else.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/keyoption.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct keyoption one, two;
    static char text[KEYOPTION_TEXT], box[KEYOPTION_TEXT];
    char reason[400];
    struct fault f;
    if (keyoption_length((const char *)data, size) > size)
        abort();
    if (keyoption_parse((const char *)data, size, &one, &f) != ERR_NONE)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    keyoption_for_box(text, box);
    if (keyoption_parse(box, strlen(box), &two, &f) != ERR_NONE || two.from[0] != '\0' ||
        two.no_pty != one.no_pty || strcmp(two.command, one.command) != 0 ||
        two.open_count != one.open_count || two.expires != one.expires)
        abort();
    (void)keyoption_usable(&one, "192.0.2.7", 1700000000, reason, sizeof reason);
    (void)keyoption_may_open(&one, "localhost", 80);
    return 0;
}
