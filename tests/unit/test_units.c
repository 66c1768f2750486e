// Sizes, cores, durations and times: the forms of CONTRACT, their limits, and what is refused.
#include "unit/check.h"

#include "base/units.h"

static void sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"500MB", 500000000},
        {"8GB", 8000000000},
        {"50GB", 50000000000},
        {"2TB", 2000000000000},
        {"1MB", 1000000},
        {"4096MiB", 4294967296},
        {"8GiB", 8589934592},
        {"1TiB", UINT64_C(1) << 40},
        {"007GB", 7000000000},
        {"9223372036854MB", 9223372036854000000},
        {"8388607TiB", (UINT64_C(1) << 63) - (UINT64_C(1) << 40)},
    };
    static const char *const bad[] = {"",
                                      "8",
                                      "GB",
                                      "0GB",
                                      "8 GB",
                                      " 8GB",
                                      "8GB ",
                                      "8gb",
                                      "8G",
                                      "8KB",
                                      "1.5GB",
                                      "-1GB",
                                      "+1GB",
                                      "8GBB",
                                      "0x8GB",
                                      "8PB",
                                      "8Gib",
                                      "8GiBx",
                                      "20 potatoes",
                                      "9223372036855MB",
                                      "8388608TiB",
                                      "18446744073709551616MB",
                                      "99999999999999999999999GB"};
    struct fault f = {.text = ""};
    char text[64];
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        uint64_t n = 0, again = 0;
        assert_ok(size_parse(good[i].text, &n, &f));
        assert_int_equal(n, good[i].bytes);
        assert_ok(size_parse(size_format(n, text, sizeof text), &again, &f));
        assert_int_equal(again, n);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t n = 42;
        assert_err(ERR_INVALID, size_parse(bad[i], &n, &f));
        assert_int_equal(n, 42);
        assert_says("8GB");
        assert_says("4096MiB");
    }
}

static void sizes_written(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *exact, *human;
    } rows[] = {
        {0, "0B", "0B"},
        {1, "1B", "1B"},
        {999, "999B", "999B"},
        {1000, "1000B", "1KB"},
        {20000000000, "20GB", "20GB"},
        {4294967296, "4GiB", "4.3GB"},
        {1536 << 20, "1536MiB", "1.6GB"},
        {1500000000, "1500MB", "1.5GB"},
        {4200000000, "4200MB", "4.2GB"},
        {512000000, "512MB", "512MB"},
        {999949999, "999949999B", "1GB"},
        {9960000, "9960000B", "10MB"},
        {999999, "999999B", "1MB"},
        {UINT64_MAX, "18446744073709551615B", "18EB"},
    };
    char text[64];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_string_equal(size_format(rows[i].bytes, text, sizeof text), rows[i].exact);
        assert_string_equal(size_format_human(rows[i].bytes, text, sizeof text), rows[i].human);
    }
}

static void cores(void **state)
{
    static const struct {
        const char *text;
        unsigned count;
        bool pinned;
    } good[] = {{"1", 1, false},  {"4", 4, false},        {"1024", 1024, false},
                {"0-3", 4, true}, {"2-4", 3, true},       {"0,2", 2, true},
                {"3-3", 1, true}, {"0-1,4,6-7", 5, true}, {"0-1023", 1024, true}};
    static const char *const bad[] = {"",
                                      "0",
                                      "1025",
                                      "-1",
                                      "4-2",
                                      "0-",
                                      "-",
                                      ",",
                                      "0,",
                                      ",0",
                                      "0,0",
                                      "2,1",
                                      "0-3,3",
                                      "0--3",
                                      "0-1024",
                                      "1024,1",
                                      "a",
                                      "4 ",
                                      " 4",
                                      "1.5",
                                      "0-1-2",
                                      "99999999999999999999",
                                      "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25"};
    struct fault f = {.text = ""};
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        unsigned count = 0;
        bool pinned = !good[i].pinned;
        assert_ok(cpu_parse(good[i].text, &count, &pinned, &f));
        assert_int_equal(count, good[i].count);
        assert_int_equal(pinned, good[i].pinned);
        assert_ok(cpu_parse(good[i].text, NULL, NULL, &f));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_err(ERR_INVALID, cpu_parse(bad[i], NULL, NULL, &f));
        assert_says("0-3");
    }
}

