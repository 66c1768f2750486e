// The database: opening it, and the moment of commit. One program at a time, one thread in it.
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/audit_chain.h"
#include "store/query.h"
#include "store/schema.h"
#include "store/signer.h"

#define SPACE_NEEDED                                                                                         \
    (8u << 20) // logins are refused before the disk is really full: the WAL needs room to be folded in

// A lock of our own beside the file: SQLite would let a second control plane in and the two would fight over
// the end of the audit chain. flock, because POSIX locks of the same process do not exclude each other.
enum err store_lock(const char *path, int *fd, struct fault *f)
{
    char *name = NULL;
    *fd = -1;
    if (asprintf(&name, "%s.lock", path) < 0)
        return fault_set(f, ERR_MEMORY, "out of memory");
    enum err e = ERR_NONE;
    *fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0)
        e = fault_errno(f, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO, "cannot make %.200s",
                        name);
    else if (flock(*fd, LOCK_EX | LOCK_NB) != 0)
        e = errno == EWOULDBLOCK
                ? fault_set(f, ERR_CONFLICT, "%.200s is in use by another containariumd", path)
                : fault_errno(f, ERR_IO, "cannot lock %.200s", name);
    free(name);
    return e;
}

// See archive_restore.c.
static enum err check_whole(const struct store *s, struct fault *f)
{
    char *name = NULL;
    if (asprintf(&name, "%s" STORE_RESTORING, s->path) < 0)
        return fault_set(f, ERR_MEMORY, "out of memory");
    enum err e =
        access(name, F_OK) != 0
            ? ERR_NONE
            : fault_set(f, ERR_CONFLICT,
                        "a restore of %.200s was cut off half-way: repeat containariumd --restore; what "
                        "was there before is in the newest %.200s.before-*",
                        s->path, s->path);
    free(name);
    return e;
}

// Makes the file 0600 before SQLite sees it; -wal and -shm take over its mode. Closed again before SQLite
// opens it: closing any descriptor of a file drops the POSIX locks the process has on it.
static enum err file_make(const char *path, struct fault *f)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fault_errno(f, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO, "cannot open %.200s",
                           path);
    enum err e = ERR_NONE;
    if (fstat(fd, &st) == 0 && (st.st_mode & 077) != 0 && fchmod(fd, 0600) != 0)
        e = fault_errno(f, ERR_IO, "%.200s is open to others and cannot be made 0600", path);
    close(fd);
    return e;
}

// A new file is only there after a power cut if its folder was synced.
static void sync_folder(const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL)
        return;
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(copy);
}

static enum err configure(struct store *s, struct fault *f)
{
    static const char pragmas[] = "PRAGMA journal_mode = WAL;"
                                  "PRAGMA synchronous = FULL;"
                                  "PRAGMA foreign_keys = ON;"
                                  "PRAGMA cell_size_check = ON;"
                                  "PRAGMA temp_store = MEMORY;"
                                  "PRAGMA cache_size = -8192;"
                                  "PRAGMA journal_size_limit = 16777216;";
    int code = sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_busy_timeout(s->db,
                                    2000); // somebody with the sqlite3 shell; not for long, the loop waits
    if (code == SQLITE_OK)
        code = sqlite3_exec(s->db, pragmas, NULL, NULL, NULL);
    if (code != SQLITE_OK)
        return store_translate(s->db, code, s->path, "cannot open", f);
    struct query q;
    bool row = false;
    enum err e = query_read_once(s, "PRAGMA journal_mode", &q, f);
    if (e == ERR_NONE)
        e = query_step(&q, &row, f);
    if (e == ERR_NONE && strcmp(query_text(&q, 0), "wal") != 0)
        e = fault_set(f, ERR_IO, "%.200s: this file system cannot hold a write-ahead log; use a local one",
                      s->path);
    query_end(&q);
    return e;
}

