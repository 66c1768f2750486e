// When a box that nobody is in is put to sleep: first frozen (its memory stays), later stopped. Pure; time is
// an argument.
#ifndef POLICY_IDLE_H
#define POLICY_IDLE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/config.h"
#include "base/fault.h"

enum idle_state { IDLE_AWAKE, IDLE_FROZEN, IDLE_STOPPED };
enum idle_step { IDLE_NOTHING, IDLE_FREEZE, IDLE_STOP };

struct idle_rules {
    uint64_t freeze_ms, stop_ms; // 0 = never
};

// What one box has of its own, in place of the configuration's. All zero: nothing.
struct idle_own {
    bool has_freeze, has_stop;
    struct idle_rules rules;
};
struct idle_rules idle_rules_of(const struct config *config, const struct idle_own *own);

#define IDLE_MS_MAX (365 * UINT64_C(86400000)) // as for [box] idle_freeze, idle_stop
// "never", or a duration; "0s" is never, as in the configuration.
MUST_CHECK enum err idle_parse(const char *text, uint64_t *ms, struct fault *f);
// The form idle_parse reads back. Returns out.
const char *idle_format(uint64_t ms, char *out, size_t out_size);

struct idle_facts {
    enum idle_state state; // as far as we know
    bool in_use;           // somebody has a session in it
    time_t since;          // end of the last use
};

// What is due at `now`. *next, which may be NULL, is when to ask again if nothing happens meanwhile; 0 =
// never.
enum idle_step idle_decide(const struct idle_rules *rules, const struct idle_facts *facts, time_t now,
                           time_t *next);

#endif
