// containarium: the command line. It knows no verbs: it carries arguments, input and output between the
// terminal and the control plane, on this host over control.sock, elsewhere over the user's own ssh.
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/cli.h"
#include "wire/frame.h"

#define DEFAULT_SOCKET "/run/containarium/control.sock"

// ---- the conversation

static bool send_run(struct cli *c)
{
    json_t *words = json_array();
    for (int i = 0; i < c->argc; i++) {
        json_t *word = json_string(c->argv[i]);
        if (word == NULL) {
            fprintf(stderr, "containarium: argument %d is not UTF-8 text\n", i + 1);
            json_decref(words);
            return false;
        }
        json_array_append_new(words, word);
    }
    json_t *run = json_pack("{s:o, s:b, s:b, s:b}", "argv", words, "tty_in", isatty(STDIN_FILENO), "tty_out",
                            isatty(STDOUT_FILENO), "tty_err", isatty(STDERR_FILENO));
    char *text = run == NULL ? NULL : json_dumps(run, JSON_COMPACT);
    bool sent = text != NULL && cli_send_frame(c, FRAME_RUN, text, strlen(text));
    if (!sent)
        fprintf(stderr, "containarium: the command is too long, or containariumd went away\n");
    free(text);
    json_decref(run);
    return sent;
}

static void send_input(struct cli *c)
{
    char chunk[FRAME_PAYLOAD_MAX];
    ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    c->input_ended = n <= 0;
    (void)cli_send_frame(c, FRAME_INPUT, chunk, n > 0 ? (size_t)n : 0);
}

// One frame from the control plane. The exit status, or -1 to go on.
static int take_frame(struct cli *c, char *frame, size_t length)
{
    frame[length] = '\0';
    switch (frame[0]) {
    case FRAME_OUT:
        if (!c->out_broken && !cli_write_all(STDOUT_FILENO, frame + 1, length - 1)) {
            c->out_broken = true;
            if (errno == EPIPE)
                return 128 + SIGPIPE; // as any filter would: `containarium audit | head`
            cli_complain("cannot write to", "standard output");
            c->failed = true;
        }
        return -1;
    case FRAME_ERR:
        (void)cli_write_all(STDERR_FILENO, frame + 1, length - 1);
        return -1;
    case FRAME_WANT:
        c->input_wanted = true;
        return -1;
    case FRAME_READ:
        cli_send_file(c, frame + 1);
        return -1;
    case FRAME_SAVE:
        cli_save_file(c, frame + 1, length - 1);
        return -1;
    case FRAME_PASS:
        cli_pass_file(c, frame + 1, length - 1);
        return -1;
    case FRAME_EXIT:
        return atoi(frame + 1);
    default:
        return -1; // of a newer control plane
    }
}

static int receive(struct cli *c)
{
    static char frame[2 * FRAME_PAYLOAD_MAX];
    ssize_t n = recv(c->fd, frame, sizeof frame - 1, 0);
    if (n > 0)
        return take_frame(c, frame, (size_t)n);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return -1;
    c->lost = true;
    fprintf(stderr,
            "containarium: containariumd went away before it answered; see: journalctl -u containariumd\n");
    return 1;
}

