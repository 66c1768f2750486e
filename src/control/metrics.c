// Owns the counters and the HTTP server. What can be counted when asked (live connections, bans in force) is.
#include "control/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/http.h>

#include "base/histogram.h"
#include "base/log.h"
#include "control/bans.h"
#include "control/gateway_link.h"
#include "policy/admit.h"

#define REQUEST_MAX 8192 // bytes of headers and of a body nobody needs
#define TIMEOUT_SECONDS 5

static const double seconds_bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
static const double commit_bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                       0.01,   0.025,   0.05,   0.1,   0.5,    1};
#define SECONDS                                                                                              \
    {                                                                                                        \
        .bounds = seconds_bounds, .count = sizeof seconds_bounds / sizeof seconds_bounds[0]                  \
    }

static const char *const results[] = {"ok", "failed", "refused", "none"};
#define RESULTS (sizeof results / sizeof results[0])

struct metrics {
    struct control *control;
    struct evhttp *http;
    char path[108]; // of the socket, "" if it is none
    uint64_t logins[RESULTS];
    uint64_t bytes_in, bytes_out; // of sessions that have ended
    uint64_t channels_opened, channels_refused;
    uint64_t wakes_failed;
    uint64_t commit_waiters;
    struct histogram kex, auth, wake, commit;
};

// ---- counting

void metrics_login(struct control *c, const char *result)
{
    for (size_t i = 0; i < RESULTS; i++)
        c->metrics->logins[i] += strcmp(results[i], result) == 0;
}

void metrics_handshake(struct control *c, uint64_t kex_ms, uint64_t auth_ms)
{
    histogram_add(&c->metrics->kex, (double)kex_ms / 1000);
    histogram_add(&c->metrics->auth, (double)auth_ms / 1000);
}

void metrics_bytes(struct control *c, uint64_t in, uint64_t out)
{
    c->metrics->bytes_in += in;
    c->metrics->bytes_out += out;
}

void metrics_wake(struct control *c, bool ok, uint64_t ms)
{
    if (ok)
        histogram_add(&c->metrics->wake, (double)ms / 1000);
    else
        c->metrics->wakes_failed++;
}

void metrics_commit(struct control *c, uint64_t us, unsigned waiters)
{
    histogram_add(&c->metrics->commit, (double)us / 1e6);
    c->metrics->commit_waiters += waiters;
}

void metrics_channel(struct control *c, bool opened)
{
    if (opened)
        c->metrics->channels_opened++;
    else
        c->metrics->channels_refused++;
}

// ---- text

static void head(struct evbuffer *out, const char *name, const char *type, const char *help)
{
    evbuffer_add_printf(out, "# HELP containarium_%s %s\n# TYPE containarium_%s %s\n", name, help, name,
                        type);
}

static void number(struct evbuffer *out, const char *name, const char *type, const char *help, uint64_t value)
{
    head(out, name, type, help);
    evbuffer_add_printf(out, "containarium_%s %" PRIu64 "\n", name, value);
}

