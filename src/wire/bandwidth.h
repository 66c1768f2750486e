// One user's bandwidth, shared by all of their connection processes: a token bucket (policy/bucket.h, in
// nanoseconds and bytes) in a page of memory that each of them maps. The control plane makes it, sets rate
// and burst, and passes its descriptor with WELCOME; connection processes take from it. Whoever is taken over
// can give that user more than their share; the control plane reads nothing from it that it relies on.
#ifndef WIRE_BANDWIDTH_H
#define WIRE_BANDWIDTH_H

#include <stdatomic.h>
#include <stdint.h>

#define BANDWIDTH_PAGE_SIZE 4096 // bytes of the descriptor, sealed against shrinking

struct bandwidth_page {
    _Atomic uint64_t rate;  // bytes a second, 0 = no limit
    _Atomic uint64_t burst; // bytes
    _Atomic uint64_t full;  // CLOCK_MONOTONIC, nanoseconds: when the bucket is full again
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "the page is shared between processes");

#endif
