// The configuration file: defaults, every kind of mistake with its place and its remedy, dump and read back.
#include "unit/check.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/config.h"

static struct config config;

// Parses text; what was complained about goes into `errors`.
static enum err parse(const char *text, char *errors, size_t size, struct fault *f)
{
    char *buffer = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&buffer, &length);
    enum err e = config_parse(&config, "test.conf", text, strlen(text), out, f);
    fclose(out);
    snprintf(errors, size, "%s", buffer);
    free(buffer);
    return e;
}

static void defaults(void **state)
{
    uint32_t first = 0, last = 0;
    struct in_addr a;
    (void)state;
    config_defaults(&config);
    assert_string_equal(config.listen, "0.0.0.0:22 [::]:22");
    assert_int_equal(config.login_grace, 30000);
    assert_int_equal(config.max_connections, 2000);
    assert_int_equal(config.box_disk, 20000000000);
    assert_int_equal(config.box_memory, 2000000000);
    assert_true(config.box_autostart);
    assert_string_equal(config.public_host, "");
    assert_string_equal(config.log_level, "info");
    config_subnet_range(&config, &first, &last);
    a.s_addr = htonl(first);
    assert_string_equal(inet_ntoa(a), "10.178.0.16");
    a.s_addr = htonl(last);
    assert_string_equal(inet_ntoa(a), "10.178.15.254");
}

static void table_is_sound(void **state)
{
    (void)state;
    for (const struct config_option *o = config_options(); o->key != NULL; o++) {
        size_t help = strlen(o->help);
        assert_true(help > 10 && o->help[help - 1] == '.');
        assert_true(o->offset < sizeof(struct config));
        for (const struct config_option *p = config_options(); p < o; p++)
            assert_false(p->offset == o->offset ||
                         (strcmp(p->section, o->section) == 0 && strcmp(p->key, o->key) == 0));
    }
}

static void good_file(void **state)
{
    static const char text[] = "\xef\xbb\xbf# comment\r\n"
                               "[gateway]\n"
                               "listen = 127.0.0.1:2222   [::1]:2222 ; two\n"
                               "   login_grace=10s\r\n" // indented: a key, not a continuation
                               "\tkeepalive: 0s\n"
                               "[box]\n"
                               "disk = 8GiB\n"
                               "cpu = 0-3\n"
                               "autostart = no\n"
                               "subnet = 10.0.0.0/16\n"
                               "address_first = 10.0.0.2\n"
                               "jump_ports = 22 80 8000-8999\n"
                               "[control]\n"
                               "public_host =\n"
                               "[log]\n"
                               "level = debug"; // no newline at the end
    struct fault f = {.text = ""};
    char errors[4096], host[64];
    uint16_t port = 0;
    (void)state;
    assert_ok(parse(text, errors, sizeof errors, &f));
    assert_string_equal(errors, "");
    assert_int_equal(config.login_grace, 10000);
    assert_int_equal(config.keepalive, 0);
    assert_int_equal(config.box_disk, 8589934592);
    assert_string_equal(config.box_cpu, "0-3");
    assert_false(config.box_autostart);
    assert_string_equal(config.log_level, "debug");
    const char *cursor = config.listen;
    assert_true(config_listen_next(&cursor, host, sizeof host, &port));
    assert_string_equal(host, "127.0.0.1");
    assert_int_equal(port, 2222);
    assert_true(config_listen_next(&cursor, host, sizeof host, &port));
    assert_string_equal(host, "::1");
    assert_false(config_listen_next(&cursor, host, sizeof host, &port));
}

