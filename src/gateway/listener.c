// Owns the listening sockets and the table of connection processes.
#include "gateway/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/log.h"
#include "base/notify.h"
#include "base/units.h"
#include "gateway/connection.h"
#include "gateway/gate.h"
#include "gateway/sandbox.h"
#include "gateway/ssh_warm.h"

#define SOCKETS_MAX 16
#define ACCEPTS_MAX 32     // before other events get their turn
#define REEXEC_MIN_MS 5000 // between two new starts after a crash
#define DRAIN_SECONDS 3    // how long logins that have begun may take after SIGTERM
#define SOCKETS_ENV "CONTAINARIUM_LISTEN_FDS"

struct child {
    LIST_ENTRY(child) entry;
    LIST_ENTRY(child) starting; // while startup != NULL
    struct subnet source;
    struct listener *listener;
    pid_t pid;
    int startup_fd;        // read end; its other end closes at login or death
    struct event *startup; // NULL once logged in
};

struct listener {
    const struct config *config;
    const char *config_path;
    char **argv;
    struct event_base *base;
    struct ssh_keys *keys;
    struct sandbox *sandbox;
    struct gate *gate;
    int sockets[SOCKETS_MAX];
    struct event *accepts[SOCKETS_MAX];
    size_t socket_count;
    struct event *signals[4];
    LIST_HEAD(children, child) children;
    LIST_HEAD(, child) startups; // those of them that have not logged in yet
    unsigned connections, unauthenticated;
    uint64_t started;
    bool again;    // start anew instead of ending
    bool stopping; // accepts nobody any more, waits for the logins that have begun
};

// ---- sockets

static enum err add_socket(struct listener *l, int fd, struct fault *f)
{
    if (l->socket_count == SOCKETS_MAX) {
        close(fd);
        return fault_set(f, ERR_INVALID, "more than %d listening sockets", SOCKETS_MAX);
    }
    evutil_make_socket_nonblocking(fd);
    evutil_make_socket_closeonexec(fd);
    l->sockets[l->socket_count++] = fd;
    return ERR_NONE;
}

static enum err listen_on(struct listener *l, const char *text, struct fault *f)
{
    struct sockaddr_storage address;
    int length = sizeof address, on = 1;
    if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&address, &length) != 0)
        return fault_set(f, ERR_INVALID, "[gateway] listen: \"%s\" is not an address with a port", text);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 && errno == EAFNOSUPPORT) { // a host without IPv6
        log_event(LOG_LEVEL_WARN, "listen_skipped", "address=%s", text);
        return ERR_NONE;
    }
    if (fd < 0)
        return fault_errno(f, ERR_IO, "socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, (socklen_t)length) != 0 || listen(fd, SOMAXCONN) != 0) {
        fault_errno(f, ERR_IO, "cannot listen on %s", text);
        close(fd);
        return f->code;
    }
    return add_socket(l, fd, f);
}

// From ourselves (after a new start), from the service manager, or made here.
static enum err open_sockets(struct listener *l, struct fault *f)
{
    enum err e = ERR_NONE;
    const char *own = getenv(SOCKETS_ENV);
    int passed = own != NULL ? (int)strtol(own, NULL, 10) : notify_listen_fds();
    unsetenv(SOCKETS_ENV);
    for (int i = 0; e == ERR_NONE && i < passed; i++)
        e = add_socket(l, 3 + i, f);
    if (passed > 0)
        return e;
    char list[CONFIG_TEXT], *save = NULL;
    snprintf(list, sizeof list, "%s", l->config->listen);
    for (char *one = strtok_r(list, " ", &save); e == ERR_NONE && one != NULL;
         one = strtok_r(NULL, " ", &save))
        e = listen_on(l, one, f);
    if (e == ERR_NONE && l->socket_count == 0)
        e = fault_set(f, ERR_INVALID, "[gateway] listen: no address could be used");
    return e;
}

// ---- children

static void stop_counting_startup(struct child *c)
{
    if (c->startup == NULL)
        return;
    event_free(c->startup);
    c->startup = NULL;
    LIST_REMOVE(c, starting);
    close(c->startup_fd);
    c->listener->unauthenticated--;
    if (c->listener->stopping && c->listener->unauthenticated == 0)
        event_base_loopbreak(c->listener->base);
}

static void on_startup_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    stop_counting_startup(arg);
}

static void start_anew(struct listener *l, const char *why)
{
    if (l->stopping)
        return;
    log_event(LOG_LEVEL_INFO, "start_anew", "why=%s", why);
    notify_reloading();
    l->again = true;
    event_base_loopbreak(l->base);
}

