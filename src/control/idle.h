// Puts boxes to sleep that nobody is in: after [box] idle_freeze and idle_stop, or times of their own. What
// it knows comes from this process's own sessions and operations; Incus is never polled. A login that comes
// while a box falls asleep wins: its wake is behind the sleep in the box's lane (provision/lane.h), and no
// session is open before it is done.
#ifndef CONTROL_IDLE_H
#define CONTROL_IDLE_H

#include "control/control.h"

struct idle;
// Reads from the store who was where last. NULL when out of memory; a store that cannot be read is logged,
// and boxes are known from their next use on.
struct idle *idle_new(struct control *c);
void idle_free(struct idle *idle);

// All of them are harmless when c->idle is NULL.
void idle_left(struct control *c, int64_t account_id); // a session in the box has ended
// An operation on the box went well.
void idle_moved(struct control *c, int64_t account_id, enum box_op op, const struct box_result *result);
void idle_changed(struct control *c, int64_t account_id); // the box has other times now

// When its last use ended; 0 = it was never used. Says nothing of whether it is in use now.
time_t idle_since(const struct control *c, int64_t account_id);
bool idle_in_use(struct control *c, int64_t account_id);

#endif
