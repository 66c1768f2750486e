// The store: one SQLite database (WAL, synchronous=FULL), opened once, used from one thread.
//
// Writes are grouped: the first write after a commit opens a transaction, store_commit() ends it. The control
// plane's loop commits once an iteration and answers its clients only after that, so a hundred logins that
// arrive together cost one fsync. Nobody outside this folder sees SQL.
//
// A write that is refused (ERR_CONFLICT, ERR_NOTFOUND) leaves the others of its group alone. One that fails
// (ERR_FULL, ERR_IO, ERR_MEMORY) takes the whole group with it: later writes of the group fail alike, and
// store_commit tells everybody. The next group starts afresh.
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdint.h>

#include "base/fault.h"

struct store;

// Opens or creates `path` (mode 0600), applies the numbered migrations in one transaction each, checks
// integrity of the schema. A database newer than this program or not ours ("application_id") is refused with
// ERR_CONFLICT and left byte for byte as it was; a damaged one with ERR_IO, untouched as well. A schema
// changed by hand (an index dropped, a trigger added) counts as damaged. One that another process has open is
// refused with ERR_CONFLICT (flock on PATH.lock). *out is NULL on error.
MUST_CHECK enum err store_open(const char *path, struct store **out, struct fault *f);
// The key that signs the audit trail is the file PATH.audit-key, made with a new database; ERR_NOTFOUND if it
// is missing beside one that was signed.
void store_close(struct store *s); // NULL is fine; commits nothing: uncommitted writes roll back

// Ends the open write group, if any. On error (full disk, I/O) everything written since the last commit is
// rolled back, the error is ERR_FULL or ERR_IO, and the caller must treat every write of the group as not
// done.
MUST_CHECK enum err store_commit(struct store *s, struct fault *f);
void store_rollback(struct store *s);
bool store_dirty(const struct store *s); // true if there is something to commit

// Reserves nothing, writes nothing: answers whether a write could succeed now (free space >= 8 MiB, not
// read-only).
MUST_CHECK enum err store_check_space(struct store *s, struct fault *f);

// Makes a new key for the audit trail in the place of one that was lost or given away, signs the trail as it
// stands, and says so in it.
MUST_CHECK enum err store_renew_audit_key(const char *path, struct fault *f);

int store_schema_version(const struct store *s);
const char *store_path(const struct store *s); // as it was opened

#endif
