// Owns one SEQPACKET descriptor on the loop and its send queue. Refuses packets over LINK_PACKET_MAX and
// peers that do not read.
#include "wire/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PACKETS_PER_WAKEUP 32 // so that one busy link does not starve the loop

struct packet {
    struct packet *next;
    size_t length;
    size_t fd_count;
    int fds[LINK_FDS_MAX];
    char data[];
};

enum link_state { LINK_OPEN, LINK_ENDED, LINK_FREED };

struct link {
    struct event_base *base;
    int fd;
    enum link_state state;
    bool reading;
    bool in_callback;
    struct event *read_event, *write_event, *end_event;
    struct packet *head, **tail;
    size_t queued;
    char *buffer; // LINK_PACKET_MAX + 1: one byte more tells a packet that is too long
    link_packet_fn on_packet;
    link_end_fn on_end;
    link_drained_fn on_drained;
    void *arg;
    const char *end_reason;
};

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static void drop_queue(struct link *l)
{
    while (l->head != NULL) {
        struct packet *p = l->head;
        l->head = p->next;
        close_all(p->fds, p->fd_count);
        free(p);
    }
    l->tail = &l->head;
    l->queued = 0;
}

static void link_destroy(struct link *l)
{
    if (l->read_event != NULL)
        event_free(l->read_event);
    if (l->write_event != NULL)
        event_free(l->write_event);
    if (l->end_event != NULL)
        event_free(l->end_event);
    drop_queue(l);
    if (l->fd >= 0)
        close(l->fd);
    free(l->buffer);
    free(l);
}

static void link_end(struct link *l, const char *reason)
{
    if (l->state != LINK_OPEN)
        return;
    l->state = LINK_ENDED;
    l->end_reason = reason;
    event_del(l->read_event);
    event_del(l->write_event);
    drop_queue(l);
    event_active(l->end_event, EV_TIMEOUT, 0); // told from the loop, never under the caller's feet
}

static void on_end_event(evutil_socket_t fd, short what, void *arg)
{
    struct link *l = arg;
    (void)fd;
    (void)what;
    if (l->state == LINK_FREED) {
        link_destroy(l);
        return;
    }
    l->on_end(l->arg, l->end_reason);
}

