// When a box that nobody is in is put to sleep: first frozen (its memory stays), later stopped. Pure; time is
// an argument.
#ifndef POLICY_IDLE_H
#define POLICY_IDLE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum idle_state { IDLE_AWAKE, IDLE_FROZEN, IDLE_STOPPED };
enum idle_step { IDLE_NOTHING, IDLE_FREEZE, IDLE_STOP };

struct idle_rules {
    uint64_t freeze_ms, stop_ms; // 0 = never
};

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
