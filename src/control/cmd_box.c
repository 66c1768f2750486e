// start, stop, restart, freeze, autostart.
#include <stdio.h>
#include <string.h>

#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"

static void on_moved(struct command_run *run)
{
    char seconds[32];
    if (verb_box_failed(run))
        return;
    if (run->json) {
        verb_result(run, json_pack("{s:s, s:s, s:s, s:I}", "box", run->row.name, "was",
                                   describe_state_word(&run->row, run->result.was), "state",
                                   describe_state_word(&run->row, run->result.state), "elapsed_ms",
                                   (json_int_t)run->result.elapsed_ms));
    } else {
        snprintf(seconds, sizeof seconds, "%.2f s", (double)run->result.elapsed_ms / 1000.0);
        bool same = run->result.was == run->result.state && strcmp(run->command->name, "restart") != 0;
        verb_out(run, "%s: %s%s (%s)\n", run->row.name, box_state_name(run->result.state),
                 same ? " already" : "", seconds);
    }
    verb_done(run);
}

static void move(struct command_run *run, enum box_op op)
{
    if (verb_own_box(run))
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
    if (verb_box_failed(run))
        return;
    if (run->json)
        verb_result(run, json_pack("{s:s, s:b}", "user", run->user, "autostart", on));
    else
        verb_out(run, "Auto-start of %s: %s\n", run->user, on ? "Enabled" : "Disabled");
    verb_done(run);
}

void cmd_autostart(struct command_run *run)
{
    struct box_wish wish = {.change = {.autostart = CHANGE_ON}};
    if (strcmp(run->words[0], "off") == 0) {
        wish.change.autostart = CHANGE_OFF;
    } else if (strcmp(run->words[0], "on") != 0) {
        verb_usage(run, "\"%.40s\" is neither on nor off", run->words[0]);
        return;
    }
    if (verb_own_row(run))
        verb_box_wish(run, BOX_OP_CHANGE, &wish, on_set);
}
