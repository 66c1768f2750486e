// bans: list, status, add, remove.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/bans.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/table.h"

#define HISTORY_ROWS 1000

// ---- list

struct listing {
    struct table *table; // or
    json_t *array;
    bool history;
    unsigned count;
    struct ban_row last;
};

static const char *state_of(const struct ban_row *row, time_t now)
{
    return row->lifted != 0 ? "lifted" : row->until != 0 && row->until <= now ? "over" : "in force";
}

// The command that lifts it, to be copied into a shell. The name is whatever somebody tried to log in as: one
// that has more than letters and digits is quoted, one that cannot be quoted safely makes no command. False
// then.
static bool lifting_command(const struct command_run *run, const struct ban_row *row, char *out, size_t size)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    bool quoted = row->user[strspn(row->user, plain)] != '\0';
    for (const char *p = row->user; *p != '\0'; p++) {
        if (*p <= 0x20 || *p >= 0x7f || strchr("'\"\\", *p) != NULL)
            return false;
    }
    snprintf(out, size, "%s bans remove%s%s%s%s%s%s", verb_program(run), row->subnet[0] == '\0' ? "" : " ",
             row->subnet, row->user[0] == '\0' ? "" : " --user ", quoted ? "'" : "", row->user,
             quoted ? "'" : "");
    return true;
}

static enum err list_ban(const struct ban_row *row, void *arg, struct fault *f)
{
    struct listing *l = arg;
    char since[32], until[32];
    time_t now = time(NULL);
    l->count++;
    l->last = *row;
    if (l->array == NULL) {
        char state[16] = "";
        if (l->history)
            snprintf(state, sizeof state, "%s\t", state_of(row, now));
        table_row(l->table, "%s\t%s\t%s\t%s\t%s%s\t%s", row->user[0] == '\0' ? "-" : row->user,
                  row->subnet[0] == '\0' ? "-" : row->subnet, when_format(row->created, since, sizeof since),
                  row->until == 0 ? "for ever" : when_format(row->until, until, sizeof until), state,
                  row->lifted != 0 ? row->lifted_by : row->actor, row->reason);
        return ERR_NONE;
    }
    json_t *one =
        json_pack("{s:I, s:s, s:s, s:o, s:o, s:s, s:s, s:s, s:o, s:s}", "id", (json_int_t)row->id, "user",
                  row->user, "from", row->subnet, "since", describe_time(row->created), "until",
                  describe_time(row->until), "state", state_of(row, now), "by", row->actor, "reason",
                  row->reason, "lifted", describe_time(row->lifted), "lifted_by", row->lifted_by);
    if (one == NULL || json_array_append_new(l->array, one) != 0)
        return fault_set(f, ERR_MEMORY, "out of memory");
    return ERR_NONE;
}

void cmd_bans_list(struct command_run *run)
{
    struct listing l = {.history = verb_flag(run, "history")};
    struct fault f;
    struct store *s = run->control->store;
    char command[512];
    if (run->json)
        l.array = json_array();
    else
        l.table = table_new();
    table_row(l.table, "USER\tFROM\tSINCE\tUNTIL\t%sBY\tREASON", l.history ? "STATE\t" : "");
    table_spare(l.table, 2); // when it began says little about when it ends
    enum err e = l.history ? ban_each(s, HISTORY_ROWS, list_ban, &l, &f)
                           : ban_each_in_force(s, time(NULL), list_ban, &l, &f);
    if (e != ERR_NONE) {
        json_decref(l.array);
        verb_fail(run, &f);
    } else if (run->json) {
        verb_result(run, l.array);
    } else if (l.count == 0) {
        verb_note(run,
                  l.history ? "There never was a ban." : "Nobody is banned. For earlier bans: --history.");
    } else {
        verb_table(run, l.table);
        if (!l.history && lifting_command(run, &l.last, command, sizeof command))
            verb_note(run, "To lift %s: %s", l.count == 1 ? "it" : "one, for instance the last", command);
    }
    table_free(l.table);
    verb_done(run);
}

