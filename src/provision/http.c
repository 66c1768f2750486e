// Owns the libcurl handle. Refuses redirects, proxies, other protocols than https and answers without bound.
#include "provision/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "provision/passage.h"

#define CONNECT_TIMEOUT_MS 3000L
#define STREAM_BUFFER (256L << 10)
#define IDLE_CONNECTION_S 86400L // reused after that long; libcurl notices when Incus has closed it

struct http {
    CURL *curl;
    const struct config *config;
    const atomic_bool *stop;
    char error[CURL_ERROR_SIZE];
};

struct receive {
    CURL *curl;
    struct passage *save; // of a 200, or NULL
    struct http_answer *answer;
    size_t capacity, max;
    bool too_long, no_memory;
};

enum err http_global(struct fault *f)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fault_set(f, ERR_MEMORY, "libcurl does not initialise");
    return ERR_NONE;
}

static enum err check_file(const char *path, const char *key, struct fault *f)
{
    char start[16] = "";
    FILE *in = fopen(path, "re");
    if (in == NULL)
        return fault_errno(f, ERR_IO, "[incus] %s: cannot read %s; packaging/incus-setup.sh makes it", key,
                           path);
    size_t n = fread(start, 1, sizeof start - 1, in);
    fclose(in);
    if (n < 10 || strncmp(start, "-----BEGIN", 10) != 0)
        return fault_set(
            f, ERR_IO, "[incus] %s: %s is not a PEM file; packaging/incus-setup.sh makes it anew", key, path);
    return ERR_NONE;
}

enum err http_check_files(const struct config *c, struct fault *f)
{
    if (access(c->incus_certificate, F_OK) != 0 && access(c->incus_key, F_OK) != 0 &&
        access(c->incus_server_certificate, F_OK) != 0)
        return fault_set(f, ERR_NOTFOUND,
                         "no certificates for Incus in %s; packaging/incus-setup.sh makes them",
                         c->incus_certificate);
    enum err e = check_file(c->incus_certificate, "certificate", f);
    if (e == ERR_NONE)
        e = check_file(c->incus_key, "key", f);
    if (e == ERR_NONE)
        e = check_file(c->incus_server_certificate, "server_certificate", f);
    return e;
}

static int on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal, curl_off_t ulnow)
{
    const struct http *h = arg;
    (void)dltotal;
    (void)dlnow;
    (void)ultotal;
    (void)ulnow;
    return h->stop != NULL && atomic_load_explicit(h->stop, memory_order_relaxed);
}

struct http *http_new(const struct config *config, const atomic_bool *stop)
{
    struct http *h = calloc(1, sizeof *h);
    if (h == NULL)
        return NULL;
    h->config = config;
    h->stop = stop;
    h->curl = curl_easy_init();
    if (h->curl == NULL) {
        free(h);
        return NULL;
    }
    return h;
}

void http_free(struct http *h)
{
    if (h == NULL)
        return;
    curl_easy_cleanup(h->curl);
    free(h);
}

void http_answer_free(struct http_answer *answer)
{
    free(answer->body);
    *answer = (struct http_answer){.status = 0};
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct receive *r = arg;
    struct http_answer *a = r->answer;
    size_t n = size * count;
    long status = 0;
    if (r->save != NULL && curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
        status == 200) {
        return passage_write(r->save, data, n) ? n : 0;
    }
    if (n > r->max - a->length) {
        r->too_long = true;
        return 0;
    }
    if (a->length + n + 1 > r->capacity) {
        size_t wanted = r->capacity == 0 ? 4096 : r->capacity * 2;
        while (wanted < a->length + n + 1)
            wanted *= 2;
        char *grown = realloc(a->body, wanted);
        if (grown == NULL) {
            r->no_memory = true;
            return 0;
        }
        a->body = grown;
        r->capacity = wanted;
    }
    memcpy(a->body + a->length, data, n);
    a->length += n;
    a->body[a->length] = '\0';
    return n;
}

