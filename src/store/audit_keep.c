// Retention: the oldest records go, and the signed anchor moves to the last of them, so that what is left
// verifies.
#include <string.h>

#include "store/audit_chain.h"

// The last of the oldest records that are all older than `before`, at most `most` of them; *count is how
// many.
static enum err find_last(struct store *s, time_t before, unsigned most, int64_t *seq, unsigned char *hash,
                          unsigned *count, struct fault *f)
{
    static const char sql[] = "SELECT seq, time, hash FROM audit ORDER BY seq LIMIT ?";
    struct query q;
    bool row = true;
    *count = 0;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE)
        query_bind_int(&q, most);
    while (e == ERR_NONE) {
        size_t size = 0;
        e = query_step(&q, &row, f);
        if (e != ERR_NONE || !row || query_int(&q, 1) >= before)
            break;
        const void *stored = query_blob(&q, 2, &size);
        if (size != STORE_HASH_SIZE) {
            e = fault_set(f, ERR_IO, "row %lld of the audit trail is damaged; run audit verify",
                          (long long)query_int(&q, 0));
            break;
        }
        *seq = query_int(&q, 0);
        memcpy(hash, stored, size);
        ++*count;
    }
    query_end(&q);
    return e;
}

enum err audit_expire(struct store *s, time_t before, unsigned most, unsigned *removed, struct fault *f)
{
    static const char sql[] = "DELETE FROM audit WHERE seq <= ?";
    unsigned char hash[STORE_HASH_SIZE];
    int64_t seq = 0;
    struct query q;
    enum err e = find_last(s, before, most, &seq, hash, removed, f);
    if (e != ERR_NONE || *removed == 0)
        return e;
    e = audit_write_anchor(s, seq, hash, f); // first: the table lets go of nothing above it
    if (e == ERR_NONE)
        e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, seq);
    return query_run(&q, NULL, f);
}
