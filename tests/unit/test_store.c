// Opening the database: new, old, newer, foreign, damaged, locked; and what the write group promises.
#include "unit/check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <sqlite3.h>

#include "store/schema.h"
#include "unit/store_fixture.h"

struct image {
    unsigned char *data;
    size_t size;
};

static struct image slurp(const char *path)
{
    struct image image = {NULL, 0};
    struct stat st;
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return image;
    assert_int_equal(fstat(fd, &st), 0);
    image.size = (size_t)st.st_size;
    image.data = malloc(image.size + 1);
    assert_int_equal(read(fd, image.data, image.size), image.size);
    close(fd);
    return image;
}

// The database and its write-ahead log must be, byte for byte, what they were; the attempt must fail with
// `code`.
static void refused_untouched(struct fixture *x, enum err code, const char *says)
{
    char wal[320];
    struct store *s = NULL;
    struct fault f = {.text = ""};
    struct stat st, st_after;
    snprintf(wal, sizeof wal, "%s-wal", x->path);
    struct image before = slurp(x->path), wal_before = slurp(wal);
    assert_int_equal(stat(x->path, &st), 0);
    assert_err(code, store_open(x->path, &s, &f));
    assert_null(s);
    assert_says(says);
    struct image after = slurp(x->path), wal_after = slurp(wal);
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.data, after.data, before.size);
    assert_int_equal(wal_before.size, wal_after.size);
    if (wal_before.size > 0)
        assert_memory_equal(wal_before.data, wal_after.data, wal_before.size);
    assert_int_equal(stat(x->path, &st_after), 0);
    assert_int_equal(st.st_mtim.tv_nsec, st_after.st_mtim.tv_nsec);
    assert_int_equal(st.st_mode, st_after.st_mode);
    free(before.data);
    free(after.data);
    free(wal_before.data);
    free(wal_after.data);
}

static void sql(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    char *error = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", text, error);
    sqlite3_close(db);
}

