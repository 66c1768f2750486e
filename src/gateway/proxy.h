// PROXY protocol, versions 1 and 2: the line or header a load balancer puts in front of a connection to say
// whose it is. Source: HAProxy's doc/proxy-protocol.txt. Reads exactly the header; what follows stays in the
// socket.
#ifndef GATEWAY_PROXY_H
#define GATEWAY_PROXY_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

#define PROXY_HEADER_MAX 4096 // bytes; version 1 has at most 107, version 2 allows more for its extensions

struct proxy_peer {
    char
        address[64]; // numeric; "" when the proxy speaks for itself or names no IP address: keep the socket's
    uint16_t port;
};

// How many more bytes certainly belong to the header that begins with these: 0 when it is complete or wrong.
size_t proxy_wanted(const uint8_t *data, size_t length);

// A complete header. ERR_PROTOCOL with what is wrong about it.
MUST_CHECK enum err proxy_parse(const uint8_t *data, size_t length, struct proxy_peer *out, struct fault *f);

// Reads the header off a socket, within timeout_ms; blocks this process. ERR_UNAVAILABLE if the peer
// closed before it was whole (a health check does), ERR_TIMEOUT, ERR_IO, ERR_PROTOCOL.
MUST_CHECK enum err proxy_read(int fd, uint64_t timeout_ms, struct proxy_peer *out, struct fault *f);

#endif
