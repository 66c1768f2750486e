// containarium: the command line. It knows no verbs: it carries arguments, input and output between the
// terminal and the control plane, on this host over control.sock, elsewhere over the user's own ssh or over
// HTTPS.
#include "control/cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/containarium/control.sock"

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

int cli_out(struct cli *c, const char *data, size_t length)
{
    if (c->out_broken || cli_write_all(STDOUT_FILENO, data, length))
        return -1;
    c->out_broken = true;
    if (errno == EPIPE)
        return 128 + SIGPIPE; // as any filter would: `containarium audit | head`
    cli_complain("cannot write to", "standard output");
    c->failed = true;
    return -1;
}

// As no-color.org has it: any value but an empty one says no.
static bool shows_colours(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && (no == NULL || no[0] == '\0') && term != NULL && term[0] != '\0' &&
           strcmp(term, "dumb") != 0;
}

json_t *cli_request(const struct cli *c)
{
    struct winsize size = {.ws_col = 0};
    json_t *words = json_array();
    for (int i = 0; i < c->argc; i++) {
        json_t *word = json_string(c->argv[i]);
        if (word == NULL) {
            fprintf(stderr, "containarium: argument %d is not UTF-8 text\n", i + 1);
            json_decref(words);
            return NULL;
        }
        json_array_append_new(words, word);
    }
    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size); // stays 0 where there is no terminal
    return json_pack("{s:o, s:b, s:b, s:b, s:i, s:b, s:b}", "argv", words, "tty_in", isatty(STDIN_FILENO),
                     "tty_out", isatty(STDOUT_FILENO), "tty_err", isatty(STDERR_FILENO), "columns",
                     (int)size.ws_col, "colours", shows_colours(), "cli", 1);
}

bool cli_split_server(const char *server, char *host, size_t size, const char **port)
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
    bool good = length > 0 && (server[0] != '[' || end != NULL) && length < size && start[0] != '-' &&
                (end == NULL || end[1] == ':' || end[1] == '\0') &&
                (*port == NULL || ((*port)[0] != '\0' && strspn(*port, "0123456789") == strlen(*port)));
    if (!good) {
        fprintf(stderr, "containarium: --server %s: write HOST, HOST:PORT or [IPV6]:PORT\n", server);
        return false;
    }
    memcpy(host, start, length);
    host[length] = '\0';
    return true;
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

// Options of ours, wherever they stand before a "--", with the variable that gives what is not said. Every
// other word is the control plane's.
struct own_option {
    const char *name, *variable, *value;
};

enum { OWN_SOCKET, OWN_SERVER, OWN_CERTS, OWN_COUNT };

static int take_own_options(int argc, char **argv, struct own_option own[OWN_COUNT])
{
    int kept = 1;
    for (int i = 1; i < argc; i++) {
        int taken = 0;
        if (strcmp(argv[i], "--") == 0) {
            while (i < argc)
                argv[kept++] = argv[i++];
            break;
        }
        for (int o = 0; o < OWN_COUNT && taken == 0; o++)
            taken = take_option(argv, argc, i, own[o].name, &own[o].value);
        if (taken == 0)
            argv[kept++] = argv[i];
        else
            i += taken - 1;
    }
    return kept;
}

int main(int argc, char **argv)
{
    struct own_option own[OWN_COUNT] = {
        [OWN_SOCKET] = {"--socket", "CONTAINARIUM_SOCKET", NULL},
        [OWN_SERVER] = {"--server", "CONTAINARIUM_SERVER", NULL},
        [OWN_CERTS] = {"--certs-dir", "CONTAINARIUM_CERTS_DIR", NULL},
    };
    signal(SIGPIPE, SIG_IGN);
    int kept = take_own_options(argc, argv, own);
    bool here =
        own[OWN_SOCKET].value != NULL && own[OWN_SERVER].value == NULL; // said: no variable changes that
    if (own[OWN_CERTS].value != NULL && own[OWN_SERVER].value == NULL &&
        getenv(own[OWN_SERVER].variable) == NULL) {
        fprintf(stderr, "containarium: --certs-dir is for --server HOST[:PORT], which is missing\n");
        return 2;
    }
    for (int o = 0; o < OWN_COUNT; o++) {
        const char *text = own[o].value != NULL || (here && o == OWN_SERVER) ? NULL : getenv(own[o].variable);
        if (text != NULL && text[0] != '\0')
            own[o].value = text;
    }
    struct cli c = {.argc = kept - 1, .argv = argv + 1};
    if (own[OWN_SERVER].value != NULL && own[OWN_CERTS].value != NULL)
        return cli_run_tls(&c, own[OWN_SERVER].value, own[OWN_CERTS].value);
    if (own[OWN_SERVER].value != NULL)
        return cli_run_ssh(&c, own[OWN_SERVER].value);
    return cli_run_socket(&c, own[OWN_SOCKET].value == NULL ? DEFAULT_SOCKET : own[OWN_SOCKET].value);
}
