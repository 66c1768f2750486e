// One command that was asked for over HTTPS.
//
// For programs it is one request and one answer:
//   {"exit": 0, "result": {...}, "stderr": "...", "files": {"PATH": BASE64}}
// `result` is what --json prints; text that is not JSON (audit --format csv) is in `stdout` instead.
//
// For the command line it is a conversation, because files, standard input and questions are wanted when they
// are wanted: an answer is lines of JSON, each one event, as they happen; it ends with `exit`, or with what
// is waited for and where to send it. Bytes are in BASE64.
//   {"out": BASE64}  {"err": BASE64}  {"save": PATH, "data": BASE64}  {"exit": 0}
//   {"want": "input" | "file" | "saved", "path": PATH, "conversation": ID}
// and POST /conversation/ID takes {"input": BASE64, "end": true}, {"file": BASE64} or {"fault": TEXT} (which
// is the answer to "saved" as well: "" if all is well).
#ifndef CONTROL_HTTP_RUN_H
#define CONTROL_HTTP_RUN_H

#include <sys/queue.h>

#include <event2/http.h>
#include <jansson.h>

#include "control/command.h"
#include "control/http_call.h"

struct http_run;
LIST_HEAD(http_runs, http_run);

struct http_runs_owner {
    struct control *control;
    struct tls_server *server;
    struct http_runs runs;
    unsigned count;
};

#define HTTP_RUNS_MAX 64

// Each answers the request, at once or later. `call` is taken over.
void http_run_call(struct http_runs_owner *owner, struct evhttp_request *request, const struct identity *who,
                   struct http_call *call);
void http_run_converse(struct http_runs_owner *owner, struct evhttp_request *request,
                       const struct identity *who, const json_t *body);
// What a conversation waits for has come. False if there is no such conversation of this holder.
bool http_run_continue(struct http_runs_owner *owner, struct evhttp_request *request,
                       const struct identity *who, const char *id, const json_t *body);
void http_runs_free(struct http_runs_owner *owner);

#endif
