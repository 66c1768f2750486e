// Public key text: what ssh-keygen writes is read with ssh-keygen's fingerprint; everything else is refused
// by name.
#include "unit/check.h"

#include <stdlib.h>

#include "base/base64.h"
#include "store/pubkey.h"

// Made by ssh-keygen for this test; the private halves were thrown away. Fingerprints as ssh-keygen -l
// printed them.
#include "unit/pubkey_samples.h"

static struct pubkey key;

static enum err parse(const char *text, struct fault *f)
{
    return pubkey_parse(text, strlen(text), &key, f);
}

static void samples_are_read(void **state)
{
    struct fault f = {.text = ""};
    char line[PUBKEY_BASE64_SIZE + 256];
    struct pubkey bare;
    (void)state;
    for (size_t i = 0; i < COUNT(samples); i++) {
        assert_ok(parse(samples[i].line, &f));
        assert_string_equal(key.fingerprint, samples[i].fingerprint);
        assert_int_equal(key.bits, samples[i].bits);
        assert_string_equal(key.comment, "user@host");
        assert_memory_equal(samples[i].line, key.type, strlen(key.type));
        snprintf(line, sizeof line, " \t%s %s \r\n", key.type, key.base64); // no comment, blanks around
        assert_ok(parse(line, &f));
        assert_string_equal(key.comment, "");
        assert_ok(pubkey_from_base64(key.base64, &bare, &f));
        assert_string_equal(bare.fingerprint, samples[i].fingerprint);
    }
}

static void refusals_have_their_reason(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"", "no key was given"},
        {" \n\t", "no key was given"},
        {"hello world", "not an SSH public key"},
        {"ssh-ed25519", "missing after ssh-ed25519"},
        {"ssh-ed25519 AAAA!AAA", "base64 is damaged"},
        {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", "base64 is damaged"},
        {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==", "damaged"},
        {"ssh-dss AAAAB3NzaC1kc3MAAACB x", "DSA"},
        {"sk-ssh-ed25519@openssh.com AAAA x", "security keys"},
        {"sk-ecdsa-sha2-nistp256@openssh.com AAAA x", "security keys"},
        {"ssh-ed25519-cert-v01@openssh.com AAAA x", "certificates are not accepted"},
        {"ecdsa-sha2-nistp256-cert-v01@openssh.com AAAA x", "certificates are not accepted"},
        {"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA",
         "this is a private key; give the .pub file"},
        {"-----BEGIN RSA PRIVATE KEY-----", "this is a private key"},
        {"PuTTY-User-Key-File-2: ssh-rsa", "this is a private key"},
        {"---- BEGIN SSH2 PUBLIC KEY ----\nComment: x", "ssh-keygen -i"},
        {"from=\"10.0.0.1\" ssh-ed25519 AAAA x", "damaged"},
        {"no-pty ssh-rsa AAAA x", "damaged"},
        {"environment=\"A=B\" ssh-ed25519 AAAA x", "\"environment\" is not known here"},
        {"from=\"host.example\" ssh-ed25519 AAAA x", "host names are not looked up"},
        {"no-pty, ssh-ed25519 AAAA x", "end in a comma"},
        {"no-pty AAAA x", "not an SSH public key"},
        {"ssh-ed25519-cert-v01@openssh.com ssh-ed25519 AAAA", "certificates are not accepted"},
        {"ssh-ed25519 AAAA x\nssh-ed25519 AAAA y", "more than one line"},
    };
    struct fault f = {.text = ""};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        memset(&key, 0x5a, sizeof key);
        assert_err(ERR_INVALID, parse(rows[i].text, &f));
        assert_says(rows[i].says);
        assert_int_equal(key.type[0], 0x5a); // nothing was filled in
    }
    assert_err(ERR_INVALID, pubkey_parse("ssh-ed25519 AA\0AA", 17, &key, &f));
    assert_err(ERR_INVALID, pubkey_from_base64("", &key, &f));
    assert_err(ERR_INVALID, pubkey_from_base64("AAAAB3NzaC1kc3MAAACB", &key, &f));
    assert_says("DSA");
}

static void type_and_blob_must_agree(void **state)
{
    struct fault f = {.text = ""};
    char line[PUBKEY_BASE64_SIZE + 256];
    (void)state;
    assert_ok(parse(samples[0].line, &f));
    snprintf(line, sizeof line, "ssh-rsa %s", key.base64);
    assert_err(ERR_INVALID, parse(line, &f));
    assert_says("says ssh-rsa but the key in it is ssh-ed25519");
}

// Every blob of a sample, cut at each place and with one byte behind it, must be refused: the fields fill it
// exactly.
static void blobs_are_exact(void **state)
{
    struct fault f = {.text = ""};
    unsigned char blob[PUBKEY_BASE64_SIZE];
    char text[PUBKEY_BASE64_SIZE + 8];
    size_t size = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(samples); i++) {
        assert_ok(parse(samples[i].line, &f));
        assert_true(base64_decode(key.base64, strlen(key.base64), blob, &size));
        blob[size] = 0;
        for (size_t n = 0; n <= size + 1; n++) {
            base64_encode(blob, n, text);
            assert_int_equal(pubkey_from_base64(text, &key, &f) == ERR_NONE, n == size);
        }
    }
}

