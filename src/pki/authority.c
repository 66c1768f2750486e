// Owns the folder.
#include "pki/authority.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "pki/file.h"

#define DAY 86400
#define AUTHORITY_NAME "containarium authority"

struct authority {
    char folder[PKI_PATH_SIZE];
    X509 *certificate;
    EVP_PKEY *key;
    char *certificate_pem, *key_pem;
};

void credential_clear(struct credential *c)
{
    free(c->certificate);
    certificate_key_pem_free(c->key);
    *c = (struct credential){.certificate = NULL};
}

void authority_free(struct authority *a)
{
    if (a == NULL)
        return;
    X509_free(a->certificate);
    EVP_PKEY_free(a->key);
    free(a->certificate_pem);
    certificate_key_pem_free(a->key_pem);
    free(a);
}

const char *authority_certificate(const struct authority *a)
{
    return a->certificate_pem;
}

const char *authority_key(const struct authority *a)
{
    return a->key_pem;
}

bool authority_exists(const char *folder)
{
    char path[PKI_PATH_SIZE];
    struct stat st;
    return pki_path(path, folder, "ca.key") && stat(path, &st) == 0;
}

// NULL: the folder's name is too long, or no memory.
static struct authority *authority_alloc(const char *folder)
{
    struct authority *a = strlen(folder) < PKI_PATH_SIZE - PKI_FILE_NAME_MAX ? calloc(1, sizeof *a) : NULL;
    if (a != NULL)
        snprintf(a->folder, sizeof a->folder, "%s", folder);
    return a;
}

enum err authority_new(const char *folder, time_t now, unsigned days, struct authority **out, struct fault *f)
{
    struct authority *a = authority_alloc(folder);
    // An hour back: a laptop's clock may be behind, and it must accept what we show.
    struct certificate_wish wish = {.kind = CERTIFICATE_CA,
                                    .name = AUTHORITY_NAME,
                                    .from = now - 3600,
                                    .until = now + (time_t)days * DAY};
    *out = NULL;
    if (a == NULL)
        return fault_set(f, ERR_MEMORY, "no memory for a certificate authority");
    enum err e = certificate_key_make(&a->key, f);
    if (e == ERR_NONE)
        e = certificate_make(&wish, a->key, NULL, a->key, &a->certificate, f);
    if (e == ERR_NONE) {
        a->certificate_pem = certificate_pem(a->certificate);
        a->key_pem = certificate_key_pem(a->key);
        if (a->certificate_pem == NULL || a->key_pem == NULL)
            e = fault_set(f, ERR_MEMORY, "out of memory");
    }
    if (e != ERR_NONE) {
        authority_free(a);
        return e;
    }
    *out = a;
    return ERR_NONE;
}

static enum err load(struct authority *a, struct fault *f)
{
    size_t length = 0;
    enum err e = pki_read(a->folder, "ca.crt", &a->certificate_pem, &length, f);
    if (e == ERR_NONE)
        e = pki_read(a->folder, "ca.key", &a->key_pem, &length, f);
    if (e != ERR_NONE)
        return e;
    BIO *certificate = BIO_new_mem_buf(a->certificate_pem, -1), *key = BIO_new_mem_buf(a->key_pem, -1);
    if (certificate != NULL && key != NULL) {
        a->certificate = PEM_read_bio_X509(certificate, NULL, NULL, NULL);
        a->key = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
    }
    BIO_free(certificate);
    BIO_free(key);
    if (a->certificate == NULL || a->key == NULL)
        return certificate_fault(f, "cannot read the authority's certificate and key");
    if (X509_check_private_key(a->certificate, a->key) != 1)
        return certificate_fault(f, "ca.crt and ca.key do not belong together");
    return ERR_NONE;
}

enum err authority_open(const char *folder, struct authority **out, struct fault *f)
{
    struct authority *a = authority_alloc(folder);
    *out = NULL;
    if (a == NULL)
        return fault_set(f, ERR_MEMORY, "no memory for a certificate authority");
    enum err e = load(a, f);
    if (e == ERR_NOTFOUND)
        (void)fault_set(f, ERR_NOTFOUND,
                        "there is no certificate authority here yet; make one: cert generate --server-ip "
                        "ADDRESS --output-dir DIR");
    if (e != ERR_NONE) {
        authority_free(a);
        return e;
    }
    *out = a;
    return ERR_NONE;
}

static time_t end_of(const X509 *x)
{
    struct tm tm;
    return ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1 ? timegm(&tm) : 0;
}

