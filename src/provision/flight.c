// Owns flights (operations) and callers (tickets). A flight is in its lane from submission until its callers
// have been told; only the head of a lane is with the pool. Looks (STATE, LIST) wait for nobody and have no
// lane.
#include "provision/flight.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"
#include "provision/lane.h"

#define BUCKETS 1024u // a power of two

struct caller {
    struct ring ring; // first: in its flight's callers, in `pending`, or in a round of telling
    struct caller *ticket_next;
    struct flight *flight; // NULL: refused at once, see `refusal`
    uint64_t ticket;
    bool wants_step; // joined late: owed the current step
    enum err refusal;
    box_progress_fn progress;
    box_done_fn done;
    void *arg;
};

struct flight {
    struct lane_item item; // first: in its lane, or in `looks`
    struct flights *owner;
    struct ring callers;
    struct job job;
    struct job_note done_note;
    atomic_bool begun; // a thread has it
    char *keys, *gateway_key, *account;
    bool has_step;
    char step[160];
    unsigned number, total;
    struct box_work work;
};

struct step_note {
    struct job_note note;
    struct flight *flight; // alive: its done_note comes after this one
    unsigned number, total;
    char text[160];
};

struct flights {
    struct job_pool *pool;
    struct flight_hooks hooks;
    struct box_work template;
    struct lanes lanes;
    struct caller *tickets[BUCKETS];
    struct ring looks;
    struct ring pending; // callers to be told something by `kick`
    struct event *kick;
    uint64_t last_ticket, last_flight, joined;
    unsigned flight_count, caller_count;
};

// ---- callers

static void caller_free(struct flights *fs, struct caller *c)
{
    struct caller **link = &fs->tickets[c->ticket % BUCKETS];
    while (*link != c)
        link = &(*link)->ticket_next;
    *link = c->ticket_next;
    ring_leave(&c->ring);
    fs->caller_count--;
    free(c);
}

static struct caller *caller_new(struct flights *fs, box_progress_fn progress, box_done_fn done, void *arg)
{
    struct caller *c = calloc(1, sizeof *c);
    if (c == NULL) {
        log_event(LOG_LEVEL_ERROR, "out_of_memory", "where=provision_submit");
        abort(); // 100 bytes: somebody would wait for ever for an answer that nobody owes
    }
    c->ticket = ++fs->last_ticket;
    c->progress = progress;
    c->done = done;
    c->arg = arg;
    c->ticket_next = fs->tickets[c->ticket % BUCKETS];
    fs->tickets[c->ticket % BUCKETS] = c;
    ring_init(&c->ring);
    fs->caller_count++;
    return c;
}

static void refuse(struct flights *fs, struct caller *c, enum err why)
{
    c->refusal = why;
    ring_append(&fs->pending, &c->ring);
    event_active(fs->kick, EV_TIMEOUT, 0);
}

static void tell_refusal(struct flights *fs, struct caller *c)
{
    struct box_result result = {.flight = ++fs->last_flight, .code = c->refusal};
    box_done_fn done = c->done;
    void *arg = c->arg;
    fault_set(&result.fault, c->refusal, "%s",
              c->refusal == ERR_FULL ? "too many box operations are waiting; try again in a minute"
                                     : "out of memory");
    caller_free(fs, c);
    done(arg, &result);
}

// The refused, and the late joiners that are owed a step. A callback may cancel anybody: the head is taken
// anew each time, and only those that were here at the start get their turn.
static void on_kick(evutil_socket_t fd, short what, void *arg)
{
    struct flights *fs = arg;
    struct ring turn;
    (void)fd;
    (void)what;
    ring_move(&fs->pending, &turn);
    while (!ring_empty(&turn)) {
        struct caller *c = (struct caller *)turn.next;
        struct flight *flight = c->flight;
        if (flight == NULL) {
            tell_refusal(fs, c);
            continue;
        }
        ring_leave(&c->ring);
        ring_append(&flight->callers, &c->ring);
        if (c->wants_step && flight->has_step && c->progress != NULL) {
            c->wants_step = false;
            c->progress(c->arg, flight->step, flight->number, flight->total);
        }
    }
}

// ---- flights

static void flight_free(struct flight *flight)
{
    free(flight->work.result.list);
    free(flight->work.result.snapshots);
    free(flight->work.result.images);
    free(flight->work.result.account);
    free(flight->work.result.health);
    if (flight->work.spec.file > 0)
        close(flight->work.spec.file);
    free(flight->account);
    free(flight->keys);
    free(flight->gateway_key);
    free(flight);
}

