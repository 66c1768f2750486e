// Invitations as they are stored.
#include "unit/check.h"

#include <ctype.h>

#include "store/invite.h"
#include "unit/store_fixture.h"

static struct invite invitation(const char *name)
{
    struct invite row = {.role = ROLE_OPERATOR, .memory = 4000000000, .created = 1000, .expires = 2000};
    snprintf(row.name, sizeof row.name, "%s", name);
    snprintf(row.cpu, sizeof row.cpu, "0-1");
    snprintf(row.actor, sizeof row.actor, "root@host");
    row.limits.value[LIMIT_SESSIONS] = 7;
    row.limited[LIMIT_SESSIONS] = true;
    return row;
}

static void a_token_finds_its_invitation(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct invite row = invitation("carol"), found;
    char token[INVITE_TOKEN_SIZE], other[INVITE_TOKEN_SIZE], upper[INVITE_TOKEN_SIZE + 1] = "";
    assert_ok(invite_add(x->store, &row, token, &f));
    assert_ok(invite_add(x->store, &row, other, &f));
    assert_string_not_equal(token, other);
    assert_int_equal(strlen(token), INVITE_TOKEN_BITS / 5);
    assert_int_equal(strspn(token, "abcdefghijkmnpqrstuvwxyz23456789"), strlen(token));
    assert_ok(store_commit(x->store, &f));
    fixture_reopen(x);
    assert_ok(invite_find(x->store, token, &found, &f));
    assert_string_equal(found.name, "carol");
    assert_string_equal(found.cpu, "0-1");
    assert_string_equal(found.actor, "root@host");
    assert_int_equal(found.role, ROLE_OPERATOR);
    assert_int_equal(found.memory, 4000000000);
    assert_int_equal(found.disk, 0);
    assert_int_equal(found.limits.value[LIMIT_SESSIONS], 7);
    assert_true(found.limited[LIMIT_SESSIONS] && !found.limited[LIMIT_CHANNELS]);
    for (size_t i = 0; token[i] != '\0'; i++)
        upper[i] = (char)toupper((unsigned char)token[i]);
    assert_ok(invite_find(x->store, upper, &found, &f)); // typed off a phone
    upper[strlen(token)] = 'a';                          // one too long
    assert_err(ERR_NOTFOUND, invite_find(x->store, upper, &found, &f));
    token[0] = token[0] == 'a' ? 'b' : 'a';
    assert_err(ERR_NOTFOUND, invite_find(x->store, token, &found, &f));
    assert_err(ERR_NOTFOUND, invite_find(x->store, "", &found, &f));
    assert_err(ERR_NOTFOUND, invite_find(x->store, token + 1, &found, &f));
}

static void the_token_is_nowhere_in_the_file(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct invite row = invitation("carol");
    char token[INVITE_TOKEN_SIZE];
    static char bytes[1 << 20];
    assert_ok(invite_add(x->store, &row, token, &f));
    assert_ok(store_commit(x->store, &f));
    fixture_close(x); // a checkpoint: the file is all there is
    FILE *in = fopen(x->path, "rbe");
    assert_non_null(in);
    size_t n = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    assert_true(n > 0 && n < sizeof bytes);
    assert_non_null(memmem(bytes, n, "carol", 5)); // the row is in it
    assert_null(memmem(bytes, n, token, strlen(token)));
    fixture_open(x);
}

static void it_is_used_once(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct invite row = invitation("carol"), found;
    char token[INVITE_TOKEN_SIZE];
    unsigned count = 0;
    assert_ok(invite_add(x->store, &row, token, &f));
    assert_err(ERR_CONFLICT, invite_use(x->store, row.id, 5, "SHA256:x", 2000, &f)); // over
    assert_ok(invite_use(x->store, row.id, 5, "SHA256:x", 1999, &f));
    assert_err(ERR_CONFLICT, invite_use(x->store, row.id, 6, "SHA256:y", 1999, &f));
    assert_ok(invite_find(x->store, token, &found, &f));
    assert_int_equal(found.account_id, 5);
    assert_string_equal(found.fingerprint, "SHA256:x");
    assert_int_equal(invite_state(&found, 1999), INVITE_USED);
    assert_int_equal(invite_state(&found, 9999), INVITE_USED);
    assert_ok(invite_revoke(x->store, row.id, "", "", 1500, &count, &f));
    assert_int_equal(count, 0);
}

static enum err count_row(const struct invite *row, void *arg, struct fault *f)
{
    (void)row;
    (void)f;
    ++*(unsigned *)arg;
    return ERR_NONE;
}

static void revoked_by_number_or_name(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct invite a = invitation("carol"), b = invitation("carol"), c = invitation("dave"), found;
    char token[INVITE_TOKEN_SIZE];
    unsigned count = 0, rows = 0;
    assert_ok(invite_add(x->store, &a, token, &f));
    assert_int_equal(invite_state(&a, 1999), INVITE_OPEN);
    assert_int_equal(invite_state(&a, 2000), INVITE_EXPIRED);
    assert_ok(invite_add(x->store, &b, token, &f));
    assert_ok(invite_add(x->store, &c, token, &f));
    assert_ok(invite_revoke(x->store, a.id, "dave", "", 1500, &count, &f)); // the number counts
    assert_int_equal(count, 1);
    assert_ok(invite_revoke(x->store, 0, "carol", "carol", 1500, &count, &f));
    assert_int_equal(count, 0); // it was root who invited
    assert_ok(invite_revoke(x->store, 0, "carol", "root@host", 1500, &count, &f));
    assert_int_equal(count, 1); // the other one
    assert_err(ERR_CONFLICT, invite_use(x->store, b.id, 5, "SHA256:x", 1500, &f));
    assert_ok(invite_find(x->store, token, &found, &f));
    assert_int_equal(invite_state(&found, 1500), INVITE_OPEN); // dave's
    assert_ok(invite_prune(x->store, 2000, &f));
    assert_ok(invite_each(x->store, count_row, &rows, &f));
    assert_int_equal(rows, 3);
    assert_ok(invite_prune(x->store, 2001, &f));
    rows = 0;
    assert_ok(invite_each(x->store, count_row, &rows, &f));
    assert_int_equal(rows, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(a_token_finds_its_invitation),
        store_test(the_token_is_nowhere_in_the_file),
        store_test(it_is_used_once),
        store_test(revoked_by_number_or_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
