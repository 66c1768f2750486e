// Who may log in: key offers, signed logins and invitations. Everything that is not a yes is one and the same
// no; a yes is on disk before it is said.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/log.h"
#include "base/units.h"
#include "control/bans.h"
#include "control/box_flow.h"
#include "control/describe.h"
#include "control/enrol.h"
#include "control/gateway_connection.h"
#include "control/metrics.h"
#include "control/share.h"
#include "control/usage.h"
#include "control/writer.h"
#include "store/share.h"

// sshd's own words, for the tools that know them. A login name is the client's invention: what is no name is
// not repeated as one, a blank in it could pass for the words that follow.
static void say_as_sshd(const struct connection *c, const char *verdict, const char *login,
                        const char *fingerprint)
{
    char name[sizeof((struct message *)0)->login];
    size_t n = 0;
    for (; login[n] != '\0' && n + 1 < sizeof name; n++)
        name[n] = strchr(" \"'\\:", login[n]) != NULL ? '?' : login[n];
    name[n] = '\0';
    log_words("%s publickey for %s from %s port %u ssh2: %s", verdict, name, c->host, c->port, fingerprint);
}

// The login name as it was asked for, where it says more than who they are: "alice+bob".
static const char *asked_for(const struct connection *c)
{
    return strcmp(c->login, c->name) == 0 ? NULL : c->login;
}

static void audit_auth_failed(struct connection *c, const char *fingerprint, const char *reason)
{
    struct fault f;
    struct audit_record record = {
        .event = AUDIT_AUTH_FAILED,
        .user = c->name,
        .fingerprint = fingerprint,
        .address = c->address,
        .target = asked_for(c),
        .reason = reason,
    };
    writer_audit(c->server->control->writer, &record, &f); // logged there; the refusal stands either way
    log_event(LOG_LEVEL_INFO, "auth_failed", "login=%s from=%s key=%s reason=%s", log_quote(c->login),
              c->address, fingerprint, log_quote(reason));
    say_as_sshd(c, "Failed", c->login, fingerprint);
}

// Whose key is this, if `login` may be it, from there and now? Everything that is not a yes is one and the
// same no.
static enum err who_is(struct connection *c, const struct message *m, struct account *account,
                       struct account_key *key, struct keyoption *option, struct fault *f)
{
    struct pubkey pubkey;
    struct invite invite;
    enum login_kind kind = name_login_kind(m->login);
    char reason[400], user[NAME_LOGIN_SIZE];
    enum err e = pubkey_from_base64(m->key, &pubkey, f);
    if (e != ERR_NONE)
        return e;
    snprintf(key->key.fingerprint, sizeof key->key.fingerprint, "%s", pubkey.fingerprint);
    if (kind == LOGIN_JOIN) // any key will do; what becomes of it is told to who has shown that it is theirs
        return enrol_find(c->server->control->store, m->login, &invite, f);
    e = account_key_find(c->server->control->store, pubkey.fingerprint, account, key, f);
    if (e != ERR_NONE) {
        snprintf(key->key.fingerprint, sizeof key->key.fingerprint, "%s", pubkey.fingerprint);
        return e == ERR_NOTFOUND ? fault_set(f, e, "nobody has this key") : e;
    }
    name_login_user(m->login, user);
    if (kind != LOGIN_CONSOLE && (kind != LOGIN_USER || strcmp(account->name, user) != 0))
        return fault_set(f, ERR_DENIED, "this key belongs to somebody else");
    e = keyoption_parse(key->key.options, strlen(key->key.options), option, f);
    if (e == ERR_NONE && !keyoption_usable(option, c->host, time(NULL), reason, sizeof reason))
        e = fault_set(f, ERR_DENIED, "%s", reason);
    return e;
}

