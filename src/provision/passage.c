// Owns the digest and the position. The file is its caller's.
#include "provision/passage.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct passage {
    struct http_stream *stream;
    EVP_MD_CTX *digest;
    uint64_t passed;
    bool written;
    bool digest_failed;
    bool ended_early;
    int error; // errno of the file
};

struct passage *passage_new(struct http_stream *stream)
{
    struct passage *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->stream = stream;
    p->digest = EVP_MD_CTX_new();
    if (p->digest == NULL || EVP_DigestInit_ex(p->digest, EVP_sha256(), NULL) != 1) {
        passage_free(p);
        return NULL;
    }
    return p;
}

void passage_free(struct passage *p)
{
    if (p == NULL)
        return;
    EVP_MD_CTX_free(p->digest);
    free(p);
}

static void pass(struct passage *p, const char *data, size_t length)
{
    p->passed += length;
    p->digest_failed = EVP_DigestUpdate(p->digest, data, length) != 1 || p->digest_failed;
}

bool passage_write(struct passage *p, const char *data, size_t length)
{
    p->written = true;
    pass(p, data, length);
    while (length > 0) {
        ssize_t n = write(p->stream->fd, data, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            p->error = n < 0 ? errno : EIO;
            return false;
        }
        data += n;
        length -= (size_t)n;
    }
    return true;
}

long passage_read(struct passage *p, char *data, size_t size)
{
    uint64_t left = p->stream->length - p->passed;
    ssize_t n = 0;
    if (left == 0)
        return 0;
    do
        n = read(p->stream->fd, data, size < left ? size : (size_t)left);
    while (n < 0 && errno == EINTR);
    if (n <= 0) {
        p->error = n < 0 ? errno : 0;
        p->ended_early = n == 0;
        return -1;
    }
    pass(p, data, (size_t)n);
    return (long)n;
}

enum err passage_end(struct passage *p, struct fault *f)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (p->error == 0 && p->written && fsync(p->stream->fd) != 0)
        p->error = errno;
    if (p->error != 0) {
        errno = p->error;
        return fault_errno(f, p->error == ENOSPC || p->error == EDQUOT ? ERR_FULL : ERR_IO,
                           p->written ? "the file cannot be written" : "the file cannot be read");
    }
    if (p->ended_early)
        return fault_set(f, ERR_IO, "the file became shorter while it was read");
    if (p->digest_failed || EVP_DigestFinal_ex(p->digest, sum, &length) != 1)
        return fault_set(f, ERR_FAILED, "cannot compute a SHA-256");
    for (unsigned k = 0; k < length && k * 2 + 2 < sizeof p->stream->sha256; k++)
        snprintf(p->stream->sha256 + (size_t)k * 2, 3, "%02x", sum[k]);
    p->stream->length = p->passed;
    return ERR_NONE;
}
