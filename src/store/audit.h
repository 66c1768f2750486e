// The audit trail: append-only, typed, hash-chained. hash = SHA-256(previous hash, every field of the row in
// a canonical length-prefixed encoding). The first row chains to 32 zero bytes. Two marks hold the chain,
// each signed with the trail's own key (Ed25519): the head, the number and hash of the last row, written with
// every commit, so that a cut tail is noticed as well; and the anchor, those of the last row that retention
// has taken.
#ifndef STORE_AUDIT_H
#define STORE_AUDIT_H

#include <time.h>

#include "store/store.h"

enum audit_event {
    AUDIT_ADMITTED,      // a connection was let in to authenticate
    AUDIT_ADMIT_REFUSED, // connection refused before authentication
    AUDIT_AUTH_FAILED,   // an offered key or signature was refused
    AUDIT_LOGIN_FAILED,  // a connection ended without a login; reason and duration
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
    AUDIT_ROLE_CHANGED,
    AUDIT_INVITED, // somebody was given a token to enrol a key with
    AUDIT_INVITE_USED,
    AUDIT_INVITE_REVOKED,
    AUDIT_BANNED,
    AUDIT_UNBANNED,
    AUDIT_LIMIT_SET,
    AUDIT_EXPIRED,     // retention took the oldest records; how many
    AUDIT_KEY_RENEWED, // the trail is signed with another key from here on
    AUDIT_BOX_CHANGED, // limits
    AUDIT_BOX_EXPORTED,
    AUDIT_SNAPSHOT_CREATED,
    AUDIT_SNAPSHOT_RESTORED,
    AUDIT_SNAPSHOT_DELETED,
    AUDIT_SHARED,         // a box may be entered by somebody else; target
    AUDIT_UNSHARED,       // ditto, not any more
    AUDIT_STORE_RESTORED, // the database is one from a backup; records after it are elsewhere
    AUDIT_COMMAND,        // an administrative verb was run
    AUDIT_EVENTS,
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
    const char *user;            // NULL = any; also those of guests in the user's box
    const char *address, *event; // NULL = any; address with or without port
    time_t since, until;         // 0 = open
    int64_t after_seq;           // 0 = from the start
    unsigned limit;              // 0 = no limit; newest `limit` rows, delivered oldest first
    bool named;                  // leave out connections that went away before they said who they are
};
typedef enum err (*audit_each_fn)(const struct audit_record *record, void *arg, struct fault *f);
MUST_CHECK enum err audit_each(struct store *s, const struct audit_query *query, audit_each_fn each,
                               void *arg, struct fault *f);

// Walks the whole chain. ERR_CONFLICT with the first bad seq in the fault if it does not hold. *rows may be
// NULL.
MUST_CHECK enum err audit_verify(struct store *s, int64_t *rows, struct fault *f);
// The same in steps of at most `rows` records, between which others may write. *done: it holds to its end.
struct audit_walk;
MUST_CHECK enum err audit_walk_new(struct store *s, struct audit_walk **out, struct fault *f);
MUST_CHECK enum err audit_walk_step(struct audit_walk *w, unsigned rows, bool *done, struct fault *f);
int64_t audit_walk_rows(const struct audit_walk *w);
void audit_walk_free(struct audit_walk *w); // NULL is fine

// Removes the oldest records, as long as they are older than `before`, at most `most` of them.
MUST_CHECK enum err audit_expire(struct store *s, time_t before, unsigned most, unsigned *removed,
                                 struct fault *f);

// The head as text, to be kept elsewhere: whoever has it can tell later that this much was there.
struct audit_mark_text {
    int64_t seq;
    char hash[65], signature[129]; // hex
    char key[65];                  // the public key, hex
};
MUST_CHECK enum err audit_head(struct store *s, struct audit_mark_text *out, struct fault *f);

// The whole trail with its hashes, in steps, for keeping and verifying elsewhere: from the anchor to the head
// as it was when the last step was taken.
struct audit_export_state {
    int64_t seq;          // of the last record told; the anchor's at first
    char anchor_hash[65]; // hex
    struct audit_mark_text head;
};
typedef enum err (*audit_export_fn)(const struct audit_record *record, const char *hash, void *arg,
                                    struct fault *f);
MUST_CHECK enum err audit_export_begin(struct store *s, struct audit_export_state *state, struct fault *f);
MUST_CHECK enum err audit_export_step(struct store *s, struct audit_export_state *state, unsigned rows,
                                      audit_export_fn each, void *arg, bool *done, struct fault *f);

MUST_CHECK enum err audit_count_event(struct store *s, enum audit_event event, time_t since, uint64_t *out,
                                      struct fault *f);

struct audit_count {
    const char *user;
    uint64_t logins;
    time_t last;
    uint64_t failures;
};
typedef enum err (*audit_count_fn)(const struct audit_count *count, void *arg, struct fault *f);
// Logins and failed logins since then, a user (login name) at a time, in name order. Here and above a
// connection that went away before it said who it is (a port scan, a health check) is no failed login.
MUST_CHECK enum err audit_count_users(struct store *s, time_t since, audit_count_fn each, void *arg,
                                      struct fault *f);

#endif
