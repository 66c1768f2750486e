// A full disk, for real: a small tmpfs (root only), and a file size limit (everybody). The failed group is
// gone as a whole, everybody is told, and the store goes on once there is room.
#include "unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "unit/store_fixture.h"

#define ACROSS_GROUPS 20000

// Writes groups of ten audit rows until one fails; *committed is what was told to be done.
static enum err write_until_full(struct fixture *x, int64_t *committed, struct fault *f)
{
    for (int group = 0; group < ACROSS_GROUPS; group++) {
        struct audit_record record = {.time = 1, .event = AUDIT_COMMAND, .user = "alice", .target = "a verb"};
        enum err first = ERR_NONE;
        for (int i = 0; i < 10 && first == ERR_NONE; i++)
            first = audit_append(x->store, &record, f);
        if (first != ERR_NONE)
            assert_true(store_dirty(x->store)); // the commit still has to tell the others of the group
        enum err e = store_commit(x->store, f);
        if (first != ERR_NONE)
            assert_int_equal(e, first);
        assert_false(store_dirty(x->store));
        if (e != ERR_NONE)
            return e;
        *committed = record.seq;
    }
    return ERR_NONE;
}

static void goes_on_after_room_is_made(struct fixture *x, int64_t committed)
{
    struct fault f = {.text = ""};
    int64_t rows = 0;
    struct audit_record record = {.time = 2, .event = AUDIT_LOGIN, .user = "bob"};
    assert_ok(audit_append(x->store, &record, &f));
    assert_int_equal(record.seq, committed + 1);
    assert_ok(store_commit(x->store, &f));
    assert_ok(audit_verify(x->store, &rows, &f));
    assert_int_equal(rows, committed + 1);
    fixture_reopen(x);
    assert_ok(audit_verify(x->store, &rows, &f));
    assert_int_equal(rows, committed + 1);
}

static void full_disk(void **state)
{
    struct fixture disk = {.store = NULL};
    struct fault f = {.text = ""};
    char ballast[300], block[65536];
    int64_t committed = 0, rows = 0;
    (void)state;
    fixture_place(&disk);
    // A mount namespace of our own: nothing is left behind even if the test dies.
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", disk.folder, "tmpfs", 0, "size=3m") != 0) {
        print_message("cannot mount a small tmpfs here (%s)\n", strerror(errno));
        fixture_remove(&disk);
        skip();
    }
    snprintf(ballast, sizeof ballast, "%s/ballast", disk.folder);
    int fd = open(ballast, O_CREAT | O_WRONLY, 0600);
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 16; i++) // 1 MiB to give back later
        assert_int_equal(write(fd, block, sizeof block), sizeof block);
    close(fd);
    fixture_open(&disk);
    assert_err(ERR_FULL, store_check_space(disk.store, &f));
    assert_says("free some space");
    for (int round = 0; round < 2; round++) { // full twice in a row is no worse
        assert_err(ERR_FULL, write_until_full(&disk, &committed, &f));
        assert_says("full");
        assert_ok(audit_verify(disk.store, &rows, &f));
        assert_int_equal(rows, committed);
    }
    assert_true(committed > 100);
    fixture_reopen(&disk); // a start on a full disk reads what is there
    assert_int_equal(unlink(ballast), 0);
    goes_on_after_room_is_made(&disk, committed);
    fixture_close(&disk);
    assert_int_equal(umount(disk.folder), 0);
    rmdir(disk.folder);
}

static void file_size_limit(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct rlimit before, limit;
    int64_t committed = 0, rows = 0;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 2 << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum err e = write_until_full(x, &committed, &f);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(e == ERR_IO || e == ERR_FULL);
    assert_ok(audit_verify(x->store, &rows, &f));
    assert_int_equal(rows, committed);
    goes_on_after_room_is_made(x, committed);
}

// The one whose write failed is not the only one told: a group is done as a whole or not at all.
static void the_whole_group_is_told(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct account account;
    struct rlimit before, limit;
    assert_ok(store_commit(x->store, &f));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    fixture_account(x, "alice"); // fits into memory, is told "wait for the commit"
    limit.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum err e = store_commit(x->store, &f);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(e == ERR_IO || e == ERR_FULL);
    assert_err(ERR_NOTFOUND, account_get(x->store, "alice", &account, &f));
    fixture_account(x, "alice");
    assert_ok(store_commit(x->store, &f));
    assert_ok(account_get(x->store, "alice", &account, &f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(file_size_limit),
        store_test(the_whole_group_is_told),
        cmocka_unit_test(full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
