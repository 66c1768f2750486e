// A store in a file and back: what is in it, what is refused, and that there is never half of one.
#include "unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "store/archive_parts.h"
#include "store/schema.h"
#include "store/tar.h"
#include "unit/store_fixture.h"

static void append(struct fixture *x, int records)
{
    struct fault f = {.text = ""};
    for (int i = 0; i < records; i++) {
        struct audit_record record = {.time = 1000 + i, .event = AUDIT_LOGIN, .user = "alice"};
        assert_ok(audit_append(x->store, &record, &f));
    }
    assert_ok(store_commit(x->store, &f));
}

// Two accounts, a key, a box, `records` in the trail.
static void fill(struct fixture *x, int records)
{
    struct fault f = {.text = ""};
    int64_t alice = fixture_account(x, "alice");
    struct pubkey key = fixture_key(7, "alice@laptop");
    struct box_row row = fixture_box(alice, "alice");
    bool added = false;
    fixture_account(x, "bob");
    assert_ok(account_key_add(x->store, alice, &key, 1000, &added, &f));
    assert_ok(box_insert(x->store, &row, 0x0a000010, 0x0a0000f0, &f));
    append(x, records);
}

static void file_of(const struct fixture *x, char out[320])
{
    snprintf(out, 320, "%s/out.backup", x->folder);
}

static void back_up(const struct fixture *x, struct archive_facts *facts)
{
    char name[320];
    struct fault f = {.text = ""};
    file_of(x, name);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_ok(archive_write(x->path, fd, NULL, facts, &f));
    close(fd);
}

static enum err verify(const struct fixture *x, struct archive_facts *facts, struct fault *f)
{
    char name[320];
    file_of(x, name);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    enum err e = archive_verify(fd, x->path, NULL, facts, f);
    close(fd);
    return e;
}

static enum err restore(const struct fixture *x, char aside[ARCHIVE_PATH], struct fault *f)
{
    char name[320];
    struct archive_facts facts;
    file_of(x, name);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    enum err e = archive_restore(fd, x->path, aside, &facts, f);
    close(fd);
    return e;
}

static void remove_aside(const char *aside)
{
    static const char *const names[] = {"containarium.db", "containarium.db-wal",
                                        "containarium.db.audit-key"};
    char name[ARCHIVE_PATH + 40];
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(name, sizeof name, "%s/%s", aside, names[i]);
        unlink(name);
    }
    assert_int_equal(rmdir(aside), 0); // nothing else is in it
}

static bool has_scratch(const struct fixture *x)
{
    char name[320];
    snprintf(name, sizeof name, "%s.scratch", x->path);
    return access(name, F_OK) == 0;
}

// ---- the file

static void tar_headers(void **state)
{
    static const uint64_t sizes[] = {
        0, 1, 511, 512, 513, (UINT64_C(1) << 33) - 1, UINT64_C(1) << 33, UINT64_C(1) << 50};
    unsigned char block[TAR_BLOCK];
    struct tar_member back;
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct tar_member member = {.name = "containarium.db", .size = sizes[i], .made = 1700000000};
        tar_write(&member, block);
        assert_true(tar_parse(block, &back));
        assert_string_equal(back.name, member.name);
        assert_int_equal(back.size, member.size);
        assert_int_equal(back.made, member.made);
        assert_int_equal((sizes[i] + tar_padding(sizes[i])) % TAR_BLOCK, 0);
        for (size_t at = 0; at < 155; at++) { // behind the sum stands a blank
            block[at] ^= 0x41;
            assert_false(tar_parse(block, &back));
            block[at] ^= 0x41;
        }
    }
    memset(block, 0, sizeof block);
    assert_false(tar_parse(block, &back));
}

static void holds_what_is_committed(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct archive_facts made, seen;
    fill(x, 3000);
    struct audit_record open = {.time = 9, .event = AUDIT_LOGIN, .user = "not committed"};
    assert_ok(audit_append(x->store, &open, &f));
    back_up(x, &made);
    assert_true(store_dirty(x->store)); // whoever was writing goes on
    assert_ok(store_commit(x->store, &f));
    assert_ok(verify(x, &seen, &f));
    assert_int_equal(seen.schema, schema_newest());
    assert_int_equal(seen.accounts, 2);
    assert_int_equal(seen.keys, 1);
    assert_int_equal(seen.boxes, 1);
    assert_int_equal(seen.records, 3000);
    assert_int_equal(seen.last, 3000);
    assert_int_equal(seen.length, made.length);
    assert_int_equal(seen.made, made.made);
    assert_string_equal(seen.sha256, made.sha256);
    assert_false(has_scratch(x));
    append(x, 1); // the store is as it was
    int64_t rows = 0;
    assert_ok(audit_verify(x->store, &rows, &f));
    assert_int_equal(rows, 3002);
}

