// Box rows: addresses given out, phases, and what is written comes back.
#include "unit/check.h"

#include "unit/store_fixture.h"

#define FIRST 0x0ab20010u // 10.178.0.16

static int64_t with_box(struct fixture *x, const char *user, struct box_row *row, uint32_t last)
{
    struct fault f = {.text = ""};
    int64_t id = fixture_account(x, user);
    *row = fixture_box(id, user);
    assert_ok(box_insert(x->store, row, FIRST, last, &f));
    return id;
}

static void all_fields_come_back(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct box_row row, back;
    int64_t id = with_box(x, "alice", &row, FIRST + 10);
    assert_string_equal(row.address, "10.178.0.16");
    assert_ok(box_get(x->store, id, &back, &f));
    assert_string_equal(back.user, "alice");
    assert_string_equal(back.name, "alice-container");
    assert_string_equal(back.address, "10.178.0.16");
    assert_int_equal(back.phase, BOX_ABSENT);
    assert_false(back.idle.has_freeze || back.idle.has_stop);
    assert_int_equal(back.driver, BOX_DRIVER_INCUS);
    assert_int_equal(back.port, 22);
    assert_int_equal(back.memory, 2000000000);
    assert_int_equal(back.disk, 20000000000);
    assert_true(back.autostart);
    assert_memory_equal(back.gateway_seed, row.gateway_seed, BOX_SEED_SIZE);
    assert_ok(box_set_hostkeys(x->store, id, "ssh-ed25519 AAAA\n", &f));
    assert_ok(box_set_limits(x->store, id, "0-3", 1, 2, &f));
    assert_ok(box_set_autostart(x->store, id, false, &f));
    assert_ok(box_set_image(x->store, id, "another", &f));
    assert_ok(box_get_user(x->store, "alice", &back, &f));
    assert_string_equal(back.hostkeys, "ssh-ed25519 AAAA\n");
    assert_string_equal(back.cpu, "0-3");
    assert_int_equal(back.memory, 1);
    assert_int_equal(back.disk, 2);
    assert_false(back.autostart);
    assert_string_equal(back.image, "another");
    char longer[BOX_HOSTKEYS_SIZE + 1];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_err(ERR_INVALID, box_set_hostkeys(x->store, id, longer, &f));
}

// "never" is not "as configured", and one of the two may be either.
static void idle_times_come_back(void **state)
{
    static const struct idle_own rows[] = {
        {.has_freeze = false},
        {.has_freeze = true, .rules = {.freeze_ms = 90000}},
        {.has_stop = true, .rules = {.stop_ms = IDLE_MS_MAX}},
        {.has_freeze = true, .has_stop = true, .rules = {.freeze_ms = 0, .stop_ms = 1}},
        {.has_freeze = false},
    };
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct box_row row, back;
    int64_t id = with_box(x, "alice", &row, FIRST);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_ok(box_set_idle(x->store, id, &rows[i], &f));
        assert_ok(box_get(x->store, id, &back, &f));
        assert_int_equal(back.idle.has_freeze, rows[i].has_freeze);
        assert_int_equal(back.idle.has_stop, rows[i].has_stop);
        assert_int_equal(back.idle.rules.freeze_ms, rows[i].rules.freeze_ms);
        assert_int_equal(back.idle.rules.stop_ms, rows[i].rules.stop_ms);
    }
    row = fixture_box(fixture_account(x, "bob"), "bob");
    row.idle = rows[3]; // as a box that is brought back has them
    assert_ok(box_insert(x->store, &row, FIRST, FIRST + 9, &f));
    assert_ok(box_get_user(x->store, "bob", &back, &f));
    assert_true(back.idle.has_freeze && back.idle.has_stop);
    assert_int_equal(back.idle.rules.freeze_ms, 0);
    assert_int_equal(back.idle.rules.stop_ms, 1);
    assert_err(ERR_NOTFOUND, box_set_idle(x->store, 99, &rows[0], &f));
}

static void missing(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct box_row row;
    assert_err(ERR_NOTFOUND, box_get(x->store, 5, &row, &f));
    assert_err(ERR_NOTFOUND, box_get_user(x->store, "alice", &row, &f));
    assert_err(ERR_NOTFOUND, box_set_phase(x->store, 5, BOX_READY, &f));
    assert_err(ERR_NOTFOUND, box_set_hostkeys(x->store, 5, "", &f));
    assert_err(ERR_NOTFOUND, box_set_limits(x->store, 5, "1", 1, 1, &f));
    assert_err(ERR_NOTFOUND, box_set_autostart(x->store, 5, true, &f));
    assert_err(ERR_NOTFOUND, box_set_image(x->store, 5, "another", &f));
    row = fixture_box(5, "alice");
    assert_err(ERR_CONFLICT, box_insert(x->store, &row, FIRST, FIRST, &f));
    assert_string_equal(row.address, ""); // as it was
}

