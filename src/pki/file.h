// For pki/*.c only: whole small files of one folder, replaced by rename(2).
#ifndef PKI_FILE_H
#define PKI_FILE_H

#include "base/fault.h"

#define PKI_PATH_SIZE 640
#define PKI_FILE_NAME_MAX 32
#define PKI_FILE_MAX (8u << 20)

bool pki_path(char path[PKI_PATH_SIZE], const char *folder, const char *name); // false: too long
// malloc'd and NUL-terminated. ERR_NOTFOUND if it is not there.
MUST_CHECK enum err pki_read(const char *folder, const char *name, char **out, size_t *length,
                             struct fault *f);
// Mode 0600; on disk when it returns.
MUST_CHECK enum err pki_write(const char *folder, const char *name, const char *data, size_t length,
                              struct fault *f);

#endif
