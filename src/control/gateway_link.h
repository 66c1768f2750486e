// gateway.sock: one link a connection process. Each is treated as hostile: a table says which message is
// allowed in which state, anything else ends that link.
#ifndef CONTROL_GATEWAY_LINK_H
#define CONTROL_GATEWAY_LINK_H

#include "control/control.h"
#include "wire/message.h"

#define GATEWAY_REATTACH_SECONDS 30 // after our restart, for live connections to come back

struct gateway_server;
MUST_CHECK enum err gateway_server_new(struct control *c, struct gateway_server **out, struct fault *f);
void gateway_server_free(struct gateway_server *g);

// A live, authenticated connection, for `sessions` and `info`.
struct live_session {
    int64_t id, account_id;
    int64_t owner_id; // whose box it is in; 0 at the console
    const char *user, *login, *fingerprint, *address, *box;
    time_t started;
    unsigned channels, open_channels; // in all, now
    uint64_t bytes_in, bytes_out, rate_in, rate_out;
    uint64_t idle_ms; // since bytes last moved
};
typedef void (*live_session_fn)(const struct live_session *session, void *arg);
// Of the account: theirs, and those of guests in their box. 0 = all.
void gateway_each_live(struct gateway_server *g, int64_t account_id, live_session_fn each, void *arg);
unsigned gateway_count_live(struct gateway_server *g, int64_t account_id);
// Connections of the account; *from_source: those from there (subnet text). One whose login is just being
// recorded counts.
unsigned gateway_count_connections(struct gateway_server *g, int64_t account_id, const char *source,
                                   unsigned *from_source);
// Channels the account has open or asked for; *sessions of them are sessions.
unsigned gateway_count_channels(struct gateway_server *g, int64_t account_id, unsigned *sessions);
// Links of connections that are still to log in.
unsigned gateway_count_unauthenticated(struct gateway_server *g);
// Connections the listener has turned away, by enum admit_verdict.
uint64_t gateway_count_dropped(struct gateway_server *g, int verdict);

// Ends live connections of the account, as gateway_each_live() has them, telling their users why. fingerprint
// NULL = with whatever key they came. Returns how many.
unsigned gateway_kick(struct gateway_server *g, int64_t account_id, const char *fingerprint,
                      const char *reason);
// Ditto one session; false if it is not live.
bool gateway_kick_session(struct gateway_server *g, int64_t session, const char *reason);
// Ditto those that logged in as `login` ("" = any) from the subnet ("" = anywhere).
unsigned gateway_kick_from(struct gateway_server *g, const char *login, const char *subnet,
                           const char *reason);

// Only those in the account's box: somebody at the console stays.
unsigned gateway_kick_from_box(struct gateway_server *g, int64_t account_id, const char *reason);
// Of these only the guest's.
unsigned gateway_kick_guest(struct gateway_server *g, int64_t owner_id, int64_t guest_id, const char *reason);

void gateway_tell_listeners(struct gateway_server *g, const struct message *m);

#endif
