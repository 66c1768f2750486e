// Owns the order of the steps. Every operation looks at what is there, does the one next thing and, when
// Incus reports a conflict (somebody else did it, or is at it), looks again until its deadline. So a retry
// repairs whatever a crash of ours or of Incus left behind.
#include "provision/box.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/units.h"
#include "provision/box_change.h"
#include "provision/box_export.h"
#include "provision/box_files.h"
#include "provision/box_make.h"
#include "provision/sshd.h"

#define STATIC_ANSWER_MS 3000

static enum err absent(struct box_run *r)
{
    return run_fail(r, ERR_NOTFOUND, "%s has not been made yet", r->w->spec.name);
}

// A box that slept when its host went down stays asleep when it comes back, whatever its autostart says:
// Incus is told with the sleep, and again with the wake (control/box_flow.c). That it could not be told
// undoes no sleep.
static enum err asleep(struct box_run *r)
{
    const struct box_change change = {.autostart = CHANGE_OFF};
    struct fault f;
    if (r->w->op != BOX_OP_RESTART && r->w->spec.autostart &&
        incus_configure(r->i, r->w->spec.name, &change, &f) != ERR_NONE)
        log_event(LOG_LEVEL_WARN, "autostart_not_set", "box=%s error=%s", r->w->spec.name, log_quote(f.text));
    return ERR_NONE;
}

static enum err stop_once(struct box_run *r)
{
    enum err e = run_look(r);
    if (e != ERR_NONE)
        return e;
    switch (r->box.state) {
    case BOX_STATE_ABSENT:
        return absent(r);
    case BOX_STATE_STOPPED:
        return asleep(r);
    case BOX_STATE_FROZEN:
        // A clean stop of a frozen box fails after its timeout and leaves it neither frozen nor running for
        // Incus (6.0.4): only a forced one helps then. So it is thawed first.
        e = run_change(r, INCUS_UNFREEZE, BOX_STATE_RUNNING);
        r->w->result.started = false;
        if (e != ERR_NONE)
            return e;
        break;
    case BOX_STATE_RUNNING:
        break;
    case BOX_STATE_UNKNOWN:
        return run_unsettled(r);
    case BOX_STATE_ERROR:
        return run_change(r, INCUS_STOP_FORCE, BOX_STATE_STOPPED);
    }
    run_step(r, 0, "Stopping %s", r->w->spec.name);
    e = run_change(r, INCUS_STOP, BOX_STATE_STOPPED);
    if (e == ERR_TIMEOUT || e == ERR_FAILED) {
        run_step(r, 0, "Stopping %s by force", r->w->spec.name);
        e = run_change(r, INCUS_STOP_FORCE, BOX_STATE_STOPPED);
    }
    return e == ERR_NONE ? asleep(r) : e;
}

static enum err freeze_once(struct box_run *r)
{
    enum err e = run_look(r);
    if (e != ERR_NONE)
        return e;
    switch (r->box.state) {
    case BOX_STATE_ABSENT:
        return absent(r);
    case BOX_STATE_FROZEN:
        return asleep(r);
    case BOX_STATE_STOPPED:
        if (r->w->spec.asleep_is_enough)
            return asleep(r);
        r->deadline = 0; // nothing to wait for
        return run_fail(r, ERR_CONFLICT, "%s is stopped: only a running box can be frozen", r->w->spec.name);
    case BOX_STATE_RUNNING:
        run_step(r, 0, "Freezing %s", r->w->spec.name);
        e = run_change(r, INCUS_FREEZE, BOX_STATE_FROZEN);
        return e == ERR_NONE ? asleep(r) : e;
    case BOX_STATE_UNKNOWN:
    case BOX_STATE_ERROR:
        return run_unsettled(r);
    }
    return ERR_PROTOCOL;
}

static enum err delete_once(struct box_run *r)
{
    enum err e = run_look(r);
    if (e != ERR_NONE || r->box.state == BOX_STATE_ABSENT)
        return e;
    if (r->box.state != BOX_STATE_STOPPED) {
        run_step(r, 0, "Stopping %s", r->w->spec.name);
        e = run_change(r, INCUS_STOP_FORCE, BOX_STATE_STOPPED);
        if (e != ERR_NONE)
            return e;
    }
    run_step(r, 0, "Deleting %s", r->w->spec.name);
    e = incus_delete(r->i, r->w->spec.name, &r->fault);
    if (e == ERR_NONE || e == ERR_NOTFOUND) {
        r->w->result.state = BOX_STATE_ABSENT;
        e = ERR_NONE;
    }
    return e;
}

