// What one user may use at a time: names, defaults, and how they are written. Pure.
#ifndef POLICY_LIMIT_H
#define POLICY_LIMIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/config.h"
#include "base/fault.h"

enum limit_name {
    LIMIT_LOGINS,            // a minute, from everywhere
    LIMIT_LOGINS_PER_SOURCE, // a minute, from one source
    LIMIT_CONNECTIONS,       // at once
    LIMIT_CONNECTIONS_PER_SOURCE,
    LIMIT_SESSIONS,  // open at once, over all connections
    LIMIT_CHANNELS,  // ditto, of all kinds
    LIMIT_BANDWIDTH, // bytes a second, both directions and all connections together; 0 = no limit
    LIMIT_BURST,     // bytes at once on top of that
    LIMIT_COUNT,
};

struct limits {
    uint64_t value[LIMIT_COUNT];
};

struct limit_info {
    const char *name; // "logins", as the option is called
    const char *unit; // for people: "a minute"
    bool bytes;       // written as a size
    uint64_t min, max;
};
const struct limit_info *limit_info(enum limit_name name);
bool limit_parse_name(const char *text, enum limit_name *out);

void limits_of_config(const struct config *c, struct limits *out);

// "20", or a size for those in bytes ("10MB"; "none" where there may be no limit).
MUST_CHECK enum err limit_parse(enum limit_name name, const char *text, uint64_t *out, struct fault *f);
// The form limit_parse reads back. Returns out.
const char *limit_format(enum limit_name name, uint64_t value, char *out, size_t out_size);

#endif