static void on_step(struct job_note *note, bool dropped)
{
    struct step_note *s = (struct step_note *)note;
    struct flight *flight = s->flight;
    struct ring turn;
    if (dropped) {
        free(s);
        return;
    }
    snprintf(flight->step, sizeof flight->step, "%s", s->text);
    flight->number = s->number;
    flight->total = s->total;
    flight->has_step = true;
    free(s);
    ring_move(&flight->callers, &turn);
    while (!ring_empty(&turn)) {
        struct caller *c = (struct caller *)turn.next;
        ring_leave(&c->ring);
        ring_append(&flight->callers, &c->ring);
        c->wants_step = false;
        if (c->progress != NULL)
            c->progress(c->arg, flight->step, flight->number, flight->total);
    }
}

// On a job thread.
static void post_step(void *arg, const char *text, unsigned number, unsigned total)
{
    struct flight *flight = arg;
    struct step_note *s = malloc(sizeof *s);
    if (s == NULL)
        return; // a step not shown is no harm
    *s = (struct step_note){.note = {.deliver = on_step}, .flight = flight, .number = number, .total = total};
    snprintf(s->text, sizeof s->text, "%s", text);
    job_post(flight->owner->pool, &s->note);
}

// On a job thread: first a quick look, and if that does not settle it, again as slow work.
static void run_job(struct job *job, void *worker)
{
    struct flight *flight = (struct flight *)((char *)job - offsetof(struct flight, job));
    struct flights *fs = flight->owner;
    atomic_store(&flight->begun, true);
    if (!job->slow && !fs->hooks.look(&flight->work, worker)) {
        job->slow = true;
        job_submit(fs->pool, job);
        return;
    }
    if (job->slow)
        fs->hooks.perform(&flight->work, worker);
    job_post(fs->pool, &flight->done_note);
}

static bool is_look(enum box_op op)
{
    return op == BOX_OP_STATE || op == BOX_OP_LIST || op == BOX_OP_SNAPSHOTS || op == BOX_OP_IMAGES ||
           op == BOX_OP_HEALTH;
}

// Out of its lane, so that nobody joins it any more and the next of that box gets its turn.
static void flight_land(struct flights *fs, struct flight *flight)
{
    struct lane_item *next = NULL;
    fs->flight_count--;
    if (is_look(flight->work.op))
        ring_leave(&flight->item.ring);
    else
        next = lanes_remove(&fs->lanes, &flight->item);
    if (next != NULL)
        job_submit(fs->pool, &((struct flight *)next)->job);
    // A late joiner in `pending` is told the end instead of the step.
    for (struct ring *r = fs->pending.next, *after; r != &fs->pending; r = after) {
        after = r->next;
        if (((struct caller *)r)->flight == flight) {
            ring_leave(r);
            ring_append(&flight->callers, r);
        }
    }
}

static void on_done(struct job_note *note, bool dropped)
{
    struct flight *flight = (struct flight *)((char *)note - offsetof(struct flight, done_note));
    struct flights *fs = flight->owner;
    if (dropped)
        return; // flights_free() frees it
    flight_land(fs, flight);
    while (!ring_empty(&flight->callers)) {
        struct caller *c = (struct caller *)flight->callers.next;
        box_done_fn done = c->done;
        void *arg = c->arg;
        caller_free(fs, c);
        done(arg, &flight->work.result);
    }
    flight_free(flight);
}

// ---- submitting

// A look that has begun may have seen what was before: only one that waits can be shared.
static struct flight *joinable_look(struct flights *fs, enum box_op op, const char *name)
{
    for (struct ring *r = fs->looks.next; r != &fs->looks; r = r->next) {
        struct flight *flight = (struct flight *)r;
        if (flight->work.op == op && strcmp(flight->work.spec.name, name) == 0 &&
            !atomic_load(&flight->begun))
            return flight;
    }
    return NULL;
}

static bool copy_text(const char *from, char **to, const char **view)
{
    *to = from == NULL ? NULL : strdup(from);
    *view = *to;
    return from == NULL || *to != NULL;
}

// The flight's own descriptor: whoever gave it may go before the flight does.
static bool keep_file(struct flight *flight, const struct box_spec *spec)
{
    flight->work.spec.file = spec->file > 0 ? fcntl(spec->file, F_DUPFD_CLOEXEC, 3) : 0;
    return flight->work.spec.file >= 0;
}

static struct flight *flight_new(struct flights *fs, enum box_op op, const struct box_spec *spec,
                                 uint64_t wake_ms)
{
    struct flight *flight = calloc(1, sizeof *flight);
    if (flight == NULL)
        return NULL;
    flight->owner = fs;
    flight->item.work = &flight->work;
    ring_init(&flight->item.ring);
    ring_init(&flight->callers);
    flight->job.run = run_job;
    flight->done_note.deliver = on_done;
    flight->work = fs->template;
    flight->work.op = op;
    flight->work.spec = *spec;
    flight->work.began = monotonic_ms();
    flight->work.wake_ms = wake_ms;
    flight->work.step = post_step;
    flight->work.step_arg = flight;
    flight->work.result.flight = ++fs->last_flight;
    if (!copy_text(spec->authorized_keys, &flight->keys, &flight->work.spec.authorized_keys) ||
        !copy_text(spec->gateway_key, &flight->gateway_key, &flight->work.spec.gateway_key) ||
        !copy_text(spec->account, &flight->account, &flight->work.spec.account) || !keep_file(flight, spec)) {
        flight_free(flight);
        return NULL;
    }
    return flight;
}

