// Owns nothing: counts, shows and ends the live connections of gateway_server.c.
#include <stdio.h>
#include <string.h>

#include "base/subnets.h"
#include "base/units.h"
#include "control/gateway_connection.h"

#define STATS_STALE_MS 5000 // a connection on which something moves reports every two seconds

// A rate is of the last report; a connection on which nothing moves reports nothing.
static uint64_t rate_now(const struct connection *c, uint64_t rate)
{
    return monotonic_ms() - c->stats.at < STATS_STALE_MS ? rate : 0;
}

// Logged in, and the account's: it is theirs, or it is in their box.
static bool is_of(const struct connection *c, int64_t account_id)
{
    return c->stage == STAGE_AUTHENTICATED && (c->account.id == account_id || c->owner.id == account_id);
}

void gateway_each_live(struct gateway_server *g, int64_t account_id, live_session_fn each, void *arg)
{
    char box[NAME_BOX_SIZE] = "";
    const struct connection *c;
    LIST_FOREACH(c, &g->connections, entry)
    {
        if (account_id == 0 ? c->stage != STAGE_AUTHENTICATED : !is_of(c, account_id))
            continue;
        if (c->owner.id != 0)
            name_box(c->owner.name, box);
        struct live_session session = {
            .id = c->session.id,
            .account_id = c->account.id,
            .owner_id = c->owner.id,
            .user = c->account.name,
            .login = c->session.login,
            .box = c->owner.id == 0 ? "" : box,
            .fingerprint = c->session.fingerprint,
            .address = c->address,
            .started = c->session.started,
            .channels = c->channels,
            .open_channels = c->open_channels,
            .bytes_in = c->stats.bytes_in,
            .bytes_out = c->stats.bytes_out,
            .rate_in = rate_now(c, c->stats.rate_in),
            .rate_out = rate_now(c, c->stats.rate_out),
            .idle_ms = monotonic_ms() - c->stats.moved,
        };
        each(&session, arg);
    }
}

static void count_one(const struct live_session *session, void *arg)
{
    (void)session;
    ++*(unsigned *)arg;
}

unsigned gateway_count_live(struct gateway_server *g, int64_t account_id)
{
    unsigned count = 0;
    gateway_each_live(g, account_id, count_one, &count);
    return count;
}

// The source of a connection, as usage_login() is asked with.
static void source_text(const struct connection *c, char out[SUBNET_TEXT])
{
    struct subnet subnet;
    out[0] = '\0';
    if (subnet_of_source(c->host, &subnet))
        subnet_format(&subnet, out);
}

unsigned gateway_count_connections(struct gateway_server *g, int64_t account_id, const char *source,
                                   unsigned *from_source)
{
    unsigned count = 0;
    char text[SUBNET_TEXT];
    const struct connection *c;
    *from_source = 0;
    LIST_FOREACH(c, &g->connections, entry)
    {
        if (c->session.id == 0 || c->closed || c->account.id != account_id)
            continue;
        source_text(c, text);
        *from_source += strcmp(text, source) == 0;
        count++;
    }
    return count;
}

unsigned gateway_count_channels(struct gateway_server *g, int64_t account_id, unsigned *sessions)
{
    unsigned count = 0;
    const struct connection *c;
    *sessions = 0;
    LIST_FOREACH(c, &g->connections, entry)
    {
        if (c->stage != STAGE_AUTHENTICATED || c->account.id != account_id)
            continue;
        count += c->open_channels;
        *sessions += c->open_sessions;
    }
    return count;
}

unsigned gateway_count_unauthenticated(struct gateway_server *g)
{
    unsigned count = 0;
    const struct connection *c;
    LIST_FOREACH(c, &g->connections, entry)
    {
        count += c->stage == STAGE_ADMITTED;
    }
    return count;
}

uint64_t gateway_count_dropped(struct gateway_server *g, int verdict)
{
    return g->dropped[verdict];
}

void gateway_tell_listeners(struct gateway_server *g, const struct message *m)
{
    struct connection *c;
    LIST_FOREACH(c, &g->connections, entry)
    {
        if (c->stage == STAGE_LISTENER)
            connection_send(c, m, NULL, 0);
    }
}

static void kick(struct connection *c, const char *reason)
{
    struct message m = {.type = MESSAGE_KICK};
    snprintf(m.text, sizeof m.text, "%s", reason);
    c->kicked = true;
    connection_cancel_doors(c);
    connection_send(c, &m, NULL, 0);
}

unsigned gateway_kick(struct gateway_server *g, int64_t account_id, const char *fingerprint,
                      const char *reason)
{
    unsigned count = 0;
    struct connection *c;
    LIST_FOREACH(c, &g->connections, entry)
    {
        if (!is_of(c, account_id) ||
            (fingerprint != NULL && strcmp(fingerprint, c->session.fingerprint) != 0))
            continue;
        kick(c, reason);
        count++;
    }
    return count;
}

bool gateway_kick_session(struct gateway_server *g, int64_t session, const char *reason)
{
    struct connection *c;
    LIST_FOREACH(c, &g->connections, entry)
    {
        if (c->stage == STAGE_AUTHENTICATED && c->session.id == session) {
            kick(c, reason);
            return true;
        }
    }
    return false;
}

// Those at the console stay.
unsigned gateway_kick_from_box(struct gateway_server *g, int64_t account_id, const char *reason)
{
    unsigned count = 0;
    struct connection *c;
    LIST_FOREACH(c, &g->connections, entry)
    {
        if (c->stage != STAGE_AUTHENTICATED || c->owner.id != account_id)
            continue;
        kick(c, reason);
        count++;
    }
    return count;
}

unsigned gateway_kick_guest(struct gateway_server *g, int64_t owner_id, int64_t guest_id, const char *reason)
{
    unsigned count = 0;
    struct connection *c;
    LIST_FOREACH(c, &g->connections, entry)
    {
        if (c->stage != STAGE_AUTHENTICATED || c->owner.id != owner_id || c->account.id != guest_id)
            continue;
        kick(c, reason);
        count++;
    }
    return count;
}

static bool is_login_of(const struct connection *c, const char *name)
{
    char user[NAME_LOGIN_SIZE];
    name_login_user(c->session.login, user);
    return strcmp(user, name) == 0;
}

unsigned gateway_kick_from(struct gateway_server *g, const char *login, const char *subnet,
                           const char *reason)
{
    unsigned count = 0;
    struct connection *c;
    LIST_FOREACH(c, &g->connections, entry)
    {
        if (c->stage != STAGE_AUTHENTICATED || (login[0] != '\0' && !is_login_of(c, login)) ||
            (subnet[0] != '\0' && !subnets_have(subnet, c->host)))
            continue;
        kick(c, reason);
        count++;
    }
    return count;
}
