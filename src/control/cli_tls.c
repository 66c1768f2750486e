// --server HOST[:PORT] --certs-dir DIR: the conversation goes over HTTPS with a client certificate, as lines
// of JSON in the answers to one request after the other (control/http_run.h).
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/base64.h"
#include "control/cli.h"

#define DEFAULT_PORT "50051"
#define LINE_MAX_BYTES (1u << 20)
#define FILE_MAX (512u << 10) // the control plane takes less, and says so
#define PATH_SIZE 1024

enum next { NEXT_NOTHING, NEXT_INPUT, NEXT_FILE, NEXT_SAVED, NEXT_EXIT };

struct conversation {
    struct cli *cli;
    CURL *curl;
    char url[400];
    char certificate[PATH_SIZE], key[PATH_SIZE], ca[PATH_SIZE];
    char error[CURL_ERROR_SIZE];
    char *line; // of the answer, not yet whole; or a whole answer that is no conversation
    size_t length;
    enum next next;
    int status;
    char id[65];
    char path[PATH_SIZE];
};

// ---- events

static void with_bytes(const json_t *event, const char *name,
                       void (*use)(struct conversation *t, const char *data, size_t length),
                       struct conversation *t)
{
    const json_t *value = json_object_get(event, name);
    size_t length = 0;
    char *data = json_is_string(value)
                     ? base64_bytes(json_string_value(value), json_string_length(value), &length)
                     : NULL;
    if (data != NULL)
        use(t, data, length);
    free(data);
}

static void take_out(struct conversation *t, const char *data, size_t length)
{
    int status = cli_out(t->cli, data, length);
    if (status >= 0) {
        t->next = NEXT_EXIT;
        t->status = status;
    }
}

static void take_err(struct conversation *t, const char *data, size_t length)
{
    (void)t;
    (void)cli_write_all(STDERR_FILENO, data, length);
}

static void take_save(struct conversation *t, const char *data, size_t length)
{
    cli_save(t->cli, t->path, data, length);
}

static void set_path(struct conversation *t, const json_t *value)
{
    snprintf(t->path, sizeof t->path, "%s", json_is_string(value) ? json_string_value(value) : "");
}

static void take_want(struct conversation *t, const json_t *event, const char *want)
{
    const char *id = json_string_value(json_object_get(event, "conversation"));
    set_path(t, json_object_get(event, "path"));
    snprintf(t->id, sizeof t->id, "%.64s", id == NULL ? "" : id);
    t->next = strcmp(want, "input") == 0   ? NEXT_INPUT
              : strcmp(want, "file") == 0  ? NEXT_FILE
              : strcmp(want, "saved") == 0 ? NEXT_SAVED
                                           : NEXT_NOTHING;
}

static void take_event(struct conversation *t, const char *line, size_t length)
{
    json_t *event = json_loadb(line, length, JSON_ALLOW_NUL, NULL);
    const char *want = json_string_value(json_object_get(event, "want"));
    const json_t *status = json_object_get(event, "exit");
    if (json_object_get(event, "save") != NULL) {
        set_path(t, json_object_get(event, "save"));
        with_bytes(event, "data", take_save, t);
    }
    with_bytes(event, "out", take_out, t);
    with_bytes(event, "err", take_err, t);
    if (want != NULL && t->next != NEXT_EXIT)
        take_want(t, event, want);
    if (json_is_integer(status) && t->next != NEXT_EXIT) {
        t->next = NEXT_EXIT;
        t->status = (int)json_integer_value(status);
    }
    json_decref(event);
}

static bool is_conversation(struct conversation *t)
{
    long code = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    return code == 200;
}

