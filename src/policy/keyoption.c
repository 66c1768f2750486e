// Owns nothing. sshd(8), AUTHORIZED_KEYS FILE FORMAT.
#include "policy/keyoption.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/subnets.h"
#include "base/units.h"

#define NAMES                                                                                                \
    "from= expiry-time= command= permitopen= no-port-forwarding no-agent-forwarding no-pty "                 \
    "no-X11-forwarding "                                                                                     \
    "no-user-rc restrict port-forwarding agent-forwarding pty"

// One option: its name and, unquoted, its value.
struct option {
    char name[32];
    bool has_value;
    char value[KEYOPTION_TEXT];
    const char *start, *end; // in the text
};

size_t keyoption_length(const char *line, size_t length)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < length && (quoted || (line[i] != ' ' && line[i] != '\t')); i++) {
        if (line[i] == '\\' && i + 1 < length && line[i + 1] == '"')
            i++;
        else if (line[i] == '"')
            quoted = !quoted;
    }
    return i;
}

// "..." from p on, in which \" stands for a quote. NULL if it does not end.
static const char *unquote(const char *p, const char *end, char *out, size_t size)
{
    size_t n = 0;
    for (p++; p < end && *p != '"'; p++) {
        if (*p == '\\' && p + 1 < end && p[1] == '"')
            p++;
        if (n + 1 < size)
            out[n++] = *p;
    }
    out[n] = '\0';
    return p < end ? p + 1 : NULL;
}

// The option at *cursor, which moves behind it and its comma.
static enum err next_option(const char **cursor, const char *end, struct option *o, struct fault *f)
{
    const char *p = *cursor;
    size_t n = 0;
    *o = (struct option){.start = p};
    while (p + n < end && p[n] != ',' && p[n] != '=')
        n++;
    snprintf(o->name, sizeof o->name, "%.*s", (int)(n < sizeof o->name ? n : sizeof o->name - 1), p);
    p += n;
    if (p < end && *p == '=') {
        o->has_value = true;
        p++;
        if (p == end || *p != '"')
            return fault_set(f, ERR_INVALID, "key option %s: its value must stand in double quotes", o->name);
        p = unquote(p, end, o->value, sizeof o->value);
        if (p == NULL)
            return fault_set(f, ERR_INVALID, "key option %s: the closing quote is missing", o->name);
    }
    o->end = p;
    if (p < end && *p != ',')
        return fault_set(f, ERR_INVALID, "key option %s: a comma is missing behind it", o->name);
    if (p < end && ++p == end)
        return fault_set(f, ERR_INVALID, "the key options end in a comma");
    *cursor = p;
    return ERR_NONE;
}

// ---- values

// An address, a subnet, or a pattern of address characters.
static bool from_word_valid(const char *word)
{
    struct subnet s;
    if (*word == '!')
        word++;
    if (strchr(word, '/') != NULL)
        return subnet_parse(word, &s);
    return *word != '\0' && strlen(word) < 64 && word[strspn(word, "0123456789abcdefABCDEF.:*?")] == '\0';
}