enum err authority_issue(struct authority *a, const struct certificate_wish *wish, struct credential *out,
                         struct fault *f)
{
    EVP_PKEY *key = NULL;
    X509 *x = NULL;
    struct certificate_wish bounded = *wish;
    *out = (struct credential){.certificate = NULL};
    if (bounded.until > end_of(a->certificate))
        bounded.until = end_of(a->certificate);
    if (bounded.until <= bounded.from)
        return fault_set(f, ERR_CONFLICT,
                         "the certificate authority has expired; make a new one: cert generate --force");
    enum err e = certificate_key_make(&key, f);
    if (e == ERR_NONE)
        e = certificate_make(&bounded, key, a->certificate, a->key, &x, f);
    if (e == ERR_NONE)
        e = certificate_holder(x, &out->holder, f);
    if (e == ERR_NONE) {
        out->certificate = certificate_pem(x);
        out->key = certificate_key_pem(key);
        if (out->certificate == NULL || out->key == NULL)
            e = fault_set(f, ERR_MEMORY, "out of memory");
    }
    if (e != ERR_NONE)
        credential_clear(out);
    X509_free(x);
    EVP_PKEY_free(key);
    return e;
}

// ---- the list of what was revoked

static X509_CRL *crl_new(struct authority *a)
{
    X509_CRL *crl = X509_CRL_new();
    bool ok = crl != NULL && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
              X509_CRL_set_issuer_name(crl, X509_get_subject_name(a->certificate)) == 1;
    if (ok)
        return crl;
    X509_CRL_free(crl);
    return NULL;
}

// Valid as long as the authority: the daemon reads it from its own disk, nobody waits for a newer one.
static char *crl_sign(struct authority *a, X509_CRL *crl, time_t now)
{
    ASN1_TIME *from = ASN1_TIME_set(NULL, now - 3600);
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL, *text = NULL;
    bool ok = from != NULL && bio != NULL && X509_CRL_set1_lastUpdate(crl, from) == 1 &&
              X509_CRL_set1_nextUpdate(crl, X509_get0_notAfter(a->certificate)) == 1 &&
              X509_CRL_sort(crl) == 1 && X509_CRL_sign(crl, a->key, EVP_sha256()) > 0 &&
              PEM_write_bio_X509_CRL(bio, crl) == 1;
    long n = ok ? BIO_get_mem_data(bio, &data) : 0;
    if (n > 0)
        text = strndup(data, (size_t)n);
    ASN1_TIME_free(from);
    BIO_free(bio);
    return text;
}

static enum err crl_write(struct authority *a, const char *folder, X509_CRL *crl, time_t now, struct fault *f)
{
    char *text = crl == NULL ? NULL : crl_sign(a, crl, now);
    if (text == NULL)
        return certificate_fault(f, "cannot make the list of revoked certificates");
    enum err e = pki_write(folder, "crl.pem", text, strlen(text), f);
    free(text);
    return e;
}

static enum err crl_read(struct authority *a, X509_CRL **out, struct fault *f)
{
    char *text = NULL;
    size_t length = 0;
    *out = NULL;
    enum err e = pki_read(a->folder, "crl.pem", &text, &length, f);
    if (e != ERR_NONE)
        return e;
    BIO *bio = BIO_new_mem_buf(text, (int)length);
    *out = bio == NULL ? NULL : PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
    BIO_free(bio);
    free(text);
    if (*out == NULL || X509_CRL_verify(*out, a->key) != 1) {
        X509_CRL_free(*out);
        *out = NULL;
        return certificate_fault(f, "crl.pem is not this authority's list");
    }
    return ERR_NONE;
}

static bool crl_add(X509_CRL *crl, X509 *x, time_t now)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *when = ASN1_TIME_set(NULL, now);
    bool ok = entry != NULL && when != NULL &&
              X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(x)) == 1 &&
              X509_REVOKED_set_revocationDate(entry, when) == 1 && X509_CRL_add0_revoked(crl, entry) == 1;
    if (!ok)
        X509_REVOKED_free(entry);
    ASN1_TIME_free(when);
    return ok;
}

// ---- issued.pem

typedef enum err (*issued_fn)(X509 *x, const struct certificate_holder *holder, void *arg, struct fault *f);

static enum err issued_each(struct authority *a, issued_fn each, void *arg, struct fault *f)
{
    char *text = NULL;
    size_t length = 0;
    enum err e = pki_read(a->folder, "issued.pem", &text, &length, f);
    if (e == ERR_NOTFOUND)
        return ERR_NONE;
    if (e != ERR_NONE)
        return e;
    BIO *bio = BIO_new_mem_buf(text, (int)length);
    X509 *x;
    while (e == ERR_NONE && bio != NULL && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        struct certificate_holder holder;
        if (certificate_holder(x, &holder, f) == ERR_NONE)
            e = each(x, &holder, arg, f);
        X509_free(x);
    }
    ERR_clear_error(); // the end of the file is one to OpenSSL
    BIO_free(bio);
    free(text);
    return e;
}

