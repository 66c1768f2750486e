// Owns commands that were asked for over HTTPS, from the request to the last byte of the answer, and in
// between, when a conversation has no request at hand.
#include "control/http_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <openssl/rand.h>

#include "base/base64.h"
#include "base/log.h"
#include "control/tls_server.h"

#define ANSWER_MAX (8u << 20) // of one answer to a program
#define QUEUE_SOFT (1u << 20) // bytes unread from which a command is asked to wait
#define PATIENCE_SECONDS 300  // for what a conversation waits for: a person may be typing
#define ID_SIZE 33

enum waits { WAITS_NOT, WAITS_INPUT, WAITS_FILE, WAITS_SAVED };

struct http_run {
    LIST_ENTRY(http_run) entry;
    struct http_runs_owner *owner;
    struct identity who;
    struct http_call call; // of a program
    bool conversation;
    char id[ID_SIZE];
    struct evhttp_request *request; // being answered; NULL between requests, or if its client is gone
    bool started;                   // the answer of a conversation has begun
    bool too_long, ended;
    int status;
    struct command_run *run;
    enum waits waits;
    char path[1024];            // of the file that is waited for
    struct evbuffer *out, *err; // `out` of a conversation: events that are not sent yet
    json_t *files;
    struct event *step; // what must not happen under the command's feet
};

// ---- answers

int http_status(int exit_status)
{
    static const int statuses[] = {200, 500, 400, 404, 403, 409};
    return exit_status >= 0 && exit_status < 6 ? statuses[exit_status] : 500;
}

static void add_headers(struct evhttp_request *request, const char *type)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
}

void http_reply(struct evhttp_request *request, int status, json_t *object)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    struct evbuffer *body = evbuffer_new();
    json_decref(object);
    if (text != NULL && body != NULL)
        evbuffer_add_printf(body, "%s\n", text);
    else
        status = 500;
    add_headers(request, "application/json");
    evhttp_send_reply(request, status, NULL, body);
    if (body != NULL)
        evbuffer_free(body);
    free(text);
}

void http_reply_fault(struct evhttp_request *request, int status, const struct fault *f)
{
    http_reply(request, status,
               json_pack("{s:i, s:{s:s, s:s}}", "exit", err_exit_status(f->code), "error", "code",
                         err_name(f->code), "text", f->text));
}

static json_t *bytes_json(const void *data, size_t length)
{
    char *text = base64_text(data, length);
    json_t *value = text == NULL ? NULL : json_string(text);
    free(text);
    return value;
}

static char *buffer_text(struct evbuffer *buffer, size_t *length)
{
    *length = evbuffer_get_length(buffer);
    char *text = malloc(*length + 1);
    if (text != NULL) {
        evbuffer_copyout(buffer, text, *length);
        text[*length] = '\0';
    }
    return text;
}

// Text as it is, anything else in BASE64 under another name.
static void set_text(json_t *object, const char *name, const char *name64, const char *text, size_t length)
{
    json_t *value = json_stringn(text, length);
    if (value != NULL)
        json_object_set_new(object, name, value);
    else
        json_object_set_new(object, name64, bytes_json(text, length));
}

static json_t *answer_json(struct http_run *r)
{
    size_t out_length = 0, err_length = 0;
    char *out = buffer_text(r->out, &out_length), *err = buffer_text(r->err, &err_length);
    json_t *object = out == NULL || err == NULL ? NULL : json_pack("{s:i}", "exit", r->status);
    if (object != NULL) {
        json_t *result = json_loadb(out, out_length, JSON_REJECT_DUPLICATES, NULL);
        if (json_is_object(result) && json_object_get(result, "error") != NULL && r->status != 0)
            json_object_set(object, "error", json_object_get(result, "error"));
        else if (result != NULL)
            json_object_set(object, "result", result);
        else if (out_length > 0)
            set_text(object, "stdout", "stdout_base64", out, out_length);
        json_decref(result);
        if (err_length > 0)
            set_text(object, "stderr", "stderr_base64", err, err_length);
        if (r->files != NULL)
            json_object_set(object, "files", r->files);
    }
    free(out);
    free(err);
    return object;
}