static enum err open_database(struct store *s, struct fault *f)
{
    int found = 0;
    enum err e = schema_probe(s->path, &found, f);
    if (e == ERR_NONE)
        e = file_make(s->path, f);
    if (e != ERR_NONE)
        return e;
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(s->path, &s->db, flags, NULL);
    if (code != SQLITE_OK)
        return store_translate(s->db, code, s->path, "cannot open", f);
    e = configure(s, f);
    if (e == ERR_NONE)
        e = schema_migrate(s->db, s->path, found, schema_newest(), f);
    if (e == ERR_NONE && found == 0)
        sync_folder(s->path);
    s->found = found;
    s->version = schema_newest();
    return e;
}

// Moves the end of the chain to the last record there is: a mark that names another could not be written
// behind.
static enum err find_end(struct store *s, struct fault *f)
{
    static const char sql[] = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1";
    struct query q;
    bool row = false;
    size_t size = 0;
    enum err e = query_read_once(s, sql, &q, f);
    if (e == ERR_NONE)
        e = query_step(&q, &row, f);
    const void *hash = e == ERR_NONE && row ? query_blob(&q, 1, &size) : NULL;
    if (size == STORE_HASH_SIZE) {
        s->chain.seq = query_int(&q, 0);
        memcpy(s->chain.hash, hash, size);
    }
    query_end(&q);
    return e;
}

// Signs both marks as they stand. What is broken stays broken: the chain itself is not touched.
static enum err sign_marks(struct store *s, struct fault *f)
{
    unsigned char hash[STORE_HASH_SIZE];
    int64_t seq = 0;
    enum err e = audit_read_mark(s, AUDIT_MARK_ANCHOR, false, &seq, hash, f);
    if (e == ERR_NONE)
        e = audit_write_anchor(s, seq, hash, f);
    if (e == ERR_NONE)
        e = audit_read_mark(s, AUDIT_MARK_HEAD, false, &s->chain.seq, s->chain.hash, f);
    if (e == ERR_NONE)
        e = find_end(s, f);
    if (e != ERR_NONE)
        return e;
    s->chain.known = s->chain.moved = true;
    return store_commit(s, f);
}

static enum err check_marks(struct store *s, struct fault *f)
{
    unsigned char hash[STORE_HASH_SIZE];
    int64_t seq = 0;
    enum err e = audit_read_mark(s, AUDIT_MARK_HEAD, true, &seq, hash, f);
    if (e == ERR_NONE)
        e = audit_read_mark(s, AUDIT_MARK_ANCHOR, true, &seq, hash, f);
    if (e == ERR_CONFLICT && f != NULL) {
        struct fault why = *f;
        (void)fault_set(
            f, ERR_CONFLICT,
            "%.200s; it was changed, or its key was replaced: restore a backup of database and key, or run "
            "containariumd --new-audit-key once, which the trail will tell of",
            why.text);
    }
    return e;
}

// Nothing to prove yet: a new database, or one of a version that did not sign. Emptied signatures beside a
// key that exists are neither.
static enum err never_signed(struct store *s, bool have_key, bool *out, struct fault *f)
{
    static const char sql[] =
        "SELECT audit_head.seq FROM audit_head, audit_anchor WHERE audit_head.signature = x''"
        " AND audit_anchor.signature = x''";
    struct query q;
    *out = false;
    enum err e = query_read_once(s, sql, &q, f);
    if (e == ERR_NONE)
        e = query_step(&q, out, f);
    if (e == ERR_NONE && *out)
        *out = !have_key || query_int(&q, 0) == 0;
    query_end(&q);
    return e;
}

static enum err open_signer(struct store *s, bool renew, struct fault *f)
{
    char *name = NULL;
    bool sign = false;
    if (asprintf(&name, "%s.audit-key", s->path) < 0)
        return fault_set(f, ERR_MEMORY, "out of memory");
    enum err e = never_signed(s, access(name, F_OK) == 0, &sign, f);
    sign = sign || renew;
    if (e == ERR_NONE && renew && unlink(name) != 0 && errno != ENOENT)
        e = fault_errno(f, ERR_IO, "cannot remove %.200s", name);
    if (e == ERR_NONE)
        e = signer_open(name, sign, &s->signer, f);
    if (e == ERR_NOTFOUND)
        (void)fault_set(f, ERR_NOTFOUND,
                        "the key that signs the audit trail is missing: restore %.200s from a backup, or run "
                        "containariumd --new-audit-key once, which the trail will tell of",
                        name);
    if (e == ERR_NONE)
        e = sign ? sign_marks(s, f) : check_marks(s, f);
    free(name);
    return e;
}

