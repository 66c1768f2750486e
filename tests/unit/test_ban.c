// When failures become a ban: pairs first, sources that attack many names, and what is known stays open.
#include "unit/check.h"

#include "policy/ban.h"

static const struct ban_rules rules = {
    .failures = 3,
    .names = 5,
    .silent = 30,
    .window = 600,
    .duration = 3600,
    .duration_max = 7 * 86400,
    .growth = 2,
    .memory = 7 * 86400,
    .entries = 1000,
};

static struct ban_counter *counter;

static int setup(void **state)
{
    (void)state;
    counter = ban_counter_new(&rules);
    return counter == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    ban_counter_free(counter);
    return 0;
}

static struct ban_verdict fail_as(const char *login, const char *from, bool known, time_t now)
{
    struct subnet source;
    struct ban_verdict v;
    assert_true(subnet_of_source(from, &source));
    ban_failed(counter, &source, login, known, now, &v);
    return v;
}

static void three_in_ten_minutes(void **state)
{
    (void)state;
    assert_false(fail_as("alice", "192.0.2.1", false, 1000).pair);
    assert_false(fail_as("alice", "192.0.2.1", false, 1001).pair);
    struct ban_verdict v = fail_as("alice", "192.0.2.1", false, 1599);
    assert_true(v.pair && !v.source);
    assert_false(fail_as("alice", "192.0.2.1", false, 1600).pair); // counts from none again
}

static void old_failures_do_not_count(void **state)
{
    (void)state;
    for (time_t now = 1000; now < 20000; now += 301) // three never fall into one window
        assert_false(fail_as("alice", "192.0.2.1", false, now).pair);
}

static void one_name_is_not_another(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_false(fail_as("alice", "192.0.2.1", false, 1000 + i).pair);
        assert_false(fail_as("bob", "192.0.2.1", false, 1000 + i).pair);
        assert_false(fail_as("alice", "192.0.2.2", false, 1000 + i).pair);
    }
    assert_true(fail_as("alice", "192.0.2.1", false, 1010).pair);
    assert_true(fail_as("alice", "2001:db8::1", false, 1010).pair == false);
}

static void many_names_ban_the_source(void **state)
{
    char login[16];
    (void)state;
    for (int n = 0; n < 5; n++) {
        snprintf(login, sizeof login, "user%d", n);
        for (int i = 0; i < 3; i++) {
            struct ban_verdict v = fail_as(login, "192.0.2.1", false, 1000 + n);
            assert_int_equal(v.pair, i == 2);
            assert_int_equal(v.source, i == 2 && n == 4);
        }
    }
}

// Behind one address of an office: an attacker among 200 bans names at most, never the address.
static void a_known_source_stays_open(void **state)
{
    char login[16];
    unsigned pairs = 0;
    (void)state;
    for (int i = 0; i < 10000; i++) {
        snprintf(login, sizeof login, "user%d", i % 200);
        struct ban_verdict v = fail_as(login, "192.0.2.1", true, 1000 + i / 100);
        pairs += v.pair;
        assert_false(v.source);
    }
    assert_true(pairs > 1000);
}

static void silence(void **state)
{
    struct subnet source;
    struct ban_verdict v;
    (void)state;
    assert_true(subnet_of_source("192.0.2.1", &source));
    for (int i = 1; i <= 30; i++) {
        ban_silent(counter, &source, false, 1000, &v);
        assert_int_equal(v.source, i == 30);
        assert_false(v.pair);
    }
    for (int i = 0; i < 100; i++) {
        ban_silent(counter, &source, true, 1000, &v); // a monitor in an office
        assert_false(v.source);
    }
}

static void forgiven(void **state)
{
    struct subnet source;
    (void)state;
    assert_true(subnet_of_source("192.0.2.1", &source));
    (void)fail_as("alice", "192.0.2.1", false, 1000);
    (void)fail_as("alice", "192.0.2.1", false, 1000);
    ban_forget(counter, &source, "alice");
    assert_false(fail_as("alice", "192.0.2.1", false, 1000).pair);
    (void)fail_as("bob", "192.0.2.1", false, 1000);
    ban_forget(counter, &source, NULL);
    assert_int_equal(ban_followed(counter), 0);
}

static void repeaters_stay_longer(void **state)
{
    (void)state;
    assert_int_equal(ban_duration(&rules, 0), 3600);
    assert_int_equal(ban_duration(&rules, 1), 7200);
    assert_int_equal(ban_duration(&rules, 3), 8 * 3600);
    assert_int_equal(ban_duration(&rules, 8), 7 * 86400);
    assert_int_equal(ban_duration(&rules, 100000), 7 * 86400);
    struct ban_rules flat = rules;
    flat.growth = 1;
    assert_int_equal(ban_duration(&flat, 100), 3600);
}

// A million sources do not cost a million entries, and who failed last is still followed.
static void memory_is_bounded(void **state)
{
    char from[32];
    (void)state;
    for (int i = 0; i < 100000; i++) {
        snprintf(from, sizeof from, "10.%d.%d.%d", i >> 16 & 255, i >> 8 & 255, i & 255);
        (void)fail_as("root", from, false, 1000);
    }
    assert_true(ban_followed(counter) <= rules.entries);
    (void)fail_as("alice", "192.0.2.1", false, 1000);
    (void)fail_as("alice", "192.0.2.1", false, 1000);
    assert_true(fail_as("alice", "192.0.2.1", false, 1000).pair);
}

static void long_and_empty_names(void **state)
{
    char login[300];
    (void)state;
    memset(login, 'x', sizeof login);
    login[sizeof login - 1] = '\0';
    assert_false(fail_as(login, "192.0.2.1", false, 1000).pair);
    assert_false(fail_as(login, "192.0.2.1", false, 1000).pair);
    assert_true(fail_as(login, "192.0.2.1", false, 1000).pair);
    for (int i = 0; i < 10; i++)
        assert_false(fail_as("", "192.0.2.1", false, 1000).pair);
}

int main(void)
{
#define test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        test(three_in_ten_minutes),
        test(old_failures_do_not_count),
        test(one_name_is_not_another),
        test(many_names_ban_the_source),
        test(a_known_source_stays_open),
        test(silence),
        test(forgiven),
        test(repeaters_stay_longer),
        test(memory_is_bounded),
        test(long_and_empty_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
