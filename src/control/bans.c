// Owns the counter of failures and the set of banned sources. The store's rows are what counts; both are made
// of them.
#include "control/bans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "control/gateway_link.h"
#include "control/writer.h"
#include "policy/ban.h"
#include "policy/netset.h"

#define FOLLOWED_MAX 20000 // pairs and sources, about 600 bytes each
#define REPLAY_MAX 20000   // failures counted again after a restart

struct bans {
    struct ban_rules rules;
    struct ban_counter *counter;
    struct netset sources; // banned as a whole
    uint64_t failed, silent;
};

static void rules_of_config(const struct config *c, struct ban_rules *out)
{
    *out = (struct ban_rules){
        .failures = (unsigned)c->ban_failures,
        .names = (unsigned)c->ban_names,
        .silent = (unsigned)c->ban_silent,
        .window = (time_t)(c->ban_window / 1000),
        .duration = (time_t)(c->ban_duration / 1000),
        .duration_max = (time_t)(c->ban_duration_max / 1000),
        .growth = (unsigned)c->ban_growth,
        .memory = (time_t)(c->ban_memory / 1000),
        .entries = FOLLOWED_MAX,
    };
}

// ---- at the start

static enum err load_ban(const struct ban_row *row, void *arg, struct fault *f)
{
    struct bans *b = arg;
    struct subnet subnet;
    if (row->user[0] != '\0' || !subnet_parse(row->subnet, &subnet))
        return ERR_NONE;
    return netset_add(&b->sources, &subnet, row->until, time(NULL), f);
}

// The address without its port: "203.0.113.7:50122", "[2001:db8::7]:50122".
static void bare_address(const char *address, char *out, size_t size)
{
    const char *start = address[0] == '[' ? address + 1 : address;
    const char *end = address[0] == '[' ? strchr(address, ']') : strrchr(address, ':');
    snprintf(out, size, "%.*s", end == NULL ? (int)strlen(start) : (int)(end - start), start);
}

static enum err replay_failure(const struct audit_record *record, void *arg, struct fault *f)
{
    struct bans *b = arg;
    struct subnet source;
    struct ban_verdict verdict; // what it led to then is in the store
    char address[64];
    (void)f;
    bare_address(record->address, address, sizeof address);
    if (subnet_of_source(address, &source) && record->user[0] != '\0')
        ban_failed(b->counter, &source, record->user, false, record->time, &verdict);
    return ERR_NONE;
}

