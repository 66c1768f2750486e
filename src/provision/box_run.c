// Owns the moves: look, change, tell, try again. Knows no operation.
#include "provision/box_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/units.h"

#define CREATE_STEPS 5
#define LOST_INCUS_MS 15000 // Incus that was there and went away: a restart takes seconds

void run_step(struct box_run *r, unsigned number, const char *format, ...)
{
    char text[160];
    va_list ap;
    if (r->w->step == NULL || (number > 0 && number <= r->shown))
        return;
    if (number > 0)
        r->shown = number;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    r->w->step(r->w->step_arg, text, number, number > 0 ? CREATE_STEPS : 0);
}

enum err run_fail(struct box_run *r, enum err code, const char *format, ...)
{
    char text[sizeof r->fault.text];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return fault_set(&r->fault, code, "%s", text);
}

enum err run_look(struct box_run *r)
{
    enum err e = incus_get(r->i, r->w->spec.name, &r->box, &r->fault);
    if (e == ERR_NOTFOUND) {
        r->box = (struct incus_instance){.state = BOX_STATE_ABSENT};
        e = ERR_NONE;
    }
    if (e != ERR_NONE)
        return e;
    r->reached = true;
    r->lost_since = 0;
    if (!r->looked)
        r->w->result.was = r->box.state;
    r->looked = true;
    r->w->result.state = r->box.state;
    return ERR_NONE;
}

enum err run_change(struct box_run *r, enum incus_action action, enum box_state after)
{
    enum err e = incus_change(r->i, r->w->spec.name, action, SHUTDOWN_MS, &r->fault);
    if (e == ERR_NONE) {
        r->w->result.state = after;
        r->box.state = after;
        if (action == INCUS_START || action == INCUS_UNFREEZE)
            r->w->result.started = true;
    }
    return e;
}

static void pause_ms(const struct box_run *r, uint64_t ms)
{
    const struct timespec slice = {.tv_nsec = 20 * 1000000L};
    for (uint64_t k = 0; k < ms && !atomic_load(r->w->stop); k += 20)
        nanosleep(&slice, NULL);
}

// After a failed try: shall there be another one? Waits a little when so.
static bool again(struct box_run *r, enum err e)
{
    uint64_t now = monotonic_ms();
    if (atomic_load(r->w->stop) || now >= r->deadline)
        return false;
    if (e == ERR_UNAVAILABLE) {
        if (r->lost_since == 0)
            r->lost_since = now;
        // Never reached: say so at once, a person waits. Lost half-way: it may be restarting.
        if (!r->reached || now - r->lost_since > LOST_INCUS_MS)
            return false;
    } else if (e != ERR_CONFLICT) {
        return false;
    }
    uint64_t ms = 40u << (r->tries < 4 ? r->tries : 4); // 40 ms to 640 ms
    r->tries++;
    pause_ms(r, ms < r->deadline - now ? ms : r->deadline - now);
    return true;
}

enum err run_unsettled(struct box_run *r)
{
    return run_fail(r, ERR_CONFLICT,
                    "%s is neither running nor stopped: Incus is busy with it or calls its state %s; if "
                    "that lasts, run `containarium restart %s`",
                    r->w->spec.name, box_state_name(r->box.state), r->w->spec.user);
}

enum err run_repeat(struct box_run *r, enum err (*once)(struct box_run *))
{
    enum err e;
    do
        e = once(r);
    while (e != ERR_NONE && again(r, e));
    return e;
}
