// Owns one socket at a time and the clock. A box that is just waking drops or refuses the first attempts:
// each is given up early and made anew, because TCP's own retransmission would wait a second.
#include "control/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/units.h"

#define ATTEMPT_MS 60 // an attempt without an answer is given up; doubled each time up to ATTEMPT_MAX_MS
#define ATTEMPT_MAX_MS 2000
#define PAUSE_MS 10    // between a refusal and the next attempt
#define BANNER_MS 5000 // connected, but no word yet: sshd may be starting, or the box is frozen

struct dial {
    struct event_base *base;
    struct sockaddr_storage address;
    socklen_t address_length;
    char text[96];
    bool wait_banner;
    uint64_t deadline;
    uint64_t attempt_ms;
    int fd;
    bool connected;
    struct event *socket_event, *timer;
    struct fault last;
    dial_done_fn done;
    void *arg;
};

static void attempt(struct dial *d);

static void drop_socket(struct dial *d)
{
    if (d->socket_event != NULL)
        event_free(d->socket_event);
    d->socket_event = NULL;
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
    d->connected = false;
}

void dial_cancel(struct dial *d)
{
    if (d == NULL)
        return;
    drop_socket(d);
    if (d->timer != NULL)
        event_free(d->timer);
    free(d);
}

static void finish(struct dial *d, int fd)
{
    dial_done_fn done = d->done;
    void *arg = d->arg;
    struct fault f = d->last;
    if (fd >= 0)
        d->fd = -1; // it is the caller's now
    dial_cancel(d);
    done(arg, fd, &f);
}

static void set_timer(struct dial *d, uint64_t ms)
{
    uint64_t now = monotonic_ms();
    uint64_t left = d->deadline > now ? d->deadline - now : 0;
    if (ms > left)
        ms = left;
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(d->timer, &tv);
}

// This attempt is over. Try again after a pause, or say so.
static void attempt_failed(struct dial *d, enum err code)
{
    drop_socket(d);
    fault_errno(&d->last, code, "no answer from %s", d->text);
    if (!d->wait_banner || monotonic_ms() >= d->deadline)
        finish(d, -1);
    else
        set_timer(d, PAUSE_MS);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct dial *d = arg;
    (void)fd;
    (void)what;
    if (d->fd < 0 && monotonic_ms() < d->deadline) {
        attempt(d);
        return;
    }
    errno = ETIMEDOUT;
    if (d->attempt_ms < ATTEMPT_MAX_MS)
        d->attempt_ms *= 2;
    attempt_failed(d, ERR_TIMEOUT);
}

static void on_socket(evutil_socket_t fd, short what, void *arg);

static void watch(struct dial *d, short what)
{
    if (d->socket_event != NULL)
        event_free(d->socket_event);
    d->socket_event = event_new(d->base, d->fd, what, on_socket, d);
    if (d->socket_event == NULL || event_add(d->socket_event, NULL) != 0) {
        errno = ENOMEM;
        attempt_failed(d, ERR_MEMORY);
    }
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct dial *d = arg;
    (void)fd;
    (void)what;
    if (!d->connected) {
        int error = 0;
        socklen_t length = sizeof error;
        if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) {
            errno = error != 0 ? error : errno;
            attempt_failed(d, ERR_UNAVAILABLE);
            return;
        }
        d->connected = true;
        if (!d->wait_banner) {
            finish(d, d->fd);
            return;
        }
        set_timer(d, BANNER_MS);
        watch(d, EV_READ);
        return;
    }
    char banner[4];
    ssize_t n = recv(d->fd, banner, sizeof banner, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        watch(d, EV_READ);
    } else if (n == 4 && memcmp(banner, "SSH-", 4) == 0) {
        finish(d, d->fd);
    } else if (n > 0 && n < 4 && memcmp(banner, "SSH-", (size_t)n) == 0) {
        set_timer(d, PAUSE_MS); // part of it: look again with a fresh attempt
        event_free(d->socket_event);
        d->socket_event = NULL;
    } else {
        if (n >= 0)
            errno = ECONNRESET; // "Exceeded MaxStartups" or a dying sshd
        attempt_failed(d, ERR_UNAVAILABLE);
    }
}

static void attempt(struct dial *d)
{
    d->fd = socket(d->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->fd < 0) {
        attempt_failed(d, ERR_IO);
        return;
    }
    int on = 1;
    (void)setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // relayed keystrokes must not wait
    (void)setsockopt(d->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (connect(d->fd, (struct sockaddr *)&d->address, d->address_length) != 0 && errno != EINPROGRESS) {
        attempt_failed(d, ERR_UNAVAILABLE);
        return;
    }
    set_timer(d, d->wait_banner ? d->attempt_ms : d->deadline);
    watch(d, EV_WRITE);
}

static bool set_address(struct dial *d, const char *address, uint16_t port)
{
    int length = sizeof d->address;
    bool v6 = strchr(address, ':') != NULL;
    snprintf(d->text, sizeof d->text, v6 ? "[%s]:%u" : "%s:%u", address, port);
    if (evutil_parse_sockaddr_port(d->text, (struct sockaddr *)&d->address, &length) != 0)
        return false;
    d->address_length = (socklen_t)length;
    return true;
}

struct dial *dial_start(struct event_base *base, const char *address, uint16_t port, bool wait_banner,
                        uint64_t deadline_ms, dial_done_fn done, void *arg, struct fault *f)
{
    struct dial *d = calloc(1, sizeof *d);
    if (d == NULL) {
        fault_set(f, ERR_MEMORY, "out of memory");
        return NULL;
    }
    d->base = base;
    d->fd = -1;
    d->wait_banner = wait_banner;
    d->deadline = monotonic_ms() + deadline_ms;
    d->attempt_ms = ATTEMPT_MS;
    d->done = done;
    d->arg = arg;
    d->timer = evtimer_new(base, on_timer, d);
    if (d->timer == NULL || !set_address(d, address, port)) {
        fault_set(f, d->timer == NULL ? ERR_MEMORY : ERR_INVALID, "cannot connect to address %s", address);
        dial_cancel(d);
        return NULL;
    }
    set_timer(d, 0); // the first attempt too comes from the loop
    return d;
}
