// The store in one file, to be kept elsewhere: database and audit key as they were at one moment, with their
// SHA-256. A tar file, so that somebody without this program gets at what is in it.
//
// All of it takes as long as the database is large and uses connections of its own: it may run on a thread of
// its own while the store is in use. `stop` (may be NULL) ends it early, with ERR_UNAVAILABLE.
#ifndef STORE_ARCHIVE_H
#define STORE_ARCHIVE_H

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "base/fault.h"

struct archive_facts {
    time_t made;
    int schema;
    int64_t accounts, keys, boxes;
    int64_t records, last; // of the audit trail: how many, and the newest one's number
    uint64_t length;       // of the file
    char sha256[65];       // ditto
};

// Copies what is committed in the store at `path` into `fd`, an empty file. The copy is checked like one that
// is read (below) before a byte of it is written. Needs as much room beside `path` as the database has.
MUST_CHECK enum err archive_write(const char *path, int fd, const atomic_bool *stop,
                                  struct archive_facts *out, struct fault *f);

// Reads all of `fd` and opens what is in it: checksums, schema, every page and reference, the audit trail
// from end to end with its signatures. ERR_INVALID: it is no such file, cut off or damaged; ERR_IO: so is the
// database in it; ERR_CONFLICT: the trail does not hold, or a newer program wrote it.
MUST_CHECK enum err archive_verify(int fd, const char *path, const atomic_bool *stop,
                                   struct archive_facts *out, struct fault *f);

// Verifies, then puts database and key at `path`; nobody may have it open (ERR_CONFLICT). What was there is
// kept in the folder that is named in `aside` ("" if there was nothing). Until it is whole again, the store
// does not open; after a crash, do it again. The trail tells of it.
#define ARCHIVE_PATH 640
MUST_CHECK enum err archive_restore(int fd, const char *path, char aside[ARCHIVE_PATH],
                                    struct archive_facts *out, struct fault *f);

#endif
