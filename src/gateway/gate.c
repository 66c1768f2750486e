// Owns the two sets, the link that fills them, and the counts of refusals until they are told.
#include "gateway/gate.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"
#include "policy/netset.h"
#include "wire/message.h"

#define RETRY_SECONDS 1
#define TELL_SECONDS 5
#define KNOWN_MAX 20000 // sources; the control plane sends the latest first

struct gate {
    struct event_base *base;
    const struct config *config;
    char path[CONFIG_TEXT + 16];
    struct netset banned, known;
    struct link *link; // NULL while away
    struct event *retry, *tell;
    struct {
        unsigned count;
        char address[64]; // the last of them
    } dropped[ADMIT_VERDICTS];
};

void gate_address(const struct sockaddr_storage *peer, char *address, size_t size, uint16_t *port)
{
    const void *raw = &((const struct sockaddr_in *)(const void *)peer)->sin_addr;
    int family = peer->ss_family;
    uint16_t n = ntohs(((const struct sockaddr_in *)(const void *)peer)->sin_port);
    if (family == AF_INET6) {
        const struct sockaddr_in6 *six = (const void *)peer;
        raw = &six->sin6_addr;
        n = ntohs(six->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) { // a socket for both families
            raw = six->sin6_addr.s6_addr + 12;
            family = AF_INET;
        }
    }
    if (port != NULL)
        *port = n;
    if (evutil_inet_ntop(family, raw, address, size) == NULL)
        snprintf(address, size, "unknown");
}

// ---- the link

static void set_entry(struct netset *set, const struct message *m)
{
    struct subnet subnet;
    struct fault f = {.text = ""};
    if (!subnet_parse(m->address, &subnet) ||
        netset_add(set, &subnet, (time_t)m->until, time(NULL), &f) != ERR_NONE)
        log_event(LOG_LEVEL_WARN, "gate_entry_lost", "address=%s error=%s", log_quote(m->address),
                  log_quote(f.text));
}

static void on_packet(void *arg, const char *data, size_t length, const int *fds, size_t fd_count)
{
    struct gate *g = arg;
    struct message m;
    struct fault f;
    struct subnet subnet;
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
    if (message_decode(data, length, &m, &f) != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "control_message_bad", "error=%s", log_quote(f.text));
    else if (m.type == MESSAGE_BAN)
        set_entry(&g->banned, &m);
    else if (m.type == MESSAGE_KNOWN)
        set_entry(&g->known, &m);
    else if (m.type == MESSAGE_UNBAN && subnet_parse(m.address, &subnet))
        netset_remove(&g->banned, &subnet);
    else if (m.type == MESSAGE_REFUSED)
        log_event(LOG_LEVEL_ERROR, "gate_refused", "reason=%s", log_quote(m.text));
}

static void go_away(struct gate *g)
{
    static const struct timeval wait = {.tv_sec = RETRY_SECONDS};
    link_free(g->link);
    g->link = NULL;
    event_add(g->retry, &wait);
}

static void on_end(void *arg, const char *reason)
{
    log_event(LOG_LEVEL_DEBUG, "gate_link_lost", "reason=%s", log_quote(reason));
    go_away(arg);
}

// What is in force comes anew after LISTEN. Never waits: a control plane that is stuck must not stop the
// listener.
static void on_retry(evutil_socket_t unused, short what, void *arg)
{
    struct gate *g = arg;
    struct message hello = {.type = MESSAGE_LISTEN, .version = MESSAGE_VERSION};
    (void)unused;
    (void)what;
    int fd = link_socket();
    if (fd >= 0 && (evutil_make_socket_nonblocking(fd) != 0 || link_connect_on(fd, g->path) != 0)) {
        close(fd);
        fd = -1;
    }
    g->link = fd < 0 ? NULL : link_new(g->base, fd, on_packet, on_end, g);
    if (g->link == NULL || message_send(g->link, &hello, NULL, 0) != ERR_NONE) {
        go_away(g);
        return;
    }
    netset_clear(&g->banned);
    netset_clear(&g->known);
}

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
    struct gate *g = arg;
    (void)fd;
    (void)what;
    for (int i = 0; i < ADMIT_VERDICTS; i++) {
        struct message m = {.type = MESSAGE_DROPPED, .count = g->dropped[i].count};
        if (m.count == 0)
            continue;
        snprintf(m.kind, sizeof m.kind, "%s", admit_verdict_name((enum admit_verdict)i));
        snprintf(m.address, sizeof m.address, "%s", g->dropped[i].address);
        log_event(LOG_LEVEL_INFO, "dropped", "why=%s count=%llu last=%s", m.kind, (unsigned long long)m.count,
                  m.address);
        if (g->link == NULL || message_send(g->link, &m, NULL, 0) != ERR_NONE)
            return; // told next time
        g->dropped[i].count = 0;
    }
}

