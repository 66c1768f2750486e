// Owns the routes. Who asks is established first, for every request anew; nothing is answered without it.
#include "control/http_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>
#include <event2/http_struct.h>

#include "base/log.h"
#include "control/command_run.h"
#include "control/http_reply.h"
#include "control/http_run.h"
#include "control/tls_server.h"

#define CONVERSATION "/conversation"
#define JSON_TYPE "application/json"

struct http_api {
    struct http_runs_owner owner;
};

// One request, while it is looked at.
struct asked {
    struct http_api *api;
    struct evhttp_request *request;
    struct identity who;
    const char *path;
    const char *body;
    size_t length;
};

struct http_api *http_api_new(struct control *c, struct tls_server *server)
{
    struct http_api *api = calloc(1, sizeof *api);
    if (api == NULL)
        return NULL;
    api->owner.control = c;
    api->owner.server = server;
    LIST_INIT(&api->owner.runs);
    return api;
}

void http_api_free(struct http_api *api)
{
    if (api == NULL)
        return;
    http_runs_free(&api->owner);
    free(api);
}

static void refuse(struct asked *a, int status, enum err code, const char *text)
{
    struct fault f;
    (void)fault_set(&f, code, "%s", text);
    http_reply_fault(a->request, status, &f);
}

static void get_verbs(struct asked *a)
{
    http_reply(a->request, 200, command_help_json(""));
}

static void get_openapi(struct asked *a)
{
    http_reply(a->request, 200, openapi_document());
}

static void no_such_verb(struct asked *a)
{
    const char *names[128];
    char typed[80];
    size_t count = 0;
    snprintf(typed, sizeof typed, "%.70s", strlen(a->path) > 4 ? a->path + 4 : "");
    for (char *p = typed; *p != '\0'; p++)
        *p = *p == '/' ? ' ' : *p;
    for (const struct command *c = command_table(); c->name != NULL && count < 128; c++)
        names[count++] = c->name;
    const char *nearest = command_suggest(typed, names, count);
    char text[200];
    if (nearest != NULL)
        snprintf(text, sizeof text, "no such verb: %s. Did you mean \"%s\"?", typed, nearest);
    else
        snprintf(text, sizeof text, "no such verb: %s; see: GET /v1", typed);
    refuse(a, 404, ERR_INVALID, text);
}

static void post_verb(struct asked *a)
{
    const struct command *command = http_call_command(a->path);
    struct http_call call;
    struct fault f;
    if (command == NULL)
        no_such_verb(a);
    else if (http_call_parse(command, a->body, a->length, &call, &f) != ERR_NONE)
        http_reply_fault(a->request, http_status(err_exit_status(f.code)), &f);
    else
        http_run_call(&a->api->owner, a->request, &a->who, &call);
}

static void post_conversation(struct asked *a)
{
    json_t *body = json_loadb(a->body, a->length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    const char *id = a->path + strlen(CONVERSATION);
    if (!json_is_object(body))
        refuse(a, 400, ERR_INVALID, "the body is not a JSON object");
    else if (id[0] == '\0')
        http_run_converse(&a->api->owner, a->request, &a->who, body);
    else if (!http_run_continue(&a->api->owner, a->request, &a->who, id + 1, body))
        refuse(a, 404, ERR_NOTFOUND, "no such conversation, or it has ended");
    json_decref(body);
}

static bool path_is(const char *path, const char *start)
{
    size_t n = strlen(start);
    return strncmp(path, start, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

// A browser that holds a client certificate sends it for any page that asks. No page can set this type
// without the browser asking first (Fetch standard, CORS-preflight), which nobody answers here; and what says
// where it comes from comes from a page.
static bool is_from_a_page(struct asked *a)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(a->request);
    const char *type = evhttp_find_header(headers, "Content-Type");
    size_t n = strlen(JSON_TYPE);
    if (evhttp_find_header(headers, "Origin") != NULL)
        return true;
    return evhttp_request_get_command(a->request) == EVHTTP_REQ_POST &&
           (type == NULL || strncasecmp(type, JSON_TYPE, n) != 0 || strchr("; ", type[n]) == NULL);
}

static void route(struct asked *a)
{
    static const struct {
        const char *path;
        bool below; // also what lies below
        enum evhttp_cmd_type method;
        void (*handle)(struct asked *a);
    } routes[] = {
        {"/openapi.json", false, EVHTTP_REQ_GET, get_openapi},
        {"/v1", false, EVHTTP_REQ_GET, get_verbs},
        {"/v1", true, EVHTTP_REQ_POST, post_verb},
        {CONVERSATION, true, EVHTTP_REQ_POST, post_conversation},
    };
    bool known = false;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        bool here = routes[i].below ? path_is(a->path, routes[i].path) : strcmp(a->path, routes[i].path) == 0;
        known = known || here;
        if (here && evhttp_request_get_command(a->request) == routes[i].method) {
            routes[i].handle(a);
            return;
        }
    }
    if (known)
        refuse(a, 405, ERR_INVALID, "this takes the other method: GET to look, POST to run a verb");
    else
        refuse(a, 404, ERR_NOTFOUND, "there is nothing here; see: GET /v1, GET /openapi.json");
}

void http_api_on_request(struct evhttp_request *request, void *arg)
{
    struct http_api *api = arg;
    struct asked a = {.api = api, .request = request};
    struct fault f;
    enum err e = tls_server_identify(api->owner.server, request, &a.who, &f);
    if (e != ERR_NONE) {
        log_event(LOG_LEVEL_WARN, "tls_denied", "from=%s who=%s reason=%s", a.who.address,
                  log_quote(a.who.actor), log_quote(f.text));
        evhttp_add_header(evhttp_request_get_output_headers(request), "Connection", "close");
        http_reply_fault(request, e == ERR_FULL ? 503 : 403, &f);
        return;
    }
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    a.length = evbuffer_get_length(input);
    a.body = a.length == 0 ? "" : (const char *)evbuffer_pullup(input, -1);
    a.path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    if (a.path == NULL || a.body == NULL)
        refuse(&a, 400, ERR_INVALID, "the request has no path");
    else if (is_from_a_page(&a))
        refuse(&a, 415, ERR_INVALID,
               "a POST must say Content-Type: application/json, and no page of a browser may ask");
    else
        route(&a);
}
