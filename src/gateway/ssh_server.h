// The server's side of one client connection: key exchange, authentication requests, channel opens and
// requests, as a queue of asks. An ask may be answered at once or much later; nothing is granted by default.
#ifndef GATEWAY_SSH_SERVER_H
#define GATEWAY_SSH_SERVER_H

#include <stdint.h>

#include "base/config.h"
#include "gateway/ssh_channel.h"

struct ssh_keys; // host keys, loaded once by the listener
struct server;   // one client's session
struct ask;

// Reads ssh_host_{ed25519,ecdsa,rsa}_key from [gateway] host_key_dir; at least one must be there and no
// readable by others (mode & 077). Also fixes the algorithms of the configuration.
MUST_CHECK enum err ssh_keys_load(const struct config *config, struct ssh_keys **out, struct fault *f);
void ssh_keys_free(struct ssh_keys *keys);

// Starts the server side on fd (non-blocking; becomes the session's).
MUST_CHECK enum err server_new(const struct ssh_keys *keys, int fd, struct server **out, struct fault *f);
// Sends SSH_MSG_DISCONNECT with the reason as far as the kernel takes it now, and closes. Channels can only
// be released after that.
void server_disconnect(struct server *s, const char *reason);
void server_free(struct server *s);

bool server_write_pending(const struct server *s);
bool server_dead(const struct server *s);
const char *server_client_id(const struct server *s); // "SSH-2.0-OpenSSH_9.2"; "" before it is known
uint64_t server_bytes_in(const struct server *s);
void server_send_keepalive(struct server *s);
void server_send_banner(struct server *s, const char *text); // during authentication only

enum ask_kind {
    ASK_AUTH_NONE,            // "none" or a method we do not have: refuse
    ASK_AUTH_PROBE,           // is this key acceptable?
    ASK_AUTH_SIGNED,          // with a valid signature
    ASK_AUTH_BAD,             // with a signature that does not verify
    ASK_AUTH_UNSUPPORTED_KEY, // a certificate or FIDO key: refuse
    ASK_OPEN_SESSION,
    ASK_OPEN_DIRECT_TCPIP,
    ASK_OPEN_OTHER,
    ASK_PTY,
    ASK_ENV,
    ASK_SHELL,
    ASK_EXEC,
    ASK_SUBSYSTEM,
    ASK_WINDOW_CHANGE,
    ASK_CHANNEL_OTHER,
    ASK_FORWARD, // "tcpip-forward"
    ASK_CANCEL_FORWARD,
    ASK_GLOBAL_OTHER,
};

// Strings live as long as the ask. Everything in here comes from the peer.
struct ask_view {
    enum ask_kind kind;
    const char *user;  // auth
    const char *key;   // auth: blob, base64
    struct chan *chan; // channel requests: as returned by ask_accept_open
    const char *host;  // direct-tcpip, forward
    uint32_t port;
    const char *term;                      // pty
    uint32_t columns, rows, width, height; // pty, window-change; characters and pixels
    const char *name, *value;              // env
    const char *command;                   // exec, subsystem
};

// The next ask, or NULL. Reads packets. Asks about channels that are gone are dropped here.
struct ask *server_next(struct server *s);
const struct ask_view *ask_view(const struct ask *a);

// Each of these answers and frees the ask.
void ask_refuse(struct ask *a);                        // also for channel opens and global requests
void ask_accept(struct ask *a);                        // channel requests, ASK_AUTH_PROBE, ASK_CANCEL_FORWARD
void ask_accept_forward(struct ask *a, uint32_t port); // ASK_FORWARD; port is told if the client asked for 0
void ask_accept_login(struct ask *a);                  // ASK_AUTH_SIGNED
struct chan *ask_accept_open(struct ask *a);           // NULL if the session broke
// The user of a channel is done with it; freed. Call it once chan_finished(), or when the session ends.
void server_release(struct server *s, struct chan *c);
void ask_drop(struct ask *a); // without an answer: the session ends anyway

// Channels towards the client. Begun once and then asked about, as in ssh_client.h: ERR_CONFLICT means not
// yet.
struct chan *server_chan_new(struct server *s); // NULL when out of memory; given back with server_release
enum err server_open_forwarded(struct chan *chan, const char *host, uint32_t port, const char *from,
                               uint32_t from_port);
enum err server_open_agent(struct chan *chan);

#endif