static enum err set_from(struct keyoption *k, const char *value, struct fault *f)
{
    char copy[sizeof k->from], *save = NULL;
    if (strlen(value) >= sizeof k->from || value[0] == '\0')
        return fault_set(f, ERR_INVALID, "key option from: its list is empty or longer than %zu bytes",
                         sizeof k->from - 1);
    snprintf(copy, sizeof copy, "%s", value);
    for (char *word = strtok_r(copy, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
        if (!from_word_valid(word))
            return fault_set(
                f, ERR_INVALID,
                "key option from: \"%.60s\" is no address; accepted: 192.0.2.7, 192.0.2.0/24, 192.0.2.*, "
                "2001:db8::/32, each negated by !; host names are not looked up",
                word);
    }
    snprintf(k->from, sizeof k->from, "%s", value);
    return ERR_NONE;
}

static int digits(const char *p, size_t n)
{
    int value = 0;
    for (size_t i = 0; i < n; i++)
        value = value * 10 + (p[i] - '0');
    return value;
}

static enum err set_expiry(struct keyoption *k, const char *value, struct fault *f)
{
    size_t n = strspn(value, "0123456789");
    const char *rest = value + n;
    if ((n == 8 || n == 12 || n == 14) && (*rest == '\0' || strcmp(rest, "Z") == 0)) {
        struct tm t = {
            .tm_year = digits(value, 4) - 1900,
            .tm_mon = digits(value + 4, 2) - 1,
            .tm_mday = digits(value + 6, 2),
            .tm_hour = n >= 12 ? digits(value + 8, 2) : 0,
            .tm_min = n >= 12 ? digits(value + 10, 2) : 0,
            .tm_sec = n == 14 ? digits(value + 12, 2) : 0,
        };
        struct tm as_given = t;
        time_t when = timegm(&t);
        // timegm() turns the 31st of February into a day in March: what comes back must be what was said.
        if (when > 0 && t.tm_mon == as_given.tm_mon && t.tm_mday == as_given.tm_mday &&
            t.tm_hour == as_given.tm_hour && t.tm_min == as_given.tm_min && t.tm_sec == as_given.tm_sec) {
            k->expires = when;
            return ERR_NONE;
        }
    }
    return fault_set(
        f, ERR_INVALID,
        "key option expiry-time: \"%.40s\" is no time; accepted: 20270131, 202701311830, 20270131183000Z "
        "(UTC)",
        value);
}

static enum err set_command(struct keyoption *k, const char *value, struct fault *f)
{
    if (value[0] == '\0' || strlen(value) >= sizeof k->command)
        return fault_set(f, ERR_INVALID, "key option command: it is empty or longer than %zu bytes",
                         sizeof k->command - 1);
    if (k->command[0] != '\0')
        return fault_set(f, ERR_INVALID, "key option command is given twice");
    for (const char *p = value; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20)
            return fault_set(f, ERR_INVALID, "key option command: it has a control character");
    }
    snprintf(k->command, sizeof k->command, "%s", value);
    return ERR_NONE;
}

static enum err add_open(struct keyoption *k, const char *value, struct fault *f)
{
    struct keyoption_open *o = &k->opens[k->open_count];
    const char *colon = strrchr(value, ':');
    const char *host = value;
    size_t n = colon == NULL ? 0 : (size_t)(colon - value);
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
        host++;
        n -= 2;
    }
    if (k->open_count == KEYOPTION_OPENS)
        return fault_set(f, ERR_INVALID, "more than %d permitopen on one key", KEYOPTION_OPENS);
    const char *port = colon == NULL ? "" : colon + 1;
    unsigned long number = strtoul(port, NULL, 10);
    bool every = strcmp(port, "*") == 0;
    bool good = every ||
                (port[0] != '\0' && port[strspn(port, "0123456789")] == '\0' && number > 0 && number < 65536);
    if (n == 0 || n >= sizeof o->host || !good)
        return fault_set(
            f, ERR_INVALID,
            "key option permitopen: \"%.60s\" is no target; accepted: HOST:PORT, [2001:db8::1]:PORT, HOST:*",
            value);
    for (size_t i = 0; i < n; i++)
        o->host[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] - 'A' + 'a' : host[i]);
    o->host[n] = '\0';
    o->port = every ? 0 : (unsigned)number;
    k->open_count++;
    return ERR_NONE;
}

// ---- the table

enum flag_effect { FLAG_NOTHING, FLAG_PORT, FLAG_AGENT, FLAG_PTY, FLAG_ALL };

// The names in sshd's spelling; sshd compares them without case.
static const struct {
    const char *name;
    enum err (*set)(struct keyoption *k, const char *value, struct fault *f); // takes a value
    enum flag_effect effect;
    bool forbids;
} table[] = {
    {"from", set_from, FLAG_NOTHING, false},
    {"expiry-time", set_expiry, FLAG_NOTHING, false},
    {"command", set_command, FLAG_NOTHING, false},
    {"permitopen", add_open, FLAG_NOTHING, false},
    {"restrict", NULL, FLAG_ALL, true},
    {"no-port-forwarding", NULL, FLAG_PORT, true},
    {"port-forwarding", NULL, FLAG_PORT, false},
    {"no-agent-forwarding", NULL, FLAG_AGENT, true},
    {"agent-forwarding", NULL, FLAG_AGENT, false},
    {"no-pty", NULL, FLAG_PTY, true},
    {"pty", NULL, FLAG_PTY, false},
    {"no-X11-forwarding", NULL, FLAG_NOTHING, true}, // for the box's own sshd
    {"no-user-rc", NULL, FLAG_NOTHING, true},        // ditto
};

