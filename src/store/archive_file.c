// Owns the form of the file: a tar with the audit key, the database, and their SHA-256 as sha256sum(1) writes
// and reads them. Everything that is read may have been in anybody's hands.
#include "store/archive_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "store/tar.h"

#define CHUNK (256u << 10)
#define KEY_MAX 4096
#define SUMS_MAX 512

enum { MEMBER_KEY, MEMBER_DATABASE, MEMBER_SUMS, MEMBERS };

static const char *const member_names[MEMBERS] = {"containarium.db.audit-key", "containarium.db",
                                                  "SHA256SUMS"};

struct stream {
    int fd;
    const atomic_bool *stop;
    EVP_MD_CTX *whole, *member;
    uint64_t length;
    unsigned char *chunk;
};

enum err archive_stopped(const atomic_bool *stop, struct fault *f)
{
    return stop != NULL && atomic_load(stop) ? fault_set(f, ERR_UNAVAILABLE, "containariumd is being stopped")
                                             : ERR_NONE;
}

static enum err stream_open(struct stream *s, int fd, const atomic_bool *stop, struct fault *f)
{
    *s = (struct stream){.fd = fd, .stop = stop};
    s->whole = EVP_MD_CTX_new();
    s->member = EVP_MD_CTX_new();
    s->chunk = malloc(CHUNK);
    if (s->whole == NULL || s->member == NULL || s->chunk == NULL ||
        EVP_DigestInit_ex(s->whole, EVP_sha256(), NULL) != 1)
        return fault_set(f, ERR_MEMORY, "out of memory");
    return ERR_NONE;
}

static void stream_close(struct stream *s)
{
    EVP_MD_CTX_free(s->whole);
    EVP_MD_CTX_free(s->member);
    free(s->chunk);
}

static enum err digest(EVP_MD_CTX *ctx, const void *data, size_t length, struct fault *f)
{
    return EVP_DigestUpdate(ctx, data, length) == 1 ? ERR_NONE
                                                    : fault_set(f, ERR_MEMORY, "cannot compute a SHA-256");
}

static enum err digest_end(EVP_MD_CTX *ctx, char out[65], struct fault *f)
{
    unsigned char raw[32];
    if (EVP_DigestFinal_ex(ctx, raw, NULL) != 1)
        return fault_set(f, ERR_MEMORY, "cannot compute a SHA-256");
    for (size_t i = 0; i < sizeof raw; i++)
        snprintf(out + 2 * i, 3, "%02x", raw[i]);
    return ERR_NONE;
}

static int sums_text(char sums[MEMBER_SUMS][65], char out[SUMS_MAX])
{
    return snprintf(out, SUMS_MAX, "%s  %s\n%s  %s\n", sums[MEMBER_KEY], member_names[MEMBER_KEY],
                    sums[MEMBER_DATABASE], member_names[MEMBER_DATABASE]);
}

// ---- writing

static enum err put(struct stream *s, const void *data, size_t length, struct fault *f)
{
    const char *p = data;
    enum err e = digest(s->whole, data, length, f);
    s->length += length;
    while (e == ERR_NONE && length > 0) {
        ssize_t n = write(s->fd, p, length);
        if (n < 0 && errno != EINTR)
            return fault_errno(f, errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_FULL : ERR_IO,
                               "cannot write the backup");
        p += n > 0 ? n : 0;
        length -= n > 0 ? (size_t)n : 0;
    }
    return e;
}

static enum err put_header(struct stream *s, int which, uint64_t size, time_t made, struct fault *f)
{
    unsigned char block[TAR_BLOCK];
    struct tar_member member = {.size = size, .made = made};
    snprintf(member.name, sizeof member.name, "%s", member_names[which]);
    tar_write(&member, block);
    return put(s, block, sizeof block, f);
}

static enum err put_padding(struct stream *s, uint64_t size, struct fault *f)
{
    static const unsigned char zeros[TAR_BLOCK];
    return put(s, zeros, tar_padding(size), f);
}

