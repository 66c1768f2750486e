// X.509 certificates of the HTTPS interface: EC P-256, made and read with OpenSSL's own functions. What a
// certificate says about its holder stands in its subject: CN is a name, OU a role, and UID, where it is
// there, the number of the account it acts for. Nothing but the subject is looked at, and nothing in it
// gives more than the role user unless OU says so in the table's own words.
#ifndef PKI_CERTIFICATE_H
#define PKI_CERTIFICATE_H

#include <stdint.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "policy/authz.h"

#define CERTIFICATE_NAME_SIZE 65   // X.520 ub-common-name is 64
#define CERTIFICATE_SERIAL_SIZE 41 // RFC 5280 section 4.1.2.2: at most 20 bytes, in hex
#define CERTIFICATE_HOSTS_MAX 32

enum certificate_kind { CERTIFICATE_CA, CERTIFICATE_SERVER, CERTIFICATE_CLIENT };

struct certificate_wish {
    enum certificate_kind kind;
    const char *name;         // CN
    enum role role;           // clients
    int64_t account_id;       // clients; 0 = acts for no account
    const char *const *hosts; // servers: IP addresses and host names they are reached by
    size_t host_count;
    time_t from, until;
};

struct certificate_holder {
    char name[CERTIFICATE_NAME_SIZE]; // printable
    enum role role;
    int64_t account_id; // 0 = none
    char serial[CERTIFICATE_SERIAL_SIZE];
    time_t from, until;
};

// Letters, digits and - _ . @, at most 64 of them: what may stand in a CN of ours.
MUST_CHECK enum err certificate_check_name(const char *name, struct fault *f);
// An IP address or a host name (a leading "*." is allowed).
MUST_CHECK enum err certificate_check_host(const char *host, struct fault *f);

MUST_CHECK enum err certificate_key_make(EVP_PKEY **out, struct fault *f);
// Signed by ca with ca_key; a CERTIFICATE_CA has NULL for ca and signs itself with ca_key.
MUST_CHECK enum err certificate_make(const struct certificate_wish *wish, EVP_PKEY *key, X509 *ca,
                                     EVP_PKEY *ca_key, X509 **out, struct fault *f);

// Who a certificate says its holder is. ERR_INVALID without a usable CN, or with an UID that is no account
// number: such a holder is nobody.
MUST_CHECK enum err certificate_holder(const X509 *certificate, struct certificate_holder *out,
                                       struct fault *f);

// PEM text, malloc'd; NULL when out of memory. certificate_key_pem_free forgets it before it frees it.
char *certificate_pem(X509 *certificate);
char *certificate_key_pem(EVP_PKEY *key);
void certificate_key_pem_free(char *pem);

// What OpenSSL says went wrong, behind `what`; empties its queue of errors.
enum err certificate_fault(struct fault *f, const char *what);

#endif
