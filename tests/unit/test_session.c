// Sessions: one row a connection, closed once.
#include "unit/check.h"

#include "unit/store_fixture.h"

static struct session_row new_session(int64_t account_id, const char *token)
{
    struct session_row row = {.account_id = account_id, .port = 50122, .started = 1000};
    snprintf(row.user, sizeof row.user, "alice");
    snprintf(row.login, sizeof row.login, "ctl");
    snprintf(row.fingerprint, sizeof row.fingerprint, "SHA256:abc");
    snprintf(row.address, sizeof row.address, "203.0.113.7");
    snprintf(row.token, sizeof row.token, "%s", token);
    return row;
}

static void opened_and_closed(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct session_row row = new_session(1, "aa"), back;
    unsigned count = 0;
    assert_ok(session_open(x->store, &row, &f));
    assert_true(row.id > 0);
    assert_ok(session_find_token(x->store, "aa", &back, &f));
    assert_int_equal(back.id, row.id);
    assert_string_equal(back.user, "alice");
    assert_string_equal(back.login, "ctl");
    assert_string_equal(back.fingerprint, "SHA256:abc");
    assert_string_equal(back.address, "203.0.113.7");
    assert_int_equal(back.port, 50122);
    assert_int_equal(back.ended, 0);
    assert_ok(session_count_live(x->store, 0, &count, &f));
    assert_int_equal(count, 1);
    assert_ok(session_close(x->store, row.id, 2000, "closed", 10, UINT64_MAX, 3, &f));
    assert_ok(session_close(x->store, row.id, 3000, "lost", 0, 0, 0, &f)); // the first reason stands
    assert_ok(session_find_token(x->store, "aa", &back, &f));
    assert_int_equal(back.ended, 2000);
    assert_string_equal(back.reason, "closed");
    assert_int_equal(back.bytes_in, 10);
    assert_int_equal(back.bytes_out, INT64_MAX);
    assert_int_equal(back.channels, 3);
    assert_ok(session_count_live(x->store, 0, &count, &f));
    assert_int_equal(count, 0);
    assert_err(ERR_NOTFOUND, session_close(x->store, 999, 1, "", 0, 0, 0, &f));
    assert_err(ERR_NOTFOUND, session_find_token(x->store, "bb", &back, &f));
    assert_err(ERR_NOTFOUND, session_find_token(x->store, "", &back, &f));
}

static void tokens_are_unique(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct session_row row = new_session(1, "aa"), none = new_session(1, "");
    assert_ok(session_open(x->store, &row, &f));
    assert_err(ERR_CONFLICT, session_open(x->store, &row, &f));
    assert_err(ERR_INVALID, session_open(x->store, &none, &f));
}

static enum err token_each(const struct session_row *row, void *arg, struct fault *f)
{
    (void)f;
    strcat(arg, row->token);
    strcat(arg, " ");
    return ERR_NONE;
}

static void live_ones(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    char tokens[64] = "";
    unsigned count = 0;
    struct session_row rows[4] = {new_session(1, "a"), new_session(2, "b"), new_session(1, "c"),
                                  new_session(1, "d")};
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_ok(session_open(x->store, &rows[i], &f));
    assert_ok(session_close(x->store, rows[2].id, 5, "killed", 0, 0, 0, &f));
    assert_ok(session_each_live(x->store, 0, token_each, tokens, &f));
    assert_string_equal(tokens, "a b d ");
    tokens[0] = '\0';
    assert_ok(session_each_live(x->store, 1, token_each, tokens, &f));
    assert_string_equal(tokens, "a d ");
    assert_ok(session_count_live(x->store, 1, &count, &f));
    assert_int_equal(count, 2);
    assert_ok(session_count_live(x->store, 3, &count, &f));
    assert_int_equal(count, 0);
}

static enum err last_each(int64_t account_id, time_t last, void *arg, struct fault *f)
{
    (void)f;
    ((time_t *)arg)[account_id] = last;
    return ERR_NONE;
}

// When was each account in its box last? A session that is live counts from its start; the console does
// not, a guest does.
static void last_moments(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    time_t last[4] = {0};
    struct session_row rows[4] = {new_session(1, "a"), new_session(1, "b"), new_session(2, "c"),
                                  new_session(3, "d")};
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (i < 3)
            rows[i].owner_id = rows[i].account_id;
        if (i == 2)
            rows[i].account_id = 3; // a guest
        assert_ok(session_open(x->store, &rows[i], &f));
    }
    assert_ok(session_close(x->store, rows[0].id, 7000, "closed", 0, 0, 0, &f));
    assert_ok(session_close(x->store, rows[1].id, 5000, "closed", 0, 0, 0, &f));
    assert_ok(session_close(x->store, rows[3].id, 9000, "closed", 0, 0, 0, &f));
    assert_ok(session_each_last(x->store, last_each, last, &f));
    assert_int_equal(last[1], 7000);
    assert_int_equal(last[2], 1000);
    assert_int_equal(last[3], 0);
}

static void ended_ones_go(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct session_row row, found;
    int removed = 0;
    for (int i = 0; i < 5; i++) {
        row = (struct session_row){.account_id = 1, .started = 100};
        snprintf(row.token, sizeof row.token, "token-%d", i);
        assert_ok(session_open(x->store, &row, &f));
        if (i < 4) // the last one is live
            assert_ok(session_close(x->store, row.id, 200 + i, "closed", 0, 0, 0, &f));
    }
    assert_ok(session_prune(x->store, 203, 2, &removed, &f));
    assert_int_equal(removed, 2); // no more than asked at once
    assert_ok(session_prune(x->store, 203, 100, &removed, &f));
    assert_int_equal(removed, 1);
    assert_ok(session_find_token(x->store, "token-3", &found, &f)); // ended too lately
    assert_ok(session_find_token(x->store, "token-4", &found, &f));
    assert_err(ERR_NOTFOUND, session_find_token(x->store, "token-2", &found, &f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(opened_and_closed), store_test(tokens_are_unique), store_test(live_ones),
        store_test(last_moments),      store_test(ended_ones_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
