// sd_notify, sd_watchdog_enabled and sd_listen_fds without the library.
#include "base/notify.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void notify_send(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path)
        return;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0'; // abstract
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, length);
    close(fd);
}

void notify_ready(void)
{
    notify_send("READY=1");
}

void notify_reloading(void)
{
    // Since version 253 the time is asked for, to tell this reload from the one before.
    char text[64];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
             (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    notify_send(text);
}

void notify_stopping(void)
{
    notify_send("STOPPING=1");
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    notify_send("WATCHDOG=1");
}

// Half of the time allowed; false if this process is not the one that is watched.
static bool watchdog_interval(struct timeval *out)
{
    const char *pid = getenv("WATCHDOG_PID"), *text = getenv("WATCHDOG_USEC");
    char *end;
    if (text == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid()))
        return false;
    long long usec = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || usec < 2 || usec == LLONG_MAX)
        return false;
    *out = (struct timeval){.tv_sec = usec / 2 / 1000000, .tv_usec = usec / 2 % 1000000};
    return true;
}

struct event *notify_watchdog(struct event_base *base)
{
    struct timeval interval;
    if (!watchdog_interval(&interval))
        return NULL;
    struct event *timer = event_new(base, -1, EV_PERSIST, on_watchdog, NULL);
    if (timer != NULL && event_add(timer, &interval) != 0) {
        event_free(timer);
        timer = NULL;
    }
    return timer;
}

int notify_listen_fds(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    int n = 0;
    if (pid != NULL && count != NULL && strtol(pid, NULL, 10) == (long)getpid())
        n = (int)strtol(count, NULL, 10);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return n > 0 && n < 64 ? n : 0;
}
