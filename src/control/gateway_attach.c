// What a connection is told once it is in, and live sessions that come back after our restart.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "control/gateway_connection.h"
#include "control/usage.h"
#include "store/share.h"

// ctl, and whoever joins, who is welcomed there.
bool login_leads_to_console(const char *login)
{
    return name_login_kind(login) == LOGIN_CONSOLE || strcmp(login, "join") == 0;
}

// What the key leaves to the sessions of this login.
static void fill_may(const struct connection *c, struct message *m)
{
    const struct control *control = c->server->control;
    char reason[200];
    struct authz_subject subject = {
        .role = c->account.role,
        .console = c->console,
        .owner = c->console ? c->account.name : c->owner.name,
        .box_name = "",
        .box_address = "",
        .jump_ports = control->config->jump_ports,
        .key = &c->key,
    };
    struct authz_request pty = {.kind = REQUEST_PTY}, agent = {.kind = REQUEST_AGENT};
    bool forwarding = control->config->box_forwarding;
    m->pty = authz_decide(&subject, &pty, forwarding, reason, sizeof reason) != AUTHZ_DENY;
    m->agent = authz_decide(&subject, &agent, forwarding, reason, sizeof reason) != AUTHZ_DENY;
    // Whoever joins is welcomed, whatever they asked for; the words are admin_socket's business.
    snprintf(m->command, sizeof m->command, "%s", c->joined != JOINED_NOT ? "welcome" : c->key.command);
}

void login_welcome(struct connection *c, uint64_t id)
{
    struct message m = {.type = MESSAGE_WELCOME, .id = id, .console = c->console};
    int fd = usage_bandwidth(c->server->control, c->account.id);
    snprintf(m.token, sizeof m.token, "%s", c->session.token);
    snprintf(m.user, sizeof m.user, "%s", c->account.name);
    fill_may(c, &m);
    connection_send(c, &m, &fd, fd < 0 ? 0 : 1);
}

// Host and port out of "203.0.113.7:50122" or "[2001:db8::7]:50122".
static void split_address(struct connection *c)
{
    const char *start = c->address[0] == '[' ? c->address + 1 : c->address;
    const char *colon = strrchr(c->address, ':');
    int length = colon == NULL ? (int)strlen(start) : (int)(colon - start) - (c->address[0] == '[');
    snprintf(c->host, sizeof c->host, "%.*s", length, start);
    c->port = colon == NULL ? 0 : (unsigned)strtoul(colon + 1, NULL, 10);
}

// Whose box the session was in. A guest's share may have ended while nobody could cut the session.
static enum err find_owner(struct connection *c, struct fault *f)
{
    struct store *s = c->server->control->store;
    struct share share;
    c->owner = (struct account){.id = 0};
    if (c->session.owner_id == 0)
        return ERR_NONE;
    if (c->session.owner_id != c->account.id) {
        enum err e = share_find(s, c->session.owner_id, c->account.id, time(NULL), &share, f);
        if (e != ERR_NONE)
            return e;
    }
    return account_get_id(s, c->session.owner_id, &c->owner, f);
}

void login_on_attach(struct connection *c, const struct message *m)
{
    struct control *control = c->server->control;
    struct fault f = {.text = ""};
    struct account_key key;
    enum err e = m->version != MESSAGE_VERSION
                     ? ERR_PROTOCOL
                     : session_find_token(control->store, m->token, &c->session, &f);
    if (e == ERR_NONE) // the key may have been removed while nobody could cut the session
        e = account_key_find(control->store, c->session.fingerprint, &c->account, &key, &f);
    if (e == ERR_NONE) // an expired key or a changed from= do not cut a session that exists, its other
                       // options hold
        e = keyoption_parse(key.key.options, strlen(key.key.options), &c->key, &f);
    if (e == ERR_NONE)
        e = find_owner(c, &f);
    if (e != ERR_NONE || c->session.ended != 0 || c->account.id != c->session.account_id) {
        log_event(LOG_LEVEL_WARN, "attach_refused", "error=%s", log_quote(f.text));
        connection_refuse(c, m->id, ERR_DENIED, "this session has ended");
        return;
    }
    event_del(c->hello_timer);
    c->console = login_leads_to_console(c->session.login);
    c->joined = strcmp(c->session.login, "join") == 0 ? JOINED_AGAIN : JOINED_NOT;
    c->channels = c->session.channels;
    snprintf(c->address, sizeof c->address, "%s", c->session.address);
    split_address(c);
    c->stage = STAGE_AUTHENTICATED;
    c->stats.moved = monotonic_ms();
    log_event(LOG_LEVEL_INFO, "attached", "user=%s from=%s session=%lld", c->account.name, c->address,
              (long long)c->session.id);
    login_welcome(c, m->id);
}
