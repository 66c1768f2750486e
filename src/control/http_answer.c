// Programs: one request, one answer. What they sent along is all the command gets.
#include <stdlib.h>
#include <string.h>

#include "control/http_reply.h"
#include "control/http_run_parts.h"

#define ANSWER_MAX (8u << 20) // bytes of one answer

static void answer_text(struct http_run *r, bool err, const char *data, size_t length)
{
    if (evbuffer_get_length(r->out) + evbuffer_get_length(r->err) + length > ANSWER_MAX)
        r->too_long = true;
    if (!r->too_long)
        evbuffer_add(err ? r->err : r->out, data, length);
}

// A program gets a file whole; what several calls append is put together here.
static void answer_file(struct http_run *r, const char *path, const char *data, size_t length)
{
    if (r->files == NULL)
        r->files = json_object();
    if (length > ANSWER_MAX || evbuffer_get_length(r->out) + length > ANSWER_MAX ||
        json_object_get(r->files, path) != NULL)
        r->too_long = true;
    else
        json_object_set_new(r->files, path, http_bytes(data, length));
}

static bool answer_congested(struct http_run *r)
{
    (void)r;
    return false; // an answer has a limit instead
}

static void answer_step(struct http_run *r)
{
    enum http_waits what = r->waits;
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
        json_object_set_new(object, name64, http_bytes(text, length));
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

static void answer_finish(struct http_run *r)
{
    struct fault f;
    if (r->request == NULL)
        return;
    json_t *object = r->too_long ? NULL : answer_json(r);
    struct evhttp_request *request = http_run_let_go(r);
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

static const struct http_form answer = {answer_text, answer_file, answer_congested, answer_step,
                                        answer_finish};

void http_run_call(struct http_runs_owner *owner, struct evhttp_request *request, const struct identity *who,
                   struct http_call *call)
{
    struct http_run *r = http_run_new(owner, request, who, &answer);
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
    http_run_start(r, &command);
}
