// Owns the rule of sleep. Refuses to put anything to sleep that somebody is in.
#include "policy/idle.h"

#include <stddef.h>

// When a step of the rules is due; 0 = never. Rounded up: never early.
static time_t due(time_t since, uint64_t ms)
{
    return ms == 0 ? 0 : since + (time_t)((ms + 999) / 1000);
}

enum idle_step idle_decide(const struct idle_rules *rules, const struct idle_facts *facts, time_t now,
                           time_t *next)
{
    time_t since = facts->since < now ? facts->since : now; // a clock that was set back ends no sleep early
    time_t freeze = facts->state == IDLE_AWAKE ? due(since, rules->freeze_ms) : 0;
    time_t stop = facts->state != IDLE_STOPPED ? due(since, rules->stop_ms) : 0;
    time_t first = freeze == 0 || (stop != 0 && stop < freeze) ? stop : freeze;
    if (next != NULL)
        *next = 0;
    if (facts->in_use || first == 0)
        return IDLE_NOTHING;
    if (stop != 0 && stop <= now)
        return IDLE_STOP;
    if (freeze != 0 && freeze <= now)
        return IDLE_FREEZE;
    if (next != NULL)
        *next = first;
    return IDLE_NOTHING;
}
