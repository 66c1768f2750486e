// Token buckets: rates, bursts, waits, and numbers that do not fit.
#include "unit/check.h"

#include "policy/bucket.h"

static void takes_what_it_holds(void **state)
{
    const struct bucket_rate rate = {.amount = 60, .period = 60000, .burst = 3}; // one a second
    uint64_t full = 0, wait = 0;
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_true(bucket_take(&full, &rate, 1, 1000000, &wait));
    assert_false(bucket_take(&full, &rate, 1, 1000000, &wait));
    assert_int_equal(wait, 1000);
    assert_false(bucket_take(&full, &rate, 1, 1000999, &wait));
    assert_int_equal(wait, 1);
    assert_true(bucket_take(&full, &rate, 1, 1001000, &wait));
    assert_int_equal(bucket_holds(full, &rate, 1001000), 0);
    assert_int_equal(bucket_holds(full, &rate, 1003000), 2);
    assert_int_equal(bucket_holds(full, &rate, 9999000), 3);    // never more than the burst
    assert_false(bucket_take(&full, &rate, 4, 9999000, &wait)); // nor at once
}

static void no_limit(void **state)
{
    const struct bucket_rate none = {.period = 1, .burst = 1};
    uint64_t full = 0;
    (void)state;
    assert_true(bucket_take(&full, &none, UINT64_MAX, 5, NULL));
    assert_int_equal(full, 0);
    assert_true(bucket_holds(full, &none, 5) == UINT64_MAX);
}

// What is known only afterwards may overdraw: nothing is given until it is paid back.
static void owes(void **state)
{
    const struct bucket_rate rate = {.amount = 1000, .period = 1000, .burst = 100};
    uint64_t full = bucket_after(0, &rate, 600, 10000), wait = 0;
    (void)state;
    assert_int_equal(full, 10600);
    assert_int_equal(bucket_holds(full, &rate, 10000), 0);
    assert_false(bucket_take(&full, &rate, 1, 10500, &wait));
    assert_int_equal(wait, 1);
    assert_true(bucket_take(&full, &rate, 1, 10501, &wait));
}

static void large_numbers(void **state)
{
    const struct bucket_rate fast = {
        .amount = UINT64_C(1000000000000), .period = 1000000000, .burst = 1 << 20};
    const struct bucket_rate slow = {.amount = 1, .period = UINT64_C(1000000000000), .burst = 1};
    uint64_t full = 0, now = UINT64_C(86400) * 365 * 1000000000;
    (void)state;
    assert_true(bucket_take(&full, &fast, 1 << 20, now, NULL));
    assert_int_equal(full - now, 1048);             // nanoseconds for a MiB at a terabyte a second
    full = bucket_after(0, &slow, UINT64_MAX, now); // does not wrap around
    assert_true(full > now);
    assert_false(bucket_take(&full, &slow, 1, now, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_it_holds),
        cmocka_unit_test(no_limit),
        cmocka_unit_test(owes),
        cmocka_unit_test(large_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