static void histogram(struct evbuffer *out, const char *name, const char *help, const struct histogram *h)
{
    uint64_t below = 0;
    head(out, name, "histogram", help);
    for (unsigned i = 0; i < h->count; i++) {
        below += h->counts[i];
        evbuffer_add_printf(out, "containarium_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, h->bounds[i],
                            below);
    }
    below += h->counts[h->count];
    evbuffer_add_printf(out, "containarium_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, below);
    evbuffer_add_printf(out, "containarium_%s_sum %g\ncontainarium_%s_count %" PRIu64 "\n", name, h->sum,
                        name, below);
}

struct totals {
    int64_t account_id; // whose they are; 0 = all
    unsigned connections, channels;
    uint64_t bytes_in, bytes_out;
};

static void add_session(const struct live_session *session, void *arg)
{
    struct totals *t = arg;
    if (t->account_id != 0 && t->account_id != session->account_id)
        return; // a guest in their box
    t->connections++;
    t->channels += session->open_channels;
    t->bytes_in += session->bytes_in;
    t->bytes_out += session->bytes_out;
}

// One family at a time, as the format wants them together.
struct per_user {
    struct control *control;
    struct evbuffer *out;
    const char *family;
    uint64_t (*value)(const struct totals *t);
};

static uint64_t connections_of(const struct totals *t)
{
    return t->connections;
}

static uint64_t channels_of(const struct totals *t)
{
    return t->channels;
}

static uint64_t bytes_of(const struct totals *t)
{
    return t->bytes_in + t->bytes_out;
}

// Names are of [a-z0-9-]: nothing in them needs to be escaped.
static enum err print_user(const struct account *account, void *arg, struct fault *f)
{
    const struct per_user *p = arg;
    struct totals t = {.account_id = account->id};
    (void)f;
    gateway_each_live(p->control->gateway, account->id, add_session, &t);
    if (t.connections > 0)
        evbuffer_add_printf(p->out, "containarium_%s{user=\"%s\"} %" PRIu64 "\n", p->family, account->name,
                            p->value(&t));
    return ERR_NONE;
}

static enum err print_users(const struct metrics *m, struct evbuffer *out, struct fault *f)
{
    struct per_user families[] = {
        {m->control, out, "user_connections", connections_of},
        {m->control, out, "user_channels", channels_of},
        {m->control, out, "user_live_bytes", bytes_of},
    };
    static const char *const help[] = {"Authenticated connections of a user now.",
                                       "Channels of a user open now.",
                                       "Bytes of a user's live connections, both directions."};
    enum err e = ERR_NONE;
    for (size_t i = 0; i < sizeof families / sizeof families[0] && e == ERR_NONE; i++) {
        head(out, families[i].family, "gauge", help[i]);
        e = account_each(m->control->store, print_user, &families[i], f);
    }
    return e;
}

static void print_logins(const struct metrics *m, struct evbuffer *out)
{
    head(out, "logins_total", "counter", "Connections by what became of their login.");
    for (size_t i = 0; i < RESULTS; i++)
        evbuffer_add_printf(out, "containarium_logins_total{result=\"%s\"} %" PRIu64 "\n", results[i],
                            m->logins[i]);
    head(out, "dropped_connections_total", "counter", "Connections the listener turned away.");
    for (int i = ADMIT_OK + 1; i < ADMIT_VERDICTS; i++)
        evbuffer_add_printf(out, "containarium_dropped_connections_total{why=\"%s\"} %" PRIu64 "\n",
                            admit_verdict_name((enum admit_verdict)i),
                            gateway_count_dropped(m->control->gateway, i));
    histogram(out, "key_exchange_seconds", "From the connection to the first request to log in.", &m->kex);
    histogram(out, "authentication_seconds", "From there to the signature that counted.", &m->auth);
}

static void print_traffic(const struct metrics *m, struct evbuffer *out)
{
    struct totals live = {.account_id = 0};
    gateway_each_live(m->control->gateway, 0, add_session, &live);
    number(out, "connections", "gauge", "Authenticated connections now.", live.connections);
    number(out, "unauthenticated_connections", "gauge", "Connections that are logging in now.",
           gateway_count_unauthenticated(m->control->gateway));
    number(out, "channels", "gauge", "Channels open now.", live.channels);
    head(out, "channels_total", "counter", "Channels asked for.");
    evbuffer_add_printf(out,
                        "containarium_channels_total{result=\"opened\"} %" PRIu64 "\n"
                        "containarium_channels_total{result=\"refused\"} %" PRIu64 "\n",
                        m->channels_opened, m->channels_refused);
    head(out, "bytes_total", "counter", "Payload of channels, from and to clients.");
    evbuffer_add_printf(out,
                        "containarium_bytes_total{direction=\"in\"} %" PRIu64 "\n"
                        "containarium_bytes_total{direction=\"out\"} %" PRIu64 "\n",
                        m->bytes_in + live.bytes_in, m->bytes_out + live.bytes_out);
}

static void print_all(struct metrics *m, struct evbuffer *out)
{
    struct bans_figures bans = {.in_force = 0};
    struct provision_stats jobs;
    struct fault f;
    print_logins(m, out);
    print_traffic(m, out);
    if (bans_figures(m->control, &bans, &f) != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "metrics_failed", "error=%s", log_quote(f.text));
    number(out, "bans", "gauge", "Bans in force.", bans.in_force);
    number(out, "bans_total", "counter", "Bans there ever were.", bans.ever);
    number(out, "failures_followed", "gauge", "Names and sources whose failures are being counted.",
           bans.followed);
    histogram(out, "wake_seconds", "From a login's request to its box answering.", &m->wake);
    number(out, "wakes_failed_total", "counter", "Requests whose box did not come up.", m->wakes_failed);
    histogram(out, "commit_seconds", "Commits of the store, fsync included.", &m->commit);
    number(out, "commit_waiters_total", "counter", "Answers that waited for a commit.", m->commit_waiters);
    provision_stats(m->control->provision, &jobs);
    number(out, "jobs_queued", "gauge", "Box operations that wait for a thread.", jobs.queued);
    number(out, "jobs_running", "gauge", "Box operations being carried out.", jobs.running);
    if (m->control->config->metrics_per_user && print_users(m, out, &f) != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "metrics_failed", "error=%s", log_quote(f.text));
}

// ---- HTTP

static void on_metrics(struct evhttp_request *request, void *arg)
{
    struct evbuffer *out = evbuffer_new();
    if (out == NULL) {
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
        return;
    }
    print_all(arg, out);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "text/plain; version=0.0.4; charset=utf-8");
    evhttp_send_reply(request, HTTP_OK, "OK", out);
    evbuffer_free(out);
}

