// For store/*.c only: the database handle and one SQL statement being run. Statements are prepared once and
// kept.
#ifndef STORE_QUERY_H
#define STORE_QUERY_H

#include <stdint.h>

#include <openssl/evp.h>
#include <sqlite3.h>

#include "store/store.h"

#define STORE_STATEMENTS 64 // more different statements than this are simply not kept
#define STORE_HASH_SIZE 32

// The end of the audit trail, so that appending needs no look-up. See audit.c.
struct audit_chain {
    bool known; // false: read it from the table first
    bool moved; // the table audit_head is behind
    int64_t seq;
    unsigned char hash[STORE_HASH_SIZE];
};

enum write_group {
    GROUP_NONE,   // nothing written since the last commit
    GROUP_OPEN,   // in a transaction
    GROUP_BROKEN, // the transaction is gone; commit must say so to those whose writes went with it
};

struct store {
    sqlite3 *db;
    char *path;
    int lock_fd;
    int version, found; // found: when it was opened, before migrations
    enum write_group group;
    struct fault broken;
    struct audit_chain chain;
    struct signer *signer; // of the audit trail
    EVP_MD *sha256;
    EVP_MD_CTX *digest;
    struct kept {
        const char *sql; // compared by pointer: every statement is one string constant
        sqlite3_stmt *stmt;
        bool busy;
    } kept[STORE_STATEMENTS];
    size_t kept_count;
};

struct query {
    struct store *store;
    sqlite3_stmt *stmt;
    struct kept *kept; // NULL: finalized by query_end
    int bound;
    int problem; // first SQLite code of a failed bind; reported by the first step
};

// Both leave q so that query_end is safe, also on error. A write opens the group's transaction first.
MUST_CHECK enum err query_read(struct store *s, const char *sql, struct query *q, struct fault *f);
MUST_CHECK enum err query_write(struct store *s, const char *sql, struct query *q, struct fault *f);
// For SQL that is put together at run time: prepared anew, not kept.
MUST_CHECK enum err query_read_once(struct store *s, const char *sql, struct query *q, struct fault *f);

// Parameters in order. Text is NULL-safe (NULL is stored as "") and must live until query_end.
void query_bind_int(struct query *q, int64_t value);
void query_bind_text(struct query *q, const char *value);
void query_bind_blob(struct query *q, const void *value, size_t size);
void query_bind_null(struct query *q);

// Next row. ERR_NONE with *row false at the end.
MUST_CHECK enum err query_step(struct query *q, bool *row, struct fault *f);
// Runs a write to its end and ends the query, on error too. *changes (may be NULL): rows it touched.
MUST_CHECK enum err query_run(struct query *q, int *changes, struct fault *f);
void query_end(struct query *q);

int64_t query_int(const struct query *q, int column);
bool query_is_null(const struct query *q, int column);
const char *query_text(const struct query *q, int column); // never NULL; valid until the next step
void query_copy(const struct query *q, int column, char *out, size_t out_size);
const void *query_blob(const struct query *q, int column, size_t *size);

// Fills the fault for a failed call on s->db; what was being done goes in front. ERR_FULL, ERR_IO, ...
enum err store_failed(struct store *s, int code, const char *doing, struct fault *f);
// Same without a store, for use while opening.
enum err store_translate(sqlite3 *db, int code, const char *path, const char *doing, struct fault *f);

// PATH.lock, held as long as the descriptor is open. *fd may be open on error too.
MUST_CHECK enum err store_lock(const char *path, int *fd, struct fault *f);
#define STORE_RESTORING ".restoring" // behind the path: a restore has begun and not ended

// Writes the chain's end into its table; part of every commit. In audit.c.
MUST_CHECK enum err audit_seal(struct store *s, struct fault *f);

#endif