static void on_child_end(evutil_socket_t signum, short what, void *arg)
{
    struct listener *l = arg;
    int status;
    pid_t pid;
    (void)signum;
    (void)what;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *c;
        LIST_FOREACH(c, &l->children, entry)
        {
            if (c->pid == pid)
                break;
        }
        if (c != NULL) {
            stop_counting_startup(c);
            LIST_REMOVE(c, entry);
            free(c);
            l->connections--;
        }
        if (WIFSIGNALED(status)) {
            log_event(LOG_LEVEL_ERROR, "connection_crashed", "pid=%ld signal=%d", (long)pid,
                      WTERMSIG(status));
            // SIGKILL and SIGTERM are somebody's will; anything else may be an attack on the layout children
            // share.
            if (WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM &&
                monotonic_ms() - l->started > REEXEC_MIN_MS)
                start_anew(l, "a connection process crashed");
        }
    }
}

static _Noreturn void run_child(const struct listener *l, int fd, int startup_fd, const char *address,
                                uint16_t port)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    sigset_t none;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        signal(signals[i], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    // Only these two and stderr go on: not the listener's sockets, not its loop, not other connections'
    // pipes.
    int low = fcntl(fd, F_DUPFD_CLOEXEC, 100), low_startup = fcntl(startup_fd, F_DUPFD_CLOEXEC, 100);
    if (low < 0 || low_startup < 0 || dup2(low, 3) != 3 || dup2(low_startup, 4) != 4 ||
        close_range(5, ~0U, 0) != 0)
        _exit(1);
    connection_run(l->config, l->keys, l->sandbox, 3, address, port, 4);
    _exit(0);
}

static bool child_add(struct listener *l, pid_t pid, int startup_fd, const struct subnet *source)
{
    struct child *c = calloc(1, sizeof *c);
    if (c == NULL)
        return false;
    c->listener = l;
    c->pid = pid;
    c->source = *source;
    c->startup_fd = startup_fd;
    c->startup = event_new(l->base, startup_fd, EV_READ, on_startup_over, c);
    if (c->startup == NULL || event_add(c->startup, NULL) != 0) {
        if (c->startup != NULL)
            event_free(c->startup);
        free(c);
        return false;
    }
    LIST_INSERT_HEAD(&l->children, c, entry);
    LIST_INSERT_HEAD(&l->startups, c, starting);
    l->connections++;
    l->unauthenticated++;
    return true;
}

static void fork_connection(struct listener *l, int fd, const char *address, uint16_t port,
                            const struct subnet *source)
{
    int pipe_fds[2];
    sigset_t all, old;
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
        log_event(LOG_LEVEL_ERROR, "fork_failed", "error=%s", strerror(errno));
        return;
    }
    sigfillset(
        &all); // a signal between fork and the child's reset would reach the parent's loop through the child
    sigprocmask(SIG_SETMASK, &all, &old);
    pid_t pid = fork();
    if (pid == 0)
        run_child(l, fd, pipe_fds[1], address, port);
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(pipe_fds[1]);
    if (pid < 0)
        log_event(LOG_LEVEL_ERROR, "fork_failed", "error=%s", strerror(errno));
    if (pid < 0 || !child_add(l, pid, pipe_fds[0], source))
        close(pipe_fds[0]);
}

static unsigned count_from(const struct listener *l, const struct subnet *source)
{
    const struct child *c;
    unsigned count = 0;
    LIST_FOREACH(c, &l->startups, starting)
    {
        count += subnet_compare(&c->source, source) == 0;
    }
    return count;
}

