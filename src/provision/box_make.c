// Owns the way from nothing, or from whatever a killed try left, to a box that lets its owner in.
#include "provision/box_make.h"

#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "provision/box_files.h"
#include "provision/sshd.h"

#define REPAIR_ANSWER_MS 15000 // a running unfinished box may take to answer before it is started anew

struct incus_settings box_make_settings(const struct box_run *r)
{
    const struct box_spec *s = &r->w->spec;
    return (struct incus_settings){
        .name = s->name,
        .image = s->image[0] != '\0' ? s->image : r->w->config->incus_image,
        .cpu = s->cpu,
        .address = s->address,
        .memory = s->memory,
        .disk = s->disk,
        .autostart = s->autostart,
    };
}

static enum err create_failed(struct box_run *r, enum err e)
{
    if (e == ERR_FULL)
        fault_prefix(&r->fault, "pool %.64s is full: enlarge it or delete boxes", r->w->config->incus_pool);
    if (e != ERR_NOTFOUND) // the missing image has a sentence of its own
        fault_prefix(&r->fault, "cannot create %s", r->w->spec.name);
    return e;
}

static enum err create(struct box_run *r)
{
    struct incus_settings s = box_make_settings(r);
    run_step(r, 1, "Creating %s", s.name);
    enum err e = incus_create(r->i, &s, &r->fault);
    if (e != ERR_NONE)
        return create_failed(r, e);
    r->w->result.created = true;
    r->box = (struct incus_instance){.state = BOX_STATE_STOPPED};
    snprintf(r->box.address, sizeof r->box.address, "%.63s", s.address);
    return ERR_NONE;
}

static enum err wait_for_sshd(struct box_run *r, uint64_t deadline)
{
    enum err e = sshd_wait(r->w->spec.address, r->w->spec.port, deadline, r->w->stop, &r->fault);
    if (e != ERR_NONE)
        fault_prefix(&r->fault, "%s runs, but", r->w->spec.name);
    return e;
}

static enum err start(struct box_run *r)
{
    enum err e = run_change(r, INCUS_START, BOX_STATE_RUNNING);
    if (e != ERR_NONE && e != ERR_CONFLICT)
        fault_prefix(&r->fault, "cannot start %s", r->w->spec.name);
    return e;
}

// Files, start, wait, host keys: everything after the creation, for a box in whatever state a try left it.
static enum err finish(struct box_run *r)
{
    struct box_work *w = r->w;
    bool was_running = r->box.state == BOX_STATE_RUNNING;
    run_step(r, 2, "Writing its user and keys");
    enum err e = box_files_write(w, r->i, &r->fault);
    if (e == ERR_NONE && r->box.ever_started)
        e = box_files_write_keys(w, r->i, true, &r->fault);
    if (e == ERR_NONE && !was_running) {
        run_step(r, 3, "Starting it");
        e = start(r);
    }
    if (e != ERR_NONE)
        return e;
    run_step(r, 4, "Waiting for its SSH server");
    uint64_t until = monotonic_ms() + REPAIR_ANSWER_MS;
    e = wait_for_sshd(r, was_running && until < r->deadline ? until : r->deadline);
    if (e == ERR_TIMEOUT && was_running && monotonic_ms() < r->deadline) {
        // It was started by a try that had not written everything, so its first boot failed.
        e = run_change(r, INCUS_STOP_FORCE, BOX_STATE_STOPPED);
        if (e == ERR_NONE || e == ERR_CONFLICT)
            e = run_fail(r, ERR_CONFLICT, "%s is started anew", w->spec.name);
    }
    if (e != ERR_NONE)
        return e;
    run_step(r, 5, "Pinning its host keys");
    return box_files_read_hostkeys(w, r->i, &r->fault);
}

// A box that exists but whose making was not finished.
static enum err repair(struct box_run *r)
{
    struct incus_settings s = box_make_settings(r);
    enum err e = ERR_NONE;
    if (strcmp(r->box.address, s.address) != 0)
        e = incus_correct(r->i, &s, &r->fault);
    if (e == ERR_NONE)
        e = finish(r);
    // What never ran holds nothing of anybody's: the creation was cut off so early that only a new one helps.
    if ((e == ERR_FAILED || e == ERR_NOTFOUND) && !r->box.ever_started && !r->recreated &&
        r->box.state == BOX_STATE_STOPPED) {
        r->recreated = true;
        e = incus_delete(r->i, s.name, &r->fault);
        if (e == ERR_NONE)
            e = run_fail(r, ERR_CONFLICT, "%s is made anew", s.name);
    }
    return e;
}

static enum err wake(struct box_run *r)
{
    enum err e = ERR_NONE;
    if (r->box.state == BOX_STATE_FROZEN) { // its server listens already: nothing to wait for
        run_step(r, 0, "Unfreezing %s", r->w->spec.name);
        return run_change(r, INCUS_UNFREEZE, BOX_STATE_RUNNING);
    }
    run_step(r, 0, "Starting %s", r->w->spec.name);
    e = start(r);
    if (e == ERR_NONE)
        e = wait_for_sshd(r, r->deadline);
    return e;
}

static enum err ensure_absent(struct box_run *r)
{
    const struct box_spec *s = &r->w->spec;
    if (r->w->op != BOX_OP_ENSURE)
        return run_fail(r, ERR_NOTFOUND, "%s has not been made yet: it is made at the first login", s->name);
    // Making it anew would hide that its owner's files are gone, and break the host keys that are pinned.
    if (s->provisioned)
        return run_fail(r, ERR_NOTFOUND,
                        "%s was made once and is gone from Incus' project %.64s: bring its pool or backup "
                        "back, or run `containarium delete %s` and create it anew",
                        s->name, r->w->config->incus_project, s->user);
    enum err e = create(r);
    return e == ERR_NONE ? finish(r) : e;
}

enum err box_make_ensure(struct box_run *r)
{
    enum err e = run_look(r);
    if (e != ERR_NONE)
        return e;
    switch (r->box.state) {
    case BOX_STATE_ABSENT:
        return ensure_absent(r);
    case BOX_STATE_RUNNING:
        if (!r->w->spec.provisioned)
            return repair(r);
        return r->tries == 0 ? ERR_NONE
                             : wait_for_sshd(r, r->deadline); // a try of ours may have started it just now
    case BOX_STATE_FROZEN:
        e = r->w->spec.provisioned ? wake(r) : run_change(r, INCUS_UNFREEZE, BOX_STATE_RUNNING);
        return e == ERR_NONE && !r->w->spec.provisioned ? repair(r) : e;
    case BOX_STATE_STOPPED:
        return r->w->spec.provisioned ? wake(r) : repair(r);
    case BOX_STATE_UNKNOWN:
    case BOX_STATE_ERROR:
        return run_unsettled(r);
    }
    return ERR_PROTOCOL;
}
