// Owns nothing beyond the call: two sessions on a socketpair, taken in turns.
#include "gateway/ssh_warm.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/units.h"
#include "gateway/ssh_raw.h"

#define WARM_MS 1000

static ssh_session client_session(int fd)
{
    bool no = false;
    ssh_session s = ssh_new();
    if (s == NULL)
        return NULL;
    if (ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &no) != SSH_OK ||
        ssh_options_set(s, SSH_OPTIONS_SSH_DIR, "/nonexistent") != SSH_OK ||
        ssh_options_set(s, SSH_OPTIONS_KNOWNHOSTS, "/nonexistent/known_hosts") != SSH_OK ||
        ssh_options_set(s, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/nonexistent/known_hosts") != SSH_OK ||
        ssh_options_set(s, SSH_OPTIONS_HOST, "warm") != SSH_OK ||
        ssh_options_set(s, SSH_OPTIONS_USER, "warm") != SSH_OK ||
        ssh_options_set(s, SSH_OPTIONS_FD, &fd) != SSH_OK) {
        ssh_free(s);
        return NULL;
    }
    ssh_set_blocking(s, 0);
    return s;
}

enum err ssh_warm(const struct ssh_keys *keys, struct fault *f)
{
    int pair[2];
    struct server *server = NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return fault_errno(f, ERR_IO, "socketpair");
    ssh_session client = client_session(pair[1]);
    enum err e = server_new(keys, pair[0], &server, f);
    if (client == NULL || e != ERR_NONE) {
        close(pair[0]);
        close(pair[1]);
        return client == NULL ? fault_set(f, ERR_MEMORY, "out of memory") : e;
    }
    int rc = SSH_AGAIN;
    bool offered = false;
    uint64_t until = monotonic_ms() + WARM_MS;
    while (!offered && monotonic_ms() < until && rc != SSH_ERROR) {
        if (rc == SSH_AGAIN)
            rc = ssh_connect(client);
        if (rc == SSH_OK)
            (void)ssh_userauth_none(client, NULL);
        struct ask *a = server_next(server);
        offered = a != NULL;
        ask_drop(a);
    }
    if (!offered)
        e = fault_set(f, ERR_FAILED, "the handshake with myself did not finish: %s", ssh_get_error(client));
    ssh_disconnect(client);
    ssh_free(client);
    server_free(server);
    return e;
}
