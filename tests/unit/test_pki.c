// The certificate authority: what its certificates say, what OpenSSL makes of them, and what the folder holds
// after every step. Bad subjects are made with OpenSSL itself, since ours does not make them.
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "check.h"
#include "pki/authority.h"

#define DAY 86400

static const time_t now = 1800000000; // 2027; every certificate of the tests is about this time

struct place {
    char root[64], folder[80];
    struct authority *authority;
    struct credential server;
};

static int set_up(void **state)
{
    static const char *const hosts[] = {"203.0.113.5", "2001:db8::5", "gw.example"};
    struct place *p = calloc(1, sizeof *p);
    struct fault f;
    struct certificate_wish wish = {.kind = CERTIFICATE_SERVER,
                                    .name = "gw.example",
                                    .hosts = hosts,
                                    .host_count = 3,
                                    .from = now,
                                    .until = now + DAY};
    snprintf(p->root, sizeof p->root, "/tmp/test_pki.XXXXXX");
    assert_non_null(mkdtemp(p->root));
    snprintf(p->folder, sizeof p->folder, "%s/tls", p->root);
    assert_false(authority_exists(p->folder));
    assert_ok(authority_new(p->folder, now, 30, &p->authority, &f));
    assert_ok(authority_issue(p->authority, &wish, &p->server, &f));
    assert_ok(authority_install(p->authority, &p->server, now, &f));
    assert_true(authority_exists(p->folder));
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    char command[100];
    authority_free(p->authority);
    credential_clear(&p->server);
    snprintf(command, sizeof command, "rm -r '%s'", p->root);
    assert_int_equal(system(command), 0);
    free(p);
    return 0;
}

static X509 *read_certificate(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(x);
    return x;
}

// What OpenSSL says of a certificate, at a time, for a purpose, with our list of revoked ones.
static int verify(struct place *p, const char *pem, const char *purpose, time_t when)
{
    char path[100];
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509 *x = read_certificate(pem);
    snprintf(path, sizeof path, "%s/ca.crt", p->folder);
    assert_int_equal(X509_STORE_load_file(store, path), 1);
    snprintf(path, sizeof path, "%s/crl.pem", p->folder);
    assert_int_equal(X509_STORE_load_file(store, path), 1);
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_X509_STRICT);
    assert_int_equal(X509_STORE_CTX_init(context, store, x, NULL), 1);
    X509_STORE_CTX_set_default(context, purpose);
    X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context), when);
    int error = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(x);
    return error;
}

static struct credential issue(struct place *p, const char *name, enum role role, int64_t account)
{
    struct credential c;
    struct fault f;
    struct certificate_wish wish = {.kind = CERTIFICATE_CLIENT,
                                    .name = name,
                                    .role = role,
                                    .account_id = account,
                                    .from = now,
                                    .until = now + 10 * DAY};
    assert_ok(authority_issue(p->authority, &wish, &c, &f));
    assert_ok(authority_record(p->authority, &c, &f));
    return c;
}

static void a_server_certificate_names_its_hosts(void **state)
{
    struct place *p = *state;
    X509 *x = read_certificate(p->server.certificate);
    assert_int_equal(verify(p, p->server.certificate, "ssl_server", now), X509_V_OK);
    assert_int_equal(verify(p, p->server.certificate, "ssl_client", now), X509_V_ERR_INVALID_PURPOSE);
    assert_int_equal(X509_check_ip_asc(x, "203.0.113.5", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "2001:db8::5", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "203.0.113.6", 0), 0);
    assert_int_equal(X509_check_host(x, "gw.example", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "other.example", 0, 0, NULL), 0);
    X509_free(x);
}

static void keys_are_p256_and_files_are_ones_own(void **state)
{
    static const char *const names[] = {"ca.crt",     "ca.key",  "server.crt",
                                        "server.key", "crl.pem", "issued.pem"};
    struct place *p = *state;
    struct stat st;
    char path[100], group[32];
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", p->folder, names[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    assert_int_equal(stat(p->folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    X509 *x = read_certificate(p->server.certificate);
    assert_int_equal(EVP_PKEY_get_group_name(X509_get0_pubkey(x), group, sizeof group, NULL), 1);
    assert_string_equal(group, "prime256v1");
    X509_free(x);
}