// Lets the connection in, or says why not. Either way our descriptor of it is closed afterwards.
static void take(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
    char address[64], why[200] = "";
    uint16_t port;
    struct subnet source = {.prefix = 0};
    gate_address(peer, address, sizeof address, &port);
    (void)subnet_of_source(address, &source);
    struct admit_load load = {.connections = l->connections,
                              .unauthenticated = l->unauthenticated,
                              .from_source = count_from(l, &source)};
    if (gate_decide(l->gate, address, &load, why, sizeof why) == ADMIT_OK)
        fork_connection(l, fd, address, port, &source);
    else
        (void)send(fd, why, strlen(why), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
    struct listener *l = arg;
    (void)what;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage peer;
        socklen_t length = sizeof peer;
        int fd = accept4(listen_fd, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        take(l, fd, &peer);
        close(fd);
    }
}

// ---- life

// A restart of both daemons stops this one first: a login that has begun must not lose its control plane
// halfway. Who comes now waits in the service manager's socket for the next listener. A second signal ends
// the patience.
static void stop(struct listener *l, int signum)
{
    static const struct timeval patience = {.tv_sec = DRAIN_SECONDS};
    log_event(LOG_LEVEL_INFO, "stopping", "signal=%d connections=%u unauthenticated=%u", signum,
              l->connections, l->unauthenticated);
    notify_stopping();
    if (l->stopping || l->unauthenticated == 0) {
        event_base_loopbreak(l->base);
        return;
    }
    l->stopping = true;
    for (size_t i = 0; i < l->socket_count; i++) {
        event_free(l->accepts[i]);
        close(l->sockets[i]);
    }
    event_base_loopexit(l->base, &patience);
}

static void on_signal(evutil_socket_t signum, short what, void *arg)
{
    struct listener *l = arg;
    (void)what;
    if (signum == SIGHUP) {
        static struct config fresh; // large, and only looked at
        struct fault f;
        if (config_load(&fresh, l->config_path, stderr, &f) == ERR_NONE)
            start_anew(l, "SIGHUP");
        else
            log_event(LOG_LEVEL_ERROR, "reload_refused", "error=%s", log_quote(f.text));
        return;
    }
    stop(l, (int)signum);
}

static enum err add_events(struct listener *l, struct fault *f)
{
    l->signals[0] = evsignal_new(l->base, SIGTERM, on_signal, l);
    l->signals[1] = evsignal_new(l->base, SIGINT, on_signal, l);
    l->signals[2] = evsignal_new(l->base, SIGHUP, on_signal, l);
    l->signals[3] = evsignal_new(l->base, SIGCHLD, on_child_end, l);
    for (size_t i = 0; i < 4; i++) {
        if (l->signals[i] == NULL || event_add(l->signals[i], NULL) != 0)
            return fault_set(f, ERR_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < l->socket_count; i++) {
        l->accepts[i] = event_new(l->base, l->sockets[i], EV_READ | EV_PERSIST, on_accept, l);
        if (l->accepts[i] == NULL || event_add(l->accepts[i], NULL) != 0)
            return fault_set(f, ERR_MEMORY, "out of memory");
    }
    return ERR_NONE;
}

// Keeps the sockets open across exec, at 3 and up. Children stay ours: exec keeps the process id.
static void exec_self(struct listener *l)
{
    char count[12];
    for (size_t i = 0; i < l->socket_count; i++) {
        int high = fcntl(l->sockets[i], F_DUPFD, 100);
        close(l->sockets[i]);
        l->sockets[i] = high;
    }
    for (size_t i = 0; i < l->socket_count; i++)
        dup2(l->sockets[i], 3 + (int)i);
    close_range(3 + (unsigned)l->socket_count, ~0U, 0);
    snprintf(count, sizeof count, "%zu", l->socket_count);
    setenv(SOCKETS_ENV, count, 1);
    execv("/proc/self/exe", l->argv);
    log_event(LOG_LEVEL_ERROR, "exec_failed", "error=%s", strerror(errno));
}

// One descriptor a child here, and the high ones of gateway/control_link.h in the children.
static enum err raise_descriptor_limit(struct fault *f)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return fault_errno(f, ERR_IO, "cannot read the limit on descriptors");
    if (limit.rlim_max < CONTROL_FD_FIRST + CONTROL_FD_COUNT)
        return fault_set(f, ERR_FULL,
                         "the hard limit on open files is %llu, at least %d are needed: ulimit -Hn",
                         (unsigned long long)limit.rlim_max, CONTROL_FD_FIRST + CONTROL_FD_COUNT);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return fault_errno(f, ERR_IO, "cannot raise the limit on descriptors");
    return ERR_NONE;
}

static enum err listener_start(struct listener *l, struct fault *f)
{
    enum err e = raise_descriptor_limit(f);
    if (e == ERR_NONE)
        e = ssh_keys_load(l->config, &l->keys, f);
    if (e == ERR_NONE)
        e = sandbox_prepare(&l->sandbox, f);
    if (e == ERR_NONE)
        e = open_sockets(l, f);
    if (e != ERR_NONE)
        return e;
    if (ssh_warm(l->keys, f) != ERR_NONE)
        log_event(LOG_LEVEL_WARN, "warm_up_failed", "error=%s", log_quote(f->text));
    l->base = event_base_new();
    l->gate = l->base == NULL ? NULL : gate_new(l->base, l->config);
    if (l->gate == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    return add_events(l, f);
}

int listener_run(const struct config *config, const char *config_path, char **argv)
{
    struct listener l = {
        .config = config, .config_path = config_path, .argv = argv, .started = monotonic_ms()};
    struct fault f = {.text = ""};
    LIST_INIT(&l.children);
    LIST_INIT(&l.startups);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        log_event(LOG_LEVEL_WARN, "no_new_privs", "error=%s", strerror(errno));
    if (listener_start(&l, &f) != ERR_NONE) {
        log_event(LOG_LEVEL_ERROR, "start_failed", "error=%s", log_quote(f.text));
        fprintf(stderr, "containarium-gateway: %s\n", f.text);
        return 1;
    }
    log_event(LOG_LEVEL_INFO, "listening", "on=%s sockets=%zu", log_quote(config->listen), l.socket_count);
    (void)notify_watchdog(l.base); // ends with the process
    notify_ready();
    (void)event_base_dispatch(l.base);
    if (l.again)
        exec_self(&l);
    return l.again ? 1 : 0;
}