static enum err put_content(struct stream *s, int from, const char *path, uint64_t size, struct fault *f)
{
    enum err e = ERR_NONE;
    for (uint64_t left = size; left > 0 && e == ERR_NONE;) {
        ssize_t n = read(from, s->chunk, left < CHUNK ? (size_t)left : CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fault_errno(f, ERR_IO, "cannot read %.200s", path);
        left -= (uint64_t)n;
        e = digest(s->member, s->chunk, (size_t)n, f);
        if (e == ERR_NONE)
            e = put(s, s->chunk, (size_t)n, f);
        if (e == ERR_NONE)
            e = archive_stopped(s->stop, f);
    }
    return e;
}

static enum err put_file(struct stream *s, int which, const char *path, time_t made, char sum[65],
                         struct fault *f)
{
    struct stat st;
    int from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0 || fstat(from, &st) != 0) {
        enum err e = fault_errno(f, ERR_IO, "cannot read %.200s", path);
        if (from >= 0)
            close(from);
        return e;
    }
    enum err e = EVP_DigestInit_ex(s->member, EVP_sha256(), NULL) == 1
                     ? put_header(s, which, (uint64_t)st.st_size, made, f)
                     : fault_set(f, ERR_MEMORY, "cannot compute a SHA-256");
    if (e == ERR_NONE)
        e = put_content(s, from, path, (uint64_t)st.st_size, f);
    if (e == ERR_NONE)
        e = put_padding(s, (uint64_t)st.st_size, f);
    if (e == ERR_NONE)
        e = digest_end(s->member, sum, f);
    close(from);
    return e;
}

enum err archive_pack(const struct scratch *from, int fd, const atomic_bool *stop,
                      struct archive_facts *facts, struct fault *f)
{
    static const unsigned char end[2 * TAR_BLOCK];
    struct stream s;
    char sums[MEMBER_SUMS][65], text[SUMS_MAX];
    facts->made = time(NULL);
    enum err e = stream_open(&s, fd, stop, f);
    if (e == ERR_NONE)
        e = put_file(&s, MEMBER_KEY, from->key, facts->made, sums[MEMBER_KEY], f);
    if (e == ERR_NONE)
        e = put_file(&s, MEMBER_DATABASE, from->database, facts->made, sums[MEMBER_DATABASE], f);
    if (e == ERR_NONE) {
        size_t n = (size_t)sums_text(sums, text);
        e = put_header(&s, MEMBER_SUMS, n, facts->made, f);
        if (e == ERR_NONE)
            e = put(&s, text, n, f);
        if (e == ERR_NONE)
            e = put_padding(&s, n, f);
    }
    if (e == ERR_NONE)
        e = put(&s, end, sizeof end, f);
    if (e == ERR_NONE && fsync(fd) != 0)
        e = fault_errno(f, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO, "cannot write the backup");
    if (e == ERR_NONE)
        e = digest_end(s.whole, facts->sha256, f);
    facts->length = s.length;
    stream_close(&s);
    return e;
}

// ---- reading