enum err authority_record(struct authority *a, const struct credential *client, struct fault *f)
{
    char *text = NULL, *grown = NULL;
    size_t length = 0;
    enum err e = pki_read(a->folder, "issued.pem", &text, &length, f);
    if (e != ERR_NONE && e != ERR_NOTFOUND)
        return e;
    if (asprintf(&grown, "%s%s", text == NULL ? "" : text, client->certificate) < 0)
        e = fault_set(f, ERR_MEMORY, "out of memory");
    else
        e = pki_write(a->folder, "issued.pem", grown, strlen(grown), f);
    free(grown);
    free(text);
    return e;
}

struct revocation {
    X509_CRL *crl;
    const char *which;
    time_t now;
    unsigned found, added;
};

static enum err revoke_one(X509 *x, const struct certificate_holder *holder, void *arg, struct fault *f)
{
    struct revocation *r = arg;
    X509_REVOKED *entry = NULL;
    if (strcasecmp(holder->serial, r->which) != 0 && strcmp(holder->name, r->which) != 0)
        return ERR_NONE;
    r->found++;
    if (X509_CRL_get0_by_cert(r->crl, &entry, x) != 0)
        return ERR_NONE;
    r->added++;
    return crl_add(r->crl, x, r->now) ? ERR_NONE : fault_set(f, ERR_MEMORY, "out of memory");
}

enum err authority_revoke(struct authority *a, const char *which, time_t now, unsigned *count,
                          struct fault *f)
{
    struct revocation r = {.which = which, .now = now};
    *count = 0;
    enum err e = crl_read(a, &r.crl, f);
    if (e == ERR_NONE)
        e = issued_each(a, revoke_one, &r, f);
    if (e == ERR_NONE && r.found == 0)
        e = fault_set(f, ERR_NOTFOUND, "no certificate here has the serial number or name \"%.80s\"", which);
    if (e == ERR_NONE && r.added > 0)
        e = crl_write(a, a->folder, r.crl, now, f);
    X509_CRL_free(r.crl);
    if (e == ERR_NONE)
        *count = r.added;
    return e;
}

struct listing {
    X509_CRL *crl;
    authority_each_fn each;
    void *arg;
};

static enum err list_one(X509 *x, const struct certificate_holder *holder, void *arg, struct fault *f)
{
    struct listing *l = arg;
    X509_REVOKED *entry = NULL;
    struct tm tm;
    time_t revoked = 0;
    if (X509_CRL_get0_by_cert(l->crl, &entry, x) != 0 &&
        ASN1_TIME_to_tm(X509_REVOKED_get0_revocationDate(entry), &tm) == 1)
        revoked = timegm(&tm);
    return l->each(holder, revoked, l->arg, f);
}

enum err authority_each(struct authority *a, authority_each_fn each, void *arg, struct fault *f)
{
    struct listing l = {.each = each, .arg = arg};
    enum err e = crl_read(a, &l.crl, f);
    if (e == ERR_NONE)
        e = issued_each(a, list_one, &l, f);
    X509_CRL_free(l.crl);
    return e;
}

// ---- putting it in place

static enum err write_server(const char *folder, const struct credential *server, struct fault *f)
{
    // The key first: a daemon that reads in between finds a pair that does not match, and keeps the old one.
    enum err e = pki_write(folder, "server.key", server->key, strlen(server->key), f);
    if (e == ERR_NONE)
        e = pki_write(folder, "server.crt", server->certificate, strlen(server->certificate), f);
    return e;
}

enum err authority_set_server(struct authority *a, const struct credential *server, struct fault *f)
{
    return write_server(a->folder, server, f);
}

enum err authority_install(struct authority *a, const struct credential *server, time_t now, struct fault *f)
{
    char fresh[PKI_PATH_SIZE + 8], old[PKI_PATH_SIZE + 32];
    snprintf(fresh, sizeof fresh, "%s.new", a->folder);
    snprintf(old, sizeof old, "%s.until-%lld", a->folder, (long long)now);
    if (mkdir(fresh, 0700) != 0 && errno != EEXIST)
        return fault_errno(f, ERR_IO, "cannot make the folder %s", fresh);
    X509_CRL *crl = crl_new(a);
    enum err e = pki_write(fresh, "ca.crt", a->certificate_pem, strlen(a->certificate_pem), f);
    if (e == ERR_NONE)
        e = pki_write(fresh, "ca.key", a->key_pem, strlen(a->key_pem), f);
    if (e == ERR_NONE)
        e = write_server(fresh, server, f);
    if (e == ERR_NONE)
        e = pki_write(fresh, "issued.pem", "", 0, f);
    if (e == ERR_NONE)
        e = crl_write(a, fresh, crl, now, f);
    X509_CRL_free(crl);
    if (e != ERR_NONE)
        return e;
    if (rename(a->folder, old) != 0 && errno != ENOENT)
        return fault_errno(f, ERR_IO, "cannot put %s aside", a->folder);
    if (rename(fresh, a->folder) != 0)
        return fault_errno(f, ERR_IO, "cannot put %s in its place", fresh);
    return ERR_NONE;
}
