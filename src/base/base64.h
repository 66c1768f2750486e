// Strict base64 (RFC 4648 section 4): padded, no blanks, unused bits zero.
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

// out needs (size + 2) / 3 * 4 + 1 bytes.
void base64_encode(const unsigned char *data, size_t size, char *out);

// out needs length / 4 * 3 bytes. False unless text is what base64_encode writes.
bool base64_decode(const char *text, size_t length, unsigned char *out, size_t *size);

// The same into memory of their own: malloc'd, NUL-terminated. NULL when out of memory, or not base64.
char *base64_text(const void *data, size_t size);
char *base64_bytes(const char *text, size_t length, size_t *size);

#endif