// The value of header `name` in a line that is not NUL-terminated, copied and trimmed; false if it is another
// one.
static bool header_is(const char *line, size_t length, const char *name, char *value, size_t value_size)
{
    size_t n = strlen(name);
    if (length <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
        return false;
    const char *from = line + n + 1, *end = line + length;
    while (from < end && (*from == ' ' || *from == '\t'))
        from++;
    while (end > from && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    snprintf(value, value_size, "%.*s", (int)(end - from), from);
    return true;
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct http_file *file = &((struct receive *)arg)->answer->file;
    char value[32];
    if (header_is(line, size * count, "X-Incus-uid", value, sizeof value))
        file->uid = strtol(value, NULL, 10);
    else if (header_is(line, size * count, "X-Incus-gid", value, sizeof value))
        file->gid = strtol(value, NULL, 10);
    else if (header_is(line, size * count, "X-Incus-mode", value, sizeof value))
        file->mode = (unsigned)strtoul(value, NULL, 8);
    else if (header_is(line, size * count, "X-Incus-type", value, sizeof value))
        snprintf(file->type, sizeof file->type, "%.15s", value);
    return size * count;
}

static enum err explain(const struct http *h, CURLcode code, const struct receive *r, struct fault *f)
{
    const char *url = h->config->incus_url;
    const char *detail = h->error[0] != '\0' ? h->error : curl_easy_strerror(code);
    if (r->too_long)
        return fault_set(f, ERR_FULL, "Incus at %s gave an answer of more than %zu bytes", url, r->max);
    if (r->no_memory || code == CURLE_OUT_OF_MEMORY)
        return fault_set(f, ERR_MEMORY, "out of memory");
    if (code == CURLE_OPERATION_TIMEDOUT)
        return fault_set(f, ERR_TIMEOUT, "Incus at %s did not answer in time: is it overloaded?", url);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return fault_set(f, ERR_UNAVAILABLE, "the control plane is stopping; try again in a moment");
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return fault_set(f, ERR_DENIED,
                         "%s is not the Incus we know (%s); packaging/incus-setup.sh pins it anew", url,
                         detail);
    if (code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE)
        return fault_set(f, ERR_UNAVAILABLE,
                         "the certificates for Incus cannot be used (%s); "
                         "packaging/incus-setup.sh makes them",
                         detail);
    return fault_set(f, ERR_UNAVAILABLE, "cannot reach Incus at %s: is it running? (%s)", url, detail);
}

static size_t on_load(char *data, size_t size, size_t count, void *arg)
{
    long n = passage_read(arg, data, size * count);
    return n < 0 ? CURL_READFUNC_ABORT : (size_t)n;
}

// A whole that may take any time, but not stand still.
static void set_patience(CURL *c, const struct http_stream *stream)
{
    curl_easy_setopt(c, CURLOPT_FRESH_CONNECT,
                     1L); // a dead one would be noticed after part of the file is sent
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 0L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)((stream->stall_ms + 999) / 1000));
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, STREAM_BUFFER);
    curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, STREAM_BUFFER);
}

// Options of every request. Handles keep their connection across curl_easy_reset.
static void set_connection(struct http *h, const struct http_request *q)
{
    CURL *c = h->curl;
    curl_easy_reset(c);
    h->error[0] = '\0';
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->error);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_SSLCERT, h->config->incus_certificate);
    curl_easy_setopt(c, CURLOPT_SSLKEY, h->config->incus_key);
    // The server's own certificate is the only trust anchor, so the name in it adds nothing: Incus makes it
    // for its host name and 127.0.0.1 alike, and it stays the same certificate at another address.
    curl_easy_setopt(c, CURLOPT_CAINFO, h->config->incus_server_certificate);
    curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(c, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(q->timeout_ms > 0 ? q->timeout_ms : 1));
    if (q->save != NULL || q->load != NULL)
        set_patience(c, q->save != NULL ? q->save : q->load);
    curl_easy_setopt(c, CURLOPT_MAXAGE_CONN, IDLE_CONNECTION_S);
    curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, h);
}

