// Owns the fetches that wait and run. Each has a libcurl handle of its own: nothing of one visit is left for
// the next.
#include "provision/fetch.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/subnets.h"
#include "provision/job.h"

#define THREADS 2
#define CONNECT_TIMEOUT_MS 5000L

// IANA's special-purpose registries (RFC 6890 and its updates), multicast, and what carries IPv4 inside.
static const char not_public[] =
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
    "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3 "
    "::/96 64:ff9b::/32 100::/64 2001::/23 2001:db8::/32 2002::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8";

struct fetcher {
    struct job_pool *pool;
    const struct config *config;
    atomic_bool stop;
    LIST_HEAD(, fetch) all;
    unsigned count;
};

struct fetch {
    LIST_ENTRY(fetch) entry;
    struct job job;
    struct job_note note;
    struct fetcher *owner;
    fetch_done_fn done; // NULL: cancelled
    void *arg;
    // From here on the thread's while it runs.
    char url[FETCH_URL_SIZE];
    char allow[CONFIG_TEXT], ca[CONFIG_TEXT]; // the configuration may be reloaded meanwhile
    char body[FETCH_MAX + 1];
    size_t length;
    bool too_long;
    char refused[INET6_ADDRSTRLEN]; // an address that is not public
    char error[CURL_ERROR_SIZE];
    enum err code;
    struct fault fault;
};

// ---- sources

static const struct site {
    const char *prefix, *url; // with the name in it
} sites[] = {
    {"github:", "https://github.com/%s.keys"},
    {"gitlab:", "https://gitlab.com/%s.keys"},
};

bool fetch_is_source(const char *source)
{
    for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) {
        if (strncmp(source, sites[i].prefix, strlen(sites[i].prefix)) == 0)
            return true;
    }
    return strstr(source, "://") != NULL;
}

static bool is_site_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return n > 0 && n < 64 && name[n] == '\0' && isalnum((unsigned char)name[0]);
}

enum err fetch_url(const char *source, char out[FETCH_URL_SIZE], struct fault *f)
{
    for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) {
        size_t n = strlen(sites[i].prefix);
        if (strncmp(source, sites[i].prefix, n) != 0)
            continue;
        if (!is_site_name(source + n))
            return fault_set(f, ERR_INVALID, "%.80s: after %s comes a user name of that site", source,
                             sites[i].prefix);
        const char *mark = strstr(sites[i].url, "%s");
        snprintf(out, FETCH_URL_SIZE, "%.*s%s%s", (int)(mark - sites[i].url), sites[i].url, source + n,
                 mark + 2);
        return ERR_NONE;
    }
    if (strncasecmp(source, "https://", 8) != 0)
        return fault_set(f, ERR_INVALID, "%.80s: keys are fetched over https:// only", source);
    for (const char *p = source; *p != '\0'; p++) {
        if (*p <= ' ' || *p >= 0x7f)
            return fault_set(f, ERR_INVALID, "%.80s: blanks and letters beyond ASCII must be written %%XX",
                             source);
    }
    if (strlen(source) >= FETCH_URL_SIZE)
        return fault_set(f, ERR_INVALID, "the URL is longer than %d characters", FETCH_URL_SIZE - 1);
    snprintf(out, FETCH_URL_SIZE, "%s", source);
    return ERR_NONE;
}

bool fetch_is_public(const char *address)
{
    struct subnet parsed;
    return subnet_parse(address, &parsed) && !subnets_have(not_public, address);
}

// ---- on a thread

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct fetch *fetch = arg;
    size_t n = size * count;
    if (n > FETCH_MAX - fetch->length) {
        fetch->too_long = true;
        return 0;
    }
    memcpy(fetch->body + fetch->length, data, n);
    fetch->length += n;
    return n;
}

static int on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal, curl_off_t ulnow)
{
    const struct fetch *fetch = arg;
    (void)dltotal;
    (void)dlnow;
    (void)ultotal;
    (void)ulnow;
    return atomic_load_explicit(&fetch->owner->stop, memory_order_relaxed);
}

// Called for every connection, those after a redirect included, with the address the name has turned out to
// be: what is checked is what is connected to.
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct fetch *fetch = arg;
    char text[INET6_ADDRSTRLEN] = "";
    const void *raw =
        to->family == AF_INET    ? (const void *)&((struct sockaddr_in *)(void *)&to->addr)->sin_addr
        : to->family == AF_INET6 ? (const void *)&((struct sockaddr_in6 *)(void *)&to->addr)->sin6_addr
                                 : NULL;
    if (purpose != CURLSOCKTYPE_IPCXN || raw == NULL || inet_ntop(to->family, raw, text, sizeof text) == NULL)
        return CURL_SOCKET_BAD;
    if (!fetch_is_public(text) && !subnets_have(fetch->allow, text)) {
        snprintf(fetch->refused, sizeof fetch->refused, "%s", text);
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static void set_options(CURL *curl, struct fetch *fetch)
{
    curl_easy_setopt(curl, CURLOPT_URL, fetch->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, FETCH_REDIRECTS);
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); // it would choose the address
    curl_easy_setopt(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    if (fetch->ca[0] != '\0') {
        curl_easy_setopt(curl, CURLOPT_CAINFO, fetch->ca);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, FETCH_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "containarium/" CONTAINARIUM_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, fetch->error);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, fetch);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, fetch);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, fetch);
}

