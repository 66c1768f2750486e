// authorized_keys of a box: our block of managed keys inside a file that belongs to its user. Pure.
#ifndef PROVISION_AUTHKEYS_H
#define PROVISION_AUTHKEYS_H

#include <stddef.h>

#define AUTHKEYS_BEGIN "# containarium: managed keys, changes between these lines are overwritten"
#define AUTHKEYS_END "# containarium: end"

// `old` (length bytes, any bytes) with what stands between our two lines replaced by `keys` (lines; the last
// may lack its newline); without such lines the block is appended. Lines outside the block are kept byte for
// byte. A block whose end line is gone ends before the first blank line or comment: we write neither inside
// it. Further blocks are removed. Returns a malloc'd text, NULL when out of memory.
char *authkeys_merge(const char *old, size_t length, const char *keys, size_t *out_length);

#endif
