// Bytes between the client's channel and what it leads to: a channel of the box's session, or a TCP socket.
// Nothing is buffered but what one short write left over; windows and socket buffers carry the back-pressure
// end to end.
#ifndef GATEWAY_RELAY_H
#define GATEWAY_RELAY_H

#include <event2/event.h>

#include "gateway/ssh_channel.h"
#include "gateway/throttle.h"

struct relay;

// `wake` is called from the loop when the socket can go on; the owner then runs relay_step.
typedef void (*relay_wake_fn)(void *arg);

// Neither takes ownership of the channels or the throttle; fd (non-blocking) becomes the relay's. NULL when
// out of memory.
struct relay *relay_to_chan(struct chan *client, struct chan *box, struct throttle *throttle);
struct relay *relay_to_socket(struct chan *client, int fd, struct throttle *throttle, struct event_base *base,
                              relay_wake_fn wake, void *arg);
void relay_free(struct relay *r); // closes the socket; NULL is fine

// While held, the end of the target's output is not passed on (its bytes are).
void relay_hold_end(struct relay *r, bool hold);

// Moves what can be moved now. Returns true if anything moved.
bool relay_step(struct relay *r);

// True when both directions are at their end (or the target broke): what is left is closing the client's
// channel.
bool relay_done(const struct relay *r);

uint64_t relay_bytes_in(const struct relay *r);  // from the client
uint64_t relay_bytes_out(const struct relay *r); // to the client

#endif
