// Owns one link to a connection process and what it has been allowed so far. Trusts it with nothing: what a
// message may be is decided by the table of wire/message.c for the stage the link is in, what it may do by
// the store.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"
#include "control/bans.h"
#include "control/gateway_connection.h"
#include "control/idle.h"
#include "control/metrics.h"
#include "control/usage.h"
#include "control/writer.h"

#define HELLO_SECONDS 10 // from connect to ADMIT or ATTACH

void connection_cancel_doors(struct connection *c)
{
    for (size_t i = 0; i < DOORS_MAX; i++) {
        if (c->doors[i].door != NULL)
            door_cancel(c->doors[i].door);
        c->doors[i].door = NULL;
    }
}

const char *connection_guest_box(const struct connection *c, char *out)
{
    out[0] = '\0';
    if (c->owner.id != 0 && c->owner.id != c->account.id)
        name_box(c->owner.name, out);
    return out;
}

// Closes the session's row and writes its LOGOUT, once.
static void close_session(struct connection *c, const char *reason, const struct message *bye)
{
    struct control *control = c->server->control;
    struct fault f;
    if (c->stage != STAGE_AUTHENTICATED || c->closed)
        return;
    c->closed = true;
    time_t now = time(NULL);
    char box[NAME_BOX_SIZE];
    uint64_t in = c->stats.bytes_in, out = c->stats.bytes_out; // what was told last, if it cannot say goodbye
    if (bye != NULL) {
        in = bye->bytes_in;
        out = bye->bytes_out;
    }
    struct audit_record record = {
        .event = AUDIT_LOGOUT,
        .user = c->account.name,
        .fingerprint = c->session.fingerprint,
        .address = c->address,
        .session = c->session.id,
        .box = connection_guest_box(c, box),
        .bytes_in = in,
        .bytes_out = out,
        .duration_ms = (uint64_t)(now - c->session.started) * 1000,
        .reason = reason,
    };
    enum err e = session_close(control->store, c->session.id, now, reason, in, out, c->channels, &f);
    if (e == ERR_NONE)
        e = writer_audit(control->writer, &record, &f);
    if (e != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "session_close_failed", "session=%lld error=%s", (long long)c->session.id,
                  log_quote(f.text));
    metrics_bytes(control, in, out);
    if (c->owner.id != 0)
        idle_left(control, c->owner.id);
    log_event(LOG_LEVEL_INFO, "closed", "user=%s from=%s session=%lld reason=%s", c->account.name, c->address,
              (long long)c->session.id, log_quote(reason));
    log_words("Disconnected from user %s %s port %u", c->account.name, c->host, c->port);
}

static void forget_channel(struct connection *c, struct open_channel *ch)
{
    LIST_REMOVE(ch, entry);
    c->open_channels--;
    c->open_sessions -= ch->session;
    free(ch);
}

void connection_close(struct connection *c, const char *reason)
{
    if (c->stage == STAGE_ADMITTED)
        login_over(c, reason);
    close_session(c, reason, NULL);
    connection_cancel_doors(c);
    while (!LIST_EMPTY(&c->open))
        forget_channel(c, LIST_FIRST(&c->open));
    writer_cancel(c->server->control->writer, c);
    if (c->hello_timer != NULL)
        event_free(c->hello_timer);
    link_free(c->link);
    LIST_REMOVE(c, entry);
    free(c);
}

void connection_send(struct connection *c, const struct message *m, const int *fds, size_t fd_count)
{
    enum err e = message_send(c->link, m, fds, fd_count);
    if (e != ERR_NONE) // it does not read its answers, or is gone: the link's end says the rest
        log_event(LOG_LEVEL_WARN, "link_send_failed", "from=%s type=%s error=%s", c->address,
                  message_name(m->type), err_name(e));
}

void connection_refuse(struct connection *c, uint64_t id, enum err code, const char *text)
{
    struct message m = {.type = MESSAGE_REFUSED, .id = id, .code = (uint64_t)(-(int)code)};
    snprintf(m.text, sizeof m.text, "%s", text);
    connection_send(c, &m, NULL, 0);
}

