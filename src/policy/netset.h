// A set of subnets, each with a time until which it counts: bans, and sources that are known. Looked up once
// a connection; sorted, searched once a prefix length in use. Time is an argument.
#ifndef POLICY_NETSET_H
#define POLICY_NETSET_H

#include <time.h>

#include "base/fault.h"
#include "base/subnets.h"

struct netset {
    struct netset_entry {
        struct subnet subnet;
        time_t until; // 0 = for ever
    } * entries;
    size_t count, room, max;     // max: entries it may have; 0 = 100,000
    unsigned char prefixes[129]; // entries may exist with this prefix length
};

// Adds it, or moves its end. ERR_FULL: `max` are in it already, none of them over at `now`.
MUST_CHECK enum err netset_add(struct netset *s, const struct subnet *subnet, time_t until, time_t now,
                               struct fault *f);
void netset_remove(struct netset *s, const struct subnet *subnet);
// Is the address in one of them at `now`? *until (may be NULL): of the one that lasts longest.
bool netset_has(const struct netset *s, const uint8_t address[16], time_t now, time_t *until);
void netset_clear(struct netset *s); // frees what it holds; the set may be used again

#endif