static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
    struct conversation *t = arg;
    size_t length = size * count;
    if (t->length + length > LINE_MAX_BYTES)
        return 0; // ends the transfer
    char *grown = realloc(t->line, t->length + length + 1);
    if (grown == NULL)
        return 0;
    t->line = grown;
    memcpy(t->line + t->length, data, length);
    t->length += length;
    if (!is_conversation(t))
        return length;
    char *start = t->line, *end;
    while (t->next != NEXT_EXIT &&
           (end = memchr(start, '\n', t->length - (size_t)(start - t->line))) != NULL) {
        take_event(t, start, (size_t)(end - start));
        start = end + 1;
    }
    t->length -= (size_t)(start - t->line);
    memmove(t->line, start, t->length);
    // Nobody reads our output any more: the rest is not wanted either.
    return t->next == NEXT_EXIT && t->cli->out_broken ? 0 : length;
}

// ---- requests

// With TLS 1.3 a client hears of its certificate's refusal after its first request, if at all: the connection
// is gone by then.
static bool was_cut(CURLcode code)
{
    return code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CONNECT_ERROR || code == CURLE_RECV_ERROR ||
           code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING;
}

static void explain(const struct conversation *t, CURLcode code)
{
    bool cut = was_cut(code);
    fprintf(stderr, "containarium: %s: %s\n", t->url,
            cut                   ? "the server ended the connection"
            : t->error[0] != '\0' ? t->error
                                  : curl_easy_strerror(code));
    if (cut)
        fprintf(stderr,
                "Your certificate %s may have expired, have been revoked, or be another authority's.\n",
                t->certificate);
    else if (code == CURLE_COULDNT_CONNECT)
        fprintf(stderr, "Is the HTTPS interface on there? See listen_tls in containarium.conf(5).\n");
    else if (code == CURLE_PEER_FAILED_VERIFICATION)
        fprintf(stderr, "Its certificate is not one of the authority %s for this address.\n", t->ca);
}

// The answer is no conversation: what it says instead. Returns the exit status.
static int take_refusal(struct conversation *t)
{
    json_t *answer = t->line == NULL ? NULL : json_loadb(t->line, t->length, 0, NULL);
    const char *text = json_string_value(json_object_get(json_object_get(answer, "error"), "text"));
    const json_t *status = json_object_get(answer, "exit");
    int value = json_is_integer(status) ? (int)json_integer_value(status) : 1;
    fprintf(stderr, "containarium: %s: %s\n", t->url,
            text == NULL ? "what answers there is no containariumd" : text);
    json_decref(answer);
    return value == 0 ? 1 : value;
}

// One request; sets next. False: it is over, and status says how.
static bool post(struct conversation *t, const char *id, json_t *body)
{
    char url[500];
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    json_decref(body);
    snprintf(url, sizeof url, "%s%s%s", t->url, id[0] == '\0' ? "" : "/", id);
    t->next = NEXT_NOTHING;
    t->length = 0;
    t->status = 1;
    if (text == NULL) {
        fprintf(stderr, "containarium: out of memory\n");
        return false;
    }
    curl_easy_setopt(t->curl, CURLOPT_URL, url);
    curl_easy_setopt(t->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(text));
    curl_easy_setopt(t->curl, CURLOPT_COPYPOSTFIELDS, text);
    free(text);
    CURLcode code = curl_easy_perform(t->curl);
    if (t->next == NEXT_EXIT)
        return false;
    if (code != CURLE_OK) {
        explain(t, code);
        return false;
    }
    if (!is_conversation(t)) {
        t->status = take_refusal(t);
        return false;
    }
    if (t->next == NEXT_NOTHING)
        fprintf(stderr, "containarium: the answer ended before the command did\n");
    return t->next != NEXT_NOTHING;
}

static json_t *bytes_json(const void *data, size_t length)
{
    char *text = base64_text(data, length);
    json_t *value = text == NULL ? NULL : json_string(text);
    free(text);
    return value;
}

static json_t *read_input(void)
{
    char chunk[32768];
    ssize_t n;
    do
        n = read(STDIN_FILENO, chunk, sizeof chunk);
    while (n < 0 && errno == EINTR);
    return json_pack("{s:o, s:b}", "input", bytes_json(chunk, n > 0 ? (size_t)n : 0), "end", n <= 0);
}

