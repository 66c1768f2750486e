// Owns the life of one connection, top to bottom. Every event ends in one turn(): read asks, step channels,
// until nothing moves; then wait again.
#include "gateway/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/subnets.h"
#include "base/units.h"
#include "gateway/auth.h"
#include "gateway/channel.h"
#include "gateway/proxy.h"
#include "gateway/sandbox.h"

#define TURNS_MAX 32 // before the loop may look at other events again
#define PROXY_WAIT_MS                                                                                        \
    5000                // a load balancer writes its header at once; one lost segment is sent again by then
#define STATS_SECONDS 2 // between two reports of what moved, if anything did
#define LINGER_MS 1000  // for the client to read why it is disconnected

void connection_wake(struct connection *c)
{
    event_active(c->again, EV_TIMEOUT, 0);
}

void connection_close(struct connection *c, bool tell_client, const char *reason)
{
    if (c->state == CONNECTION_CLOSING)
        return;
    c->state = CONNECTION_CLOSING;
    c->tell_client = tell_client;
    snprintf(c->reason, sizeof c->reason, "%s", reason);
    connection_wake(c);
}

static void on_channel_ask(struct connection *c, struct ask *a)
{
    struct channel *ch;
    TAILQ_FOREACH(ch, &c->channels, entry)
    {
        if (ch->chan == ask_view(a)->chan) {
            ch->ops->ask(ch, a);
            return;
        }
    }
    ask_refuse(a);
}

// A channel type the library does not carry. Its refusal has no room for a reason, so that goes to the log
// and, once, to the person at the terminal.
static void refuse_kind(struct connection *c, struct ask *a)
{
    static const char reason[] =
        "this kind of channel (a unix socket, X11, a tunnel) passes through the jump door "
        "only: ssh -J";
    log_event(LOG_LEVEL_INFO, "channel_refused", "reason=%s", log_quote(reason));
    if (!c->told_kind)
        c->told_kind = session_tell(c, reason);
    ask_refuse(a);
}

static void on_ask(struct connection *c, struct ask *a)
{
    switch (ask_view(a)->kind) {
    case ASK_AUTH_NONE:
    case ASK_AUTH_PROBE:
    case ASK_AUTH_SIGNED:
    case ASK_AUTH_BAD:
    case ASK_AUTH_UNSUPPORTED_KEY:
        auth_ask(c, a);
        return;
    case ASK_OPEN_SESSION:
        session_open(c, a);
        return;
    case ASK_OPEN_DIRECT_TCPIP:
        forward_open(c, a);
        return;
    case ASK_PTY:
    case ASK_ENV:
    case ASK_SHELL:
    case ASK_EXEC:
    case ASK_SUBSYSTEM:
    case ASK_WINDOW_CHANGE:
    case ASK_CHANNEL_OTHER:
        on_channel_ask(c, a);
        return;
    case ASK_FORWARD:
    case ASK_CANCEL_FORWARD:
    case ASK_GLOBAL_OTHER:
        listen_open(c, a);
        return;
    case ASK_OPEN_OTHER:
        refuse_kind(c, a);
        return;
    }
}

// While a key is being asked about nothing more is read: the client waits for that answer anyway.
static bool read_asks(struct connection *c)
{
    bool any = false;
    while (c->state != CONNECTION_CLOSING && c->auth.held == NULL) {
        struct ask *a = server_next(c->server);
        if (a == NULL)
            break;
        any = true;
        on_ask(c, a);
    }
    return any;
}

static bool pump_leg(struct connection *c)
{
    struct client_open *o;
    bool any = c->leg != NULL && leg_pump(c->leg);
    while (c->leg != NULL && (o = client_next_open(leg_client(c->leg))) != NULL) {
        any = true;
        backward_open(c, o);
    }
    return any;
}

static bool step_channels(struct connection *c)
{
    bool any = false;
    struct channel *ch = TAILQ_FIRST(&c->channels);
    while (ch != NULL) {
        struct channel *next = TAILQ_NEXT(ch, entry);
        any = ch->ops->step(ch) || any;
        if (ch->done)
            ch->ops->free(ch);
        ch = next;
    }
    return any;
}

// A leg that broke goes once nobody holds a channel of it; the next session gets a new one.
static void check_leg(struct connection *c)
{
    if (c->leg == NULL || c->leg_users > 0 || client_state(leg_client(c->leg)) != CLIENT_FAILED)
        return;
    const struct channel *ch;
    TAILQ_FOREACH(ch, &c->channels, entry)
    {
        if (ch->on_leg) // it still has to tell its client why
            return;
    }
    log_event(LOG_LEVEL_INFO, "leg_lost", "reason=%s", log_quote(client_error(leg_client(c->leg))));
    leg_free(c->leg);
    c->leg = NULL;
}

