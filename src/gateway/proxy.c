#include "gateway/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/units.h"

#define V1_MAX 107    // "PROXY TCP6 ...\r\n" at its longest
#define V2_FIXED 16   // signature, version and command, family and protocol, length
#define BEGINNING 12  // enough to tell the versions apart; no header is shorter
#define V2_COMMAND 12 // offsets
#define V2_FAMILY 13
#define V2_LENGTH 14
#define V2_TCP4 0x11 // AF_INET, STREAM
#define V2_TCP6 0x21

static const uint8_t v1_signature[] = {'P', 'R', 'O', 'X', 'Y', ' '};
static const uint8_t v2_signature[BEGINNING] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                                '\n', 'Q',  'U',  'I',  'T', '\n'};

static bool begins(const uint8_t *data, size_t length, const uint8_t *signature, size_t size)
{
    return memcmp(data, signature, length < size ? length : size) == 0;
}

static bool is_v1(const uint8_t *data, size_t length)
{
    return begins(data, length, v1_signature, sizeof v1_signature);
}

static bool is_v2(const uint8_t *data, size_t length)
{
    return begins(data, length, v2_signature, sizeof v2_signature);
}

static size_t v2_size(const uint8_t *data)
{
    return V2_FIXED + ((size_t)data[V2_LENGTH] << 8 | data[V2_LENGTH + 1]);
}

size_t proxy_wanted(const uint8_t *data, size_t length)
{
    if (!is_v1(data, length) && !is_v2(data, length))
        return 0;
    if (length < BEGINNING)
        return BEGINNING - length;
    // A line has no length in front: byte by byte, so that nothing of SSH is taken with it.
    if (is_v1(data, length))
        return length < V1_MAX && data[length - 1] != '\n' ? 1 : 0;
    if (length < V2_FIXED)
        return V2_FIXED - length;
    size_t size = v2_size(data);
    return size > PROXY_HEADER_MAX || length >= size ? 0 : size - length;
}

// "192.0.2.7" in any spelling inet_pton knows, as we write it everywhere else.
static bool set_address(struct proxy_peer *out, int family, const void *raw)
{
    return inet_ntop(family, raw, out->address, sizeof out->address) != NULL;
}

static bool v1_port(const char *text, uint16_t *port)
{
    unsigned n = 0;
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > 5 || text[length] != '\0')
        return false;
    for (; *text != '\0'; text++)
        n = n * 10 + (unsigned)(*text - '0');
    *port = (uint16_t)n;
    return n <= UINT16_MAX;
}

static enum err v1_parse(const uint8_t *data, size_t length, struct proxy_peer *out, struct fault *f)
{
    char line[V1_MAX + 1], *save = NULL, *word[6] = {NULL};
    uint8_t source[sizeof(struct in6_addr)], target[sizeof(struct in6_addr)];
    uint16_t target_port = 0;
    size_t count = 0;
    if (length > V1_MAX || length < 2 || memcmp(data + length - 2, "\r\n", 2) != 0 ||
        memchr(data, '\0', length) != NULL)
        return fault_set(f, ERR_PROTOCOL, "its PROXY line has no end within %d bytes", V1_MAX);
    memcpy(line, data, length - 2);
    line[length - 2] = '\0';
    char *one = strtok_r(line, " ", &save);
    for (; one != NULL && count < 6; one = strtok_r(NULL, " ", &save))
        word[count++] = one;
    if (count >= 2 && strcmp(word[1], "UNKNOWN") == 0) // whatever follows: to be ignored
        return ERR_NONE;
    int family = count >= 2 && strcmp(word[1], "TCP6") == 0 ? AF_INET6 : AF_INET;
    if (count != 6 || one != NULL || (family == AF_INET && strcmp(word[1], "TCP4") != 0) ||
        inet_pton(family, word[2], source) != 1 || inet_pton(family, word[3], target) != 1 ||
        !v1_port(word[4], &out->port) || !v1_port(word[5], &target_port) || !set_address(out, family, source))
        return fault_set(f, ERR_PROTOCOL, "its PROXY line does not name two addresses and two ports");
    return ERR_NONE;
}

static enum err v2_parse(const uint8_t *data, size_t length, struct proxy_peer *out, struct fault *f)
{
    if (length < V2_FIXED || v2_size(data) != length)
        return fault_set(f, ERR_PROTOCOL, "its PROXY header is longer than %d bytes or cut off",
                         PROXY_HEADER_MAX);
    unsigned version = data[V2_COMMAND] >> 4, command = data[V2_COMMAND] & 0xf, family = data[V2_FAMILY];
    if (version != 2 || command > 1)
        return fault_set(f, ERR_PROTOCOL, "its PROXY header has version %u, command %u", version, command);
    bool v6 = family == V2_TCP6;
    size_t size = v6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
    // LOCAL: the proxy itself, for a health check. What is no TCP over IP names nobody: 0x00 unspecified,
    // 0x31 a unix socket.
    if (command == 0 || family == 0x00 || family == 0x31)
        return ERR_NONE;
    if (!v6 && family != V2_TCP4)
        return fault_set(f, ERR_PROTOCOL,
                         "its PROXY header has family 0x%02x; accepted: TCP over IPv4 or IPv6", family);
    const uint8_t *block = data + V2_FIXED;
    if (length < V2_FIXED + 2 * size + 4 || !set_address(out, v6 ? AF_INET6 : AF_INET, block))
        return fault_set(f, ERR_PROTOCOL, "its PROXY header is too short for its addresses");
    out->port = (uint16_t)(block[2 * size] << 8 | block[2 * size + 1]);
    return ERR_NONE; // what follows the addresses are extensions
}

enum err proxy_parse(const uint8_t *data, size_t length, struct proxy_peer *out, struct fault *f)
{
    enum err e = ERR_PROTOCOL;
    *out = (struct proxy_peer){.port = 0};
    if (length >= BEGINNING && is_v2(data, length))
        e = v2_parse(data, length, out, f);
    else if (length >= BEGINNING && is_v1(data, length))
        e = v1_parse(data, length, out, f);
    else
        fault_set(f, ERR_PROTOCOL, "it does not begin with a PROXY header");
    if (e != ERR_NONE)
        *out = (struct proxy_peer){.port = 0};
    return e;
}

static enum err read_some(int fd, uint8_t *data, size_t *length, size_t wanted, uint64_t until,
                          struct fault *f)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    uint64_t now = monotonic_ms();
    int ready = now < until ? poll(&p, 1, (int)(until - now)) : 0;
    if (ready == 0)
        return fault_set(f, ERR_TIMEOUT, "its PROXY header did not come in time");
    ssize_t n = ready < 0 ? -1 : recv(fd, data + *length, wanted, MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return ERR_NONE;
    if (n < 0)
        return fault_errno(f, ERR_IO, "cannot read its PROXY header");
    if (n == 0)
        return fault_set(f, ERR_UNAVAILABLE, "it closed before its PROXY header was whole");
    *length += (size_t)n;
    return ERR_NONE;
}

enum err proxy_read(int fd, uint64_t timeout_ms, struct proxy_peer *out, struct fault *f)
{
    uint8_t data[PROXY_HEADER_MAX];
    uint64_t until = monotonic_ms() + timeout_ms;
    size_t length = 0, wanted;
    *out = (struct proxy_peer){.port = 0};
    while ((wanted = proxy_wanted(data, length)) > 0) {
        enum err e = read_some(fd, data, &length, wanted, until, f);
        if (e != ERR_NONE)
            return e;
    }
    return proxy_parse(data, length, out, f);
}
