// Who waits for what: one lane a box, in which operations run one after another; single flight; tickets;
// steps told to all who wait. Lives on the loop's thread; only `look` and `perform` run on job threads.
#ifndef PROVISION_FLIGHT_H
#define PROVISION_FLIGHT_H

#include "provision/box.h"
#include "provision/job.h"

#define FLIGHT_MAX 4096 // operations waiting and running
#define FLIGHT_CALLERS_MAX 16384

struct flights;

// What the flights do; tests put something else here. See box.h.
struct flight_hooks {
    bool (*look)(struct box_work *work, void *worker);
    void (*perform)(struct box_work *work, void *worker);
    struct job_hooks workers;
};

// `template` gives every work its config, stop.
MUST_CHECK enum err flights_new(struct event_base *base, unsigned threads, const struct flight_hooks *hooks,
                                const struct box_work *template, struct flights **out, struct fault *f);
// Waits for what runs. Nobody is told anything any more.
void flights_free(struct flights *fs);

// As provision_submit; wake_ms goes into the work.
uint64_t flights_submit(struct flights *fs, enum box_op op, const struct box_spec *spec, uint64_t wake_ms,
                        box_progress_fn progress, box_done_fn done, void *arg);
void flights_cancel(struct flights *fs, uint64_t ticket);
void flights_stats(const struct flights *fs, struct provision_stats *out);

#endif
