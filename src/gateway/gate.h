// What the listener knows of those who connect: who is banned, who is known, how many from one source are
// logging in; and whom it turned away. Bans and known sources come from the control plane over a link of
// their own and stay in force while that is away.
#ifndef GATEWAY_GATE_H
#define GATEWAY_GATE_H

#include <sys/socket.h>

#include <event2/event.h>

#include "base/config.h"
#include "base/subnets.h"
#include "policy/admit.h"

struct gate;
struct gate *gate_new(struct event_base *base, const struct config *config); // NULL: out of memory
void gate_free(struct gate *g);                                              // NULL is fine

// Numeric, as it is logged. IPv4 mapped into IPv6 comes out as IPv4. *port may be NULL.
void gate_address(const struct sockaddr_storage *peer, char *address, size_t size, uint16_t *port);

// Decides, and counts who is turned away. `load` has the totals and how many from the same source are logging
// in; the rest of it is filled in here. On a refusal `why` (may be NULL) is a line for the client.
enum admit_verdict gate_decide(struct gate *g, const char *address, struct admit_load *load, char *why,
                               size_t why_size);

#endif
