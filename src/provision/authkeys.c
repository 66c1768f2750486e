// Owns the managed block. Never drops a line outside it: those are the user's.
#include "provision/authkeys.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct text {
    char *data;
    size_t length;
};

static void add(struct text *t, const char *data, size_t length)
{
    memcpy(t->data + t->length, data, length);
    t->length += length;
}

static void add_line(struct text *t, const char *line)
{
    add(t, line, strlen(line));
    add(t, "\n", 1);
}

// Length of the line at p including its newline, if it has one.
static size_t line_length(const char *p, const char *end)
{
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    return newline != NULL ? (size_t)(newline - p) + 1 : (size_t)(end - p);
}

static size_t trimmed(const char *line, size_t length)
{
    while (length > 0 && strchr(" \t\r\n", line[length - 1]) != NULL && line[length - 1] != '\0')
        length--;
    return length;
}

static bool line_is(const char *line, size_t length, const char *what)
{
    length = trimmed(line, length);
    return length == strlen(what) && memcmp(line, what, length) == 0;
}

static void add_block(struct text *t, const char *keys)
{
    add_line(t, AUTHKEYS_BEGIN);
    add(t, keys, strlen(keys));
    if (keys[0] != '\0' && t->data[t->length - 1] != '\n')
        add(t, "\n", 1);
    add_line(t, AUTHKEYS_END);
}

// p is at a begin line; returns where the block is over.
static const char *skip_block(const char *p, const char *end)
{
    const char *stop = NULL; // first blank line or comment
    for (p += line_length(p, end); p < end; p += line_length(p, end)) {
        size_t n = line_length(p, end);
        if (line_is(p, n, AUTHKEYS_END))
            return p + n;
        if (line_is(p, n, AUTHKEYS_BEGIN))
            break;
        if (stop == NULL && (trimmed(p, n) == 0 || p[0] == '#'))
            stop = p;
    }
    return stop != NULL ? stop : p;
}

char *authkeys_merge(const char *old, size_t length, const char *keys, size_t *out_length)
{
    size_t block = strlen(AUTHKEYS_BEGIN) + strlen(AUTHKEYS_END) + strlen(keys) + 3;
    struct text t = {.data = malloc(length + block + 2)};
    bool written = false;
    if (t.data == NULL)
        return NULL;
    const char *end = length > 0 ? old + length : old;
    for (const char *p = old; p < end;) {
        size_t n = line_length(p, end);
        if (line_is(p, n, AUTHKEYS_BEGIN)) {
            if (!written)
                add_block(&t, keys);
            written = true;
            p = skip_block(p, end);
        } else if (line_is(p, n, AUTHKEYS_END)) {
            p += n; // an end without a beginning
        } else {
            add(&t, p, n);
            p += n;
        }
    }
    if (!written) {
        if (t.length > 0 && t.data[t.length - 1] != '\n')
            add(&t, "\n", 1);
        add_block(&t, keys);
    }
    t.data[t.length] = '\0';
    *out_length = t.length;
    return t.data;
}
