// The shape of the database. Migrations are only ever added at the end; one that was released is never
// edited.
#include "store/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/query.h"

#define CHECK_ALL_MAX (256 << 20)

// Ids are AUTOINCREMENT: an id is never used again, because sessions and other processes remember it longer
// than its row lives. Sessions and audit name the account by text as well and outlive it.
static const char migration_1[] =
    "CREATE TABLE accounts ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  name TEXT NOT NULL UNIQUE,"
    "  role TEXT NOT NULL CHECK (role IN ('user', 'operator', 'admin')),"
    "  created INTEGER NOT NULL,"
    "  last_login INTEGER NOT NULL DEFAULT 0"
    ") STRICT;"
    "CREATE TABLE keys ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,"
    "  fingerprint TEXT NOT NULL UNIQUE,"
    "  type TEXT NOT NULL,"
    "  base64 TEXT NOT NULL,"
    "  comment TEXT NOT NULL,"
    "  bits INTEGER NOT NULL,"
    "  added INTEGER NOT NULL,"
    "  last_used INTEGER NOT NULL DEFAULT 0"
    ") STRICT;"
    "CREATE INDEX keys_by_account ON keys (account_id);"
    // address_number is the address given out by box_insert, NULL for static boxes: unique, and found by
    // range.
    "CREATE TABLE boxes ("
    "  account_id INTEGER PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,"
    "  name TEXT NOT NULL UNIQUE,"
    "  driver TEXT NOT NULL CHECK (driver IN ('incus', 'static')),"
    "  phase TEXT NOT NULL CHECK (phase IN ('absent', 'creating', 'ready', 'deleting')),"
    "  address TEXT NOT NULL,"
    "  address_number INTEGER UNIQUE,"
    "  port INTEGER NOT NULL,"
    "  image TEXT NOT NULL,"
    "  cpu TEXT NOT NULL,"
    "  memory INTEGER NOT NULL,"
    "  disk INTEGER NOT NULL,"
    "  autostart INTEGER NOT NULL,"
    "  hostkeys TEXT NOT NULL,"
    "  gateway_seed BLOB NOT NULL CHECK (length(gateway_seed) = 32),"
    "  created INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE sessions ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  account_id INTEGER NOT NULL,"
    "  user TEXT NOT NULL,"
    "  login TEXT NOT NULL,"
    "  fingerprint TEXT NOT NULL,"
    "  address TEXT NOT NULL,"
    "  port INTEGER NOT NULL,"
    "  token TEXT NOT NULL UNIQUE,"
    "  started INTEGER NOT NULL,"
    "  ended INTEGER NOT NULL DEFAULT 0,"
    "  reason TEXT NOT NULL DEFAULT '',"
    "  bytes_in INTEGER NOT NULL DEFAULT 0,"
    "  bytes_out INTEGER NOT NULL DEFAULT 0,"
    "  channels INTEGER NOT NULL DEFAULT 0"
    ") STRICT;"
    "CREATE INDEX sessions_live ON sessions (account_id, id) WHERE ended = 0;"
    "CREATE TABLE audit ("
    "  seq INTEGER PRIMARY KEY,"
    "  time INTEGER NOT NULL,"
    "  event TEXT NOT NULL,"
    "  user TEXT NOT NULL,"
    "  actor TEXT NOT NULL,"
    "  fingerprint TEXT NOT NULL,"
    "  address TEXT NOT NULL,"
    "  session INTEGER NOT NULL,"
    "  box TEXT NOT NULL,"
    "  target TEXT NOT NULL,"
    "  bytes_in INTEGER NOT NULL,"
    "  bytes_out INTEGER NOT NULL,"
    "  duration_ms INTEGER NOT NULL,"
    "  reason TEXT NOT NULL,"
    "  hash BLOB NOT NULL CHECK (length(hash) = 32)"
    ") STRICT;"
    "CREATE INDEX audit_by_user ON audit (user, time);"
    "CREATE INDEX audit_by_address ON audit (address, time);"
    "CREATE INDEX audit_by_event ON audit (event, time);"
    "CREATE INDEX audit_by_time ON audit (time);"
    // Against our own mistakes; whoever can write the file can drop them, and then the chain tells.
    "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN"
    "  SELECT RAISE(ABORT, 'the audit trail is append-only'); END;"
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN"
    "  SELECT RAISE(ABORT, 'the audit trail is append-only'); END;";

