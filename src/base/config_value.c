// One parser and one formatter a type of option. Text that is accepted is stored as it was written.
#include "base/config_value.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#include "base/subnets.h"
#include "base/units.h"

static const char letters_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static void *field(const struct config_option *o, struct config *c)
{
    return (char *)c + o->offset;
}

static const void *field_const(const struct config_option *o, const struct config *c)
{
    return (const char *)c + o->offset;
}

static bool only(const char *text, const char *more)
{
    for (; *text != '\0'; text++) {
        if (strchr(letters_digits, *text) == NULL && strchr(more, *text) == NULL)
            return false;
    }
    return true;
}

static bool port_parse(const char *text, size_t length, uint16_t *port)
{
    unsigned n = 0;
    if (length == 0 || length > 5)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        n = n * 10 + (unsigned)(text[i] - '0');
    }
    if (n == 0 || n > 65535)
        return false;
    *port = (uint16_t)n;
    return true;
}

// "0.0.0.0:22" or "[::]:22" of the given length.
static bool endpoint_parse(const char *text, size_t length, char *host, size_t host_size, uint16_t *port)
{
    unsigned char raw[sizeof(struct in6_addr)];
    const char *colon = memrchr(text, ':', length);
    if (colon == NULL || !port_parse(colon + 1, length - (size_t)(colon + 1 - text), port))
        return false;
    size_t n = (size_t)(colon - text);
    bool v6 = n > 2 && text[0] == '[' && text[n - 1] == ']';
    if (v6) {
        text++;
        n -= 2;
    }
    if (n >= host_size)
        return false;
    memcpy(host, text, n);
    host[n] = '\0';
    return inet_pton(v6 ? AF_INET6 : AF_INET, host, raw) == 1;
}

bool config_listen_next(const char **cursor, char *host, size_t host_size, uint16_t *port)
{
    const char *p = *cursor + strspn(*cursor, " \t");
    size_t n = strcspn(p, " \t");
    *cursor = p + n;
    return n > 0 && endpoint_parse(p, n, host, host_size, port);
}

static bool listen_valid(const char *text)
{
    char host[64];
    uint16_t port = 0;
    const char *cursor = text;
    size_t good = 0;
    size_t words = 0;
    for (const char *p = text + strspn(text, " \t"); *p != '\0'; p += strspn(p, " \t"), words++)
        p += strcspn(p, " \t");
    while (config_listen_next(&cursor, host, sizeof host, &port))
        good++;
    return good > 0 && good == words;
}

// "22 80 8000-8999"; ranges ascending.
static bool ports_valid(const char *text)
{
    size_t count = 0;
    for (const char *p = text + strspn(text, " \t"); *p != '\0'; p += strspn(p, " \t"), count++) {
        size_t n = strcspn(p, " \t");
        const char *dash = memchr(p, '-', n);
        uint16_t first = 0, last = 0;
        size_t head = dash == NULL ? n : (size_t)(dash - p);
        if (!port_parse(p, head, &first))
            return false;
        if (dash != NULL && (!port_parse(dash + 1, n - head - 1, &last) || last < first))
            return false;
        p += n;
    }
    return count > 0;
}

bool config_ipv4_parse(const char *text, uint32_t *address)
{
    struct in_addr raw;
    if (inet_pton(AF_INET, text, &raw) != 1)
        return false;
    *address = ntohl(raw.s_addr);
    return true;
}

bool config_subnet_parse(const char *text, uint32_t *network, unsigned *prefix)
{
    char host[INET_ADDRSTRLEN];
    uint16_t bits = 0;
    const char *slash = strchr(text, '/');
    if (slash == NULL || (size_t)(slash - text) >= sizeof host ||
        !port_parse(slash + 1, strlen(slash + 1), &bits) || bits > 32)
        return false;
    memcpy(host, text, (size_t)(slash - text));
    host[slash - text] = '\0';
    *prefix = bits;
    return config_ipv4_parse(host, network) && (bits == 32 || (*network & (UINT32_MAX >> bits)) == 0);
}

static bool algorithms_valid(const char *text)
{
    size_t n = strlen(text);
    return n > 0 && only(text, "-_.@,+") && text[0] != ',' && text[n - 1] != ',' &&
           strstr(text, ",,") == NULL;
}

