// A token bucket kept as one number, the time at which it will be full again (the virtual scheduling form of
// the Generic Cell Rate Algorithm, ITU-T I.371 annex A). Pure: time is an argument.
#ifndef POLICY_BUCKET_H
#define POLICY_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket_rate {
    uint64_t amount; // refilled in every `period`; 0 = no limit
    uint64_t period; // in the caller's unit of time
    uint64_t burst;  // the most it holds; at least 1
};

// Takes `count` at `now`. *full is the bucket (0 = a full one). False if it does not hold that much: nothing
// is taken, and *wait (may be NULL) is how long until it will.
bool bucket_take(uint64_t *full, const struct bucket_rate *rate, uint64_t count, uint64_t now,
                 uint64_t *wait);

// How much it holds at `now`, UINT64_MAX without a limit.
uint64_t bucket_holds(uint64_t full, const struct bucket_rate *rate, uint64_t now);

// Where the bucket stands after `count` were taken, whether it held them or not (it can owe). For counts that
// are known only afterwards.
uint64_t bucket_after(uint64_t full, const struct bucket_rate *rate, uint64_t count, uint64_t now);

#endif
