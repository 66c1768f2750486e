// What a connection has open: a session (session.c), a forward in either direction (forward.c,
// backward.c) or a port the box listens on for the client (listen.c). One table of calls
// each, so that the connection need not know which.
#ifndef GATEWAY_CHANNEL_H
#define GATEWAY_CHANNEL_H

#include "gateway/connection.h"
#include "gateway/relay.h"

struct channel;

struct channel_ops {
    bool (*step)(struct channel *ch);               // moves what can be moved; true if anything did
    void (*ask)(struct channel *ch, struct ask *a); // a request on this channel; answers or holds it
    void (*free)(struct channel *ch);
};

struct channel {
    TAILQ_ENTRY(channel) entry;
    const struct channel_ops *ops;
    struct connection *connection;
    struct chan *chan; // NULL until the open is answered
    uint64_t open_id;  // of the OPEN; 0 once answered
    uint64_t door_id;  // same, kept for CHANNEL_CLOSED
    bool brings_leg;   // the OPEN on its way asks for a leg; channels opened beside it wait for that one
    bool on_leg;       // let through to the box's own sshd: needs the leg
    bool done;         // nothing left to do: freed at the end of the turn
};

// Adds it to the connection. False (and nothing done) when the connection has too many.
bool channel_add(struct connection *c, struct channel *ch, const struct channel_ops *ops);
// Tells the control plane that the channel is over, takes it off the connection and frees its channel.
void channel_remove(struct channel *ch, uint64_t bytes_in, uint64_t bytes_out, const char *how);

// Asks the control plane to open it: kind, host and port of m are set. The first channel of a connection asks
// for a leg to the box as well, those beside it share that one.
void channel_ask(struct channel *ch, struct message *m, control_answer_fn answer);

// The final answer to that came. Takes the descriptors of DOOR_BOX for the leg; false if they are not what
// the door needs (and sets f). Descriptors of other doors are left to the caller.
MUST_CHECK bool channel_answered(struct channel *ch, const struct message *answer, const int *fds,
                                 size_t fd_count, struct fault *f);

enum channel_leg {
    CHANNEL_LEG_WAIT,
    CHANNEL_LEG_READY,
    CHANNEL_LEG_FAILED, // client_error(leg_client(...)) says why
    CHANNEL_LEG_GONE,   // who was to bring it gave up: ask anew
};
enum channel_leg channel_leg_state(const struct channel *ch);

// A channel of the leg, given back with channel_release_box. NULL when out of memory.
struct chan *channel_take_box(struct channel *ch);
// Ditto for a channel the box opened.
struct chan *channel_accept_box(struct channel *ch, struct client_open *o);
void channel_release_box(struct channel *ch, struct chan *box); // sends CLOSE; NULL is fine

// One turn of a forward, in either direction: moves bytes, and closes the channel when the relay is at its
// end, the client gave up or the leg is lost. *box is given back then (NULL: the relay leads to a socket).
// True if anything moved; *closed tells that CLOSE was sent.
bool channel_splice(struct channel *ch, struct relay *relay, struct chan **box, bool *closed);

void session_open(struct connection *c, struct ask *a);
// Writes a line to the person at the connection's first terminal. False when it has none: a program's output
// stays as the program wrote it.
bool session_tell(struct connection *c, const char *text);
void forward_open(struct connection *c, struct ask *a);
void backward_open(struct connection *c, struct client_open *o);
void listen_open(struct connection *c, struct ask *a); // global requests
bool listen_is_active(const struct connection *c, uint32_t port);

#endif
