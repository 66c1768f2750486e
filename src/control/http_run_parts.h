// What http_run.c shares with the two forms an answer has: http_answer.c for programs, http_talk.c for the
// command line.
#ifndef CONTROL_HTTP_RUN_PARTS_H
#define CONTROL_HTTP_RUN_PARTS_H

#include <event2/buffer.h>

#include "control/http_run.h"

enum http_waits { WAITS_NOT, WAITS_INPUT, WAITS_FILE, WAITS_SAVED };

struct http_run;

struct http_form {
    void (*text)(struct http_run *r, bool err, const char *data, size_t length);
    void (*file)(struct http_run *r, const char *path, const char *data, size_t length);
    bool (*congested)(struct http_run *r);
    void (*step)(struct http_run *r); // something is waited for, or there may be room again
    void (*finish)(struct http_run *r);
};

#define HTTP_ID_SIZE 33

struct http_run {
    LIST_ENTRY(http_run) entry;
    struct http_runs_owner *owner;
    struct identity who;
    const struct http_form *form;
    struct evhttp_request *request; // being answered; NULL between requests, or if its client is gone
    struct command_run *run;
    bool ended;
    int status;
    enum http_waits waits;
    char path[1024];    // of the file that is waited for
    struct event *step; // what must not happen under the command's feet

    struct http_call call;      // of a program
    struct evbuffer *out, *err; // `out` of a conversation: events that are not sent yet
    json_t *files;
    bool too_long;

    char id[HTTP_ID_SIZE]; // of a conversation
    bool started;          // its answer has begun
};

// NULL: the request has been answered.
struct http_run *http_run_new(struct http_runs_owner *owner, struct evhttp_request *request,
                              const struct identity *who, const struct http_form *form);
// Begins the command; answers the request and frees the run if that fails.
void http_run_start(struct http_run *r, const struct command_request *command);
void http_run_take(struct http_run *r, struct evhttp_request *request); // the next request of a conversation
struct evhttp_request *http_run_let_go(struct http_run *r);             // the connection is evhttp's again
void http_run_wait(struct http_run *r, enum http_waits what);
void http_run_soon(struct http_run *r); // form->step, from the loop

#endif