static void addresses(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct box_row a, b, c, d, e;
    int64_t bob = 0;
    with_box(x, "alice", &a, FIRST + 2);
    bob = with_box(x, "bob", &b, FIRST + 2);
    with_box(x, "carol", &c, FIRST + 2);
    assert_string_equal(a.address, "10.178.0.16");
    assert_string_equal(b.address, "10.178.0.17");
    assert_string_equal(c.address, "10.178.0.18");
    int64_t dave = fixture_account(x, "dave");
    d = fixture_box(dave, "dave");
    assert_err(ERR_FULL, box_insert(x->store, &d, FIRST, FIRST + 2, &f));
    assert_says("all 3 addresses");
    assert_ok(account_delete(x->store, bob, &f));
    assert_ok(box_insert(x->store, &d, FIRST, FIRST + 2, &f)); // the gap
    assert_string_equal(d.address, "10.178.0.17");
    with_box(x, "erin", &e, 0xffffffffu);
    assert_string_equal(e.address, "10.178.0.19");
    assert_err(ERR_CONFLICT, box_insert(x->store, &e, FIRST, FIRST + 99, &f));
    assert_says("erin has a box already");
}

// A subnet whose reserved part was moved up: boxes below it do not count, and are not in the way.
static void first_moved_up(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct box_row a, b;
    with_box(x, "alice", &a, FIRST + 5);
    b = fixture_box(fixture_account(x, "bob"), "bob");
    assert_ok(box_insert(x->store, &b, FIRST + 100, FIRST + 200, &f));
    assert_string_equal(b.address, "10.178.0.116");
    b = fixture_box(fixture_account(x, "carol"), "carol");
    assert_ok(box_insert(x->store, &b, FIRST, FIRST + 200, &f));
    assert_string_equal(b.address, "10.178.0.17");
    b = fixture_box(fixture_account(x, "dave"), "dave");
    assert_err(ERR_FULL, box_insert(x->store, &b, FIRST, FIRST, &f));
    assert_err(ERR_FULL, box_insert(x->store, &b, FIRST + 9, FIRST + 8, &f)); // an empty range
}

static void given_addresses(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct box_row a = fixture_box(fixture_account(x, "alice"), "alice");
    struct box_row b = fixture_box(fixture_account(x, "bob"), "bob");
    snprintf(a.address, sizeof a.address, "10.178.0.17");
    assert_ok(box_insert(x->store, &a, FIRST, FIRST + 9, &f));
    snprintf(b.address, sizeof b.address, "10.178.0.17");
    assert_err(ERR_CONFLICT, box_insert(x->store, &b, FIRST, FIRST + 9, &f));
    b.driver = BOX_DRIVER_STATIC; // two users may share a machine
    b.port = 2222;
    assert_ok(box_insert(x->store, &b, 0, 0, &f));
    assert_ok(box_get_user(x->store, "bob", &b, &f));
    assert_int_equal(b.driver, BOX_DRIVER_STATIC);
    assert_int_equal(b.port, 2222);
}

static void a_deletion_is_not_taken_back(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct box_row row;
    int64_t id = with_box(x, "alice", &row, FIRST);
    static const enum box_phase path[] = {BOX_CREATING, BOX_READY,    BOX_ABSENT,
                                          BOX_CREATING, BOX_DELETING, BOX_DELETING};
    for (size_t i = 0; i < COUNT(path); i++) {
        assert_ok(box_set_phase(x->store, id, path[i], &f));
        assert_ok(box_get(x->store, id, &row, &f));
        assert_int_equal(row.phase, path[i]);
    }
    assert_err(ERR_CONFLICT, box_set_phase(x->store, id, BOX_READY, &f));
    assert_says("alice-container is being deleted");
    assert_string_equal(box_phase_name(BOX_DELETING), "deleting");
    assert_string_equal(box_driver_name(BOX_DRIVER_STATIC), "static");
}

static enum err name_each(const struct box_row *row, void *arg, struct fault *f)
{
    (void)f;
    strcat(arg, row->user);
    strcat(arg, " ");
    return ERR_NONE;
}

static void in_user_order(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct box_row row;
    char names[64] = "";
    with_box(x, "carol", &row, FIRST + 9);
    with_box(x, "alice", &row, FIRST + 9);
    fixture_account(x, "bob"); // has none
    assert_ok(box_each(x->store, name_each, names, &f));
    assert_string_equal(names, "alice carol ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(all_fields_come_back),
        store_test(idle_times_come_back),
        store_test(missing),
        store_test(addresses),
        store_test(first_moved_up),
        store_test(given_addresses),
        store_test(a_deletion_is_not_taken_back),
        store_test(in_user_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
