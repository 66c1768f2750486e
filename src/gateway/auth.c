// Owns the one authentication request that is being decided.
#include "gateway/auth.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"

#define PROBES_MAX 64 // offers are free, but not without end

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static void count_failure(struct connection *c)
{
    if (++c->auth.failures >= c->config->max_auth_failures)
        connection_close(c, true, "too many authentication failures");
}

// It is not the key: no other would do. The reason comes in place of the failure message, on which a client
// would hang up without reading further.
static void turn_away(struct connection *c, struct ask *a, const char *reason)
{
    ask_drop(a);
    connection_close(c, true, reason);
}

static void on_probe_answer(void *arg, const struct message *answer, const int *fds, size_t fd_count)
{
    struct connection *c = arg;
    struct ask *a = c->auth.held;
    close_all(fds, fd_count);
    c->auth.held = NULL;
    if (answer->type == MESSAGE_KEY_OK)
        ask_accept(a);
    else if (answer->type == MESSAGE_REFUSED && answer->text[0] != '\0')
        turn_away(c, a, answer->text);
    else
        ask_refuse(a);
    connection_wake(c);
}

static void logged_in(struct connection *c, const struct message *welcome, const int *fds, size_t fd_count)
{
    c->state = CONNECTION_OPEN;
    snprintf(c->user, sizeof c->user, "%s", welcome->user);
    c->console = welcome->console;
    control_link_set_token(c->control, welcome->token);
    connection_welcome(c, welcome, fds, fd_count);
    event_del(c->grace);
    if (c->startup_fd >= 0)
        close(c->startup_fd);
    c->startup_fd = -1;
    log_event(LOG_LEVEL_INFO, "accepted", "user=%s from=%s port=%u client=%s", c->user, c->address,
              (unsigned)c->port, log_quote(server_client_id(c->server)));
}

static void on_login_answer(void *arg, const struct message *answer, const int *fds, size_t fd_count)
{
    struct connection *c = arg;
    struct ask *a = c->auth.held;
    bool in = answer->type == MESSAGE_WELCOME && c->state == CONNECTION_AUTH;
    c->auth.held = NULL;
    if (!in)
        close_all(fds, fd_count);
    if (in) {
        logged_in(c, answer, fds, fd_count);
        ask_accept_login(a);
    } else if (answer->text[0] != '\0') {
        turn_away(c, a, answer->text);
    } else {
        ask_refuse(a);
        count_failure(c);
    }
    connection_wake(c);
}

static void ask_control(struct connection *c, struct ask *a)
{
    const struct ask_view *v = ask_view(a);
    struct message m = {.type = v->kind == ASK_AUTH_SIGNED ? MESSAGE_LOGIN : MESSAGE_KEY,
                        .kex_ms = c->key_exchanged - c->began,
                        .auth_ms = monotonic_ms() - c->key_exchanged};
    snprintf(m.login, sizeof m.login, "%s", v->user);
    snprintf(m.key, sizeof m.key, "%s", v->key);
    snprintf(m.client, sizeof m.client, "%s", server_client_id(c->server));
    c->auth.held = a;
    (void)control_link_ask(c->control, &m, v->kind == ASK_AUTH_SIGNED ? on_login_answer : on_probe_answer, c);
}

static void bad_signature(struct connection *c, struct ask *a)
{
    const struct ask_view *v = ask_view(a);
    struct message m = {.type = MESSAGE_AUTH_FAILED};
    snprintf(m.login, sizeof m.login, "%s", v->user);
    snprintf(m.key, sizeof m.key, "%s", v->key);
    snprintf(m.text, sizeof m.text, "the signature does not verify");
    control_link_tell(c->control, &m);
    ask_refuse(a);
    count_failure(c);
}

// A touch cannot be insisted on and a certificate not be checked with the library as it is; better no than
// half.
static void unsupported_key(struct connection *c, struct ask *a)
{
    const struct ask_view *v = ask_view(a);
    struct message m = {.type = MESSAGE_AUTH_FAILED};
    snprintf(m.login, sizeof m.login, "%s", v->user);
    snprintf(m.key, sizeof m.key, "%s", v->key);
    snprintf(m.text, sizeof m.text, "FIDO keys and certificates are not supported");
    control_link_tell(c->control, &m);
    if (!c->auth.told_unsupported)
        server_send_banner(c->server,
                           "containarium: FIDO (sk-) keys and certificates cannot be used here yet; "
                           "offer an ed25519, ecdsa or rsa key\r\n");
    c->auth.told_unsupported = true;
    ask_refuse(a);
}

void auth_ask(struct connection *c, struct ask *a)
{
    if (c->key_exchanged == 0)
        c->key_exchanged = monotonic_ms();
    if (c->state == CONNECTION_ADMITTING) { // auth_resume() brings it back
        c->auth.held = a;
        return;
    }
    if (c->state != CONNECTION_AUTH) { // RFC 4252 section 5.3: after success, further requests are ignored
        ask_drop(a);
        return;
    }
    const struct ask_view *v = ask_view(a);
    if ((v->key != NULL && strlen(v->key) >= sizeof((struct message *)0)->key) ||
        ++c->auth.probes > PROBES_MAX) {
        ask_refuse(a);
        count_failure(c);
        return;
    }
    switch (v->kind) {
    case ASK_AUTH_PROBE:
    case ASK_AUTH_SIGNED:
        ask_control(c, a);
        return;
    case ASK_AUTH_BAD:
        bad_signature(c, a);
        return;
    case ASK_AUTH_UNSUPPORTED_KEY:
        unsupported_key(c, a);
        return;
    case ASK_AUTH_NONE:
    case ASK_OPEN_SESSION:
    case ASK_OPEN_DIRECT_TCPIP:
    case ASK_OPEN_OTHER:
    case ASK_PTY:
    case ASK_ENV:
    case ASK_SHELL:
    case ASK_EXEC:
    case ASK_SUBSYSTEM:
    case ASK_WINDOW_CHANGE:
    case ASK_CHANNEL_OTHER:
    case ASK_FORWARD:
    case ASK_CANCEL_FORWARD:
    case ASK_GLOBAL_OTHER:
        ask_refuse(a);
        return;
    }
}

void auth_resume(struct connection *c)
{
    struct ask *a = c->auth.held;
    c->auth.held = NULL;
    if (a != NULL)
        auth_ask(c, a);
}

void auth_free(struct connection *c)
{
    ask_drop(c->auth.held);
    c->auth.held = NULL;
}
