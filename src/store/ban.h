// Bans, those in force and those that were; and the sources people have logged in from, which bans and
// admission treat better than strangers.
#ifndef STORE_BAN_H
#define STORE_BAN_H

#include <time.h>

#include "base/subnets.h"
#include "store/store.h"

struct ban_row {
    int64_t id;
    char user[64];            // login name; "" = all
    char subnet[SUBNET_TEXT]; // "" = from anywhere
    char reason[160];
    char actor[64]; // who imposed it: "gateway" or an administrator
    time_t created;
    time_t until;  // 0 = for ever
    time_t lifted; // 0 = not before its end
    char lifted_by[64];
};

// Sets row->id. ERR_CONFLICT if one for the same user and subnet is in force at row->created; *row is that
// one then.
MUST_CHECK enum err ban_add(struct store *s, struct ban_row *row, struct fault *f);
// Lifts what is in force for exactly this user and subnet. ERR_NOTFOUND if nothing is.
MUST_CHECK enum err ban_lift(struct store *s, const char *user, const char *subnet, const char *by,
                             time_t now, struct fault *f);
// Is exactly this user and subnet banned at `now`? ERR_NOTFOUND if not.
MUST_CHECK enum err ban_find(struct store *s, const char *user, const char *subnet, time_t now,
                             struct ban_row *out, struct fault *f);
// Bans of this pair that began after `since`, lifted ones left out: how often it has been at it.
MUST_CHECK enum err ban_count_since(struct store *s, const char *user, const char *subnet, time_t since,
                                    unsigned *out, struct fault *f);
MUST_CHECK enum err ban_totals(struct store *s, time_t now, unsigned *in_force, unsigned *ever,
                               struct fault *f);

typedef enum err (*ban_each_fn)(const struct ban_row *row, void *arg, struct fault *f);
// In force at `now`, oldest first.
MUST_CHECK enum err ban_each_in_force(struct store *s, time_t now, ban_each_fn each, void *arg,
                                      struct fault *f);
// All there ever were, newest first, at most `limit`.
MUST_CHECK enum err ban_each(struct store *s, unsigned limit, ban_each_fn each, void *arg, struct fault *f);

// A key has logged in from this source (subnet text).
MUST_CHECK enum err known_source_touch(struct store *s, const char *source, const char *fingerprint,
                                       time_t now, struct fault *f);
// Has it, after `since`? fingerprint NULL: has any key?
MUST_CHECK enum err known_source_has(struct store *s, const char *source, const char *fingerprint,
                                     time_t since, bool *out, struct fault *f);
typedef enum err (*known_source_fn)(const char *source, time_t last, void *arg, struct fault *f);
// Each source once, the latest first.
MUST_CHECK enum err known_source_each(struct store *s, time_t since, known_source_fn each, void *arg,
                                      struct fault *f);
MUST_CHECK enum err known_source_prune(struct store *s, time_t before, struct fault *f);

#endif
