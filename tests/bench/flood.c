// Clients that do not log in, many of them: what a gateway on the open internet meets. Bounded in count and
// time, and it sends to loopback only.
//
//   flood MODE PORT --count N --seconds S [--rate R] [--parallel P] [--sources K] [--names M]
//
//   silent   connect and say nothing until the server hangs up
//   slow     connect and send the identification string a byte a second
//   kex      a whole key exchange, then hang up
//   fail     a whole key exchange, then a key nobody knows, as user0 ... user(M-1)
//
// Connections come from K addresses of 127.64.0.0/10. At the end a line of JSON: how many were tried, how
// many were accepted, refused, dropped.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <libssh/libssh.h>

enum mode { SILENT, SLOW, KEX, FAIL };

static struct {
    enum mode mode;
    unsigned port, count, seconds, rate, parallel, sources, names;
} o = {.seconds = 10, .count = 100, .parallel = 8, .sources = 1, .names = 1};

static atomic_uint started, connected, greeted, exchanged, denied;
static struct timespec began;

static double since(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - began.tv_sec) + (double)(now.tv_nsec - began.tv_nsec) / 1e9;
}

// The number of the next connection, when its time has come; false at the end.
static bool next_one(unsigned *n)
{
    if (since() > o.seconds)
        return false;
    *n = atomic_fetch_add(&started, 1);
    if (*n >= o.count) {
        atomic_fetch_sub(&started, 1);
        return false;
    }
    while (o.rate > 0 && since() * o.rate < *n)
        usleep(500);
    return true;
}

static int connect_from(unsigned n, bool wait)
{
    struct sockaddr_in own = {.sin_family = AF_INET},
                       to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o.port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0), on = 1;
    if (fd < 0)
        return -1;
    own.sin_addr.s_addr = htonl(0x7f400001u + n % o.sources); // 127.64.0.1 and up
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&own, sizeof own) != 0 ||
        (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
        close(fd);
        return -1;
    }
    atomic_fetch_add(&connected, 1);
    return fd;
}

// ---- silent and slow: one thread, many sockets

