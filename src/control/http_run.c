// Owns commands that were asked for over HTTPS, from the request to the last byte of the answer, and in
// between, when a conversation has no request at hand.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/log.h"
#include "control/http_reply.h"
#include "control/http_run_parts.h"
#include "control/tls_server.h"

struct evhttp_request *http_run_let_go(struct http_run *r)
{
    struct evhttp_request *request = r->request;
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    r->request = NULL;
    r->started = false;
    evhttp_connection_set_closecb(connection, NULL, NULL);
    tls_server_busy(r->owner->server, connection, false);
    return request;
}

// ---- what the command says

void http_run_soon(struct http_run *r)
{
    event_active(r->step, EV_TIMEOUT, 0);
}

static void sink_out(void *arg, const char *data, size_t length)
{
    struct http_run *r = arg;
    r->form->text(r, false, data, length);
}

static void sink_err(void *arg, const char *data, size_t length)
{
    struct http_run *r = arg;
    r->form->text(r, true, data, length);
}

void http_run_wait(struct http_run *r, enum http_waits what)
{
    r->waits = what;
    http_run_soon(r);
}

static void sink_want(void *arg)
{
    http_run_wait(arg, WAITS_INPUT);
}

static void sink_read(void *arg, const char *path)
{
    struct http_run *r = arg;
    snprintf(r->path, sizeof r->path, "%s", path);
    http_run_wait(r, WAITS_FILE);
}

static void sink_sync(void *arg)
{
    http_run_wait(arg, WAITS_SAVED);
}

static void sink_save(void *arg, const char *path, const char *data, size_t length)
{
    struct http_run *r = arg;
    r->form->file(r, path, data, length);
}

static bool sink_congested(void *arg)
{
    struct http_run *r = arg;
    return r->form->congested(r);
}

static void sink_exit(void *arg, int status)
{
    struct http_run *r = arg;
    r->ended = true;
    r->status = status;
    http_run_soon(r);
}

static const struct command_sink sink = {
    .out = sink_out,
    .err = sink_err,
    .want = sink_want,
    .read = sink_read,
    .save = sink_save,
    .congested = sink_congested,
    .exit = sink_exit,
    .sync = sink_sync,
};

// ---- life

static void http_run_free(struct http_run *r)
{
    if (r->request != NULL)
        (void)http_run_let_go(r);
    LIST_REMOVE(r, entry);
    r->owner->count--;
    command_free(r->run);
    http_call_clear(&r->call);
    json_decref(r->files);
    if (r->out != NULL)
        evbuffer_free(r->out);
    if (r->err != NULL)
        evbuffer_free(r->err);
    if (r->step != NULL)
        event_free(r->step);
    free(r);
}

static void finish(struct http_run *r)
{
    log_event(LOG_LEVEL_INFO, "tls_command", "who=%s from=%s status=%d", log_quote(r->who.actor),
              r->who.address, r->status);
    r->form->finish(r);
    http_run_free(r);
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
    struct http_run *r = arg;
    (void)fd;
    (void)what;
    if (r->ended)
        finish(r);
    else
        r->form->step(r);
}

static void on_closed(struct evhttp_connection *connection, void *arg)
{
    struct http_run *r = arg;
    (void)connection;
    r->request = NULL;
    r->started = false;
    command_detach(r->run); // ends it, or lets it go on without us; then sink_exit
}

void http_run_take(struct http_run *r, struct evhttp_request *request)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    r->request = request;
    r->started = false;
    evhttp_connection_set_closecb(connection, on_closed, r);
    tls_server_busy(r->owner->server, connection, true);
}

static bool make_id(char id[HTTP_ID_SIZE])
{
    unsigned char raw[(HTTP_ID_SIZE - 1) / 2];
    if (RAND_bytes(raw, sizeof raw) != 1)
        return false;
    for (size_t i = 0; i < sizeof raw; i++)
        snprintf(id + 2 * i, 3, "%02x", raw[i]);
    return true;
}

struct http_run *http_run_new(struct http_runs_owner *owner, struct evhttp_request *request,
                              const struct identity *who, const struct http_form *form)
{
    struct fault f;
    if (owner->count >= HTTP_RUNS_MAX) {
        (void)fault_set(&f, ERR_FULL, "%d commands are running; try again", HTTP_RUNS_MAX);
        http_reply_fault(request, 503, &f);
        return NULL;
    }
    struct http_run *r = calloc(1, sizeof *r);
    if (r != NULL) {
        r->owner = owner;
        r->who = *who;
        r->form = form;
        r->out = evbuffer_new();
        r->err = evbuffer_new();
        r->step = event_new(owner->control->base, -1, 0, on_step, r);
        LIST_INSERT_HEAD(&owner->runs, r, entry);
        owner->count++;
    }
    if (r == NULL || r->out == NULL || r->err == NULL || r->step == NULL || !make_id(r->id)) {
        if (r != NULL)
            http_run_free(r);
        (void)fault_set(&f, ERR_MEMORY, "out of memory");
        http_reply_fault(request, 503, &f);
        return NULL;
    }
    http_run_take(r, request);
    return r;
}

void http_run_start(struct http_run *r, const struct command_request *command)
{
    struct fault f;
    r->run = command_start(r->owner->control, &r->who, command, &sink, r);
    if (r->run != NULL)
        return;
    struct evhttp_request *request = http_run_let_go(r);
    (void)fault_set(&f, ERR_MEMORY, "out of memory");
    http_run_free(r);
    http_reply_fault(request, 503, &f);
}

void http_runs_free(struct http_runs_owner *owner)
{
    while (!LIST_EMPTY(&owner->runs))
        http_run_free(LIST_FIRST(&owner->runs));
}