// The connection is evhttp's again.
static struct evhttp_request *let_go(struct http_run *r)
{
    struct evhttp_request *request = r->request;
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    r->request = NULL;
    r->started = false;
    evhttp_connection_set_closecb(connection, NULL, NULL);
    tls_server_busy(r->owner->server, connection, false);
    return request;
}

static void answer_program(struct http_run *r)
{
    struct fault f;
    if (r->request == NULL)
        return;
    json_t *object = r->too_long ? NULL : answer_json(r);
    struct evhttp_request *request = let_go(r);
    if (r->too_long) {
        (void)fault_set(&f, ERR_FULL,
                        "the answer is longer than %u bytes; ask for less (--limit, --since), or use the "
                        "containarium program",
                        ANSWER_MAX);
        http_reply_fault(request, 500, &f);
    } else {
        http_reply(request, http_status(r->status), object);
    }
}

// ---- a conversation's answer

// Sends what has collected; begins the answer if need be.
static void flush(struct http_run *r)
{
    if (r->request == NULL || (r->started && evbuffer_get_length(r->out) == 0))
        return;
    if (!r->started) {
        add_headers(r->request, "application/x-ndjson");
        evhttp_send_reply_start(r->request, 200, "OK");
        r->started = true;
    }
    if (evbuffer_get_length(r->out) > 0)
        evhttp_send_reply_chunk(r->request, r->out); // drains it
}

static void add_event(struct http_run *r, json_t *event)
{
    char *text = event == NULL ? NULL : json_dumps(event, JSON_COMPACT);
    json_decref(event);
    if (text != NULL) {
        evbuffer_add(r->out, text, strlen(text));
        evbuffer_add(r->out, "\n", 1);
    }
    free(text);
    flush(r);
}

static void end_answer(struct http_run *r)
{
    flush(r);
    if (r->request != NULL)
        evhttp_send_reply_end(let_go(r));
}

// Asks the client for something, and ends the answer: the next request brings it.
static void ask(struct http_run *r)
{
    static const char *const names[] = {
        [WAITS_INPUT] = "input", [WAITS_FILE] = "file", [WAITS_SAVED] = "saved"};
    static const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    json_t *event = json_pack("{s:s, s:s}", "want", names[r->waits], "conversation", r->id);
    if (event != NULL && r->waits == WAITS_FILE)
        json_object_set_new(event, "path", json_string(r->path));
    add_event(r, event);
    end_answer(r);
    event_add(r->step, &patience);
}

// ---- what the command says

static void soon(struct http_run *r)
{
    event_active(r->step, EV_TIMEOUT, 0);
}

static void keep(struct http_run *r, struct evbuffer *to, const char *data, size_t length)
{
    if (evbuffer_get_length(r->out) + evbuffer_get_length(r->err) + length > ANSWER_MAX)
        r->too_long = true;
    if (!r->too_long)
        evbuffer_add(to, data, length);
}

static void sink_out(void *arg, const char *data, size_t length)
{
    struct http_run *r = arg;
    if (r->conversation)
        add_event(r, json_pack("{s:o}", "out", bytes_json(data, length)));
    else
        keep(r, r->out, data, length);
}

static void sink_err(void *arg, const char *data, size_t length)
{
    struct http_run *r = arg;
    if (r->conversation)
        add_event(r, json_pack("{s:o}", "err", bytes_json(data, length)));
    else
        keep(r, r->err, data, length);
}

static void wait_for(struct http_run *r, enum waits what)
{
    r->waits = what;
    soon(r);
}

static void sink_want(void *arg)
{
    wait_for(arg, WAITS_INPUT);
}

static void sink_read(void *arg, const char *path)
{
    struct http_run *r = arg;
    snprintf(r->path, sizeof r->path, "%s", path);
    wait_for(r, WAITS_FILE);
}

static void sink_sync(void *arg)
{
    wait_for(arg, WAITS_SAVED);
}

// A program gets a file whole; what several calls append is put together here.
static void keep_file(struct http_run *r, const char *path, const char *data, size_t length)
{
    if (r->files == NULL)
        r->files = json_object();
    if (length > ANSWER_MAX || evbuffer_get_length(r->out) + length > ANSWER_MAX ||
        json_object_get(r->files, path) != NULL)
        r->too_long = true;
    else
        json_object_set_new(r->files, path, bytes_json(data, length));
}