// Puts it behind those of its box; a look waits for nobody. False when out of memory.
static bool flight_launch(struct flights *fs, struct flight *flight)
{
    bool first = true;
    if (is_look(flight->work.op))
        ring_append(&fs->looks, &flight->item.ring);
    else if (!lanes_append(&fs->lanes, &flight->item, &first))
        return false;
    fs->flight_count++;
    if (first)
        job_submit(fs->pool, &flight->job);
    return true;
}

// What a new request may share, or NULL.
static struct flight *joinable(struct flights *fs, enum box_op op, const struct box_spec *spec)
{
    return is_look(op) ? joinable_look(fs, op, spec->name)
                       : (struct flight *)lanes_joinable(&fs->lanes, op, spec);
}

static void join(struct flights *fs, struct flight *flight, struct caller *c)
{
    fs->joined++;
    c->flight = flight;
    c->wants_step = flight->has_step && c->progress != NULL;
    if (!c->wants_step) {
        ring_append(&flight->callers, &c->ring);
        return;
    }
    ring_append(&fs->pending, &c->ring);
    event_active(fs->kick, EV_TIMEOUT, 0);
}

uint64_t flights_submit(struct flights *fs, enum box_op op, const struct box_spec *spec, uint64_t wake_ms,
                        box_progress_fn progress, box_done_fn done, void *arg)
{
    static const struct box_spec nothing;
    if (spec == NULL)
        spec = &nothing;
    struct caller *c = caller_new(fs, progress, done, arg);
    uint64_t ticket = c->ticket;
    if (fs->caller_count > FLIGHT_CALLERS_MAX) {
        refuse(fs, c, ERR_FULL);
        return ticket;
    }
    struct flight *flight = joinable(fs, op, spec);
    if (flight != NULL) {
        join(fs, flight, c);
        return ticket;
    }
    if (fs->flight_count >= FLIGHT_MAX) {
        refuse(fs, c, ERR_FULL);
        return ticket;
    }
    flight = flight_new(fs, op, spec, wake_ms);
    if (flight == NULL || !flight_launch(fs, flight)) {
        if (flight != NULL)
            flight_free(flight);
        refuse(fs, c, ERR_MEMORY);
        return ticket;
    }
    c->flight = flight;
    ring_append(&flight->callers, &c->ring);
    return ticket;
}

void flights_cancel(struct flights *fs, uint64_t ticket)
{
    struct caller *c = fs->tickets[ticket % BUCKETS];
    while (c != NULL && c->ticket != ticket)
        c = c->ticket_next;
    if (c != NULL)
        caller_free(fs, c);
}

void flights_stats(const struct flights *fs, struct provision_stats *out)
{
    unsigned waiting = 0, running = 0;
    job_pool_count(fs->pool, &waiting, &running);
    out->running = running < fs->flight_count ? running : fs->flight_count;
    out->queued = fs->flight_count - out->running;
    out->flights = fs->last_flight;
    out->joined = fs->joined;
}

enum err flights_new(struct event_base *base, unsigned threads, const struct flight_hooks *hooks,
                     const struct box_work *template, struct flights **out, struct fault *f)
{
    *out = NULL;
    struct flights *fs = calloc(1, sizeof *fs);
    if (fs == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    fs->hooks = *hooks;
    fs->template = *template;
    ring_init(&fs->looks);
    ring_init(&fs->pending);
    enum err e = ERR_NONE;
    fs->kick = event_new(base, -1, 0, on_kick, fs);
    if (fs->kick == NULL)
        e = fault_set(f, ERR_MEMORY, "out of memory");
    else
        e = job_pool_new(base, threads, &hooks->workers, &fs->pool, f);
    if (e != ERR_NONE) {
        flights_free(fs);
        return e;
    }
    *out = fs;
    return ERR_NONE;
}

void flights_free(struct flights *fs)
{
    struct lane_item *item = NULL;
    if (fs == NULL)
        return;
    job_pool_free(fs->pool); // from here on no thread has any of it
    for (unsigned k = 0; k < BUCKETS; k++) {
        while (fs->tickets[k] != NULL)
            caller_free(fs, fs->tickets[k]);
    }
    while ((item = lanes_any(&fs->lanes)) != NULL) {
        (void)lanes_remove(&fs->lanes, item);
        flight_free((struct flight *)item);
    }
    while (!ring_empty(&fs->looks)) {
        struct flight *flight = (struct flight *)fs->looks.next;
        ring_leave(&flight->item.ring);
        flight_free(flight);
    }
    if (fs->kick != NULL)
        event_free(fs->kick);
    free(fs);
}