// Refuses what a ban forbids. The reason is told only when no key would do, so that one that may come in is
// still offered. True: it was refused.
static bool is_banned(struct connection *c, const struct message *m, const char *fingerprint)
{
    struct control *control = c->server->control;
    struct fault f = {.text = ""};
    bool hopeless = false;
    enum err e = bans_check_login(control, c->name, c->host, fingerprint, &hopeless, &f);
    if (e == ERR_NONE)
        return false;
    audit_auth_failed(c, fingerprint, f.text);
    c->turned_away = true;
    connection_refuse(c, m->id, e, hopeless ? f.text : "");
    return true;
}

// From here on the login is known by what may be shown of it.
static void note_login(struct connection *c, const char *login)
{
    snprintf(c->login, sizeof c->login, "%s", name_login_shown(login));
    name_login_user(c->login, c->name);
}

void login_over(struct connection *c, const char *reason)
{
    struct control *control = c->server->control;
    struct fault f;
    struct audit_record record = {
        .event = AUDIT_LOGIN_FAILED,
        .user = c->name,
        .address = c->address,
        .target = asked_for(c),
        .duration_ms = (uint64_t)(time(NULL) - c->admitted) * 1000,
        .reason = reason,
    };
    bool failed = c->keys_refused > 0 && c->keys_ok == 0;
    if (failed && !c->turned_away)
        record.reason = "no key of theirs is good for it";
    metrics_login(control, failed ? "failed" : c->turned_away ? "refused" : "none");
    (void)writer_audit(control->writer, &record, &f); // logged there; nothing was granted
    if (c->turned_away)
        return;
    if (failed)
        bans_login_failed(control, c->name, c->host);
    else
        bans_silent(control, c->host);
}

void login_on_key(struct connection *c, const struct message *m)
{
    struct fault f = {.text = ""};
    struct account account;
    struct account_key key = {.id = 0};
    struct keyoption option;
    note_login(c, m->login);
    enum err e = who_is(c, m, &account, &key, &option, &f);
    if (is_banned(c, m, key.key.fingerprint))
        return;
    if (e == ERR_NONE) {
        struct message answer = {.type = MESSAGE_KEY_OK, .id = m->id};
        c->keys_ok++;
        connection_send(c, &answer, NULL, 0);
        return;
    }
    c->keys_refused++;
    audit_auth_failed(c, key.key.fingerprint, f.text);
    connection_refuse(c, m->id, ERR_DENIED, "");
}

void login_on_auth_failed(struct connection *c, const struct message *m)
{
    struct pubkey pubkey;
    const char *fingerprint = "";
    note_login(c, m->login);
    c->keys_refused++;
    if (pubkey_from_base64(m->key, &pubkey, NULL) == ERR_NONE)
        fingerprint = pubkey.fingerprint;
    audit_auth_failed(c, fingerprint, m->text);
}

// The box is woken while the client is still busy with its next round trips.
static void wake_ahead(struct connection *c)
{
    struct control *control = c->server->control;
    struct box_row row;
    if (c->owner.id != 0 && box_get(control->store, c->owner.id, &row, NULL) == ERR_NONE)
        (void)box_flow_submit(control, BOX_OP_ENSURE, c->owner.id, c->account.name, NULL, NULL, NULL);
}

// Boxes that exist get the key that has just been added, for the jump door.
static void tell_boxes_of_key(struct connection *c)
{
    struct control *control = c->server->control;
    if (c->joined != JOINED_ADDED)
        return;
    box_flow_tell_keys(control, c->account.id, c->account.name);
    shares_tell_boxes(control, c->account.id, c->account.name);
}

static void on_login_committed(void *arg, enum err code, const struct fault *f)
{
    struct connection *c = arg;
    if (code != ERR_NONE) {
        char text[480];
        snprintf(text, sizeof text, "this login cannot be recorded: %.300s", f->text);
        c->session.id = 0; // nothing of it is on disk
        c->turned_away = true;
        connection_refuse(c, c->answer_id, code, text);
        return;
    }
    c->stage = STAGE_AUTHENTICATED;
    c->stats.moved = monotonic_ms();
    metrics_login(c->server->control, "ok");
    log_event(LOG_LEVEL_INFO, "login", "login=%s from=%s user=%s session=%lld key=%s", c->session.login,
              c->address, c->account.name, (long long)c->session.id, c->session.fingerprint);
    say_as_sshd(c, "Accepted", c->session.login, c->session.fingerprint);
    login_welcome(c, c->answer_id);
    wake_ahead(c);
    tell_boxes_of_key(c);
}

