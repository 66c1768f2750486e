// Owns the files of the command line: reads, writes and opens only what stands in its own arguments.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/cli.h"
#include "wire/frame.h"

void cli_complain(const char *what, const char *which)
{
    fprintf(stderr, "containarium: %s %s: %s\n", what, which, strerror(errno));
}

bool cli_write_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, data, length);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            (void)poll(&p, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            return false;
        } else if (n > 0) {
            data += n;
            length -= (size_t)n;
        }
    }
    return true;
}

bool cli_send_frame(struct cli *c, char type, const char *data, size_t length)
{
    char frame[FRAME_PAYLOAD_MAX + 1];
    if (length > FRAME_PAYLOAD_MAX)
        return false;
    frame[0] = type;
    if (length > 0)
        memcpy(frame + 1, data, length);
    while (send(c->fd, frame, length + 1, MSG_NOSIGNAL) < 0) {
        if (errno != EINTR)
            return false;
    }
    return true;
}

// ---- files: only what stands in our own arguments, as a word or after the = of an option

static bool is_own_argument(const struct cli *c, const char *path)
{
    for (int i = 0; i < c->argc; i++) {
        const char *equals = strncmp(c->argv[i], "--", 2) == 0 ? strchr(c->argv[i], '=') : NULL;
        if (strcmp(c->argv[i], path) == 0 || (equals != NULL && strcmp(equals + 1, path) == 0))
            return true;
    }
    return false;
}

static void send_file_error(struct cli *c, const char *path, const char *why)
{
    char text[FRAME_PAYLOAD_MAX];
    int n = snprintf(text, sizeof text, "Ecannot read %.4000s: %s", path, why);
    (void)cli_send_frame(c, FRAME_FILE, text, (size_t)n);
}

void cli_send_file(struct cli *c, const char *path)
{
    char chunk[FRAME_PAYLOAD_MAX];
    ssize_t n = -1;
    if (!is_own_argument(c, path)) {
        send_file_error(c, path, "it is not among the arguments of this command");
        return;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0) {
        chunk[0] = 'O';
        while ((n = read(fd, chunk + 1, sizeof chunk - 1)) > 0) {
            if (!cli_send_frame(c, FRAME_FILE, chunk, (size_t)n + 1))
                break;
        }
    }
    if (n < 0)
        send_file_error(c, path, strerror(errno));
    else
        (void)cli_send_frame(c, FRAME_FILE, "O", 1);
    if (fd >= 0)
        close(fd);
}

static struct saving *find_saving(struct cli *c, const char *path)
{
    for (size_t i = 0; i < c->save_count; i++) {
        if (strcmp(c->saves[i].path, path) == 0)
            return &c->saves[i];
    }
    if (c->save_count == SAVES_MAX)
        return NULL;
    struct saving *s = &c->saves[c->save_count];
    *s = (struct saving){.path = strdup(path), .fd = -1};
    if (s->path == NULL)
        return NULL;
    c->save_count++;
    if (is_own_argument(c, path))
        s->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    else
        errno = EPERM;
    if (s->fd < 0)
        cli_complain("cannot write", path);
    c->failed = c->failed || s->fd < 0;
    return s;
}

void cli_save_file(struct cli *c, const char *data, size_t length)
{
    size_t head = strnlen(data, length) + 1;
    struct saving *s = head <= length ? find_saving(c, data) : NULL;
    if (s != NULL && s->fd >= 0 && !cli_write_all(s->fd, data + head, length - head)) {
        cli_complain("cannot write", s->path);
        c->failed = true;
    }
}

// ---- descriptors: what is too large to be carried in frames

// Made anew: a backup does not overwrite another file.
static int open_passed(struct cli *c, char how, const char *path)
{
    if (!is_own_argument(c, path)) {
        errno = EPERM;
        return -1;
    }
    if (how == 'r')
        return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        c->made = strdup(path);
    return fd;
}

void cli_pass_file(struct cli *c, const char *data, size_t length)
{
    const char *path = data + 1;
    char answer[] = {FRAME_FILE, 'O'};
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.space = ""};
    if (length < 2)
        return;
    int fd = open_passed(c, data[0], path);
    if (fd < 0) {
        char text[FRAME_PAYLOAD_MAX];
        int n = snprintf(text, sizeof text, "Ecannot %s %.4000s: %s", data[0] == 'r' ? "read" : "make", path,
                         strerror(errno));
        (void)cli_send_frame(c, FRAME_FILE, text, (size_t)n);
        return;
    }
    struct iovec part = {.iov_base = answer, .iov_len = sizeof answer};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.space,
                       .msg_controllen = sizeof control.space};
    struct cmsghdr *head = CMSG_FIRSTHDR(&m);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    while (sendmsg(c->fd, &m, MSG_NOSIGNAL) < 0 && errno == EINTR)
        ;
    close(fd);
}

// What was made for a command that then failed before it wrote anything.
static void remove_if_empty(const char *path)
{
    struct stat st;
    if (path != NULL && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
        unlink(path);
}

void cli_files_end(struct cli *c, int status)
{
    for (size_t i = 0; i < c->save_count; i++) {
        if (c->saves[i].fd >= 0 && close(c->saves[i].fd) != 0) {
            cli_complain("cannot write", c->saves[i].path);
            c->failed = true;
        }
        free(c->saves[i].path);
    }
    if (status != 0)
        remove_if_empty(c->made);
    if (c->lost && c->made != NULL && access(c->made, F_OK) == 0)
        fprintf(stderr, "containarium: %s may not be whole: do not count on it\n", c->made);
    free(c->made);
}
