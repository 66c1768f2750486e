// Accounts and their keys: one owner a key, retry-safe adding, removal by fingerprint or comment, what goes
// with whom.
#include "unit/check.h"

#include "unit/store_fixture.h"

static enum err name_each(const struct account *account, void *arg, struct fault *f)
{
    (void)f;
    strcat(arg, account->name);
    strcat(arg, " ");
    return strcmp(account->name, "stop") == 0 ? ERR_FULL : ERR_NONE;
}

static void accounts(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct account a;
    char names[256] = "";
    int64_t bob = fixture_account(x, "bob"), alice = 0;
    assert_ok(account_create(x->store, "alice", ROLE_ADMIN, 1234, &alice, &f));
    assert_true(alice != bob && alice > 0 && bob > 0);
    assert_ok(account_get(x->store, "alice", &a, &f));
    assert_int_equal(a.id, alice);
    assert_int_equal(a.role, ROLE_ADMIN);
    assert_int_equal(a.created, 1234);
    assert_int_equal(a.last_login, 0);
    assert_ok(account_set_role(x->store, alice, ROLE_OPERATOR, &f));
    assert_ok(account_touch_login(x->store, alice, 2000, &f));
    assert_ok(account_get_id(x->store, alice, &a, &f));
    assert_string_equal(a.name, "alice");
    assert_int_equal(a.role, ROLE_OPERATOR);
    assert_int_equal(a.last_login, 2000);
    assert_ok(account_each(x->store, name_each, names, &f));
    assert_string_equal(names, "alice bob ");
    names[0] = '\0';
    fixture_account(x, "stop");
    fixture_account(x, "zoe");
    assert_err(ERR_FULL, account_each(x->store, name_each, names, &f));
    assert_string_equal(names, "alice bob stop ");
    assert_err(ERR_CONFLICT, account_create(x->store, "alice", ROLE_USER, 1, NULL, &f));
    assert_says("alice exists already");
    assert_err(ERR_INVALID, account_create(x->store, "Root", ROLE_USER, 1, NULL, &f));
    assert_err(ERR_NOTFOUND, account_get(x->store, "nobody", &a, &f));
    assert_err(ERR_NOTFOUND, account_get_id(x->store, 999, &a, &f));
    assert_err(ERR_NOTFOUND, account_delete(x->store, 999, &f));
    assert_err(ERR_NOTFOUND, account_touch_login(x->store, 999, 1, &f));
    assert_err(ERR_NOTFOUND, account_set_role(x->store, 999, ROLE_USER, &f));
}

// A remembered id must never come to mean somebody else.
static void ids_are_never_used_again(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    int64_t first = fixture_account(x, "alice");
    assert_ok(account_delete(x->store, first, &f));
    assert_ok(store_commit(x->store, &f));
    fixture_reopen(x);
    assert_true(fixture_account(x, "alice") > first);
}

static void one_owner_a_key(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct pubkey key = fixture_key(1, "laptop");
    struct account owner;
    struct account_key found;
    bool added = false;
    unsigned count = 0;
    int64_t alice = fixture_account(x, "alice"), bob = fixture_account(x, "bob");
    assert_ok(account_key_add(x->store, alice, &key, 50, &added, &f));
    assert_true(added);
    assert_ok(account_key_add(x->store, alice, &key, 60, &added, &f)); // again: fine
    assert_false(added);
    assert_err(ERR_CONFLICT, account_key_add(x->store, bob, &key, 60, &added, &f));
    assert_says("belongs to alice");
    assert_false(added);
    assert_err(ERR_NOTFOUND,
               account_key_add(x->store, 999, &(struct pubkey){.fingerprint = "SHA256:x"}, 1, NULL, &f));
    assert_ok(account_key_count(x->store, alice, &count, &f));
    assert_int_equal(count, 1);
    assert_ok(account_key_count(x->store, bob, &count, &f));
    assert_int_equal(count, 0);
    assert_ok(account_key_find(x->store, key.fingerprint, &owner, &found, &f));
    assert_string_equal(owner.name, "alice");
    assert_int_equal(owner.id, alice);
    assert_int_equal(found.account_id, alice);
    assert_memory_equal(&found.key, &key, sizeof key);
    assert_int_equal(found.added, 50);
    assert_ok(account_key_touch(x->store, found.id, 77, &f));
    assert_ok(account_key_find(x->store, key.fingerprint, &owner, &found, &f));
    assert_int_equal(found.last_used, 77);
    assert_err(ERR_NOTFOUND, account_key_find(x->store, "SHA256:nobody", &owner, &found, &f));
    assert_err(ERR_NOTFOUND, account_key_touch(x->store, 999, 1, &f));
}

