// Admission: shares, random early drop, and places for those who come regularly.
#include "unit/check.h"

#include "policy/admit.h"

static const struct admit_limits limits = {
    .connections = 1000, .unauthenticated = 100, .per_source = 20, .early_drop = 60, .reserved = 50};

static enum admit_verdict decide(unsigned unauthenticated, bool known, uint32_t dice)
{
    struct admit_load load = {
        .connections = unauthenticated, .unauthenticated = unauthenticated, .known = known};
    return admit_decide(&limits, &load, dice);
}

static void order_of_refusals(void **state)
{
    struct admit_load load = {.connections = 1000, .unauthenticated = 200, .from_source = 20, .banned = true};
    (void)state;
    assert_int_equal(admit_decide(&limits, &load, 0), ADMIT_BANNED);
    load.banned = false;
    assert_int_equal(admit_decide(&limits, &load, 0), ADMIT_FULL);
    load.connections = 999;
    assert_int_equal(admit_decide(&limits, &load, 0), ADMIT_SOURCE);
    load.known = true; // knowing a source gives it no larger share
    assert_int_equal(admit_decide(&limits, &load, 0), ADMIT_SOURCE);
    load.known = false;
    load.from_source = 19;
    assert_int_equal(admit_decide(&limits, &load, 0), ADMIT_BUSY);
}

static void early_drop_grows(void **state)
{
    (void)state;
    assert_int_equal(decide(59, false, 0), ADMIT_OK); // not yet, whatever the dice say
    assert_int_equal(decide(60, false, 0), ADMIT_OK);
    assert_int_equal(decide(80, false, UINT32_MAX / 2 - 10), ADMIT_BUSY); // half of them
    assert_int_equal(decide(80, false, UINT32_MAX / 2 + 10), ADMIT_OK);
    assert_int_equal(decide(99, false, (uint32_t)(UINT32_MAX * 0.97)), ADMIT_BUSY); // 39 of 40
    assert_int_equal(decide(99, false, UINT32_MAX), ADMIT_OK);
    assert_int_equal(decide(100, false, UINT32_MAX), ADMIT_BUSY); // all
}

static void early_drop_can_be_off(void **state)
{
    struct admit_limits off = limits;
    struct admit_load load = {.unauthenticated = 99};
    (void)state;
    off.early_drop = 100;
    assert_int_equal(admit_decide(&off, &load, 0), ADMIT_OK);
    load.unauthenticated = 100;
    assert_int_equal(admit_decide(&off, &load, UINT32_MAX), ADMIT_BUSY);
    off.early_drop = 0; // from the first on
    load.unauthenticated = 50;
    assert_int_equal(admit_decide(&off, &load, UINT32_MAX / 4), ADMIT_BUSY);
}

static void known_sources_have_their_places(void **state)
{
    (void)state;
    assert_int_equal(decide(99, true, 0), ADMIT_OK);
    assert_int_equal(decide(149, true, 0), ADMIT_OK);
    assert_int_equal(decide(150, true, UINT32_MAX), ADMIT_BUSY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_refusals),
        cmocka_unit_test(early_drop_grows),
        cmocka_unit_test(early_drop_can_be_off),
        cmocka_unit_test(known_sources_have_their_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
