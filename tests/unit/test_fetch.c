// Where keys may be fetched from. The fetching itself is tested end to end.
#include "unit/check.h"

#include "provision/fetch.h"

static void sources(void **state)
{
    static const struct {
        const char *source, *url;
    } good[] = {
        {"github:alice", "https://github.com/alice.keys"},
        {"gitlab:al.ice_7", "https://gitlab.com/al.ice_7.keys"},
        {"https://keys.example/alice", "https://keys.example/alice"},
        {"HTTPS://keys.example/alice?x=%20", "HTTPS://keys.example/alice?x=%20"},
    };
    static const char *const bad[] = {
        "github:",        "github:-x",    "github:a/b",          "github:a b",
        "gitlab:..",      "github:a%2fb", "http://keys.example", "ftp://keys.example/",
        "file:///etc/pw", "https://a b",  "https://a\nb",        "https://\xc3\xa9",
    };
    char url[FETCH_URL_SIZE], longest[FETCH_URL_SIZE + 9] = "https://";
    struct fault f = {.text = ""};
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(fetch_is_source(good[i].source));
        assert_ok(fetch_url(good[i].source, url, &f));
        assert_string_equal(url, good[i].url);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_true(fetch_is_source(bad[i]));
        assert_err(ERR_INVALID, fetch_url(bad[i], url, &f));
    }
    memset(longest + 8, 'a', FETCH_URL_SIZE - 8);
    assert_err(ERR_INVALID, fetch_url(longest, url, &f));
    longest[FETCH_URL_SIZE - 1] = '\0';
    assert_ok(fetch_url(longest, url, &f));
    assert_false(fetch_is_source("alice.pub"));
    assert_false(fetch_is_source("-"));
    assert_false(fetch_is_source("keys/github.pub"));
}

static void public_addresses(void **state)
{
    static const char *const yes[] = {"140.82.121.4", "1.1.1.1", "172.15.0.1", "172.32.0.1",
                                      "2606:4700::1111"};
    static const char *const no[] = {
        "127.0.0.1",
        "10.178.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "fe80::1",
        "fd00:ec2::254",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001::1",
        "ff02::1",
        "host.example",
        "",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(yes); i++)
        if (!fetch_is_public(yes[i]))
            fail_msg("%s is public", yes[i]);
    for (size_t i = 0; i < COUNT(no); i++)
        if (fetch_is_public(no[i]))
            fail_msg("%s is not public", no[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources),
        cmocka_unit_test(public_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
