// --server HOST: the conversation goes through the user's own ssh, with its configuration, keys, agent and
// known hosts. It asks for the subsystem "containarium" of ctl@HOST, so that files of this machine, standard
// input and questions work as on the host; a plain `ssh ctl@HOST VERB` has but one stream each way.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/cli.h"
#include "wire/frame.h"

#define SSH_WORDS_MAX 64

struct ssh_command {
    char *words[SSH_WORDS_MAX + 1];
    size_t count;
    char storage[4096]; // of $CONTAINARIUM_SSH
    char port[8], destination[300];
};

static bool add(struct ssh_command *s, char *word)
{
    if (s->count == SSH_WORDS_MAX)
        return false;
    s->words[s->count++] = word;
    return true;
}

// $CONTAINARIUM_SSH replaces "ssh": a program and options, separated by blanks, no shell.
static bool add_program(struct ssh_command *s)
{
    const char *said = getenv("CONTAINARIUM_SSH");
    char *rest = NULL;
    if (said == NULL || said[strspn(said, " \t")] == '\0')
        said = "ssh";
    if (strlen(said) >= sizeof s->storage)
        return false;
    snprintf(s->storage, sizeof s->storage, "%s", said);
    for (char *word = strtok_r(s->storage, " \t", &rest); word != NULL; word = strtok_r(NULL, " \t", &rest)) {
        if (!add(s, word))
            return false;
    }
    return true;
}

static bool build(struct ssh_command *s, const char *host, const char *port)
{
    static char no_tty[] = "-T", subsystem[] = "-s", port_flag[] = "-p", end[] = "--",
                name[] = FRAME_SUBSYSTEM;
    bool ok = add_program(s) && add(s, no_tty) && add(s, subsystem);
    snprintf(s->destination, sizeof s->destination, "ctl@%s", host);
    if (port != NULL) {
        ok = ok && strlen(port) < sizeof s->port && add(s, port_flag) && add(s, s->port);
        snprintf(s->port, sizeof s->port, "%.7s", port);
    }
    return ok && add(s, end) && add(s, s->destination) && add(s, name);
}

static pid_t start(struct ssh_command *s, int fd)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (dup2(fd, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0) {
        signal(SIGPIPE, SIG_DFL);
        execvp(s->words[0], s->words);
    }
    cli_complain("cannot run", s->words[0]);
    _exit(127);
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return 255;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int cli_run_ssh(struct cli *c, const char *server)
{
    struct ssh_command ssh = {.count = 0};
    char host[256];
    const char *port = NULL;
    int pair[2];
    if (!cli_split_server(server, host, sizeof host, &port))
        return 2;
    if (!build(&ssh, host, port)) {
        fprintf(stderr, "containarium: --server, or CONTAINARIUM_SSH, is too long\n");
        return 2;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        cli_complain("cannot make", "a pair of sockets");
        return 1;
    }
    pid_t pid = start(&ssh, pair[1]);
    close(pair[1]);
    if (pid < 0) {
        cli_complain("cannot run", ssh.words[0]);
        close(pair[0]);
        return 1;
    }
    int status = cli_converse(c, pair[0], true);
    close(pair[0]);
    int ssh_status = wait_for(pid);
    if (status != -2)
        return status;
    if (ssh_status != 0 && ssh_status < 127)
        return ssh_status; // the gateway's own, which has said why
    fprintf(stderr, "containarium: no answer from %s; try: ssh %s whoami\n", ssh.destination,
            ssh.destination);
    return ssh_status == 0 ? 255 : ssh_status;
}
