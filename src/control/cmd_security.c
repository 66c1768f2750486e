// security status: one screen for the morning, and for cron.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/bans.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/gateway_link.h"
#include "control/table.h"
#include "policy/admit.h"

#define HOUR 3600
#define ROWS 10 // of each list

struct screen {
    struct command_run *run;
    json_t *list; // being filled, or
    struct table *table;
    unsigned rows;
    unsigned users;
    unsigned live;
};

static const char *or_dash(const char *text)
{
    return text == NULL || text[0] == '\0' ? "-" : text;
}

// For the eye: the address without its port, which no rule is made of.
static const char *short_address(const char *address, char *out, size_t size)
{
    const char *end = address[0] == '[' ? strchr(address, ']') : strrchr(address, ':');
    snprintf(out, size, "%.*s", end == NULL ? (int)strlen(address) : (int)(end - address),
             address[0] == '[' ? address + 1 : address);
    if (address[0] == '[' && out[0] != '\0')
        out[strcspn(out, "]")] = '\0';
    return out[0] == '\0' ? "-" : out;
}

// Enough of a fingerprint to tell two keys apart; `audit` has the whole.
static const char *short_key(const char *fingerprint, char *out, size_t size)
{
    snprintf(out, size, "%.17s...", fingerprint);
    return fingerprint[0] == '\0' ? "-" : out;
}

// A reason's beginning; `audit` has all of it.
static const char *short_reason(const char *reason, char *out, size_t size)
{
    snprintf(out, size, "%.40s%s", reason, strlen(reason) > 40 ? "..." : "");
    return reason[0] == '\0' ? "-" : out;
}

static enum err add_event(const struct audit_record *a, void *arg, struct fault *f)
{
    struct screen *s = arg;
    char when[32], from[64], about[64];
    (void)f;
    s->rows++;
    if (s->list != NULL)
        json_array_append_new(s->list, json_pack("{s:o, s:s, s:s, s:s, s:s}", "time", describe_time(a->time),
                                                 "user", a->user, "address", a->address, "fingerprint",
                                                 a->fingerprint, "reason", a->reason));
    else
        table_row(s->table, "  %s\t%s\t%s\t%s", when_format(a->time, when, sizeof when), or_dash(a->user),
                  short_address(a->address, from, sizeof from),
                  a->event == AUDIT_LOGIN ? short_key(a->fingerprint, about, sizeof about)
                                          : short_reason(a->reason, about, sizeof about));
    return ERR_NONE;
}

static enum err count_user(const struct audit_count *count, void *arg, struct fault *f)
{
    (void)f;
    ((struct screen *)arg)->users += count->logins > 0;
    return ERR_NONE;
}

static void count_live(const struct live_session *session, void *arg)
{
    (void)session;
    ((struct screen *)arg)->live++;
}

// The last events of the hour: onto the screen, or as a list under `key`.
static enum err last_events(struct screen *s, enum audit_event event, const char *title, const char *key,
                            json_t *all, struct fault *f)
{
    struct audit_query query = {.event = audit_event_name(event),
                                .since = time(NULL) - HOUR,
                                .limit = ROWS,
                                .named = event == AUDIT_LOGIN_FAILED};
    s->rows = 0;
    s->list = all == NULL ? NULL : json_array();
    s->table = all == NULL ? table_new() : NULL;
    enum err e = audit_each(s->run->control->store, &query, add_event, s, f);
    if (all != NULL) {
        json_object_set_new(all, key, s->list);
    } else if (s->rows == 0) {
        verb_out(s->run, "\n%s: none\n", title);
    } else {
        verb_out(s->run, "\n%s:\n", title);
        verb_table(s->run, s->table);
    }
    table_free(s->table);
    return e;
}

struct numbers {
    struct bans_figures bans;
    uint64_t logins, failures, refusals;
    time_t today;
};

static enum err count_all(struct screen *s, struct numbers *n, struct fault *f)
{
    struct control *c = s->run->control;
    time_t now = time(NULL);
    enum err e = when_parse("today", now, &n->today, f);
    gateway_each_live(c->gateway, 0, count_live, s);
    if (e == ERR_NONE)
        e = audit_count_users(c->store, n->today, count_user, s, f);
    if (e == ERR_NONE)
        e = audit_count_event(c->store, AUDIT_LOGIN, now - HOUR, &n->logins, f);
    if (e == ERR_NONE)
        e = audit_count_event(c->store, AUDIT_LOGIN_FAILED, now - HOUR, &n->failures, f);
    if (e == ERR_NONE)
        e = audit_count_event(c->store, AUDIT_REFUSED, now - HOUR, &n->refusals, f);
    if (e == ERR_NONE)
        e = bans_figures(c, &n->bans, f);
    return e;
}

