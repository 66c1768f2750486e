// The gateway's own SSH client session to a box's sshd: one per connection, shared by its channels. The box
// proves itself with a pinned host key; the gateway proves itself through an ssh-agent descriptor.
#ifndef GATEWAY_SSH_CLIENT_H
#define GATEWAY_SSH_CLIENT_H

#include <stdint.h>

#include "gateway/ssh_channel.h"

struct client;

enum client_state { CLIENT_CONNECTING, CLIENT_AUTHENTICATING, CLIENT_READY, CLIENT_FAILED };

// fd: connected TCP (non-blocking), agent_fd: speaks the ssh-agent protocol; both become the session's.
// hostkeys: pinned "TYPE BASE64\n" lines, at least one.
MUST_CHECK enum err client_new(int fd, int agent_fd, const char *user, const char *hostkeys,
                               struct client **out, struct fault *f);
void client_free(struct client *c); // frees its channels as well

// Carries connecting and authentication on, then reads packets. Never waits for the network (the agent, which
// is our own control plane, is waited for). Returns true if anything arrived.
bool client_pump(struct client *c);
enum client_state client_state(const struct client *c);
const char *client_error(const struct client *c); // why CLIENT_FAILED
bool client_write_pending(const struct client *c);

// Opening and requests are begun once and then asked about: ERR_NONE done, ERR_CONFLICT not yet (call again
// after client_pump), anything else refused or broken. One request a channel at a time.
struct chan *client_chan_new(struct client *c); // NULL when out of memory
void client_chan_release(struct client *c, struct chan *chan);
enum err client_open_session(struct chan *chan);
// RFC 4254 section 7.2: to host:port as seen from the box.
enum err client_open_forward(struct chan *chan, const char *host, uint32_t port);
enum err client_request_env(struct chan *chan, const char *name, const char *value);
enum err client_request_pty(struct chan *chan, const char *term, uint32_t columns, uint32_t rows);
enum err client_request_shell(struct chan *chan);
enum err client_request_exec(struct chan *chan, const char *command);
enum err client_request_subsystem(struct chan *chan, const char *name);
void client_request_agent(struct chan *chan); // no reply
// RFC 4254 section 7.1. One at a time. port is not 0: libssh (0.12) reads the port the server chose from
// whatever packet came last.
enum err client_listen(struct client *c, const char *host, uint32_t port);
enum err client_cancel_listen(struct client *c, const char *host, uint32_t port);

// A channel the box opens towards the client.
struct client_open;
struct client_open_view {
    bool agent;       // "auth-agent@openssh.com", else "forwarded-tcpip":
    const char *host; // the address that was connected to
    uint32_t port;
    const char *from; // by whom
    uint32_t from_port;
};
struct client_open *client_next_open(struct client *c); // NULL: none
const struct client_open_view *client_open_view(const struct client_open *o);
struct chan *client_open_accept(struct client_open *o); // answers and frees; NULL if the session broke
void client_open_refuse(struct client_open *o);         // ditto; NULL is fine

// These need no reply.
void client_window_change(struct chan *chan, uint32_t columns, uint32_t rows);
void client_send_signal(struct chan *chan, const char *name);

#endif
