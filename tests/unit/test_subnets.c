// Lists of addresses and subnets: what is one, and who is in it.
#include "unit/check.h"

#include "base/subnets.h"

static void valid(void **state)
{
    static const char *const good[] = {"",
                                       "  ",
                                       "192.0.2.7",
                                       "192.0.2.7/32",
                                       "10.0.0.0/8 192.0.2.0/24",
                                       "::/0",
                                       "0.0.0.0/0",
                                       "2001:db8::/32\t::1",
                                       "2001:db8:1111:2222:3333:4444:5555:6666/128"};
    static const char *const bad[] = {
        "192.0.2",     "192.0.2.7/33", "192.0.2.7/24",  "10.0.0.0/",     "/8",
        "10.0.0.0/8,", "10.0.0.0/+8",  "10.0.0.0/0008", "2001:db8::/16", "::1/129",
        "example.com", "10.0.0.0/8 x", "[::1]",         "10.0.0.0/8/8"};
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        if (!subnets_valid(good[i]))
            fail_msg("\"%s\" was refused", good[i]);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (subnets_valid(bad[i]))
            fail_msg("\"%s\" was accepted", bad[i]);
    }
}

static void have(void **state)
{
    static const struct {
        const char *list, *address;
        bool in;
    } rows[] = {
        {"", "192.0.2.7", false},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.8", false},
        {"10.0.0.0/8 192.0.2.0/25", "192.0.2.127", true},
        {"10.0.0.0/8 192.0.2.0/25", "192.0.2.128", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"0.0.0.0/0", "203.0.113.1", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"2001:db8::/32", "2001:db8:ffff::1", true},
        {"2001:db8::/32", "2001:db9::1", false},
        {"2001:db8::8/125", "2001:db8::f", true},
        {"2001:db8::8/125", "2001:db8::10", false},
        {"0.0.0.0/0 ::/0", "unknown", false},
        {"0.0.0.0/0 ::/0", "", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (subnets_have(rows[i].list, rows[i].address) != rows[i].in)
            fail_msg("\"%s\" in \"%s\"", rows[i].address, rows[i].list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(valid), cmocka_unit_test(have)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
