// How much this connection may move now, when its user's bandwidth is limited. What may not be moved is not
// read: windows and socket buffers fill up, and the sender waits.
#ifndef GATEWAY_THROTTLE_H
#define GATEWAY_THROTTLE_H

#include <stdint.h>

#include <event2/event.h>

#include "base/fault.h"

struct throttle;

typedef void (*throttle_wake_fn)(void *arg);

// `wake` is called from the loop when there is something to take again. NULL: out of memory.
struct throttle *throttle_new(struct event_base *base, throttle_wake_fn wake, void *arg);
void throttle_free(struct throttle *t);

// The page of wire/bandwidth.h; takes the descriptor, also on error. Replaces the one before.
MUST_CHECK enum err throttle_attach(struct throttle *t, int fd, struct fault *f);

// Bytes that may be moved now; SIZE_MAX without a limit. After 0, `wake` is called once there is more.
size_t throttle_room(struct throttle *t);

enum throttle_way { THROTTLE_IN, THROTTLE_OUT };                             // from the client, to the client
void throttle_take(struct throttle *t, enum throttle_way way, size_t bytes); // were moved
uint64_t throttle_moved(const struct throttle *t, enum throttle_way way);    // in all, limited or not

#endif