static void sink_save(void *arg, const char *path, const char *data, size_t length)
{
    struct http_run *r = arg;
    if (r->conversation)
        add_event(r, json_pack("{s:s, s:o}", "save", path, "data", bytes_json(data, length)));
    else
        keep_file(r, path, data, length);
}

static bool sink_congested(void *arg)
{
    struct http_run *r = arg;
    struct evhttp_connection *connection =
        r->request == NULL ? NULL : evhttp_request_get_connection(r->request);
    struct bufferevent *bev = connection == NULL ? NULL : evhttp_connection_get_bufferevent(connection);
    size_t queued = bev == NULL ? 0 : evbuffer_get_length(bufferevent_get_output(bev));
    if (!r->conversation || evbuffer_get_length(r->out) + queued <= QUEUE_SOFT)
        return false;
    soon(r); // looks again
    return true;
}

static void sink_exit(void *arg, int status)
{
    struct http_run *r = arg;
    r->ended = true;
    r->status = status;
    soon(r);
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

// ---- steps

static void http_run_free(struct http_run *r)
{
    if (r->request != NULL)
        (void)let_go(r);
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
    if (!r->conversation) {
        answer_program(r);
    } else {
        add_event(r, json_pack("{s:i}", "exit", r->status));
        end_answer(r);
    }
    http_run_free(r);
}

// What a program sent along is all there is.
static void feed(struct http_run *r)
{
    enum waits what = r->waits;
    size_t length = 0;
    const char *text;
    r->waits = WAITS_NOT;
    switch (what) {
    case WAITS_NOT:
        return;
    case WAITS_INPUT:
        text = http_call_stdin(&r->call, &length);
        if (length > 0)
            command_input(r->run, text, length);
        command_input(r->run, "", 0);
        return;
    case WAITS_FILE:
        text = http_call_file(&r->call, r->path, &length);
        if (text == NULL) {
            command_file_failed(
                r->run, "this file did not come along: put its text into \"files\", by the same name");
            return;
        }
        if (length > 0)
            command_file(r->run, text, length);
        command_file(r->run, "", 0);
        return;
    case WAITS_SAVED:
        command_saved(r->run, r->too_long ? "the files are longer than one answer may be" : NULL);
        return;
    }
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval again = {.tv_usec = 50 * 1000};
    struct http_run *r = arg;
    (void)fd;
    (void)what;
    if (r->ended)
        finish(r);
    else if (!r->conversation)
        feed(r);
    else if (r->waits != WAITS_NOT && r->request != NULL)
        ask(r);
    else if (r->waits != WAITS_NOT)
        command_detach(r->run); // nobody came back
    else if (sink_congested(r))
        event_add(r->step, &again);
    else
        command_resume(r->run);
}

static void on_closed(struct evhttp_connection *connection, void *arg)
{
    struct http_run *r = arg;
    (void)connection;
    r->request = NULL;
    r->started = false;
    command_detach(r->run); // ends it, or lets it go on without us; then sink_exit
}

// ---- beginnings

static void take_request(struct http_run *r, struct evhttp_request *request)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    r->request = request;
    r->started = false;
    evhttp_connection_set_closecb(connection, on_closed, r);
    tls_server_busy(r->owner->server, connection, true);
}

static bool make_id(char id[ID_SIZE])
{
    unsigned char raw[(ID_SIZE - 1) / 2];
    if (RAND_bytes(raw, sizeof raw) != 1)
        return false;
    for (size_t i = 0; i < sizeof raw; i++)
        snprintf(id + 2 * i, 3, "%02x", raw[i]);
    return true;
}

// NULL: the request has been answered.
static struct http_run *http_run_new(struct http_runs_owner *owner, struct evhttp_request *request,
                                     const struct identity *who)
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
    take_request(r, request);
    return r;
}

static void start(struct http_run *r, const struct command_request *command)
{
    struct fault f;
    r->run = command_start(r->owner->control, &r->who, command, &sink, r);
    if (r->run != NULL)
        return;
    struct evhttp_request *request = let_go(r);
    (void)fault_set(&f, ERR_MEMORY, "out of memory");
    http_run_free(r);
    http_reply_fault(request, 503, &f);
}

