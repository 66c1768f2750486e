// Accounts and their keys. A key belongs to one account only (unique fingerprint), because at the console the
// key alone says who you are.
#ifndef STORE_ACCOUNT_H
#define STORE_ACCOUNT_H

#include <time.h>

#include "policy/authz.h"
#include "policy/name.h"
#include "store/pubkey.h"
#include "store/store.h"

struct account {
    int64_t id;
    char name[NAME_USER_SIZE];
    enum role role;
    time_t created;
    time_t last_login; // 0 = never
};

struct account_key {
    int64_t id;
    int64_t account_id;
    struct pubkey key;
    time_t added;
    time_t last_used; // 0 = never
};

// ERR_CONFLICT if the name is taken. *out_id may be NULL.
MUST_CHECK enum err account_create(struct store *s, const char *name, enum role role, time_t now,
                                   int64_t *out_id, struct fault *f);
MUST_CHECK enum err account_get(struct store *s, const char *name, struct account *out, struct fault *f);
MUST_CHECK enum err account_get_id(struct store *s, int64_t id, struct account *out, struct fault *f);
MUST_CHECK enum err account_set_role(struct store *s, int64_t id, enum role role, struct fault *f);
MUST_CHECK enum err account_touch_login(struct store *s, int64_t id, time_t now, struct fault *f);
// Removes the account, its keys and its box row (foreign keys cascade). The audit trail stays.
MUST_CHECK enum err account_delete(struct store *s, int64_t id, struct fault *f);
// Calls each for every account in name order; stops when it returns an error.
typedef enum err (*account_each_fn)(const struct account *account, void *arg, struct fault *f);
MUST_CHECK enum err account_each(struct store *s, account_each_fn each, void *arg, struct fault *f);

// ERR_CONFLICT, naming the owner, if the fingerprint is known already for another account; adding a key the
// account has already is not an error (retry-safe), and gives it the options of the new one. *added (may be
// NULL): true if anything changed.
MUST_CHECK enum err account_key_add(struct store *s, int64_t account_id, const struct pubkey *key, time_t now,
                                    bool *added, struct fault *f);
// By fingerprint ("SHA256:...") or by exact comment. ERR_NOTFOUND, or ERR_CONFLICT if a comment matches
// several.
MUST_CHECK enum err account_key_remove(struct store *s, int64_t account_id, const char *which,
                                       struct account_key *removed, struct fault *f);
MUST_CHECK enum err account_key_remove_all(struct store *s, int64_t account_id, struct fault *f);
MUST_CHECK enum err account_key_count(struct store *s, int64_t account_id, unsigned *out, struct fault *f);
typedef enum err (*account_key_each_fn)(const struct account_key *key, void *arg, struct fault *f);
MUST_CHECK enum err account_key_each(struct store *s, int64_t account_id, account_key_each_fn each, void *arg,
                                     struct fault *f);
// Who owns this fingerprint? ERR_NOTFOUND if nobody.
MUST_CHECK enum err account_key_find(struct store *s, const char *fingerprint, struct account *owner,
                                     struct account_key *key, struct fault *f);
MUST_CHECK enum err account_key_touch(struct store *s, int64_t key_id, time_t now, struct fault *f);

#endif