static enum err explain(struct fetch *fetch, CURLcode code)
{
    struct fault *f = &fetch->fault;
    const char *detail = fetch->error[0] != '\0' ? fetch->error : curl_easy_strerror(code);
    if (fetch->too_long)
        return fault_set(f, ERR_FULL, "%.200s is longer than %u bytes, which no list of keys is", fetch->url,
                         FETCH_MAX);
    if (fetch->refused[0] != '\0')
        return fault_set(f, ERR_DENIED,
                         "%.200s leads to %s, which is no public address; [enrol] fetch_allow lists "
                         "exceptions",
                         fetch->url, fetch->refused);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return fault_set(f, ERR_TIMEOUT, "%.200s did not answer within %ld seconds", fetch->url,
                         FETCH_TIMEOUT_MS / 1000);
    if (code == CURLE_TOO_MANY_REDIRECTS)
        return fault_set(f, ERR_FAILED, "%.200s redirects more than %ld times", fetch->url, FETCH_REDIRECTS);
    if (code == CURLE_UNSUPPORTED_PROTOCOL)
        return fault_set(f, ERR_DENIED, "%.200s leads to something else than https", fetch->url);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return fault_set(f, ERR_UNAVAILABLE, "the control plane is stopping; try again in a moment");
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return fault_set(f, ERR_DENIED, "the certificate of %.200s is not to be trusted (%.120s)", fetch->url,
                         detail);
    return fault_set(f, ERR_UNAVAILABLE, "%.200s cannot be fetched (%.120s)", fetch->url, detail);
}

static enum err check_status(struct fetch *fetch, long status)
{
    if (status == 404)
        return fault_set(&fetch->fault, ERR_NOTFOUND, "%.200s: there is no such page; is the name right?",
                         fetch->url);
    if (status != 200)
        return fault_set(&fetch->fault, ERR_FAILED, "%.200s answers with HTTP status %ld", fetch->url,
                         status);
    return ERR_NONE;
}

static void run(struct job *job, void *worker)
{
    struct fetch *fetch = (struct fetch *)(void *)((char *)job - offsetof(struct fetch, job));
    long status = 0;
    (void)worker;
    CURL *curl = curl_easy_init();
    if (curl == NULL) {
        fetch->code = fault_set(&fetch->fault, ERR_MEMORY, "out of memory");
    } else {
        set_options(curl, fetch);
        CURLcode code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        fetch->code = code != CURLE_OK ? explain(fetch, code) : check_status(fetch, status);
        curl_easy_cleanup(curl);
    }
    fetch->body[fetch->length] = '\0';
    job_post(fetch->owner->pool, &fetch->note);
}

// ---- on the loop

static void fetch_free(struct fetch *fetch)
{
    LIST_REMOVE(fetch, entry);
    fetch->owner->count--;
    free(fetch);
}

static void deliver(struct job_note *note, bool dropped)
{
    struct fetch *fetch = (struct fetch *)(void *)((char *)note - offsetof(struct fetch, note));
    bool ok = fetch->code == ERR_NONE;
    if (!dropped && fetch->done != NULL)
        fetch->done(fetch->arg, fetch->code, &fetch->fault, ok ? fetch->body : "", ok ? fetch->length : 0);
    fetch_free(fetch);
}

struct fetch *fetch_start(struct fetcher *fs, const char *source, fetch_done_fn done, void *arg,
                          struct fault *f)
{
    char url[FETCH_URL_SIZE];
    if (fetch_url(source, url, f) != ERR_NONE)
        return NULL;
    struct fetch *fetch = fs->count < FETCH_WAITING_MAX ? calloc(1, sizeof *fetch) : NULL;
    if (fetch == NULL) {
        fault_set(f, ERR_FULL, "too many keys are being fetched; try again in a minute");
        return NULL;
    }
    fetch->owner = fs;
    fetch->job.run = run;
    fetch->note.deliver = deliver;
    fetch->done = done;
    fetch->arg = arg;
    snprintf(fetch->url, sizeof fetch->url, "%s", url);
    snprintf(fetch->allow, sizeof fetch->allow, "%s", fs->config->fetch_allow);
    snprintf(fetch->ca, sizeof fetch->ca, "%s", fs->config->fetch_ca);
    LIST_INSERT_HEAD(&fs->all, fetch, entry);
    fs->count++;
    job_submit(fs->pool, &fetch->job);
    return fetch;
}

void fetch_cancel(struct fetch *fetch)
{
    fetch->done = NULL;
}

static void *worker_new(void *arg)
{
    return arg; // threads need nothing of their own
}

static void worker_free(void *worker)
{
    (void)worker;
}

enum err fetcher_new(struct event_base *base, const struct config *config, struct fetcher **out,
                     struct fault *f)
{
    struct fetcher *fs = calloc(1, sizeof *fs);
    const struct job_hooks hooks = {.worker_new = worker_new, .worker_free = worker_free, .arg = fs};
    *out = NULL;
    if (fs == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    fs->config = config;
    atomic_init(&fs->stop, false);
    LIST_INIT(&fs->all);
    enum err e = job_pool_new(base, THREADS, &hooks, &fs->pool, f);
    if (e == ERR_NONE)
        *out = fs;
    else
        free(fs);
    return e;
}

void fetcher_free(struct fetcher *fs)
{
    if (fs == NULL)
        return;
    atomic_store(&fs->stop, true);
    job_pool_free(fs->pool);
    while (!LIST_EMPTY(&fs->all))
        fetch_free(LIST_FIRST(&fs->all));
    free(fs);
}
