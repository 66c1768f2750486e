// snapshot: the disk of a box as it is now, kept; and the way back to it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/units.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/gateway_link.h"
#include "control/table.h"

static struct box_wish *wish_of(struct command_run *run)
{
    return run->state;
}

// The name said, checked; or the time. False: the run has failed.
static bool take_name(struct command_run *run)
{
    struct fault f;
    struct tm tm;
    time_t now = time(NULL);
    struct box_wish *wish = verb_state(run, sizeof *wish, free);
    if (wish == NULL)
        return false;
    if (run->word_count == 0) {
        strftime(wish->snapshot, sizeof wish->snapshot, "%Y%m%d-%H%M%S", gmtime_r(&now, &tm));
        return true;
    }
    if (name_check_snapshot(run->words[0], &f) != ERR_NONE) {
        verb_fail(run, &f);
        return false;
    }
    snprintf(wish->snapshot, sizeof wish->snapshot, "%s", run->words[0]);
    return true;
}

static void on_done(struct command_run *run)
{
    const char *name = wish_of(run)->snapshot;
    const char *verb = run->command->name + strlen("snapshot ");
    if (run->result.code == ERR_NOTFOUND)
        verb_hint(run, "Those there are: %s snapshot list %s", verb_program(run), run->user);
    if (verb_box_failed(run))
        return;
    if (run->json)
        verb_result(run, json_pack("{s:s, s:s, s:s, s:s, s:I}", "box", run->row.name, "snapshot", name,
                                   "state", describe_state_word(&run->row, run->result.state), "done", verb,
                                   "elapsed_ms", (json_int_t)run->result.elapsed_ms));
    else
        verb_out(run, "%s: snapshot %s %s (%.2f s)\n", run->row.name, name,
                 strcmp(verb, "create") == 0    ? "taken"
                 : strcmp(verb, "restore") == 0 ? "restored"
                                                : "deleted",
                 (double)run->result.elapsed_ms / 1000.0);
    verb_done(run);
}

static void carry_out(struct command_run *run, enum box_op op)
{
    if (take_name(run) && verb_own_box(run))
        verb_box_wish(run, op, wish_of(run), on_done);
}

void cmd_snapshot_create(struct command_run *run)
{
    carry_out(run, BOX_OP_SNAPSHOT_CREATE);
}

void cmd_snapshot_delete(struct command_run *run)
{
    carry_out(run, BOX_OP_SNAPSHOT_DELETE);
}

// ---- list

static void list_json(struct command_run *run)
{
    json_t *array = json_array();
    for (size_t i = 0; i < run->snapshot_count; i++) {
        const struct box_snapshot *s = &run->snapshots[i];
        json_array_append_new(array,
                              json_pack("{s:s, s:o, s:I}", "name", s->name, "created",
                                        describe_time((time_t)s->created), "size", (json_int_t)s->size));
    }
    verb_result(run, array);
}

static void list_text(struct command_run *run)
{
    char when[32], size[32];
    struct table *t = table_new();
    table_row(t, "NAME\tTAKEN\tSIZE");
    for (size_t i = 0; i < run->snapshot_count; i++) {
        const struct box_snapshot *s = &run->snapshots[i];
        table_row(t, "%s\t%s\t%s", s->name, when_format((time_t)s->created, when, sizeof when),
                  s->size == 0 ? "-" : size_format_human(s->size, size, sizeof size));
    }
    verb_table(run, t);
    table_free(t);
}

static void on_listed(struct command_run *run)
{
    if (verb_box_failed(run))
        return;
    if (run->json)
        list_json(run);
    else if (run->snapshot_count == 0)
        verb_note(run, "%s has no snapshots. Take one: %s snapshot create %s", run->row.name,
                  verb_program(run), run->user);
    else
        list_text(run);
    verb_done(run);
}

void cmd_snapshot_list(struct command_run *run)
{
    if (verb_own_box(run))
        verb_box(run, BOX_OP_SNAPSHOTS, on_listed);
}

// ---- restore

static void restore(struct command_run *run)
{
    char reason[160];
    snprintf(reason, sizeof reason,
             "this box is being put back to its snapshot %.60s; log in again in a moment",
             wish_of(run)->snapshot);
    (void)gateway_kick_from_box(run->control->gateway, run->account.id, reason);
    verb_box_wish(run, BOX_OP_SNAPSHOT_RESTORE, wish_of(run), on_done);
}

static const struct box_snapshot *find_snapshot(const struct command_run *run, const char *name)
{
    for (size_t i = 0; i < run->snapshot_count; i++) {
        if (strcmp(run->snapshots[i].name, name) == 0)
            return &run->snapshots[i];
    }
    return NULL;
}

// A name that is not there ends nobody's session.
static void on_known(struct command_run *run)
{
    char question[300], when[32];
    if (verb_box_failed(run))
        return;
    const struct box_snapshot *s = find_snapshot(run, wish_of(run)->snapshot);
    if (s == NULL) {
        verb_hint(run, "Those there are: %s snapshot list %s", verb_program(run), run->user);
        verb_failf(run, ERR_NOTFOUND, "%s has no snapshot \"%s\"", run->row.name, wish_of(run)->snapshot);
    } else if (verb_flag(run, "force")) {
        restore(run);
    } else {
        snprintf(question, sizeof question,
                 "Put %s back to %s of %s, losing what was written since and ending its sessions?",
                 run->row.name, s->name, when_format((time_t)s->created, when, sizeof when));
        verb_confirm(run, question, restore);
    }
}

void cmd_snapshot_restore(struct command_run *run)
{
    if (take_name(run) && verb_own_box(run))
        verb_box(run, BOX_OP_SNAPSHOTS, on_known);
}
