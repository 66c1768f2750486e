// Authorization: every channel and global request comes through authz_decide, and what is not allowed here is
// denied.
#include "policy/authz.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SSH_PORT 22

static const char *const role_names[] = {"user", "operator", "admin"};
static const char *const kind_names[] = {
    "session", "direct-tcpip", "tcpip-forward", "auth-agent-req@openssh.com", "pty-req", "unknown"};

const char *role_name(enum role role)
{
    return role_names[role];
}

bool role_parse(const char *text, enum role *out)
{
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, role_names[i]) == 0) {
            *out = (enum role)i;
            return true;
        }
    }
    return false;
}

const char *request_kind_name(enum request_kind kind)
{
    return kind_names[kind];
}

enum request_kind request_kind_parse(const char *text)
{
    for (int i = 0; i < REQUEST_UNKNOWN; i++) {
        if (strcmp(text, kind_names[i]) == 0)
            return (enum request_kind)i;
    }
    return REQUEST_UNKNOWN;
}

static enum authz_verdict deny(char *reason, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);
static enum authz_verdict deny(char *reason, size_t size, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(reason, size, format, ap);
    va_end(ap);
    return AUTHZ_DENY;
}

// Decimal digits up to a blank, '-' or the end.
static const char *port_parse(const char *p, uint32_t *out)
{
    uint32_t n = 0;
    const char *start = p;
    for (; *p >= '0' && *p <= '9' && n <= 65535; p++)
        n = n * 10 + (uint32_t)(*p - '0');
    *out = n;
    return p > start && n <= 65535 ? p : NULL;
}

bool authz_port_allowed(const char *ports, uint32_t port)
{
    if (port == 0 || port > 65535)
        return false;
    for (const char *p = ports;;) {
        uint32_t first = 0;
        p += strspn(p, " \t");
        p = port_parse(p, &first);
        if (p == NULL)
            return false; // the end, or text that is no port list: nothing further is allowed
        uint32_t last = first;
        if (*p == '-' && (p = port_parse(p + 1, &last)) == NULL)
            return false;
        if (*p != '\0' && *p != ' ' && *p != '\t')
            return false;
        if (port >= first && port <= last)
            return true;
    }
}

// A target as it will be understood by whoever resolves it. IPv4 is kept mapped into IPv6, so that 10.0.0.1,
// ::ffff:10.0.0.1, 0x0a000001 and 167772161 are one address and compare as one.
struct target {
    char name[256]; // lower case, without trailing dots
    bool numeric;
    struct in6_addr address;
};

static void map_ipv4(struct in_addr v4, struct in6_addr *out)
{
    static const unsigned char prefix[12] = {[10] = 0xff, [11] = 0xff};
    memcpy(out->s6_addr, prefix, sizeof prefix);
    memcpy(out->s6_addr + 12, &v4, 4);
}

static bool address_parse(const char *text, struct in6_addr *out)
{
    char plain[64];
    struct in_addr v4;
    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(text, "%"), text); // "fe80::1%eth0"
    if (inet_pton(AF_INET6, plain, out) == 1)
        return true;
    // inet_aton, not inet_pton: getaddrinfo in the box takes "0xa9fea9fe" and "2852039166" for addresses as
    // well.
    if (text[0] == '\0' || text[strspn(text, "0123456789abcdefx.")] != '\0' || inet_aton(text, &v4) == 0)
        return false;
    map_ipv4(v4, out);
    return true;
}

// False for bytes that are in no host name or address: they would only confuse whoever reads the log.
static bool target_parse(const char *host, struct target *t)
{
    size_t n = strnlen(host, sizeof t->name);
    if (n == 0 || n >= sizeof t->name)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = host[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-._:%", c) != NULL))
            return false;
        t->name[i] = c;
    }
    while (n > 0 && t->name[n - 1] == '.')
        n--;
    t->name[n] = '\0';
    t->numeric = address_parse(t->name, &t->address);
    return n > 0;
}

static bool ends_with(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n > m && strcmp(text + n - m, suffix) == 0;
}

// "alice-container" and "alice-dev" for a login that leads to alice's box, or its address. Not plain "alice",
// and never a comparison by the user a name would belong to: a user may be called "bob-dev", and must not be
// taken for bob.
static bool own_box(const struct authz_subject *s, const struct target *t)
{
    char alias[64];
    struct in6_addr own;
    if (t->numeric)
        return address_parse(s->box_address, &own) && memcmp(&own, &t->address, sizeof own) == 0;
    snprintf(alias, sizeof alias, "%s-container", s->owner);
    if (strcmp(t->name, alias) == 0 || (s->box_name[0] != '\0' && strcmp(t->name, s->box_name) == 0))
        return true;
    if (strcasecmp(t->name, s->box_address) == 0) // a static box may be known by a host name
        return true;
    snprintf(alias, sizeof alias, "%s-dev", s->owner);
    return strcmp(t->name, alias) == 0;
}

static bool in_subnet(const char *subnet, const struct in6_addr *address)
{
    char network[INET_ADDRSTRLEN];
    struct in_addr v4;
    struct in6_addr mapped;
    unsigned prefix = 0;
    const char *slash = subnet == NULL ? NULL : strchr(subnet, '/');
    if (slash == NULL || !IN6_IS_ADDR_V4MAPPED(address) || sscanf(slash + 1, "%2u", &prefix) != 1 ||
        prefix > 32)
        return false;
    snprintf(network, sizeof network, "%.*s", (int)(slash - subnet), subnet);
    if (inet_pton(AF_INET, network, &v4) != 1)
        return false;
    map_ipv4(v4, &mapped);
    uint32_t mask = prefix == 0 ? 0 : UINT32_MAX << (32 - prefix), a = 0, b = 0;
    memcpy(&a, mapped.s6_addr + 12, 4);
    memcpy(&b, address->s6_addr + 12, 4);
    return ((ntohl(a) ^ ntohl(b)) & mask) == 0;
}