static void new_database(void **state)
{
    static const char *const suffixes[] = {"", "-wal", ".lock"};
    struct fixture *x = *state;
    struct stat st;
    char name[320];
    assert_int_equal(store_schema_version(x->store), schema_newest());
    assert_false(store_dirty(x->store));
    fixture_account(x, "alice");
    assert_true(store_dirty(x->store));
    for (size_t i = 0; i < COUNT(suffixes); i++) {
        snprintf(name, sizeof name, "%s%s", x->path, suffixes[i]);
        assert_int_equal(stat(name, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
}

static void others_cannot_read(void **state)
{
    struct fixture *x = *state;
    struct stat st;
    fixture_close(x);
    assert_int_equal(chmod(x->path, 0644), 0);
    fixture_open(x);
    assert_int_equal(stat(x->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void one_program_at_a_time(void **state)
{
    struct fixture *x = *state;
    struct store *second = NULL;
    struct fault f = {.text = ""};
    assert_err(ERR_CONFLICT, store_open(x->path, &second, &f));
    assert_says("in use by another containariumd");
    fixture_close(x);
    fixture_open(x);
}

static void newer_is_refused(void **state)
{
    struct fixture *x = *state;
    fixture_account(x, "alice");
    fixture_close(x);
    sql(x->path, "PRAGMA user_version = 99");
    refused_untouched(x, ERR_CONFLICT, "newer containarium (schema 99");
}

// The newer program was killed: its version number is in the write-ahead log only, which must stay as it is,
// too.
static void newer_in_the_log_is_refused(void **state)
{
    struct fixture *x = *state;
    fixture_close(x);
    pid_t child = fork();
    if (child == 0) {
        sqlite3 *db = NULL;
        if (sqlite3_open(x->path, &db) == SQLITE_OK)
            sqlite3_exec(db, "PRAGMA user_version = 99; CREATE TABLE future (a)", NULL, NULL, NULL);
        _exit(0); // no sqlite3_close: as if killed
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    refused_untouched(x, ERR_CONFLICT, "newer containarium");
    refused_untouched(x, ERR_CONFLICT, "newer containarium");
}

static void foreign_is_refused(void **state)
{
    struct fixture *x = *state;
    fixture_close(x);
    unlink(x->path);
    sql(x->path, "CREATE TABLE songs (title)");
    refused_untouched(x, ERR_CONFLICT, "belongs to another program");
    sql(x->path, "PRAGMA application_id = 77; PRAGMA user_version = 2");
    refused_untouched(x, ERR_CONFLICT, "belongs to another program");
}

static void overwrite(const char *path, off_t at, const char *bytes, size_t n)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), n);
    close(fd);
}

static void damaged_is_refused(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    char junk[512];
    memset(junk, 0xa5, sizeof junk);
    for (unsigned i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "user%u", i);
        fixture_account(x, name);
    }
    assert_ok(store_commit(x->store, &f));
    fixture_close(x);
    struct image good = slurp(x->path);
    assert_true(good.size > 65536);

    overwrite(x->path, 0, "garbage!garbage!", 16); // not a database any more
    refused_untouched(x, ERR_IO, "restore a backup");
    overwrite(x->path, 0, (char *)good.data, 512);

    overwrite(x->path, 4096 * 4, junk, sizeof junk); // a page of some table
    refused_untouched(x, ERR_IO, "restore a backup");
    overwrite(x->path, 0, (char *)good.data, good.size);

    overwrite(x->path, 100, junk, 64); // the schema's page
    refused_untouched(x, ERR_IO, "restore a backup");
    overwrite(x->path, 0, (char *)good.data, good.size);

    assert_int_equal(truncate(x->path, (off_t)good.size / 2), 0); // half of it is gone
    refused_untouched(x, ERR_IO, "restore a backup");

    assert_int_equal(truncate(x->path, 100), 0);
    refused_untouched(x, ERR_IO, "restore a backup");
    overwrite(x->path, 0, (char *)good.data, good.size);
    free(good.data);
    fixture_open(x); // mended
}

static void changed_schema_is_refused(void **state)
{
    struct fixture *x = *state;
    fixture_close(x);
    sql(x->path, "DROP TRIGGER audit_no_delete");
    refused_untouched(x, ERR_IO, "trigger audit_no_delete");
    sql(x->path, "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT 1; END");
    refused_untouched(x, ERR_IO, "changed by hand");
    unlink(x->path);
    fixture_open(x);
    fixture_close(x);
    sql(x->path,
        "CREATE TRIGGER sneaky AFTER INSERT ON accounts BEGIN UPDATE accounts SET role = 'admin'; END");
    refused_untouched(x, ERR_IO, "trigger sneaky");
    sql(x->path, "DROP TRIGGER sneaky; DROP INDEX audit_by_user");
    refused_untouched(x, ERR_IO, "audit_by_user");
}

static void odd_places(void **state)
{
    struct fixture *x = *state;
    struct store *s = NULL;
    struct fault f = {.text = ""};
    char name[400];
    fixture_close(x);
    assert_err(ERR_IO, store_open("/nonexistent/folder/x.db", &s, &f));
    snprintf(name, sizeof name, "%s/folder", x->folder);
    assert_int_equal(mkdir(name, 0700), 0);
    assert_err(ERR_IO, store_open(name, &s, &f));
    assert_says("not a file");
    rmdir(name);
    snprintf(name, sizeof name, "%s/odd%%20 name?mode=ro#x.db", x->folder);
    assert_ok(store_open(name, &s, &f));
    store_close(s);
    assert_ok(store_open(name, &s, &f)); // the probe finds the same file
    store_close(s);
    snprintf(name, sizeof name, "%s/empty.db", x->folder);
    close(open(name, O_CREAT | O_WRONLY, 0600));
    assert_ok(store_open(name, &s, &f));
    store_close(s);
}

// A database as each older program left it, with rows in it, is brought up to date with the rows kept.
static void migration_from_each_version(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    fixture_close(x);
    for (int version = 1; version < schema_newest(); version++) {
        sqlite3 *db = NULL;
        struct account account;
        struct box_row box;
        int64_t rows = 0;
        unlink(x->path);
        assert_int_equal(sqlite3_open(x->path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL), SQLITE_OK);
        assert_ok(schema_migrate(db, x->path, 0, version, &f));
        assert_int_equal(
            sqlite3_exec(
                db,
                "INSERT INTO accounts (name, role, created) VALUES ('alice', 'admin', 5);"
                "INSERT INTO boxes (account_id, name, driver, phase, address, port, image, cpu, memory,"
                " disk, autostart, hostkeys, gateway_seed, created) VALUES (1, 'alice-container',"
                " 'incus', 'ready', '10.178.0.16', 22, 'i', '2', 1, 1, 1, '', zeroblob(32), 5)",
                NULL, NULL, NULL),
            SQLITE_OK);
        sqlite3_close(db);
        fixture_open(x);
        assert_int_equal(store_schema_version(x->store), schema_newest());
        assert_ok(account_get(x->store, "alice", &account, &f));
        assert_int_equal(account.role, ROLE_ADMIN);
        assert_ok(box_get(x->store, account.id, &box, &f));
        assert_int_equal(box.phase, BOX_READY);
        assert_false(box.idle.has_freeze || box.idle.has_stop); // they sleep as they did
        assert_ok(audit_verify(x->store, &rows, &f));
        fixture_close(x);
    }
}

// Version 1 had no end mark: the migration must take the end from the rows that are there, and signs it.
static void migration_keeps_the_chain(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    int64_t rows = 0;
    char old[320], copy[700], key[320];
    sqlite3 *db = NULL;
    struct audit_record record = {.time = 5, .event = AUDIT_LOGIN, .user = "alice"};
    for (int i = 0; i < 3; i++)
        assert_ok(audit_append(x->store, &record, &f));
    assert_ok(store_commit(x->store, &f));
    fixture_close(x);
    snprintf(old, sizeof old, "%s.1", x->path); // what version 1 would have left
    snprintf(copy, sizeof copy, "ATTACH '%s' AS new; INSERT INTO audit SELECT * FROM new.audit; DETACH new",
             x->path);
    assert_int_equal(sqlite3_open(old, &db), SQLITE_OK);
    assert_ok(schema_migrate(db, old, 0, 1, &f));
    assert_int_equal(sqlite3_exec(db, copy, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    snprintf(key, sizeof key, "%s.audit-key", x->path);
    assert_int_equal(unlink(key), 0);
    assert_int_equal(rename(old, x->path), 0);
    fixture_open(x);
    assert_ok(audit_verify(x->store, &rows, &f));
    assert_int_equal(rows, 3);
    assert_ok(audit_append(x->store, &record, &f));
    assert_int_equal(record.seq, 4);
    assert_ok(audit_verify(x->store, &rows, &f));
}

// The key is half of the proof: without it, or with another, nothing starts until somebody says so, on
// record.
static void the_key_of_the_trail(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    int64_t rows = 0;
    char key[320];
    struct audit_record record = {.time = 5, .event = AUDIT_LOGIN, .user = "alice"};
    assert_ok(audit_append(x->store, &record, &f));
    assert_ok(store_commit(x->store, &f));
    fixture_close(x);
    snprintf(key, sizeof key, "%s.audit-key", x->path);
    assert_int_equal(unlink(key), 0);
    assert_err(ERR_NOTFOUND, store_open(x->path, &x->store, &f));
    assert_says("--new-audit-key");
    sql(x->path, "UPDATE audit_head SET signature = zeroblob(64)");
    assert_ok(store_renew_audit_key(x->path, &f));
    fixture_open(x);
    assert_ok(audit_verify(x->store, &rows, &f));
    assert_int_equal(rows, 2); // the login, and that the key is another
    fixture_close(x);
    sql(x->path, "UPDATE audit_head SET signature = zeroblob(64)");
    assert_err(ERR_CONFLICT, store_open(x->path, &x->store, &f));
    assert_says("not signed with its key");
    sql(x->path, "UPDATE audit_head SET signature = x''; UPDATE audit_anchor SET signature = x''");
    assert_err(ERR_CONFLICT, store_open(x->path, &x->store, &f)); // no new database
}

static void groups(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct account account;
    assert_ok(store_commit(x->store, &f)); // nothing to do is fine
    fixture_account(x, "alice");
    fixture_account(x, "bob");
    assert_ok(account_get(x->store, "alice", &account, &f)); // its own writes are seen at once
    assert_err(ERR_CONFLICT, account_create(x->store, "bob", ROLE_USER, 1, NULL, &f));
    assert_true(store_dirty(x->store)); // a refused row does not undo its neighbours
    assert_ok(store_commit(x->store, &f));
    assert_false(store_dirty(x->store));
    fixture_account(x, "carol");
    store_rollback(x->store);
    assert_false(store_dirty(x->store));
    assert_err(ERR_NOTFOUND, account_get(x->store, "carol", &account, &f));
    fixture_account(x, "dave"); // not committed
    fixture_reopen(x);
    assert_ok(account_get(x->store, "bob", &account, &f));
    assert_err(ERR_NOTFOUND, account_get(x->store, "dave", &account, &f));
}

static void space(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    assert_ok(store_check_space(x->store, &f));
    assert_false(store_dirty(x->store));
}

// Somebody holds the database with the sqlite3 shell: a write fails after the timeout, says why, and works
// again.
static void locked_by_a_shell(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(x->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_err(ERR_UNAVAILABLE, account_create(x->store, "alice", ROLE_USER, 1, NULL, &f));
    assert_says("another program");
    assert_false(store_dirty(x->store));
    sqlite3_close(db);
    fixture_account(x, "alice");
    assert_ok(store_commit(x->store, &f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(new_database),
        store_test(others_cannot_read),
        store_test(one_program_at_a_time),
        store_test(newer_is_refused),
        store_test(newer_in_the_log_is_refused),
        store_test(foreign_is_refused),
        store_test(damaged_is_refused),
        store_test(changed_schema_is_refused),
        store_test(odd_places),
        store_test(migration_from_each_version),
        store_test(migration_keeps_the_chain),
        store_test(the_key_of_the_trail),
        store_test(groups),
        store_test(space),
        store_test(locked_by_a_shell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
