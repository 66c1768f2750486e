// Invitations: one-time tokens with which somebody brings their first, or one more, key. The token itself is
// never stored: its SHA-256 is, which is enough because the token is random (INVITE_TOKEN_BITS).
#ifndef STORE_INVITE_H
#define STORE_INVITE_H

#include <time.h>

#include "policy/authz.h"
#include "policy/limit.h"
#include "policy/name.h"
#include "store/pubkey.h"
#include "store/store.h"

#define INVITE_TOKEN_BITS 130
#define INVITE_TOKEN_SIZE (INVITE_TOKEN_BITS / 5 + 1) // characters of five bits and the NUL

enum invite_state { INVITE_OPEN, INVITE_USED, INVITE_EXPIRED, INVITE_REVOKED };
const char *invite_state_name(enum invite_state state); // "open", "used", ...

struct invite {
    int64_t id;
    char name[NAME_USER_SIZE];
    int64_t account_id; // whose key is added; 0: an account is made, and this is it once it was
    // Of the account that is made:
    enum role role;
    char cpu[64];          // "": the configuration's
    uint64_t memory, disk; // 0: ditto
    struct limits limits;
    bool limited[LIMIT_COUNT]; // which of them it gets of its own
    char actor[64];            // who invited
    time_t created, expires;
    time_t used;                               // 0 = not yet
    char fingerprint[PUBKEY_FINGERPRINT_SIZE]; // by this key
    time_t revoked;                            // 0 = not
};

// Inserts the row (its id is written back) and makes its token.
MUST_CHECK enum err invite_add(struct store *s, struct invite *row, char token[INVITE_TOKEN_SIZE],
                               struct fault *f);
// By token, in upper or lower case. ERR_NOTFOUND if there never was one, or it is long over.
MUST_CHECK enum err invite_find(struct store *s, const char *token, struct invite *out, struct fault *f);
// ERR_CONFLICT if it is not open any more.
MUST_CHECK enum err invite_use(struct store *s, int64_t id, int64_t account_id, const char *fingerprint,
                               time_t now, struct fault *f);
enum invite_state invite_state(const struct invite *row, time_t now);

// Revokes what is open: by number, or with id 0 all of a name; of these only what `actor` made, unless that
// is
// "". *count: how many those were.
MUST_CHECK enum err invite_revoke(struct store *s, int64_t id, const char *name, const char *actor,
                                  time_t now, unsigned *count, struct fault *f);
// Newest first. The limits are not filled in.
typedef enum err (*invite_each_fn)(const struct invite *row, void *arg, struct fault *f);
MUST_CHECK enum err invite_each(struct store *s, invite_each_fn each, void *arg, struct fault *f);
// Forgets those that expired before.
MUST_CHECK enum err invite_prune(struct store *s, time_t before, struct fault *f);

#endif
