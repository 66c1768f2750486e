// Owns what is changed about a box without making or ending it: its limits, its snapshots. What a snapshot
// brings back is the disk; limits, address and keys stay those of today, because a key that was removed since
// must not open the box again.
#include "provision/box_change.h"

#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "provision/box_files.h"
#include "provision/box_make.h"
#include "provision/sshd.h"

// ---- limits

static enum err check_memory(struct box_run *r)
{
    const struct box_change *change = &r->w->spec.change;
    struct box_entry entry;
    char used[32], wanted[32];
    if (change->memory == 0 || change->force)
        return ERR_NONE;
    enum err e = incus_usage(r->i, r->w->spec.name, &entry, &r->fault);
    if (e == ERR_NONE && entry.usage.memory > change->memory)
        e = run_fail(
            r, ERR_FULL,
            "%s uses %s of memory now, caches included: with %s its programs may be killed; stop some, or "
            "insist with --force",
            r->w->spec.name, size_format_human(entry.usage.memory, used, sizeof used),
            size_format(change->memory, wanted, sizeof wanted));
    return e;
}

enum err box_change_limits(struct box_run *r)
{
    enum err e = run_look(r);
    if (e != ERR_NONE || r->box.state == BOX_STATE_ABSENT) // it is made with the new ones
        return e;
    struct box_change change = r->w->spec.change;
    bool awake = r->box.state != BOX_STATE_STOPPED && r->box.state != BOX_STATE_FROZEN;
    if (change.autostart == CHANGE_ON && !awake) // it slept, and does so until its next wake
        change.autostart = CHANGE_KEEP;
    e = check_memory(r);
    return e == ERR_NONE ? incus_configure(r->i, r->w->spec.name, &change, &r->fault) : e;
}

// ---- snapshots

static enum err look_at_existing(struct box_run *r)
{
    enum err e = run_look(r);
    if (e == ERR_NONE && r->box.state == BOX_STATE_ABSENT)
        e = run_fail(r, ERR_NOTFOUND, "%s has not been made yet", r->w->spec.name);
    return e;
}

enum err box_snapshot_list(struct box_run *r)
{
    return incus_snapshots(r->i, r->w->spec.name, &r->w->result.snapshots, &r->w->result.snapshot_count,
                           &r->fault);
}

// Is it there, and how many are there? Asked anew in each try.
static enum err find_snapshot(struct box_run *r, bool *found, size_t *count)
{
    struct box_snapshot *list = NULL;
    enum err e = incus_snapshots(r->i, r->w->spec.name, &list, count, &r->fault);
    *found = false;
    for (size_t k = 0; e == ERR_NONE && k < *count; k++)
        *found = *found || strcmp(list[k].name, r->w->spec.snapshot) == 0;
    free(list);
    return e;
}

static enum err no_such_snapshot(struct box_run *r)
{
    return run_fail(r, ERR_NOTFOUND, "%s has no snapshot \"%s\"", r->w->spec.name, r->w->spec.snapshot);
}

enum err box_snapshot_create(struct box_run *r)
{
    const struct box_spec *s = &r->w->spec;
    bool found = false;
    size_t count = 0;
    enum err e = look_at_existing(r);
    if (e == ERR_NONE)
        e = find_snapshot(r, &found, &count);
    if (e != ERR_NONE)
        return e;
    if (found) {
        r->deadline = 0; // nothing to wait for
        return run_fail(r, ERR_CONFLICT, "%s has a snapshot \"%s\" already", s->name, s->snapshot);
    }
    if (count >= s->snapshots_max)
        return run_fail(r, ERR_FULL,
                        "%s has %zu snapshots, and [box] max_snapshots allows %u: delete one first", s->name,
                        count, s->snapshots_max);
    run_step(r, 0, "Taking snapshot %s of %s", s->snapshot, s->name);
    return incus_snapshot_create(r->i, s->name, s->snapshot, &r->fault);
}

enum err box_snapshot_delete(struct box_run *r)
{
    bool found = false;
    size_t count = 0;
    enum err e = look_at_existing(r);
    if (e == ERR_NONE)
        e = find_snapshot(r, &found, &count);
    if (e == ERR_NONE && !found)
        e = no_such_snapshot(r);
    return e == ERR_NONE ? incus_snapshot_delete(r->i, r->w->spec.name, r->w->spec.snapshot, &r->fault) : e;
}

static enum err stop_for_restore(struct box_run *r)
{
    enum err e = ERR_NONE;
    if (r->box.state == BOX_STATE_UNKNOWN)
        return run_unsettled(r);
    if (r->box.state == BOX_STATE_STOPPED)
        return ERR_NONE;
    run_step(r, 0, "Stopping %s", r->w->spec.name); // what it would still write is about to go anyway
    e = run_change(r, INCUS_STOP_FORCE, BOX_STATE_STOPPED);
    return e;
}

// Incus brings the settings of that day back as well.
static enum err bring_up_to_date(struct box_run *r)
{
    struct incus_settings s = box_make_settings(r);
    s.autostart = s.autostart && r->w->result.was != BOX_STATE_STOPPED; // asleep stays asleep
    enum err e = incus_correct(r->i, &s, &r->fault);
    if (e == ERR_NONE)
        e = box_files_write(r->w, r->i, &r->fault);
    if (e == ERR_NONE)
        e = box_files_write_keys(r->w, r->i, true, &r->fault);
    return e;
}

enum err box_snapshot_restore(struct box_run *r)
{
    const struct box_spec *s = &r->w->spec;
    bool found = false;
    size_t count = 0;
    enum err e = look_at_existing(r);
    if (e == ERR_NONE)
        e = find_snapshot(r, &found, &count);
    if (e == ERR_NONE && !found)
        e = no_such_snapshot(r);
    if (e == ERR_NONE)
        e = stop_for_restore(r);
    if (e != ERR_NONE)
        return e;
    run_step(r, 0, "Going back to snapshot %s", s->snapshot);
    e = incus_snapshot_restore(r->i, s->name, s->snapshot, &r->fault);
    if (e == ERR_NONE)
        e = bring_up_to_date(r);
    if (e != ERR_NONE || r->w->result.was == BOX_STATE_STOPPED)
        return e;
    run_step(r, 0, "Starting %s", s->name);
    e = run_change(r, INCUS_START, BOX_STATE_RUNNING);
    if (e == ERR_NONE)
        e = sshd_wait(s->address, s->port, r->deadline, r->w->stop, &r->fault);
    return e;
}
