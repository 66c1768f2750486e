// A TCP connection to a box's address, tried again until the box answers or a deadline passes.
#ifndef CONTROL_DIAL_H
#define CONTROL_DIAL_H

#include <event2/event.h>

#include "base/fault.h"

struct dial;
// fd is the callee's; -1 with a fault on failure. Called from the loop; the dial is gone afterwards.
typedef void (*dial_done_fn)(void *arg, int fd, const struct fault *f);

// `address` is numeric IPv4 or IPv6. With `wait_banner` the connection counts only once the peer has sent
// "SSH-" (looked at, not consumed), and refusals are tried again until `deadline_ms` have passed, because a
// box that boots refuses before it listens; without, the first refusal is final. NULL on a malformed address
// or out of memory (f).
struct dial *dial_start(struct event_base *base, const char *address, uint16_t port, bool wait_banner,
                        uint64_t deadline_ms, dial_done_fn done, void *arg, struct fault *f);
void dial_cancel(struct dial *d); // NULL is fine

#endif
