// Sizes, CPU sets, durations and points in time as people write them. Pure functions; no locale, no I/O.
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdint.h>
#include <time.h>

#include "base/fault.h"

// "500MB 8GB 2TB" are powers of ten, "4096MiB 8GiB 1TiB" powers of two. Anything else (a bare number, 0,
// a fraction, more than 2^63-1) is ERR_INVALID and the fault names the accepted forms. *bytes is set on
// success only.
MUST_CHECK enum err size_parse(const char *text, uint64_t *bytes, struct fault *f);

// Writes the shortest exact form of the above ("20GB", "4GiB"), else "N" + "B". Returns out.
const char *size_format(uint64_t bytes, char *out, size_t out_size);

// Writes a rounded form for people: "4.2GB", "512MB". Returns out.
const char *size_format_human(uint64_t bytes, char *out, size_t out_size);

// "4" = that many cores (1..1024); "0-3", "2-4", "0,2" = pinned to those cores (each 0..1023; ascending, no
// core twice; at most 63 characters). On success *count is the number of cores meant and *pinned tells which
// form it was (either may be NULL).
MUST_CHECK enum err cpu_parse(const char *text, unsigned *count, bool *pinned, struct fault *f);

// "1500ms 30s 5m 1h 7d". Milliseconds. A bare number is refused, "0s" is allowed.
MUST_CHECK enum err duration_parse(const char *text, uint64_t *milliseconds, struct fault *f);

// The one form that duration_parse reads back to the same number: "30s", "1500ms", "7d". Returns out.
const char *duration_format_exact(uint64_t milliseconds, char *out, size_t out_size);

// "3 days", "2h 5m", "42s": for people. Returns out.
const char *duration_format(uint64_t milliseconds, char *out, size_t out_size);

// --since/--until: "2025-01-01", "2025-01-01T10:00:00Z", "today", "yesterday", "1h", "30m", "7d" (that long
// before now). UTC throughout. `now` is an argument so that tests need no clock.
MUST_CHECK enum err when_parse(const char *text, time_t now, time_t *out, struct fault *f);

// "2026-01-10T08:43:18Z" into out (at least 21 bytes). Returns out.
const char *when_format(time_t t, char *out, size_t out_size);

uint64_t monotonic_ms(void); // CLOCK_MONOTONIC, milliseconds

#endif