static bool url_valid(const char *text)
{
    static const char scheme[] = "https://";
    if (strncmp(text, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *host = text + sizeof scheme - 1;
    return *host != '\0' && only(host, "-._:[]"); // no path, no user: those are ours to add
}

// "127.0.0.1:9522" or "[::1]:9522", nothing that others can reach; or a path.
static bool local_valid(const char *text)
{
    char host[64];
    uint16_t port = 0;
    if (text[0] == '\0' || text[0] == '/')
        return strlen(text) < 100; // sun_path
    return endpoint_parse(text, strlen(text), host, sizeof host, &port) &&
           subnets_have("127.0.0.0/8 ::1", host);
}

static bool choice_valid(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (const char *p = choices; *p != '\0'; p += strspn(p, " ")) {
        size_t word = strcspn(p, " ");
        if (word == n && memcmp(p, text, n) == 0)
            return true;
        p += word;
    }
    return false;
}

static bool string_valid(const struct config_option *o, const char *text)
{
    size_t n = strlen(text);
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    }
    return n >= o->min && n <= o->max;
}

static enum err number_value(const struct config_option *o, const char *text, uint64_t *out, struct fault *f)
{
    uint64_t n = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9' && n <= o->max; p++)
        n = n * 10 + (uint64_t)(*p - '0');
    if (p == text || *p != '\0' || n < o->min || n > o->max)
        return fault_set(f, ERR_INVALID, "\"%.100s\" is not a number from %" PRIu64 " to %" PRIu64, text,
                         o->min, o->max);
    *out = n;
    return ERR_NONE;
}

static enum err size_value(const struct config_option *o, const char *text, uint64_t *out, struct fault *f)
{
    char low[32], high[32];
    uint64_t n = 0;
    enum err e = size_parse(text, &n, f);
    if (e != ERR_NONE)
        return e;
    if (n < o->min || n > o->max)
        return fault_set(f, ERR_INVALID, "\"%.100s\" is out of range; accepted: %s to %s", text,
                         size_format(o->min, low, sizeof low), size_format(o->max, high, sizeof high));
    *out = n;
    return ERR_NONE;
}

static enum err rate_value(const struct config_option *o, const char *text, uint64_t *out, struct fault *f)
{
    if (strcmp(text, "none") != 0)
        return size_value(o, text, out, f);
    *out = 0;
    return ERR_NONE;
}

static enum err duration_value(const struct config_option *o, const char *text, uint64_t *out,
                               struct fault *f)
{
    char low[32], high[32];
    uint64_t n = 0;
    enum err e = duration_parse(text, &n, f);
    if (e != ERR_NONE)
        return e;
    if (n < o->min || n > o->max)
        return fault_set(f, ERR_INVALID, "\"%.100s\" is out of range; accepted: %s to %s", text,
                         duration_format_exact(o->min, low, sizeof low),
                         duration_format_exact(o->max, high, sizeof high));
    *out = n;
    return ERR_NONE;
}

static enum err bool_value(const char *text, bool *out, struct fault *f)
{
    bool yes = choice_valid("yes true on", text);
    if (!yes && !choice_valid("no false off", text))
        return fault_set(f, ERR_INVALID, "\"%.100s\" is neither yes nor no; accepted: yes no", text);
    *out = yes;
    return ERR_NONE;
}

static enum err subnet_value(const struct config_option *o, const char *text, struct fault *f)
{
    uint32_t network = 0;
    unsigned prefix = 0;
    if (config_subnet_parse(text, &network, &prefix) && prefix >= o->min && prefix <= o->max)
        return ERR_NONE;
    return fault_set(f, ERR_INVALID,
                     "\"%.100s\" is not an IPv4 subnet of /%" PRIu64 " to /%" PRIu64
                     "; accepted: 10.178.0.0/20",
                     text, o->min, o->max);
}

// The types that are kept as text: is it one of them?
static enum err text_check(const struct config_option *o, const char *text, struct fault *f)
{
    uint32_t address = 0;
    bool ok = true;
    const char *accepted = "";
    if (text[0] == '\0' && o->fallback[0] == '\0')
        return ERR_NONE; // what is not there by default may be taken away again
    switch (o->type) {
    case CONFIG_STRING:
        ok = string_valid(o, text);
        accepted = o->min > 0 ? "a printable text that is not empty" : "a printable text";
        break;
    case CONFIG_NAME:
        ok = text[0] != '\0' && text[0] != '-' && strlen(text) < 64 && only(text, "-_.");
        accepted = "letters, digits, - _ . and at most 63 of them";
        break;
    case CONFIG_PATH:
        ok = text[0] == '/' && strlen(text) < CONFIG_TEXT - 64; // file names are put behind it
        accepted = "an absolute path, like /var/lib/containarium";
        break;
    case CONFIG_URL:
        ok = url_valid(text);
        accepted = "https://HOST:PORT, like https://127.0.0.1:8443";
        break;
    case CONFIG_ALGORITHMS:
        ok = algorithms_valid(text);
        accepted = "names separated by commas, no spaces, like aes256-ctr,aes128-ctr";
        break;
    case CONFIG_CPU:
        return cpu_parse(text, NULL, NULL, f);
    case CONFIG_CHOICE:
        ok = choice_valid(o->choices, text);
        accepted = o->choices;
        break;
    case CONFIG_LISTEN:
        ok = listen_valid(text);
        accepted = "numeric addresses with ports, like 0.0.0.0:22 [::]:22";
        break;
    case CONFIG_SUBNET:
        return subnet_value(o, text, f);
    case CONFIG_ADDRESS:
        ok = config_ipv4_parse(text, &address);
        accepted = "an IPv4 address, like 10.178.0.16";
        break;
    case CONFIG_PORTS:
        ok = ports_valid(text);
        accepted = "ports and ranges, like 22 80 8000-8999";
        break;
    case CONFIG_SUBNETS:
        ok = subnets_valid(text);
        accepted = "addresses and subnets, like 192.0.2.7 10.0.0.0/8 2001:db8::/32";
        break;
    case CONFIG_LOCAL:
        ok = local_valid(text);
        accepted = "a loopback address with port, like 127.0.0.1:9522, or a path of at most 99 bytes";
        break;
    case CONFIG_UINT:
    case CONFIG_BOOL:
    case CONFIG_SIZE:
    case CONFIG_RATE:
    case CONFIG_DURATION:
        break; // not text, see config_value_parse
    }
    if (!ok)
        return fault_set(f, ERR_INVALID, "\"%.100s\" does not fit; accepted: %s", text, accepted);
    return ERR_NONE;
}

enum err config_value_parse(const struct config_option *o, const char *text, struct config *c,
                            struct fault *f)
{
    switch (o->type) {
    case CONFIG_UINT:
        return number_value(o, text, field(o, c), f);
    case CONFIG_BOOL:
        return bool_value(text, field(o, c), f);
    case CONFIG_SIZE:
        return size_value(o, text, field(o, c), f);
    case CONFIG_RATE:
        return rate_value(o, text, field(o, c), f);
    case CONFIG_DURATION:
        return duration_value(o, text, field(o, c), f);
    case CONFIG_STRING:
    case CONFIG_NAME:
    case CONFIG_PATH:
    case CONFIG_URL:
    case CONFIG_ALGORITHMS:
    case CONFIG_CPU:
    case CONFIG_CHOICE:
    case CONFIG_LISTEN:
    case CONFIG_SUBNET:
    case CONFIG_ADDRESS:
    case CONFIG_PORTS:
    case CONFIG_SUBNETS:
    case CONFIG_LOCAL:
        break;
    }
    if (strlen(text) >= CONFIG_TEXT)
        return fault_set(f, ERR_INVALID, "the value is longer than %d bytes", CONFIG_TEXT - 1);
    enum err e = text_check(o, text, f);
    if (e == ERR_NONE)
        snprintf(field(o, c), CONFIG_TEXT, "%s", text);
    return e;
}

const char *config_value_format(const struct config_option *o, const struct config *c, char *out)
{
    const void *at = field_const(o, c);
    switch (o->type) {
    case CONFIG_UINT:
        snprintf(out, CONFIG_TEXT, "%" PRIu64, *(const uint64_t *)at);
        return out;
    case CONFIG_BOOL:
        snprintf(out, CONFIG_TEXT, "%s", *(const bool *)at ? "yes" : "no");
        return out;
    case CONFIG_SIZE:
        return size_format(*(const uint64_t *)at, out, CONFIG_TEXT);
    case CONFIG_RATE:
        if (*(const uint64_t *)at != 0)
            return size_format(*(const uint64_t *)at, out, CONFIG_TEXT);
        snprintf(out, CONFIG_TEXT, "none");
        return out;
    case CONFIG_DURATION:
        return duration_format_exact(*(const uint64_t *)at, out, CONFIG_TEXT);
    case CONFIG_STRING:
    case CONFIG_NAME:
    case CONFIG_PATH:
    case CONFIG_URL:
    case CONFIG_ALGORITHMS:
    case CONFIG_CPU:
    case CONFIG_CHOICE:
    case CONFIG_LISTEN:
    case CONFIG_SUBNET:
    case CONFIG_ADDRESS:
    case CONFIG_PORTS:
    case CONFIG_SUBNETS:
    case CONFIG_LOCAL:
        break;
    }
    snprintf(out, CONFIG_TEXT, "%s", (const char *)at);
    return out;
}
