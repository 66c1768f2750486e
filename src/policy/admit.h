// Whether the listener lets a connection in, before a byte of it is read. Pure: the load, the limits and the
// dice are arguments.
//
// What must hold: an attacker who fills the places for connections that have not logged in, from one address
// or from thousands, does not keep out those who log in regularly. So every source has a share; as the places
// fill, newcomers are dropped at random (as sshd's MaxStartups does), which no pattern of arrival defeats;
// and sources that somebody has logged in from lately have places of their own.
#ifndef POLICY_ADMIT_H
#define POLICY_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

struct admit_limits {
    unsigned connections;     // of all kinds
    unsigned unauthenticated; // not logged in yet, all sources together
    unsigned per_source;      // ditto, from one source (base/subnets.h)
    unsigned
        early_drop;    // percent of `unauthenticated` from which newcomers are dropped at random; 100 = never
    unsigned reserved; // places beside `unauthenticated` for known sources
};

struct admit_load {
    unsigned connections, unauthenticated, from_source;
    bool banned;
    bool known; // somebody has logged in from there lately
};

enum admit_verdict {
    ADMIT_OK,
    ADMIT_BANNED,
    ADMIT_FULL,   // too many connections
    ADMIT_SOURCE, // too many from there that have not logged in
    ADMIT_BUSY,   // too many that have not logged in, or dropped by the dice
};
#define ADMIT_VERDICTS 5

// dice: any number, evenly distributed.
enum admit_verdict admit_decide(const struct admit_limits *limits, const struct admit_load *load,
                                uint32_t dice);

const char *admit_verdict_name(enum admit_verdict verdict); // "banned", "full", ...

#endif
