// Walking the chain, in steps: a million records take seconds, and logins must not wait for them.
#include <stdlib.h>
#include <string.h>

#include "store/audit_chain.h"

struct audit_walk {
    struct store *store;
    int64_t seq, rows; // the last record seen, how many were
    unsigned char hash[STORE_HASH_SIZE];
};

enum err audit_walk_new(struct store *s, struct audit_walk **out, struct fault *f)
{
    *out = NULL;
    struct audit_walk *w = calloc(1, sizeof *w);
    if (w == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    w->store = s;
    enum err e = audit_read_mark(s, AUDIT_MARK_ANCHOR, true, &w->seq, w->hash, f);
    if (e == ERR_NONE)
        *out = w;
    else
        free(w);
    return e;
}

void audit_walk_free(struct audit_walk *w)
{
    free(w);
}

int64_t audit_walk_rows(const struct audit_walk *w)
{
    return w->rows;
}

// Retention may have taken records that were still ahead: then the chain begins behind them.
static enum err follow_anchor(struct audit_walk *w, struct fault *f)
{
    unsigned char hash[STORE_HASH_SIZE];
    int64_t seq = 0;
    enum err e = audit_read_mark(w->store, AUDIT_MARK_ANCHOR, true, &seq, hash, f);
    if (e == ERR_NONE && seq > w->seq) {
        w->seq = seq;
        memcpy(w->hash, hash, sizeof hash);
    }
    return e;
}

// Does the record fit behind the one before? Moves on to it.
static enum err walk_row(struct audit_walk *w, const struct query *q, struct fault *f)
{
    unsigned char expected[STORE_HASH_SIZE];
    struct audit_entry r = audit_read_entry(q);
    size_t size = 0;
    if (r.seq != w->seq + 1)
        return fault_set(f, ERR_CONFLICT, "the audit trail is broken at %lld: row %lld follows row %lld",
                         (long long)w->seq + 1, (long long)r.seq, (long long)w->seq);
    enum err e = audit_hash(w->store, w->hash, &r, expected, f);
    if (e != ERR_NONE)
        return e;
    const void *stored = query_blob(q, AUDIT_ENTRY_HASH, &size);
    if (size != STORE_HASH_SIZE || memcmp(stored, expected, STORE_HASH_SIZE) != 0)
        return fault_set(
            f, ERR_CONFLICT,
            "the audit trail is broken at %lld: this row, or the one before it, is not what was written",
            (long long)r.seq);
    w->seq = r.seq;
    w->rows++;
    memcpy(w->hash, expected, sizeof expected);
    return ERR_NONE;
}

// The last record must be the one the end mark names.
static enum err walk_end(struct audit_walk *w, struct fault *f)
{
    unsigned char hash[STORE_HASH_SIZE];
    int64_t seq = 0;
    enum err e = audit_read_mark(w->store, AUDIT_MARK_HEAD, true, &seq, hash, f);
    if (e == ERR_NONE && seq != w->seq)
        e = fault_set(f, ERR_CONFLICT,
                      "the audit trail is broken at %lld: it ends there, but %lld rows were written",
                      (long long)w->seq + 1, (long long)seq);
    if (e == ERR_NONE && memcmp(hash, w->hash, sizeof hash) != 0)
        e = fault_set(f, ERR_CONFLICT, "the audit trail is broken at %lld: the end mark does not fit",
                      (long long)seq);
    return e;
}

enum err audit_walk_step(struct audit_walk *w, unsigned rows, bool *done, struct fault *f)
{
    static const char sql[] = "SELECT " AUDIT_ENTRY_COLUMNS " FROM audit WHERE seq > ? ORDER BY seq LIMIT ?";
    struct query q;
    bool row = true;
    unsigned seen = 0;
    *done = false;
    // Rows of the open group are in the table, but not in the mark yet.
    enum err e = w->store->group == GROUP_OPEN ? audit_seal(w->store, f) : ERR_NONE;
    if (e == ERR_NONE)
        e = follow_anchor(w, f);
    if (e == ERR_NONE)
        e = query_read(w->store, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, w->seq);
    query_bind_int(&q, rows);
    for (; e == ERR_NONE; seen++) {
        e = query_step(&q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        e = walk_row(w, &q, f);
    }
    query_end(&q);
    if (e != ERR_NONE || seen == rows)
        return e;
    *done = true;
    return walk_end(w, f);
}

enum err audit_verify(struct store *s, int64_t *rows, struct fault *f)
{
    struct audit_walk *w = NULL;
    bool done = false;
    enum err e = audit_walk_new(s, &w, f);
    while (e == ERR_NONE && w != NULL && !done)
        e = audit_walk_step(w, 10000, &done, f);
    if (rows != NULL)
        *rows = w == NULL ? 0 : w->rows;
    audit_walk_free(w);
    return e;
}
