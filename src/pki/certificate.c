// Owns the form of our certificates: subject, extensions, life.
#include "pki/certificate.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define ORGANISATION "containarium"

enum err certificate_fault(struct fault *f, const char *what)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    return fault_set(f, ERR_FAILED, "%s: %s", what, text == NULL ? "OpenSSL does not say why" : text);
}

enum err certificate_check_name(const char *name, struct fault *f)
{
    size_t n = strlen(name);
    bool good = n > 0 && n < CERTIFICATE_NAME_SIZE && isalnum((unsigned char)name[0]);
    for (size_t i = 0; good && i < n; i++)
        good = isalnum((unsigned char)name[i]) || strchr("-_.@", name[i]) != NULL;
    if (!good)
        return fault_set(f, ERR_INVALID,
                         "\"%.70s\" cannot be a certificate's name; accepted: letters, digits, - _ . @, at "
                         "most 64, the first a letter or digit",
                         name);
    return ERR_NONE;
}

static int address_parse(const char *text, unsigned char out[16])
{
    if (inet_pton(AF_INET, text, out) == 1)
        return 4;
    return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

enum err certificate_check_host(const char *host, struct fault *f)
{
    unsigned char raw[16];
    const char *rest = strncmp(host, "*.", 2) == 0 ? host + 2 : host;
    size_t n = strlen(rest);
    if (address_parse(host, raw) > 0)
        return ERR_NONE;
    bool good = n > 0 && n < 250 && isalnum((unsigned char)rest[0]) && isalnum((unsigned char)rest[n - 1]);
    for (size_t i = 0; good && i < n; i++)
        good = isalnum((unsigned char)rest[i]) || rest[i] == '-' || (rest[i] == '.' && rest[i + 1] != '.');
    if (good && strspn(rest, "0123456789.") == n) // an address that is none
        good = false;
    if (!good)
        return fault_set(f, ERR_INVALID,
                         "\"%.100s\" is neither an IP address (203.0.113.5, 2001:db8::5) nor a host name "
                         "(gw.example)",
                         host);
    return ERR_NONE;
}

enum err certificate_key_make(EVP_PKEY **out, struct fault *f)
{
    *out = EVP_EC_gen("P-256");
    return *out != NULL ? ERR_NONE : certificate_fault(f, "cannot make a key");
}

// ---- making

// 128 random bits, positive, never zero.
static bool set_serial(X509 *x)
{
    unsigned char raw[16];
    bool ok = RAND_bytes(raw, sizeof raw) == 1;
    raw[0] = (unsigned char)((raw[0] & 0x7f) | 0x40);
    BIGNUM *n = ok ? BN_bin2bn(raw, sizeof raw, NULL) : NULL;
    ok = n != NULL && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
    BN_free(n);
    return ok;
}

static bool add_entry(X509_NAME *name, const char *field, const char *value)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0) ==
           1;
}

