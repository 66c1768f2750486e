// Owns the rule of sleep. Refuses to put anything to sleep that somebody is in.
#include "policy/idle.h"

#include <stdio.h>
#include <string.h>

#include "base/units.h"

struct idle_rules idle_rules_of(const struct config *config, const struct idle_own *own)
{
    return (struct idle_rules){
        .freeze_ms = own->has_freeze ? own->rules.freeze_ms : config->box_idle_freeze,
        .stop_ms = own->has_stop ? own->rules.stop_ms : config->box_idle_stop,
    };
}

enum err idle_parse(const char *text, uint64_t *ms, struct fault *f)
{
    uint64_t n = 0;
    if (strcmp(text, "never") != 0 && (duration_parse(text, &n, NULL) != ERR_NONE || n > IDLE_MS_MAX))
        return fault_set(
            f, ERR_INVALID,
            "\"%.40s\" does not fit; accepted: never, and durations up to 365d like 90s 30m 12h 7d", text);
    *ms = n;
    return ERR_NONE;
}

const char *idle_format(uint64_t ms, char *out, size_t out_size)
{
    if (ms != 0)
        return duration_format_exact(ms, out, out_size);
    snprintf(out, out_size, "never");
    return out;
}

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