// ---- status

void cmd_bans_status(struct command_run *run)
{
    struct bans_figures n;
    struct fault f;
    char window[32];
    uint64_t total = 0;
    enum err e = bans_figures(run->control, &n, &f);
    if (e == ERR_NONE)
        e = audit_count_event(run->control->store, AUDIT_LOGIN_FAILED, 0, &total, &f);
    if (e != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    if (run->json) {
        verb_result(run,
                    json_pack("{s:I, s:I, s:i, s:i, s:i}", "currently_failed", (json_int_t)n.failed_in_window,
                              "total_failed", (json_int_t)total, "currently_banned", (int)n.in_force,
                              "total_banned", (int)n.ever, "followed", (int)n.followed));
        verb_done(run);
        return;
    }
    duration_format(run->control->config->ban_window, window, sizeof window);
    verb_out(run, "Currently failed:  %llu logins in the last %s\n", (unsigned long long)n.failed_in_window,
             window);
    verb_out(run, "Total failed:      %llu logins on record\n", (unsigned long long)total);
    verb_out(run, "Currently banned:  %u\n", n.in_force);
    verb_out(run, "Total banned:      %u\n", n.ever);
    verb_out(run, "Being followed:    %u names and addresses\n", n.followed);
    verb_done(run);
}

// ---- add, remove

// The user and the address both verbs are about, checked.
static enum err subject(const struct command_run *run, char *user, size_t user_size, char *subnet,
                        struct fault *f)
{
    struct subnet parsed;
    const char *name = verb_option(run, "user"), *from = run->word_count > 0 ? run->words[0] : NULL;
    user[0] = subnet[0] = '\0';
    if (name == NULL && from == NULL)
        return fault_set(f, ERR_INVALID, "say whom: an address or subnet, --user NAME, or both");
    if (from != NULL && !subnet_parse(from, &parsed))
        return fault_set(
            f, ERR_INVALID,
            "\"%.60s\" is no address; accepted: 203.0.113.7, 203.0.113.0/24, 2001:db8::/32, without bits "
            "beyond the prefix",
            from);
    if (from != NULL)
        subnet_format(&parsed, subnet);
    if (name != NULL && (strlen(name) >= user_size || name[0] == '\0' || strpbrk(name, " \t\"'\\") != NULL))
        return fault_set(f, ERR_INVALID, "--user: \"%.60s\" is no login name", name);
    snprintf(user, user_size, "%s", name == NULL ? "" : name);
    return ERR_NONE;
}

static enum err parse_until(const struct command_run *run, time_t now, time_t *out, struct fault *f)
{
    const char *text = verb_option(run, "for");
    uint64_t ms = run->control->config->ban_duration;
    *out = 0;
    if (verb_flag(run, "forever"))
        return text == NULL ? ERR_NONE : fault_set(f, ERR_INVALID, "--for and --forever exclude each other");
    if (text != NULL && duration_parse(text, &ms, f) != ERR_NONE)
        return fault_prefix(f, "--for");
    if (ms < 1000)
        return fault_set(f, ERR_INVALID, "--for: a ban lasts a second at least; to end one: bans remove");
    *out = now + (time_t)(ms / 1000);
    return ERR_NONE;
}

static void on_banned(struct command_run *run)
{
    struct ban_row *row = run->state;
    char until[32];
    unsigned ended = bans_enforce(run->control, row);
    if (run->json) {
        verb_result(run, json_pack("{s:I, s:s, s:s, s:o, s:i}", "id", (json_int_t)row->id, "user", row->user,
                                   "from", row->subnet, "until", describe_time(row->until), "sessions_ended",
                                   (int)ended));
    } else {
        verb_out(run, "Banned%s%s%s%s %s%s.\n", row->user[0] == '\0' ? "" : " ", row->user,
                 row->subnet[0] == '\0' ? "" : " from ", row->subnet, row->until == 0 ? "for ever" : "until ",
                 row->until == 0 ? "" : when_format(row->until, until, sizeof until));
        if (ended > 0)
            verb_out(run, "%u live connection%s ended.\n", ended, ended == 1 ? "" : "s");
    }
    verb_done(run);
}

// Whoever locks themselves out cannot undo it from where they are.
static bool hits_caller(const struct command_run *run, const struct ban_row *row)
{
    char host[64];
    const char *start = run->who.address + (run->who.address[0] == '[');
    snprintf(host, sizeof host, "%.*s", (int)strcspn(start, run->who.address[0] == '[' ? "]" : ":"), start);
    bool from = row->subnet[0] == '\0' || subnets_have(row->subnet, host);
    bool name =
        row->user[0] == '\0' || strcmp(row->user, run->own.name) == 0 || strcmp(row->user, "ctl") == 0;
    return !run->who.local && from && name;
}

void cmd_bans_add(struct command_run *run)
{
    struct ban_row *row = verb_state(run, sizeof *row, free);
    struct fault f;
    const char *reason = verb_option(run, "reason");
    if (row == NULL)
        return;
    row->created = time(NULL);
    enum err e = subject(run, row->user, sizeof row->user, row->subnet, &f);
    if (e == ERR_NONE)
        e = parse_until(run, row->created, &row->until, &f);
    snprintf(row->reason, sizeof row->reason, "%s", reason == NULL ? "imposed by hand" : reason);
    snprintf(row->actor, sizeof row->actor, "%s", run->who.actor);
    if (e == ERR_NONE && hits_caller(run, row) && !verb_flag(run, "force"))
        e = fault_set(&f, ERR_CONFLICT, "that would shut you out as well; say --force if it shall");
    if (e == ERR_NONE)
        e = bans_impose(run->control, row, &f);
    if (e == ERR_CONFLICT && row->id != 0)
        (void)fault_set(&f, ERR_CONFLICT,
                        "that is banned already, since ban %lld; remove it first to change it",
                        (long long)row->id);
    if (e != ERR_NONE)
        verb_fail(run, &f);
    else
        verb_commit(run, on_banned);
}

// Bans that somebody who named no such one may have meant: of the same user, or from the same address.
struct meant {
    const struct ban_row *asked;
    struct ban_row near;
    unsigned count;
};

static enum err look_near(const struct ban_row *row, void *arg, struct fault *f)
{
    struct meant *m = arg;
    (void)f;
    if ((m->asked->user[0] == '\0' || strcmp(m->asked->user, row->user) == 0) &&
        (m->asked->subnet[0] == '\0' || strcmp(m->asked->subnet, row->subnet) == 0)) {
        m->near = *row;
        m->count++;
    }
    return ERR_NONE;
}

static void hint_at_bans(struct command_run *run, const struct ban_row *asked)
{
    struct meant m = {.asked = asked};
    char command[512];
    if (ban_each_in_force(run->control->store, time(NULL), look_near, &m, NULL) == ERR_NONE && m.count == 1 &&
        lifting_command(run, &m.near, command, sizeof command))
        verb_hint(run, "There is one that fits: %s", command);
    else
        verb_hint(run, "What is in force: %s bans list", verb_program(run));
}

static void on_lifted(struct command_run *run)
{
    const struct ban_row *row = run->state;
    if (run->json)
        verb_result(run, json_pack("{s:s, s:s}", "user", row->user, "from", row->subnet));
    else
        verb_out(run, "The ban is lifted; earlier failures are forgotten.\n");
    verb_done(run);
}

void cmd_bans_remove(struct command_run *run)
{
    struct ban_row *row = verb_state(run, sizeof *row, free);
    struct fault f;
    if (row == NULL)
        return;
    enum err e = subject(run, row->user, sizeof row->user, row->subnet, &f);
    if (e == ERR_NONE)
        e = bans_lift(run->control, row->user, row->subnet, run->who.actor, time(NULL), &f);
    if (e == ERR_NOTFOUND)
        hint_at_bans(run, row);
    if (e != ERR_NONE)
        verb_fail(run, &f);
    else
        verb_commit(run, on_lifted);
}