// The chain alone does not notice a cut tail. One row remembers its end; written once a commit.
static const char migration_2[] =
    "CREATE TABLE audit_head ("
    "  id INTEGER PRIMARY KEY CHECK (id = 1),"
    "  seq INTEGER NOT NULL,"
    "  hash BLOB NOT NULL CHECK (length(hash) = 32)"
    ") STRICT;"
    "INSERT INTO audit_head (id, seq, hash) SELECT 1, 0, zeroblob(32);"
    "UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1)"
    "  WHERE EXISTS (SELECT 1 FROM audit);";

// Key options, limits a user has of their own, bans, sources people log in from; the end of the audit trail
// signed, and a beginning other than its first record, once retention has taken that.
static const char migration_3[] =
    "ALTER TABLE keys ADD COLUMN options TEXT NOT NULL DEFAULT '';"
    "CREATE TABLE limits ("
    "  account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,"
    "  name TEXT NOT NULL,"
    "  value INTEGER NOT NULL,"
    "  PRIMARY KEY (account_id, name)"
    ") STRICT, WITHOUT ROWID;"
    // user or subnet may be '': any. until 0: for ever.
    "CREATE TABLE bans ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  user TEXT NOT NULL,"
    "  subnet TEXT NOT NULL,"
    "  reason TEXT NOT NULL,"
    "  actor TEXT NOT NULL,"
    "  created INTEGER NOT NULL,"
    "  until INTEGER NOT NULL,"
    "  lifted INTEGER NOT NULL DEFAULT 0,"
    "  lifted_by TEXT NOT NULL DEFAULT ''"
    ") STRICT;"
    "CREATE INDEX bans_by_subject ON bans (subnet, user, created);"
    "CREATE INDEX bans_in_force ON bans (until) WHERE lifted = 0;"
    "CREATE TABLE known_sources ("
    "  source TEXT NOT NULL,"
    "  fingerprint TEXT NOT NULL,"
    "  last INTEGER NOT NULL,"
    "  PRIMARY KEY (source, fingerprint)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX known_sources_by_age ON known_sources (last);"
    "ALTER TABLE audit_head ADD COLUMN signature BLOB NOT NULL DEFAULT x'';"
    "CREATE TABLE audit_anchor ("
    "  id INTEGER PRIMARY KEY CHECK (id = 1),"
    "  seq INTEGER NOT NULL,"
    "  hash BLOB NOT NULL CHECK (length(hash) = 32),"
    "  signature BLOB NOT NULL"
    ") STRICT;"
    "INSERT INTO audit_anchor (id, seq, hash, signature) VALUES (1, 0, zeroblob(32), x'');"
    "DROP INDEX audit_by_event;"
    "CREATE INDEX audit_by_event ON audit (event, time, user);"
    "DROP TRIGGER audit_no_delete;"
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit"
    "  WHEN OLD.seq > (SELECT seq FROM audit_anchor) BEGIN"
    "  SELECT RAISE(ABORT, 'the audit trail is append-only'); END;";

// Invitations, and the limits of the accounts they will make.
static const char migration_4[] =
    // account_id 0: of somebody who has no account yet; no foreign key, so that the invitation of a deleted
    // account finds nobody, and does not vanish from the list.
    "CREATE TABLE invites ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),"
    "  name TEXT NOT NULL,"
    "  account_id INTEGER NOT NULL,"
    "  role TEXT NOT NULL CHECK (role IN ('user', 'operator', 'admin')),"
    "  cpu TEXT NOT NULL,"
    "  memory INTEGER NOT NULL,"
    "  disk INTEGER NOT NULL,"
    "  actor TEXT NOT NULL,"
    "  created INTEGER NOT NULL,"
    "  expires INTEGER NOT NULL,"
    "  used INTEGER NOT NULL DEFAULT 0,"
    "  fingerprint TEXT NOT NULL DEFAULT '',"
    "  revoked INTEGER NOT NULL DEFAULT 0"
    ") STRICT;"
    "CREATE TABLE invite_limits ("
    "  invite_id INTEGER NOT NULL REFERENCES invites (id) ON DELETE CASCADE,"
    "  name TEXT NOT NULL,"
    "  value INTEGER NOT NULL,"
    "  PRIMARY KEY (invite_id, name)"
    ") STRICT, WITHOUT ROWID;";