static void serve_quiet(struct pollfd *fds, unsigned *sent, unsigned count)
{
    static const char id[] = "SSH-2.0-slow_client_that_takes_its_time\r\n";
    char bytes[512];
    for (unsigned i = 0; i < count; i++) {
        if (fds[i].fd >= 0 && (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            ssize_t n = recv(fds[i].fd, bytes, sizeof bytes, MSG_DONTWAIT);
            if (n > 4 && memcmp(bytes, "SSH-", 4) == 0)
                atomic_fetch_add(&greeted, 1);
            if (n == 0 || (n < 0 && errno != EAGAIN)) {
                close(fds[i].fd);
                fds[i].fd = -1;
            }
        }
        if (o.mode == SLOW && fds[i].fd >= 0 && sent[i] < sizeof id - 1 &&
            since() > sent[i] + 1.0 * i / count) {
            (void)!send(fds[i].fd, id + sent[i], 1, MSG_NOSIGNAL | MSG_DONTWAIT);
            sent[i]++;
        }
    }
}

static void quiet(void)
{
    struct pollfd *fds = calloc(o.count, sizeof *fds);
    unsigned *sent = calloc(o.count, sizeof *sent), open = 0, n;
    if (fds == NULL || sent == NULL)
        exit(1);
    while (since() < o.seconds) {
        for (int i = 0; i < 50 && open < o.count && (o.rate == 0 || since() * o.rate > open) && next_one(&n);
             i++) {
            fds[open].fd = connect_from(n, false);
            fds[open++].events = POLLIN;
        }
        (void)poll(fds, open, 5);
        serve_quiet(fds, sent, open);
    }
    for (unsigned i = 0; i < open; i++) {
        if (fds[i].fd >= 0)
            close(fds[i].fd);
    }
    free(fds);
    free(sent);
}

// ---- kex and fail: a thread a connection

static void exchange(unsigned n, ssh_key key)
{
    char name[32];
    long timeout = 20;
    bool no = false;
    int fd = connect_from(n, true);
    ssh_session s = fd < 0 ? NULL : ssh_new();
    if (s == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    snprintf(name, sizeof name, "user%u", n % o.names);
    ssh_options_set(s, SSH_OPTIONS_FD, &fd);
    ssh_options_set(s, SSH_OPTIONS_HOST, "127.0.0.1");
    ssh_options_set(s, SSH_OPTIONS_USER, name);
    ssh_options_set(s, SSH_OPTIONS_TIMEOUT, &timeout);
    ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &no);
    ssh_options_set(s, SSH_OPTIONS_KEY_EXCHANGE, "curve25519-sha256");
    ssh_options_set(s, SSH_OPTIONS_HOSTKEYS, "ssh-ed25519");
    if (ssh_connect(s) == SSH_OK) {
        atomic_fetch_add(&exchanged, 1);
        if (o.mode == FAIL && ssh_userauth_try_publickey(s, NULL, key) == SSH_AUTH_DENIED)
            atomic_fetch_add(&denied, 1);
    }
    ssh_disconnect(s);
    ssh_free(s);
}

static void *worker(void *arg)
{
    ssh_key key = NULL;
    unsigned n;
    (void)arg;
    if (ssh_pki_generate_key(SSH_KEYTYPE_ED25519, NULL, &key) != SSH_OK)
        return NULL;
    while (next_one(&n))
        exchange(n, key);
    ssh_key_free(key);
    return NULL;
}

static void busy(void)
{
    pthread_t threads[256];
    unsigned count = o.parallel < 256 ? o.parallel : 256;
    for (unsigned i = 0; i < count; i++) {
        if (pthread_create(&threads[i], NULL, worker, NULL) != 0)
            exit(1);
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static unsigned number(const char *text)
{
    char *end = NULL;
    unsigned long n = strtoul(text, &end, 10);
    if (*end != '\0' || text[0] == '\0' || n > 10000000) {
        fprintf(stderr, "flood: \"%s\" is not a number up to 10000000\n", text);
        exit(2);
    }
    return (unsigned)n;
}

static void parse(int argc, char **argv)
{
    static const char *const modes[] = {"silent", "slow", "kex", "fail"};
    static const struct {
        const char *name;
        unsigned *value;
    } options[] = {{"--count", &o.count},       {"--seconds", &o.seconds}, {"--rate", &o.rate},
                   {"--parallel", &o.parallel}, {"--sources", &o.sources}, {"--names", &o.names}};
    bool known = false;
    for (int i = 0; argc > 2 && i < 4; i++) {
        if (strcmp(argv[1], modes[i]) == 0) {
            o.mode = (enum mode)i;
            known = true;
        }
    }
    if (!known) {
        fprintf(stderr,
                "usage: flood silent|slow|kex|fail PORT [--count N] [--seconds S] [--rate R] [--parallel P] "
                "[--sources K] [--names M]\n");
        exit(2);
    }
    o.port = number(argv[2]);
    for (int i = 3; i + 1 < argc; i += 2) {
        for (size_t k = 0; k < sizeof options / sizeof options[0]; k++) {
            if (strcmp(argv[i], options[k].name) == 0)
                *options[k].value = number(argv[i + 1]);
        }
    }
    if (o.sources == 0 || o.names == 0 || o.sources > 1000000 || o.seconds > 3600)
        exit(2);
}

int main(int argc, char **argv)
{
    struct rlimit files;
    parse(argc, argv);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    ssh_init();
    clock_gettime(CLOCK_MONOTONIC, &began);
    if (o.mode == SILENT || o.mode == SLOW)
        quiet();
    else
        busy();
    printf("{\"tried\": %u, \"connected\": %u, \"greeted\": %u, \"exchanged\": %u, \"denied\": %u, "
           "\"seconds\": %.2f}\n",
           atomic_load(&started), atomic_load(&connected), atomic_load(&greeted), atomic_load(&exchanged),
           atomic_load(&denied), since());
    return 0;
}
