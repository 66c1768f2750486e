// Sessions: one row an authenticated connection, from login to close.
#ifndef STORE_SESSION_H
#define STORE_SESSION_H

#include <time.h>

#include "policy/name.h"
#include "store/pubkey.h"
#include "store/store.h"

struct session_row {
    int64_t id;
    int64_t account_id;
    int64_t owner_id; // whose box it is in; 0 at the console
    char user[NAME_USER_SIZE];
    char login[NAME_LOGIN_SIZE]; // the name typed: "alice", "alice+bob", "ctl"
    char fingerprint[PUBKEY_FINGERPRINT_SIZE];
    char address[64];
    uint16_t port;
    char token[44]; // hex; proves a connection process's session after our restart
    time_t started;
    time_t ended;       // 0 = live
    char reason[64];    // "" while live; "closed", "lost", "killed", ...
    uint64_t bytes_in;  // from the client
    uint64_t bytes_out; // to the client
    unsigned channels;  // opened in all
};

MUST_CHECK enum err session_open(struct store *s, struct session_row *row, struct fault *f); // sets row->id
MUST_CHECK enum err session_close(struct store *s, int64_t id, time_t now, const char *reason,
                                  uint64_t bytes_in, uint64_t bytes_out, unsigned channels, struct fault *f);
MUST_CHECK enum err session_find_token(struct store *s, const char *token, struct session_row *out,
                                       struct fault *f);
// Live sessions (ended == 0), of one account or of all (account_id 0), oldest first.
typedef enum err (*session_each_fn)(const struct session_row *row, void *arg, struct fault *f);
MUST_CHECK enum err session_each_live(struct store *s, int64_t account_id, session_each_fn each, void *arg,
                                      struct fault *f);
// Removes sessions that ended before `before`, at most `most` of them, oldest first. *removed says how many.
MUST_CHECK enum err session_prune(struct store *s, time_t before, unsigned most, int *removed,
                                  struct fault *f);
MUST_CHECK enum err session_count_live(struct store *s, int64_t account_id, unsigned *out, struct fault *f);
// The last moment of the sessions in each account's box, its guests' included, of accounts that had any.
typedef enum err (*session_last_fn)(int64_t owner_id, time_t last, void *arg, struct fault *f);
MUST_CHECK enum err session_each_last(struct store *s, session_last_fn each, void *arg, struct fault *f);

#endif
