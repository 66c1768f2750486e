// Bans, known sources and limits as they are stored.
#include "unit/check.h"

#include "store/ban.h"
#include "store/limit.h"
#include "unit/store_fixture.h"

static struct ban_row ban(const char *user, const char *subnet, time_t created, time_t until)
{
    struct ban_row row = {.created = created, .until = until};
    snprintf(row.user, sizeof row.user, "%s", user);
    snprintf(row.subnet, sizeof row.subnet, "%s", subnet);
    snprintf(row.reason, sizeof row.reason, "3 failed logins");
    snprintf(row.actor, sizeof row.actor, "gateway");
    return row;
}

static enum err count_ban(const struct ban_row *row, void *arg, struct fault *f)
{
    (void)row;
    (void)f;
    ++*(unsigned *)arg;
    return ERR_NONE;
}

static void life_of_a_ban(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct ban_row found, row = ban("alice", "192.0.2.1", 1000, 4600);
    unsigned n = 0, ever = 0;
    assert_ok(ban_add(x->store, &row, &f));
    assert_ok(ban_find(x->store, "alice", "192.0.2.1", 4599, &found, &f));
    assert_int_equal(found.id, row.id);
    assert_err(ERR_NOTFOUND, ban_find(x->store, "alice", "192.0.2.1", 4600, &found, &f)); // over
    assert_err(ERR_NOTFOUND, ban_find(x->store, "", "192.0.2.1", 1000, &found, &f)); // not the whole source
    assert_err(ERR_NOTFOUND, ban_find(x->store, "bob", "192.0.2.1", 1000, &found, &f));
    struct ban_row again = ban("alice", "192.0.2.1", 2000, 9000);
    assert_err(ERR_CONFLICT, ban_add(x->store, &again, &f));
    assert_int_equal(again.until, 4600); // the one in force
    again = ban("alice", "192.0.2.1", 5000, 0);
    assert_ok(ban_add(x->store, &again, &f)); // the first is over
    assert_ok(ban_count_since(x->store, "alice", "192.0.2.1", 0, &n, &f));
    assert_int_equal(n, 2);
    assert_ok(ban_totals(x->store, 5000, &n, &ever, &f));
    assert_int_equal(n, 1);
    assert_int_equal(ever, 2);
    assert_ok(store_commit(x->store, &f));
    fixture_reopen(x); // survives
    assert_ok(ban_find(x->store, "alice", "192.0.2.1", 2000000000, &found, &f));
    assert_ok(ban_lift(x->store, "alice", "192.0.2.1", "root@host", 6000, &f));
    assert_err(ERR_NOTFOUND, ban_lift(x->store, "alice", "192.0.2.1", "root@host", 6000, &f));
    assert_err(ERR_NOTFOUND, ban_find(x->store, "alice", "192.0.2.1", 6000, &found, &f));
    assert_ok(ban_count_since(x->store, "alice", "192.0.2.1", 0, &n, &f));
    assert_int_equal(n, 1); // a lifted one is not held against anybody
    n = 0;
    assert_ok(ban_each_in_force(x->store, 6000, count_ban, &n, &f));
    assert_int_equal(n, 0);
    assert_ok(ban_each(x->store, 10, count_ban, &n, &f));
    assert_int_equal(n, 2);
}

static enum err first_source(const char *source, time_t last, void *arg, struct fault *f)
{
    (void)f;
    if (((char *)arg)[0] == '\0')
        snprintf(arg, 100, "%s %lld", source, (long long)last);
    return ERR_NONE;
}

static void known_sources(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    bool known = true;
    char first[100] = "";
    assert_ok(known_source_has(x->store, "192.0.2.1", NULL, 0, &known, &f));
    assert_false(known);
    assert_ok(known_source_touch(x->store, "192.0.2.1", "SHA256:a", 1000, &f));
    assert_ok(known_source_touch(x->store, "192.0.2.1", "SHA256:a", 2000, &f));
    assert_ok(known_source_touch(x->store, "192.0.2.2", "SHA256:b", 1500, &f));
    assert_ok(known_source_has(x->store, "192.0.2.1", "SHA256:a", 1999, &known, &f));
    assert_true(known);
    assert_ok(known_source_has(x->store, "192.0.2.1", "SHA256:a", 2000, &known, &f));
    assert_false(known); // too long ago
    assert_ok(known_source_has(x->store, "192.0.2.1", "SHA256:b", 0, &known, &f));
    assert_false(known); // another's key
    assert_ok(known_source_has(x->store, "192.0.2.1", NULL, 0, &known, &f));
    assert_true(known);
    assert_ok(known_source_each(x->store, 0, first_source, first, &f));
    assert_string_equal(first, "192.0.2.1 2000");
    assert_ok(known_source_prune(x->store, 1600, &f));
    assert_ok(known_source_has(x->store, "192.0.2.2", NULL, 0, &known, &f));
    assert_false(known);
}

static void own_limits(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    static struct config config;
    struct limits limits;
    bool own[LIMIT_COUNT];
    char text[32];
    uint64_t n = 0;
    int64_t id = fixture_account(x, "alice");
    config_defaults(&config);
    limits_of_config(&config, &limits);
    assert_ok(limit_set(x->store, id, LIMIT_SESSIONS, 7, &f));
    assert_ok(limit_set(x->store, id, LIMIT_SESSIONS, 8, &f));
    assert_ok(limit_load(x->store, id, &limits, own, &f));
    assert_int_equal(limits.value[LIMIT_SESSIONS], 8);
    assert_int_equal(limits.value[LIMIT_LOGINS], config.limit_logins);
    assert_true(own[LIMIT_SESSIONS] && !own[LIMIT_LOGINS]);
    assert_ok(limit_reset(x->store, id, &f));
    limits_of_config(&config, &limits);
    assert_ok(limit_load(x->store, id, &limits, own, &f));
    assert_false(own[LIMIT_SESSIONS]);
    assert_ok(limit_set(x->store, id, LIMIT_SESSIONS, 7, &f));
    assert_ok(account_delete(x->store, id, &f)); // they go with it
    assert_ok(limit_load(x->store, id, &limits, own, &f));
    assert_false(own[LIMIT_SESSIONS]);

    assert_ok(limit_parse(LIMIT_BANDWIDTH, "10MB", &n, &f));
    assert_int_equal(n, 10000000);
    assert_string_equal(limit_format(LIMIT_BANDWIDTH, n, text, sizeof text), "10MB");
    assert_ok(limit_parse(LIMIT_BANDWIDTH, "none", &n, &f));
    assert_int_equal(n, 0);
    assert_string_equal(limit_format(LIMIT_BANDWIDTH, n, text, sizeof text), "none");
    static const struct {
        enum limit_name name;
        const char *text;
    } bad[] = {{LIMIT_SESSIONS, "0"},
               {LIMIT_SESSIONS, "many"},
               {LIMIT_SESSIONS, "-1"},
               {LIMIT_SESSIONS, "10MB"},
               {LIMIT_SESSIONS, "99999999999999999999"},
               {LIMIT_BANDWIDTH, "10"},
               {LIMIT_BURST, "none"},
               {LIMIT_BURST, "1KB"}};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_err(ERR_INVALID, limit_parse(bad[i].name, bad[i].text, &n, &f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(life_of_a_ban),
        store_test(known_sources),
        store_test(own_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
