// Owns the listeners and an entry for every connection. Connections themselves are evhttp's; they are cut
// with shutdown(2), after which evhttp closes them as it closes any that ended.
#include "control/tls_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>

#include "base/log.h"
#include "base/units.h"
#include "control/http_api.h"
#include "control/tls_identity.h"
#include "control/tls_listen.h"
#include "pki/certificate.h"

#define CONNECTIONS_MAX 64
#define HANDSHAKES_MAX 16      // unfinished ones; the oldest gives way
#define HANDSHAKE_MS 10000     // from accept to the end of the handshake
#define REQUEST_MS 30000       // for each request to arrive, and between requests
#define TICK_MS 250            // how often deadlines are looked at, while there are any
#define ACCEPTS_PER_TICK 10    // 40 a second; a handshake is 1.4 ms here, so that is a twentieth of a core
#define RECORDS_A_MINUTE 60    // refusals that go into the audit trail; all are logged
#define BODY_MAX (1024 * 1024) // of a request
#define HEADERS_MAX 8192
#define IO_SECONDS 30 // without a byte moving

struct tls_client {
    TAILQ_ENTRY(tls_client) entry;
    struct tls_server *server; // NULL once that is gone
    SSL *ssl;
    bool ready; // handshake done
    bool busy;  // a request is being answered
    bool full;  // one too many: answered with 503
    uint64_t deadline;
};

struct tls_server {
    struct control *control;
    struct tls_context *context; // NULL: no usable certificates yet
    struct evhttp *http;
    struct http_api *api;
    struct event *tick;
    TAILQ_HEAD(, tls_client) clients; // oldest first
    unsigned accepts;                 // left in this tick
    bool listening, paused;
    uint64_t recorded_since; // refusals in the audit trail: how many since when
    unsigned recorded;
    int index; // of our entry in an SSL
    char port[TLS_PORT_SIZE];
};

// ---- entries

// OpenSSL frees the SSL: the connection is gone.
static void on_ssl_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
    struct tls_client *client = ptr;
    (void)parent;
    (void)ad;
    (void)index;
    (void)argl;
    (void)argp;
    if (client == NULL)
        return;
    if (client->server != NULL)
        TAILQ_REMOVE(&client->server->clients, client, entry);
    free(client);
}

static void cut(const struct tls_client *client)
{
    int fd = SSL_get_fd(client->ssl);
    if (fd >= 0)
        shutdown(fd, SHUT_RDWR);
}

static void refused(const struct tls_client *client, const char *reason)
{
    char from[80];
    tls_identity_address(SSL_get_fd(client->ssl), from, sizeof from);
    log_event(LOG_LEVEL_WARN, "tls_refused", "from=%s reason=%s", from, log_quote(reason));
}

// A certificate is no secret: who has a revoked one of somebody else's must not fill the trail with it.
static bool may_record(struct tls_server *s)
{
    uint64_t now = monotonic_ms();
    if (now - s->recorded_since >= 60000) {
        s->recorded_since = now;
        s->recorded = 0;
    }
    return s->recorded++ < RECORDS_A_MINUTE;
}

static int on_verify(int ok, X509_STORE_CTX *context)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_server *s = ssl == NULL ? NULL : SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    X509 *certificate = X509_STORE_CTX_get_current_cert(context);
    int error = X509_STORE_CTX_get_error(context);
    if (!ok && s != NULL && certificate != NULL && tls_identity_was_ours(error) && may_record(s))
        tls_identity_refused(s->control, certificate, error, SSL_get_fd(ssl));
    return ok;
}

static const char *alert_text(int value)
{
    if ((value & 0xff) == TLS13_AD_CERTIFICATE_REQUIRED) // OpenSSL has no words for it yet
        return "it showed no certificate";
    return SSL_alert_desc_string_long(value);
}