static void refuse_admission(struct connection *c, const struct message *m, const struct fault *why)
{
    struct fault f;
    struct audit_record record = {.event = AUDIT_ADMIT_REFUSED, .address = c->address, .reason = why->text};
    log_event(LOG_LEVEL_INFO, "admit_refused", "from=%s reason=%s", c->address, log_quote(why->text));
    if (why->code == ERR_DENIED)
        (void)writer_audit(c->server->control->writer, &record, &f); // logged there; refused either way
    connection_refuse(c, m->id, why->code, why->text);
}

static void on_admit(struct connection *c, const struct message *m)
{
    struct fault f;
    if (m->version != MESSAGE_VERSION) {
        connection_refuse(c, m->id, ERR_PROTOCOL, "gateway and control plane are of different versions");
        return;
    }
    snprintf(c->address, sizeof c->address, strchr(m->address, ':') != NULL ? "[%s]:%u" : "%s:%u", m->address,
             (unsigned)(m->port & 0xffff));
    snprintf(c->host, sizeof c->host, "%s", m->address);
    c->port = (unsigned)(m->port & 0xffff);
    enum err e = store_check_space(c->server->control->store, &f);
    if (e != ERR_NONE) {
        log_event(LOG_LEVEL_ERROR, "admit_refused", "from=%s error=%s", c->address, log_quote(f.text));
        connection_refuse(
            c, m->id, e, "logins are refused because they could not be recorded: the gateway's disk is full");
        return;
    }
    if (bans_check_address(c->server->control, c->host, &f) != ERR_NONE) {
        refuse_admission(c, m, &f);
        return;
    }
    struct audit_record record = {.event = AUDIT_ADMITTED, .address = c->address};
    if (writer_audit(c->server->control->writer, &record, &f) != ERR_NONE) {
        refuse_admission(c, m, &f);
        return;
    }
    event_del(c->hello_timer);
    c->stage = STAGE_ADMITTED;
    c->admitted = time(NULL);
    struct message answer = {.type = MESSAGE_ADMITTED, .id = m->id};
    connection_send(c, &answer, NULL, 0);
}

static void on_door_progress(void *arg, uint64_t id, const char *text)
{
    struct message m = {.type = MESSAGE_PROGRESS, .id = id};
    snprintf(m.text, sizeof m.text, "%s", text);
    connection_send(arg, &m, NULL, 0);
}

static void remember_channel(struct connection *c, uint64_t id, bool session)
{
    struct open_channel *ch = calloc(1, sizeof *ch);
    if (ch == NULL)
        return; // not counted
    *ch = (struct open_channel){.id = id, .session = session};
    LIST_INSERT_HEAD(&c->open, ch, entry);
    c->open_channels++;
    c->open_sessions += session;
}

static void on_door_done(void *arg, uint64_t id, const struct door_answer *answer)
{
    struct connection *c = arg;
    for (size_t i = 0; i < DOORS_MAX; i++) {
        if (c->doors[i].door != NULL && c->doors[i].id == id)
            c->doors[i].door = NULL;
    }
    if (answer->code != ERR_NONE) {
        connection_refuse(c, id, answer->code, answer->text);
        return;
    }
    c->channels++;
    remember_channel(c, id, answer->session);
    struct message m = {.type = MESSAGE_OPENED, .id = id, .door = answer->kind};
    if (answer->kind == DOOR_BOX) {
        snprintf(m.user, sizeof m.user, "%s", answer->user);
        snprintf(m.hostkeys, sizeof m.hostkeys, "%s", answer->hostkeys);
    }
    connection_send(c, &m, answer->fds, answer->fd_count);
}

static void violation(struct connection *c, const char *what)
{
    log_event(LOG_LEVEL_ERROR, "link_violation", "from=%s error=%s", c->address, log_quote(what));
    connection_close(c, "protocol violation");
}

