// A channel the box opens towards the client: a connection to a port the client asked to be forwarded (-R),
// or a use of its agent (-A). The box's open stays unanswered until the client has answered its copy.
#include <stdlib.h>

#include "gateway/channel.h"

enum backward_state { BACKWARD_OPENING, BACKWARD_RUNNING, BACKWARD_CLOSING };

struct backward {
    struct channel channel; // first
    enum backward_state state;
    struct client_open *held;
    struct chan *box;
    struct relay *relay;
};

static void backward_free(struct channel *ch)
{
    struct backward *b = (struct backward *)ch;
    uint64_t in = b->relay == NULL ? 0 : relay_bytes_in(b->relay);
    uint64_t out = b->relay == NULL ? 0 : relay_bytes_out(b->relay);
    client_open_refuse(b->held);
    relay_free(b->relay);
    channel_release_box(ch, b->box);
    channel_remove(ch, in, out, "closed");
    free(b);
}

static bool step_opening(struct backward *b)
{
    const struct client_open_view *v = client_open_view(b->held);
    enum err e = v->agent ? server_open_agent(b->channel.chan)
                          : server_open_forwarded(b->channel.chan, v->host, v->port, v->from, v->from_port);
    if (e == ERR_CONFLICT)
        return false;
    if (e == ERR_NONE) {
        b->box = channel_accept_box(&b->channel, b->held);
        b->held = NULL;
    }
    if (b->box != NULL)
        b->relay = relay_to_chan(b->channel.chan, b->box, b->channel.connection->throttle);
    if (b->relay == NULL)
        b->channel.done = true;
    b->state = BACKWARD_RUNNING;
    return true;
}

static bool step_running(struct backward *b)
{
    bool closed = false;
    bool moved = channel_splice(&b->channel, b->relay, &b->box, &closed);
    if (closed)
        b->state = BACKWARD_CLOSING;
    return moved;
}

static bool backward_step(struct channel *ch)
{
    struct backward *b = (struct backward *)ch;
    if (ch->done)
        return false;
    switch (b->state) {
    case BACKWARD_OPENING:
        return step_opening(b);
    case BACKWARD_RUNNING:
        return step_running(b);
    case BACKWARD_CLOSING:
        ch->done = chan_finished(ch->chan);
        return ch->done;
    }
    return false;
}

static void backward_ask(struct channel *ch, struct ask *a)
{
    (void)ch;
    ask_refuse(a);
}

static const struct channel_ops backward_ops = {backward_step, backward_ask, backward_free};

void backward_open(struct connection *c, struct client_open *o)
{
    const struct client_open_view *v = client_open_view(o);
    bool wanted = v->agent ? c->agent_forwarded : listen_is_active(c, v->port);
    struct backward *b = wanted ? calloc(1, sizeof *b) : NULL;
    if (b == NULL || !channel_add(c, &b->channel, &backward_ops)) {
        free(b);
        client_open_refuse(o);
        return;
    }
    b->held = o;
    b->channel.on_leg = true;
    b->channel.chan = server_chan_new(c->server);
    if (b->channel.chan == NULL)
        b->channel.done = true;
}