static enum err send_now(struct link *l, const void *data, size_t length, const int *fds, size_t fd_count)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = length};
    union {
        char space[CMSG_SPACE(sizeof(int) * LINK_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd_count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
    }
    for (;;) {
        if (sendmsg(l->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return ERR_NONE;
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
            return ERR_FULL;
        return ERR_UNAVAILABLE;
    }
}

static enum err enqueue(struct link *l, const void *data, size_t length, const int *fds, size_t fd_count)
{
    if (l->queued + length > LINK_QUEUE_MAX)
        return ERR_FULL;
    struct packet *p = malloc(sizeof *p + length);
    if (p == NULL)
        return ERR_MEMORY;
    *p = (struct packet){.length = length};
    memcpy(p->data, data, length);
    for (size_t i = 0; i < fd_count; i++) {
        int copy = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (copy < 0) {
            close_all(p->fds, p->fd_count);
            free(p);
            return ERR_IO;
        }
        p->fds[p->fd_count++] = copy;
    }
    *l->tail = p;
    l->tail = &p->next;
    l->queued += length;
    event_add(l->write_event, NULL);
    return ERR_NONE;
}

enum err link_send(struct link *l, const void *data, size_t length, const int *fds, size_t fd_count)
{
    if (l->state != LINK_OPEN)
        return ERR_UNAVAILABLE;
    if (length == 0 || length > LINK_PACKET_MAX || fd_count > LINK_FDS_MAX)
        return ERR_INVALID;
    if (l->head == NULL) {
        enum err e = send_now(l, data, length, fds, fd_count);
        if (e == ERR_UNAVAILABLE)
            link_end(l, "peer is gone");
        if (e != ERR_FULL)
            return e;
    }
    return enqueue(l, data, length, fds, fd_count);
}

static void flush_queue(struct link *l)
{
    while (l->head != NULL) {
        struct packet *p = l->head;
        enum err e = send_now(l, p->data, p->length, p->fds, p->fd_count);
        if (e == ERR_FULL)
            return;
        if (e != ERR_NONE) {
            link_end(l, "peer is gone");
            return;
        }
        l->head = p->next;
        if (l->head == NULL)
            l->tail = &l->head;
        l->queued -= p->length;
        close_all(p->fds, p->fd_count);
        free(p);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct link *l = arg;
    (void)fd;
    (void)what;
    flush_queue(l);
    if (l->state == LINK_OPEN && l->head == NULL) {
        event_del(l->write_event);
        if (l->on_drained != NULL)
            l->on_drained(l->arg);
    }
}

// Takes the descriptors out of a received control message; returns how many.
static size_t take_fds(struct msghdr *message, int *fds)
{
    size_t count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            if (count < LINK_FDS_MAX)
                fds[count++] = fd;
            else
                close(fd);
        }
    }
    return count;
}

// One packet. Returns false when there is nothing more to do now.
static bool receive_one(struct link *l)
{
    union {
        char space[CMSG_SPACE(sizeof(int) * LINK_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = l->buffer, .iov_len = LINK_PACKET_MAX};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof control.space};
    ssize_t n = recvmsg(l->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            link_end(l, "read error");
        return errno == EINTR;
    }
    int fds[LINK_FDS_MAX];
    size_t fd_count = take_fds(&message, fds);
    if (n == 0 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        close_all(fds, fd_count);
        link_end(l, n == 0 ? "peer closed the link" : "packet too long");
        return false;
    }
    l->on_packet(l->arg, l->buffer, (size_t)n, fds, fd_count);
    return l->state == LINK_OPEN && l->reading;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct link *l = arg;
    (void)fd;
    (void)what;
    l->in_callback = true;
    for (int i = 0; i < PACKETS_PER_WAKEUP && receive_one(l); i++)
        ;
    l->in_callback = false;
}

struct link *link_new(struct event_base *base, int fd, link_packet_fn packet, link_end_fn end, void *arg)
{
    struct link *l = calloc(1, sizeof *l);
    if (l == NULL) {
        close(fd);
        return NULL;
    }
    l->base = base;
    l->fd = fd;
    l->tail = &l->head;
    l->reading = true;
    l->on_packet = packet;
    l->on_end = end;
    l->arg = arg;
    evutil_make_socket_nonblocking(fd);
    l->buffer = malloc(LINK_PACKET_MAX);
    l->read_event = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, l);
    l->write_event = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, l);
    l->end_event = event_new(base, -1, 0, on_end_event, l);
    if (l->buffer == NULL || l->read_event == NULL || l->write_event == NULL || l->end_event == NULL ||
        event_add(l->read_event, NULL) != 0) {
        link_destroy(l);
        return NULL;
    }
    return l;
}

void link_on_drained(struct link *l, link_drained_fn drained)
{
    l->on_drained = drained;
}

void link_set_reading(struct link *l, bool on)
{
    if (l->state != LINK_OPEN || l->reading == on)
        return;
    l->reading = on;
    if (on)
        event_add(l->read_event, NULL);
    else
        event_del(l->read_event);
}

size_t link_queued(const struct link *l)
{
    return l->queued;
}

void link_free(struct link *l)
{
    if (l == NULL || l->state == LINK_FREED)
        return;
    if (l->state == LINK_OPEN)
        flush_queue(l);
    event_del(l->read_event);
    event_del(l->write_event);
    drop_queue(l);
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    bool deferred =
        l->in_callback || (l->state == LINK_ENDED && event_pending(l->end_event, EV_TIMEOUT, NULL));
    l->state = LINK_FREED;
    if (deferred)
        event_active(l->end_event, EV_TIMEOUT, 0);
    else
        link_destroy(l);
}

enum err link_peer(const struct link *l, uid_t *uid, gid_t *gid, pid_t *pid)
{
    struct ucred cred;
    socklen_t length = sizeof cred;
    if (l->fd < 0 || getsockopt(l->fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) != 0)
        return ERR_IO;
    *uid = cred.uid;
    *gid = cred.gid;
    *pid = cred.pid;
    return ERR_NONE;
}

static bool set_path(struct sockaddr_un *address, const char *path)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    snprintf(address->sun_path, sizeof address->sun_path, "%s", path);
    return true;
}

int link_socket(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

int link_connect_on(int fd, const char *path)
{
    struct sockaddr_un address;
    if (!set_path(&address, path))
        return -1;
    while (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        if (errno != EINTR)
            return -1;
    }
    evutil_make_socket_nonblocking(fd);
    return 0;
}

int link_connect(const char *path)
{
    int fd = link_socket();
    if (fd >= 0 && link_connect_on(fd, path) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

int link_listen(const char *path, mode_t mode)
{
    struct sockaddr_un address;
    if (!set_path(&address, path))
        return -1;
    int probe = link_connect(path); // somebody serves it: not ours to take
    if (probe >= 0) {
        close(probe);
        errno = EADDRINUSE;
        return -1;
    }
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    mode_t old = umask(0777 & ~mode);
    int rc = bind(fd, (struct sockaddr *)&address, sizeof address);
    umask(old);
    if (rc == 0)
        rc = chmod(path, mode);
    if (rc == 0)
        rc = listen(fd, SOMAXCONN);
    if (rc != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}