static void a_client_certificate_says_who_and_what(void **state)
{
    struct place *p = *state;
    struct fault f;
    static const struct {
        const char *name;
        enum role role;
        int64_t account;
    } rows[] = {{"deploy", ROLE_OPERATOR, 0}, {"alice", ROLE_USER, 17}, {"chief@desk", ROLE_ADMIN, 1}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct certificate_holder holder;
        struct credential c = issue(p, rows[i].name, rows[i].role, rows[i].account);
        X509 *x = read_certificate(c.certificate);
        assert_ok(certificate_holder(x, &holder, &f));
        assert_string_equal(holder.name, rows[i].name);
        assert_int_equal(holder.role, rows[i].role);
        assert_int_equal(holder.account_id, rows[i].account);
        assert_int_equal(holder.from, now);
        assert_int_equal(holder.until, now + 10 * DAY);
        assert_int_equal(verify(p, c.certificate, "ssl_client", now), X509_V_OK);
        assert_int_equal(verify(p, c.certificate, "ssl_server", now), X509_V_ERR_INVALID_PURPOSE);
        assert_int_equal(verify(p, c.certificate, "ssl_client", now - 60), X509_V_ERR_CERT_NOT_YET_VALID);
        assert_int_equal(verify(p, c.certificate, "ssl_client", now + 11 * DAY), X509_V_ERR_CERT_HAS_EXPIRED);
        assert_non_null(strstr(c.key, "BEGIN PRIVATE KEY"));
        X509_free(x);
        credential_clear(&c);
    }
}

static void nothing_outlives_the_authority(void **state)
{
    struct place *p = *state;
    struct credential c;
    struct fault f;
    struct certificate_wish wish = {
        .kind = CERTIFICATE_CLIENT, .name = "x", .from = now, .until = now + 1000 * DAY};
    assert_ok(authority_issue(p->authority, &wish, &c, &f));
    assert_int_equal(c.holder.until, now + 30 * DAY);
    credential_clear(&c);
    wish.from = now + 31 * DAY;
    assert_err(ERR_CONFLICT, authority_issue(p->authority, &wish, &c, &f));
    assert_says("expired");
}

struct seen {
    unsigned count, revoked;
    char last[CERTIFICATE_NAME_SIZE];
};

static enum err see(const struct certificate_holder *holder, time_t revoked, void *arg, struct fault *f)
{
    struct seen *seen = arg;
    (void)f;
    seen->count++;
    seen->revoked += revoked == now + 5;
    snprintf(seen->last, sizeof seen->last, "%s", holder->name);
    return ERR_NONE;
}

static void revoking(void **state)
{
    struct place *p = *state;
    struct fault f;
    unsigned count = 0;
    struct seen seen = {.count = 0};
    struct credential a = issue(p, "laptop", ROLE_ADMIN, 0), b = issue(p, "laptop", ROLE_ADMIN, 0),
                      c = issue(p, "ci", ROLE_OPERATOR, 0);
    assert_err(ERR_NOTFOUND, authority_revoke(p->authority, "nobody", now + 5, &count, &f));
    assert_ok(authority_revoke(p->authority, c.holder.serial, now + 5, &count, &f));
    assert_int_equal(count, 1);
    assert_ok(authority_revoke(p->authority, "laptop", now + 5, &count, &f));
    assert_int_equal(count, 2);
    assert_ok(authority_revoke(p->authority, "laptop", now + 6, &count, &f)); // again: nothing new
    assert_int_equal(count, 0);
    struct credential d = issue(p, "laptop", ROLE_ADMIN, 0); // the next one of that name counts
    assert_int_equal(verify(p, a.certificate, "ssl_client", now), X509_V_ERR_CERT_REVOKED);
    assert_int_equal(verify(p, b.certificate, "ssl_client", now), X509_V_ERR_CERT_REVOKED);
    assert_int_equal(verify(p, c.certificate, "ssl_client", now), X509_V_ERR_CERT_REVOKED);
    assert_int_equal(verify(p, d.certificate, "ssl_client", now), X509_V_OK);
    assert_ok(authority_each(p->authority, see, &seen, &f));
    assert_int_equal(seen.count, 4);
    assert_int_equal(seen.revoked, 3);
    credential_clear(&a);
    credential_clear(&b);
    credential_clear(&c);
    credential_clear(&d);
}

