// gateway.sock: one link a connection process. Each is treated as hostile: a table says which message is
// allowed in which state, anything else ends that link.
#ifndef CONTROL_GATEWAY_LINK_H
#define CONTROL_GATEWAY_LINK_H

#include "control/control.h"

#define GATEWAY_REATTACH_SECONDS 30 // after our restart, for live connections to come back

struct gateway_server;
MUST_CHECK enum err gateway_server_new(struct control *c, struct gateway_server **out, struct fault *f);
void gateway_server_free(struct gateway_server *g);

// A live, authenticated connection, for `sessions` and `info`.
struct live_session {
    int64_t id, account_id;
    const char *user, *login, *fingerprint, *address;
    time_t started;
    unsigned channels;
};
typedef void (*live_session_fn)(const struct live_session *session, void *arg);
void gateway_each_live(struct gateway_server *g, int64_t account_id, live_session_fn each,
                       void *arg); // 0 = all
unsigned gateway_count_live(struct gateway_server *g, int64_t account_id);

// Ends live connections, telling their users why. fingerprint NULL = all of the account. Returns how many.
unsigned gateway_kick(struct gateway_server *g, int64_t account_id, const char *fingerprint,
                      const char *reason);
// Only those in the box: somebody at the console stays.
unsigned gateway_kick_from_box(struct gateway_server *g, int64_t account_id, const char *reason);

#endif
