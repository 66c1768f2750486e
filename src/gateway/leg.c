// Owns the client session's events.
#include "gateway/leg.h"

#include <stdlib.h>
#include <unistd.h>

struct leg {
    struct client *client;
    int watch_fd; // a duplicate: libssh closes its own inside its calls, epoll must not notice
    struct event *readable, *writable;
    leg_wake_fn wake;
    void *arg;
};

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct leg *l = arg;
    (void)fd;
    (void)what;
    l->wake(l->arg);
}

enum err leg_new(struct event_base *base, int fd, int agent_fd, const char *user, const char *hostkeys,
                 leg_wake_fn wake, void *arg, struct leg **out, struct fault *f)
{
    *out = NULL;
    struct leg *l = calloc(1, sizeof *l);
    if (l == NULL) {
        close(fd);
        close(agent_fd);
        return fault_set(f, ERR_MEMORY, "out of memory");
    }
    l->wake = wake;
    l->arg = arg;
    evutil_make_socket_nonblocking(fd);
    l->watch_fd = dup(fd);
    enum err e = client_new(fd, agent_fd, user, hostkeys, &l->client, f);
    if (e == ERR_NONE) {
        l->readable = event_new(base, l->watch_fd, EV_READ | EV_PERSIST, on_event, l);
        l->writable = event_new(base, l->watch_fd, EV_WRITE, on_event, l);
        if (l->watch_fd < 0 || l->readable == NULL || l->writable == NULL ||
            event_add(l->readable, NULL) != 0)
            e = fault_set(f, ERR_MEMORY, "out of memory");
    }
    if (e != ERR_NONE) {
        leg_free(l);
        return e;
    }
    *out = l;
    return ERR_NONE;
}

void leg_free(struct leg *l)
{
    if (l == NULL)
        return;
    if (l->readable != NULL)
        event_free(l->readable);
    if (l->writable != NULL)
        event_free(l->writable);
    client_free(l->client);
    if (l->watch_fd >= 0)
        close(l->watch_fd);
    free(l);
}

bool leg_pump(struct leg *l)
{
    return client_pump(l->client);
}

void leg_rearm(struct leg *l)
{
    if (client_write_pending(l->client))
        event_add(l->writable, NULL);
}

struct client *leg_client(struct leg *l)
{
    return l->client;
}