static void base64_is_canonical(void **state)
{
    static const char *const bad[] = {"A",    "AA",       "AAA",   "A===", "====", "AA=A", "AB==",
                                      "AAB=", "AA==AAAA", "AAA\n", "AA A", "AAA-", "AAA_"};
    unsigned char raw[64];
    char text[128];
    size_t size = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(base64_decode(bad[i], strlen(bad[i]), raw, &size));
    for (size_t n = 0; n < 40; n++) {
        unsigned char in[40], out[48];
        for (size_t i = 0; i < n; i++)
            in[i] = (unsigned char)(i * 37 + n * 11);
        base64_encode(in, n, text);
        assert_true(base64_decode(text, strlen(text), out, &size));
        assert_int_equal(size, n);
        assert_memory_equal(in, out, n);
    }
}

static void comments(void **state)
{
    static const struct {
        const char *given, *kept;
    } rows[] = {
        {"two words", "two words"},
        {"j\xc3\xb6rg@laptop", "j\xc3\xb6rg@laptop"},
        {"bell\x07", "bell?"},
        {"esc\x1b[31m", "esc?[31m"},
        {"bad\xff utf", "bad? utf"},
        {"c1\xc2\x9b", "c1??"},
        {"over\xc0\xaf", "over??"},
        {"half\xe2\x82", "half??"},
        {"surrogate\xed\xa0\x80", "surrogate???"},
        {"\xf0\x9f\x90\xa7", "\xf0\x9f\x90\xa7"},
    };
    struct fault f = {.text = ""};
    char line[1024];
    const char *end = strstr(samples[0].line, " user@host");
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        snprintf(line, sizeof line, "%.*s %s", (int)(end - samples[0].line), samples[0].line, rows[i].given);
        assert_ok(parse(line, &f));
        assert_string_equal(key.comment, rows[i].kept);
    }
    char filler[401];
    memset(filler, 'x', sizeof filler);
    for (int at = 120; at < 130; at++) { // a sequence is never cut in the middle
        snprintf(line, sizeof line, "%.*s %.*s\xc3\xb6%s", (int)(end - samples[0].line), samples[0].line, at,
                 filler, "yyyyyyyyyy");
        assert_ok(parse(line, &f));
        assert_true(strlen(key.comment) < PUBKEY_COMMENT_SIZE);
        assert_int_not_equal((unsigned char)key.comment[strlen(key.comment) - 1], 0xc3);
    }
}

static enum err collect(const struct pubkey *k, void *arg, struct fault *f)
{
    char *text = arg;
    (void)f;
    strcat(text, k->type);
    strcat(text, ",");
    return strstr(text, "nistp384") != NULL ? ERR_FULL : ERR_NONE;
}

static void files(void **state)
{
    struct fault f = {.text = ""};
    char text[8192], seen[512] = "";
    (void)state;
    snprintf(text, sizeof text, "# mine\r\n\r\n%s\r\n  %s\n\n", samples[0].line, samples[1].line);
    assert_ok(pubkey_parse_file(text, strlen(text), collect, seen, &f));
    assert_string_equal(seen, "ssh-ed25519,ecdsa-sha2-nistp256,");
    seen[0] = '\0';
    snprintf(text, sizeof text, "%s\n\n%s\nbroken\n", samples[0].line, samples[1].line);
    assert_err(ERR_INVALID, pubkey_parse_file(text, strlen(text), collect, seen, &f));
    assert_says("line 4: this is not an SSH public key");
    seen[0] = '\0';
    snprintf(text, sizeof text, "%s\n%s\nnever looked at\n", samples[0].line, samples[2].line);
    assert_err(ERR_FULL, pubkey_parse_file(text, strlen(text), collect, seen, &f));
    assert_err(ERR_INVALID, pubkey_parse_file("# nothing\n\n", 11, collect, seen, &f));
    assert_says("no public key");
    assert_err(ERR_INVALID, pubkey_parse_file("", 0, collect, seen, &f));
    snprintf(text, sizeof text, "\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n");
    assert_err(ERR_INVALID, pubkey_parse_file(text, strlen(text), collect, seen, &f));
    assert_says("private key");
}

static void rsa_numbers(void **state)
{
    // exponent 2, exponent 1, even modulus, leading zero, negative modulus, 2047 bits: by editing the
    // 2048-bit sample
    struct fault f = {.text = ""};
    unsigned char blob[1024], copy[1024];
    char text[2048];
    size_t size = 0;
    (void)state;
    assert_ok(parse(samples[4].line, &f));
    assert_true(base64_decode(key.base64, strlen(key.base64), blob, &size));
    assert_int_equal(blob[14], 3); // 4 + "ssh-rsa" + 4: the exponent's length, 01 00 01
    static const struct {
        size_t at;
        unsigned char value;
        const char *says;
    } edits[] = {{17, 2, "damaged"}, {15, 0x81, "damaged"}, {15, 0, "damaged"}, {23, 0, "damaged"}};
    for (size_t i = 0; i < COUNT(edits); i++) {
        memcpy(copy, blob, size);
        copy[edits[i].at] = edits[i].value;
        base64_encode(copy, size, text);
        assert_err(ERR_INVALID, pubkey_from_base64(text, &key, &f));
        assert_says(edits[i].says);
    }
    memcpy(copy, blob, size);
    copy[size - 1] &= 0xfe;
    base64_encode(copy, size, text);
    assert_err(ERR_INVALID, pubkey_from_base64(text, &key, &f));
    assert_err(ERR_INVALID, parse(sample_rsa_1024, &f));
    assert_says("RSA key of 1024 bits; accepted: 2048");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_read),
        cmocka_unit_test(refusals_have_their_reason),
        cmocka_unit_test(blobs_are_exact),
        cmocka_unit_test(type_and_blob_must_agree),
        cmocka_unit_test(base64_is_canonical),
        cmocka_unit_test(comments),
        cmocka_unit_test(files),
        cmocka_unit_test(rsa_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
