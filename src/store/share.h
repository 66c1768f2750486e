// Shares: whose box somebody else may enter, and until when.
#ifndef STORE_SHARE_H
#define STORE_SHARE_H

#include <time.h>

#include "policy/name.h"
#include "store/store.h"

#define SHARES_MAX 64 // of a box

struct share {
    int64_t owner_id;
    char owner[NAME_USER_SIZE];
    // 0: nobody has that name, or nobody has it any more. Such a share is listed like others and leads
    // nowhere: whoever may not see other accounts does not learn from it which there are.
    int64_t guest_id;
    char guest[NAME_USER_SIZE];
    char actor[64]; // who shared it
    time_t created;
    time_t until; // 0 = until it is taken back
};

bool share_in_force(const struct share *share, time_t now);

// One a box and guest: an earlier one is replaced. ERR_FULL when the box has SHARES_MAX. The owner's name is
// not read.
MUST_CHECK enum err share_put(struct store *s, const struct share *share, struct fault *f);
// ERR_NOTFOUND if the box is not shared with that name. *removed: what it was; its owner's name is not filled
// in.
MUST_CHECK enum err share_remove(struct store *s, int64_t owner_id, const char *guest, struct share *removed,
                                 struct fault *f);
// May the guest enter the box now? ERR_NOTFOUND if not.
MUST_CHECK enum err share_find(struct store *s, int64_t owner_id, int64_t guest_id, time_t now,
                               struct share *out, struct fault *f);
// Shares with this account lead nowhere from now on.
MUST_CHECK enum err share_forget_guest(struct store *s, int64_t guest_id, struct fault *f);

// Those of a box, those with a guest, or with 0 all; by owner, then by guest. Also those that are over and
// not yet removed.
typedef enum err (*share_each_fn)(const struct share *share, void *arg, struct fault *f);
MUST_CHECK enum err share_each(struct store *s, int64_t owner_id, int64_t guest_id, share_each_fn each,
                               void *arg, struct fault *f);

// When the next one ends; 0 = none does by itself.
MUST_CHECK enum err share_next_end(struct store *s, time_t *out, struct fault *f);
// The one that has been over for longest. ERR_NOTFOUND if none is.
MUST_CHECK enum err share_over(struct store *s, time_t now, struct share *out, struct fault *f);

#endif
