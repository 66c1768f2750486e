// A handshake of the listener with itself, so that what libraries set up at their first use (OpenSSL's
// providers, libssh's tables, the dynamic linker's bindings) is hot and shared copy-on-write by every
// connection process. Measured: 1.3-1.5 ms CPU a login against 3-4 ms cold.
#ifndef GATEWAY_SSH_WARM_H
#define GATEWAY_SSH_WARM_H

#include "gateway/ssh_server.h"

// Bounded to about a second. A failure is worth a warning only.
MUST_CHECK enum err ssh_warm(const struct ssh_keys *keys, struct fault *f);

#endif