static void on_other(struct evhttp_request *request, void *arg)
{
    (void)arg;
    evhttp_send_error(request, HTTP_NOTFOUND, "there is only /metrics here");
}

static int listen_unix(struct metrics *m, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    snprintf(address.sun_path, sizeof address.sun_path, "%.107s", path);
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || chmod(path, 0660) != 0 ||
        listen(fd, 16) != 0) {
        close(fd);
        return -1;
    }
    snprintf(m->path, sizeof m->path, "%.107s", path);
    return fd;
}

static int listen_tcp(const char *text)
{
    struct sockaddr_storage address;
    int length = sizeof address, on = 1;
    if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&address, &length) != 0)
        return -1;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, (socklen_t)length) != 0 || listen(fd, 16) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static enum err serve(struct metrics *m, struct fault *f)
{
    const char *where = m->control->config->metrics_listen;
    m->http = evhttp_new(m->control->base);
    if (m->http == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    evhttp_set_max_headers_size(m->http, REQUEST_MAX);
    evhttp_set_max_body_size(m->http, REQUEST_MAX);
    evhttp_set_timeout(m->http, TIMEOUT_SECONDS);
    evhttp_set_allowed_methods(m->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_gencb(m->http, on_other, NULL);
    evhttp_set_cb(m->http, "/metrics", on_metrics, m);
    int fd = where[0] == '/' ? listen_unix(m, where) : listen_tcp(where);
    if (fd < 0)
        return fault_errno(f, ERR_IO, "[metrics] listen: cannot listen on %.200s", where);
    if (evhttp_accept_socket(m->http, fd) != 0) {
        close(fd);
        return fault_set(f, ERR_MEMORY, "out of memory");
    }
    log_event(LOG_LEVEL_INFO, "metrics_listening", "on=%s", where);
    return ERR_NONE;
}

enum err metrics_new(struct control *c, struct metrics **out, struct fault *f)
{
    *out = NULL;
    struct metrics *m = calloc(1, sizeof *m);
    if (m == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    *m = (struct metrics){
        .control = c,
        .kex = SECONDS,
        .auth = SECONDS,
        .wake = SECONDS,
        .commit = {.bounds = commit_bounds, .count = sizeof commit_bounds / sizeof commit_bounds[0]},
    };
    enum err e = c->config->metrics_listen[0] == '\0' ? ERR_NONE : serve(m, f);
    if (e == ERR_NONE)
        *out = m;
    else
        metrics_free(m);
    return e;
}

void metrics_free(struct metrics *m)
{
    if (m == NULL)
        return;
    if (m->http != NULL)
        evhttp_free(m->http);
    if (m->path[0] != '\0')
        unlink(m->path);
    free(m);
}