static enum err take(struct stream *s, void *data, size_t length, struct fault *f)
{
    for (size_t at = 0; at < length;) {
        ssize_t n = read(s->fd, (char *)data + at, length - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fault_errno(f, ERR_IO, "cannot read the backup");
        if (n == 0)
            return fault_set(f, ERR_INVALID, "this backup is cut off after %llu bytes",
                             (unsigned long long)s->length + at);
        at += (size_t)n;
    }
    s->length += length;
    return digest(s->whole, data, length, f);
}

static enum err take_zeros(struct stream *s, size_t length, struct fault *f)
{
    static const unsigned char zeros[2 * TAR_BLOCK];
    unsigned char block[2 * TAR_BLOCK];
    enum err e = take(s, block, length, f);
    if (e == ERR_NONE && memcmp(block, zeros, length) != 0)
        e = fault_set(f, ERR_INVALID, "this backup is damaged: at byte %llu is something instead of nothing",
                      (unsigned long long)(s->length - length));
    return e;
}

static enum err take_padding(struct stream *s, uint64_t size, struct fault *f)
{
    return take_zeros(s, tar_padding(size), f);
}

static enum err take_header(struct stream *s, int which, struct tar_member *member, struct fault *f)
{
    unsigned char block[TAR_BLOCK], again[TAR_BLOCK];
    enum err e = take(s, block, sizeof block, f);
    bool good = e == ERR_NONE && tar_parse(block, member) && strcmp(member->name, member_names[which]) == 0;
    if (good) { // one header can be written in many ways; only ours is taken
        tar_write(member, again);
        good = memcmp(block, again, sizeof block) == 0;
    }
    if (which == MEMBER_KEY && (e == ERR_INVALID || (e == ERR_NONE && !good)))
        return fault_set(f, ERR_INVALID, "this is no backup of the store: `store backup` did not write it");
    if (e == ERR_NONE && !good)
        e = fault_set(f, ERR_INVALID, "this backup is damaged: where %s should begin is something else",
                      member_names[which]);
    return e;
}

static enum err take_content(struct stream *s, int into, uint64_t size, struct fault *f)
{
    enum err e = ERR_NONE;
    for (uint64_t left = size; left > 0 && e == ERR_NONE;) {
        size_t n = left < CHUNK ? (size_t)left : CHUNK;
        left -= n;
        e = take(s, s->chunk, n, f);
        if (e == ERR_NONE)
            e = digest(s->member, s->chunk, n, f);
        if (e == ERR_NONE && write(into, s->chunk, n) != (ssize_t)n)
            e = fault_errno(f, errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_FULL : ERR_IO,
                            "cannot unpack the backup");
        if (e == ERR_NONE)
            e = archive_stopped(s->stop, f);
    }
    return e;
}

static enum err take_file(struct stream *s, const struct tar_member *member, const char *path, char sum[65],
                          struct fault *f)
{
    int into = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (into < 0)
        return fault_errno(f, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO, "cannot make %.200s",
                           path);
    enum err e = EVP_DigestInit_ex(s->member, EVP_sha256(), NULL) == 1
                     ? take_content(s, into, member->size, f)
                     : fault_set(f, ERR_MEMORY, "cannot compute a SHA-256");
    if (e == ERR_NONE && fsync(into) != 0)
        e = fault_errno(f, ERR_IO, "cannot unpack the backup");
    close(into);
    if (e == ERR_NONE)
        e = take_padding(s, member->size, f);
    if (e == ERR_NONE)
        e = digest_end(s->member, sum, f);
    return e;
}

static enum err take_sums(struct stream *s, char sums[MEMBER_SUMS][65], struct fault *f)
{
    char want[SUMS_MAX] = "", have[SUMS_MAX] = "";
    struct tar_member member;
    size_t n = (size_t)sums_text(sums, want);
    enum err e = take_header(s, MEMBER_SUMS, &member, f);
    if (e == ERR_NONE && member.size != n)
        e = fault_set(f, ERR_INVALID, "this backup is damaged: its list of checksums has another length");
    if (e == ERR_NONE)
        e = take(s, have, n, f);
    for (int i = 0; i < MEMBER_SUMS && e == ERR_NONE; i++) {
        if (strstr(have, sums[i]) == NULL)
            e = fault_set(f, ERR_INVALID, "this backup is damaged: the SHA-256 of %s is another",
                          member_names[i]);
    }
    if (e == ERR_NONE && memcmp(want, have, n) != 0)
        e = fault_set(f, ERR_INVALID, "this backup is damaged: so is its list of checksums");
    if (e == ERR_NONE)
        e = take_padding(s, n, f);
    if (e == ERR_NONE)
        e = take_zeros(s, 2 * TAR_BLOCK, f);
    return e;
}

// What a header says is believed only as far as the file is long.
static enum err check_size(const struct stream *s, const struct tar_member *member,
                           const struct scratch *into, struct fault *f)
{
    struct stat st;
    if (fstat(s->fd, &st) != 0)
        return fault_errno(f, ERR_IO, "cannot look at the backup");
    if (member->size > (uint64_t)st.st_size)
        return fault_set(f, ERR_INVALID,
                         "this backup is cut off: %llu bytes are there, the database had %llu",
                         (unsigned long long)st.st_size, (unsigned long long)member->size);
    return scratch_room(into, member->size, f);
}

enum err archive_unpack(int fd, const struct scratch *into, const atomic_bool *stop,
                        struct archive_facts *facts, struct fault *f)
{
    struct stream s;
    struct tar_member key = {.size = 0}, database = {.size = 0};
    char sums[MEMBER_SUMS][65];
    enum err e = stream_open(&s, fd, stop, f);
    if (e == ERR_NONE)
        e = take_header(&s, MEMBER_KEY, &key, f);
    if (e == ERR_NONE && key.size > KEY_MAX)
        e = fault_set(f, ERR_INVALID, "this backup is damaged: an audit key is not that long");
    if (e == ERR_NONE)
        e = take_file(&s, &key, into->key, sums[MEMBER_KEY], f);
    if (e == ERR_NONE)
        e = take_header(&s, MEMBER_DATABASE, &database, f);
    if (e == ERR_NONE)
        e = check_size(&s, &database, into, f);
    if (e == ERR_NONE)
        e = take_file(&s, &database, into->database, sums[MEMBER_DATABASE], f);
    if (e == ERR_NONE)
        e = take_sums(&s, sums, f);
    if (e == ERR_NONE && read(fd, s.chunk, 1) != 0)
        e = fault_set(f, ERR_INVALID, "this backup is damaged: something follows its end");
    if (e == ERR_NONE)
        e = digest_end(s.whole, facts->sha256, f);
    facts->length = s.length;
    facts->made = e == ERR_NONE ? database.made : 0;
    stream_close(&s);
    return e;
}