static uint64_t turned_away(const struct command_run *run)
{
    uint64_t sum = 0;
    for (int i = ADMIT_OK + 1; i < ADMIT_VERDICTS; i++)
        sum += gateway_count_dropped(run->control->gateway, i);
    return sum;
}

static enum err as_json(struct screen *s, const struct numbers *n, struct fault *f)
{
    struct gateway_server *g = s->run->control->gateway;
    json_t *all =
        json_pack("{s:o, s:i, s:i, s:i, s:I, s:I, s:I, s:i, s:i, s:I}", "time", describe_time(time(NULL)),
                  "live_sessions", (int)s->live, "unauthenticated", (int)gateway_count_unauthenticated(g),
                  "users_today", (int)s->users, "logins_last_hour", (json_int_t)n->logins,
                  "failures_last_hour", (json_int_t)n->failures, "refused_last_hour", (json_int_t)n->refusals,
                  "bans_in_force", (int)n->bans.in_force, "bans_total", (int)n->bans.ever, "turned_away",
                  (json_int_t)turned_away(s->run));
    enum err e = last_events(s, AUDIT_LOGIN, "", "last_logins", all, f);
    if (e == ERR_NONE)
        e = last_events(s, AUDIT_LOGIN_FAILED, "", "last_failures", all, f);
    if (e == ERR_NONE)
        e = last_events(s, AUDIT_REFUSED, "", "last_refused", all, f);
    if (e == ERR_NONE)
        verb_result(s->run, all);
    else
        json_decref(all);
    return e;
}

static const char *tint(const struct command_run *run, bool there_is_something)
{
    return run->colours && there_is_something ? TINT_CARE : "";
}

static void print_figures(struct screen *s, const struct numbers *n)
{
    struct command_run *run = s->run;
    const char *failed = tint(run, n->failures > 0), *banned = tint(run, n->bans.in_force > 0);
    verb_out(run, "Live sessions:     %u (and %u logging in)\n", s->live,
             gateway_count_unauthenticated(run->control->gateway));
    verb_out(run, "Users today:       %u\n", s->users);
    verb_out(run, "Last hour:         %llu logins, %s%llu failed%s, %llu requests refused\n",
             (unsigned long long)n->logins, failed, (unsigned long long)n->failures,
             failed[0] == '\0' ? "" : TINT_END, (unsigned long long)n->refusals);
    verb_out(run, "Bans in force:     %s%u%s (%u ever)\n", banned, n->bans.in_force,
             banned[0] == '\0' ? "" : TINT_END, n->bans.ever);
    verb_out(run, "Turned away:       %llu connections since the control plane started\n",
             (unsigned long long)turned_away(run));
}

// What to look at, if anything.
static void print_next(struct command_run *run, const struct numbers *n)
{
    const char *program = verb_program(run);
    struct table *t = table_new();
    if (n->bans.in_force > 0)
        table_row(t, "  %s bans list\twho is banned", program);
    if (n->failures > 0)
        table_row(t, "  %s audit --event auth-failed --since 1h\twhich keys were tried", program);
    if (n->refusals > 0)
        table_row(t, "  %s audit --event refused --since 1h\twhat was refused, and why", program);
    table_row(t, "  %s doctor\tIncus, pool, disk, clock", program);
    verb_out(run, "\n%s\n",
             n->bans.in_force + n->failures + n->refusals > 0
                 ? "To look closer:"
                 : "Quiet: nothing failed or was refused in the last hour, nobody is banned.");
    verb_table(run, t);
    table_free(t);
}

static enum err as_screen(struct screen *s, const struct numbers *n, struct fault *f)
{
    struct command_run *run = s->run;
    print_figures(s, n);
    enum err e = last_events(s, AUDIT_LOGIN, "Last logins", NULL, NULL, f);
    if (e == ERR_NONE)
        e = last_events(s, AUDIT_LOGIN_FAILED, "Last failed logins", NULL, NULL, f);
    if (e == ERR_NONE)
        e = last_events(s, AUDIT_REFUSED, "Last refusals", NULL, NULL, f);
    if (e == ERR_NONE)
        print_next(run, n);
    return e;
}

void cmd_security_status(struct command_run *run)
{
    struct screen s = {.run = run};
    struct numbers n = {.logins = 0};
    struct fault f = {.text = ""};
    enum err e = count_all(&s, &n, &f);
    if (e == ERR_NONE)
        e = run->json ? as_json(&s, &n, &f) : as_screen(&s, &n, &f);
    if (e != ERR_NONE)
        verb_fail(run, &f);
    else
        verb_done(run);
}
