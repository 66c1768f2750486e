// What is asked over the HTTPS interface, and the answers:
//
//   GET  /openapi.json      the interface described, made from the command table
//   GET  /v1                the verbs
//   POST /v1/VERB           one command, JSON to JSON: for programs (http_call.h)
//   POST /conversation      one command as the command line carries it (http_run.h): lines of JSON
//   POST /conversation/ID   what it waits for
#ifndef CONTROL_HTTP_API_H
#define CONTROL_HTTP_API_H

#include <event2/http.h>
#include <jansson.h>

#include "control/control.h"

struct http_api;
struct tls_server;

struct http_api *http_api_new(struct control *c, struct tls_server *server); // NULL when out of memory
void http_api_free(struct http_api *api);                                    // commands that run are detached
void http_api_on_request(struct evhttp_request *request, void *api);

// The OpenAPI 3 document.
json_t *openapi_document(void);

#endif