static void on_open(struct connection *c, const struct message *m)
{
    struct door_caller who = {
        .account_id = c->account.id,
        .owner_id = c->owner.id,
        .session = c->session.id,
        .role = c->account.role,
        .console = c->console,
        .joined = c->joined,
        .key = &c->key,
    };
    snprintf(who.user, sizeof who.user, "%s", c->account.name);
    snprintf(who.owner, sizeof who.owner, "%s", c->owner.name);
    snprintf(who.fingerprint, sizeof who.fingerprint, "%s", c->session.fingerprint);
    snprintf(who.address, sizeof who.address, "%s", c->address);
    size_t slot = DOORS_MAX;
    for (size_t i = 0; i < DOORS_MAX; i++) {
        if (c->doors[i].door == NULL)
            slot = i;
        else if (c->doors[i].id == m->id) { // its answers could not be told apart
            violation(c, "an id that waits for its answer was used again");
            return;
        }
    }
    if (c->kicked) {
        connection_refuse(c, m->id, ERR_DENIED, "this session was ended by the gateway");
        return;
    }
    struct door *door = NULL;
    if (slot < DOORS_MAX)
        door = door_open(c->server->control, &who, m, on_door_progress, on_door_done, c);
    if (door == NULL) {
        connection_refuse(c, m->id, ERR_FULL,
                          "too many channels are being opened at once; try again in a moment");
        return;
    }
    c->doors[slot].door = door;
    c->doors[slot].id = m->id;
}

static void on_cancel(struct connection *c, const struct message *m)
{
    for (size_t i = 0; i < DOORS_MAX; i++) {
        if (c->doors[i].door != NULL && c->doors[i].id == m->id) {
            door_cancel(c->doors[i].door);
            c->doors[i].door = NULL;
        }
    }
}

static void on_channel_closed(struct connection *c, const struct message *m)
{
    char box[NAME_BOX_SIZE];
    struct fault f;
    struct audit_record record = {
        .event = AUDIT_CHANNEL_CLOSED,
        .user = c->account.name,
        .fingerprint = c->session.fingerprint,
        .address = c->address,
        .session = c->session.id,
        .box = connection_guest_box(c, box),
        .bytes_in = m->bytes_in,
        .bytes_out = m->bytes_out,
        .reason = m->text,
    };
    struct open_channel *ch;
    LIST_FOREACH(ch, &c->open, entry)
    {
        if (ch->id == m->id)
            break;
    }
    if (ch != NULL) // none: opened before we were restarted
        forget_channel(c, ch);
    writer_audit(c->server->control->writer, &record, &f); // logged there; the access itself was recorded
}

// What it says of itself is shown and counted, and nothing depends on it.
static void on_stats(struct connection *c, const struct message *m)
{
    uint64_t now = monotonic_ms(), in = m->bytes_in, out = m->bytes_out;
    uint64_t span = c->stats.at == 0 || now <= c->stats.at ? 1000 : now - c->stats.at;
    bool sane = in >= c->stats.bytes_in && out >= c->stats.bytes_out;
    c->stats.rate_in = sane ? (in - c->stats.bytes_in) * 1000 / span : 0;
    c->stats.rate_out = sane ? (out - c->stats.bytes_out) * 1000 / span : 0;
    if (in != c->stats.bytes_in || out != c->stats.bytes_out)
        c->stats.moved = now;
    c->stats.bytes_in = in;
    c->stats.bytes_out = out;
    c->stats.at = now;
}

static void tell_listener(void *arg, const struct message *m)
{
    connection_send(arg, m, NULL, 0);
}

static void on_listen(struct connection *c, const struct message *m)
{
    if (m->version != MESSAGE_VERSION) {
        connection_refuse(c, m->id, ERR_PROTOCOL, "gateway and control plane are of different versions");
        return;
    }
    event_del(c->hello_timer);
    c->stage = STAGE_LISTENER;
    struct message answer = {.type = MESSAGE_ADMITTED, .id = m->id};
    connection_send(c, &answer, NULL, 0);
    bans_tell_all(c->server->control, tell_listener, c);
}

static void on_dropped(struct connection *c, const struct message *m)
{
    char reason[160];
    struct fault f;
    struct audit_record record = {.event = AUDIT_ADMIT_REFUSED, .address = m->address, .reason = reason};
    snprintf(reason, sizeof reason, "%llu connections turned away by the listener: %.40s",
             (unsigned long long)m->count, m->kind);
    for (int i = 0; i < ADMIT_VERDICTS; i++) {
        if (strcmp(m->kind, admit_verdict_name((enum admit_verdict)i)) == 0)
            c->server->dropped[i] += m->count;
    }
    writer_audit(c->server->control->writer, &record, &f); // logged there
}