struct gate *gate_new(struct event_base *base, const struct config *config)
{
    static const struct timeval tell = {.tv_sec = TELL_SECONDS};
    struct gate *g = calloc(1, sizeof *g);
    if (g == NULL)
        return NULL;
    g->base = base;
    g->config = config;
    g->known.max = KNOWN_MAX;
    snprintf(g->path, sizeof g->path, "%s/gateway.sock", config->run_dir);
    g->retry = evtimer_new(base, on_retry, g);
    g->tell = event_new(base, -1, EV_PERSIST, on_tell, g);
    if (g->retry == NULL || g->tell == NULL || event_add(g->tell, &tell) != 0) {
        gate_free(g);
        return NULL;
    }
    on_retry(-1, 0, g);
    return g;
}

void gate_free(struct gate *g)
{
    if (g == NULL)
        return;
    link_free(g->link);
    if (g->retry != NULL)
        event_free(g->retry);
    if (g->tell != NULL)
        event_free(g->tell);
    netset_clear(&g->banned);
    netset_clear(&g->known);
    free(g);
}

// ---- the decision

// Before the protocol has begun the only place for a reason is a line in front of the identification string
// (RFC 4253 section 4.2); OpenSSH shows it with -v.
static void say_why(enum admit_verdict verdict, time_t until, char *out, size_t size)
{
    char when[32] = "";
    switch (verdict) {
    case ADMIT_OK:
        break;
    case ADMIT_BANNED:
        if (until == 0)
            snprintf(out, size,
                     "Connections from your address are not accepted. Ask your administrator.\r\n");
        else
            snprintf(out, size,
                     "Connections from your address are not accepted until %s, after too many failed logins. "
                     "Ask your "
                     "administrator.\r\n",
                     when_format(until, when, sizeof when));
        break;
    case ADMIT_FULL:
        snprintf(out, size, "The gateway is full: too many connections. Try again later.\r\n");
        break;
    case ADMIT_SOURCE:
        snprintf(
            out, size,
            "Too many connections from your address are logging in. Try again when they have ended.\r\n");
        break;
    case ADMIT_BUSY:
        snprintf(out, size,
                 "The gateway is busy: too many connections are logging in. Try again in a moment.\r\n");
        break;
    }
}

enum admit_verdict gate_decide(struct gate *g, const char *address, struct admit_load *load, char *why,
                               size_t why_size)
{
    const struct config *c = g->config;
    const struct admit_limits limits = {
        .connections = (unsigned)c->max_connections,
        .unauthenticated = (unsigned)c->max_unauthenticated,
        .per_source = (unsigned)c->max_unauthenticated_per_source,
        .early_drop = (unsigned)c->early_drop,
        .reserved = (unsigned)c->known_reserve,
    };
    struct subnet whole;
    time_t now = time(NULL), until = 0;
    bool proxied = c->proxy_protocol_from[0] != '\0' && subnets_have(c->proxy_protocol_from, address);
    if (proxied) { // whom it brings is known later, and judged by the control plane
        load->from_source = 0;
        load->banned = load->known = false;
    } else {
        bool parsed = subnet_parse(address, &whole);
        load->banned = (parsed && netset_has(&g->banned, whole.address, now, &until)) ||
                       (c->allow_from[0] != '\0' && !subnets_have(c->allow_from, address));
        load->known = parsed && netset_has(&g->known, whole.address, now, NULL);
    }
    enum admit_verdict verdict = admit_decide(&limits, load, arc4random());
    if (verdict == ADMIT_OK)
        return verdict;
    g->dropped[verdict].count++;
    snprintf(g->dropped[verdict].address, sizeof g->dropped[verdict].address, "%s", address);
    if (why != NULL)
        say_why(verdict, until, why, why_size);
    return verdict;
}
