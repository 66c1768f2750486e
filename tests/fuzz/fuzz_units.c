// Sizes, cores, durations, times: what is accepted must be written back to the same number, and stay in its
// range.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[256], out[64];
    uint64_t n = 0, again = 0;
    unsigned cores = 0;
    bool pinned = false;
    time_t when = 0, now = 1767225600; // 2026-01-01
    struct fault f;
    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (size_parse(text, &n, &f) == ERR_NONE &&
        (size_parse(size_format(n, out, sizeof out), &again, &f) != ERR_NONE || n != again || n == 0))
        abort();
    if (duration_parse(text, &n, &f) == ERR_NONE &&
        (duration_parse(duration_format_exact(n, out, sizeof out), &again, &f) != ERR_NONE || n != again))
        abort();
    if (cpu_parse(text, &cores, &pinned, &f) == ERR_NONE && (cores == 0 || cores > 1024))
        abort();
    if (when_parse(text, now, &when, &f) == ERR_NONE && when < 0)
        abort();
    (void)size_format_human(n, out, sizeof out);
    (void)duration_format(n, out, sizeof out);
    return 0;
}
