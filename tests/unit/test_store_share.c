// Shares: who may enter whose box, and until when.
#include "unit/check.h"

#include "store/share.h"
#include "unit/store_fixture.h"

static struct share between(int64_t owner, int64_t guest, const char *name, time_t until)
{
    struct share share = {.owner_id = owner, .guest_id = guest, .created = 1000, .until = until};
    snprintf(share.guest, sizeof share.guest, "%s", name);
    snprintf(share.actor, sizeof share.actor, "root@host");
    return share;
}

static enum err collect(const struct share *share, void *arg, struct fault *f)
{
    char *out = arg;
    (void)f;
    size_t at = strlen(out);
    snprintf(out + at, 256 - at, "%s>%s%s ", share->owner, share->guest, share->guest_id == 0 ? "?" : "");
    return ERR_NONE;
}

static void assert_lists(struct fixture *x, int64_t owner, int64_t guest, const char *expected)
{
    struct fault f = {.text = ""};
    char found[256] = "";
    assert_ok(share_each(x->store, owner, guest, collect, found, &f));
    assert_string_equal(found, expected);
}

static void holds_until_its_end(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct share found;
    int64_t alice = fixture_account(x, "alice"), bob = fixture_account(x, "bob");
    struct share share = between(bob, alice, "alice", 5000);
    assert_ok(share_put(x->store, &share, &f));
    assert_ok(share_find(x->store, bob, alice, 4999, &found, &f));
    assert_string_equal(found.owner, "bob");
    assert_string_equal(found.guest, "alice");
    assert_string_equal(found.actor, "root@host");
    assert_int_equal(found.until, 5000);
    assert_err(ERR_NOTFOUND, share_find(x->store, bob, alice, 5000, &found, &f));
    assert_err(ERR_NOTFOUND, share_find(x->store, alice, bob, 10, &found, &f)); // not the other way round
    share.until = 0;
    assert_ok(share_put(x->store, &share, &f)); // said again: another end
    assert_ok(share_find(x->store, bob, alice, 1 << 30, &found, &f));
    assert_lists(x, 0, 0, "bob>alice ");
    assert_ok(share_remove(x->store, bob, "alice", &found, &f));
    assert_int_equal(found.guest_id, alice);
    assert_err(ERR_NOTFOUND, share_remove(x->store, bob, "alice", &found, &f));
    assert_err(ERR_NOTFOUND, share_find(x->store, bob, alice, 10, &found, &f));
}

static void the_next_to_end_is_known(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct share found;
    time_t next = 1;
    int64_t alice = fixture_account(x, "alice"), bob = fixture_account(x, "bob"),
            carol = fixture_account(x, "carol");
    assert_ok(share_next_end(x->store, &next, &f));
    assert_int_equal(next, 0);
    const struct share shares[] = {between(bob, alice, "alice", 9000), between(bob, carol, "carol", 7000),
                                   between(alice, bob, "bob", 0)};
    for (size_t i = 0; i < COUNT(shares); i++)
        assert_ok(share_put(x->store, &shares[i], &f));
    assert_ok(share_next_end(x->store, &next, &f));
    assert_int_equal(next, 7000);
    assert_err(ERR_NOTFOUND, share_over(x->store, 6999, &found, &f));
    assert_ok(share_over(x->store, 9999, &found, &f));
    assert_string_equal(found.guest, "carol");
    assert_ok(share_remove(x->store, bob, "carol", &found, &f));
    assert_ok(share_over(x->store, 9999, &found, &f));
    assert_string_equal(found.guest, "alice");
}

// A deleted guest's share leads nowhere, also for who gets the name later; a deleted owner's is gone.
static void accounts_come_and_go(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct share found;
    int64_t alice = fixture_account(x, "alice"), bob = fixture_account(x, "bob"),
            carol = fixture_account(x, "carol");
    const struct share shares[] = {between(bob, alice, "alice", 0), between(carol, alice, "alice", 0),
                                   between(alice, bob, "bob", 0), between(bob, 0, "nobody", 0)};
    for (size_t i = 0; i < COUNT(shares); i++)
        assert_ok(share_put(x->store, &shares[i], &f));
    assert_lists(x, bob, 0, "bob>alice bob>nobody? ");
    assert_lists(x, 0, alice, "bob>alice carol>alice ");
    assert_ok(account_delete(x->store, alice, &f));
    assert_lists(x, 0, 0, "bob>alice? bob>nobody? carol>alice? ");
    int64_t again = fixture_account(x, "alice");
    assert_err(ERR_NOTFOUND, share_find(x->store, bob, again, 10, &found, &f));
    assert_ok(
        share_put(x->store, &(struct share){.owner_id = carol, .guest_id = again, .guest = "alice"}, &f));
    assert_ok(share_find(x->store, carol, again, 10, &found, &f));
    assert_ok(share_forget_guest(x->store, again, &f));
    assert_err(ERR_NOTFOUND, share_find(x->store, carol, again, 10, &found, &f));
}

static void a_box_has_room_for_so_many(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    int64_t bob = fixture_account(x, "bob");
    char name[NAME_USER_SIZE];
    for (int i = 0; i < SHARES_MAX; i++) {
        snprintf(name, sizeof name, "guest%d", i);
        const struct share share = between(bob, 0, name, 0);
        assert_ok(share_put(x->store, &share, &f));
    }
    const struct share again = between(bob, 0, "guest7", 50), more = between(bob, 0, "more", 0);
    assert_ok(share_put(x->store, &again, &f));
    assert_err(ERR_FULL, share_put(x->store, &more, &f));
    assert_says("64 others at most");
}

static enum err count_record(const struct audit_record *record, void *arg, struct fault *f)
{
    (void)record;
    (void)f;
    ++*(unsigned *)arg;
    return ERR_NONE;
}

// The trail of a user: what they did, and what guests did in their box; no more, and the newest of both.
static void the_trail_names_both(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    static const struct {
        const char *user, *box;
    } rows[] = {{"alice", "alice-container"},
                {"alice", "bob-container"},
                {"bob", "bob-container"},
                {"bob", ""},
                {"carol", ""},
                {"carol", "bob-container"}};
    static const struct {
        const char *user;
        unsigned limit, count;
    } questions[] = {{"alice", 0, 2}, {"bob", 0, 4}, {"carol", 0, 2},
                     {"bob", 1, 1},   {"bob", 3, 3}, {NULL, 0, 6}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct audit_record record = {
            .time = 1000 + (time_t)i, .event = AUDIT_OPEN, .user = rows[i].user, .box = rows[i].box};
        assert_ok(audit_append(x->store, &record, &f));
    }
    for (size_t i = 0; i < COUNT(questions); i++) {
        struct audit_query query = {.user = questions[i].user,
                                    .limit = questions[i].limit,
                                    .event = "open",
                                    .since = 1,
                                    .until = 9999};
        unsigned count = 0;
        assert_ok(audit_each(x->store, &query, count_record, &count, &f));
        assert_int_equal(count, questions[i].count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(holds_until_its_end),  store_test(the_next_to_end_is_known),
        store_test(accounts_come_and_go), store_test(a_box_has_room_for_so_many),
        store_test(the_trail_names_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
