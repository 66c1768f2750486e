// Slow work off the loop: a bounded pool of threads, and one ordered queue of notes back to the loop's
// thread.
//
// Two kinds of jobs: quick ones (one look at Incus, milliseconds) and slow ones (a box that boots, seconds).
// Slow jobs never take all threads, so that logins to boxes that are awake do not wait behind those that are
// not.
#ifndef PROVISION_JOB_H
#define PROVISION_JOB_H

#include <stdatomic.h>

#include <event2/event.h>

#include "base/fault.h"

struct job_pool;

// A job is embedded in what it works on; the pool allocates nothing for it. `run` is called on a pool thread
// with that thread's own worker object. What it owns from then on it gives back with a note.
struct job {
    struct job *next;
    bool slow;
    void (*run)(struct job *job, void *worker);
};

// A note is embedded as well. `deliver` is called on the loop's thread, in the order of posting; the note is
// its own to free. `dropped` is true when the pool is being freed: then only free.
struct job_note {
    struct job_note *next;
    void (*deliver)(struct job_note *note, bool dropped);
};

struct job_hooks {
    void *(*worker_new)(void *arg); // one a thread, called before it starts; NULL = out of memory
    void (*worker_free)(void *worker);
    void *arg;
};

MUST_CHECK enum err job_pool_new(struct event_base *base, unsigned threads, const struct job_hooks *hooks,
                                 struct job_pool **out, struct fault *f);
// Waits for running jobs. Waiting ones never run; whoever embeds them frees them.
void job_pool_free(struct job_pool *p); // NULL is fine

void job_submit(struct job_pool *p, struct job *job);
void job_post(struct job_pool *p, struct job_note *note); // from any thread

// Jobs waiting and running, for the statistics.
void job_pool_count(struct job_pool *p, unsigned *waiting, unsigned *running);

#endif
