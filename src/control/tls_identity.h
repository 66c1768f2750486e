// Who the holder of a certificate is to the command table, and what is written down about those who are
// nobody.
#ifndef CONTROL_TLS_IDENTITY_H
#define CONTROL_TLS_IDENTITY_H

#include "control/admin_socket.h"
#include "pki/certificate.h"

// "203.0.113.7:50122" of a connected socket.
void tls_identity_address(int fd, char *out, size_t size);

// Fills in all of *out but the address. ERR_DENIED if the holder's account is gone.
MUST_CHECK enum err tls_identity_of(struct control *c, const struct certificate_holder *holder,
                                    struct identity *out, struct fault *f);

// A handshake failed because of a certificate; `error` is X509_V_ERR_... One that was signed for us is
// somebody's, and goes into the audit trail; what strangers send is only logged.
bool tls_identity_was_ours(int error);
void tls_identity_refused(struct control *c, X509 *certificate, int error, int fd);

#endif
