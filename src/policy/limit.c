// Owns the table of limits.
#include "policy/limit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

static const struct limit_info table[LIMIT_COUNT] = {
    [LIMIT_LOGINS] = {"logins", "a minute", false, 1, 100000},
    [LIMIT_LOGINS_PER_SOURCE] = {"logins-per-source", "a minute from one address", false, 1, 100000},
    [LIMIT_CONNECTIONS] = {"connections", "at once", false, 1, 100000},
    [LIMIT_CONNECTIONS_PER_SOURCE] = {"connections-per-source", "at once from one address", false, 1, 100000},
    [LIMIT_SESSIONS] = {"sessions", "open at once", false, 1, 100000},
    [LIMIT_CHANNELS] = {"channels", "open at once", false, 1, 1000000},
    [LIMIT_BANDWIDTH] = {"bandwidth", "a second", true, 0, UINT64_C(1000000000000)},
    [LIMIT_BURST] = {"burst", "at once on top", true, 65536, UINT64_C(100000000000)},
};

const struct limit_info *limit_info(enum limit_name name)
{
    return &table[name];
}

bool limit_parse_name(const char *text, enum limit_name *out)
{
    for (int i = 0; i < LIMIT_COUNT; i++) {
        if (strcmp(text, table[i].name) == 0) {
            *out = (enum limit_name)i;
            return true;
        }
    }
    return false;
}

void limits_of_config(const struct config *c, struct limits *out)
{
    *out = (struct limits){.value = {
                               [LIMIT_LOGINS] = c->limit_logins,
                               [LIMIT_LOGINS_PER_SOURCE] = c->limit_logins_per_source,
                               [LIMIT_CONNECTIONS] = c->limit_connections,
                               [LIMIT_CONNECTIONS_PER_SOURCE] = c->limit_connections_per_source,
                               [LIMIT_SESSIONS] = c->limit_sessions,
                               [LIMIT_CHANNELS] = c->limit_channels,
                               [LIMIT_BANDWIDTH] = c->limit_bandwidth,
                               [LIMIT_BURST] = c->limit_burst,
                           }};
}

static bool number_parse(const char *text, uint64_t *out)
{
    uint64_t n = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9' && n < UINT64_C(1000000000); p++)
        n = n * 10 + (uint64_t)(*p - '0');
    *out = n;
    return p > text && *p == '\0';
}

enum err limit_parse(enum limit_name name, const char *text, uint64_t *out, struct fault *f)
{
    const struct limit_info *info = &table[name];
    char low[32], high[32];
    uint64_t n = 0;
    bool none = info->bytes && info->min == 0 && strcmp(text, "none") == 0;
    bool good = none || (info->bytes ? size_parse(text, &n, NULL) == ERR_NONE : number_parse(text, &n));
    if (good && n <= info->max && n >= info->min) {
        *out = n;
        return ERR_NONE;
    }
    if (!info->bytes)
        return fault_set(f, ERR_INVALID, "%s: \"%.40s\" is not a number from %" PRIu64 " to %" PRIu64,
                         info->name, text, info->min, info->max);
    return fault_set(f, ERR_INVALID,
                     "%s: \"%.40s\" does not fit; accepted: sizes like 500MB or 8MiB, %s to %s", info->name,
                     text, info->min == 0 ? "none, and up" : size_format(info->min, low, sizeof low),
                     size_format(info->max, high, sizeof high));
}

const char *limit_format(enum limit_name name, uint64_t value, char *out, size_t out_size)
{
    if (!table[name].bytes)
        snprintf(out, out_size, "%" PRIu64, value);
    else if (value == 0)
        snprintf(out, out_size, "none");
    else
        size_format(value, out, out_size);
    return out;
}
