// Turns objects into answers.
#include "control/http_reply.h"

#include <stdlib.h>

#include <event2/buffer.h>

#include "base/base64.h"

int http_status(int exit_status)
{
    static const int statuses[] = {200, 500, 400, 404, 403, 409};
    return exit_status >= 0 && exit_status < 6 ? statuses[exit_status] : 500;
}

void http_add_headers(struct evhttp_request *request, const char *type)
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
    http_add_headers(request, "application/json");
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

json_t *http_bytes(const void *data, size_t length)
{
    char *text = base64_text(data, length);
    json_t *value = text == NULL ? NULL : json_string(text);
    free(text);
    return value;
}