static void turn(struct connection *c)
{
    bool moved = true;
    for (int i = 0; moved && i < TURNS_MAX && c->state != CONNECTION_CLOSING; i++) {
        uint64_t before = server_bytes_in(c->server);
        moved = read_asks(c);
        moved = pump_leg(c) || moved;
        moved = step_channels(c) || moved;
        moved = moved || server_bytes_in(c->server) != before;
        if (server_dead(c->server))
            connection_close(c, false, "closed by the client");
    }
    if (c->state == CONNECTION_CLOSING) {
        event_base_loopbreak(c->base);
        return;
    }
    check_leg(c);
    if (server_write_pending(c->server))
        event_add(c->writable, NULL);
    if (c->leg != NULL)
        leg_rearm(c->leg);
    if (moved)
        connection_wake(c);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    turn(arg);
}

static void on_grace(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    (void)fd;
    (void)what;
    if (c->state != CONNECTION_OPEN)
        connection_close(c, true, "no login within the time allowed");
}

static void on_keepalive(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    (void)fd;
    (void)what;
    if (c->state == CONNECTION_OPEN && !server_write_pending(c->server)) {
        server_send_keepalive(c->server);
        connection_wake(c);
    }
}

static void on_stats(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    struct message m = {.type = MESSAGE_STATS,
                        .bytes_in = throttle_moved(c->throttle, THROTTLE_IN),
                        .bytes_out = throttle_moved(c->throttle, THROTTLE_OUT),
                        .channels = c->channel_count};
    uint64_t sum = m.bytes_in + m.bytes_out + m.channels;
    (void)fd;
    (void)what;
    if (c->state != CONNECTION_OPEN || sum == c->stats_told)
        return;
    c->stats_told = sum;
    control_link_tell(c->control, &m);
}

// WELCOME, the first one or after a restart of the control plane.
void connection_welcome(struct connection *c, const struct message *welcome, const int *fds, size_t fd_count)
{
    static const struct timeval interval = {.tv_sec = STATS_SECONDS};
    struct fault f;
    for (size_t i = 1; i < fd_count; i++)
        close(fds[i]);
    if (fd_count > 0 && throttle_attach(c->throttle, fds[0], &f) != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "throttle_failed", "error=%s", log_quote(f.text));
    c->may.pty = welcome->pty;
    c->may.agent = welcome->agent;
    snprintf(c->may.command, sizeof c->may.command, "%s", welcome->command);
    c->stats_told = 0;
    event_add(c->stats, &interval);
}

static void on_throttle(void *arg)
{
    connection_wake(arg);
}

static void on_rewelcome(void *arg, const struct message *welcome, const int *fds, size_t fd_count)
{
    connection_welcome(arg, welcome, fds, fd_count);
}

static void on_kick(void *arg, const char *reason)
{
    connection_close(arg, true, reason);
}

static void on_admitted(void *arg, const struct message *answer, const int *fds, size_t fd_count)
{
    struct connection *c = arg;
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
    if (answer->type != MESSAGE_ADMITTED) {
        connection_close(c, true, answer->text);
        return;
    }
    if (c->state == CONNECTION_ADMITTING)
        c->state = CONNECTION_AUTH;
    auth_resume(c);
    connection_wake(c);
}

static struct timeval ms_timeval(uint64_t ms)
{
    return (struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

static bool add_events(struct connection *c, int watch_fd)
{
    struct timeval grace = ms_timeval(c->config->login_grace), keepalive = ms_timeval(c->config->keepalive);
    c->readable = event_new(c->base, watch_fd, EV_READ | EV_PERSIST, on_turn, c);
    c->writable = event_new(c->base, watch_fd, EV_WRITE, on_turn, c);
    c->again = event_new(c->base, -1, 0, on_turn, c);
    c->grace = evtimer_new(c->base, on_grace, c);
    c->keepalive = event_new(c->base, -1, EV_PERSIST, on_keepalive, c);
    c->stats = event_new(c->base, -1, EV_PERSIST, on_stats, c);
    c->throttle = throttle_new(c->base, on_throttle, c);
    if (c->stats == NULL || c->throttle == NULL || c->readable == NULL || c->writable == NULL ||
        c->again == NULL || c->grace == NULL || c->keepalive == NULL)
        return false;
    if (c->config->keepalive > 0)
        event_add(c->keepalive, &keepalive);
    return event_add(c->readable, NULL) == 0 && event_add(c->grace, &grace) == 0;
}

// A close with unread bytes of the client in the socket would be a reset, which takes our last words with it:
// the client is given a second to read them and to hang up.
static void linger(int fd)
{
    char bytes[4096];
    uint64_t until = monotonic_ms() + LINGER_MS, now;
    (void)shutdown(fd, SHUT_WR);
    while ((now = monotonic_ms()) < until) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, (int)(until - now)) <= 0 || recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) <= 0)
            return;
    }
}