static int converse(struct cli *c)
{
    int status = -1;
    if (!send_run(c))
        return 2;
    while (status < 0) {
        bool reading = c->input_wanted && !c->input_ended;
        struct pollfd polled[2] = {{.fd = c->fd, .events = POLLIN},
                                   {.fd = reading ? STDIN_FILENO : -1, .events = POLLIN}};
        if (poll(polled, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return 1;
        }
        if (polled[0].revents != 0)
            status = receive(c);
        else if (polled[1].revents != 0)
            send_input(c);
    }
    cli_files_end(c, status);
    return status == 0 && c->failed ? 1 : status;
}

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

static int run_local(const char *path, int argc, char **argv)
{
    struct cli c = {.fd = connect_to(path), .argc = argc, .argv = argv};
    if (c.fd < 0) {
        explain_silence(path, errno);
        return 1;
    }
    int status = converse(&c);
    close(c.fd);
    return status;
}

// ---- --server: the user's own ssh does it all

// One word for the gateway's reading of a command line: in single quotes unless it is plain.
static char *quote(const char *word)
{
    size_t n = strlen(word), at = 0;
    char *out = malloc(4 * n + 3);
    if (out == NULL)
        return NULL;
    if (n > 0 &&
        strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-") == n) {
        memcpy(out, word, n + 1);
        return out;
    }
    out[at++] = '\'';
    for (const char *p = word; *p != '\0'; p++) {
        if (*p == '\'') {
            memcpy(out + at, "'\\''", 4);
            at += 4;
        } else {
            out[at++] = *p;
        }
    }
    out[at++] = '\'';
    out[at] = '\0';
    return out;
}

// "HOST", "HOST:PORT", "[IPV6]:PORT", "IPV6". Writes into host; *port is NULL if none is said.
static bool split_server(const char *server, char *host, size_t size, const char **port)
{
    const char *end = server[0] == '[' ? strchr(server, ']') : NULL;
    const char *start = end == NULL ? server : server + 1;
    const char *colon = end != NULL ? (end[1] == ':' ? end + 1 : NULL) : strrchr(server, ':');
    if (end == NULL && colon != NULL && strchr(server, ':') != colon)
        colon = NULL; // a bare IPv6 address
    size_t length = end != NULL     ? (size_t)(end - start)
                    : colon != NULL ? (size_t)(colon - start)
                                    : strlen(start);
    *port = colon == NULL ? NULL : colon + 1;
    if (length == 0 || length >= size || start[0] == '-')
        return false;
    memcpy(host, start, length);
    host[length] = '\0';
    return *port == NULL || ((*port)[0] != '\0' && strspn(*port, "0123456789") == strlen(*port));
}

static int run_remote(const char *server, int argc, char **argv)
{
    char host[256], destination[300];
    const char *port = NULL;
    if (!split_server(server, host, sizeof host, &port)) {
        fprintf(stderr, "containarium: --server %s: write HOST, HOST:PORT or [IPV6]:PORT\n", server);
        return 2;
    }
    char **ssh = calloc((size_t)argc + 8, sizeof *ssh);
    if (ssh == NULL)
        return 1;
    char name[] = "ssh", port_flag[] = "-p", tty_flag[] = "-T", end[] = "--";
    size_t n = 0;
    snprintf(destination, sizeof destination, "ctl@%s", host);
    ssh[n++] = name;
    ssh[n++] = tty_flag;
    if (port != NULL) {
        ssh[n++] = port_flag;
        ssh[n++] = strdup(port);
    }
    ssh[n++] = end;
    ssh[n++] = destination;
    for (int i = 0; i < argc; i++) {
        ssh[n] = quote(argv[i]);
        if (ssh[n++] == NULL)
            return 1;
    }
    signal(SIGPIPE, SIG_DFL);
    execvp("ssh", ssh);
    cli_complain("cannot run", "ssh");
    return 1;
}

// Takes "--name VALUE" or "--name=VALUE" out at argv[i]; returns how many words that was, 0 if it is not this
// option.
static int take_option(char **argv, int argc, int i, const char *name, const char **value)
{
    size_t n = strlen(name);
    if (strncmp(argv[i], name, n) != 0 || (argv[i][n] != '=' && argv[i][n] != '\0'))
        return 0;
    if (argv[i][n] == '\0' && i + 1 >= argc) {
        fprintf(stderr, "containarium: %s needs a value\n", name);
        exit(2);
    }
    *value = argv[i][n] == '=' ? argv[i] + n + 1 : argv[i + 1];
    return argv[i][n] == '=' ? 1 : 2;
}

// Two options are ours, wherever they stand; every other word is the control plane's.
int main(int argc, char **argv)
{
    const char *socket_path = getenv("CONTAINARIUM_SOCKET"), *server = NULL;
    int kept = 1;
    signal(SIGPIPE, SIG_IGN);
    if (socket_path == NULL || socket_path[0] == '\0')
        socket_path = DEFAULT_SOCKET;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            while (i < argc)
                argv[kept++] = argv[i++];
            break;
        }
        int taken = take_option(argv, argc, i, "--server", &server);
        if (taken == 0)
            taken = take_option(argv, argc, i, "--socket", &socket_path);
        if (taken == 0)
            argv[kept++] = argv[i];
        else
            i += taken - 1;
    }
    if (server != NULL)
        return run_remote(server, kept - 1, argv + 1);
    return run_local(socket_path, kept - 1, argv + 1);
}
