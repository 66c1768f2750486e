// The HTTPS interface's connections: who may connect (mutual TLS), how many, and for how long they may keep
// us waiting. What is asked over them is http_api.c's. Everything runs on the one loop: handshakes are
// limited in number and rate, and cut when they take too long.
#ifndef CONTROL_TLS_SERVER_H
#define CONTROL_TLS_SERVER_H

#include <event2/http.h>

#include "control/admin_socket.h"
#include "control/tls_context.h"

struct tls_server;

// *out is NULL if [control] listen_tls is empty. Without usable certificates it waits for them and says so in
// the log; only addresses that cannot be listened on are an error.
MUST_CHECK enum err tls_server_new(struct control *c, struct tls_server **out, struct fault *f);
void tls_server_free(struct tls_server *s);

// The files have changed: reads them, begins to listen if it could not before, and cuts every connection
// whose certificate does not count any more.
void tls_server_refresh(struct control *c);

// Of the first address that is listened on; NULL if none is.
const char *tls_server_port(const struct control *c);

// For http_api.c. Who is at the other end of this request's connection; asked anew for every request.
MUST_CHECK enum err tls_server_identify(struct tls_server *s, struct evhttp_request *request,
                                        struct identity *out, struct fault *f);
// A request is being answered (its client cannot be slow now), or is done.
void tls_server_busy(struct tls_server *s, struct evhttp_connection *connection, bool busy);

#endif