static enum err open_store(const char *path, bool renew, struct store **out, struct fault *f)
{
    *out = NULL;
    struct store *s = calloc(1, sizeof *s);
    if (s == NULL) {
        (void)fault_set(f, ERR_MEMORY, "out of memory");
        return ERR_MEMORY;
    }
    s->lock_fd = -1;
    s->path = strdup(path);
    s->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    s->digest = EVP_MD_CTX_new();
    enum err e = ERR_NONE;
    if (s->path == NULL || s->sha256 == NULL || s->digest == NULL)
        e = fault_set(f, ERR_MEMORY, "out of memory");
    if (e == ERR_NONE)
        e = store_lock(s->path, &s->lock_fd, f);
    if (e == ERR_NONE)
        e = check_whole(s, f);
    if (e == ERR_NONE)
        e = open_database(s, f);
    if (e == ERR_NONE)
        e = open_signer(s, renew, f);
    if (e == ERR_NONE)
        *out = s;
    else
        store_close(s);
    return e;
}

enum err store_open(const char *path, struct store **out, struct fault *f)
{
    return open_store(path, false, out, f);
}

enum err store_renew_audit_key(const char *path, struct fault *f)
{
    struct store *s = NULL;
    struct audit_record record = {.time = time(NULL), .event = AUDIT_KEY_RENEWED, .actor = "root@host"};
    enum err e = open_store(path, true, &s, f);
    if (s == NULL)
        return e;
    record.target = signer_public(s->signer);
    e = audit_append(s, &record, f);
    if (e == ERR_NONE)
        e = store_commit(s, f);
    store_close(s);
    return e;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    store_rollback(s);
    for (size_t i = 0; i < s->kept_count; i++)
        sqlite3_finalize(s->kept[i].stmt);
    sqlite3_close(s->db);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    signer_free(s->signer);
    EVP_MD_CTX_free(s->digest);
    EVP_MD_free(s->sha256);
    free(s->path);
    free(s);
}

static enum err commit_open_group(struct store *s, struct fault *f)
{
    static const char commit[] = "COMMIT";
    struct query q = {.store = s};
    bool row = false;
    enum err e = audit_seal(s, f);
    if (e == ERR_NONE)
        e = query_read(s, commit, &q, f);
    if (e == ERR_NONE)
        e = query_step(&q, &row, f);
    query_end(&q);
    return e;
}

enum err store_commit(struct store *s, struct fault *f)
{
    struct fault own;
    enum err e = ERR_NONE;
    if (f == NULL)
        f = &own;
    switch (s->group) {
    case GROUP_NONE:
        return ERR_NONE;
    case GROUP_OPEN:
        e = commit_open_group(s, f);
        break;
    case GROUP_BROKEN:
        *f = s->broken;
        e = f->code;
        break;
    }
    if (e != ERR_NONE)
        store_rollback(s);
    s->group = GROUP_NONE;
    return e;
}

void store_rollback(struct store *s)
{
    if (s->db != NULL && !sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    s->group = GROUP_NONE;
    s->chain.known = s->chain.moved = false;
}

bool store_dirty(const struct store *s)
{
    return s->group != GROUP_NONE;
}

enum err store_check_space(struct store *s, struct fault *f)
{
    struct statvfs vfs;
    if (statvfs(s->path, &vfs) != 0)
        return fault_errno(f, ERR_IO, "cannot look at the disk of %.200s", s->path);
    if ((vfs.f_flag & ST_RDONLY) != 0)
        return fault_set(f, ERR_IO, "the file system of %.200s is read-only", s->path);
    if ((uint64_t)vfs.f_bavail * vfs.f_frsize < SPACE_NEEDED)
        return fault_set(f, ERR_FULL, "less than 8 MiB are free on the disk of %.200s; free some space there",
                         s->path);
    return ERR_NONE;
}

int store_schema_version(const struct store *s)
{
    return s->version;
}

const char *store_path(const struct store *s)
{
    return s->path;
}
