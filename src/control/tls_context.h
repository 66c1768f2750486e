// Which certificates count: the daemon's own certificate and key, the authority that signs clients, and the
// list of those revoked. Read from files; a set of files that does not fit together leaves the last one that
// did in force.
#ifndef CONTROL_TLS_CONTEXT_H
#define CONTROL_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "base/config.h"
#include "base/fault.h"

struct tls_context;

// The folder of our own authority (pki/authority.h). out needs CONFIG_TEXT + 8 bytes.
void tls_folder(const struct config *config, char *out);

MUST_CHECK enum err tls_context_load(const struct config *config, struct tls_context **out, struct fault *f);
void tls_context_free(struct tls_context *t); // connections made with it go on
SSL_CTX *tls_context_ssl(const struct tls_context *t);
// Have the files changed since?
bool tls_context_stale(const struct tls_context *t);

// Does this client certificate (still) count? ERR_DENIED with OpenSSL's reason if not.
MUST_CHECK enum err tls_context_check(const struct tls_context *t, X509 *certificate, STACK_OF(X509) * chain,
                                      struct fault *f);

#endif