static void every_cut_and_every_damage_is_seen(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct archive_facts made, seen;
    char name[320];
    unsigned char byte;
    fill(x, 20);
    back_up(x, &made);
    file_of(x, name);
    for (uint64_t at = 0; at < made.length; at += at < 2048 || at + 2600 > made.length ? 37 : 9973) {
        int fd = open(name, O_RDWR | O_CLOEXEC);
        assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
        byte ^= 0x01;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
        assert_err(ERR_INVALID, verify(x, &seen, &f));
        byte ^= 0x01;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
        close(fd);
    }
    assert_ok(verify(x, &seen, &f));
    for (uint64_t length = made.length; length > 0; length -= length > 40000 ? 30011
                                                              : length > 512 ? 509
                                                                             : length) {
        assert_int_equal(truncate(name, (off_t)length - 1), 0);
        assert_err(ERR_INVALID, verify(x, &seen, &f));
        assert_true(strstr(f.text, "cut off") != NULL || strstr(f.text, "no backup of the store") != NULL);
    }
    assert_false(has_scratch(x));
}

// The sums are right, what they cover is not: somebody has made the file anew around a changed record.
static void a_forged_trail_is_refused(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct archive_facts facts;
    struct scratch scratch;
    sqlite3 *db = NULL;
    char name[320];
    fill(x, 20);
    back_up(x, &facts);
    file_of(x, name);
    assert_ok(scratch_open(x->path, &scratch, &f));
    int fd = open(name, O_RDWR | O_CLOEXEC);
    assert_ok(archive_unpack(fd, &scratch, NULL, &facts, &f));
    assert_int_equal(sqlite3_open(scratch.database, &db), SQLITE_OK);
    assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE audit SET user = 'mallory' WHERE seq = 5", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_ok(archive_pack(&scratch, fd, NULL, &facts, &f));
    close(fd);
    scratch_close(&scratch);
    assert_err(ERR_CONFLICT, verify(x, &facts, &f));
    assert_says("the audit trail is broken at 5");
}

static void a_store_that_does_not_verify_is_not_backed_up(void **state)
{
    struct fixture *x = *state;
    struct fixture other = {.store = NULL};
    struct fault f = {.text = ""};
    struct archive_facts made;
    char key[320], name[320], other_key[400];
    fill(x, 20);
    fixture_place(&other);
    fixture_open(&other);
    fixture_close(&other);
    // The key of another store: its signatures are none.
    snprintf(key, sizeof key, "%s.audit-key", x->path);
    snprintf(other_key, sizeof other_key, "%s.audit-key", other.path);
    assert_int_equal(rename(other_key, key), 0);
    file_of(x, name);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_err(ERR_CONFLICT, archive_write(x->path, fd, NULL, &made, &f));
    assert_says("not signed with its key");
    assert_int_equal(lseek(fd, 0, SEEK_END), 0); // not a byte of it
    close(fd);
    fixture_remove(&other);
}

static void what_is_no_backup_is_refused(void **state)
{
    static const char *const texts[] = {"", "x", "-----BEGIN PRIVATE KEY-----\n", "SQLite format 3"};
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct archive_facts seen;
    char name[320];
    file_of(x, name);
    for (size_t i = 0; i < COUNT(texts); i++) {
        int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, texts[i], strlen(texts[i])), strlen(texts[i]));
        close(fd);
        assert_err(ERR_INVALID, verify(x, &seen, &f));
        assert_says("no backup of the store");
    }
}

static void a_stop_ends_it(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct archive_facts made;
    atomic_bool stop = true;
    char name[320];
    fill(x, 100);
    file_of(x, name);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_err(ERR_UNAVAILABLE, archive_write(x->path, fd, &stop, &made, &f));
    close(fd);
    assert_false(has_scratch(x));
}

// ---- back

static void comes_back(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct archive_facts made;
    struct account account;
    struct box_row row;
    char aside[ARCHIVE_PATH], name[ARCHIVE_PATH + 40];
    int64_t rows = 0;
    fill(x, 50);
    back_up(x, &made);
    assert_err(ERR_CONFLICT, restore(x, aside, &f));
    assert_says("stop it first");
    fixture_account(x, "carol");
    append(x, 10);
    fixture_close(x);
    assert_ok(restore(x, aside, &f));
    assert_false(has_scratch(x));
    fixture_open(x);
    assert_ok(account_get(x->store, "alice", &account, &f));
    assert_ok(box_get(x->store, account.id, &row, &f));
    assert_int_equal(row.gateway_seed[31], 7);
    assert_err(ERR_NOTFOUND, account_get(x->store, "carol", &account, &f));
    assert_ok(audit_verify(x->store, &rows, &f));
    assert_int_equal(rows, 51);
    uint64_t told = 0;
    assert_ok(audit_count_event(x->store, AUDIT_STORE_RESTORED, 0, &told, &f));
    assert_int_equal(told, 1);
    // What was there is a store of its own, whole.
    struct store *old = NULL;
    snprintf(name, sizeof name, "%s/containarium.db", aside);
    assert_ok(store_open(name, &old, &f));
    assert_ok(account_get(old, "carol", &account, &f));
    assert_ok(audit_verify(old, &rows, &f));
    assert_int_equal(rows, 60);
    store_close(old);
    snprintf(name, sizeof name, "%s/containarium.db.lock", aside);
    unlink(name);
    remove_aside(aside);
}

