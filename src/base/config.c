// Reads the configuration file. libinih knows the INI grammar; what may stand in the file, and every
// complaint about it, comes from here and the option table. Nothing is taken over unless all of it is right.
#include "base/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <ini.h>

#include "base/config_value.h"

#define FILE_MAX (1024 * 1024)
#define LINE_MAX_WANTED 1024
#define OPTIONS_MAX 128
#define SECTION_SIZE 64

// Debian's library has the length of a line as a variable; where it is fixed at compile time this is absent
// and the reader below refuses longer lines by name instead of letting them be split.
extern int ini_max_line;
#pragma weak ini_max_line

struct parse {
    struct config config;
    const char *name;            // of the file, for messages
    const char *next, *end;      // what inih has not read yet
    unsigned line;               // number of the line inih has
    unsigned given[OPTIONS_MAX]; // line each option was given on, 0 = not
    unsigned errors;
    FILE *out;
    struct fault *first;
};

static void complain(struct parse *p, unsigned line, const char *format, ...) PRINTF_LIKE(3, 4);
static void complain(struct parse *p, unsigned line, const char *format, ...)
{
    struct fault f; // its text is escaped, so the name goes around it: a path may be longer than a fault
    char text[400], where[16] = "";
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (line > 0)
        snprintf(where, sizeof where, ":%u", line);
    fault_set(&f, ERR_INVALID, "%s", text);
    if (p->out != NULL)
        fprintf(p->out, "%s%s: %s\n", p->name, where, f.text);
    fault_prefix(&f, "%.60s%s", p->name, where);
    if (p->errors++ == 0 && p->first != NULL)
        *p->first = f;
}

