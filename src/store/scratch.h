// For store/archive*.c and its tests only: a folder beside a database, for a second one that is being made or
// looked at. One user at a time; what a crash left in it is removed by the next.
#ifndef STORE_SCRATCH_H
#define STORE_SCRATCH_H

#include <stdint.h>

#include "base/fault.h"

struct scratch {
    char folder[512];
    char database[560], key[560];
    int fd; // of the folder, locked
};

// PATH.scratch. ERR_CONFLICT if somebody else uses it.
MUST_CHECK enum err scratch_open(const char *path, struct scratch *out, struct fault *f);
// Is there room for so many bytes, and some left for the store itself? ERR_FULL if not.
MUST_CHECK enum err scratch_room(const struct scratch *s, uint64_t bytes, struct fault *f);
void scratch_close(struct scratch *s); // with all that is in it

#endif
