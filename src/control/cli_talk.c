// A conversation of frames (wire/frame.h): with control.sock as packets, over ssh as a stream.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/cli.h"
#include "wire/frame.h"

struct talk {
    struct cli *cli;
    int fd;
    bool stream;
    bool input_wanted, input_ended;
    size_t have; // bytes of the stream's next frame, its head included
    unsigned char buffer[FRAME_HEAD + FRAME_PAYLOAD_MAX + 2];
};

static bool send_frame(struct talk *t, char type, const char *data, size_t length)
{
    char frame[FRAME_HEAD + FRAME_PAYLOAD_MAX + 1];
    size_t head = t->stream ? FRAME_HEAD : 0;
    if (length > FRAME_PAYLOAD_MAX)
        return false;
    frame_head_write((unsigned char *)frame, length + 1);
    frame[head] = type;
    if (length > 0)
        memcpy(frame + head + 1, data, length);
    if (t->stream)
        return cli_write_all(t->fd, frame, head + 1 + length);
    while (send(t->fd, frame, length + 1, MSG_NOSIGNAL) < 0) {
        if (errno != EINTR)
            return false;
    }
    return true;
}

static void send_file_error(struct talk *t, const char *what, const char *path, const char *why)
{
    char text[1024];
    int n = snprintf(text, sizeof text, "Ecannot %s %.800s: %s", what, path, why);
    (void)send_frame(t, FRAME_FILE, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static void send_file(struct talk *t, const char *path)
{
    char chunk[FRAME_PAYLOAD_MAX];
    const char *why = NULL;
    ssize_t n = -1;
    int fd = cli_open_file(t->cli, path, &why);
    if (fd < 0) {
        send_file_error(t, "read", path, why);
        return;
    }
    chunk[0] = 'O';
    while ((n = read(fd, chunk + 1, sizeof chunk - 1)) > 0) {
        if (!send_frame(t, FRAME_FILE, chunk, (size_t)n + 1))
            break;
    }
    if (n < 0)
        send_file_error(t, "read", path, strerror(errno));
    else
        (void)send_frame(t, FRAME_FILE, "O", 1);
    close(fd);
}

// A descriptor for what is too large to be carried in frames. Only packets carry one; over a stream it is not
// asked for.
static void pass_file(struct talk *t, const char *data, size_t length)
{
    char answer[] = {FRAME_FILE, 'O'};
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.space = ""};
    const char *why = "it cannot be passed from here";
    if (length < 2)
        return;
    int fd = t->stream ? -1 : cli_open_passed(t->cli, data[0] == 'w', data + 1, &why);
    if (fd < 0) {
        send_file_error(t, data[0] == 'w' ? "make" : "read", data + 1, why);
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
    while (sendmsg(t->fd, &m, MSG_NOSIGNAL) < 0 && errno == EINTR)
        ;
    close(fd);
}

static void save_file(struct talk *t, const char *data, size_t length)
{
    size_t head = strnlen(data, length) + 1;
    if (head <= length)
        cli_save(t->cli, data, data + head, length - head);
}

// -1 to go on, else as converse().
static int send_run(struct talk *t)
{
    json_t *run = cli_request(t->cli);
    if (run == NULL)
        return 2;
    char *text = json_dumps(run, JSON_COMPACT);
    int status = -1;
    if (text == NULL || strlen(text) > FRAME_PAYLOAD_MAX) {
        fprintf(stderr, "containarium: the command is too long\n");
        status = 2;
    } else if (!send_frame(t, FRAME_RUN, text, strlen(text))) {
        status = -2;
    }
    free(text);
    json_decref(run);
    return status;
}

static void send_input(struct talk *t)
{
    char chunk[FRAME_PAYLOAD_MAX];
    ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    t->input_ended = n <= 0;
    (void)send_frame(t, FRAME_INPUT, chunk, n > 0 ? (size_t)n : 0);
}

static void send_saved(struct talk *t)
{
    const char *why = cli_saved(t->cli);
    (void)send_frame(t, FRAME_SAVED, why == NULL ? "" : why, why == NULL ? 0 : strlen(why));
}

// One frame from the control plane; frame[length] is ours. The exit status, or -1 to go on.
static int take_frame(struct talk *t, char *frame, size_t length)
{
    frame[length] = '\0';
    switch (frame[0]) {
    case FRAME_OUT:
        return cli_out(t->cli, frame + 1, length - 1);
    case FRAME_ERR:
        (void)cli_write_all(STDERR_FILENO, frame + 1, length - 1);
        return -1;
    case FRAME_WANT:
        t->input_wanted = true;
        return -1;
    case FRAME_READ:
        send_file(t, frame + 1);
        return -1;
    case FRAME_SAVE:
        save_file(t, frame + 1, length - 1);
        return -1;
    case FRAME_PASS:
        pass_file(t, frame + 1, length - 1);
        return -1;
    case FRAME_SYNC:
        send_saved(t);
        return -1;
    case FRAME_EXIT:
        return atoi(frame + 1);
    default:
        return -1; // of a newer control plane
    }
}

// Reads what is there of the stream's next frame. -1 to go on; -2 at its end.
static int receive_stream(struct talk *t)
{
    size_t wanted = t->have < FRAME_HEAD ? FRAME_HEAD : FRAME_HEAD + frame_head_read(t->buffer);
    ssize_t n = read(t->fd, t->buffer + t->have, wanted - t->have);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return -1;
    if (n <= 0)
        return -2;
    t->have += (size_t)n;
    if (t->have < FRAME_HEAD)
        return -1;
    size_t length = frame_head_read(t->buffer);
    if (length == 0) {
        fprintf(stderr, "containarium: what answers there is no containarium gateway\n");
        return -2;
    }
    if (t->have < FRAME_HEAD + length)
        return -1;
    t->have = 0;
    return take_frame(t, (char *)t->buffer + FRAME_HEAD, length);
}

static int receive_packet(struct talk *t)
{
    ssize_t n = recv(t->fd, t->buffer, sizeof t->buffer - 1, 0);
    if (n > 0)
        return take_frame(t, (char *)t->buffer, (size_t)n);
    return n < 0 && (errno == EINTR || errno == EAGAIN) ? -1 : -2;
}

// The exit status; -2 if the other end went away without one.
static int converse(struct talk *t)
{
    int status = send_run(t);
    while (status == -1) {
        bool reading = t->input_wanted && !t->input_ended;
        struct pollfd polled[2] = {{.fd = t->fd, .events = POLLIN},
                                   {.fd = reading ? STDIN_FILENO : -1, .events = POLLIN}};
        if (poll(polled, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return 1;
        }
        if (polled[0].revents != 0)
            status = t->stream ? receive_stream(t) : receive_packet(t);
        else if (polled[1].revents != 0)
            send_input(t);
    }
    return status;
}

int cli_converse(struct cli *c, int fd, bool stream)
{
    static struct talk t;
    t = (struct talk){.cli = c, .fd = fd, .stream = stream};
    int status = converse(&t);
    cli_close_files(c);
    cli_passed_end(c, status);
    return status == 0 && c->failed ? 1 : status;
}

// ---- on this host

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static void explain_silence(const char *path, int error)
{
    fprintf(stderr, "containarium: cannot reach containariumd at %s: %s\n", path, strerror(error));
    if (error == ENOENT || error == ECONNREFUSED)
        fprintf(stderr,
                "It does not run here. Start it: sudo systemctl start containariumd (without systemd, run "
                "containariumd as its own user).\n");
    else if (error == EACCES)
        fprintf(stderr, "Use sudo, or become a member of the group that administers it.\n");
    fprintf(stderr, "For another host: containarium --server HOST[:PORT] VERB\n");
}

int cli_run_socket(struct cli *c, const char *path)
{
    int fd = connect_to(path);
    if (fd < 0) {
        explain_silence(path, errno);
        return 1;
    }
    int status = cli_converse(c, fd, false);
    close(fd);
    if (status != -2)
        return status;
    fprintf(stderr,
            "containarium: containariumd went away before it answered; see: journalctl -u containariumd\n");
    return 1;
}
