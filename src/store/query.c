// One SQL statement: prepare, bind, step, and what SQLite's codes mean to us. A failure that costs SQLite its
// transaction breaks the whole write group, because earlier writers of it were told "ok, wait for the
// commit".
#include "store/query.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static enum err code_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_NOMEM:
        return ERR_MEMORY;
    case SQLITE_CONSTRAINT:
        return ERR_CONFLICT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_UNAVAILABLE;
    case SQLITE_TOOBIG:
        return ERR_INVALID;
    case SQLITE_IOERR:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return ERR_IO;
    default:
        return ERR_FAILED; // a mistake of ours: wrong SQL, misuse
    }
}

static const char *advice(int code)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return "; free some space there";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "; the database is damaged, restore a backup of it";
    case SQLITE_READONLY:
        return "; the file or its file system is read-only";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "; another program holds it locked";
    default:
        return "";
    }
}

enum err store_translate(sqlite3 *db, int code, const char *path, const char *doing, struct fault *f)
{
    int system = db == NULL ? 0 : sqlite3_system_errno(db);
    bool io = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
    const char *what = db == NULL ? sqlite3_errstr(code) : sqlite3_errmsg(db);
    return fault_set(f, code_of(code), "%s %.200s: %.120s%s%s%s", doing, path, what,
                     io && system != 0 ? ": " : "", io && system != 0 ? strerror(system) : "", advice(code));
}

// Whatever was written since the last commit is gone; the next commit has to say so.
static void break_group(struct store *s, const struct fault *f)
{
    if (s->group != GROUP_OPEN)
        return;
    s->group = GROUP_BROKEN;
    s->broken = *f;
    s->chain.known = false;
    if (!sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

enum err store_failed(struct store *s, int code, const char *doing, struct fault *f)
{
    struct fault own;
    if (f == NULL)
        f = &own;
    enum err e = store_translate(s->db, code, s->path, doing, f);
    // A constraint undoes its statement only. The rest (full disk, I/O, memory) may or may not have rolled
    // the transaction back: make it certain.
    if (e != ERR_CONFLICT || sqlite3_get_autocommit(s->db))
        break_group(s, f);
    return e;
}

static enum err prepare(struct query *q, const char *sql, unsigned flags, struct fault *f)
{
    int code = sqlite3_prepare_v3(q->store->db, sql, -1, flags, &q->stmt, NULL);
    if (code != SQLITE_OK)
        return store_failed(q->store, code, "cannot read", f);
    return ERR_NONE;
}

enum err query_read(struct store *s, const char *sql, struct query *q, struct fault *f)
{
    *q = (struct query){.store = s};
    for (size_t i = 0; i < s->kept_count; i++) {
        if (s->kept[i].sql == sql && !s->kept[i].busy) {
            q->kept = &s->kept[i];
            q->kept->busy = true;
            q->stmt = q->kept->stmt;
            return ERR_NONE;
        }
    }
    // A busy one is in use further up the stack (a callback that asks the same again): this call gets its
    // own.
    enum err e = prepare(q, sql, SQLITE_PREPARE_PERSISTENT, f);
    if (e == ERR_NONE && s->kept_count < STORE_STATEMENTS) {
        q->kept = &s->kept[s->kept_count++];
        *q->kept = (struct kept){.sql = sql, .stmt = q->stmt, .busy = true};
    }
    return e;
}

enum err query_read_once(struct store *s, const char *sql, struct query *q, struct fault *f)
{
    *q = (struct query){.store = s};
    return prepare(q, sql, 0, f);
}

static enum err group_open(struct store *s, struct fault *f)
{
    static const char begin[] = "BEGIN IMMEDIATE";
    struct query q;
    bool row = false;
    enum err e = query_read(s, begin, &q, f);
    if (e == ERR_NONE)
        e = query_step(&q, &row, f);
    query_end(&q);
    if (e == ERR_NONE)
        s->group = GROUP_OPEN;
    return e;
}

enum err query_write(struct store *s, const char *sql, struct query *q, struct fault *f)
{
    *q = (struct query){.store = s};
    if (s->group == GROUP_BROKEN) {
        if (f != NULL)
            *f = s->broken;
        return s->broken.code;
    }
    if (s->group == GROUP_NONE) {
        enum err e = group_open(s, f);
        if (e != ERR_NONE)
            return e;
    }
    return query_read(s, sql, q, f);
}

static void bound(struct query *q, int code)
{
    if (code != SQLITE_OK && q->problem == SQLITE_OK)
        q->problem = code;
}

void query_bind_int(struct query *q, int64_t value)
{
    bound(q, sqlite3_bind_int64(q->stmt, ++q->bound, value));
}

void query_bind_text(struct query *q, const char *value)
{
    bound(q, sqlite3_bind_text(q->stmt, ++q->bound, value == NULL ? "" : value, -1, SQLITE_STATIC));
}

void query_bind_blob(struct query *q, const void *value, size_t size)
{
    bound(q, sqlite3_bind_blob64(q->stmt, ++q->bound, value, size, SQLITE_STATIC));
}

void query_bind_null(struct query *q)
{
    bound(q, sqlite3_bind_null(q->stmt, ++q->bound));
}

enum err query_step(struct query *q, bool *row, struct fault *f)
{
    *row = false;
    int code = q->problem;
    if (code == SQLITE_OK)
        code = sqlite3_step(q->stmt);
    if (code == SQLITE_ROW) {
        *row = true;
        return ERR_NONE;
    }
    if (code == SQLITE_DONE)
        return ERR_NONE;
    return store_failed(q->store, code, sqlite3_stmt_readonly(q->stmt) ? "cannot read" : "cannot write", f);
}

enum err query_run(struct query *q, int *changes, struct fault *f)
{
    bool row = true;
    enum err e = ERR_NONE;
    while (e == ERR_NONE && row)
        e = query_step(q, &row, f);
    if (changes != NULL)
        *changes = e == ERR_NONE ? sqlite3_changes(q->store->db) : 0;
    query_end(q);
    return e;
}

void query_end(struct query *q)
{
    if (q->kept != NULL) {
        sqlite3_reset(q->stmt);
        sqlite3_clear_bindings(q->stmt); // no pointer into the caller's memory stays behind
        q->kept->busy = false;
    } else {
        sqlite3_finalize(q->stmt);
    }
    *q = (struct query){.store = q->store};
}

int64_t query_int(const struct query *q, int column)
{
    return sqlite3_column_int64(q->stmt, column);
}

bool query_is_null(const struct query *q, int column)
{
    return sqlite3_column_type(q->stmt, column) == SQLITE_NULL;
}

const char *query_text(const struct query *q, int column)
{
    const unsigned char *text = sqlite3_column_text(q->stmt, column);
    return text == NULL ? "" : (const char *)text;
}

void query_copy(const struct query *q, int column, char *out, size_t out_size)
{
    snprintf(out, out_size, "%s", query_text(q, column));
}

const void *query_blob(const struct query *q, int column, size_t *size)
{
    const void *data = sqlite3_column_blob(q->stmt, column);
    *size = (size_t)sqlite3_column_bytes(q->stmt, column);
    return data;
}
