// One client connection, one process, one loop: key exchange, authentication, channels, close. The parts
// below share this struct and nothing else; each file owns the fields named after it.
#ifndef GATEWAY_CONNECTION_H
#define GATEWAY_CONNECTION_H

#include <sys/queue.h>

#include <event2/event.h>

#include "base/config.h"
#include "gateway/control_link.h"
#include "gateway/leg.h"
#include "gateway/sandbox.h"
#include "gateway/ssh_server.h"
#include "gateway/throttle.h"

enum connection_state {
    CONNECTION_ADMITTING, // key exchange runs, the control plane has not yet admitted the address
    CONNECTION_AUTH,      // waiting for a key
    CONNECTION_OPEN,      // logged in
    CONNECTION_CLOSING,   // reason known; freed at the end of the loop's turn
};

struct channel; // a session or a forward, see gateway/channel.h

struct connection {
    const struct config *config;
    struct event_base *base;
    enum connection_state state;
    char address[64];
    uint16_t port;
    int startup_fd; // closed at login: tells the listener that this connection no longer counts as
                    // unauthenticated

    int watch_fd; // a duplicate for the loop: libssh closes its own inside its calls, epoll must not notice
    struct server *server;
    struct event *readable, *writable, *again, *grace, *keepalive, *stats;

    struct control_link *control;
    char user[32]; // the account
    bool console;
    struct { // what the key it came in with leaves to its sessions
        bool pty, agent;
        char command[sizeof((struct message *)0)->command]; // forced; "" = none
    } may;

    struct {
        struct ask *held; // being asked about
        unsigned failures, probes;
        bool told_unsupported; // why its kind of key is refused
    } auth;

    struct leg *leg;      // to the box; NULL until a session needs it
    unsigned leg_users;   // sessions that hold a channel of it
    unsigned leg_awaited; // OPENs on their way that will bring one

    bool agent_forwarded; // a session asked for it
    bool told_kind;       // that a kind of channel is not carried here

    TAILQ_HEAD(, channel) channels;
    unsigned channel_count, channels_opened;
    uint64_t bytes_in, bytes_out; // payload of channels that have ended
    struct throttle *throttle;    // the user's bandwidth
    uint64_t stats_told;          // what stats said last: bytes and channels, added up

    uint64_t began, key_exchanged; // monotonic ms; the latter 0 before the first request to log in

    char reason[480]; // why it closes
    bool tell_client; // send the reason as SSH_MSG_DISCONNECT
};

// Runs the connection on fd to its end. startup_fd may be -1. Returns when the connection is over.
void connection_run(const struct config *config, const struct ssh_keys *keys, const struct sandbox *sandbox,
                    int fd, const char *address, uint16_t port, int startup_fd);

// Everything that ends a connection comes through here; later calls keep the first reason.
void connection_close(struct connection *c, bool tell_client, const char *reason);

// Takes over what WELCOME says and brings.
void connection_welcome(struct connection *c, const struct message *welcome, const int *fds, size_t fd_count);

// Something happened outside the SSH descriptors (an answer, a socket, a timer): take a turn soon.
void connection_wake(struct connection *c);

#endif
