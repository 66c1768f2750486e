// The certificate authority of the HTTPS interface: one folder, `tls` in the state directory, mode 0700.
//
//   ca.crt ca.key          the authority
//   server.crt server.key  what the daemon shows
//   crl.pem                what was revoked
//   issued.pem             every client certificate signed here, oldest first; no keys
//
// Every file is replaced by rename(2), so that a crash leaves the old or the new one.
#ifndef PKI_AUTHORITY_H
#define PKI_AUTHORITY_H

#include "pki/certificate.h"

struct authority;

// A certificate with its private key, in PEM.
struct credential {
    char *certificate, *key;
    struct certificate_holder holder;
};
void credential_clear(struct credential *c);

// A new authority, in memory. `folder` is where authority_install puts it.
MUST_CHECK enum err authority_new(const char *folder, time_t now, unsigned days, struct authority **out,
                                  struct fault *f);
// ERR_NOTFOUND, with what to do, if there is none.
MUST_CHECK enum err authority_open(const char *folder, struct authority **out, struct fault *f);
bool authority_exists(const char *folder);
void authority_free(struct authority *a);

// Makes a key and signs a certificate for it; writes nothing. Not valid for longer than the authority itself.
MUST_CHECK enum err authority_issue(struct authority *a, const struct certificate_wish *wish,
                                    struct credential *out, struct fault *f);
const char *authority_certificate(const struct authority *a); // PEM
const char *authority_key(const struct authority *a);         // PEM; secret

// Puts a new authority with its server's certificate into its folder. What was there before is kept beside
// it under another name.
MUST_CHECK enum err authority_install(struct authority *a, const struct credential *server, time_t now,
                                      struct fault *f);
MUST_CHECK enum err authority_set_server(struct authority *a, const struct credential *server,
                                         struct fault *f);
// Remembers a client certificate; without that it could not be revoked by name.
MUST_CHECK enum err authority_record(struct authority *a, const struct credential *client, struct fault *f);

// Revokes by serial number, or every certificate of a name. *count: how many were not revoked before.
// ERR_NOTFOUND if none was ever issued.
MUST_CHECK enum err authority_revoke(struct authority *a, const char *which, time_t now, unsigned *count,
                                     struct fault *f);

typedef enum err (*authority_each_fn)(const struct certificate_holder *holder, time_t revoked, void *arg,
                                      struct fault *f);
MUST_CHECK enum err authority_each(struct authority *a, authority_each_fn each, void *arg, struct fault *f);

#endif