static void on_handshake(const SSL *ssl, int where, int value)
{
    static const int on = 1;
    struct tls_server *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct tls_client *client = s == NULL ? NULL : SSL_get_ex_data(ssl, s->index);
    if (client == NULL)
        return;
    if ((where & SSL_CB_HANDSHAKE_DONE) != 0 && !client->ready) {
        client->ready = true;
        setsockopt(SSL_get_fd(ssl), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // head and body are two writes
        client->deadline = monotonic_ms() + REQUEST_MS;
    }
    bool close_notify = (value & 0xff) == SSL_AD_CLOSE_NOTIFY;
    if ((where & SSL_CB_ALERT) != 0 && !client->ready && !close_notify)
        refused(client, alert_text(value));
}

static size_t count(const struct tls_server *s, bool ready_too)
{
    const struct tls_client *client;
    size_t n = 0;
    TAILQ_FOREACH(client, &s->clients, entry)
    n += ready_too || !client->ready;
    return n;
}

// The oldest that keeps others out for nothing: an unfinished handshake, or a connection without a request.
static struct tls_client *oldest_idle(struct tls_server *s, bool ready)
{
    struct tls_client *client;
    TAILQ_FOREACH(client, &s->clients, entry)
    {
        if (client->ready == ready && !client->busy && client->deadline != 0)
            return client;
    }
    return NULL;
}

static void give_way(struct tls_client *client)
{
    if (client == NULL)
        return;
    client->deadline = 0;
    cut(client);
}

// ---- connections

static enum err load(struct tls_server *s, struct fault *f)
{
    struct tls_context *fresh = NULL;
    enum err e = tls_context_load(s->control->config, &fresh, f);
    if (e != ERR_NONE)
        return e;
    SSL_CTX *ssl = tls_context_ssl(fresh);
    SSL_CTX_set_app_data(ssl, s);
    SSL_CTX_set_info_callback(ssl, on_handshake);
    SSL_CTX_set_verify(ssl, SSL_CTX_get_verify_mode(ssl), on_verify);
    tls_context_free(s->context);
    s->context = fresh;
    return ERR_NONE;
}

static void on_listener(struct evhttp_bound_socket *socket, void *arg)
{
    const struct tls_server *s = arg;
    struct evconnlistener *listener = evhttp_bound_socket_get_listener(socket);
    if (s->paused)
        evconnlistener_disable(listener);
    else
        evconnlistener_enable(listener);
}

static void set_paused(struct tls_server *s, bool paused)
{
    s->paused = paused;
    evhttp_foreach_bound_socket(s->http, on_listener, s);
}

static void tick_soon(struct tls_server *s)
{
    static const struct timeval wait = {.tv_usec = TICK_MS * 1000};
    if (!event_pending(s->tick, EV_TIMEOUT, NULL))
        event_add(s->tick, &wait);
}

static struct tls_client *client_new(struct tls_server *s)
{
    struct tls_client *client = calloc(1, sizeof *client);
    SSL *ssl = client == NULL ? NULL : SSL_new(tls_context_ssl(s->context));
    if (ssl == NULL || SSL_set_ex_data(ssl, s->index, client) != 1) {
        SSL_free(ssl);
        free(client);
        return NULL;
    }
    client->server = s;
    client->ssl = ssl;
    client->deadline = monotonic_ms() + HANDSHAKE_MS;
    TAILQ_INSERT_TAIL(&s->clients, client, entry);
    return client;
}

// A new connection, not yet with its socket. NULL would make evhttp speak plain HTTP on it; http_api.c
// answers nobody who has no entry here, so that even then nothing is served.
static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
    struct tls_server *s = arg;
    struct fault f;
    if (tls_context_stale(s->context))
        tls_server_refresh(s->control);
    if (count(s, false) >= HANDSHAKES_MAX)
        give_way(oldest_idle(s, false));
    bool full = count(s, true) >= CONNECTIONS_MAX;
    if (full)
        give_way(oldest_idle(s, true));
    if (s->accepts > 0)
        s->accepts--;
    if (s->accepts == 0 || count(s, true) >= 2 * CONNECTIONS_MAX)
        set_paused(s, true); // the rest waits in the kernel's queue until the next tick
    tick_soon(s);
    struct tls_client *client = client_new(s);
    if (client == NULL)
        return NULL;
    client->full = full;
    struct bufferevent *bev = bufferevent_openssl_socket_new(base, -1, client->ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                             BEV_OPT_CLOSE_ON_FREE);
    if (bev == NULL) {
        SSL_free(client->ssl);
        (void)certificate_fault(&f, "cannot make a TLS connection");
        return NULL;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct tls_server *s = arg;
    struct tls_client *client;
    uint64_t now = monotonic_ms();
    (void)fd;
    (void)what;
    TAILQ_FOREACH(client, &s->clients, entry)
    {
        if (client->busy || client->deadline == 0 || now < client->deadline)
            continue;
        if (!client->ready)
            refused(client, "the handshake took too long");
        give_way(client);
    }
    s->accepts = ACCEPTS_PER_TICK;
    if (s->paused && count(s, true) < 2 * CONNECTIONS_MAX)
        set_paused(s, false);
    if (s->paused || !TAILQ_EMPTY(&s->clients))
        tick_soon(s);
}

static struct tls_client *client_of(struct tls_server *s, struct evhttp_connection *connection)
{
    struct bufferevent *bev = connection == NULL ? NULL : evhttp_connection_get_bufferevent(connection);
    const SSL *ssl = bev == NULL ? NULL : bufferevent_openssl_get_ssl(bev);
    return ssl == NULL ? NULL : SSL_get_ex_data(ssl, s->index);
}

void tls_server_busy(struct tls_server *s, struct evhttp_connection *connection, bool busy)
{
    struct tls_client *client = client_of(s, connection);
    if (client == NULL)
        return;
    client->busy = busy;
    client->deadline = monotonic_ms() + REQUEST_MS;
}

// ---- who it is

enum err tls_server_identify(struct tls_server *s, struct evhttp_request *request, struct identity *out,
                             struct fault *f)
{
    struct tls_client *client = client_of(s, evhttp_request_get_connection(request));
    struct certificate_holder holder;
    *out = (struct identity){.role = ROLE_USER, .capped = true};
    X509 *certificate = client == NULL ? NULL : SSL_get0_peer_certificate(client->ssl);
    if (certificate == NULL)
        return fault_set(f, ERR_DENIED, "a client certificate is needed");
    tls_identity_address(SSL_get_fd(client->ssl), out->address, sizeof out->address);
    if (client->full)
        return fault_set(f, ERR_FULL, "there are %d connections already; try again", CONNECTIONS_MAX);
    enum err e = tls_context_check(s->context, certificate, SSL_get_peer_cert_chain(client->ssl), f);
    if (e == ERR_NONE)
        e = certificate_holder(certificate, &holder, f);
    if (e != ERR_NONE)
        return e;
    return tls_identity_of(s->control, &holder, out, f);
}

// ---- files and listeners

static enum err listen_all(struct tls_server *s, struct fault *f)
{
    enum err e = tls_listen(s->control->base, s->http, s->control->config->listen_tls, s->port, f);
    s->listening = e == ERR_NONE;
    return e;
}

void tls_server_refresh(struct control *c)
{
    struct tls_server *s = c->tls;
    struct tls_client *client;
    struct fault f;
    if (s == NULL)
        return;
    enum err e = load(s, &f);
    if (e == ERR_NONE && !s->listening)
        e = listen_all(s, &f);
    if (e != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "tls_files", "error=%s advice=%s", log_quote(f.text),
                  log_quote("containarium cert generate"));
    if (s->context == NULL)
        return;
    TAILQ_FOREACH(client, &s->clients, entry)
    {
        X509 *certificate = client->ready ? SSL_get0_peer_certificate(client->ssl) : NULL;
        if (certificate != NULL && tls_context_check(s->context, certificate,
                                                     SSL_get_peer_cert_chain(client->ssl), &f) != ERR_NONE) {
            refused(client, f.text);
            cut(client);
        }
    }
}

const char *tls_server_port(const struct control *c)
{
    return c->tls != NULL && c->tls->listening ? c->tls->port : NULL;
}

static enum err set_up(struct tls_server *s, struct fault *f)
{
    s->http = evhttp_new(s->control->base);
    s->tick = event_new(s->control->base, -1, 0, on_tick, s);
    s->api = http_api_new(s->control, s);
    s->index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_free);
    if (s->http == NULL || s->tick == NULL || s->api == NULL || s->index < 0)
        return fault_set(f, ERR_MEMORY, "out of memory");
    evhttp_set_bevcb(s->http, on_connection, s);
    evhttp_set_gencb(s->http, http_api_on_request, s->api);
    evhttp_set_max_body_size(s->http, BODY_MAX);
    evhttp_set_max_headers_size(s->http, HEADERS_MAX);
    evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
    evhttp_set_default_content_type(s->http, "application/json");
    evhttp_set_timeout(s->http, IO_SECONDS);
    if (load(s, f) == ERR_NONE)
        return listen_all(s, f);
    log_event(LOG_LEVEL_WARN, "tls_files", "error=%s advice=%s", log_quote(f->text),
              log_quote("containarium cert generate --server-ip ADDRESS --output-dir DIR"));
    return ERR_NONE;
}

enum err tls_server_new(struct control *c, struct tls_server **out, struct fault *f)
{
    *out = NULL;
    if (c->config->listen_tls[0] == '\0')
        return ERR_NONE;
    struct tls_server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    s->control = c;
    s->accepts = ACCEPTS_PER_TICK;
    TAILQ_INIT(&s->clients);
    enum err e = set_up(s, f);
    if (e != ERR_NONE) {
        tls_server_free(s);
        return e;
    }
    *out = s;
    return ERR_NONE;
}

void tls_server_free(struct tls_server *s)
{
    struct tls_client *client;
    if (s == NULL)
        return;
    if (s->control->tls == s)
        s->control->tls = NULL;
    // evhttp lets go of its connections from the loop, which may not turn again.
    while ((client = TAILQ_FIRST(&s->clients)) != NULL) {
        TAILQ_REMOVE(&s->clients, client, entry);
        client->server = NULL;
        SSL_CTX_set_app_data(SSL_get_SSL_CTX(client->ssl), NULL); // its callbacks look there for us
    }
    http_api_free(s->api);
    if (s->http != NULL)
        evhttp_free(s->http);
    if (s->tick != NULL)
        event_free(s->tick);
    tls_context_free(s->context);
    free(s);
}
