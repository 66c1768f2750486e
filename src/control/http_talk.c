// The command line: a conversation in lines of JSON, over as many requests as the command asks for something.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/bufferevent.h>

#include "base/base64.h"
#include "control/http_reply.h"
#include "control/http_run_parts.h"

#define QUEUE_SOFT (1u << 20) // bytes unread from which a command is asked to wait
#define AGAIN_MS 50           // until it is looked whether the client has read
#define PATIENCE_SECONDS 300  // for what a conversation waits for: a person may be typing

// Sends what has collected; begins the answer if need be.
static void flush(struct http_run *r)
{
    if (r->request == NULL || (r->started && evbuffer_get_length(r->out) == 0))
        return;
    if (!r->started) {
        http_add_headers(r->request, "application/x-ndjson");
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
        evhttp_send_reply_end(http_run_let_go(r));
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

static void talk_text(struct http_run *r, bool err, const char *data, size_t length)
{
    add_event(r, json_pack("{s:o}", err ? "err" : "out", http_bytes(data, length)));
}

static void talk_file(struct http_run *r, const char *path, const char *data, size_t length)
{
    add_event(r, json_pack("{s:s, s:o}", "save", path, "data", http_bytes(data, length)));
}

static bool is_full(const struct http_run *r)
{
    struct evhttp_connection *connection =
        r->request == NULL ? NULL : evhttp_request_get_connection(r->request);
    struct bufferevent *bev = connection == NULL ? NULL : evhttp_connection_get_bufferevent(connection);
    size_t queued = bev == NULL ? 0 : evbuffer_get_length(bufferevent_get_output(bev));
    return evbuffer_get_length(r->out) + queued > QUEUE_SOFT;
}

static bool talk_congested(struct http_run *r)
{
    static const struct timeval again = {.tv_usec = AGAIN_MS * 1000};
    if (!is_full(r))
        return false;
    event_add(r->step, &again); // looks again
    return true;
}

static void talk_step(struct http_run *r)
{
    if (r->waits != WAITS_NOT && r->request != NULL)
        ask(r);
    else if (r->waits != WAITS_NOT)
        command_detach(r->run); // nobody came back
    else if (!talk_congested(r))
        command_resume(r->run);
}

static void talk_finish(struct http_run *r)
{
    add_event(r, json_pack("{s:i}", "exit", r->status));
    end_answer(r);
}

static const struct http_form talk = {talk_text, talk_file, talk_congested, talk_step, talk_finish};

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
    struct http_run *r = http_run_new(owner, request, who, &talk);
    if (r == NULL)
        return;
    struct command_request command = {.argv = argv,
                                      .argc = argc,
                                      .tty_in = json_is_true(json_object_get(body, "tty_in")),
                                      .tty_out = json_is_true(json_object_get(body, "tty_out")),
                                      .tty_err = json_is_true(json_object_get(body, "tty_err")),
                                      .columns = json_integer_value(json_object_get(body, "columns")),
                                      .colours = json_is_true(json_object_get(body, "colours")),
                                      .cli = true};
    http_run_start(r, &command);
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
    enum http_waits what = r->waits;
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
            http_run_wait(r, WAITS_INPUT);
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
        if (r->form == &talk && strcmp(r->id, id) == 0 && strcmp(r->who.credential, who->credential) == 0)
            break;
    }
    if (r == NULL || r->request != NULL || r->ended || r->waits == WAITS_NOT)
        return false;
    event_del(r->step);
    http_run_take(r, request);
    give(r, body);
    flush(r);
    return true;
}