// Boxes that others may enter; whose box a session is in; and the records of guests, for who asks about the
// owner: of those only, which is few.
static const char migration_5[] =
    // guest_id NULL: of a name that nobody has, or has any more.
    "CREATE TABLE shares ("
    "  owner_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,"
    "  guest_id INTEGER REFERENCES accounts (id) ON DELETE SET NULL,"
    "  guest TEXT NOT NULL,"
    "  actor TEXT NOT NULL,"
    "  created INTEGER NOT NULL,"
    "  until INTEGER NOT NULL,"
    "  PRIMARY KEY (owner_id, guest)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX shares_by_guest ON shares (guest_id);"
    "CREATE INDEX shares_by_end ON shares (until) WHERE until > 0;"
    // 0: in nobody's, at the console.
    "ALTER TABLE sessions ADD COLUMN owner_id INTEGER NOT NULL DEFAULT 0;"
    "UPDATE sessions SET owner_id = account_id WHERE login = user;"
    "CREATE INDEX audit_by_guest ON audit (box, time) WHERE box <> '' AND box <> user || '-container';";
// When a box falls asleep, in place of the configuration's. NULL: as configured; 0: never.
static const char migration_6[] =
    "ALTER TABLE boxes ADD COLUMN idle_freeze_ms INTEGER CHECK (idle_freeze_ms >= 0);"
    "ALTER TABLE boxes ADD COLUMN idle_stop_ms INTEGER CHECK (idle_stop_ms >= 0);";

static const char *const migrations[] = {migration_1, migration_2, migration_3,
                                         migration_4, migration_5, migration_6};

int schema_newest(void)
{
    return (int)(sizeof migrations / sizeof migrations[0]);
}

enum err schema_migrate(sqlite3 *db, const char *path, int from, int to, struct fault *f)
{
    for (int version = from + 1; version <= to; version++) {
        char mark[128];
        snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
                 SCHEMA_APPLICATION_ID, version);
        int code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (code == SQLITE_OK)
            code = sqlite3_exec(db, migrations[version - 1], NULL, NULL, NULL);
        if (code == SQLITE_OK)
            code = sqlite3_exec(db, mark, NULL, NULL, NULL);
        if (code != SQLITE_OK) {
            store_translate(db, code, path, "cannot bring the database up to date:", f);
            sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
            return f == NULL ? ERR_IO : f->code;
        }
    }
    return ERR_NONE;
}

static enum err read_int(sqlite3 *db, const char *path, const char *sql, int *out, struct fault *f)
{
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int(stmt, 0);
    enum err e = code == SQLITE_ROW ? ERR_NONE : store_translate(db, code, path, "cannot read", f);
    sqlite3_finalize(stmt);
    return e;
}

static const char *column(sqlite3_stmt *stmt, int i)
{
    const unsigned char *text = sqlite3_column_text(stmt, i);
    return text == NULL ? "" : (const char *)text;
}

// The tables, indexes and triggers must be exactly those its version has: a missing index would only be slow,
// a missing or an additional trigger could change what the audit trail says.
static enum err compare_schema(sqlite3 *db, const char *path, int version, struct fault *f)
{
    static const char list[] = "SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema"
                               " WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1";
    sqlite3 *model = NULL;
    sqlite3_stmt *want = NULL, *have = NULL;
    enum err e = ERR_NONE;
    int code = sqlite3_open(":memory:", &model);
    if (code != SQLITE_OK || schema_migrate(model, path, 0, version, f) != ERR_NONE ||
        sqlite3_prepare_v2(model, list, -1, &want, NULL) != SQLITE_OK) {
        e = fault_set(f, ERR_MEMORY, "cannot make a model of the database in memory");
        goto out;
    }
    code = sqlite3_prepare_v2(db, list, -1, &have, NULL);
    while (code == SQLITE_OK) {
        int w = sqlite3_step(want), h = sqlite3_step(have);
        if (w != SQLITE_ROW && h == SQLITE_DONE)
            break;
        if (h != SQLITE_ROW && h != SQLITE_DONE) {
            code = h;
        } else if (w != h || strcmp(column(want, 0), column(have, 0)) != 0 ||
                   strcmp(column(want, 1), column(have, 1)) != 0) {
            e = fault_set(
                f, ERR_IO,
                "%.200s is damaged or was changed by hand: its schema has %.60s where version %d has %.60s; "
                "undo the change or restore a backup",
                path, h == SQLITE_ROW ? column(have, 0) : "nothing", version,
                w == SQLITE_ROW ? column(want, 0) : "nothing");
            break;
        }
    }
    if (code != SQLITE_OK)
        e = store_translate(db, code, path, "cannot read the schema of", f);
out:
    sqlite3_finalize(want);
    sqlite3_finalize(have);
    sqlite3_close(model);
    return e;
}

