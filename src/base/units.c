// Sizes, CPU sets, durations and points in time. Accepts exactly the forms the header names, so that what a
// person typed is either understood as meant or refused with the forms that would be.
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SIZE_FORMS "accepted: 500MB 8GB 2TB (powers of ten), 4096MiB 8GiB 1TiB (powers of two)"
#define CPU_FORMS "accepted: 4 (that many cores), 0-3 or 0,2 (pinned to those cores)"
#define DURATION_FORMS "accepted: 1500ms 30s 5m 1h 7d"
#define WHEN_FORMS "accepted: 2025-01-01, 2025-01-01T10:00:00Z, today, yesterday, 30m, 1h, 7d (that long ago)"

#define CORES_MAX 1024

struct unit {
    const char *suffix;
    uint64_t factor;
};

// Largest first: a formatter takes the first that fits.
static const struct unit size_units[] = {
    {"TiB", UINT64_C(1) << 40}, {"TB", UINT64_C(1000000000000)}, {"GiB", UINT64_C(1) << 30},
    {"GB", 1000000000},         {"MiB", UINT64_C(1) << 20},      {"MB", 1000000},
};
static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// Reads decimal digits; false if there is none or the number exceeds max. No sign, no leading blanks.
static bool number_parse(const char **text, uint64_t max, uint64_t *out)
{
    const char *p = *text;
    uint64_t n = 0;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (n > (max - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *text = p;
    *out = n;
    return true;
}

static bool quantity_parse(const char *text, const struct unit *units, size_t count, uint64_t *out)
{
    uint64_t n = 0;
    if (!number_parse(&text, INT64_MAX, &n))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, units[i].suffix) == 0) {
            if (n > (uint64_t)INT64_MAX / units[i].factor)
                return false;
            *out = n * units[i].factor;
            return true;
        }
    }
    return false;
}

enum err size_parse(const char *text, uint64_t *bytes, struct fault *f)
{
    uint64_t n = 0;
    if (!quantity_parse(text, size_units, COUNT(size_units), &n) || n == 0)
        return fault_set(f, ERR_INVALID, "\"%.64s\" is not a size; " SIZE_FORMS, text);
    *bytes = n;
    return ERR_NONE;
}

const char *size_format(uint64_t bytes, char *out, size_t out_size)
{
    char best[32], one[32];
    snprintf(best, sizeof best, "%" PRIu64 "B", bytes);
    bool exact = false;
    for (size_t i = 0; i < COUNT(size_units) && bytes > 0; i++) {
        if (bytes % size_units[i].factor != 0)
            continue;
        snprintf(one, sizeof one, "%" PRIu64 "%s", bytes / size_units[i].factor, size_units[i].suffix);
        if (!exact || strlen(one) < strlen(best))
            memcpy(best, one, sizeof best);
        exact = true;
    }
    snprintf(out, out_size, "%s", best);
    return out;
}