static enum err new_token(char *token, size_t size, struct fault *f)
{
    unsigned char raw[20];
    if (RAND_bytes(raw, sizeof raw) != 1)
        return fault_set(f, ERR_FAILED, "no random numbers");
    for (size_t i = 0; i < sizeof raw && i * 2 + 2 < size; i++)
        snprintf(token + i * 2, 3, "%02x", raw[i]);
    return ERR_NONE;
}

static enum err record_login(struct connection *c, const struct message *m, const struct account_key *key,
                             struct fault *f)
{
    struct control *control = c->server->control;
    time_t now = time(NULL);
    char box[NAME_BOX_SIZE];
    struct session_row *row = &c->session;
    *row = (struct session_row){.account_id = c->account.id, .owner_id = c->owner.id, .started = now};
    snprintf(row->user, sizeof row->user, "%s", c->account.name);
    snprintf(row->login, sizeof row->login, "%s", c->login);
    snprintf(row->fingerprint, sizeof row->fingerprint, "%s", key->key.fingerprint);
    snprintf(row->address, sizeof row->address, "%.63s", c->address);
    enum err e = new_token(row->token, sizeof row->token, f);
    if (e == ERR_NONE)
        e = session_open(control->store, row, f);
    if (e == ERR_NONE)
        e = account_touch_login(control->store, c->account.id, now, f);
    if (e == ERR_NONE)
        e = account_key_touch(control->store, key->id, now, f);
    if (e == ERR_NONE)
        e = bans_login_ok(control, c->name, c->host, row->fingerprint, now, f);
    if (e != ERR_NONE)
        return e;
    struct audit_record record = {
        .event = AUDIT_LOGIN,
        .user = c->account.name,
        .fingerprint = row->fingerprint,
        .address = c->address,
        .session = row->id,
        .box = connection_guest_box(c, box),
        .target = row->login,
        .reason = m->client,
    };
    return writer_audit(control->writer, &record, f);
}

// An allowed key that gets no further: that is said, and recorded as a refusal. It is no failed login.
static void turn_away(struct connection *c, const struct message *m, const struct account_key *key,
                      enum err code, const char *why)
{
    struct audit_record record = {
        .event = AUDIT_REFUSED,
        .user = c->account.name,
        .fingerprint = key->key.fingerprint,
        .address = c->address,
        .target = asked_for(c) == NULL ? "login" : asked_for(c),
        .reason = why,
    };
    log_event(LOG_LEVEL_WARN, "login_refused", "user=%s from=%s reason=%s", c->account.name, c->address,
              log_quote(why));
    (void)writer_audit(c->server->control->writer, &record, NULL);
    c->turned_away = true;
    connection_refuse(c, m->id, code, why);
}

// Whose box the login is for. The key has proved itself, so a box that is not shared with its owner is told
// in plain words; they are the same whether the name exists or not. False: it was answered.
static bool find_owner(struct connection *c, const struct message *m, const struct account_key *key)
{
    struct store *s = c->server->control->store;
    char user[NAME_USER_SIZE], owner[NAME_USER_SIZE], text[400], way[DESCRIBE_WAY];
    struct share share;
    struct fault f = {.text = ""};
    c->owner = c->account;
    if (c->console)
        c->owner.id = 0;
    if (!name_login_parse(c->login, user, owner) || strcmp(user, owner) == 0)
        return true;
    enum err e = account_get(s, owner, &c->owner, &f);
    if (e == ERR_NONE)
        e = share_find(s, c->owner.id, c->account.id, time(NULL), &share, &f);
    if (e == ERR_NONE)
        return true;
    if (e != ERR_NOTFOUND)
        turn_away(c, m, key, e, f.text);
    else {
        snprintf(text, sizeof text,
                 "there is no box of %s that is shared with %s; for those that are: %.250s shares", owner,
                 user, describe_way(c->server->control->config, "ctl", way));
        turn_away(c, m, key, ERR_DENIED, text);
    }
    return false;
}

