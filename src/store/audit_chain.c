// The form in which records are hashed and marks are signed. Neither may ever change: old trails would not
// verify.
#include "store/audit_chain.h"

#include <string.h>

static void hash_number(EVP_MD_CTX *ctx, uint64_t n, int *ok)
{
    unsigned char raw[12] = {0, 0, 0, 8};
    for (int i = 0; i < 8; i++)
        raw[4 + i] = (unsigned char)(n >> (56 - 8 * i));
    *ok &= EVP_DigestUpdate(ctx, raw, sizeof raw);
}

// Length before content: no two rows have the same bytes, however their fields are cut.
static void hash_text(EVP_MD_CTX *ctx, const char *text, int *ok)
{
    size_t n = strlen(text);
    unsigned char length[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
                               (unsigned char)n};
    *ok &= EVP_DigestUpdate(ctx, length, sizeof length);
    *ok &= EVP_DigestUpdate(ctx, text, n);
}

enum err audit_hash(struct store *s, const unsigned char previous[STORE_HASH_SIZE],
                    const struct audit_entry *r, unsigned char out[STORE_HASH_SIZE], struct fault *f)
{
    EVP_MD_CTX *ctx = s->digest;
    int ok = EVP_DigestInit_ex2(ctx, s->sha256, NULL);
    ok &= EVP_DigestUpdate(ctx, previous, STORE_HASH_SIZE);
    hash_number(ctx, (uint64_t)r->seq, &ok);
    hash_number(ctx, (uint64_t)r->time, &ok);
    hash_text(ctx, r->event, &ok);
    hash_text(ctx, r->user, &ok);
    hash_text(ctx, r->actor, &ok);
    hash_text(ctx, r->fingerprint, &ok);
    hash_text(ctx, r->address, &ok);
    hash_number(ctx, (uint64_t)r->session, &ok);
    hash_text(ctx, r->box, &ok);
    hash_text(ctx, r->target, &ok);
    hash_number(ctx, (uint64_t)r->bytes_in, &ok);
    hash_number(ctx, (uint64_t)r->bytes_out, &ok);
    hash_number(ctx, (uint64_t)r->duration_ms, &ok);
    hash_text(ctx, r->reason, &ok);
    ok &= EVP_DigestFinal_ex(ctx, out, NULL);
    return ok == 1 ? ERR_NONE : fault_set(f, ERR_MEMORY, "cannot compute a SHA-256");
}

struct audit_entry audit_read_entry(const struct query *q)
{
    return (struct audit_entry){
        .seq = query_int(q, 0),
        .time = query_int(q, 1),
        .event = query_text(q, 2),
        .user = query_text(q, 3),
        .actor = query_text(q, 4),
        .fingerprint = query_text(q, 5),
        .address = query_text(q, 6),
        .session = query_int(q, 7),
        .box = query_text(q, 8),
        .target = query_text(q, 9),
        .bytes_in = query_int(q, 10),
        .bytes_out = query_int(q, 11),
        .duration_ms = query_int(q, 12),
        .reason = query_text(q, 13),
    };
}

// What is signed: which mark it is, of which record, with which hash.
#define MARK_SIZE (24 + 1 + 8 + STORE_HASH_SIZE)

static void mark_bytes(enum audit_mark mark, int64_t seq, const unsigned char *hash,
                       unsigned char out[MARK_SIZE])
{
    static const char name[24] = "containarium audit 1";
    memcpy(out, name, sizeof name);
    out[24] = mark == AUDIT_MARK_HEAD ? 'H' : 'A';
    for (int i = 0; i < 8; i++)
        out[25 + i] = (unsigned char)((uint64_t)seq >> (56 - 8 * i));
    memcpy(out + 33, hash, STORE_HASH_SIZE);
}

enum err audit_sign(struct store *s, enum audit_mark mark, int64_t seq,
                    const unsigned char hash[STORE_HASH_SIZE], unsigned char out[SIGNATURE_SIZE],
                    struct fault *f)
{
    unsigned char bytes[MARK_SIZE];
    mark_bytes(mark, seq, hash, bytes);
    return signer_sign(s->signer, bytes, sizeof bytes, out, f);
}

enum err audit_read_mark(struct store *s, enum audit_mark mark, bool check, int64_t *seq,
                         unsigned char hash[STORE_HASH_SIZE], struct fault *f)
{
    static const char head[] = "SELECT seq, hash, signature FROM audit_head WHERE id = 1";
    static const char anchor[] = "SELECT seq, hash, signature FROM audit_anchor WHERE id = 1";
    const char *name = mark == AUDIT_MARK_HEAD ? "end mark" : "beginning mark";
    unsigned char bytes[MARK_SIZE];
    struct query q;
    bool row = false;
    enum err e = query_read(s, mark == AUDIT_MARK_HEAD ? head : anchor, &q, f);
    if (e == ERR_NONE)
        e = query_step(&q, &row, f);
    if (e == ERR_NONE && !row)
        e = fault_set(f, ERR_CONFLICT, "the %s of the audit trail is missing", name);
    if (e == ERR_NONE) {
        size_t hash_size = 0, signature_size = 0;
        const void *stored = query_blob(&q, 1, &hash_size);
        *seq = query_int(&q, 0);
        if (hash_size == STORE_HASH_SIZE)
            memcpy(hash, stored, hash_size);
        mark_bytes(mark, *seq, hash, bytes);
        const void *signature = query_blob(&q, 2, &signature_size);
        if (hash_size != STORE_HASH_SIZE ||
            (check && !signer_verify(s->signer, bytes, sizeof bytes, signature, signature_size)))
            e = fault_set(f, ERR_CONFLICT,
                          "the %s of the audit trail (record %lld) is not signed with its key", name,
                          (long long)*seq);
    }
    query_end(&q);
    return e;
}

enum err audit_write_anchor(struct store *s, int64_t seq, const unsigned char hash[STORE_HASH_SIZE],
                            struct fault *f)
{
    static const char sql[] = "UPDATE audit_anchor SET seq = ?, hash = ?, signature = ? WHERE id = 1";
    unsigned char signature[SIGNATURE_SIZE];
    struct query q;
    int changes = 0;
    enum err e = audit_sign(s, AUDIT_MARK_ANCHOR, seq, hash, signature, f);
    if (e == ERR_NONE)
        e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, seq);
    query_bind_blob(&q, hash, STORE_HASH_SIZE);
    query_bind_blob(&q, signature, sizeof signature);
    e = query_run(&q, &changes, f);
    if (e == ERR_NONE && changes != 1)
        e = fault_set(f, ERR_IO,
                      "the beginning mark of the audit trail is missing; restore a backup of the database");
    return e;
}