static enum err keys_once(struct box_run *r)
{
    enum err e = run_look(r);
    if (e != ERR_NONE || r->box.state == BOX_STATE_ABSENT)
        return e; // a box that is made later gets them then
    return box_files_write_keys(r->w, r->i, r->box.ever_started, &r->fault);
}

static enum err state_once(struct box_run *r)
{
    struct box_entry entry;
    enum err e = incus_usage(r->i, r->w->spec.name, &entry, &r->fault);
    if (e == ERR_NOTFOUND) {
        entry = (struct box_entry){.state = BOX_STATE_ABSENT};
        e = ERR_NONE;
    }
    if (e == ERR_NONE) {
        r->w->result.was = r->w->result.state = entry.state;
        r->w->result.usage = entry.usage;
    }
    return e;
}

static enum err list_once(struct box_run *r)
{
    return incus_list(r->i, &r->w->result.list, &r->w->result.list_count, &r->fault);
}

static enum err health_once(struct box_run *r)
{
    struct box_health *health = calloc(1, sizeof *health);
    if (health == NULL)
        return run_fail(r, ERR_MEMORY, "out of memory");
    enum err e = incus_health(r->i, health, &r->fault);
    if (e == ERR_NONE)
        r->w->result.health = health;
    else
        free(health);
    return e;
}

static enum err restart(struct box_run *r)
{
    enum err e = run_repeat(r, stop_once);
    return e == ERR_NONE ? run_repeat(r, box_make_ensure) : e;
}

// Stopped first: a disk that is being written to makes no backup one would want to depend on.
static enum err export_box(struct box_run *r)
{
    enum err e = run_repeat(r, stop_once);
    return e == ERR_NONE ? box_export(r) : e;
}

// ---- driver `static`: a machine that exists

static enum err static_box(struct box_run *r)
{
    const struct box_spec *s = &r->w->spec;
    const char *verb = "";
    switch (r->w->op) {
    case BOX_OP_ENSURE:
    case BOX_OP_START:
    case BOX_OP_STATE: {
        uint64_t until = monotonic_ms() + STATIC_ANSWER_MS;
        enum err e =
            sshd_wait(s->address, s->port, until < r->deadline ? until : r->deadline, r->w->stop, &r->fault);
        r->w->result.was = r->w->result.state = e == ERR_NONE ? BOX_STATE_RUNNING : BOX_STATE_UNKNOWN;
        if (e == ERR_NONE || r->w->op == BOX_OP_STATE)
            return ERR_NONE;
        fault_prefix(&r->fault, "%s is a machine of its own (static driver): check that it is up", s->name);
        return e;
    }
    case BOX_OP_DELETE: // nothing of it is ours
        return ERR_NONE;
    case BOX_OP_STOP:
        verb = "stopped";
        break;
    case BOX_OP_RESTART:
        verb = "restarted";
        break;
    case BOX_OP_FREEZE:
        verb = "frozen";
        break;
    case BOX_OP_KEYS:
        verb = "given keys";
        break;
    case BOX_OP_CHANGE:
        verb = "given other limits";
        break;
    case BOX_OP_SNAPSHOTS:
    case BOX_OP_SNAPSHOT_CREATE:
    case BOX_OP_SNAPSHOT_RESTORE:
    case BOX_OP_SNAPSHOT_DELETE:
        verb = "snapshotted";
        break;
    case BOX_OP_EXPORT:
        verb = "backed up";
        break;
    case BOX_OP_IMPORT:
    case BOX_OP_HEALTH:
    case BOX_OP_IMAGES:
    case BOX_OP_IMAGE_USE:
    case BOX_OP_IMAGE_DELETE:
    case BOX_OP_LIST:
        break;
    }
    return run_fail(r, ERR_INVALID,
                    "%s is a machine of its own (static driver): it cannot be %s from here, do that on "
                    "the machine",
                    s->name, verb);
}

// ---- entry