static bool set_subject(X509 *x, const struct certificate_wish *w)
{
    X509_NAME *name = X509_get_subject_name(x);
    char number[24];
    bool ok = add_entry(name, "O", ORGANISATION);
    if (w->kind == CERTIFICATE_CLIENT)
        ok = ok && add_entry(name, "OU", role_name(w->role));
    ok = ok && add_entry(name, "CN", w->name);
    if (ok && w->kind == CERTIFICATE_CLIENT && w->account_id != 0) {
        snprintf(number, sizeof number, "%lld", (long long)w->account_id);
        ok = add_entry(name, "UID", number);
    }
    return ok;
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool ok = extension != NULL && X509_add_ext(x, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static bool add_extensions(X509 *x, X509 *issuer, enum certificate_kind kind)
{
    static const struct {
        int nid;
        const char *value[3]; // by kind; NULL: has none
    } rows[] = {
        {NID_basic_constraints, {"critical,CA:TRUE,pathlen:0", "critical,CA:FALSE", "critical,CA:FALSE"}},
        {NID_key_usage,
         {"critical,keyCertSign,cRLSign", "critical,digitalSignature", "critical,digitalSignature"}},
        {NID_ext_key_usage, {NULL, "serverAuth", "clientAuth"}},
        {NID_subject_key_identifier, {"hash", "hash", "hash"}},
        {NID_authority_key_identifier, {"keyid:always", "keyid:always", "keyid:always"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *value = rows[i].value[kind];
        if (value != NULL && !add_extension(x, issuer, rows[i].nid, value))
            return false;
    }
    return true;
}

// Built from the words themselves, not as text for OpenSSL's little language: a comma in a name must not
// become a second name.
static GENERAL_NAME *host_name(const char *host)
{
    unsigned char raw[16];
    int n = address_parse(host, raw);
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = n > 0 ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    bool ok = name != NULL && value != NULL &&
              ASN1_STRING_set(value, n > 0 ? (const void *)raw : (const void *)host,
                              n > 0 ? n : (int)strlen(host)) == 1;
    if (!ok) {
        ASN1_STRING_free(value);
        GENERAL_NAME_free(name);
        return NULL;
    }
    GENERAL_NAME_set0_value(name, n > 0 ? GEN_IPADD : GEN_DNS, value);
    return name;
}

static bool add_hosts(X509 *x, const struct certificate_wish *w)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool ok = names != NULL;
    for (size_t i = 0; ok && i < w->host_count; i++) {
        GENERAL_NAME *name = host_name(w->hosts[i]);
        ok = name != NULL && sk_GENERAL_NAME_push(names, name) > 0;
        if (!ok)
            GENERAL_NAME_free(name);
    }
    ok = ok && X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

enum err certificate_make(const struct certificate_wish *w, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key,
                          X509 **out, struct fault *f)
{
    X509 *x = X509_new();
    *out = NULL;
    if (x == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    X509 *issuer = ca == NULL ? x : ca;
    bool ok = X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
              ASN1_TIME_set(X509_getm_notBefore(x), w->from) != NULL &&
              ASN1_TIME_set(X509_getm_notAfter(x), w->until) != NULL && X509_set_pubkey(x, key) == 1 &&
              set_subject(x, w) && X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1 &&
              add_extensions(x, issuer, w->kind) && (w->host_count == 0 || add_hosts(x, w)) &&
              X509_sign(x, ca_key, EVP_sha256()) > 0;
    if (!ok) {
        X509_free(x);
        return certificate_fault(f, "cannot make a certificate");
    }
    *out = x;
    return ERR_NONE;
}

// ---- reading

// The one value of a field of the subject, printable ASCII without quotes. False if there is none, several,
// or anything else in it.
static bool subject_field(const X509 *x, int nid, char *out, size_t size)
{
    X509_NAME *name = X509_get_subject_name(x);
    int at = X509_NAME_get_index_by_NID(name, nid, -1);
    unsigned char *text = NULL;
    if (at < 0 || X509_NAME_get_index_by_NID(name, nid, at) >= 0)
        return false;
    int n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    bool good = n > 0 && (size_t)n < size;
    for (int i = 0; good && i < n; i++)
        good = text[i] >= 0x20 && text[i] < 0x7f && text[i] != '"' && text[i] != '\\';
    if (good) {
        memcpy(out, text, (size_t)n);
        out[n] = '\0';
    }
    OPENSSL_free(text);
    return good;
}

static bool has_field(const X509 *x, int nid)
{
    return X509_NAME_get_index_by_NID(X509_get_subject_name(x), nid, -1) >= 0;
}

static time_t time_of(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? timegm(&tm) : 0;
}

static bool serial_of(const X509 *x, char *out)
{
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    char *hex = n == NULL ? NULL : BN_bn2hex(n);
    bool good = hex != NULL && strlen(hex) < CERTIFICATE_SERIAL_SIZE;
    if (good)
        snprintf(out, CERTIFICATE_SERIAL_SIZE, "%s", hex);
    OPENSSL_free(hex);
    BN_free(n);
    return good;
}

static bool account_number(const char *text, int64_t *out)
{
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 18 || text[n] != '\0' || text[0] == '0')
        return false;
    *out = strtoll(text, NULL, 10);
    return true;
}

enum err certificate_holder(const X509 *x, struct certificate_holder *out, struct fault *f)
{
    char text[64];
    *out = (struct certificate_holder){.role = ROLE_USER};
    if (!subject_field(x, NID_commonName, out->name, sizeof out->name))
        return fault_set(f, ERR_INVALID, "the certificate's subject has no CN that is one printable name");
    if (!serial_of(x, out->serial))
        return fault_set(f, ERR_INVALID, "the certificate's serial number is longer than RFC 5280 allows");
    if (subject_field(x, NID_organizationalUnitName, text, sizeof text) && !role_parse(text, &out->role))
        out->role = ROLE_USER;
    if (has_field(x, NID_userId) &&
        (!subject_field(x, NID_userId, text, sizeof text) || !account_number(text, &out->account_id)))
        return fault_set(f, ERR_INVALID, "the certificate's UID is not the number of an account");
    out->from = time_of(X509_get0_notBefore(x));
    out->until = time_of(X509_get0_notAfter(x));
    return ERR_NONE;
}

// ---- PEM

static char *bio_text(BIO *bio)
{
    char *data = NULL, *text = NULL;
    long n = BIO_get_mem_data(bio, &data);
    if (n > 0 && (text = malloc((size_t)n + 1)) != NULL) {
        memcpy(text, data, (size_t)n);
        text[n] = '\0';
    }
    BIO_free(bio);
    return text;
}

char *certificate_pem(X509 *x)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL || PEM_write_bio_X509(bio, x) != 1) {
        BIO_free(bio);
        return NULL;
    }
    return bio_text(bio);
}

char *certificate_key_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    if (bio == NULL || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
        BIO_free(bio);
        return NULL;
    }
    return bio_text(bio);
}

void certificate_key_pem_free(char *pem)
{
    if (pem == NULL)
        return;
    OPENSSL_cleanse(pem, strlen(pem));
    free(pem);
}