static void every_mistake_is_reported(void **state)
{
    static const char text[] = "stray = 1\n"            // 1
                               "[box]\n"                // 2
                               "disc = 1GB\n"           // 3
                               "disk = 20 potatoes\n"   // 4
                               "cpu = 2\n"              // 5
                               "cpu = 4\n"              // 6
                               "level = debug\n"        // 7
                               "no value\n"             // 8
                               "[bx]\n"                 // 9
                               "disk = 1GB\n"           // 10
                               "[gateway\n"             // 11
                               "[gateway] x\n"          // 12
                               "max_channels = 0\n"     // 13
                               "login_grace = 2d\n"     // 14
                               "[zzzzzzzzzzz]\n"        // 15
                               "[control]\n"            // 16
                               "state_dir = relative\n" // 17
                               "qqqqqqqqqq = 1\n";      // 18
    static const char *const wanted[] = {
        "test.conf:1: stray: stands before the first section",
        "test.conf:3: [box] disc: no such key; did you mean disk?",
        "test.conf:4: [box] disk: \"20 potatoes\" is not a size; accepted: 500MB 8GB",
        "test.conf:6: [box] cpu: was given on line 5 already",
        "test.conf:7: [box] level: no such key here; it belongs into [log]",
        "test.conf:8: expected \"key = value\"",
        "test.conf:9: [bx] is not a section; did you mean [box]?",
        "test.conf:11: a section is written [name], the ] is missing",
        "test.conf:12: unexpected text after [gateway]",
        "test.conf:13: [gateway] max_channels: \"0\" is not a number from 1 to 65536",
        "test.conf:14: [gateway] login_grace: \"2d\" is out of range; accepted: 1s to 1d",
        "test.conf:15: [zzzzzzzzzzz] is not a section; accepted: [gateway] [control] [incus] [box] [limits] "
        "[bans] [enrol] [audit] [metrics] [log]",
        "test.conf:17: [control] state_dir: \"relative\" does not fit; accepted: an absolute path",
        "test.conf:18: [control] qqqqqqqqqq: no such key; containariumd --dump lists all",
    };
    struct fault f = {.text = ""};
    char errors[8192];
    unsigned lines = 0;
    (void)state;
    memset(&config, 0x5a, sizeof config);
    assert_err(ERR_INVALID, parse(text, errors, sizeof errors, &f));
    for (size_t i = 0; i < COUNT(wanted); i++) {
        if (strstr(errors, wanted[i]) == NULL)
            fail_msg("missing: %s\nin:\n%s", wanted[i], errors);
    }
    for (const char *p = errors; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, COUNT(wanted));
    assert_says("test.conf:1:");
    for (size_t i = 0; i < sizeof config; i++) // nothing was taken over
        assert_int_equal(((unsigned char *)&config)[i], 0x5a);
}

static void values(void **state)
{
    static const struct {
        const char *section, *key, *value;
        bool good;
    } rows[] = {
        {"gateway", "listen", "", false},
        {"gateway", "listen", "22", false},
        {"gateway", "listen", "localhost:22", false},
        {"gateway", "listen", "0.0.0.0:0", false},
        {"gateway", "listen", "0.0.0.0:65536", false},
        {"gateway", "listen", "::1:22", false},
        {"gateway", "listen", "0.0.0.0:22 x", false},
        {"gateway", "listen", "[fe80::1]:65535", true},
        {"gateway", "kex", "", false},
        {"gateway", "kex", "a,,b", false},
        {"gateway", "kex", "a, b", false},
        {"gateway", "kex", "curve25519-sha256@libssh.org", true},
        {"gateway", "rsa_min_bits", "1024", false},
        {"gateway", "rsa_min_bits", "18446744073709551617", false},
        {"gateway", "rsa_min_bits", "2048", true},
        {"control", "job_threads", "64", true},
        {"control", "job_threads", "65", false},
        {"control", "job_threads", "-1", false},
        {"control", "gateway_user", "", false},
        {"control", "gateway_user", "a b", false},
        {"control", "gateway_user", "-x", false},
        {"control", "public_port", "65536", false},
        {"incus", "url", "http://127.0.0.1:8443", false},
        {"incus", "url", "https://", false},
        {"incus", "url", "https://u@h/path", false},
        {"incus", "url", "https://[::1]:8443", true},
        {"incus", "image", "", false},
        {"box", "disk", "1MB", false},
        {"box", "autostart", "maybe", false},
        {"box", "autostart", "off", true},
        {"box", "subnet", "10.178.0.0/24", false},
        {"box", "subnet", "10.178.0.0/7", false},
        {"box", "subnet", "10.178.0.1/20", false},
        {"box", "subnet", "10.178.0.0", false},
        {"box", "subnet", "10.178.0.0/20x", false},
        {"box", "address_first", "10.178.0.1", false}, // the bridge
        {"box", "address_first", "10.178.0.2", true},
        {"box", "address_first", "10.178.15.254", true},
        {"box", "address_first", "10.178.15.255", false}, // broadcast
        {"box", "address_first", "10.179.0.16", false},
        {"box", "jump_ports", "", false},
        {"box", "jump_ports", "0", false},
        {"box", "jump_ports", "80-22", false},
        {"box", "jump_ports", "22,80", false},
        {"box", "jump_ports", "1-65535", true},
        {"log", "level", "loud", false},
        {"log", "level", "warn error", false},
        {"log", "level", "", false},
        {"log", "level", "error", true},
    };
    struct fault f = {.text = ""};
    char text[256], errors[2048];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        snprintf(text, sizeof text, "[%s]\n%s = %s\n", rows[i].section, rows[i].key, rows[i].value);
        enum err e = parse(text, errors, sizeof errors, &f);
        if ((e == ERR_NONE) != rows[i].good)
            fail_msg("%s%s", text, errors);
        if (e != ERR_NONE) {
            assert_says("test.conf:2:");
            assert_says(rows[i].key);
        }
    }
}

