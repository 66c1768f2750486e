// Owns nothing.
#include "policy/admit.h"

static const char *const names[ADMIT_VERDICTS] = {"ok", "banned", "full", "source", "busy"};

const char *admit_verdict_name(enum admit_verdict verdict)
{
    return names[verdict];
}

// The chance grows from none at `early_drop` percent of the places to certainty when they are taken.
static bool dropped(const struct admit_limits *limits, unsigned unauthenticated, uint32_t dice)
{
    uint64_t start = (uint64_t)limits->unauthenticated * limits->early_drop / 100;
    if (unauthenticated >= limits->unauthenticated)
        return true;
    if (unauthenticated < start || start == limits->unauthenticated)
        return false;
    return (uint64_t)dice * (limits->unauthenticated - start) <
           ((uint64_t)(unauthenticated - start) << 32); // dice / 2^32 < share of the places above `start`
}

enum admit_verdict admit_decide(const struct admit_limits *limits, const struct admit_load *load,
                                uint32_t dice)
{
    if (load->banned)
        return ADMIT_BANNED;
    if (load->connections >= limits->connections)
        return ADMIT_FULL;
    if (load->from_source >= limits->per_source)
        return ADMIT_SOURCE;
    if (load->known)
        return load->unauthenticated < limits->unauthenticated + limits->reserved ? ADMIT_OK : ADMIT_BUSY;
    return dropped(limits, load->unauthenticated, dice) ? ADMIT_BUSY : ADMIT_OK;
}
