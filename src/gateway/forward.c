// A direct-tcpip channel. To the user's own box it is the jump door: a descriptor the control plane has
// connected. To anywhere else, where policy allows it, it goes through the box's own sshd, so that names and
// addresses mean what they mean in the box. Either way its open stays unanswered until the other side is
// there: nothing can be lost.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/channel.h"

enum forward_state {
    FORWARD_ASKING,  // the control plane
    FORWARD_LEG,     // let through: waiting for the leg
    FORWARD_OPENING, // the box's sshd was asked
    FORWARD_RUNNING,
    FORWARD_CLOSING, // CLOSE sent, the client's awaited
};

struct forward {
    struct channel channel; // first
    enum forward_state state;
    struct ask *held;
    struct chan *box;
    struct relay *relay;
};

static void on_opened(void *arg, const struct message *answer, const int *fds, size_t fd_count);

static void on_wake(void *arg)
{
    connection_wake(arg);
}

static void forward_free(struct channel *ch)
{
    struct forward *w = (struct forward *)ch;
    uint64_t in = w->relay == NULL ? 0 : relay_bytes_in(w->relay);
    uint64_t out = w->relay == NULL ? 0 : relay_bytes_out(w->relay);
    ask_drop(w->held);
    relay_free(w->relay);
    channel_release_box(ch, w->box);
    channel_remove(ch, in, out, "closed");
    free(w);
}

// libssh's open failures carry no text. A client that came only to jump gets the reason as a disconnect
// message in place of the failure: OpenSSH prints that, and would have exited on the failure without reading
// further.
static void refuse(struct forward *w, const char *text)
{
    struct connection *c = w->channel.connection;
    const struct ask_view *v = ask_view(w->held);
    bool only = c->channels_opened == 1 && v->port == 22;
    log_event(LOG_LEVEL_INFO, "forward_refused", "target=%s port=%u reason=%s", log_quote(v->host),
              (unsigned)v->port, log_quote(text));
    if (only) {
        connection_close(c, true, text);
        return;
    }
    ask_refuse(w->held);
    w->held = NULL;
    w->channel.on_leg = false;
    w->channel.done = true;
}

static void ask_to_open(struct forward *w)
{
    const struct ask_view *v = ask_view(w->held);
    struct message m = {.type = MESSAGE_OPEN, .port = v->port};
    snprintf(m.kind, sizeof m.kind, "direct-tcpip");
    snprintf(m.host, sizeof m.host, "%s", v->host);
    w->state = FORWARD_ASKING;
    channel_ask(&w->channel, &m, on_opened);
}

// The other side is there: the client may be told. Takes fd (or -1 for the box's channel).
static void accept_open(struct forward *w, int fd)
{
    struct connection *c = w->channel.connection;
    w->channel.chan = ask_accept_open(w->held);
    w->held = NULL;
    w->state = FORWARD_RUNNING;
    if (fd >= 0)
        w->relay = relay_to_socket(w->channel.chan, fd, c->throttle, c->base, on_wake, c);
    else
        w->relay = relay_to_chan(w->channel.chan, w->box, c->throttle);
    if (w->channel.chan == NULL || w->relay == NULL)
        w->channel.done = true;
}

static void on_opened(void *arg, const struct message *answer, const int *fds, size_t fd_count)
{
    struct forward *w = arg;
    struct fault f;
    connection_wake(w->channel.connection);
    if (answer->type == MESSAGE_PROGRESS) // a forward has no place to show it
        return;
    if (!channel_answered(&w->channel, answer, fds, fd_count, &f))
        refuse(w, f.text);
    else if (w->channel.on_leg)
        w->state = FORWARD_LEG;
    else
        accept_open(w, fds[0]);
}

static bool step_leg(struct forward *w)
{
    switch (channel_leg_state(&w->channel)) {
    case CHANNEL_LEG_WAIT:
        return false;
    case CHANNEL_LEG_GONE:
        ask_to_open(w);
        return false;
    case CHANNEL_LEG_FAILED:
        refuse(w, client_error(leg_client(w->channel.connection->leg)));
        return true;
    case CHANNEL_LEG_READY:
        break;
    }
    w->box = channel_take_box(&w->channel);
    if (w->box == NULL)
        refuse(w, "out of memory");
    else
        w->state = FORWARD_OPENING;
    return true;
}

static bool step_opening(struct forward *w)
{
    const struct ask_view *v = ask_view(w->held);
    enum err e = channel_leg_state(&w->channel) == CHANNEL_LEG_READY
                     ? client_open_forward(w->box, v->host, v->port)
                     : ERR_UNAVAILABLE;
    if (e == ERR_CONFLICT)
        return false;
    if (e == ERR_NONE)
        accept_open(w, -1);
    else
        refuse(w, "the box cannot reach that target");
    return true;
}

static bool step_running(struct forward *w)
{
    bool closed = false;
    bool moved = channel_splice(&w->channel, w->relay, &w->box, &closed);
    if (closed)
        w->state = FORWARD_CLOSING;
    return moved;
}

static bool forward_step(struct channel *ch)
{
    struct forward *w = (struct forward *)ch;
    if (ch->done)
        return false;
    switch (w->state) {
    case FORWARD_ASKING:
        return false;
    case FORWARD_LEG:
        return step_leg(w);
    case FORWARD_OPENING:
        return step_opening(w);
    case FORWARD_RUNNING:
        return step_running(w);
    case FORWARD_CLOSING:
        ch->done = chan_finished(ch->chan);
        return ch->done;
    }
    return false;
}

static void forward_ask(struct channel *ch, struct ask *a)
{
    (void)ch;
    ask_refuse(a); // RFC 4254: no requests are defined for direct-tcpip
}

static const struct channel_ops forward_ops = {forward_step, forward_ask, forward_free};

void forward_open(struct connection *c, struct ask *a)
{
    struct forward *w = calloc(1, sizeof *w);
    // What is judged must be what is reached: a host that would be cut on the way to the control plane is no
    // host.
    bool fits = strlen(ask_view(a)->host) < sizeof((struct message *)0)->host;
    if (c->state != CONNECTION_OPEN || !fits || w == NULL || !channel_add(c, &w->channel, &forward_ops)) {
        free(w);
        ask_refuse(a);
        return;
    }
    w->held = a;
    ask_to_open(w);
}
