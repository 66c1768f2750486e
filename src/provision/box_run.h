// One run of an operation: what it has learned so far, and the moves every operation is made of. For box*.c
// only.
#ifndef PROVISION_BOX_RUN_H
#define PROVISION_BOX_RUN_H

#include "provision/box.h"

#define SHUTDOWN_MS 10000 // a clean shutdown may take, then it is forced

// A run: the work at hand, and what this run has learned.
struct box_run {
    struct box_work *w;
    struct incus *i;
    struct incus_instance box;
    uint64_t deadline;
    uint64_t lost_since; // Incus does not answer since; 0 = it does
    bool reached;        // Incus has answered at least once
    bool looked;
    bool recreated;
    unsigned tries;
    unsigned shown; // highest numbered step told: another try does not count backwards
    struct fault fault;
};

// Tells a step of the creation (1 to 5), or one that is not counted (0).
void run_step(struct box_run *r, unsigned number, const char *format, ...) PRINTF_LIKE(3, 4);

// Fills the run's fault and returns code.
enum err run_fail(struct box_run *r, enum err code, const char *format, ...) PRINTF_LIKE(3, 4);

// What the box is doing now, into r->box. That it is absent is an answer, not an error.
MUST_CHECK enum err run_look(struct box_run *r);

// Incus is at something with this box ("Starting", "Aborting"), or does not know ("Error"): the error that
// says so.
enum err run_unsettled(struct box_run *r);

// Asks Incus for a change and, if it did it, notes the state that follows.
MUST_CHECK enum err run_change(struct box_run *r, enum incus_action action, enum box_state after);

// Does `once` until it succeeds, fails for good, or the deadline is over. ERR_CONFLICT means look again:
// somebody else did it or is at it. ERR_UNAVAILABLE is waited out for a while if Incus had answered before.
MUST_CHECK enum err run_repeat(struct box_run *r, enum err (*once)(struct box_run *));

#endif