static enum err comment_each(const struct account_key *key, void *arg, struct fault *f)
{
    (void)f;
    strcat(arg, key->key.comment);
    strcat(arg, " ");
    return ERR_NONE;
}

static void removal(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct account_key removed;
    struct account owner;
    char comments[256] = "";
    unsigned count = 0;
    int64_t alice = fixture_account(x, "alice"), bob = fixture_account(x, "bob");
    struct pubkey keys[4] = {fixture_key(1, "laptop"), fixture_key(2, "phone"), fixture_key(3, "phone"),
                             fixture_key(4, "desk")};
    for (size_t i = 0; i < COUNT(keys); i++)
        assert_ok(account_key_add(x->store, alice, &keys[i], 1, NULL, &f));
    assert_ok(account_key_each(x->store, alice, comment_each, comments, &f));
    assert_string_equal(comments, "laptop phone phone desk ");
    assert_err(ERR_CONFLICT, account_key_remove(x->store, alice, "phone", &removed, &f));
    assert_says("give the fingerprint");
    assert_err(ERR_NOTFOUND, account_key_remove(x->store, alice, "tablet", &removed, &f));
    assert_err(ERR_NOTFOUND, account_key_remove(x->store, alice, "", &removed, &f));
    assert_err(ERR_NOTFOUND,
               account_key_remove(x->store, bob, keys[0].fingerprint, &removed, &f)); // not hers
    assert_ok(account_key_remove(x->store, alice, keys[1].fingerprint, &removed, &f));
    assert_string_equal(removed.key.fingerprint, keys[1].fingerprint);
    assert_ok(account_key_remove(x->store, alice, "phone", &removed, &f)); // one left by that name
    assert_string_equal(removed.key.fingerprint, keys[2].fingerprint);
    assert_err(ERR_NOTFOUND, account_key_find(x->store, keys[2].fingerprint, &owner, &removed, &f));
    assert_ok(account_key_add(x->store, bob, &keys[2], 1, NULL, &f)); // free again
    assert_ok(account_key_remove_all(x->store, alice, &f));
    assert_ok(account_key_remove_all(x->store, alice, &f));
    assert_ok(account_key_count(x->store, alice, &count, &f));
    assert_int_equal(count, 0);
    assert_ok(account_key_count(x->store, bob, &count, &f));
    assert_int_equal(count, 1);
}

static void everything_of_an_account_goes(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct pubkey key = fixture_key(1, "laptop");
    struct account owner;
    struct account_key found;
    struct session_row session = {.started = 1, .token = "t"}, kept;
    struct audit_record record = {.time = 1, .event = AUDIT_LOGIN, .user = "alice"};
    int64_t rows = 0, alice = fixture_account(x, "alice");
    struct box_row box = fixture_box(alice, "alice");
    assert_ok(account_key_add(x->store, alice, &key, 1, NULL, &f));
    assert_ok(box_insert(x->store, &box, 100, 200, &f));
    session.account_id = alice;
    assert_ok(session_open(x->store, &session, &f));
    assert_ok(audit_append(x->store, &record, &f));
    assert_ok(account_delete(x->store, alice, &f));
    assert_ok(store_commit(x->store, &f));
    assert_err(ERR_NOTFOUND, account_key_find(x->store, key.fingerprint, &owner, &found, &f));
    assert_err(ERR_NOTFOUND, box_get(x->store, alice, &box, &f));
    assert_ok(session_find_token(x->store, "t", &kept, &f)); // history
    assert_ok(audit_verify(x->store, &rows, &f));
    assert_int_equal(rows, 1);
}

static enum err nested_each(const struct account *account, void *arg, struct fault *f)
{
    struct fixture *x = arg;
    char names[256] = "";
    struct account same;
    if (account_each(x->store, name_each, names, f) != ERR_NONE || strcmp(names, "alice bob ") != 0)
        return ERR_FAILED;
    return account_get(x->store, account->name, &same, f);
}

// A callback may ask the store again, also the very same question.
static void callbacks_may_ask(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    fixture_account(x, "alice");
    fixture_account(x, "bob");
    for (int i = 0; i < 3; i++)
        assert_ok(account_each(x->store, nested_each, x, &f));
    assert_ok(store_commit(x->store, &f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(accounts), store_test(ids_are_never_used_again),      store_test(one_owner_a_key),
        store_test(removal),  store_test(everything_of_an_account_goes), store_test(callbacks_may_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