// Method, body and headers. *headers is the caller's to free, also on failure.
static enum err set_request(struct http *h, const struct http_request *q, struct curl_slist **headers)
{
    char lines[5][64];
    int count = 0;
    const void *data = q->file != NULL ? q->data : q->json;
    size_t length = q->file != NULL ? q->data_length : q->json != NULL ? strlen(q->json) : 0;
    if (q->file != NULL) {
        snprintf(lines[count++], sizeof lines[0], "Content-Type: application/octet-stream");
        snprintf(lines[count++], sizeof lines[0], "X-Incus-uid: %ld", q->file->uid);
        snprintf(lines[count++], sizeof lines[0], "X-Incus-gid: %ld", q->file->gid);
        snprintf(lines[count++], sizeof lines[0], "X-Incus-mode: %04o", q->file->mode);
        snprintf(lines[count++], sizeof lines[0], "X-Incus-type: %s", q->file->type);
    } else if (q->load != NULL) {
        snprintf(lines[count++], sizeof lines[0], "Content-Type: application/octet-stream");
    } else if (q->json != NULL) {
        snprintf(lines[count++], sizeof lines[0], "Content-Type: application/json");
    }
    for (int i = 0; i < count; i++) {
        struct curl_slist *longer = curl_slist_append(*headers, lines[i]);
        if (longer == NULL)
            return ERR_MEMORY;
        *headers = longer;
    }
    struct curl_slist *longer = curl_slist_append(*headers, "Expect:"); // no 100-continue round trip
    if (longer == NULL)
        return ERR_MEMORY;
    *headers = longer;
    if (q->load != NULL) {
        curl_easy_setopt(h->curl, CURLOPT_POST, 1L);
        curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->load->length);
        curl_easy_setopt(h->curl, CURLOPT_READFUNCTION, on_load);
    } else if (strcmp(q->method, "GET") != 0) {
        curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
        curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, data != NULL ? data : "");
        curl_easy_setopt(h->curl, CURLOPT_CUSTOMREQUEST, q->method);
    }
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, *headers);
    return ERR_NONE;
}

enum err http_perform(struct http *h, const struct http_request *q, struct http_answer *answer,
                      struct fault *f)
{
    struct receive r = {
        .curl = h->curl, .answer = answer, .max = q->body_max != 0 ? q->body_max : HTTP_BODY_MAX};
    struct http_stream *stream = q->save != NULL ? q->save : q->load;
    struct passage *passage = NULL;
    struct fault why;
    struct curl_slist *headers = NULL;
    char url[CONFIG_TEXT + 1024];
    enum err e = ERR_NONE;
    *answer = (struct http_answer){.status = 0};
    size_t end = strlen(h->config->incus_url);
    while (end > 0 && h->config->incus_url[end - 1] == '/')
        end--;
    int n = snprintf(url, sizeof url, "%.*s%s", (int)end, h->config->incus_url, q->path);
    if (n < 0 || (size_t)n >= sizeof url)
        return fault_set(f, ERR_INVALID, "the path of a request to Incus is too long");
    if (stream != NULL && (passage = passage_new(stream)) == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    r.save = q->save != NULL ? passage : NULL;
    set_connection(h, q);
    if (q->load != NULL)
        curl_easy_setopt(h->curl, CURLOPT_READDATA, passage);
    curl_easy_setopt(h->curl, CURLOPT_URL, url);
    curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, &r);
    curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, &r);
    e = set_request(h, q, &headers);
    if (e != ERR_NONE) {
        fault_set(f, e, "out of memory");
        goto out;
    }
    CURLcode code = curl_easy_perform(h->curl);
    if (code != CURLE_OK)
        e = explain(h, code, &r, f);
    if (passage != NULL &&
        (code == CURLE_OK || code == CURLE_WRITE_ERROR || code == CURLE_ABORTED_BY_CALLBACK)) {
        enum err file = passage_end(passage, &why); // if the file is at fault, that is the reason
        if (file != ERR_NONE)
            e = fault_set(f, file, "%s", why.text);
    }
    if (e != ERR_NONE)
        goto out;
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &answer->status);
out:
    passage_free(passage);
    curl_slist_free_all(headers);
    return e;
}

bool http_escape(const char *text, char *out, size_t out_size)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t at = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                     strchr("-._~/", *p) != NULL;
        if (at + 4 > out_size)
            return false;
        if (plain) {
            out[at++] = (char)*p;
        } else {
            out[at++] = '%';
            out[at++] = hex[*p >> 4];
            out[at++] = hex[*p & 15];
        }
    }
    if (at >= out_size)
        return false;
    out[at] = '\0';
    return true;
}
