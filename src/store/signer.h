// The key that signs the marks of the audit trail: Ed25519, in a file of its own beside the database. Whoever
// can write the database but not read this file cannot make a trail that verifies.
#ifndef STORE_SIGNER_H
#define STORE_SIGNER_H

#include "base/fault.h"

#define SIGNATURE_SIZE 64

struct signer;

// Reads the key at `path` (PEM). ERR_NOTFOUND if there is none; with `make`, one is made (mode 0600).
MUST_CHECK enum err signer_open(const char *path, bool make, struct signer **out, struct fault *f);
void signer_free(struct signer *s); // NULL is fine

MUST_CHECK enum err signer_sign(const struct signer *s, const void *data, size_t length,
                                unsigned char out[SIGNATURE_SIZE], struct fault *f);
bool signer_verify(const struct signer *s, const void *data, size_t length, const void *signature,
                   size_t size);
const char *signer_public(const struct signer *s); // the public key, 64 hex digits

#endif
