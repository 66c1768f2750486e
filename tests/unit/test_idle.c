// The rule of sleep, with time as an argument.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/idle.h"

#define MINUTE 60
#define HOUR 3600
#define T0 ((time_t)1700000000)

static const struct idle_rules usual = {.freeze_ms = 30 * MINUTE * 1000, .stop_ms = 24 * UINT64_C(3600000)};

struct row {
    struct idle_rules rules;
    struct idle_facts facts;
    time_t now;
    enum idle_step step;
    time_t next;
};

static void check(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        time_t next = 1;
        enum idle_step step = idle_decide(&rows[i].rules, &rows[i].facts, rows[i].now, &next);
        if (step != rows[i].step || next != rows[i].next)
            fail_msg("row %zu: step %d (wanted %d), next %lld (wanted %lld)", i, (int)step, (int)rows[i].step,
                     (long long)(next - T0), (long long)(rows[i].next - T0));
    }
}

static void freezes_then_stops(void **state)
{
    const struct row rows[] = {
        {usual, {IDLE_AWAKE, false, T0}, T0, IDLE_NOTHING, T0 + 30 * MINUTE},
        {usual, {IDLE_AWAKE, false, T0}, T0 + 30 * MINUTE - 1, IDLE_NOTHING, T0 + 30 * MINUTE},
        {usual, {IDLE_AWAKE, false, T0}, T0 + 30 * MINUTE, IDLE_FREEZE, 0},
        {usual, {IDLE_FROZEN, false, T0}, T0 + 30 * MINUTE, IDLE_NOTHING, T0 + 24 * HOUR},
        {usual, {IDLE_FROZEN, false, T0}, T0 + 24 * HOUR, IDLE_STOP, 0},
        {usual, {IDLE_AWAKE, false, T0}, T0 + 24 * HOUR, IDLE_STOP, 0}, // as after an outage of ours
        {usual, {IDLE_STOPPED, false, T0}, T0 + 48 * HOUR, IDLE_NOTHING, 0},
    };
    (void)state;
    check(rows, sizeof rows / sizeof *rows);
}

static void never_under_a_live_session(void **state)
{
    (void)state;
    for (int s = IDLE_AWAKE; s <= IDLE_STOPPED; s++) {
        const struct row row = {usual, {(enum idle_state)s, true, T0}, T0 + 100 * HOUR, IDLE_NOTHING, 0};
        check(&row, 1);
    }
}

static void zero_is_never(void **state)
{
    const struct idle_rules none = {0, 0}, freeze_only = {1000, 0}, stop_only = {0, 1000};
    const struct row rows[] = {
        {none, {IDLE_AWAKE, false, T0}, T0 + 100 * HOUR, IDLE_NOTHING, 0},
        {freeze_only, {IDLE_AWAKE, false, T0}, T0 + 1, IDLE_FREEZE, 0},
        {freeze_only, {IDLE_FROZEN, false, T0}, T0 + 100 * HOUR, IDLE_NOTHING, 0},
        {stop_only, {IDLE_AWAKE, false, T0}, T0, IDLE_NOTHING, T0 + 1},
        {stop_only, {IDLE_AWAKE, false, T0}, T0 + 1, IDLE_STOP, 0},
        {stop_only, {IDLE_FROZEN, false, T0}, T0 + 1, IDLE_STOP, 0}, // somebody froze it by hand
    };
    (void)state;
    check(rows, sizeof rows / sizeof *rows);
}

static void a_stop_before_the_freeze_needs_no_freeze(void **state)
{
    const struct idle_rules odd = {.freeze_ms = 10000, .stop_ms = 5000};
    const struct row rows[] = {
        {odd, {IDLE_AWAKE, false, T0}, T0 + 1, IDLE_NOTHING, T0 + 5},
        {odd, {IDLE_AWAKE, false, T0}, T0 + 5, IDLE_STOP, 0},
    };
    (void)state;
    check(rows, sizeof rows / sizeof *rows);
}

static void a_clock_that_jumps_does_no_harm(void **state)
{
    const struct row rows[] = {
        {usual, {IDLE_AWAKE, false, T0 + 10 * HOUR}, T0, IDLE_NOTHING, T0 + 30 * MINUTE}, // set back
        {usual, {IDLE_AWAKE, false, 0}, T0, IDLE_STOP, 0}, // never used: long ago
    };
    (void)state;
    check(rows, sizeof rows / sizeof *rows);
}

static void parts_of_a_second_are_rounded_up(void **state)
{
    const struct idle_rules rules = {.freeze_ms = 1500};
    const struct row rows[] = {
        {rules, {IDLE_AWAKE, false, T0}, T0 + 1, IDLE_NOTHING, T0 + 2},
        {rules, {IDLE_AWAKE, false, T0}, T0 + 2, IDLE_FREEZE, 0},
    };
    (void)state;
    check(rows, sizeof rows / sizeof *rows);
}

static void own_times_come_before_the_configurations(void **state)
{
    static const struct config config = {.box_idle_freeze = 5000, .box_idle_stop = 9000};
    static const struct {
        struct idle_own own;
        uint64_t freeze_ms, stop_ms;
    } rows[] = {
        {{.has_freeze = false}, 5000, 9000},
        {{.rules = {1, 1}}, 5000, 9000}, // what is not marked does not count
        {{.has_freeze = true, .rules = {.freeze_ms = 7000}}, 7000, 9000},
        {{.has_stop = true, .rules = {.stop_ms = 7000}}, 5000, 7000},
        {{.has_freeze = true, .has_stop = true}, 0, 0}, // never
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct idle_rules rules = idle_rules_of(&config, &rows[i].own);
        assert_int_equal(rules.freeze_ms, rows[i].freeze_ms);
        assert_int_equal(rules.stop_ms, rows[i].stop_ms);
    }
}

static void times_are_read_as_they_are_written(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
        const char *written;
    } good[] = {
        {"never", 0, "never"},   {"0s", 0, "never"},         {"90s", 90000, "90s"},
        {"120m", 7200000, "2h"}, {"1500ms", 1500, "1500ms"}, {"365d", IDLE_MS_MAX, "365d"},
    };
    static const char *const bad[] = {"",    "Never",  "never ",  "2",
                                      "-1s", "1.5h",   "366d",    "2 h",
                                      "1w",  "always", "default", "99999999999999999999d"};
    struct fault f;
    char text[32];
    uint64_t ms;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(idle_parse(good[i].text, &ms, &f), ERR_NONE);
        assert_int_equal(ms, good[i].ms);
        assert_string_equal(idle_format(ms, text, sizeof text), good[i].written);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ms = 77;
        assert_int_equal(idle_parse(bad[i], &ms, &f), ERR_INVALID);
        assert_non_null(strstr(f.text, "never, and durations up to 365d"));
        assert_int_equal(ms, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freezes_then_stops),
        cmocka_unit_test(never_under_a_live_session),
        cmocka_unit_test(zero_is_never),
        cmocka_unit_test(a_stop_before_the_freeze_needs_no_freeze),
        cmocka_unit_test(a_clock_that_jumps_does_no_harm),
        cmocka_unit_test(parts_of_a_second_are_rounded_up),
        cmocka_unit_test(own_times_come_before_the_configurations),
        cmocka_unit_test(times_are_read_as_they_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
