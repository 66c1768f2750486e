// Global requests. RFC 4254 section 4 answers them in order, so they stand in one queue: "tcpip-forward" (-R)
// asks the control plane, waits for the leg and then for the box's sshd, which is who listens; everything
// unknown is refused when its turn comes. An active forward is a channel without a chan, so that it is
// limited, recorded and ended like one.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "gateway/channel.h"

#define QUEUE_MAX 64
#define DYNAMIC_PORT_FIRST 49152 // RFC 6335 section 6; up to 65535
#define DYNAMIC_TRIES_MAX 8

enum listen_state {
    LISTEN_QUEUED, // behind others
    LISTEN_ASKING, // the control plane
    LISTEN_LEG,    // the leg, then the box's sshd
    LISTEN_ACTIVE,
};

struct listen {
    struct channel channel; // first
    enum listen_state state;
    struct ask *held; // until answered
    char host[256];
    uint32_t port; // as bound; 0: any, not chosen yet
    unsigned tries;
};

static const struct channel_ops listen_ops;

static void on_opened(void *arg, const struct message *answer, const int *fds, size_t fd_count);

static bool is_listen(const struct channel *ch)
{
    return ch->ops == &listen_ops;
}

static struct listen *find_active(const struct connection *c, const char *host, uint32_t port)
{
    struct channel *ch;
    TAILQ_FOREACH(ch, &c->channels, entry)
    {
        struct listen *l = (struct listen *)ch;
        if (is_listen(ch) && l->state == LISTEN_ACTIVE && l->port == port &&
            (host == NULL || strcmp(l->host, host) == 0))
            return l;
    }
    return NULL;
}

// By port alone: sshd reports the address it bound as it likes, the port is what was agreed on.
bool listen_is_active(const struct connection *c, uint32_t port)
{
    return find_active(c, NULL, port) != NULL;
}

static void listen_free(struct channel *ch)
{
    struct listen *l = (struct listen *)ch;
    ask_drop(l->held);
    channel_remove(ch, 0, 0, "cancelled");
    free(l);
}

static void refuse(struct listen *l, const char *text)
{
    if (ask_view(l->held)->kind == ASK_FORWARD)
        log_event(LOG_LEVEL_INFO, "remote_forward_refused", "host=%s port=%u reason=%s", log_quote(l->host),
                  (unsigned)l->port, log_quote(text));
    ask_refuse(l->held);
    l->held = NULL;
    l->channel.done = true;
}

// Requests before this one have been answered: the first in the list that still holds its ask is the one
// whose turn it is.
static bool has_its_turn(const struct listen *l)
{
    const struct channel *ch;
    TAILQ_FOREACH(ch, &l->channel.connection->channels, entry)
    {
        if (is_listen(ch) && ((const struct listen *)ch)->held != NULL)
            return ch == &l->channel;
    }
    return false;
}

static void ask_to_open(struct listen *l)
{
    struct message m = {.type = MESSAGE_OPEN, .port = l->port};
    snprintf(m.kind, sizeof m.kind, "tcpip-forward");
    snprintf(m.host, sizeof m.host, "%s", l->host);
    l->state = LISTEN_ASKING;
    channel_ask(&l->channel, &m, on_opened);
}

static void on_opened(void *arg, const struct message *answer, const int *fds, size_t fd_count)
{
    struct listen *l = arg;
    struct fault f;
    connection_wake(l->channel.connection);
    if (answer->type == MESSAGE_PROGRESS)
        return;
    if (!channel_answered(&l->channel, answer, fds, fd_count, &f))
        refuse(l, f.text);
    else
        l->state = LISTEN_LEG;
}

static bool cancel(struct listen *l)
{
    struct connection *c = l->channel.connection;
    struct listen *active = find_active(c, l->host, l->port);
    enum err e = active == NULL || channel_leg_state(&l->channel) != CHANNEL_LEG_READY
                     ? ERR_NOTFOUND
                     : client_cancel_listen(leg_client(c->leg), l->host, l->port);
    if (e == ERR_CONFLICT)
        return false;
    if (e == ERR_NONE) {
        active->channel.done = true;
        ask_accept(l->held);
        l->held = NULL;
        l->channel.done = true;
    } else {
        refuse(l, "there is no such forward");
    }
    return true;
}

static bool step_queued(struct listen *l)
{
    if (!has_its_turn(l))
        return false;
    enum ask_kind kind = ask_view(l->held)->kind;
    if (kind == ASK_CANCEL_FORWARD)
        return cancel(l);
    if (kind == ASK_FORWARD)
        ask_to_open(l);
    else
        refuse(l, "unknown request");
    return true;
}

// For a client that leaves the choice to us. The box's sshd could choose as well, but see client_listen().
static uint32_t dynamic_port(void)
{
    uint16_t random = 0;
    (void)!getrandom(&random, sizeof random, 0);
    return DYNAMIC_PORT_FIRST + random % (UINT16_MAX + 1 - DYNAMIC_PORT_FIRST);
}

static bool step_leg(struct listen *l)
{
    struct connection *c = l->channel.connection;
    switch (channel_leg_state(&l->channel)) {
    case CHANNEL_LEG_WAIT:
        return false;
    case CHANNEL_LEG_GONE:
        ask_to_open(l);
        return false;
    case CHANNEL_LEG_FAILED:
        refuse(l, client_error(leg_client(c->leg)));
        return true;
    case CHANNEL_LEG_READY:
        break;
    }
    bool any = ask_view(l->held)->port == 0;
    if (l->port == 0)
        l->port = dynamic_port();
    enum err e = client_listen(leg_client(c->leg), l->host, l->port);
    if (e == ERR_CONFLICT)
        return false;
    if (e != ERR_NONE && any && ++l->tries < DYNAMIC_TRIES_MAX) { // perhaps taken: another one
        l->port = 0;
        return true;
    }
    if (e != ERR_NONE) {
        refuse(l, "the box does not listen there");
        return true;
    }
    l->state = LISTEN_ACTIVE;
    ask_accept_forward(l->held, l->port);
    l->held = NULL;
    return true;
}

static bool listen_step(struct channel *ch)
{
    struct listen *l = (struct listen *)ch;
    if (ch->done)
        return false;
    switch (l->state) {
    case LISTEN_QUEUED:
        return step_queued(l);
    case LISTEN_ASKING:
        return false;
    case LISTEN_LEG:
        return step_leg(l);
    case LISTEN_ACTIVE:
        ch->done =
            channel_leg_state(ch) != CHANNEL_LEG_READY; // the box's sshd is gone, and its listener with it
        return ch->done;
    }
    return false;
}

static void listen_ask(struct channel *ch, struct ask *a)
{
    (void)ch;
    ask_refuse(a);
}

static const struct channel_ops listen_ops = {listen_step, listen_ask, listen_free};

void listen_open(struct connection *c, struct ask *a)
{
    const struct ask_view *v = ask_view(a);
    unsigned queued = 0;
    const struct channel *ch;
    TAILQ_FOREACH(ch, &c->channels, entry)
    {
        queued += is_listen(ch) && ((const struct listen *)ch)->held != NULL;
    }
    struct listen *l = queued < QUEUE_MAX ? calloc(1, sizeof *l) : NULL;
    if (l == NULL || !channel_add(c, &l->channel, &listen_ops)) {
        free(l);
        ask_drop(a); // out of order an answer would be taken for another's
        connection_close(c, true, "too many requests at once");
        return;
    }
    c->channels_opened--; // no channel of the protocol
    l->held = a;
    snprintf(l->host, sizeof l->host, "%s", v->host == NULL ? "" : v->host);
    l->port = v->port;
}
