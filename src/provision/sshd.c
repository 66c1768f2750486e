// Owns the short-lived sockets of the question "does your SSH server answer yet?".
#include "provision/sshd.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"

#define CONNECT_MS                                                                                           \
    250 // of one try; a box that does not answer ARP yet would hold a connect for three seconds
#define BANNER_MS 3000 // a server that accepted may be slow, not silent
#define PAUSE_MS 10    // between tries

static enum err resolve(const char *host, uint16_t port, struct addrinfo **out, struct fault *f)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    int e = getaddrinfo(host, service, &hints, out);
    if (e != 0)
        return fault_set(f, ERR_UNAVAILABLE, "the address %.64s cannot be found: %s", host, gai_strerror(e));
    return ERR_NONE;
}

static int wait_fd(int fd, short events, uint64_t ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, (int)ms);
}

// What is left until `deadline`, at most `most`.
static uint64_t left(uint64_t deadline, uint64_t most)
{
    uint64_t now = monotonic_ms();
    uint64_t ms = deadline > now ? deadline - now : 0;
    return ms < most ? ms : most;
}

// Banner lines before "SSH-" are allowed (RFC 4253 section 4.2), so it may not be the first.
static bool says_ssh(int fd, uint64_t deadline, const atomic_bool *stop)
{
    char text[1024];
    size_t n = 0;
    uint64_t until = monotonic_ms() + BANNER_MS;
    if (until > deadline)
        until = deadline;
    while (n < sizeof text - 1 && monotonic_ms() < until && !atomic_load(stop)) {
        if (wait_fd(fd, POLLIN, left(until, 100)) <= 0)
            continue;
        ssize_t got = recv(fd, text + n, sizeof text - 1 - n, 0);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0) {
            errno = got == 0 ? ECONNRESET : errno;
            return false;
        }
        n += (size_t)got;
        text[n] = '\0';
        if (strncmp(text, "SSH-", 4) == 0 || strstr(text, "\nSSH-") != NULL)
            return true;
    }
    errno = ETIMEDOUT;
    return false;
}

static bool answers(const struct addrinfo *address, uint64_t deadline, const atomic_bool *stop)
{
    bool ok = false;
    int error = 0;
    socklen_t size = sizeof error;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        if (errno != EINPROGRESS)
            goto out;
        if (wait_fd(fd, POLLOUT, left(deadline, CONNECT_MS)) <= 0) {
            errno = ETIMEDOUT;
            goto out;
        }
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
            errno = error != 0 ? error : errno;
            goto out;
        }
    }
    ok = says_ssh(fd, deadline, stop);
out:
    error = errno;
    close(fd);
    errno = error;
    return ok;
}

enum err sshd_wait(const char *host, uint16_t port, uint64_t deadline, const atomic_bool *stop,
                   struct fault *f)
{
    struct addrinfo *addresses = NULL;
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    enum err e = resolve(host, port, &addresses, f);
    if (e != ERR_NONE)
        return e;
    e = ERR_TIMEOUT;
    do {
        for (const struct addrinfo *a = addresses; a != NULL && e != ERR_NONE; a = a->ai_next)
            e = answers(a, deadline, stop) ? ERR_NONE : ERR_TIMEOUT;
        if (e == ERR_NONE)
            break;
        if (atomic_load(stop)) {
            e = fault_set(f, ERR_UNAVAILABLE, "the control plane is stopping; try again in a moment");
            break;
        }
        fault_errno(f, e, "its SSH server does not answer at %.64s port %u", host, port);
        nanosleep(&pause, NULL);
    } while (monotonic_ms() < deadline);
    freeaddrinfo(addresses);
    return e;
}
