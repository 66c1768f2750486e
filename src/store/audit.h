// The audit trail: append-only, typed, hash-chained. hash = SHA-256(previous hash, every field of the row in
// a canonical length-prefixed encoding). The first row chains to 32 zero bytes. The last row's number and
// hash are kept in a table of their own, written with every commit, so that a cut tail is noticed as well.
#ifndef STORE_AUDIT_H
#define STORE_AUDIT_H

#include <time.h>

#include "store/store.h"

enum audit_event {
    AUDIT_ADMIT_REFUSED, // connection refused before authentication
    AUDIT_AUTH_FAILED,   // an offered key or signature was refused
    AUDIT_LOGIN,         // authenticated; committed before the client is told
    AUDIT_OPEN,          // a channel was allowed
    AUDIT_REFUSED,       // a channel or request was refused
    AUDIT_CHANNEL_CLOSED,
    AUDIT_LOGOUT, // connection ended; bytes and duration
    AUDIT_BOX_CREATED,
    AUDIT_BOX_STARTED, // woken
    AUDIT_BOX_STOPPED,
    AUDIT_BOX_DELETED,
    AUDIT_BOX_FAILED, // a life-cycle step failed
    AUDIT_ACCOUNT_CREATED,
    AUDIT_ACCOUNT_DELETED,
    AUDIT_KEY_ADDED,
    AUDIT_KEY_REMOVED,
    AUDIT_BOX_CHANGED, // limits
    AUDIT_BOX_EXPORTED,
    AUDIT_SNAPSHOT_CREATED,
    AUDIT_SNAPSHOT_RESTORED,
    AUDIT_SNAPSHOT_DELETED,
    AUDIT_COMMAND, // an administrative verb was run
};
const char *audit_event_name(enum audit_event event); // "login", "key-added", ...
bool audit_event_parse(const char *text, enum audit_event *out);

// Strings may be NULL (stored as ""). They are copied. Peer text is stored escaped.
struct audit_record {
    int64_t seq; // out: position in the trail, from 1
    time_t time; // seconds; 0 = now is not filled in, the caller gives it
    enum audit_event event;
    const char *user;  // account or login name concerned
    const char *actor; // who did it, if not the user: "root@host", "bob"
    const char *fingerprint;
    const char *address; // "203.0.113.7:50122"
    int64_t session;     // 0 = none
    const char *box;
    const char *target; // "alice-container:22", "session", a verb's argv
    uint64_t bytes_in, bytes_out;
    uint64_t duration_ms;
    const char *reason;
};

MUST_CHECK enum err audit_append(struct store *s, struct audit_record *record, struct fault *f);

struct audit_query {
    const char *user, *address, *event; // NULL = any; address with or without port
    time_t since, until;                // 0 = open
    int64_t after_seq;                  // 0 = from the start
    unsigned limit;                     // 0 = no limit; newest `limit` rows, delivered oldest first
};
typedef enum err (*audit_each_fn)(const struct audit_record *record, void *arg, struct fault *f);
MUST_CHECK enum err audit_each(struct store *s, const struct audit_query *query, audit_each_fn each,
                               void *arg, struct fault *f);

// Walks the whole chain. ERR_CONFLICT with the first bad seq in the fault if it does not hold. *rows may be
// NULL.
MUST_CHECK enum err audit_verify(struct store *s, int64_t *rows, struct fault *f);

#endif
