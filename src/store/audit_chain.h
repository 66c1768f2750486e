// For store/audit*.c only: the chain of records and the two marks that hold it, each signed. The head is the
// last record; the anchor is the one before the first that is still kept.
#ifndef STORE_AUDIT_CHAIN_H
#define STORE_AUDIT_CHAIN_H

#include "store/audit.h"
#include "store/query.h"
#include "store/signer.h"

// A row as it is stored and hashed, in the order of the columns.
struct audit_entry {
    int64_t seq, time, session, bytes_in, bytes_out, duration_ms;
    const char *event, *user, *actor, *fingerprint, *address, *box, *target, *reason;
};

// The columns of audit_read_entry, in its order; the record's own hash stands behind them.
#define AUDIT_ENTRY_COLUMNS                                                                                  \
    "seq, time, event, user, actor, fingerprint, address, session, box, target, bytes_in, bytes_out, "       \
    "duration_ms, "                                                                                          \
    "reason, hash"
#define AUDIT_ENTRY_HASH 14

struct audit_entry audit_read_entry(const struct query *q);

MUST_CHECK enum err audit_hash(struct store *s, const unsigned char previous[STORE_HASH_SIZE],
                               const struct audit_entry *r, unsigned char out[STORE_HASH_SIZE],
                               struct fault *f);

enum audit_mark { AUDIT_MARK_HEAD, AUDIT_MARK_ANCHOR };

MUST_CHECK enum err audit_sign(struct store *s, enum audit_mark mark, int64_t seq,
                               const unsigned char hash[STORE_HASH_SIZE], unsigned char out[SIGNATURE_SIZE],
                               struct fault *f);
// The mark as it is stored. With `check`, ERR_CONFLICT if its signature does not fit.
MUST_CHECK enum err audit_read_mark(struct store *s, enum audit_mark mark, bool check, int64_t *seq,
                                    unsigned char hash[STORE_HASH_SIZE], struct fault *f);
MUST_CHECK enum err audit_write_anchor(struct store *s, int64_t seq,
                                       const unsigned char hash[STORE_HASH_SIZE], struct fault *f);

#endif
