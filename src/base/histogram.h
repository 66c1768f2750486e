// A histogram with fixed upper bounds, as Prometheus reads it: counts a bound, the sum, the count.
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BOUNDS 16

struct histogram {
    const double *bounds; // ascending, `count` of them
    unsigned count;
    uint64_t counts[HISTOGRAM_BOUNDS + 1]; // the last: above every bound
    double sum;
};

static inline void histogram_add(struct histogram *h, double value)
{
    unsigned i = 0;
    while (i < h->count && value > h->bounds[i])
        i++;
    h->counts[i]++;
    h->sum += value;
}

#endif