static void comes_to_an_empty_place(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".audit-key"};
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct archive_facts made;
    struct account account;
    char aside[ARCHIVE_PATH], name[320];
    fill(x, 5);
    back_up(x, &made);
    fixture_close(x);
    for (size_t i = 0; i < COUNT(suffixes); i++) {
        snprintf(name, sizeof name, "%s%s", x->path, suffixes[i]);
        unlink(name);
    }
    assert_ok(restore(x, aside, &f));
    assert_string_equal(aside, "");
    fixture_open(x);
    assert_ok(account_get(x->store, "alice", &account, &f));
}

// A database that nothing can be read from any more is what backups are for.
static void takes_the_place_of_a_damaged_one(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct archive_facts made;
    struct account account;
    char aside[ARCHIVE_PATH], wal[320];
    fill(x, 5);
    back_up(x, &made);
    fixture_close(x);
    snprintf(wal, sizeof wal, "%s-wal", x->path);
    for (int i = 0; i < 2; i++) {
        int fd = open(i == 0 ? x->path : wal, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        for (int k = 0; k < 4096; k++)
            assert_int_equal(write(fd, "damaged ", 8), 8);
        close(fd);
    }
    assert_err(ERR_IO, store_open(x->path, &x->store, &f));
    assert_ok(restore(x, aside, &f));
    fixture_open(x);
    assert_ok(account_get(x->store, "alice", &account, &f));
    remove_aside(aside);
}

static void a_bad_one_changes_nothing(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct archive_facts made;
    struct account account;
    char aside[ARCHIVE_PATH], name[320];
    fill(x, 200);
    back_up(x, &made);
    fixture_account(x, "carol");
    assert_ok(store_commit(x->store, &f));
    fixture_close(x);
    file_of(x, name);
    assert_int_equal(truncate(name, (off_t)made.length - 2000), 0);
    assert_err(ERR_INVALID, restore(x, aside, &f));
    assert_says("cut off");
    assert_int_equal(access(aside, F_OK), -1);
    fixture_open(x);
    assert_ok(account_get(x->store, "carol", &account, &f));
}

// Killed between the first change and the last: it does not open, and the same again mends it.
static void half_a_restore_does_not_open(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct archive_facts made;
    struct account account;
    char aside[ARCHIVE_PATH], mark[320], key[320];
    fill(x, 5);
    back_up(x, &made);
    fixture_close(x);
    snprintf(mark, sizeof mark, "%s.restoring", x->path);
    snprintf(key, sizeof key, "%s.audit-key", x->path);
    close(open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(unlink(key), 0);
    assert_err(ERR_CONFLICT, store_open(x->path, &x->store, &f));
    assert_says("cut off half-way");
    assert_ok(restore(x, aside, &f));
    fixture_open(x);
    assert_ok(account_get(x->store, "alice", &account, &f));
    remove_aside(aside);
}

// ---- no room

static void no_room_for_the_file(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct archive_facts made;
    struct rlimit before, limit;
    char name[320];
    fill(x, 100);
    file_of(x, name);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 100 << 10;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum err e = archive_write(x->path, fd, NULL, &made, &f);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(e == ERR_FULL || e == ERR_IO);
    close(fd);
    assert_false(has_scratch(x));
    append(x, 1);
}

static void no_room_beside_the_store(void **state)
{
    struct fixture disk = {.store = NULL};
    struct fault f = {.text = ""};
    struct archive_facts made;
    (void)state;
    fixture_place(&disk);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", disk.folder, "tmpfs", 0, "size=8m") != 0) {
        print_message("cannot mount a small tmpfs here (%s)\n", strerror(errno));
        fixture_remove(&disk);
        skip();
    }
    fixture_open(&disk);
    fill(&disk, 100);
    char name[320];
    file_of(&disk, name);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_err(ERR_FULL, archive_write(disk.path, fd, NULL, &made, &f));
    assert_says("free some space");
    close(fd);
    assert_false(has_scratch(&disk));
    fixture_close(&disk);
    assert_int_equal(umount(disk.folder), 0);
    rmdir(disk.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tar_headers),
        store_test(holds_what_is_committed),
        store_test(every_cut_and_every_damage_is_seen),
        store_test(a_forged_trail_is_refused),
        store_test(a_store_that_does_not_verify_is_not_backed_up),
        store_test(what_is_no_backup_is_refused),
        store_test(a_stop_ends_it),
        store_test(comes_back),
        store_test(comes_to_an_empty_place),
        store_test(takes_the_place_of_a_damaged_one),
        store_test(a_bad_one_changes_nothing),
        store_test(half_a_restore_does_not_open),
        store_test(no_room_for_the_file),
        cmocka_unit_test(no_room_beside_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