static enum err perform(struct box_run *r)
{
    if (r->w->spec.is_static && r->w->op != BOX_OP_LIST)
        return static_box(r);
    switch (r->w->op) {
    case BOX_OP_ENSURE:
    case BOX_OP_START:
        return run_repeat(r, box_make_ensure);
    case BOX_OP_STATE:
        return state_once(r);
    case BOX_OP_STOP:
        return run_repeat(r, stop_once);
    case BOX_OP_RESTART:
        return restart(r);
    case BOX_OP_FREEZE:
        return run_repeat(r, freeze_once);
    case BOX_OP_DELETE:
        return run_repeat(r, delete_once);
    case BOX_OP_KEYS:
        return run_repeat(r, keys_once);
    case BOX_OP_LIST:
        return list_once(r);
    case BOX_OP_CHANGE:
        return run_repeat(r, box_change_limits);
    case BOX_OP_SNAPSHOTS:
        return box_snapshot_list(r);
    case BOX_OP_SNAPSHOT_CREATE:
        return run_repeat(r, box_snapshot_create);
    case BOX_OP_SNAPSHOT_RESTORE:
        return run_repeat(r, box_snapshot_restore);
    case BOX_OP_SNAPSHOT_DELETE:
        return run_repeat(r, box_snapshot_delete);
    case BOX_OP_EXPORT:
        return export_box(r);
    case BOX_OP_IMPORT:
        return box_import(r);
    case BOX_OP_HEALTH:
        return health_once(r);
    case BOX_OP_IMAGES:
        return box_image_list(r);
    case BOX_OP_IMAGE_USE:
        return box_image_use(r);
    case BOX_OP_IMAGE_DELETE:
        return box_image_delete(r);
    }
    return run_fail(r, ERR_INVALID, "unknown operation %d", (int)r->w->op);
}

// How long it may take from now on: a login's wait for a box that only has to wake; room for unpacking an
// image where one has to be made, for a shutdown where one is asked for.
static uint64_t deadline_of(const struct box_work *w)
{
    uint64_t ms = w->config->incus_timeout;
    bool wakes = w->op == BOX_OP_ENSURE || w->op == BOX_OP_START || w->op == BOX_OP_RESTART ||
                 w->op == BOX_OP_SNAPSHOT_RESTORE;
    if (wakes && (w->spec.provisioned || w->wake_ms > ms))
        ms = w->wake_ms;
    if (w->op == BOX_OP_STOP || w->op == BOX_OP_RESTART || w->op == BOX_OP_EXPORT)
        ms += 2 * SHUTDOWN_MS;
    return monotonic_ms() + ms;
}

static void settle(struct box_run *r, enum err e)
{
    struct box_result *result = &r->w->result;
    result->code = e;
    result->fault = r->fault;
    result->fault.code = e;
    if (e == ERR_NONE)
        result->fault.text[0] = '\0';
    // Also what Incus finished after we lost sight of it counts as done by this flight.
    if (e == ERR_NONE && (r->w->op == BOX_OP_ENSURE || r->w->op == BOX_OP_START) && r->looked) {
        result->created = result->created || result->was == BOX_STATE_ABSENT;
        result->started = result->started || result->was != BOX_STATE_RUNNING;
        result->state = BOX_STATE_RUNNING;
    }
    result->elapsed_ms = monotonic_ms() - r->w->began;
}

bool box_look(struct box_work *w, struct incus *i)
{
    bool awake_is_enough = (w->op == BOX_OP_ENSURE || w->op == BOX_OP_START) && w->spec.provisioned;
    if (w->spec.is_static || (w->op != BOX_OP_STATE && !awake_is_enough))
        return false;
    struct box_run r = {.w = w, .i = i, .deadline = deadline_of(w)};
    incus_set_deadline(i, r.deadline);
    enum err e = w->op == BOX_OP_STATE ? state_once(&r) : run_look(&r);
    if (e == ERR_NONE && awake_is_enough && r.box.state != BOX_STATE_RUNNING)
        return false;
    settle(&r, e);
    return true;
}

void box_perform(struct box_work *w, struct incus *i)
{
    w->result = (struct box_result){.flight = w->result.flight};
    struct box_run r = {.w = w, .i = i, .deadline = deadline_of(w)};
    incus_set_deadline(i, r.deadline);
    settle(&r, perform(&r));
}