// One login too many.
static bool is_too_much(struct connection *c, const struct message *m, const struct account_key *key)
{
    struct control *control = c->server->control;
    struct fault f = {.text = ""};
    struct subnet subnet;
    char source[SUBNET_TEXT] = "";
    if (subnet_of_source(c->host, &subnet))
        subnet_format(&subnet, source);
    enum err e = usage_login(control, c->account.id, source, &f);
    if (e == ERR_NONE)
        return false;
    turn_away(c, m, key, e, f.text);
    return true;
}

static void cannot_record(struct connection *c, const struct message *m, const struct fault *f)
{
    char text[480];
    writer_abandon(c->server->control->writer, f);
    snprintf(text, sizeof text, "this login cannot be recorded: %.300s", f->text);
    c->turned_away = true;
    connection_refuse(c, m->id, f->code, text);
}

// The key has proved itself, and the token is one of ours: makes c->account and its key of them. False: it
// was answered.
static bool join(struct connection *c, const struct message *m, struct account_key *key)
{
    struct control *control = c->server->control;
    struct fault f = {.text = ""};
    struct enrolment enrolment = {.address = c->address};
    time_t now = time(NULL);
    enum err e = pubkey_from_base64(m->key, &enrolment.key, &f);
    if (e == ERR_NONE)
        e = enrol_find(control->store, m->login, &enrolment.invite, &f);
    if (e == ERR_NONE)
        e = enrol_check(control, &enrolment, now, &f);
    if (e != ERR_NONE) { // whoever has the token may know what became of it
        c->turned_away = true;
        audit_auth_failed(c, key->key.fingerprint, f.text);
        connection_refuse(c, m->id, e, f.text);
        return false;
    }
    c->account = enrolment.account;
    c->joined = enrolment.joined;
    c->key = (struct keyoption){.expires = 0}; // an enrolled key comes without options
    if (c->account.id != 0 && is_too_much(c, m, key))
        return false;
    e = enrol_write(control, &enrolment, now, &f);
    if (e == ERR_NONE)
        e = account_key_find(control->store, enrolment.key.fingerprint, &c->account, key, &f);
    if (e != ERR_NONE) {
        f.code = e;
        cannot_record(c, m, &f);
    }
    return e == ERR_NONE;
}

void login_on_login(struct connection *c, const struct message *m)
{
    struct fault f = {.text = ""};
    struct account_key key = {.id = 0};
    bool joins = name_login_kind(m->login) == LOGIN_JOIN;
    c->joined = JOINED_NOT;
    note_login(c, m->login);
    enum err e = c->answer_id != 0 ? fault_set(&f, ERR_PROTOCOL, "a second login on one connection")
                                   : who_is(c, m, &c->account, &key, &c->key, &f);
    if (is_banned(c, m, key.key.fingerprint))
        return;
    if (e != ERR_NONE) {
        c->keys_refused++;
        audit_auth_failed(c, key.key.fingerprint, f.text);
        connection_refuse(c, m->id, ERR_DENIED, "");
        return;
    }
    c->console = login_leads_to_console(c->login);
    if (joins ? !join(c, m, &key) : is_too_much(c, m, &key))
        return;
    if (!find_owner(c, m, &key))
        return;
    e = record_login(c, m, &key, &f);
    if (e != ERR_NONE) {
        f.code = e;
        cannot_record(c, m, &f);
        return;
    }
    metrics_handshake(c->server->control, m->kex_ms, m->auth_ms);
    c->answer_id = m->id;
    writer_after_commit(c->server->control->writer, c, on_login_committed, c);
}
