// Names of users and boxes, and what a login name means.
#include "unit/check.h"

#include "policy/name.h"

static void user_names(void **state)
{
    static const char *const good[] = {
        "a",    "alice",  "a1",   "a-b",         "bob-dev",
        "warm", "warmer", "ctl2", "x-container", "abcdefghijklmnopqrstuvwxyz01234"};
    static const char *const bad[] = {
        "",        "A",          "1a",           "-a",
        "a-",      "a_b",        "a.b",          "a b",
        "alice\n", "al\xc3\xa9", "../x",         "a/b",
        "ctl",     "admin",      "root",         "join",
        "system",  "gateway",    "containarium", "default",
        "warm-",   "warm-1",     "join+x",       "abcdefghijklmnopqrstuvwxyz012345"};
    struct fault f = {.text = ""};
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_ok(name_check_user(good[i], &f));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_err(ERR_INVALID, name_check_user(bad[i], &f));
    assert_err(ERR_INVALID, name_check_user("root", &f));
    assert_says("reserved");
    assert_err(ERR_INVALID, name_check_user("Alice", &f));
    assert_says("31 characters");
}

static void snapshot_names(void **state)
{
    static const char *const good[] = {"a", "0", "before-upgrade", "2026.11_24", "20261124-220000"};
    static const char *const bad[] = {"", "A", "-a", ".a", "_a", "a b", "a/b", "a\n", "\xc3\xa9"};
    char longest[NAME_SNAPSHOT_SIZE + 1];
    struct fault f;
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_ok(name_check_snapshot(good[i], &f));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_err(ERR_INVALID, name_check_snapshot(bad[i], &f));
    memset(longest, 'a', sizeof longest);
    longest[NAME_SNAPSHOT_SIZE] = '\0';
    assert_err(ERR_INVALID, name_check_snapshot(longest, &f));
    longest[NAME_SNAPSHOT_SIZE - 1] = '\0';
    assert_ok(name_check_snapshot(longest, &f));
}

static void boxes(void **state)
{
    static const struct {
        const char *box, *user; // NULL: none
    } rows[] = {
        {"alice-container", "alice"},
        {"alice-dev", "alice"},
        {"alice", "alice"},
        {"a-b-container", "a-b"},
        {"bob-dev-container", "bob-dev"},
        {"-container", NULL},
        {"-dev", NULL},
        {"", NULL},
        {"Alice-container", NULL},
        {"root-container", NULL},
        {"warm-1-container", NULL},
        {"root", NULL},
        {"alice-container.", NULL},
        {"alice--container", NULL},
        {"alice container", NULL},
        {"abcdefghijklmnopqrstuvwxyz01234-container", "abcdefghijklmnopqrstuvwxyz01234"},
        {"abcdefghijklmnopqrstuvwxyz012345-container", NULL},
        {"a-container-container", "a-container"},
    };
    char user[NAME_USER_SIZE], box[NAME_BOX_SIZE];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool is = name_user_of_box(rows[i].box, user);
        if (is != (rows[i].user != NULL) || (is && strcmp(user, rows[i].user) != 0))
            fail_msg("%s", rows[i].box);
    }
    name_box("alice", box);
    assert_string_equal(box, "alice-container");
    name_box("abcdefghijklmnopqrstuvwxyz01234", box);
    assert_string_equal(box, "abcdefghijklmnopqrstuvwxyz01234-container");
}

static void logins(void **state)
{
    (void)state;
    assert_int_equal(name_login_kind("alice"), LOGIN_USER);
    assert_int_equal(name_login_kind("ctl"), LOGIN_CONSOLE);
    assert_int_equal(name_login_kind("join+abc"), LOGIN_JOIN);
    assert_int_equal(name_login_kind("join+"), LOGIN_UNKNOWN);
    assert_int_equal(name_login_kind("join"), LOGIN_UNKNOWN);
    static const char *const tokens[] = {"join+abc", "join+", "JOIN+abc", "join abc", "join:abc", "join+a@b"};
    static const char *const others[] = {"join", "joinery", "join-smith", "join7", "alice", "ctl", ""};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        assert_string_equal(name_login_shown(tokens[i]), "join");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_string_equal(name_login_shown(others[i]), others[i]);
    assert_int_equal(name_login_kind("root"), LOGIN_UNKNOWN);
    assert_int_equal(name_login_kind(""), LOGIN_UNKNOWN);
    assert_int_equal(name_login_kind("CTL"), LOGIN_UNKNOWN);
    assert_int_equal(name_login_kind("alice "), LOGIN_UNKNOWN);
}

static void whose_box(void **state)
{
    static const struct {
        const char *login, *user, *owner;
    } good[] = {
        {"alice", "alice", "alice"},
        {"alice+bob", "alice", "bob"},
        {"alice+alice", "alice", "alice"},
        {"join-smith+bob", "join-smith", "bob"},
        {"abcdefghijklmnopqrstuvwxyz01234+abcdefghijklmnopqrstuvwxyz01234", "abcdefghijklmnopqrstuvwxyz01234",
         "abcdefghijklmnopqrstuvwxyz01234"},
    };
    static const char *const bad[] = {
        "",
        "+",
        "alice+",
        "+bob",
        "alice+bob+carol",
        "alice++bob",
        "alice+Bob",
        "ctl+bob",
        "alice+ctl",
        "alice+join",
        "root+bob",
        "join+bob",
        "alice +bob",
        "alice+bob ",
        "abcdefghijklmnopqrstuvwxyz012345+bob",
        "alice+abcdefghijklmnopqrstuvwxyz012345",
    };
    char user[NAME_LOGIN_SIZE] = "", owner[NAME_USER_SIZE] = "";
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(name_login_parse(good[i].login, user, owner));
        assert_string_equal(user, good[i].user);
        assert_string_equal(owner, good[i].owner);
        assert_int_equal(name_login_kind(good[i].login), LOGIN_USER);
        name_login_user(good[i].login, user);
        assert_string_equal(user, good[i].user);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(name_login_parse(bad[i], user, owner));
        assert_int_not_equal(name_login_kind(bad[i]), LOGIN_USER);
        name_login_user(bad[i], user);
        assert_string_equal(user, bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(user_names), cmocka_unit_test(boxes),
                                       cmocka_unit_test(logins), cmocka_unit_test(whose_box),
                                       cmocka_unit_test(snapshot_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
