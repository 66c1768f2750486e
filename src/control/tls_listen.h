// The addresses of the HTTPS interface.
#ifndef CONTROL_TLS_LISTEN_H
#define CONTROL_TLS_LISTEN_H

#include <event2/http.h>

#include "base/fault.h"

#define TLS_PORT_SIZE 8

// Listens on all of them (config's listen_tls); writes the port of the first.
MUST_CHECK enum err tls_listen(struct event_base *base, struct evhttp *http, const char *addresses,
                               char port[TLS_PORT_SIZE], struct fault *f);

#endif
