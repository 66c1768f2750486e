// The connection's session to the box, shared by all its session channels: made when the first of them is let
// through, unmade when it breaks.
#ifndef GATEWAY_LEG_H
#define GATEWAY_LEG_H

#include <event2/event.h>

#include "gateway/ssh_client.h"

struct leg;
typedef void (*leg_wake_fn)(void *arg);

// fds as from OPENED with DOOR_BOX; both become the leg's, also on error.
MUST_CHECK enum err leg_new(struct event_base *base, int fd, int agent_fd, const char *user,
                            const char *hostkeys, leg_wake_fn wake, void *arg, struct leg **out,
                            struct fault *f);
void leg_free(struct leg *l);  // NULL is fine
bool leg_pump(struct leg *l);  // true if anything arrived
void leg_rearm(struct leg *l); // after a turn: wait for what it waits for
struct client *leg_client(struct leg *l);

#endif