static void durations(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
        const char *exact, *human;
    } good[] = {
        {"0s", 0, "0s", "0s"},
        {"1ms", 1, "1ms", "1ms"},
        {"1500ms", 1500, "1500ms", "1s"},
        {"30s", 30000, "30s", "30s"},
        {"60s", 60000, "1m", "1m"},
        {"90s", 90000, "90s", "1m 30s"},
        {"5m", 300000, "5m", "5m"},
        {"125m", 7500000, "125m", "2h 5m"},
        {"2h", 7200000, "2h", "2h"},
        {"24h", 86400000, "1d", "1 day"},
        {"7d", 604800000, "7d", "7 days"},
        {"106751991167d", UINT64_C(9223372036828800000), "106751991167d", "106751991167 days"},
    };
    static const char *const bad[] = {
        "",     "0",   "30", "s",     "30 s",  " 30s",          "-1s",
        "1.5s", "30S", "1w", "1h30m", "30sec", "106751991168d", "99999999999999999999s"};
    struct fault f = {.text = ""};
    char text[64];
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        uint64_t ms = 42;
        assert_ok(duration_parse(good[i].text, &ms, &f));
        assert_int_equal(ms, good[i].ms);
        assert_string_equal(duration_format_exact(ms, text, sizeof text), good[i].exact);
        assert_string_equal(duration_format(ms, text, sizeof text), good[i].human);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t ms = 42;
        assert_err(ERR_INVALID, duration_parse(bad[i], &ms, &f));
        assert_int_equal(ms, 42);
        assert_says("30s");
    }
}

static void times(void **state)
{
    const time_t now = 1768034598; // 2026-01-10T08:43:18Z
    static const struct {
        const char *text, *meant;
    } good[] = {
        {"2025-01-01", "2025-01-01T00:00:00Z"}, {"2025-01-01T10:00:00Z", "2025-01-01T10:00:00Z"},
        {"2024-02-29", "2024-02-29T00:00:00Z"}, {"1970-01-01", "1970-01-01T00:00:00Z"},
        {"9999-12-31", "9999-12-31T00:00:00Z"}, {"today", "2026-01-10T00:00:00Z"},
        {"yesterday", "2026-01-09T00:00:00Z"},  {"1h", "2026-01-10T07:43:18Z"},
        {"30m", "2026-01-10T08:13:18Z"},        {"7d", "2026-01-03T08:43:18Z"},
        {"0s", "2026-01-10T08:43:18Z"},         {"999ms", "2026-01-10T08:43:18Z"},
    };
    static const char *const bad[] = {"",
                                      "now",
                                      "tomorrow",
                                      "2025",
                                      "2025-1-1",
                                      "2025-13-01",
                                      "2025-00-01",
                                      "2025-02-29",
                                      "2025-01-32",
                                      "2025-01-00",
                                      "1969-12-31",
                                      "2025-01-01T",
                                      "2025-01-01T10:00",
                                      "2025-01-01T24:00:00Z",
                                      "2025-01-01T10:60:00Z",
                                      "2025-01-01T10:00:00",
                                      "2025-01-01T10:00:00Z ",
                                      "2025-01-01 10:00:00",
                                      "-1h",
                                      "1w",
                                      "99999d",
                                      "20250101",
                                      "2025-01-01x"};
    struct fault f = {.text = ""};
    char text[32];
    (void)state;
    assert_string_equal(when_format(now, text, sizeof text), "2026-01-10T08:43:18Z");
    for (size_t i = 0; i < COUNT(good); i++) {
        time_t t = 0;
        assert_ok(when_parse(good[i].text, now, &t, &f));
        assert_string_equal(when_format(t, text, sizeof text), good[i].meant);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        time_t t = 42;
        assert_err(ERR_INVALID, when_parse(bad[i], now, &t, &f));
        assert_int_equal(t, 42);
        assert_says("yesterday");
    }
}

static void clock_goes_forward(void **state)
{
    uint64_t a = monotonic_ms(), b = monotonic_ms();
    (void)state;
    assert_true(a > 0 && b >= a && b - a < 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),     cmocka_unit_test(sizes_written), cmocka_unit_test(cores),
        cmocka_unit_test(durations), cmocka_unit_test(times),         cmocka_unit_test(clock_goes_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
