// Owns a run's waiting for boxes and for Incus, and the copies of what came out of it.
#include <stdlib.h>
#include <string.h>

#include "control/command_run.h"

static void on_box_progress(void *arg, const char *step, unsigned number, unsigned total)
{
    struct command_run *run = arg;
    if (total > 0)
        verb_note(run, "[%u/%u] %s...", number, total, step);
    else
        verb_note(run, "%s...", step);
}

static void keep_snapshots(struct command_run *run, const struct box_result *result)
{
    run->result.snapshots = NULL;
    free(run->snapshots);
    run->snapshots = NULL;
    run->snapshot_count = 0;
    if (result->snapshot_count > 0)
        run->snapshots = calloc(result->snapshot_count, sizeof *run->snapshots);
    if (run->snapshots != NULL) {
        memcpy(run->snapshots, result->snapshots, result->snapshot_count * sizeof *run->snapshots);
        run->snapshot_count = result->snapshot_count;
    }
}

static void on_box(void *arg, const struct box_row *row, const struct box_result *result)
{
    struct command_run *run = arg;
    run->flow_ticket = 0;
    run->result = *result;
    run->result.list = NULL;
    run->result.list_count = 0;
    keep_snapshots(run, result);
    run->have_row = row != NULL;
    if (row != NULL)
        run->row = *row;
    verb_go_on(run);
}

void verb_box(struct command_run *run, enum box_op op, verb_next_fn next)
{
    verb_box_wish(run, op, NULL, next);
}

void verb_box_wish(struct command_run *run, enum box_op op, const struct box_wish *wish, verb_next_fn next)
{
    bool quiet = op == BOX_OP_STATE || op == BOX_OP_KEYS;
    verb_wait_for(run, RUN_WAITS_INSIDE, next);
    run->flow_ticket = box_flow_submit_wish(run->control, op, wish, run->account.id, run->who.actor,
                                            quiet ? NULL : on_box_progress, on_box, run);
}

void verb_box_keys(struct command_run *run, verb_next_fn next)
{
    if (box_flow_has_keys(run->control, run->account.id))
        verb_box(run, BOX_OP_KEYS, next);
    else
        next(run);
}

static bool no_box_yet(struct command_run *run)
{
    verb_failf(run, ERR_NOTFOUND, "%s has no box yet: it is made at the first login", run->user);
    return false;
}

bool verb_own_row(struct command_run *run)
{
    struct fault f;
    enum err e = box_get(run->control->store, run->account.id, &run->row, &f);
    if (e == ERR_NOTFOUND)
        return no_box_yet(run);
    if (e != ERR_NONE)
        verb_fail(run, &f);
    else if (run->row.driver == BOX_DRIVER_STATIC)
        verb_failf(run, ERR_CONFLICT,
                   "the box of %s is an existing machine at %s: \"%s\" is nothing we could do to it",
                   run->user, run->row.address, run->command->name);
    else
        return true;
    return false;
}

bool verb_own_box(struct command_run *run)
{
    return verb_own_row(run) && (run->row.phase != BOX_ABSENT || no_box_yet(run));
}

bool verb_box_failed(struct command_run *run)
{
    struct fault f = run->result.fault;
    f.code = run->result.code;
    if (f.code != ERR_NONE)
        verb_fail(run, &f);
    return f.code != ERR_NONE;
}

static void on_list(void *arg, const struct box_result *result)
{
    struct command_run *run = arg;
    run->list_ticket = 0;
    run->result = *result;
    run->result.list = NULL;
    free(run->entries);
    run->entries = NULL;
    run->entry_count = 0;
    if (result->list_count > 0)
        run->entries = calloc(result->list_count, sizeof *run->entries);
    if (run->entries != NULL) {
        memcpy(run->entries, result->list, result->list_count * sizeof *run->entries);
        run->entry_count = result->list_count;
    }
    verb_go_on(run);
}

void verb_list(struct command_run *run, verb_next_fn next)
{
    verb_wait_for(run, RUN_WAITS_INSIDE, next);
    run->list_ticket = provision_submit(run->control->provision, BOX_OP_LIST, NULL, NULL, on_list, run);
}

static void on_provision(void *arg, const struct box_result *result)
{
    struct command_run *run = arg;
    run->list_ticket = 0;
    run->result = *result;
    run->result.images = NULL;
    run->result.account = NULL;
    free(run->images);
    free(run->metadata);
    run->image_count = 0;
    run->images = result->image_count == 0 ? NULL : calloc(result->image_count, sizeof *run->images);
    if (run->images != NULL) {
        memcpy(run->images, result->images, result->image_count * sizeof *run->images);
        run->image_count = result->image_count;
    }
    run->result.health = NULL;
    free(run->health);
    run->health = result->health == NULL ? NULL : malloc(sizeof *run->health);
    if (run->health != NULL)
        *run->health = *result->health;
    run->metadata = result->account == NULL ? NULL : strdup(result->account);
    verb_go_on(run);
}

void verb_provision(struct command_run *run, enum box_op op, const struct box_spec *spec, verb_next_fn next)
{
    verb_wait_for(run, RUN_WAITS_INSIDE, next);
    run->list_ticket =
        provision_submit(run->control->provision, op, spec, on_box_progress, on_provision, run);
}
