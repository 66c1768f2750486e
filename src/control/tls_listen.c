// Opens listeners and gives them to evhttp.
#include "control/tls_listen.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/listener.h>
#include <event2/util.h>

#include "base/config.h"
#include "base/log.h"

#define BACKLOG 128

// An IPv6 address is only that, as for SSH: 0.0.0.0 and [::] stand side by side.
static bool listen_one(struct event_base *base, struct evhttp *http, const char *host, uint16_t port)
{
    bool six = strchr(host, ':') != NULL;
    unsigned flags =
        LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE | (six ? LEV_OPT_BIND_IPV6ONLY : 0);
    struct sockaddr_storage address;
    int length = sizeof address;
    char text[80];
    snprintf(text, sizeof text, six ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
    if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&address, &length) != 0)
        return false;
    struct evconnlistener *listener =
        evconnlistener_new_bind(base, NULL, NULL, flags, BACKLOG, (struct sockaddr *)&address, length);
    if (listener != NULL && evhttp_bind_listener(http, listener) != NULL)
        return true;
    if (listener != NULL)
        evconnlistener_free(listener);
    return false;
}

enum err tls_listen(struct event_base *base, struct evhttp *http, const char *addresses,
                    char port[TLS_PORT_SIZE], struct fault *f)
{
    const char *cursor = addresses;
    char host[64];
    uint16_t number = 0;
    port[0] = '\0';
    while (config_listen_next(&cursor, host, sizeof host, &number)) {
        if (!listen_one(base, http, host, number))
            return fault_errno(f, ERR_IO, "cannot listen on %s port %u for TLS", host, (unsigned)number);
        if (port[0] == '\0')
            snprintf(port, TLS_PORT_SIZE, "%u", (unsigned)number);
        log_event(LOG_LEVEL_INFO, "listening_tls", "addr=%s port=%u", host, (unsigned)number);
    }
    return ERR_NONE;
}
