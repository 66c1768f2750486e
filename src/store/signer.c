// Owns the key in memory. RFC 8032 through OpenSSL.
#include "store/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

struct signer {
    EVP_PKEY *key;
    char public_hex[65];
};

// A new key, on disk before it is used: a signature nobody could check would be worse than none.
static enum err make_key(const char *path, EVP_PKEY **out, struct fault *f)
{
    char temporary[600];
    enum err e = ERR_NONE;
    FILE *file = NULL;
    *out = NULL;
    if (snprintf(temporary, sizeof temporary, "%s.new", path) >= (int)sizeof temporary)
        return fault_set(f, ERR_INVALID, "the path %.100s... is too long", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || (file = fdopen(fd, "w")) == NULL) {
        e = fault_errno(f, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO, "cannot write %.200s",
                        temporary);
        if (fd >= 0)
            close(fd);
        return e;
    }
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (key == NULL)
        e = fault_set(f, ERR_FAILED, "cannot make a key for the audit trail");
    else if (PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) != 1 || fflush(file) != 0 ||
             fsync(fileno(file)) != 0)
        e = fault_errno(f, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO, "cannot write %.200s",
                        temporary);
    if (fclose(file) != 0 && e == ERR_NONE)
        e = fault_errno(f, ERR_IO, "cannot write %.200s", temporary);
    if (e == ERR_NONE && rename(temporary, path) != 0)
        e = fault_errno(f, ERR_IO, "cannot write %.200s", path);
    if (e == ERR_NONE) {
        *out = key;
    } else {
        EVP_PKEY_free(key);
        (void)unlink(temporary);
    }
    return e;
}

static enum err read_key(const char *path, EVP_PKEY **out, struct fault *f)
{
    *out = NULL;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return errno == ENOENT ? fault_set(f, ERR_NOTFOUND, "there is no %.200s", path)
                               : fault_errno(f, ERR_IO, "cannot read %.200s", path);
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    if (key == NULL || !EVP_PKEY_is_a(key, "ED25519")) {
        EVP_PKEY_free(key);
        return fault_set(f, ERR_IO, "%.200s is no Ed25519 key; restore a backup of it", path);
    }
    *out = key;
    return ERR_NONE;
}

enum err signer_open(const char *path, bool make, struct signer **out, struct fault *f)
{
    unsigned char raw[32];
    size_t size = sizeof raw;
    EVP_PKEY *key = NULL;
    *out = NULL;
    enum err e = read_key(path, &key, f);
    if (e == ERR_NOTFOUND && make)
        e = make_key(path, &key, f);
    if (e != ERR_NONE)
        return e;
    struct signer *s = calloc(1, sizeof *s);
    if (s == NULL || EVP_PKEY_get_raw_public_key(key, raw, &size) != 1 || size != sizeof raw) {
        EVP_PKEY_free(key);
        free(s);
        return fault_set(f, ERR_MEMORY, "out of memory");
    }
    s->key = key;
    for (size_t i = 0; i < sizeof raw; i++)
        snprintf(s->public_hex + 2 * i, 3, "%02x", raw[i]);
    *out = s;
    return ERR_NONE;
}

void signer_free(struct signer *s)
{
    if (s == NULL)
        return;
    EVP_PKEY_free(s->key);
    free(s);
}

enum err signer_sign(const struct signer *s, const void *data, size_t length,
                     unsigned char out[SIGNATURE_SIZE], struct fault *f)
{
    size_t size = SIGNATURE_SIZE;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, s->key) == 1 &&
              EVP_DigestSign(ctx, out, &size, data, length) == 1 && size == SIGNATURE_SIZE;
    EVP_MD_CTX_free(ctx);
    return ok ? ERR_NONE : fault_set(f, ERR_MEMORY, "cannot sign the audit trail");
}

bool signer_verify(const struct signer *s, const void *data, size_t length, const void *signature,
                   size_t size)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && size == SIGNATURE_SIZE &&
              EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, s->key) == 1 &&
              EVP_DigestVerify(ctx, signature, size, data, length) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

const char *signer_public(const struct signer *s)
{
    return s->public_hex;
}
