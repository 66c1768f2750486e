// What sessions and forwards have in common: their place in the connection, their OPEN, and their share of
// the leg.
#include "gateway/channel.h"

#include <stdio.h>
#include <unistd.h>

#include "base/log.h"

bool channel_add(struct connection *c, struct channel *ch, const struct channel_ops *ops)
{
    if (c->channel_count >= c->config->max_channels) {
        log_event(LOG_LEVEL_INFO, "channel_refused",
                  "reason=\"the connection has %u channels, max_channels is %llu\"", c->channel_count,
                  (unsigned long long)c->config->max_channels);
        return false;
    }
    ch->ops = ops;
    ch->connection = c;
    TAILQ_INSERT_TAIL(&c->channels, ch, entry);
    c->channel_count++;
    c->channels_opened++;
    return true;
}

static void leg_no_longer_awaited(struct channel *ch)
{
    ch->connection->leg_awaited -= ch->brings_leg;
    ch->brings_leg = false;
}

void channel_remove(struct channel *ch, uint64_t bytes_in, uint64_t bytes_out, const char *how)
{
    struct connection *c = ch->connection;
    leg_no_longer_awaited(ch);
    c->bytes_in += bytes_in;
    c->bytes_out += bytes_out;
    if (ch->open_id != 0) {
        control_link_forget(c->control, ch->open_id);
    } else if (ch->door_id != 0) {
        struct message closed = {
            .type = MESSAGE_CHANNEL_CLOSED, .id = ch->door_id, .bytes_in = bytes_in, .bytes_out = bytes_out};
        snprintf(closed.text, sizeof closed.text, "%s", how);
        control_link_tell(c->control, &closed);
    }
    if (ch->chan != NULL)
        server_release(c->server, ch->chan);
    TAILQ_REMOVE(&c->channels, ch, entry);
    c->channel_count--;
}

void channel_ask(struct channel *ch, struct message *m, control_answer_fn answer)
{
    struct connection *c = ch->connection;
    m->type = MESSAGE_OPEN;
    m->leg = c->leg != NULL || c->leg_awaited > 0;
    ch->brings_leg = !m->leg && !c->console;
    c->leg_awaited += ch->brings_leg;
    ch->open_id = control_link_ask(c->control, m, answer, ch);
    ch->door_id = ch->open_id;
}

static void on_wake(void *arg)
{
    connection_wake(arg);
}

bool channel_answered(struct channel *ch, const struct message *answer, const int *fds, size_t fd_count,
                      struct fault *f)
{
    struct connection *c = ch->connection;
    ch->open_id = 0;
    leg_no_longer_awaited(ch);
    if (answer->type == MESSAGE_REFUSED) {
        fault_set(f, ERR_DENIED, "%s", answer->text);
        return false;
    }
    bool box = answer->type == MESSAGE_OPENED && answer->door == DOOR_BOX && fd_count == 2;
    bool shared = answer->type == MESSAGE_OPENED && answer->door == DOOR_SHARED && fd_count == 0;
    bool passed = answer->type == MESSAGE_OPENED &&
                  (answer->door == DOOR_JUMP || answer->door == DOOR_CONSOLE) && fd_count == 1;
    if ((box && c->leg != NULL) || (!box && !shared && !passed)) { // the former: another channel was faster
        for (size_t i = 0; i < fd_count; i++)
            close(fds[i]);
    }
    if (!box && !shared && !passed) {
        fault_set(f, ERR_PROTOCOL, "unexpected answer of the control plane");
        return false;
    }
    if (box && c->leg == NULL &&
        leg_new(c->base, fds[0], fds[1], answer->user, answer->hostkeys, on_wake, c, &c->leg, f) != ERR_NONE)
        return false;
    ch->on_leg = box || shared;
    return true;
}

enum channel_leg channel_leg_state(const struct channel *ch)
{
    const struct connection *c = ch->connection;
    if (c->leg == NULL)
        return c->leg_awaited > 0 ? CHANNEL_LEG_WAIT : CHANNEL_LEG_GONE;
    switch (client_state(leg_client(c->leg))) {
    case CLIENT_CONNECTING:
    case CLIENT_AUTHENTICATING:
        return CHANNEL_LEG_WAIT;
    case CLIENT_READY:
        return CHANNEL_LEG_READY;
    case CLIENT_FAILED:
        return CHANNEL_LEG_FAILED;
    }
    return CHANNEL_LEG_FAILED;
}

struct chan *channel_take_box(struct channel *ch)
{
    struct connection *c = ch->connection;
    struct chan *box = client_chan_new(leg_client(c->leg));
    c->leg_users += box != NULL;
    return box;
}

struct chan *channel_accept_box(struct channel *ch, struct client_open *o)
{
    struct chan *box = client_open_accept(o);
    ch->connection->leg_users += box != NULL;
    return box;
}

void channel_release_box(struct channel *ch, struct chan *box)
{
    struct connection *c = ch->connection;
    if (box == NULL)
        return;
    client_chan_release(leg_client(c->leg), box);
    c->leg_users--;
}

bool channel_splice(struct channel *ch, struct relay *relay, struct chan **box, bool *closed)
{
    bool moved = relay_step(relay);
    bool lost = ch->on_leg && channel_leg_state(ch) != CHANNEL_LEG_READY;
    bool given_up = chan_closed_by_peer(ch->chan) && chan_at_eof(ch->chan);
    *closed = relay_done(relay) || (!moved && (lost || given_up));
    if (*closed) {
        chan_close(ch->chan);
        channel_release_box(ch, *box);
        *box = NULL;
        ch->on_leg = false;
    }
    return moved || *closed;
}
