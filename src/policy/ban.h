// When failed logins become a ban, and for how long. Pure: counts what it is told, time is an argument; who
// is banned now is the store's business.
//
// A ban hits the pair of login name and source first: whoever fails as alice from an office's address bans
// alice's name there and nobody else. The source as a whole is banned only when it fails under many names, or
// hammers without ever offering a key; and never by itself while it is one that people log in from (`known`).
#ifndef POLICY_BAN_H
#define POLICY_BAN_H

#include <stdint.h>
#include <time.h>

#include "base/subnets.h"

struct ban_rules {
    unsigned failures;   // of one name from one source in `window` that ban the pair; 1..32
    unsigned names;      // names that failed so often in `window` that ban the source
    unsigned silent;     // connections in `window` that ended without a key offered, ditto
    time_t window;       // seconds
    time_t duration;     // of the first ban
    time_t duration_max; // however often
    unsigned growth;     // each ban lasts so many times as long as the one before
    time_t memory;       // a ban that began longer ago is not counted any more
    unsigned entries;    // pairs and sources followed at once; the one quiet longest is forgotten
};

struct ban_counter;
struct ban_counter *ban_counter_new(const struct ban_rules *rules); // rules are copied; NULL: out of memory
void ban_counter_free(struct ban_counter *c);

struct ban_verdict {
    bool pair, source; // to be banned now
};

// A login as `login` from `source` failed.
void ban_failed(struct ban_counter *c, const struct subnet *source, const char *login, bool known, time_t now,
                struct ban_verdict *out);
// A connection from there ended without a key offered.
void ban_silent(struct ban_counter *c, const struct subnet *source, bool known, time_t now,
                struct ban_verdict *out);
// They are forgiven: a login succeeded, or an administrator lifted a ban. login NULL: the source and all its
// pairs.
void ban_forget(struct ban_counter *c, const struct subnet *source, const char *login);

// How long the next ban lasts after `earlier` ones within the memory.
time_t ban_duration(const struct ban_rules *rules, unsigned earlier);

unsigned ban_followed(const struct ban_counter *c); // pairs and sources in memory now

#endif
