// Waits until an SSH server answers. Plain sockets, for job threads; knows nothing of Incus.
#ifndef PROVISION_SSHD_H
#define PROVISION_SSHD_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/fault.h"

// Tries to connect to host:port again and again until the other side says "SSH-", `deadline` (monotonic_ms())
// has passed (ERR_TIMEOUT, with the last reason) or *stop is true (ERR_UNAVAILABLE).
MUST_CHECK enum err sshd_wait(const char *host, uint16_t port, uint64_t deadline, const atomic_bool *stop,
                              struct fault *f);

#endif
