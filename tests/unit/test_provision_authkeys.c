// The managed block of authorized_keys: what is the user's stays, what is ours is exactly what was asked for.
#include <stdlib.h>

#include "provision/authkeys.h"
#include "provision/box.h"
#include "unit/check.h"

#define B AUTHKEYS_BEGIN "\n"
#define E AUTHKEYS_END "\n"
#define K1 "ssh-ed25519 AAAA1 one\n"
#define K2 "ssh-ed25519 AAAA2 two\n"
#define OWN "ssh-rsa AAAAown mine\n"

static void check(const char *old, size_t length, const char *keys, const char *expected)
{
    size_t n = 0;
    // The input is not NUL-terminated: valgrind and ASan see a read beyond it.
    char *exact = malloc(length > 0 ? length : 1);
    memcpy(exact, old, length);
    char *got = authkeys_merge(exact, length, keys, &n);
    free(exact);
    assert_non_null(got);
    assert_string_equal(got, expected);
    assert_int_equal(n, strlen(expected));
    // Doing it again changes nothing.
    char *twice = authkeys_merge(got, n, keys, &n);
    assert_string_equal(twice, expected);
    free(twice);
    free(got);
}

static void merges(void **state)
{
    static const struct {
        const char *old, *keys, *expected;
    } cases[] = {
        {"", K1, B K1 E},
        {"", "", B E},
        {"", "ssh-ed25519 AAAA1 one", B K1 E},                      // no newline at the end
        {B K1 E, K2, B K2 E},                                       // replaced
        {B K1 K2 E, K1, B K1 E},                                    // removed
        {OWN, K1, OWN B K1 E},                                      // appended after what is there
        {"ssh-rsa AAAAown mine", K1, OWN B K1 E},                   // which lacked its newline
        {OWN B K1 E "# note\n" OWN, K2, OWN B K2 E "# note\n" OWN}, // in place, both sides kept
        {"# note\n\n  \n" OWN, K1, "# note\n\n  \n" OWN B K1 E},
        {B K1 E B K2 E, K1, B K1 E},                                          // a second block goes
        {B K1, K2, B K2 E},                                                   // the end line is gone
        {B K1 "\n" OWN, K2, B K2 E "\n" OWN},                                 // ... up to the blank line
        {B K1 "# mine\n" OWN, K2, B K2 E "# mine\n" OWN},                     // ... up to the comment
        {B K1 B K2 E OWN, K2, B K2 E OWN},                                    // ... up to the next block
        {E OWN, K1, OWN B K1 E},                                              // an end without a beginning
        {AUTHKEYS_BEGIN "\r\n" K1 AUTHKEYS_END "  \r\n" OWN, K2, B K2 E OWN}, // edited on Windows
        {" " B K1 E, K2, " " B K1 B K2 E}, // not quite our line: the user's
        {AUTHKEYS_BEGIN "x\n" OWN, K1, AUTHKEYS_BEGIN "x\n" OWN B K1 E},
        {AUTHKEYS_BEGIN, K1, B K1 E},
        {"\n", K1, "\n" B K1 E},
    };
    (void)state;
    for (size_t k = 0; k < COUNT(cases); k++)
        check(cases[k].old, strlen(cases[k].old), cases[k].keys, cases[k].expected);
}

static void null_and_binary(void **state)
{
    static const char binary[] = "a\0b\nssh\0\n";
    size_t n = 0;
    (void)state;
    char *got = authkeys_merge(NULL, 0, K1, &n);
    assert_string_equal(got, B K1 E);
    free(got);
    got = authkeys_merge(binary, sizeof binary - 1, K1, &n);
    assert_memory_equal(got, binary, sizeof binary - 1);
    assert_int_equal(n, sizeof binary - 1 + strlen(B K1 E));
    free(got);
}

// Sizes: every length of a text with a block in it, so every cut of it.
static void every_cut(void **state)
{
    static const char whole[] = OWN B K1 K2 E OWN "# end\n";
    (void)state;
    for (size_t cut = 0; cut < sizeof whole; cut++) {
        size_t n = 0;
        char *exact = malloc(cut + 1);
        memcpy(exact, whole, cut);
        char *got = authkeys_merge(exact, cut, K2, &n);
        assert_non_null(strstr(got, B K2 E));
        assert_null(strstr(strstr(got, B) + 1, B)); // one block
        if (cut >= strlen(OWN))
            assert_memory_equal(got, OWN, strlen(OWN));
        free(got);
        free(exact);
    }
}

static void host_key_lines(void **state)
{
#define BLOB "AAAAC3NzaC1lZDI1NTE5AAAAIBv0p4yrDwn1cdgEMl8FA8SCEbJSnTZqsOfvCaeyfKt2"
    char out[160] = "";
    char tight[40] = "";
    static const char *const bad[] = {
        "",
        "\n",
        "ssh-ed25519",
        "ssh-ed25519 \n",
        "ssh-ed25519 short",
        "ssh-dss " BLOB,
        "SSH-ED25519 " BLOB,
        "ssh-ed25519 " BLOB "\x01",
        "ssh-ed25519 \"" BLOB,
        "@cert-authority * ssh-ed25519 " BLOB,
        "ssh-ed25519,ssh-rsa " BLOB,
    };
    (void)state;
    assert_true(box_hostkey_line("ssh-ed25519 " BLOB " root@box\n", strlen("ssh-ed25519 " BLOB " root@box\n"),
                                 out, sizeof out));
    assert_string_equal(out, "ssh-ed25519 " BLOB "\n");
    for (size_t k = 0; k < COUNT(bad); k++)
        assert_false(box_hostkey_line(bad[k], strlen(bad[k]), out, sizeof out));
    assert_false(
        box_hostkey_line("ssh-ed25519 " BLOB "\0x", strlen("ssh-ed25519 " BLOB) + 2, out, sizeof out));
    assert_string_equal(out, "ssh-ed25519 " BLOB "\n"); // unchanged by what was refused
    assert_false(box_hostkey_line("ssh-ed25519 " BLOB, strlen("ssh-ed25519 " BLOB), tight, sizeof tight));
    assert_string_equal(tight, "");
    char *huge = malloc(200000);
    memset(huge, 'A', 200000);
    memcpy(huge, "ssh-rsa ", 8);
    assert_false(box_hostkey_line(huge, 200000, out, sizeof out));
    free(huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges),
        cmocka_unit_test(null_and_binary),
        cmocka_unit_test(every_cut),
        cmocka_unit_test(host_key_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