static void on_bye(struct connection *c, const struct message *m)
{
    if (c->stage == STAGE_AUTHENTICATED)
        close_session(c, m->text, m);
    if (c->stage == STAGE_ADMITTED)
        login_over(c, m->text);
    c->stage = STAGE_CLOSED;
    connection_cancel_doors(c);
}

static void dispatch(struct connection *c, const struct message *m)
{
    switch (m->type) {
    case MESSAGE_ADMIT:
        on_admit(c, m);
        return;
    case MESSAGE_ATTACH:
        login_on_attach(c, m);
        return;
    case MESSAGE_KEY:
        login_on_key(c, m);
        return;
    case MESSAGE_LOGIN:
        login_on_login(c, m);
        return;
    case MESSAGE_AUTH_FAILED:
        login_on_auth_failed(c, m);
        return;
    case MESSAGE_OPEN:
        on_open(c, m);
        return;
    case MESSAGE_CANCEL:
        on_cancel(c, m);
        return;
    case MESSAGE_CHANNEL_CLOSED:
        on_channel_closed(c, m);
        return;
    case MESSAGE_BYE:
        on_bye(c, m);
        return;
    case MESSAGE_STATS:
        on_stats(c, m);
        return;
    case MESSAGE_LISTEN:
        on_listen(c, m);
        return;
    case MESSAGE_DROPPED:
        on_dropped(c, m);
        return;
    case MESSAGE_ADMITTED:
    case MESSAGE_REFUSED:
    case MESSAGE_KEY_OK:
    case MESSAGE_WELCOME:
    case MESSAGE_PROGRESS:
    case MESSAGE_OPENED:
    case MESSAGE_KICK:
    case MESSAGE_BAN:
    case MESSAGE_UNBAN:
    case MESSAGE_KNOWN:
    case MESSAGE_UNKNOWN:
        return; // not allowed in any stage: message_allowed() has refused them
    }
}

static void on_packet(void *arg, const char *data, size_t length, const int *fds, size_t fd_count)
{
    struct connection *c = arg;
    struct message m;
    struct fault f;
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]); // nobody sends us descriptors
    enum err e = message_decode(data, length, &m, &f);
    if (e == ERR_NONE && !message_allowed(m.type, c->stage))
        e = fault_set(&f, ERR_PROTOCOL, "message %s is not allowed now", message_name(m.type));
    if (e != ERR_NONE) {
        violation(c, f.text);
        return;
    }
    dispatch(c, &m);
}

static void on_connection_end(void *arg, const char *reason)
{
    (void)reason;
    connection_close(arg, "lost"); // a BYE would have closed the session before
}

static void on_hello_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    connection_close(arg, "silent");
}

struct connection *connection_new(struct gateway_server *g, int fd)
{
    struct timeval hello = {.tv_sec = HELLO_SECONDS};
    uid_t uid = (uid_t)-1;
    gid_t gid;
    pid_t pid;
    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL) {
        close(fd);
        return NULL;
    }
    c->server = g;
    c->stage = STAGE_NEW;
    LIST_INIT(&c->open);
    c->link = link_new(g->control->base, fd, on_packet, on_connection_end, c);
    c->hello_timer = evtimer_new(g->control->base, on_hello_timeout, c);
    if (c->link == NULL || c->hello_timer == NULL || link_peer(c->link, &uid, &gid, &pid) != ERR_NONE ||
        uid != g->gateway_uid) {
        log_event(LOG_LEVEL_WARN, "link_refused", "uid=%ld expected=%ld", (long)uid, (long)g->gateway_uid);
        if (c->hello_timer != NULL)
            event_free(c->hello_timer);
        link_free(c->link);
        free(c);
        return NULL;
    }
    event_add(c->hello_timer, &hello);
    LIST_INSERT_HEAD(&g->connections, c, entry);
    return c;
}
