// Owns the files and what OpenSSL made of them.
#include "control/tls_context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/log.h"
#include "pki/certificate.h"

#define PATH_SIZE (CONFIG_TEXT + 32)
#define SOON (30 * 86400) // a certificate that ends within is warned about

enum { FILE_CERTIFICATE, FILE_KEY, FILE_CA, FILE_CRL, FILE_COUNT };

struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct tls_context {
    char paths[FILE_COUNT][PATH_SIZE]; // the CRL's may be ""
    struct stamp stamps[FILE_COUNT];
    SSL_CTX *ssl;
};

void tls_folder(const struct config *config, char *out)
{
    snprintf(out, CONFIG_TEXT + 8, "%s/tls", config->state_dir);
}

static void choose(char *out, const char *said, const char *folder, const char *name)
{
    if (said[0] != '\0')
        snprintf(out, PATH_SIZE, "%s", said);
    else
        snprintf(out, PATH_SIZE, "%s/%s", folder, name);
}

// Our own authority always has a list of revoked certificates; somebody else's only if one is named.
static void choose_paths(struct tls_context *t, const struct config *config)
{
    char folder[CONFIG_TEXT + 8];
    tls_folder(config, folder);
    choose(t->paths[FILE_CERTIFICATE], config->tls_certificate, folder, "server.crt");
    choose(t->paths[FILE_KEY], config->tls_key, folder, "server.key");
    choose(t->paths[FILE_CA], config->tls_client_ca, folder, "ca.crt");
    if (config->tls_crl[0] != '\0' || config->tls_client_ca[0] == '\0')
        choose(t->paths[FILE_CRL], config->tls_crl, folder, "crl.pem");
}

static bool stamp_of(const char *path, struct stamp *out)
{
    struct stat st;
    memset(out, 0, sizeof *out);
    if (path[0] == '\0')
        return true;
    if (stat(path, &st) != 0)
        return false;
    out->device = st.st_dev;
    out->inode = st.st_ino;
    out->size = st.st_size;
    out->changed = st.st_mtim;
    return true;
}

bool tls_context_stale(const struct tls_context *t)
{
    for (size_t i = 0; i < FILE_COUNT; i++) {
        struct stamp now;
        if (stamp_of(t->paths[i], &now) && memcmp(&now, &t->stamps[i], sizeof now) != 0)
            return true;
    }
    return false;
}

static enum err stamp_all(struct tls_context *t, struct fault *f)
{
    for (size_t i = 0; i < FILE_COUNT; i++) {
        if (!stamp_of(t->paths[i], &t->stamps[i]))
            return fault_errno(f, ERR_NOTFOUND, "%s", t->paths[i]);
    }
    return ERR_NONE;
}

static enum err load_files(struct tls_context *t, struct fault *f)
{
    char what[PATH_SIZE + 32];
    const char *wrong = NULL;
    X509_STORE *store = SSL_CTX_get_cert_store(t->ssl);
    STACK_OF(X509_NAME) *names = NULL;
    if (SSL_CTX_use_certificate_chain_file(t->ssl, t->paths[FILE_CERTIFICATE]) != 1)
        wrong = t->paths[FILE_CERTIFICATE];
    else if (SSL_CTX_use_PrivateKey_file(t->ssl, t->paths[FILE_KEY], SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(t->ssl) != 1)
        wrong = t->paths[FILE_KEY];
    else if (X509_STORE_load_file(store, t->paths[FILE_CA]) != 1 ||
             (names = SSL_load_client_CA_file(t->paths[FILE_CA])) == NULL)
        wrong = t->paths[FILE_CA];
    else if (t->paths[FILE_CRL][0] != '\0' && X509_STORE_load_file(store, t->paths[FILE_CRL]) != 1)
        wrong = t->paths[FILE_CRL];
    if (wrong != NULL) {
        snprintf(what, sizeof what, "cannot use %s", wrong);
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return certificate_fault(f, what);
    }
    if (t->paths[FILE_CRL][0] != '\0')
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    SSL_CTX_set_client_CA_list(t->ssl, names);
    return ERR_NONE;
}

// TLS 1.2 with forward secrecy and AEAD, or 1.3. No resumption of any kind: every connection shows its
// certificate, so that a revocation counts for the next one. No renegotiation (RFC 5246 section 7.2.2 lets a
// client ask for it as often as it likes).
static bool set_rules(SSL_CTX *ssl)
{
    static const unsigned char id[] = "containarium";
    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_verify_depth(ssl, 4);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ssl, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
           SSL_CTX_set_num_tickets(ssl, 0) == 1 &&
           SSL_CTX_set_session_id_context(ssl, id, sizeof id - 1) == 1;
}

static void warn_if_ending(const struct tls_context *t)
{
    const X509 *own = SSL_CTX_get0_certificate(t->ssl);
    time_t soon = time(NULL) + SOON;
    if (own != NULL && X509_cmp_time(X509_get0_notAfter(own), &soon) < 0)
        log_event(LOG_LEVEL_WARN, "tls_certificate_ends", "file=%s advice=%s",
                  log_quote(t->paths[FILE_CERTIFICATE]),
                  log_quote("containarium cert server --server-ip ADDRESS"));
}

enum err tls_context_load(const struct config *config, struct tls_context **out, struct fault *f)
{
    struct tls_context *t = calloc(1, sizeof *t);
    *out = NULL;
    if (t == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    choose_paths(t, config);
    enum err e = stamp_all(t, f);
    if (e == ERR_NONE) {
        t->ssl = SSL_CTX_new(TLS_server_method());
        if (t->ssl == NULL || !set_rules(t->ssl))
            e = certificate_fault(f, "cannot set up TLS");
    }
    if (e == ERR_NONE)
        e = load_files(t, f);
    if (e != ERR_NONE) {
        tls_context_free(t);
        return e;
    }
    warn_if_ending(t);
    *out = t;
    return ERR_NONE;
}

void tls_context_free(struct tls_context *t)
{
    if (t == NULL)
        return;
    SSL_CTX_free(t->ssl);
    free(t);
}

SSL_CTX *tls_context_ssl(const struct tls_context *t)
{
    return t->ssl;
}

enum err tls_context_check(const struct tls_context *t, X509 *certificate, STACK_OF(X509) * chain,
                           struct fault *f)
{
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    enum err e = ERR_NONE;
    if (context == NULL ||
        X509_STORE_CTX_init(context, SSL_CTX_get_cert_store(t->ssl), certificate, chain) != 1 ||
        X509_STORE_CTX_set_default(context, "ssl_client") != 1)
        e = certificate_fault(f, "cannot check a certificate");
    else if (X509_verify_cert(context) != 1)
        e = fault_set(f, ERR_DENIED, "the certificate does not count: %s",
                      X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
    ERR_clear_error();
    X509_STORE_CTX_free(context);
    return e;
}