static void the_folder_is_read_again(void **state)
{
    struct place *p = *state;
    struct authority *again = NULL;
    struct fault f;
    unsigned count = 0;
    struct seen seen = {.count = 0};
    struct credential c = issue(p, "ci", ROLE_OPERATOR, 0);
    assert_ok(authority_open(p->folder, &again, &f));
    assert_string_equal(authority_certificate(again), authority_certificate(p->authority));
    assert_ok(authority_revoke(again, "ci", now + 5, &count, &f));
    assert_ok(authority_each(p->authority, see, &seen, &f));
    assert_int_equal(seen.revoked, 1);
    authority_free(again);
    credential_clear(&c);
}

static void an_authority_is_replaced_and_kept_beside(void **state)
{
    struct place *p = *state;
    struct authority *fresh = NULL;
    struct fault f;
    char old[120];
    struct stat st;
    struct seen seen = {.count = 0};
    struct credential c = issue(p, "ci", ROLE_OPERATOR, 0);
    assert_ok(authority_new(p->folder, now, 30, &fresh, &f));
    assert_ok(authority_install(fresh, &p->server, now + 9, &f));
    assert_int_equal(verify(p, c.certificate, "ssl_client", now),
                     X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
    assert_ok(authority_each(fresh, see, &seen, &f));
    assert_int_equal(seen.count, 0);
    snprintf(old, sizeof old, "%s.until-%lld/ca.key", p->folder, (long long)(now + 9));
    assert_int_equal(stat(old, &st), 0);
    authority_free(fresh);
    credential_clear(&c);
}

static void write_file(struct place *p, const char *name, const char *text)
{
    char path[100];
    snprintf(path, sizeof path, "%s/%s", p->folder, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void damaged_files_are_refused(void **state)
{
    struct place *p = *state;
    struct authority *again = NULL, *other = NULL;
    struct fault f;
    unsigned count = 0;
    struct credential c = issue(p, "ci", ROLE_OPERATOR, 0);
    write_file(p, "crl.pem", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    assert_err(ERR_FAILED, authority_revoke(p->authority, "ci", now, &count, &f));
    assert_says("crl.pem");
    assert_ok(authority_new(p->folder, now, 30, &other, &f));
    write_file(p, "ca.key", authority_key(other)); // another's
    assert_err(ERR_FAILED, authority_open(p->folder, &again, &f));
    assert_says("belong together");
    write_file(p, "ca.key", "nothing");
    assert_err(ERR_FAILED, authority_open(p->folder, &again, &f));
    assert_null(again);
    assert_err(ERR_NOTFOUND, authority_open(p->root, &again, &f));
    assert_says("cert generate");
    authority_free(other);
    credential_clear(&c);
}

// ---- subjects that others make

struct entry {
    const char *field, *value;
    int length; // -1: of the text
};

static X509 *with_subject(const struct entry *entries, size_t count)
{
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 77);
    ASN1_TIME_set(X509_getm_notBefore(x), now);
    ASN1_TIME_set(X509_getm_notAfter(x), now + DAY);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(X509_NAME_add_entry_by_txt(name, entries[i].field, MBSTRING_UTF8,
                                                    (const unsigned char *)entries[i].value,
                                                    entries[i].length, -1, 0),
                         1);
    return x;
}

static void a_role_is_never_guessed(void **state)
{
    static const struct {
        struct entry entries[3];
        size_t count;
        enum role role;
    } rows[] = {
        {{{"CN", "x", -1}}, 1, ROLE_USER},
        {{{"CN", "x", -1}, {"OU", "admin", -1}}, 2, ROLE_ADMIN},
        {{{"CN", "x", -1}, {"OU", "Admin", -1}}, 2, ROLE_USER},
        {{{"CN", "x", -1}, {"OU", "admin ", -1}}, 2, ROLE_USER},
        {{{"CN", "x", -1}, {"OU", "admin\0x", 7}}, 2, ROLE_USER},
        {{{"CN", "x", -1}, {"OU", "superuser", -1}}, 2, ROLE_USER},
        {{{"CN", "x", -1}, {"OU", "user", -1}, {"OU", "admin", -1}}, 3, ROLE_USER}, // two are none
        {{{"CN", "x", -1}, {"O", "admin", -1}}, 2, ROLE_USER},
    };
    struct fault f;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct certificate_holder holder;
        X509 *x = with_subject(rows[i].entries, rows[i].count);
        assert_ok(certificate_holder(x, &holder, &f));
        assert_int_equal(holder.role, rows[i].role);
        assert_string_equal(holder.serial, "4D");
        X509_free(x);
    }
}

static void bad_subjects_are_nobody(void **state)
{
    static const struct {
        struct entry entries[3];
        size_t count;
    } rows[] = {
        {{{"OU", "admin", -1}}, 1},
        {{{"CN", "a", -1}, {"CN", "b", -1}}, 2},
        {{{"CN", "a\0b", 3}}, 1},
        {{{"CN", "a\nb", -1}}, 1},
        {{{"CN", "a\"b", -1}}, 1},
        {{{"CN", "\xc3\xa4", -1}}, 1},
        {{{"CN", "a", -1}, {"UID", "alice", -1}}, 2},
        {{{"CN", "a", -1}, {"UID", "0", -1}}, 2},
        {{{"CN", "a", -1}, {"UID", "-1", -1}}, 2},
        {{{"CN", "a", -1}, {"UID", "1x", -1}}, 2},
        {{{"CN", "a", -1}, {"UID", "99999999999999999999", -1}}, 2},
        {{{"CN", "a", -1}, {"UID", "1", -1}, {"UID", "2", -1}}, 3},
    };
    struct fault f;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct certificate_holder holder;
        X509 *x = with_subject(rows[i].entries, rows[i].count);
        assert_err(ERR_INVALID, certificate_holder(x, &holder, &f));
        X509_free(x);
    }
}

static void names_and_hosts(void **state)
{
    static const char *const good_names[] = {"a", "deploy-bot.eu_1", "alice@laptop", "7"};
    static const char *const bad_names[] = {
        "",           "-a",       "a b", "a/b",
        "a,OU=admin", "\xc3\xa4", "a\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const char *const good_hosts[] = {"203.0.113.5", "::1", "gw.example", "*.gw.example", "localhost"};
    static const char *const bad_hosts[] = {
        "",    "256.1.1.1",    "1.2.3",       "gw..example",        "-gw",           "gw.",
        "a b", "a,IP:1.2.3.4", "*.*.example", "https://gw.example", "gw.example:443"};
    struct fault f;
    (void)state;
    for (size_t i = 0; i < COUNT(good_names); i++)
        assert_ok(certificate_check_name(good_names[i], &f));
    for (size_t i = 0; i < COUNT(bad_names); i++)
        assert_err(ERR_INVALID, certificate_check_name(bad_names[i], &f));
    for (size_t i = 0; i < COUNT(good_hosts); i++)
        assert_ok(certificate_check_host(good_hosts[i], &f));
    for (size_t i = 0; i < COUNT(bad_hosts); i++)
        assert_err(ERR_INVALID, certificate_check_host(bad_hosts[i], &f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_server_certificate_names_its_hosts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_are_p256_and_files_are_ones_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_certificate_says_who_and_what, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_outlives_the_authority, set_up, tear_down),
        cmocka_unit_test_setup_teardown(revoking, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_folder_is_read_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_authority_is_replaced_and_kept_beside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_files_are_refused, set_up, tear_down),
        cmocka_unit_test(a_role_is_never_guessed),
        cmocka_unit_test(bad_subjects_are_nobody),
        cmocka_unit_test(names_and_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