static void odd_bytes(void **state)
{
    static char text[4096], errors[2048];
    struct fault f = {.text = ""};
    (void)state;
    assert_err(ERR_INVALID, config_parse(&config, "x", "[box]\nd\0k = 1", 13, NULL, &f));
    assert_says("x:2:");
    assert_ok(config_parse(&config, "x", "", 0, NULL, &f));
    memset(text, 'x', sizeof text - 1);
    memcpy(text, "# ", 2);
    assert_ok(parse(text, errors, sizeof errors, &f)); // a long comment is nobody's business
    memcpy(text, "[box]\ncpu =", 11);
    assert_err(ERR_INVALID, parse(text, errors, sizeof errors, &f));
    assert_says("longer than");
    snprintf(text, sizeof text, "[control]\npublic_host = %0300d\n", 1);
    assert_err(ERR_INVALID, parse(text, errors, sizeof errors, &f));
    assert_says("public_host");
    snprintf(text, sizeof text, "[gateway]\nciphers = %0500d\n", 1); // longer than inih's usual line
    assert_ok(parse(text, errors, sizeof errors, &f));
    assert_int_equal(strlen(config.ciphers), 500);
}

static void dump_reads_back(void **state)
{
    static struct config before;
    struct fault f = {.text = ""};
    char *text = NULL, errors[2048];
    size_t length = 0;
    (void)state;
    assert_ok(parse("[box]\ndisk = 1536MiB\nautostart = no\n[gateway]\nkeepalive = 1500ms\n", errors,
                    sizeof errors, &f));
    before = config;
    FILE *out = open_memstream(&text, &length);
    config_dump(&config, out);
    fclose(out);
    memset(&config, 0, sizeof config);
    assert_ok(parse(text, errors, sizeof errors, &f));
    assert_memory_equal(&before, &config, sizeof config);
    for (const struct config_option *o = config_options(); o->key != NULL; o++)
        assert_non_null(strstr(text, o->help));
    free(text);
    out = open_memstream(&text, &length);
    config_dump_mdoc(out);
    fclose(out);
    assert_non_null(strstr(text, ".It Ic max_channels"));
    free(text);
}

static void files(void **state)
{
    char path[] = "/tmp/containarium-config-XXXXXX";
    struct fault f = {.text = ""};
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "[log]\nlevel = warn\n", 19), 19);
    assert_ok(config_load(&config, path, NULL, &f));
    assert_string_equal(config.log_level, "warn");
    for (int i = 0; i < 20; i++) {
        static char filler[65536];
        memset(filler, '\n', sizeof filler);
        assert_int_equal(write(fd, filler, sizeof filler), sizeof filler);
    }
    assert_err(ERR_INVALID, config_load(&config, path, NULL, &f));
    assert_says("larger than 1 MiB");
    close(fd);
    unlink(path);
    assert_err(ERR_NOTFOUND, config_load(&config, path, NULL, &f));
    assert_says("--dump");
    assert_ok(config_load(&config, "/dev/null", NULL, &f)); // what the message says works
    assert_err(ERR_IO, config_load(&config, "/tmp", NULL, &f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),        cmocka_unit_test(table_is_sound),
        cmocka_unit_test(good_file),       cmocka_unit_test(every_mistake_is_reported),
        cmocka_unit_test(values),          cmocka_unit_test(odd_bytes),
        cmocka_unit_test(dump_reads_back), cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