static void connection_free(struct connection *c)
{
    struct event *events[] = {c->readable, c->writable, c->again, c->grace, c->keepalive, c->stats};
    if (c->tell_client)
        server_disconnect(c->server, c->reason);
    auth_free(c);
    while (!TAILQ_EMPTY(&c->channels)) {
        struct channel *ch = TAILQ_FIRST(&c->channels);
        ch->ops->free(ch);
    }
    leg_free(c->leg);
    throttle_free(c->throttle);
    if (c->control != NULL) {
        struct message bye = {.type = MESSAGE_BYE,
                              .bytes_in = c->bytes_in,
                              .bytes_out = c->bytes_out,
                              .channels = c->channels_opened};
        snprintf(bye.text, sizeof bye.text, "%s", c->reason);
        control_link_tell(c->control, &bye);
        control_link_free(c->control);
    }
    server_free(c->server);
    if (c->tell_client)
        linger(c->watch_fd);
    close(c->watch_fd);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    event_base_free(c->base);
    if (c->startup_fd >= 0)
        close(c->startup_fd);
}

static void set_socket_options(int fd)
{
    int on = 1, idle = 60;
    unsigned silent_ms = 120000; // unacknowledged for so long: the peer is gone
    evutil_make_socket_nonblocking(fd);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms, sizeof silent_ms);
}

// Behind a load balancer the client is whom the header names. False: the connection closes.
static bool learn_peer(struct connection *c, int fd)
{
    struct proxy_peer peer;
    struct fault f = {.text = ""};
    if (!subnets_have(c->config->proxy_protocol_from, c->address))
        return true;
    uint64_t grace = c->config->login_grace;
    if (proxy_read(fd, grace < PROXY_WAIT_MS ? grace : PROXY_WAIT_MS, &peer, &f) != ERR_NONE) {
        connection_close(c, false, f.text);
        return false;
    }
    if (peer.address[0] != '\0') {
        log_event(LOG_LEVEL_DEBUG, "proxied", "from=%s port=%u by=%s", peer.address, peer.port, c->address);
        snprintf(c->address, sizeof c->address, "%s", peer.address);
        c->port = peer.port;
    }
    return true;
}

static bool connection_start(struct connection *c, const struct ssh_keys *keys, const struct sandbox *sandbox,
                             int fd, struct fault *f)
{
    char path[CONFIG_TEXT + 16];
    set_socket_options(fd);
    c->watch_fd = dup(fd);
    snprintf(path, sizeof path, "%s/gateway.sock", c->config->run_dir);
    c->base = event_base_new();
    if (c->base == NULL || c->watch_fd < 0 || !add_events(c, c->watch_fd)) {
        fault_set(f, ERR_MEMORY, "out of memory");
        return false;
    }
    c->control = control_link_new(c->base, path, on_kick, on_rewelcome, c);
    // Before the first byte to or from the client: the server session reads at once if something is there.
    if (sandbox_enter(sandbox, f) != ERR_NONE)
        return false;
    if (!learn_peer(c, fd))
        return true;
    if (server_new(keys, fd, &c->server, f) != ERR_NONE)
        return false;
    if (c->control == NULL) {
        connection_close(c, true, "the gateway's control plane is not running; tell your administrator");
        return true;
    }
    struct message admit = {.type = MESSAGE_ADMIT, .version = MESSAGE_VERSION, .port = c->port};
    snprintf(admit.address, sizeof admit.address, "%s", c->address);
    (void)control_link_ask(c->control, &admit, on_admitted, c);
    return true;
}

void connection_run(const struct config *config, const struct ssh_keys *keys, const struct sandbox *sandbox,
                    int fd, const char *address, uint16_t port, int startup_fd)
{
    struct fault f = {.text = ""};
    struct connection c = {.config = config, .port = port, .startup_fd = startup_fd, .began = monotonic_ms()};
    char id[24];
    snprintf(c.address, sizeof c.address, "%s", address);
    snprintf(id, sizeof id, "%ld", (long)getpid());
    log_context(id);
    TAILQ_INIT(&c.channels);
    if (!connection_start(&c, keys, sandbox, fd, &f)) {
        log_event(LOG_LEVEL_ERROR, "connection_failed", "from=%s error=%s", address, log_quote(f.text));
        _exit(1);
    }
    (void)event_base_dispatch(c.base);
    log_event(LOG_LEVEL_INFO, "connection_closed", "from=%s user=%s ms=%llu channels=%u reason=%s", c.address,
              c.user[0] == '\0' ? "-" : c.user, (unsigned long long)(monotonic_ms() - c.began),
              c.channels_opened, log_quote(c.reason));
    connection_free(&c);
}