static enum err check_pages(sqlite3 *db, const char *path, const char *pragma, struct fault *f)
{
    sqlite3_stmt *stmt = NULL;
    enum err e = ERR_NONE;
    int code = sqlite3_prepare_v2(db, pragma, -1, &stmt, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code != SQLITE_ROW)
        e = store_translate(db, code, path, "cannot check", f);
    else if (strcmp(column(stmt, 0), "ok") != 0)
        e = fault_set(f, ERR_IO, "%.200s is damaged (%.100s); restore a backup of it", path, column(stmt, 0));
    sqlite3_finalize(stmt);
    return e;
}

// All pages of a database of ordinary size (half a second); of a larger one those that decide who may log in,
// because users wait for the start. The rest of a large one is its audit trail, which audit_verify walks.
static enum err check_content(sqlite3 *db, const char *path, struct fault *f)
{
    static const char *const tables[] = {"PRAGMA quick_check(accounts)", "PRAGMA quick_check(keys)",
                                         "PRAGMA quick_check(boxes)"};
    struct stat st;
    enum err e = ERR_NONE;
    if (stat(path, &st) == 0 && st.st_size <= CHECK_ALL_MAX)
        return check_pages(db, path, "PRAGMA quick_check(1)", f);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0] && e == ERR_NONE; i++)
        e = check_pages(db, path, tables[i], f);
    return e;
}

static enum err examine(sqlite3 *db, const char *path, int *version, struct fault *f)
{
    int application = 0, found = 0, objects = 0;
    enum err e = read_int(db, path, "PRAGMA application_id", &application, f);
    if (e == ERR_NONE)
        e = read_int(db, path, "PRAGMA user_version", &found, f);
    if (e == ERR_NONE)
        e = read_int(db, path, "SELECT count(*) FROM sqlite_schema", &objects, f);
    if (e != ERR_NONE)
        return e;
    if (application == 0 && found == 0 && objects == 0)
        return ERR_NONE; // made by us, killed before the first migration
    if (application != SCHEMA_APPLICATION_ID)
        return fault_set(f, ERR_CONFLICT,
                         "%.200s belongs to another program; give another [control] state_dir", path);
    if (found > schema_newest())
        return fault_set(
            f, ERR_CONFLICT,
            "%.200s was written by a newer containarium (schema %d, this one knows %d); install that version "
            "again or restore a backup",
            path, found, schema_newest());
    if (found < 1)
        return fault_set(f, ERR_IO, "%.200s is damaged: schema version %d; restore a backup of it", path,
                         found);
    e = compare_schema(db, path, found, f);
    if (e == ERR_NONE)
        e = check_content(db, path, f);
    if (e == ERR_NONE)
        *version = found;
    return e;
}

// "file:" URI, so that immutable=1 can be said: without it even a reader creates -wal and -shm next to the
// file.
static char *uri_of(const char *path, bool immutable)
{
    size_t n = strlen(path);
    char *uri = malloc(n * 3 + 32);
    if (uri == NULL)
        return NULL;
    char *out = uri + sprintf(uri, "file:");
    for (; *path != '\0'; path++) {
        if (strchr("%?#", *path) != NULL)
            out += sprintf(out, "%%%02x", (unsigned)*path);
        else
            *out++ = *path;
    }
    sprintf(out, "%s", immutable ? "?immutable=1" : "");
    return uri;
}

static bool has_wal(const char *path)
{
    char wal[4096];
    struct stat st;
    int n = snprintf(wal, sizeof wal, "%s-wal", path);
    return n > 0 && (size_t)n < sizeof wal && stat(wal, &st) == 0 && st.st_size > 0;
}

enum err schema_probe(const char *path, int *version, struct fault *f)
{
    struct stat st;
    sqlite3 *db = NULL;
    enum err e = ERR_NONE;
    *version = 0;
    if (stat(path, &st) != 0)
        return errno == ENOENT ? ERR_NONE : fault_errno(f, ERR_IO, "cannot look at %.200s", path);
    if (!S_ISREG(st.st_mode))
        return fault_set(f, ERR_IO, "%.200s is not a file", path);
    if (st.st_size == 0)
        return ERR_NONE;
    char *uri = uri_of(path, !has_wal(path));
    if (uri == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    int code =
        sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_EXRESCODE, NULL);
    // What a crashed writer left in the -wal counts, but must stay there until we know the file is ours.
    if (code == SQLITE_OK)
        code = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    e = code == SQLITE_OK ? examine(db, path, version, f) : store_translate(db, code, path, "cannot open", f);
    sqlite3_close(db);
    free(uri);
    return e;
}
