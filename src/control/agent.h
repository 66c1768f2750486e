// The key a box knows the gateway by, and an ssh-agent (draft-ietf-sshm-ssh-agent) that signs with it for
// that box only. The key itself never leaves this process.
#ifndef CONTROL_AGENT_H
#define CONTROL_AGENT_H

#include <event2/event.h>

#include "store/box.h"

// "ssh-ed25519 AAAA... containarium-gateway" for a seed. out: 256 bytes are enough.
MUST_CHECK enum err agent_public_line(const unsigned char seed[BOX_SEED_SIZE], char *out, size_t out_size,
                                      struct fault *f);

// Fills seed with random bytes.
MUST_CHECK enum err agent_new_seed(unsigned char seed[BOX_SEED_SIZE], struct fault *f);

// Serves the agent protocol on fd (a stream socket, becomes ours) until its other end closes. It knows one
// identity, and signs nothing but an SSH user authentication request (RFC 4252 section 7) for `user` with
// that key, at most AGENT_SIGNATURES_MAX times. A request that names the host it is for
// (publickey-hostbound-v00@openssh.com, OpenSSH PROTOCOL) is signed only if that host key is among
// `hostkeys`, the box's pinned "TYPE BASE64\n" lines. Frees itself.
#define AGENT_SIGNATURES_MAX 4
#define AGENT_REQUESTS_MAX 1024 // of any kind, then it closes: answers nobody reads must not pile up
MUST_CHECK enum err agent_serve(struct event_base *base, int fd, const unsigned char seed[BOX_SEED_SIZE],
                                const char *user, const char *hostkeys, struct fault *f);

#endif
