// Shares as time goes by, and the boxes that have copies of guests' keys.
#ifndef CONTROL_SHARE_H
#define CONTROL_SHARE_H

#include "control/control.h"

// One timer, for the share that ends next: its guest's live sessions are ended with it.
struct shares;
struct shares *shares_new(struct control *c); // NULL: out of memory
void shares_free(struct shares *s);           // NULL is fine
// A share was made, changed or taken back: the timer is set anew.
void shares_plan(struct control *c);

// The guest's keys have changed: the boxes that are shared with them are told. Nobody waits for it, the
// gateway itself asks the store; a box that cannot be told is logged.
void shares_tell_boxes(struct control *c, int64_t guest_id, const char *actor);
// The account is about to be deleted: its shares with others stay listed and lead nowhere.
MUST_CHECK enum err shares_forget_guest(struct control *c, int64_t guest_id, const char *actor,
                                        struct fault *f);

#endif