enum err bans_new(struct control *c, struct bans **out, struct fault *f)
{
    time_t now = time(NULL);
    *out = NULL;
    struct bans *b = calloc(1, sizeof *b);
    if (b == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    rules_of_config(c->config, &b->rules);
    b->counter = ban_counter_new(&b->rules);
    struct audit_query query = {
        .event = audit_event_name(AUDIT_LOGIN_FAILED), .since = now - b->rules.window, .limit = REPLAY_MAX};
    enum err e = b->counter == NULL ? fault_set(f, ERR_MEMORY, "out of memory") : ERR_NONE;
    if (e == ERR_NONE)
        e = ban_each_in_force(c->store, now, load_ban, b, f);
    if (e == ERR_NONE)
        e = audit_each(c->store, &query, replay_failure, b, f);
    if (e == ERR_NONE)
        e = known_source_prune(c->store, now - (time_t)(c->config->ban_trust / 1000), f);
    if (e == ERR_NONE)
        *out = b;
    else
        bans_free(b);
    return e;
}

void bans_free(struct bans *b)
{
    if (b == NULL)
        return;
    ban_counter_free(b->counter);
    netset_clear(&b->sources);
    free(b);
}

// ---- questions

static bool is_known(struct control *c, const char *source, const char *fingerprint)
{
    bool known = false;
    struct fault f;
    time_t since = time(NULL) - (time_t)(c->config->ban_trust / 1000);
    return c->config->ban_trust > 0 &&
           known_source_has(c->store, source, fingerprint, since, &known, &f) == ERR_NONE && known;
}

// `why` of bans that came by themselves; an administrator's reason is not for those it is about.
static enum err denied_until(struct fault *f, time_t until, const char *what, const char *why)
{
    char when[32];
    if (until == 0)
        return fault_set(f, ERR_DENIED, "%s are not accepted; ask your administrator", what);
    return fault_set(f, ERR_DENIED,
                     "%s are not accepted until %s%s%s; ask your administrator if that is a mistake", what,
                     when_format(until, when, sizeof when), why[0] == '\0' ? "" : ", after ", why);
}

enum err bans_check_address(struct control *c, const char *address, struct fault *f)
{
    struct subnet whole;
    time_t until = 0;
    char what[120];
    snprintf(what, sizeof what, "connections from %.60s", address);
    if (c->config->allow_from[0] != '\0' && !subnets_have(c->config->allow_from, address))
        return denied_until(f, 0, what, "");
    if (subnet_parse(address, &whole) && netset_has(&c->bans->sources, whole.address, time(NULL), &until))
        return denied_until(f, until, what, "");
    return ERR_NONE;
}

struct trusted {
    struct control *control;
    const char *source;
    bool any;
};

static enum err look_at_key(const struct account_key *key, void *arg, struct fault *f)
{
    struct trusted *t = arg;
    (void)f;
    t->any = t->any || is_known(t->control, t->source, key->key.fingerprint);
    return ERR_NONE;
}

// Has the account of this name a key that was used from there?
static bool has_trusted_key(struct control *c, const char *login, const char *source)
{
    struct account account;
    struct trusted t = {.control = c, .source = source};
    return account_get(c->store, login, &account, NULL) == ERR_NONE &&
           account_key_each(c->store, account.id, look_at_key, &t, NULL) == ERR_NONE && t.any;
}

enum err bans_check_login(struct control *c, const char *login, const char *address, const char *fingerprint,
                          bool *hopeless, struct fault *f)
{
    struct subnet subnet;
    struct ban_row row;
    char source[SUBNET_TEXT] = "", what[160];
    time_t now = time(NULL);
    *hopeless = true;
    enum err e = bans_check_address(c, address, f);
    if (e != ERR_NONE)
        return e;
    if (subnet_of_source(address, &subnet))
        subnet_format(&subnet, source);
    snprintf(what, sizeof what, "logins as %.32s from %.60s", login, address);
    e = ban_find(c->store, login, "", now, &row, f); // wherever from
    if (e == ERR_NONE) {
        snprintf(what, sizeof what, "logins as %.32s", login);
        return denied_until(f, row.until, what, "");
    }
    if (e == ERR_NOTFOUND)
        e = ban_find(c->store, login, source, now, &row, f);
    if (e == ERR_NOTFOUND)
        return ERR_NONE;
    if (e != ERR_NONE)
        return e;
    // Somebody else's failures there do not shut out who has been coming from there.
    if (strcmp(row.actor, BANS_ACTOR) == 0) {
        if (is_known(c, source, fingerprint))
            return ERR_NONE;
        *hopeless = !has_trusted_key(c, login, source);
    }
    return denied_until(f, row.until, what, strcmp(row.actor, BANS_ACTOR) == 0 ? row.reason : "");
}

// ---- what happens

static enum err record(struct control *c, enum audit_event event, const struct ban_row *row,
                       const char *actor, struct fault *f)
{
    char when[32], reason[240];
    snprintf(reason, sizeof reason, "%s%s%s", row->reason, row->until == 0 ? "" : ", until ",
             row->until == 0 ? "" : when_format(row->until, when, sizeof when));
    struct audit_record a = {
        .event = event,
        .user = row->user,
        .actor = actor,
        .address = row->subnet,
        .reason = event == AUDIT_BANNED ? reason : "",
    };
    return writer_audit(c->writer, &a, f);
}

enum err bans_impose(struct control *c, struct ban_row *row, struct fault *f)
{
    struct subnet subnet;
    enum err e = ban_add(c->store, row, f);
    if (e == ERR_NONE)
        e = record(c, AUDIT_BANNED, row, row->actor, f);
    if (e != ERR_NONE)
        return e;
    writer_commit_soon(c->writer);
    log_event(LOG_LEVEL_WARN, "banned", "user=%s from=%s by=%s reason=%s", log_quote(row->user),
              row->subnet[0] == '\0' ? "-" : row->subnet, row->actor, log_quote(row->reason));
    if (row->user[0] != '\0' || !subnet_parse(row->subnet, &subnet))
        return ERR_NONE;
    e = netset_add(&c->bans->sources, &subnet, row->until, row->created, f);
    struct message m = {.type = MESSAGE_BAN, .until = (uint64_t)row->until};
    snprintf(m.address, sizeof m.address, "%s", row->subnet);
    gateway_tell_listeners(c->gateway, &m);
    return e;
}

enum err bans_lift(struct control *c, const char *user, const char *subnet, const char *by, time_t now,
                   struct fault *f)
{
    struct subnet parsed;
    struct ban_row row = {.id = 0};
    snprintf(row.user, sizeof row.user, "%s", user);
    snprintf(row.subnet, sizeof row.subnet, "%s", subnet);
    enum err e = ban_lift(c->store, user, subnet, by, now, f);
    if (e == ERR_NONE)
        e = record(c, AUDIT_UNBANNED, &row, by, f);
    if (e != ERR_NONE)
        return e;
    log_event(LOG_LEVEL_INFO, "unbanned", "user=%s from=%s by=%s", log_quote(user),
              subnet[0] == '\0' ? "-" : subnet, by);
    if (!subnet_parse(subnet, &parsed))
        return ERR_NONE;
    ban_forget(c->bans->counter, &parsed, user[0] == '\0' ? NULL : user);
    if (user[0] != '\0')
        return ERR_NONE;
    netset_remove(&c->bans->sources, &parsed);
    struct message m = {.type = MESSAGE_UNBAN};
    snprintf(m.address, sizeof m.address, "%s", subnet);
    gateway_tell_listeners(c->gateway, &m);
    return ERR_NONE;
}

unsigned bans_enforce(struct control *c, const struct ban_row *row)
{
    return gateway_kick_from(c->gateway, row->user, row->subnet, "access was blocked by your administrator");
}

static void impose(struct control *c, const char *user, const char *source, const char *reason, time_t now)
{
    struct bans *b = c->bans;
    struct ban_row row = {.created = now};
    struct fault f = {.text = ""};
    unsigned earlier = 0;
    enum err e = ban_count_since(c->store, user, source, now - b->rules.memory, &earlier, &f);
    snprintf(row.user, sizeof row.user, "%s", user);
    snprintf(row.subnet, sizeof row.subnet, "%s", source);
    snprintf(row.reason, sizeof row.reason, "%s", reason);
    snprintf(row.actor, sizeof row.actor, BANS_ACTOR);
    row.until = now + ban_duration(&b->rules, earlier);
    if (e == ERR_NONE)
        e = bans_impose(c, &row, &f);
    if (e != ERR_NONE && e != ERR_CONFLICT) // banned already: by hand, or it did not notice
        log_event(LOG_LEVEL_ERROR, "ban_failed", "user=%s from=%s error=%s", log_quote(user), source,
                  log_quote(f.text));
}

void bans_login_failed(struct control *c, const char *login, const char *address)
{
    struct subnet subnet;
    struct ban_verdict verdict;
    char source[SUBNET_TEXT], reason[120];
    time_t now = time(NULL);
    c->bans->failed++;
    if (subnets_have(c->config->ban_never, address) || !subnet_of_source(address, &subnet))
        return;
    subnet_format(&subnet, source);
    ban_failed(c->bans->counter, &subnet, login, is_known(c, source, NULL), now, &verdict);
    if (verdict.pair) {
        snprintf(reason, sizeof reason, "%u failed logins", c->bans->rules.failures);
        impose(c, login, source, reason, now);
    }
    if (verdict.source) {
        snprintf(reason, sizeof reason, "failed logins as %u names", c->bans->rules.names);
        impose(c, "", source, reason, now);
    }
}

void bans_silent(struct control *c, const char *address)
{
    struct subnet subnet;
    struct ban_verdict verdict;
    char source[SUBNET_TEXT], reason[120];
    time_t now = time(NULL);
    c->bans->silent++;
    if (subnets_have(c->config->ban_never, address) ||
        subnets_have(c->config->proxy_protocol_from, address) || !subnet_of_source(address, &subnet))
        return;
    subnet_format(&subnet, source);
    ban_silent(c->bans->counter, &subnet, is_known(c, source, NULL), now, &verdict);
    if (verdict.source) {
        snprintf(reason, sizeof reason, "%u connections without a login", c->bans->rules.silent);
        impose(c, "", source, reason, now);
    }
}

enum err bans_login_ok(struct control *c, const char *login, const char *address, const char *fingerprint,
                       time_t now, struct fault *f)
{
    struct subnet subnet;
    char source[SUBNET_TEXT];
    if (!subnet_of_source(address, &subnet))
        return ERR_NONE;
    subnet_format(&subnet, source);
    ban_forget(c->bans->counter, &subnet, login);
    if (c->config->ban_trust == 0)
        return ERR_NONE;
    struct message m = {.type = MESSAGE_KNOWN, .until = (uint64_t)now + c->config->ban_trust / 1000};
    snprintf(m.address, sizeof m.address, "%s", source);
    gateway_tell_listeners(c->gateway, &m);
    return known_source_touch(c->store, source, fingerprint, now, f);
}

// ---- the listener, and figures

struct telling {
    struct control *control;
    bans_tell_fn tell;
    void *arg;
};

static enum err tell_ban(const struct ban_row *row, void *arg, struct fault *f)
{
    struct telling *t = arg;
    struct message m = {.type = MESSAGE_BAN, .until = (uint64_t)row->until};
    (void)f;
    snprintf(m.address, sizeof m.address, "%s", row->subnet);
    if (row->user[0] == '\0')
        t->tell(t->arg, &m);
    return ERR_NONE;
}

static enum err tell_known(const char *source, time_t last, void *arg, struct fault *f)
{
    struct telling *t = arg;
    struct message m = {.type = MESSAGE_KNOWN,
                        .until = (uint64_t)last + t->control->config->ban_trust / 1000};
    (void)f;
    snprintf(m.address, sizeof m.address, "%s", source);
    t->tell(t->arg, &m);
    return ERR_NONE;
}

void bans_tell_all(struct control *c, bans_tell_fn tell, void *arg)
{
    struct telling t = {.control = c, .tell = tell, .arg = arg};
    struct fault f = {.text = ""};
    time_t now = time(NULL);
    enum err e = ban_each_in_force(c->store, now, tell_ban, &t, &f);
    if (e == ERR_NONE && c->config->ban_trust > 0)
        e = known_source_each(c->store, now - (time_t)(c->config->ban_trust / 1000), tell_known, &t, &f);
    if (e != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "bans_not_told", "error=%s", log_quote(f.text));
}

enum err bans_figures(struct control *c, struct bans_figures *out, struct fault *f)
{
    time_t now = time(NULL);
    *out = (struct bans_figures){
        .followed = ban_followed(c->bans->counter), .failed = c->bans->failed, .silent = c->bans->silent};
    enum err e = ban_totals(c->store, now, &out->in_force, &out->ever, f);
    if (e == ERR_NONE)
        e = audit_count_event(c->store, AUDIT_LOGIN_FAILED, now - c->bans->rules.window,
                              &out->failed_in_window, f);
    return e;
}