// Levenshtein distance, for "did you mean"; words longer than the buffer are never near.
static size_t distance(const char *a, const char *b)
{
    size_t row[SECTION_SIZE], n = strlen(a), m = strlen(b);
    if (n >= SECTION_SIZE || m >= SECTION_SIZE)
        return SECTION_SIZE;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

static const char *nearest_section(const char *section)
{
    const char *best = NULL;
    size_t least = 4;
    for (const struct config_option *o = config_options(); o->key != NULL; o++) {
        size_t d = distance(section, o->section);
        if (d < least) {
            least = d;
            best = o->section;
        }
    }
    return best;
}

static void complain_section(struct parse *p, const char *section)
{
    const char *near = nearest_section(section);
    char known[200] = "";
    const char *last = "";
    for (const struct config_option *o = config_options(); o->key != NULL; o++) {
        if (strcmp(o->section, last) != 0)
            snprintf(known + strlen(known), sizeof known - strlen(known), " [%s]", o->section);
        last = o->section;
    }
    if (near != NULL)
        complain(p, p->line, "[%.60s] is not a section; did you mean [%s]?", section, near);
    else
        complain(p, p->line, "[%.60s] is not a section; accepted:%s", section, known);
}

// A key that is right in another section was most likely put into the wrong one; else the nearest spelling
// wins.
static void complain_key(struct parse *p, const char *section, const char *key)
{
    const struct config_option *near = NULL;
    size_t least = strlen(key) / 3 + 2;
    for (const struct config_option *o = config_options(); o->key != NULL; o++) {
        bool here = strcmp(o->section, section) == 0;
        size_t d = distance(key, o->key);
        if (!here && d > 0)
            continue;
        if (d < least) {
            least = d;
            near = o;
        }
    }
    if (near == NULL)
        complain(p, p->line, "[%s] %.60s: no such key; containariumd --dump lists all", section, key);
    else if (strcmp(near->section, section) == 0)
        complain(p, p->line, "[%s] %.60s: no such key; did you mean %s?", section, key, near->key);
    else
        complain(p, p->line, "[%s] %.60s: no such key here; it belongs into [%s]", section, key,
                 near->section);
}

static bool section_known(const char *section)
{
    for (const struct config_option *o = config_options(); o->key != NULL; o++) {
        if (strcmp(o->section, section) == 0)
            return true;
    }
    return false;
}

// inih's callback: one "key = value".
static int on_value(void *user, const char *section, const char *key, const char *value)
{
    struct parse *p = user;
    if (section[0] == '\0') {
        complain(p, p->line, "%.60s: stands before the first section; put it below one, like [gateway]", key);
        return 1;
    }
    if (!section_known(section))
        return 1; // said once, where the section began
    for (const struct config_option *o = config_options(); o->key != NULL; o++) {
        if (strcmp(o->section, section) != 0 || strcmp(o->key, key) != 0)
            continue;
        unsigned *given = &p->given[o - config_options()];
        struct fault f;
        if (*given != 0)
            complain(p, p->line, "[%s] %s: was given on line %u already", section, key, *given);
        else if (config_value_parse(o, value, &p->config, &f) != ERR_NONE)
            complain(p, p->line, "[%s] %s: %s", section, key, f.text);
        *given = p->line;
        return 1;
    }
    complain_key(p, section, key);
    return 1;
}

// What inih would only report as the number of the first bad line. `line` has no blanks around it.
static bool line_ok(struct parse *p, const char *line, size_t length)
{
    if (length == 0 || line[0] == '#' || line[0] == ';')
        return true;
    if (line[0] != '[') {
        size_t word = strcspn(line, "=:");
        if (word == 0 || word >= length)
            complain(p, p->line, "expected \"key = value\", \"[section]\" or \"# comment\"");
        return word > 0 && word < length;
    }
    char section[SECTION_SIZE] = "";
    const char *close = memchr(line, ']', length);
    if (close == NULL) {
        complain(p, p->line, "a section is written [name], the ] is missing");
        return false;
    }
    if ((size_t)(close - line) <= sizeof section)
        memcpy(section, line + 1, (size_t)(close - line - 1));
    const char *rest = close + 1 + strspn(close + 1, " \t");
    if (*rest != '\0' && *rest != ';' && *rest != '#') {
        complain(p, p->line, "unexpected text after [%s]", section);
    } else if (!section_known(section)) {
        complain_section(p, section);
    }
    return true; // also an unknown section is one: its keys must not count for the section before
}

// inih's reader, like fgets: one line at a time, so that complaints know where they are. Blanks around a line
// go here, which also keeps inih from reading an indented key as the continuation of the value above.
static char *read_line(char *buffer, int size, void *user)
{
    struct parse *p = user;
    if (p->next == p->end)
        return NULL;
    const char *start = p->next;
    const char *newline = memchr(start, '\n', (size_t)(p->end - start));
    const char *stop = newline == NULL ? p->end : newline;
    p->next = newline == NULL ? p->end : newline + 1;
    p->line++;
    if (p->line == 1 && stop - start >= 3 && memcmp(start, "\xef\xbb\xbf", 3) == 0)
        start += 3; // byte order mark
    while (start < stop && isspace((unsigned char)*start))
        start++;
    while (stop > start && isspace((unsigned char)stop[-1]))
        stop--;
    size_t length = (size_t)(stop - start);
    bool ok = true;
    if (memchr(start, '\0', length) != NULL) {
        complain(p, p->line, "a NUL byte; this is not a text file");
        ok = false;
    } else if (length > 0 && start[0] != '#' && start[0] != ';' && length + 2 > (size_t)size) {
        complain(p, p->line, "the line is longer than %d bytes", size - 2);
        ok = false;
    } else if (length + 2 > (size_t)size) {
        ok = false; // a long comment
    }
    if (ok) {
        memcpy(buffer, start, length);
        buffer[length] = '\0';
        ok = line_ok(p, buffer, length);
    }
    if (!ok)
        length = 0;
    memcpy(buffer + length, "\n", 2);
    return buffer;
}

static unsigned line_of(const struct parse *p, const char *section, const char *key)
{
    for (const struct config_option *o = config_options(); o->key != NULL; o++) {
        if (strcmp(o->section, section) == 0 && strcmp(o->key, key) == 0)
            return p->given[o - config_options()];
    }
    return 0;
}

void config_subnet_range(const struct config *c, uint32_t *first, uint32_t *last)
{
    uint32_t network = 0;
    unsigned prefix = 0;
    *first = *last = 0;
    if (!config_subnet_parse(c->box_subnet, &network, &prefix) ||
        !config_ipv4_parse(c->box_address_first, first))
        return;
    *last = (network | (UINT32_MAX >> prefix)) - 1;
}

// What one value alone cannot show.
static void check_together(struct parse *p)
{
    uint32_t first = 0, last = 0, network = 0;
    unsigned prefix = 0, line = line_of(p, "box", "address_first");
    if (line == 0)
        line = line_of(p, "box", "subnet");
    config_subnet_range(&p->config, &first, &last);
    if (config_subnet_parse(p->config.box_subnet, &network, &prefix) &&
        (first <= network + 1 || first > last))
        complain(
            p, line,
            "[box] address_first: %s is not a box's address in %s; accepted: %u.%u.%u.2 and above, inside "
            "the subnet",
            p->config.box_address_first, p->config.box_subnet, network >> 24, network >> 16 & 255,
            network >> 8 & 255);
}

void config_defaults(struct config *c)
{
    struct fault f;
    memset(c, 0, sizeof *c);
    for (size_t n = 0; config_options()[n].key != NULL; n++) {
        if (n == OPTIONS_MAX - 1)
            abort(); // struct parse has no room for the table
    }
    for (const struct config_option *o = config_options(); o->key != NULL; o++) {
        if (config_value_parse(o, o->fallback, c, &f) != ERR_NONE) {
            fprintf(stderr, "default of [%s] %s: %s\n", o->section, o->key, f.text);
            abort();
        }
    }
}

enum err config_parse(struct config *c, const char *name, const char *text, size_t length, FILE *errors,
                      struct fault *f)
{
    struct parse *p = calloc(1, sizeof *p);
    if (p == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    p->name = name;
    p->next = text;
    p->end = text + length;
    p->out = errors;
    p->first = f;
    config_defaults(&p->config);
    if (&ini_max_line != NULL)
        ini_max_line = LINE_MAX_WANTED;
    int result = ini_parse_stream(read_line, p, on_value, p);
    if (p->errors == 0 && result != 0)
        complain(p, result > 0 ? (unsigned)result : 0, "cannot be read as an INI file");
    if (p->errors == 0)
        check_together(p);
    enum err e = p->errors == 0 ? ERR_NONE : ERR_INVALID;
    if (e == ERR_NONE)
        *c = p->config;
    free(p);
    return e;
}

enum err config_load(struct config *c, const char *path, FILE *errors, struct fault *f)
{
    enum err e = ERR_NONE;
    char *text = NULL;
    size_t length = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL && errno == ENOENT)
        return fault_set(f, ERR_NOTFOUND, "there is no %s; containariumd --dump prints one to start from",
                         path);
    if (file == NULL)
        return fault_errno(f, ERR_IO, "cannot open %s", path);
    text = malloc(FILE_MAX + 1);
    if (text == NULL) {
        e = fault_set(f, ERR_MEMORY, "out of memory");
        goto out;
    }
    length = fread(text, 1, FILE_MAX + 1, file);
    if (ferror(file))
        e = fault_errno(f, ERR_IO, "cannot read %s", path);
    else if (length > FILE_MAX)
        e = fault_set(f, ERR_INVALID, "%s is larger than 1 MiB; this is not a configuration file", path);
    else
        e = config_parse(c, path, text, length, errors, f);
out:
    free(text);
    fclose(file);
    return e;
}
