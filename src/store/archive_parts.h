// For store/archive*.c and its tests only: what writing, reading and restoring share. The file itself
// (archive_file.c) is bytes and checksums; what they mean is looked at in a scratch folder (archive.c).
#ifndef STORE_ARCHIVE_PARTS_H
#define STORE_ARCHIVE_PARTS_H

#include "store/archive.h"
#include "store/audit.h"
#include "store/scratch.h"

// Writes what is in the folder. Fills made, length and sha256.
MUST_CHECK enum err archive_pack(const struct scratch *from, int fd, const atomic_bool *stop,
                                 struct archive_facts *facts, struct fault *f);
// Reads it into the folder. Ditto.
MUST_CHECK enum err archive_unpack(int fd, const struct scratch *into, const atomic_bool *stop,
                                   struct archive_facts *facts, struct fault *f);

// Opens and checks what is in the folder. `record`, if there is one, is appended to a trail found whole.
MUST_CHECK enum err archive_examine(const struct scratch *in, const atomic_bool *stop,
                                    struct audit_record *record, struct archive_facts *facts,
                                    struct fault *f);

MUST_CHECK enum err archive_stopped(const atomic_bool *stop, struct fault *f); // ERR_UNAVAILABLE if so

#endif
