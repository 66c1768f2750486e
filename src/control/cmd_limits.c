// limits: what a user may use at a time, and what of it they use now.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cmd.h"
#include "control/command_run.h"
#include "control/gateway_link.h"
#include "control/option.h"
#include "control/table.h"
#include "control/usage.h"
#include "store/limit.h"

// What is in use of those that can be counted now; -1 for the others.
static long long in_use(const struct command_run *run, enum limit_name name)
{
    unsigned sessions = 0, here = 0;
    struct gateway_server *g = run->control->gateway;
    switch (name) {
    case LIMIT_CONNECTIONS:
        return gateway_count_connections(g, run->account.id, "", &here);
    case LIMIT_CHANNELS:
        return gateway_count_channels(g, run->account.id, &sessions);
    case LIMIT_SESSIONS:
        gateway_count_channels(g, run->account.id, &sessions);
        return sessions;
    case LIMIT_LOGINS:
    case LIMIT_LOGINS_PER_SOURCE:
    case LIMIT_CONNECTIONS_PER_SOURCE:
    case LIMIT_BANDWIDTH:
    case LIMIT_BURST:
    case LIMIT_COUNT:
        break;
    }
    return -1;
}

static void show_json(struct command_run *run, const struct limits *limits, const bool *own)
{
    json_t *all = json_object();
    for (int i = 0; i < LIMIT_COUNT; i++) {
        long long used = in_use(run, (enum limit_name)i);
        json_t *one = json_pack("{s:I, s:b}", "limit", (json_int_t)limits->value[i], "own", own[i]);
        if (used >= 0)
            json_object_set_new(one, "in_use", json_integer(used));
        json_object_set_new(all, limit_info((enum limit_name)i)->name, one);
    }
    verb_result(run, json_pack("{s:s, s:o}", "user", run->user, "limits", all));
}

static void show_table(struct command_run *run, const struct limits *limits, const bool *own)
{
    struct table *t = table_new();
    table_row(t, "LIMIT\tVALUE\tWHAT\tIN USE\tFROM");
    for (int i = 0; i < LIMIT_COUNT; i++) {
        char value[32], used[24] = "-";
        enum limit_name name = (enum limit_name)i;
        long long n = in_use(run, name);
        if (n >= 0)
            snprintf(used, sizeof used, "%lld", n);
        table_row(t, "%s\t%s\t%s\t%s\t%s", limit_info(name)->name,
                  limit_format(name, limits->value[i], value, sizeof value), limit_info(name)->unit, used,
                  own[i] ? "own" : "configuration");
    }
    verb_table(run, t);
    table_free(t);
}

static void show(struct command_run *run)
{
    struct limits limits;
    bool own[LIMIT_COUNT];
    struct fault f;
    limits_of_config(run->control->config, &limits);
    if (limit_load(run->control->store, run->account.id, &limits, own, &f) != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    if (run->json)
        show_json(run, &limits, own);
    else
        show_table(run, &limits, own);
    verb_done(run);
}

void cmd_limits(struct command_run *run)
{
    show(run);
}

static void on_set(struct command_run *run)
{
    usage_changed(run->control, run->account.id);
    show(run);
}

void cmd_limits_set(struct command_run *run)
{
    struct limits values;
    bool given[LIMIT_COUNT] = {false};
    struct fault f;
    struct store *s = run->control->store;
    struct audit_record record = {.event = AUDIT_LIMIT_SET};
    char target[400] = "";
    bool any = verb_flag(run, "reset");
    enum err e = option_limits(run, &values, given, &any, &f);
    if (e == ERR_NONE && !any)
        e = fault_set(&f, ERR_INVALID, "nothing to set; give a limit, or --reset");
    if (e == ERR_NONE && verb_flag(run, "reset")) {
        e = limit_reset(s, run->account.id, &f);
        snprintf(target, sizeof target, "reset ");
    }
    for (int i = 0; e == ERR_NONE && i < LIMIT_COUNT; i++) {
        char value[32];
        size_t at = strlen(target);
        enum limit_name name = (enum limit_name)i;
        if (!given[i])
            continue;
        e = limit_set(s, run->account.id, name, values.value[i], &f);
        snprintf(target + at, sizeof target - at, "%s=%s ", limit_info(name)->name,
                 limit_format(name, values.value[i], value, sizeof value));
    }
    record.target = target;
    if (e != ERR_NONE)
        verb_fail(run, &f);
    else if (verb_audit(run, &record))
        verb_commit(run, on_set);
}
