// Owns gateway.sock and the list of links; sees that sessions whose processes died with us are closed as
// lost.
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "control/gateway_connection.h"
#include "control/writer.h"

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    for (int i = 0; i < 64; i++) {
        int one = accept4((int)fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (one < 0)
            return;
        (void)connection_new(arg, one);
    }
}

static bool is_attached(const struct gateway_server *g, int64_t session)
{
    const struct connection *c;
    LIST_FOREACH(c, &g->connections, entry)
    {
        if (c->session.id == session) // also one whose login is just being committed
            return true;
    }
    return false;
}

struct lost_list {
    struct gateway_server *server;
    struct session_row *rows;
    size_t count;
};

static enum err collect_lost(const struct session_row *row, void *arg, struct fault *f)
{
    struct lost_list *lost = arg;
    if (is_attached(lost->server, row->id))
        return ERR_NONE;
    struct session_row *rows = reallocarray(lost->rows, lost->count + 1, sizeof *rows);
    if (rows == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    lost->rows = rows;
    lost->rows[lost->count++] = *row;
    return ERR_NONE;
}

// Sessions that were live when we went down and did not come back: their processes are gone.
static void on_reattach_over(evutil_socket_t fd, short what, void *arg)
{
    struct gateway_server *g = arg;
    struct control *control = g->control;
    struct lost_list lost = {.server = g};
    struct fault f = {.text = ""};
    (void)fd;
    (void)what;
    enum err e = session_each_live(control->store, 0, collect_lost, &lost, &f);
    for (size_t i = 0; e == ERR_NONE && i < lost.count; i++) {
        const struct session_row *row = &lost.rows[i];
        struct audit_record record = {
            .event = AUDIT_LOGOUT,
            .user = row->user,
            .fingerprint = row->fingerprint,
            .address = row->address,
            .session = row->id,
            .reason = "lost",
        };
        e = session_close(control->store, row->id, time(NULL), "lost", 0, 0, row->channels, &f);
        if (e == ERR_NONE)
            e = writer_audit(control->writer, &record, &f);
    }
    if (e != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "lost_sessions_failed", "error=%s", log_quote(f.text));
    else if (lost.count > 0)
        log_event(LOG_LEVEL_INFO, "lost_sessions", "count=%zu", lost.count);
    free(lost.rows);
}

enum err gateway_server_new(struct control *c, struct gateway_server **out, struct fault *f)
{
    struct timeval reattach = {.tv_sec = GATEWAY_REATTACH_SECONDS};
    char path[CONFIG_TEXT + 16];
    struct gateway_server *g = calloc(1, sizeof *g);
    *out = NULL;
    if (g == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    g->control = c;
    LIST_INIT(&g->connections);
    const struct passwd *user = getpwnam(c->config->gateway_user);
    if (user == NULL) {
        fault_set(f, ERR_NOTFOUND, "[control] gateway_user: there is no user \"%s\" on this host",
                  c->config->gateway_user);
        free(g);
        return ERR_NOTFOUND;
    }
    g->gateway_uid = user->pw_uid;
    snprintf(path, sizeof path, "%s/gateway.sock", c->config->run_dir);
    g->fd = link_listen(path, 0666); // who may speak is decided by SO_PEERCRED, not by the file's mode
    if (g->fd < 0) {
        fault_errno(f, ERR_IO, "cannot listen on %s", path);
        free(g);
        return ERR_IO;
    }
    g->accept_event = event_new(c->base, g->fd, EV_READ | EV_PERSIST, on_accept, g);
    g->reattach_timer = evtimer_new(c->base, on_reattach_over, g);
    if (g->accept_event == NULL || g->reattach_timer == NULL || event_add(g->accept_event, NULL) != 0 ||
        event_add(g->reattach_timer, &reattach) != 0) {
        gateway_server_free(g);
        return fault_set(f, ERR_MEMORY, "out of memory");
    }
    *out = g;
    return ERR_NONE;
}

// Our own end is not the sessions' end: their rows stay open for ATTACH after a restart.
void gateway_server_free(struct gateway_server *g)
{
    if (g == NULL)
        return;
    while (!LIST_EMPTY(&g->connections)) {
        struct connection *c = LIST_FIRST(&g->connections);
        c->closed = true;
        connection_close(c, "restart");
    }
    if (g->accept_event != NULL)
        event_free(g->accept_event);
    if (g->reattach_timer != NULL)
        event_free(g->reattach_timer);
    close(g->fd);
    free(g);
}
