// The room's front door: configuration in, flights behind, Incus as what they do.
#include "provision/provision.h"

#include <stdlib.h>

#include "base/log.h"
#include "provision/flight.h"

struct provision {
    struct config config; // as it was at start: threads read it, and the loop may reload the original
    const struct config *live_config; // for what may change
    atomic_bool stop;
    struct flights *flights;
};

static void *worker_new(void *arg)
{
    struct provision *p = arg;
    return incus_new(&p->config, &p->stop);
}

static void worker_free(void *worker)
{
    incus_free(worker);
}

static bool look(struct box_work *work, void *worker)
{
    return box_look(work, worker);
}

static void perform(struct box_work *work, void *worker)
{
    box_perform(work, worker);
}

enum err provision_new(struct event_base *base, const struct config *config, struct provision **out,
                       struct fault *f)
{
    *out = NULL;
    struct provision *p = calloc(1, sizeof *p);
    if (p == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    p->config = *config;
    p->live_config = config;
    const struct flight_hooks hooks = {
        .look = look,
        .perform = perform,
        .workers = {.worker_new = worker_new, .worker_free = worker_free, .arg = p},
    };
    const struct box_work template = {.config = &p->config, .stop = &p->stop};
    enum err e = http_global(f);
    if (e == ERR_NONE)
        e = http_check_files(&p->config, f);
    if (e == ERR_NOTFOUND) { // a host with `static` boxes only needs no Incus; who does is told so at each
                             // operation
        log_event(LOG_LEVEL_WARN, "no_incus", "reason=%s", log_quote(f->text));
        e = ERR_NONE;
    }
    if (e == ERR_NONE)
        e = flights_new(base, (unsigned)config->job_threads, &hooks, &template, &p->flights, f);
    if (e != ERR_NONE) {
        provision_free(p);
        return e;
    }
    *out = p;
    return ERR_NONE;
}

void provision_free(struct provision *p)
{
    if (p == NULL)
        return;
    atomic_store(&p->stop, true); // running requests end within a second; Incus finishes what it began
    flights_free(p->flights);
    free(p);
}

uint64_t provision_submit(struct provision *p, enum box_op op, const struct box_spec *spec,
                          box_progress_fn progress, box_done_fn done, void *arg)
{
    return flights_submit(p->flights, op, spec, p->live_config->wake_deadline, progress, done, arg);
}

void provision_cancel(struct provision *p, uint64_t ticket)
{
    flights_cancel(p->flights, ticket);
}

void provision_stats(const struct provision *p, struct provision_stats *out)
{
    flights_stats(p->flights, out);
}