const char *size_format_human(uint64_t bytes, char *out, size_t out_size)
{
    static const char *const suffixes[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
    uint64_t whole = bytes, rest = 0;
    size_t unit = 0;
    while (whole >= 1000 && unit + 1 < COUNT(suffixes)) {
        rest = whole % 1000;
        whole /= 1000;
        unit++;
    }
    uint64_t tenth = (rest + 50) / 100;
    if (whole >= 10 || unit == 0) { // one more digit says nothing to a person
        whole += rest >= 500;
        tenth = 0;
    } else if (tenth == 10) {
        whole++;
        tenth = 0;
    }
    if (whole == 1000 && unit + 1 < COUNT(suffixes)) {
        whole = 1;
        unit++;
    }
    if (tenth == 0)
        snprintf(out, out_size, "%" PRIu64 "%s", whole, suffixes[unit]);
    else
        snprintf(out, out_size, "%" PRIu64 ".%" PRIu64 "%s", whole, tenth, suffixes[unit]);
    return out;
}

// "0-3,6": ranges ascending and disjoint, so that the count of cores is what the text says.
static bool core_list_parse(const char *p, unsigned *count)
{
    uint64_t next = 0; // lowest core that may still be named
    *count = 0;
    for (;;) {
        uint64_t first = 0;
        if (!number_parse(&p, CORES_MAX - 1, &first) || first < next)
            return false;
        uint64_t last = first;
        if (*p == '-') {
            p++;
            if (!number_parse(&p, CORES_MAX - 1, &last) || last < first)
                return false;
        }
        *count += (unsigned)(last - first + 1);
        next = last + 1;
        if (*p == '\0')
            return true;
        if (*p != ',')
            return false;
        p++;
    }
}

enum err cpu_parse(const char *text, unsigned *count, bool *pinned, struct fault *f)
{
    unsigned cores = 0;
    bool is_list = strpbrk(text, "-,") != NULL;
    bool ok = strlen(text) < 64; // what a box's row holds
    if (ok && is_list) {
        ok = core_list_parse(text, &cores);
    } else if (ok) {
        uint64_t n = 0;
        const char *p = text;
        ok = number_parse(&p, CORES_MAX, &n) && *p == '\0' && n > 0;
        cores = (unsigned)n;
    }
    if (!ok)
        return fault_set(f, ERR_INVALID, "\"%.64s\" is not a number of cores; " CPU_FORMS, text);
    if (count != NULL)
        *count = cores;
    if (pinned != NULL)
        *pinned = is_list;
    return ERR_NONE;
}

enum err duration_parse(const char *text, uint64_t *milliseconds, struct fault *f)
{
    uint64_t ms = 0;
    if (!quantity_parse(text, duration_units, COUNT(duration_units), &ms))
        return fault_set(f, ERR_INVALID, "\"%.64s\" is not a duration; " DURATION_FORMS, text);
    *milliseconds = ms;
    return ERR_NONE;
}

const char *duration_format_exact(uint64_t milliseconds, char *out, size_t out_size)
{
    if (milliseconds == 0) {
        snprintf(out, out_size, "0s");
        return out;
    }
    size_t i = 0;
    while (milliseconds % duration_units[i].factor != 0) // the last factor is 1
        i++;
    snprintf(out, out_size, "%" PRIu64 "%s", milliseconds / duration_units[i].factor,
             duration_units[i].suffix);
    return out;
}

const char *duration_format(uint64_t milliseconds, char *out, size_t out_size)
{
    uint64_t s = milliseconds / 1000, m = s / 60, h = m / 60, d = h / 24;
    if (d > 0)
        snprintf(out, out_size, "%" PRIu64 " day%s", d, d == 1 ? "" : "s");
    else if (h > 0 && m % 60 > 0)
        snprintf(out, out_size, "%" PRIu64 "h %" PRIu64 "m", h, m % 60);
    else if (h > 0)
        snprintf(out, out_size, "%" PRIu64 "h", h);
    else if (m > 0 && s % 60 > 0)
        snprintf(out, out_size, "%" PRIu64 "m %" PRIu64 "s", m, s % 60);
    else if (m > 0)
        snprintf(out, out_size, "%" PRIu64 "m", m);
    else if (s > 0 || milliseconds == 0)
        snprintf(out, out_size, "%" PRIu64 "s", s);
    else
        snprintf(out, out_size, "%" PRIu64 "ms", milliseconds);
    return out;
}

// Exactly `digits` decimal digits.
static bool field_parse(const char **text, unsigned digits, int *out)
{
    int n = 0;
    for (unsigned i = 0; i < digits; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        n = n * 10 + (**text - '0');
    }
    *out = n;
    return true;
}

static bool literal(const char **text, char expected)
{
    if (**text != expected)
        return false;
    (*text)++;
    return true;
}

// "2025-01-01" or "2025-01-01T10:00:00Z"; the calendar is checked by letting timegm normalize and comparing.
static bool date_parse(const char *p, time_t *out)
{
    struct tm tm = {0};
    int year = 0, month = 0;
    if (!field_parse(&p, 4, &year) || !literal(&p, '-') || !field_parse(&p, 2, &month) || !literal(&p, '-') ||
        !field_parse(&p, 2, &tm.tm_mday))
        return false;
    if (*p != '\0' && (!literal(&p, 'T') || !field_parse(&p, 2, &tm.tm_hour) || !literal(&p, ':') ||
                       !field_parse(&p, 2, &tm.tm_min) || !literal(&p, ':') ||
                       !field_parse(&p, 2, &tm.tm_sec) || !literal(&p, 'Z') || *p != '\0'))
        return false;
    if (year < 1970)
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    struct tm given = tm;
    time_t t = timegm(&tm);
    if (tm.tm_year != given.tm_year || tm.tm_mon != given.tm_mon || tm.tm_mday != given.tm_mday ||
        tm.tm_hour != given.tm_hour || tm.tm_min != given.tm_min || tm.tm_sec != given.tm_sec)
        return false;
    *out = t;
    return true;
}

enum err when_parse(const char *text, time_t now, time_t *out, struct fault *f)
{
    time_t t = 0, midnight = now - now % 86400;
    uint64_t ago = 0;
    if (strcmp(text, "today") == 0)
        t = midnight;
    else if (strcmp(text, "yesterday") == 0)
        t = midnight - 86400;
    else if (quantity_parse(text, duration_units, COUNT(duration_units), &ago) && ago / 1000 <= (uint64_t)now)
        t = now - (time_t)(ago / 1000);
    else if (!date_parse(text, &t))
        return fault_set(f, ERR_INVALID, "\"%.64s\" is not a point in time; " WHEN_FORMS, text);
    *out = t;
    return ERR_NONE;
}

const char *when_format(time_t t, char *out, size_t out_size)
{
    struct tm tm;
    if (gmtime_r(&t, &tm) == NULL || strftime(out, out_size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, out_size, "-");
    return out;
}

uint64_t monotonic_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}
