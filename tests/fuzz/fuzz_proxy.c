// A PROXY header from a load balancer. Whatever the bytes: reading it ends, never wants bytes behind it, and
// what it names is an address that can be named again.
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_peer peer;
    struct fault f;
    uint8_t raw[16];
    size_t length = 0, wanted;
    while ((wanted = proxy_wanted(data, length)) > 0) {
        if (length + wanted > PROXY_HEADER_MAX)
            abort();
        if (length + wanted > size)
            return 0;
        length += wanted;
    }
    if (proxy_parse(data, length, &peer, &f) != ERR_NONE)
        return 0;
    if (peer.address[0] != '\0' && inet_pton(AF_INET, peer.address, raw) != 1 &&
        inet_pton(AF_INET6, peer.address, raw) != 1)
        abort();
    return 0;
}
