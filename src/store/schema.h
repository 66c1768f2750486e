// For store/*.c and its tests only: the numbered migrations, and whether a database is one of ours.
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include <sqlite3.h>

#include "base/fault.h"

#define SCHEMA_APPLICATION_ID 0x43746e6d // "Ctnm"

int schema_newest(void); // the version this program works with

// Looks at the database without changing a byte of it. *version: 0 if it is absent or empty. ERR_CONFLICT if
// it is newer or not ours, ERR_IO if it is damaged or cannot be read.
MUST_CHECK enum err schema_probe(const char *path, int *version, struct fault *f);

// Applies the migrations after `from` up to `to`, each in a transaction of its own.
MUST_CHECK enum err schema_migrate(sqlite3 *db, const char *path, int from, int to, struct fault *f);

#endif
