// Owns no state; the caller keeps the number.
#include "policy/bucket.h"

#include <stddef.h>

// How long it takes to refill `count`. 128 bits: bytes a second times nanoseconds do not fit into 64.
static uint64_t refill_time(const struct bucket_rate *rate, uint64_t count)
{
    unsigned __int128 t = (unsigned __int128)count * rate->period / rate->amount;
    return t > UINT64_MAX / 4 ? UINT64_MAX / 4 : (uint64_t)t;
}

uint64_t bucket_after(uint64_t full, const struct bucket_rate *rate, uint64_t count, uint64_t now)
{
    if (rate->amount == 0)
        return 0;
    return (full > now ? full : now) + refill_time(rate, count);
}

bool bucket_take(uint64_t *full, const struct bucket_rate *rate, uint64_t count, uint64_t now, uint64_t *wait)
{
    if (rate->amount == 0)
        return true;
    uint64_t after = bucket_after(*full, rate, count, now), most = now + refill_time(rate, rate->burst);
    if (after > most) {
        if (wait != NULL)
            *wait = after - most;
        return false;
    }
    *full = after;
    return true;
}

uint64_t bucket_holds(uint64_t full, const struct bucket_rate *rate, uint64_t now)
{
    if (rate->amount == 0)
        return UINT64_MAX;
    if (full <= now)
        return rate->burst;
    unsigned __int128 missing = (unsigned __int128)(full - now) * rate->amount;
    missing = (missing + rate->period - 1) / rate->period;
    return missing >= rate->burst ? 0 : rate->burst - (uint64_t)missing;
}