void http_run_call(struct http_runs_owner *owner, struct evhttp_request *request, const struct identity *who,
                   struct http_call *call)
{
    struct http_run *r = http_run_new(owner, request, who);
    if (r == NULL) {
        http_call_clear(call);
        return;
    }
    r->call = *call;
    *call = (struct http_call){.count = 0};
    const char *argv[HTTP_CALL_WORDS_MAX];
    for (size_t i = 0; i < r->call.count; i++)
        argv[i] = r->call.words[i];
    struct command_request command = {.argv = argv, .argc = r->call.count, .cli = true};
    start(r, &command);
}

void http_run_converse(struct http_runs_owner *owner, struct evhttp_request *request,
                       const struct identity *who, const json_t *body)
{
    const char *argv[512];
    size_t argc = 0, i;
    json_t *list = json_object_get(body, "argv"), *word;
    struct fault f;
    bool good = json_is_array(list) && json_array_size(list) <= sizeof argv / sizeof *argv;
    if (good) {
        json_array_foreach(list, i, word)
        {
            good =
                good && json_is_string(word) && strlen(json_string_value(word)) == json_string_length(word);
            argv[argc++] = json_string_value(word);
        }
    }
    if (!good) {
        (void)fault_set(&f, ERR_INVALID, "\"argv\" must be a list of texts");
        http_reply_fault(request, 400, &f);
        return;
    }
    struct http_run *r = http_run_new(owner, request, who);
    if (r == NULL)
        return;
    r->conversation = true;
    struct command_request command = {.argv = argv,
                                      .argc = argc,
                                      .tty_in = json_is_true(json_object_get(body, "tty_in")),
                                      .tty_out = json_is_true(json_object_get(body, "tty_out")),
                                      .tty_err = json_is_true(json_object_get(body, "tty_err")),
                                      .cli = true};
    start(r, &command);
}

// ---- going on

struct bytes {
    char *data;
    size_t length;
};

static struct bytes member(const json_t *body, const char *name)
{
    struct bytes b = {.data = NULL};
    const json_t *value = json_object_get(body, name);
    if (json_is_string(value))
        b.data = base64_bytes(json_string_value(value), json_string_length(value), &b.length);
    return b;
}

static void give(struct http_run *r, const json_t *body)
{
    enum waits what = r->waits;
    const char *fault = json_string_value(json_object_get(body, "fault"));
    struct bytes b = {.data = NULL};
    r->waits = WAITS_NOT;
    switch (what) {
    case WAITS_NOT:
        return;
    case WAITS_INPUT:
        b = member(body, "input");
        if (b.length > 0)
            command_input(r->run, b.data, b.length);
        if (json_is_true(json_object_get(body, "end")))
            command_input(r->run, "", 0);
        if (!r->ended && command_waits_input(r->run))
            wait_for(r, WAITS_INPUT);
        break;
    case WAITS_FILE:
        b = member(body, "file");
        if (fault != NULL || b.data == NULL) {
            command_file_failed(r->run, fault == NULL ? "the file cannot be read" : fault);
            break;
        }
        if (b.length > 0)
            command_file(r->run, b.data, b.length);
        command_file(r->run, "", 0);
        break;
    case WAITS_SAVED:
        command_saved(r->run, fault == NULL || fault[0] == '\0' ? NULL : fault);
        break;
    }
    free(b.data);
}

bool http_run_continue(struct http_runs_owner *owner, struct evhttp_request *request,
                       const struct identity *who, const char *id, const json_t *body)
{
    struct http_run *r;
    LIST_FOREACH(r, &owner->runs, entry)
    {
        if (r->conversation && strcmp(r->id, id) == 0 && strcmp(r->who.credential, who->credential) == 0)
            break;
    }
    if (r == NULL || r->request != NULL || r->ended || r->waits == WAITS_NOT)
        return false;
    event_del(r->step);
    take_request(r, request);
    give(r, body);
    flush(r);
    return true;
}

void http_runs_free(struct http_runs_owner *owner)
{
    while (!LIST_EMPTY(&owner->runs))
        http_run_free(LIST_FIRST(&owner->runs));
}
