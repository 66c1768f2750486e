// PROXY protocol headers, good and bad, and that exactly the header is read.
#include "unit/check.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define PEER_V4 "\xc0\x00\x02\x07\xcb\x00\x71\x01\x9c\x40\x00\x16" // 192.0.2.7:40000 -> 203.0.113.1:22
#define PEER_V6                                                                                              \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x9c\x40\x00\x16"
#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

static const struct {
    const uint8_t *data;
    size_t length;
    const char *address; // NULL: refused
    uint16_t port;
} rows[] = {
    {BYTES("PROXY TCP4 192.0.2.7 203.0.113.1 40000 22\r\n"), "192.0.2.7", 40000},
    {BYTES("PROXY TCP6 2001:db8:0::7 2001:db8::1 1 22\r\n"), "2001:db8::7", 1},
    {BYTES("PROXY UNKNOWN\r\n"), "", 0},
    {BYTES("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), "", 0},
    {BYTES("PROXY TCP4 192.0.2.7 203.0.113.1 40000\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.7 203.0.113.1 40000 22 7\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.7 203.0.113.1 65536 22\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.7 203.0.113.1 -1 22\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.256 203.0.113.1 1 22\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 2001:db8::7 2001:db8::1 1 22\r\n"), NULL, 0},
    {BYTES("PROXY TCP6 192.0.2.7 203.0.113.1 1 22\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.7 203.0.113.1 40000 22\n"), NULL, 0},
    {BYTES("PROXY UDP4 192.0.2.7 203.0.113.1 40000 22\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.7\0 203.0.113.1 40000 22\r\n"), NULL, 0},
    {BYTES("SSH-2.0-OpenSSH_9.2p1\r\n"), NULL, 0},
    {BYTES(SIGNATURE "\x21\x11\0\x0c" PEER_V4), "192.0.2.7", 40000},
    {BYTES(SIGNATURE "\x21\x21\0\x24" PEER_V6), "2001:db8::7", 40000},
    {BYTES(SIGNATURE "\x21\x11\0\x10" PEER_V4 "\x04\0\x01x"), "192.0.2.7", 40000}, // an extension
    {BYTES(SIGNATURE "\x20\0\0\0"), "", 0},                                        // LOCAL
    {BYTES(SIGNATURE "\x20\x11\0\x0c" PEER_V4), "", 0},
    {BYTES(SIGNATURE "\x21\0\0\0"), "", 0}, // unspecified
    {BYTES(SIGNATURE "\x21\x11\0\x0b\xc0\0\x02\x07\0\0\0\0\0\0\0"), NULL, 0},
    {BYTES(SIGNATURE "\x21\x12\0\x0c" PEER_V4), NULL, 0}, // UDP
    {BYTES(SIGNATURE "\x22\x11\0\x0c" PEER_V4), NULL, 0}, // no such command
    {BYTES(SIGNATURE "\x31\x11\0\x0c" PEER_V4), NULL, 0}, // no such version
    {BYTES(SIGNATURE "\x21\x11\xff\xff" PEER_V4), NULL, 0},
};

static void headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct proxy_peer peer;
        struct fault f = {.text = ""};
        enum err e = proxy_parse(rows[i].data, rows[i].length, &peer, &f);
        if ((e == ERR_NONE) != (rows[i].address != NULL))
            fail_msg("row %zu: %s", i, e == ERR_NONE ? "accepted" : f.text);
        assert_string_equal(peer.address, rows[i].address == NULL ? "" : rows[i].address);
        assert_int_equal(peer.port, rows[i].port);
        if (e != ERR_NONE)
            assert_true(f.text[0] != '\0');
    }
}

// With any part of a good header, what is wanted next stays within it.
static void never_wants_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t n = 0; rows[i].address != NULL && n <= rows[i].length; n++) {
            size_t wanted = proxy_wanted(rows[i].data, n);
            assert_true(n + wanted <= rows[i].length);
            assert_true((wanted == 0) == (n == rows[i].length));
        }
    }
}

static void reads_the_header_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int pair[2];
        char rest[16] = "";
        struct proxy_peer peer;
        struct fault f = {.text = ""};
        if (rows[i].address == NULL)
            continue;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(send(pair[0], rows[i].data, rows[i].length, 0), rows[i].length);
        assert_int_equal(send(pair[0], "SSH-2.0-", 8, 0), 8);
        assert_ok(proxy_read(pair[1], 10000, &peer, &f));
        assert_string_equal(peer.address, rows[i].address);
        assert_int_equal(recv(pair[1], rest, sizeof rest, 0), 8);
        assert_string_equal(rest, "SSH-2.0-");
        close(pair[0]);
        close(pair[1]);
    }
}

static void waits_so_long_and_no_longer(void **state)
{
    int pair[2];
    struct proxy_peer peer;
    struct fault f = {.text = ""};
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(send(pair[0], "PROXY TCP4 1", 12, 0), 12);
    assert_err(ERR_TIMEOUT, proxy_read(pair[1], 50, &peer, &f));
    close(pair[0]);
    assert_err(ERR_UNAVAILABLE, proxy_read(pair[1], 10000, &peer, &f));
    assert_says("closed");
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),
        cmocka_unit_test(never_wants_more),
        cmocka_unit_test(reads_the_header_alone),
        cmocka_unit_test(waits_so_long_and_no_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