static json_t *fault_json(const char *text)
{
    return json_pack("{s:s}", "fault", text);
}

static json_t *read_file(const struct conversation *t)
{
    char text[PATH_SIZE + 128];
    const char *why = NULL;
    int fd = cli_open_file(t->cli, t->path, &why);
    char *data = fd < 0 ? NULL : malloc(FILE_MAX + 1);
    size_t length = 0;
    ssize_t n = 0;
    while (data != NULL && length <= FILE_MAX && (n = read(fd, data + length, FILE_MAX + 1 - length)) > 0)
        length += (size_t)n;
    if (fd >= 0 && (n < 0 || data == NULL))
        why = strerror(errno);
    if (length > FILE_MAX)
        why = "it is too long; is it the right file?";
    snprintf(text, sizeof text, "cannot read %s: %s", t->path, why == NULL ? "" : why);
    json_t *body = why != NULL ? fault_json(text) : json_pack("{s:o}", "file", bytes_json(data, length));
    if (fd >= 0)
        close(fd);
    free(data);
    return body;
}

static json_t *saved(const struct conversation *t)
{
    const char *why = cli_saved(t->cli);
    return fault_json(why == NULL ? "" : why);
}

static int converse(struct conversation *t)
{
    json_t *run = cli_request(t->cli);
    if (run == NULL)
        return 2;
    bool going = post(t, "", run);
    while (going) {
        char id[sizeof t->id];
        memcpy(id, t->id, sizeof id);
        json_t *body = t->next == NEXT_INPUT ? read_input() : t->next == NEXT_FILE ? read_file(t) : saved(t);
        going = post(t, id, body);
    }
    return t->status;
}

// ---- set-up

static bool find_file(char *out, const char *folder, const char *name)
{
    int n = snprintf(out, PATH_SIZE, "%s/%s", folder, name);
    if (n < 0 || n >= PATH_SIZE)
        errno = ENAMETOOLONG;
    else if (access(out, R_OK) == 0)
        return true;
    cli_complain("cannot read", out);
    fprintf(stderr,
            "--certs-dir needs ca.crt, client.crt and client.key, see: containarium cert generate --help\n");
    return false;
}

static void set_options(struct conversation *t)
{
    CURL *curl = t->curl;
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 15L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_CAINFO, t->ca);
    curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); // that authority and no other
    curl_easy_setopt(curl, CURLOPT_SSLCERT, t->certificate);
    curl_easy_setopt(curl, CURLOPT_SSLKEY, t->key);
}

int cli_run_tls(struct cli *c, const char *server, const char *certs_dir)
{
    static struct conversation t;
    char host[256];
    const char *port = NULL;
    t = (struct conversation){.cli = c};
    if (!cli_split_server(server, host, sizeof host, &port))
        return 2;
    if (!find_file(t.ca, certs_dir, "ca.crt") || !find_file(t.certificate, certs_dir, "client.crt") ||
        !find_file(t.key, certs_dir, "client.key"))
        return 2;
    bool ipv6 = strchr(host, ':') != NULL;
    snprintf(t.url, sizeof t.url, "https://%s%s%s:%.8s/conversation", ipv6 ? "[" : "", host, ipv6 ? "]" : "",
             port == NULL ? DEFAULT_PORT : port);
    t.curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    if (t.curl == NULL) {
        fprintf(stderr, "containarium: libcurl cannot be used\n");
        return 1;
    }
    set_options(&t);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    headers = headers == NULL ? NULL : curl_slist_append(headers, "Expect:");
    curl_easy_setopt(t.curl, CURLOPT_HTTPHEADER, headers);
    int status = converse(&t);
    cli_close_files(c);
    curl_easy_cleanup(t.curl);
    curl_slist_free_all(headers);
    curl_global_cleanup();
    free(t.line);
    return status == 0 && c->failed ? 1 : status;
}