// "localhost" and the addresses that mean whoever asks.
static bool loopback(const struct target *t)
{
    static const struct in6_addr any4 = {{{[10] = 0xff, [11] = 0xff}}};
    if (!t->numeric)
        return strcmp(t->name, "localhost") == 0 || ends_with(t->name, ".localhost");
    return IN6_IS_ADDR_LOOPBACK(&t->address) || IN6_IS_ADDR_UNSPECIFIED(&t->address) ||
           (IN6_IS_ADDR_V4MAPPED(&t->address) && t->address.s6_addr[12] == 127) ||
           memcmp(&t->address, &any4, sizeof any4) == 0;
}

static bool link_local(const struct in6_addr *a)
{
    return IN6_IS_ADDR_LINKLOCAL(a) ||
           (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 169 && a->s6_addr[13] == 254);
}

// Another user's box, the host's side of the bridge, or a metadata service.
static bool off_limits(const struct authz_subject *s, const struct target *t)
{
    static const unsigned char ec2_metadata[16] = {0xfd, 0x00,        0x0e,
                                                   0xc2, [14] = 0x02, [15] = 0x54}; // fd00:ec2::254
    if (t->numeric)
        return link_local(&t->address) || in_subnet(s->box_subnet, &t->address) ||
               memcmp(&t->address, ec2_metadata, sizeof ec2_metadata) == 0;
    struct target bare = *t;
    if (ends_with(bare.name, ".incus")) // the domain of the boxes' network
        bare.name[strlen(bare.name) - strlen(".incus")] = '\0';
    return ends_with(bare.name, "-container") || ends_with(bare.name, "-dev") ||
           strcmp(bare.name, "metadata.google.internal") == 0;
}

static enum authz_verdict decide_direct_tcpip(const struct authz_subject *s, const struct authz_request *r,
                                              bool forward_ok, char *reason, size_t size)
{
    struct target t = {.numeric = false};
    if (!target_parse(r->host, &t))
        return deny(reason, size, "the target is neither a host name nor an address");
    if (r->port == 0 || r->port > 65535)
        return deny(reason, size, "%u is not a port", r->port);
    if (s->key != NULL && !keyoption_may_open(s->key, t.name, r->port))
        return deny(reason, size, "the key you came in with may not open %.200s port %u (%s)", t.name,
                    r->port, s->key->no_port_forwarding ? "no-port-forwarding" : "permitopen");
    if (own_box(s, &t)) {
        if (authz_port_allowed(s->jump_ports, r->port))
            return AUTHZ_BOX_JUMP;
        return deny(reason, size,
                    "port %u of the box is not open to ssh -J; use ssh -L %u:localhost:%u instead", r->port,
                    r->port, r->port);
    }
    if (off_limits(s, &t))
        return deny(reason, size, "%.200s is not yours; this login leads to %s-container", t.name, s->owner);
    if (loopback(&t) && r->port == SSH_PORT)
        return deny(reason, size,
                    "%.200s port %u is not this host's to reach; this login leads to %s-container", t.name,
                    r->port, s->owner);
    if (!forward_ok)
        return deny(reason, size, "forwarding to %.200s is not allowed; this login leads to %s-container",
                    t.name, s->owner);
    return AUTHZ_BOX_FORWARD;
}

// At the console a key that is for one command, or for nothing but its box, has no business.
static enum authz_verdict decide_console(const struct authz_subject *s, const struct authz_request *r,
                                         char *reason, size_t size)
{
    bool forced = s->key != NULL && s->key->command[0] != '\0';
    if (forced && (r->kind == REQUEST_SESSION || r->kind == REQUEST_PTY))
        return deny(reason, size, "the key you came in with is for one command in its box (command=)");
    if (r->kind == REQUEST_SESSION)
        return AUTHZ_CONSOLE;
    if (r->kind != REQUEST_PTY)
        return deny(reason, size, "the console has no forwarding; log in as %s for that", s->owner);
    if (s->key != NULL && s->key->no_pty)
        return deny(reason, size, "the key you came in with gets no terminal (no-pty)");
    return AUTHZ_CONSOLE;
}

enum authz_verdict authz_decide(const struct authz_subject *subject, const struct authz_request *request,
                                bool forward_ok, char *reason, size_t reason_size)
{
    static const struct keyoption none = {.expires = 0};
    const struct keyoption *key = subject->key == NULL ? &none : subject->key;
    if (reason_size > 0)
        reason[0] = '\0';
    if (subject->console)
        return decide_console(subject, request, reason, reason_size);
    switch (request->kind) {
    case REQUEST_SESSION:
        return AUTHZ_BOX_SESSION;
    case REQUEST_PTY:
        if (!key->no_pty)
            return AUTHZ_BOX_SESSION;
        return deny(reason, reason_size, "the key you came in with gets no terminal (no-pty)");
    case REQUEST_DIRECT_TCPIP:
        return decide_direct_tcpip(subject, request, forward_ok, reason, reason_size);
    case REQUEST_TCPIP_FORWARD:
    case REQUEST_AGENT:
        if (!forward_ok)
            return deny(reason, reason_size, "%s is not allowed", request_kind_name(request->kind));
        if (request->kind == REQUEST_AGENT ? key->no_agent_forwarding : key->no_port_forwarding)
            return deny(reason, reason_size, "the key you came in with may not use %s",
                        request_kind_name(request->kind));
        return AUTHZ_BOX_FORWARD;
    case REQUEST_UNKNOWN:
        break;
    }
    return deny(reason, reason_size, "this gateway does not know that kind of request");
}
