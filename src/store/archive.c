// Owns the way of a store into a file and back: copied as of one moment, opened before it is believed, put in
// place so that there is never half of it.
#include "store/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/archive_parts.h"
#include "store/audit.h"
#include "store/query.h"
#include "store/scratch.h"

#define STEP_PAGES 1024
#define STEP_ROWS 10000

// ---- looking at what is in the folder

static enum err count(struct store *s, const char *sql, int64_t *out, struct fault *f)
{
    struct query q;
    bool row = false;
    enum err e = query_read_once(s, sql, &q, f);
    if (e == ERR_NONE)
        e = query_step(&q, &row, f);
    if (e == ERR_NONE && row)
        *out = query_int(&q, 0);
    query_end(&q);
    return e;
}

// No row at all is good for foreign_key_check, one row "ok" for integrity_check.
static enum err check(struct store *s, const char *pragma, struct fault *f)
{
    struct query q;
    bool row = false;
    enum err e = query_read_once(s, pragma, &q, f);
    if (e == ERR_NONE)
        e = query_step(&q, &row, f);
    if (e == ERR_NONE && row && strcmp(query_text(&q, 0), "ok") != 0)
        e = fault_set(f, ERR_INVALID, "its database is damaged (%.100s)", query_text(&q, 0));
    query_end(&q);
    return e;
}

static enum err walk(struct store *s, const atomic_bool *stop, int64_t *records, struct fault *f)
{
    struct audit_walk *w = NULL;
    bool done = false;
    enum err e = audit_walk_new(s, &w, f);
    while (e == ERR_NONE && !done) {
        e = audit_walk_step(w, STEP_ROWS, &done, f);
        if (e == ERR_NONE)
            e = archive_stopped(stop, f);
    }
    *records = w == NULL ? 0 : audit_walk_rows(w);
    audit_walk_free(w);
    return e;
}

enum err archive_examine(const struct scratch *in, const atomic_bool *stop, struct audit_record *record,
                         struct archive_facts *facts, struct fault *f)
{
    struct store *s = NULL;
    struct audit_mark_text head;
    enum err e = store_open(in->database, &s, f);
    if (e == ERR_NONE)
        e = check(s, "PRAGMA integrity_check(1)", f);
    if (e == ERR_NONE)
        e = check(s, "PRAGMA foreign_key_check", f);
    if (e == ERR_NONE)
        e = walk(s, stop, &facts->records, f);
    if (e == ERR_NONE)
        e = audit_head(s, &head, f);
    if (e == ERR_NONE)
        e = count(s, "SELECT count(*) FROM accounts", &facts->accounts, f);
    if (e == ERR_NONE)
        e = count(s, "SELECT count(*) FROM keys", &facts->keys, f);
    if (e == ERR_NONE)
        e = count(s, "SELECT count(*) FROM boxes", &facts->boxes, f);
    if (e == ERR_NONE) {
        facts->schema = s->found;
        facts->last = head.seq;
    }
    if (e == ERR_NONE && record != NULL)
        e = audit_append(s, record, f);
    if (e == ERR_NONE && record != NULL)
        e = store_commit(s, f);
    store_close(s);
    if (e == ERR_UNAVAILABLE || e == ERR_FULL || e == ERR_MEMORY)
        return e; // not the backup's fault
    return e == ERR_NONE ? e : fault_prefix(f, "what is in the backup does not hold");
}

// ---- making one

// One read transaction from beginning to end: what is committed meanwhile stays out of the copy, and does not
// make it begin anew.
static enum err begin_reading(sqlite3 *db, const char *path, uint64_t *size, struct fault *f)
{
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_busy_timeout(db, 2000);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(
            db, "SELECT (SELECT page_count FROM pragma_page_count) * page_size FROM pragma_page_size", -1,
            &stmt, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code == SQLITE_ROW)
        *size = (uint64_t)sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return code == SQLITE_ROW ? ERR_NONE : store_translate(db, code, path, "cannot read", f);
}

static enum err copy_pages(sqlite3 *from, const struct scratch *to, const atomic_bool *stop, struct fault *f)
{
    sqlite3 *db = NULL;
    enum err e = ERR_NONE;
    int code = sqlite3_open_v2(
        to->database, &db,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (code == SQLITE_OK) // it is thrown away when anything goes wrong
        code = sqlite3_exec(db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL, NULL);
    sqlite3_backup *backup = code == SQLITE_OK ? sqlite3_backup_init(db, "main", from, "main") : NULL;
    if (code == SQLITE_OK && backup == NULL)
        code = sqlite3_errcode(db);
    while (code == SQLITE_OK && e == ERR_NONE) {
        code = sqlite3_backup_step(backup, STEP_PAGES);
        if (code == SQLITE_OK)
            e = archive_stopped(stop, f);
    }
    int end = sqlite3_backup_finish(backup);
    if (e == ERR_NONE && (code != SQLITE_DONE || end != SQLITE_OK))
        e = store_translate(db, code == SQLITE_DONE ? end : code, to->database, "cannot copy the database to",
                            f);
    sqlite3_close(db);
    return e;
}

static enum err copy_database(const char *path, const struct scratch *to, const atomic_bool *stop,
                              struct fault *f)
{
    sqlite3 *db = NULL;
    uint64_t size = 0;
    int code = sqlite3_open_v2(
        path, &db,
        SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE, NULL);
    enum err e = code == SQLITE_OK ? begin_reading(db, path, &size, f)
                                   : store_translate(db, code, path, "cannot open", f);
    if (e == ERR_NONE)
        e = scratch_room(to, size, f);
    if (e == ERR_NONE)
        e = copy_pages(db, to, stop, f);
    sqlite3_close(db);
    return e;
}

static enum err copy_key(const char *path, const struct scratch *to, struct fault *f)
{
    char name[ARCHIVE_PATH], text[4096];
    snprintf(name, sizeof name, "%s.audit-key", path);
    int from = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = from < 0 ? -1 : read(from, text, sizeof text);
    if (from >= 0)
        close(from);
    if (n < 0)
        return fault_errno(f, ERR_IO, "cannot read %.200s", name);
    int fd = open(to->key, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum err e = fd >= 0 && write(fd, text, (size_t)n) == n
                     ? ERR_NONE
                     : fault_errno(f, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO,
                                   "cannot write %.200s", to->key);
    if (fd >= 0)
        close(fd);
    return e;
}

enum err archive_write(const char *path, int fd, const atomic_bool *stop, struct archive_facts *out,
                       struct fault *f)
{
    struct scratch scratch;
    *out = (struct archive_facts){.schema = 0};
    enum err e = scratch_open(path, &scratch, f);
    if (e != ERR_NONE)
        return e;
    e = copy_database(path, &scratch, stop, f);
    if (e == ERR_NONE)
        e = copy_key(path, &scratch, f);
    if (e == ERR_NONE)
        e = archive_examine(&scratch, stop, NULL, out, f);
    if (e == ERR_NONE)
        e = archive_pack(&scratch, fd, stop, out, f);
    scratch_close(&scratch);
    return e;
}

// ---- reading one

enum err archive_verify(int fd, const char *path, const atomic_bool *stop, struct archive_facts *out,
                        struct fault *f)
{
    struct scratch scratch;
    *out = (struct archive_facts){.schema = 0};
    enum err e = scratch_open(path, &scratch, f);
    if (e != ERR_NONE)
        return e;
    e = archive_unpack(fd, &scratch, stop, out, f);
    if (e == ERR_NONE)
        e = archive_examine(&scratch, stop, NULL, out, f);
    scratch_close(&scratch);
    return e;
}