static enum err apply(struct keyoption *k, const struct option *o, struct fault *f)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcasecmp(table[i].name, o->name) != 0)
            continue;
        if (o->has_value != (table[i].set != NULL))
            return fault_set(f, ERR_INVALID, "key option %s %s", table[i].name,
                             o->has_value ? "takes no value" : "needs a value in double quotes");
        if (table[i].set != NULL)
            return table[i].set(k, o->value, f);
        if (table[i].effect == FLAG_PORT || table[i].effect == FLAG_ALL)
            k->no_port_forwarding = table[i].forbids;
        if (table[i].effect == FLAG_AGENT || table[i].effect == FLAG_ALL)
            k->no_agent_forwarding = table[i].forbids;
        if (table[i].effect == FLAG_PTY || table[i].effect == FLAG_ALL)
            k->no_pty = table[i].forbids;
        return ERR_NONE;
    }
    return fault_set(f, ERR_INVALID,
                     "key option \"%s\" is not known here and would do nothing; accepted: " NAMES, o->name);
}

enum err keyoption_parse(const char *text, size_t length, struct keyoption *out, struct fault *f)
{
    struct keyoption k = {.expires = 0};
    const char *p = text, *end = text + length;
    enum err e = ERR_NONE;
    if (length >= KEYOPTION_TEXT)
        return fault_set(f, ERR_INVALID, "the key options are longer than %d bytes", KEYOPTION_TEXT - 1);
    if (memchr(text, '\0', length) != NULL)
        return fault_set(f, ERR_INVALID, "the key options have a NUL byte");
    while (e == ERR_NONE && p < end) {
        struct option o;
        e = next_option(&p, end, &o, f);
        if (e == ERR_NONE)
            e = apply(&k, &o, f);
    }
    if (e == ERR_NONE)
        *out = k;
    return e;
}

// ---- what they mean

// As sshd's match_list: a negated match forbids, whatever else matches.
static bool from_matches(const char *list, const char *address)
{
    char copy[sizeof((struct keyoption *)0)->from], *save = NULL;
    bool any = false;
    snprintf(copy, sizeof copy, "%s", list);
    for (char *word = strtok_r(copy, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
        bool negated = *word == '!';
        word += negated;
        bool match = strchr(word, '/') != NULL ? subnets_have(word, address)
                                               : fnmatch(word, address, FNM_NOESCAPE | FNM_CASEFOLD) == 0;
        if (match && negated)
            return false;
        any = any || match;
    }
    return any;
}

bool keyoption_usable(const struct keyoption *o, const char *address, time_t now, char *reason,
                      size_t reason_size)
{
    char when[32];
    if (o->expires != 0 && now >= o->expires)
        snprintf(reason, reason_size, "the key expired at %s", when_format(o->expires, when, sizeof when));
    else if (o->from[0] != '\0' && !from_matches(o->from, address))
        snprintf(reason, reason_size, "the key may not be used from %s (from=\"%.200s\")", address, o->from);
    else
        return true;
    return false;
}

bool keyoption_may_open(const struct keyoption *o, const char *host, unsigned port)
{
    if (o->no_port_forwarding)
        return false;
    for (unsigned i = 0; i < o->open_count; i++) {
        if (strcasecmp(o->opens[i].host, host) == 0 && (o->opens[i].port == 0 || o->opens[i].port == port))
            return true;
    }
    return o->open_count == 0;
}

void keyoption_for_box(const char *text, char *out)
{
    const char *p = text, *end = text + strlen(text);
    size_t n = 0;
    struct option o;
    out[0] = '\0';
    while (p < end && next_option(&p, end, &o, NULL) == ERR_NONE) {
        if (strcasecmp(o.name, "from") == 0)
            continue;
        int length = snprintf(out + n, KEYOPTION_TEXT - n, "%s%.*s", n > 0 ? "," : "", (int)(o.end - o.start),
                              o.start);
        n += length > 0 && (size_t)length < KEYOPTION_TEXT - n ? (size_t)length : 0;
        out[n] = '\0';
    }
}
