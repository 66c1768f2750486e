// idle, idle set: after how long without a session a box falls asleep. Incus is told nothing: the timers are
// ours.
#include <stdio.h>
#include <string.h>

#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/idle.h"
#include "control/table.h"

static void add_row(struct table *t, const char *step, uint64_t ms, bool own)
{
    char after[32];
    table_row(t, "%s\t%s\t%s", step, idle_format(ms, after, sizeof after), own ? "own" : "configuration");
}

static void show(struct command_run *run)
{
    const struct box_row *row = &run->row;
    const struct idle_rules rules = idle_rules_of(run->control->config, &row->idle);
    if (run->json) {
        verb_result(run, json_pack("{s:s, s:s, s:o}", "user", run->user, "box", row->name, "idle",
                                   describe_idle_json(run->control->config, row)));
    } else {
        struct table *t = table_new();
        table_row(t, "STEP\tAFTER\tFROM");
        add_row(t, "freeze", rules.freeze_ms, row->idle.has_freeze);
        add_row(t, "stop", rules.stop_ms, row->idle.has_stop);
        verb_table(run, t);
        table_free(t);
    }
    if (rules.stop_ms != 0 && rules.freeze_ms >= rules.stop_ms)
        verb_note(run, "Note: the stop comes first, so it is never frozen.");
    verb_done(run);
}

void cmd_idle(struct command_run *run)
{
    if (verb_own_row(run))
        show(run);
}

static enum err parse_option(const struct command_run *run, const char *name, bool *has, uint64_t *ms,
                             struct fault *f)
{
    const char *text = verb_option(run, name);
    *has = text != NULL;
    if (text != NULL && idle_parse(text, ms, f) != ERR_NONE)
        return fault_prefix(f, "--%s", name);
    return ERR_NONE;
}

static enum err parse_times(const struct command_run *run, struct idle_own *given, struct fault *f)
{
    enum err e = parse_option(run, "freeze", &given->has_freeze, &given->rules.freeze_ms, f);
    if (e == ERR_NONE)
        e = parse_option(run, "stop", &given->has_stop, &given->rules.stop_ms, f);
    if (e == ERR_NONE && !given->has_freeze && !given->has_stop && !verb_flag(run, "reset"))
        e = fault_set(f, ERR_INVALID, "nothing to set; give --freeze, --stop, or --reset");
    return e;
}

// For the audit trail: "idle reset freeze 2h stop never".
static void words_of(bool reset, const struct idle_own *given, char *out, size_t out_size)
{
    char freeze[32], stop[32];
    snprintf(out, out_size, "idle%s%s%s%s%s", reset ? " reset" : "", given->has_freeze ? " freeze " : "",
             given->has_freeze ? idle_format(given->rules.freeze_ms, freeze, sizeof freeze) : "",
             given->has_stop ? " stop " : "",
             given->has_stop ? idle_format(given->rules.stop_ms, stop, sizeof stop) : "");
}

static void take(struct idle_own *own, const struct idle_own *given)
{
    if (given->has_freeze)
        own->rules.freeze_ms = given->rules.freeze_ms;
    if (given->has_stop)
        own->rules.stop_ms = given->rules.stop_ms;
    own->has_freeze = own->has_freeze || given->has_freeze;
    own->has_stop = own->has_stop || given->has_stop;
}

static void on_set(struct command_run *run)
{
    idle_changed(run->control, run->account.id);
    show(run);
}

void cmd_idle_set(struct command_run *run)
{
    struct fault f;
    char words[96];
    struct idle_own given = {.has_freeze = false};
    struct idle_own *own = &run->row.idle;
    bool reset = verb_flag(run, "reset");
    if (parse_times(run, &given, &f) != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    if (!verb_own_row(run))
        return;
    if (reset)
        *own = (struct idle_own){.has_freeze = false};
    take(own, &given);
    words_of(reset, &given, words, sizeof words);
    struct audit_record record = {.event = AUDIT_BOX_CHANGED, .box = run->row.name, .reason = words};
    if (box_set_idle(run->control->store, run->account.id, own, &f) != ERR_NONE)
        verb_fail(run, &f);
    else if (verb_audit(run, &record))
        verb_commit(run, on_set);
}
