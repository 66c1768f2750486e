// Owns the cells of a table until they are printed.
#include "control/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 16

struct table {
    char **rows; // cells separated by tabs
    size_t count, room;
    bool failed;
};

struct table *table_new(void)
{
    return calloc(1, sizeof(struct table));
}

void table_free(struct table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->count; i++)
        free(t->rows[i]);
    free(t->rows);
    free(t);
}

void table_row(struct table *t, const char *format, ...)
{
    char *text = NULL;
    va_list ap;
    if (t == NULL)
        return;
    va_start(ap, format);
    int n = vasprintf(&text, format, ap);
    va_end(ap);
    if (n < 0) {
        t->failed = true;
        return;
    }
    for (char *p = text; *p != '\0'; p++) {
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
            *p = '?';
    }
    if (t->count == t->room) {
        size_t room = t->room == 0 ? 32 : t->room * 2;
        char **rows = reallocarray(t->rows, room, sizeof *rows);
        if (rows == NULL) {
            t->failed = true;
            free(text);
            return;
        }
        t->rows = rows;
        t->room = room;
    }
    t->rows[t->count++] = text;
}

// Characters, not bytes: continuation bytes of UTF-8 take no room.
static size_t width(const char *cell, size_t length)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++)
        n += ((unsigned char)cell[i] & 0xc0) != 0x80;
    return n;
}

static void measure(const struct table *t, size_t *widths)
{
    for (size_t i = 0; i < t->count; i++) {
        const char *cell = t->rows[i];
        for (size_t column = 0; column < COLUMNS_MAX; column++) {
            size_t length = strcspn(cell, "\t");
            size_t w = width(cell, length);
            if (w > widths[column])
                widths[column] = w;
            if (cell[length] == '\0')
                break;
            cell += length + 1;
        }
    }
}

static void print_row(FILE *out, const char *cell, const size_t *widths)
{
    for (size_t column = 0; column < COLUMNS_MAX; column++) {
        size_t length = strcspn(cell, "\t");
        fwrite(cell, 1, length, out);
        if (cell[length] == '\0')
            break;
        fprintf(out, "%*s", (int)(widths[column] - width(cell, length)) + 2, "");
        cell += length + 1;
    }
    fputc('\n', out);
}

char *table_text(struct table *t)
{
    size_t widths[COLUMNS_MAX] = {0};
    char *text = NULL;
    size_t length = 0;
    if (t == NULL || t->failed)
        return NULL;
    measure(t, widths);
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < t->count; i++)
        print_row(out, t->rows[i], widths);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
