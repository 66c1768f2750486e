// For store/archive*.c and its tests only: one member's header in a tar file (POSIX.1-2017, pax: ustar
// interchange format). Only what is needed for a few regular files, so that anybody's tar reads them.
#ifndef STORE_TAR_H
#define STORE_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define TAR_BLOCK 512u

struct tar_member {
    char name[101];
    uint64_t size;
    time_t made;
};

void tar_write(const struct tar_member *member, unsigned char out[TAR_BLOCK]);
// False: this is not the header of a regular file, or its checksum does not fit.
bool tar_parse(const unsigned char block[TAR_BLOCK], struct tar_member *out);
// Bytes between the member's end and the next header.
size_t tar_padding(uint64_t size);

#endif
