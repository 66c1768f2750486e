// Answers in JSON.
#ifndef CONTROL_HTTP_REPLY_H
#define CONTROL_HTTP_REPLY_H

#include <event2/http.h>
#include <jansson.h>

#include "base/fault.h"

int http_status(int exit_status);
void http_add_headers(struct evhttp_request *request, const char *type);
// A whole answer; takes the object (NULL: out of memory).
void http_reply(struct evhttp_request *request, int status, json_t *object);
void http_reply_fault(struct evhttp_request *request, int status, const struct fault *f);
// Bytes as base64; NULL when out of memory.
json_t *http_bytes(const void *data, size_t length);

#endif
