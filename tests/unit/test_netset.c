// Sets of subnets with an end.
#include "unit/check.h"

#include <stdlib.h>

#include "policy/netset.h"

static struct subnet subnet(const char *text)
{
    struct subnet s;
    if (!subnet_parse(text, &s))
        fail_msg("%s", text);
    return s;
}

static bool has(const struct netset *s, const char *address, time_t now, time_t *until)
{
    struct subnet whole = subnet(address);
    return netset_has(s, whole.address, now, until);
}

static void add(struct netset *s, const char *text, time_t until)
{
    struct subnet one = subnet(text);
    struct fault f = {.text = ""};
    assert_ok(netset_add(s, &one, until, 100, &f));
}

static void members(void **state)
{
    struct netset s = {.count = 0};
    time_t until = 0;
    (void)state;
    add(&s, "203.0.113.7", 200);
    add(&s, "10.0.0.0/8", 300);
    add(&s, "10.1.0.0/16", 0);
    add(&s, "2001:db8::/32", 400);
    assert_true(has(&s, "203.0.113.7", 150, &until));
    assert_int_equal(until, 200);
    assert_false(has(&s, "203.0.113.7", 200, NULL)); // its end has come
    assert_false(has(&s, "203.0.113.8", 150, NULL));
    assert_true(has(&s, "10.255.0.1", 150, &until));
    assert_int_equal(until, 300);
    assert_true(has(&s, "10.1.2.3", 150, &until));
    assert_int_equal(until, 0); // the one that lasts longest
    assert_true(has(&s, "2001:db8:ffff::1", 150, NULL));
    assert_false(has(&s, "2001:db9::", 150, NULL));
    struct subnet one = subnet("10.1.0.0/16");
    netset_remove(&s, &one);
    assert_true(has(&s, "10.1.2.3", 150, &until));
    assert_int_equal(until, 300);
    netset_remove(&s, &one); // not in it: nothing
    netset_clear(&s);
    assert_false(has(&s, "10.1.2.3", 150, NULL));
}

// Against a list that is walked.
static void agrees_with_a_list(void **state)
{
    struct netset s = {.count = 0};
    struct subnet all[500];
    char text[64];
    (void)state;
    srand(7);
    for (size_t i = 0; i < COUNT(all); i++) {
        unsigned prefix = 8 + (unsigned)rand() % 25, n = (unsigned)rand() << 1;
        n &= prefix == 32 ? UINT32_MAX : ~(UINT32_MAX >> prefix);
        snprintf(text, sizeof text, "%u.%u.%u.%u/%u", n >> 24, n >> 16 & 255, n >> 8 & 255, n & 255, prefix);
        all[i] = subnet(text);
        add(&s, text, 0);
    }
    for (int i = 0; i < 20000; i++) {
        unsigned n = (unsigned)rand() << 1;
        bool expected = false;
        snprintf(text, sizeof text, "%u.%u.%u.%u", n >> 24, n >> 16 & 255, n >> 8 & 255, n & 255);
        struct subnet one = subnet(text);
        for (size_t k = 0; k < COUNT(all); k++)
            expected = expected || subnet_has(&all[k], one.address);
        if (netset_has(&s, one.address, 1, NULL) != expected)
            fail_msg("%s", text);
    }
    netset_clear(&s);
}

static void is_bounded(void **state)
{
    struct netset s = {.max = 3};
    struct fault f = {.text = ""};
    (void)state;
    add(&s, "10.0.0.1", 150);
    add(&s, "10.0.0.2", 0);
    add(&s, "10.0.0.3", 0);
    add(&s, "10.0.0.3", 500); // again: its end moves
    struct subnet four = subnet("10.0.0.4");
    assert_err(ERR_FULL, netset_add(&s, &four, 0, 149, &f));
    assert_ok(netset_add(&s, &four, 0, 150, &f)); // one is over and makes room
    assert_int_equal(s.count, 3);
    assert_false(has(&s, "10.0.0.1", 1, NULL));
    netset_clear(&s);
    assert_int_equal(s.max, 3);
}

static void sources(void **state)
{
    struct subnet s;
    char text[SUBNET_TEXT];
    static const char *const rows[][2] = {
        {"203.0.113.7", "203.0.113.7"},
        {"::ffff:203.0.113.7", "203.0.113.7"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
        {"::1", "::/64"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_true(subnet_of_source(rows[i][0], &s));
        assert_string_equal(subnet_format(&s, text), rows[i][1]);
        assert_true(subnet_parse(text, &s)); // and back
    }
    assert_false(subnet_of_source("host.example", &s));
    assert_true(subnet_parse("10.0.0.0/8", &s));
    assert_string_equal(subnet_format(&s, text), "10.0.0.0/8");
    assert_false(subnet_parse("10.0.0.1/8", &s));
    assert_false(subnet_parse("10.0.0.0/33", &s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members),
        cmocka_unit_test(agrees_with_a_list),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
