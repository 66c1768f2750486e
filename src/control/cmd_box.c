// start, stop, restart, freeze, autostart.
#include <stdio.h>
#include <string.h>

#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"

static void on_moved(struct command_run *run)
{
    char seconds[32];
    if (run->result.code != ERR_NONE) {
        struct fault f = run->result.fault;
        f.code = run->result.code;
        verb_fail(run, &f);
        return;
    }
    const char *word = box_state_name(run->result.state);
    if (run->json) {
        verb_result(run, json_pack("{s:s, s:s, s:s, s:I}", "box", run->row.name, "was",
                                   box_state_name(run->result.was), "state", word, "elapsed_ms",
                                   (json_int_t)run->result.elapsed_ms));
    } else {
        snprintf(seconds, sizeof seconds, "%.2f s", (double)run->result.elapsed_ms / 1000.0);
        bool same = run->result.was == run->result.state && strcmp(run->command->name, "restart") != 0;
        verb_out(run, "%s: %s%s (%s)\n", run->row.name, word, same ? " already" : "", seconds);
    }
    verb_done(run);
}

static void move(struct command_run *run, enum box_op op)
{
    struct fault f;
    enum err e = box_get(run->control->store, run->account.id, &run->row, &f);
    if (e == ERR_NOTFOUND || (e == ERR_NONE && run->row.phase == BOX_ABSENT))
        verb_failf(run, ERR_NOTFOUND, "%s has no box yet: it is made at the first login", run->user);
    else if (e != ERR_NONE)
        verb_fail(run, &f);
    else if (run->row.driver == BOX_DRIVER_STATIC)
        verb_failf(run, ERR_CONFLICT, "the box of %s is an existing machine at %s; it is not ours to %s",
                   run->user, run->row.address, run->command->name);
    else
        verb_box(run, op, on_moved);
}

void cmd_start(struct command_run *run)
{
    move(run, BOX_OP_START);
}

void cmd_stop(struct command_run *run)
{
    move(run, BOX_OP_STOP);
}

void cmd_restart(struct command_run *run)
{
    move(run, BOX_OP_RESTART);
}

void cmd_freeze(struct command_run *run)
{
    move(run, BOX_OP_FREEZE);
}

static void on_set(struct command_run *run)
{
    bool on = strcmp(run->words[0], "on") == 0;
    if (run->json)
        verb_result(run, json_pack("{s:s, s:b}", "user", run->user, "autostart", on));
    else
        verb_out(run, "Auto-start of %s: %s\n", run->user, on ? "Enabled" : "Disabled");
    if (run->row.phase != BOX_ABSENT && run->row.autostart != on)
        verb_note(run,
                  "Note: recorded for the next time the box is made; Incus cannot be told about one that "
                  "exists yet.");
    verb_done(run);
}

void cmd_autostart(struct command_run *run)
{
    struct fault f;
    bool on = strcmp(run->words[0], "on") == 0;
    if (!on && strcmp(run->words[0], "off") != 0) {
        verb_usage(run, "\"%.40s\" is neither on nor off", run->words[0]);
        return;
    }
    enum err e = box_get(run->control->store, run->account.id, &run->row, &f);
    if (e == ERR_NONE)
        e = box_set_autostart(run->control->store, run->account.id, on, &f);
    if (e != ERR_NONE)
        verb_fail(run, &f);
    else
        verb_commit(run, on_set);
}
