// Owns the cells of a table until they are printed.
#include "control/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 16
#define GAP 2             // blanks between columns
#define INDENT 4          // of a row's second line
#define WRAP_WIDTH_MIN 24 // narrower, words are not wrapped in a column of their own
#define NO_COLUMN COLUMNS_MAX

struct row {
    char *cells; // separated by tabs
    const char *tint;
    bool whole;
};

struct table {
    struct row *rows;
    size_t count, room;
    unsigned spare;
    bool failed;
};

// Where everything goes.
struct layout {
    size_t widths[COLUMNS_MAX]; // of the widest cell
    bool breaks[COLUMNS_MAX];   // a new line begins before this column
    size_t columns, screen;     // screen: 0 = no end
    unsigned left_out;
};

struct table *table_new(void)
{
    struct table *t = calloc(1, sizeof *t);
    if (t != NULL)
        t->spare = NO_COLUMN;
    return t;
}

void table_spare(struct table *t, unsigned column)
{
    if (t != NULL)
        t->spare = column;
}

void table_free(struct table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->count; i++)
        free(t->rows[i].cells);
    free(t->rows);
    free(t);
}

void table_tint(struct table *t, const char *tint)
{
    if (t != NULL && t->count > 0)
        t->rows[t->count - 1].tint = tint;
}

void table_keep_whole(struct table *t)
{
    if (t != NULL && t->count > 0)
        t->rows[t->count - 1].whole = true;
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
        struct row *rows = reallocarray(t->rows, room, sizeof *rows);
        if (rows == NULL) {
            t->failed = true;
            free(text);
            return;
        }
        t->rows = rows;
        t->room = room;
    }
    t->rows[t->count++] = (struct row){.cells = text, .tint = ""};
}

// Characters, not bytes: continuation bytes of UTF-8 take no room.
static size_t width(const char *cell, size_t length)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++)
        n += ((unsigned char)cell[i] & 0xc0) != 0x80;
    return n;
}

// Calls one(arg, column, cell, length, last) for each cell of a row.
typedef void (*cell_fn)(void *arg, size_t column, const char *cell, size_t length, bool last);

static void each_cell(const char *cell, cell_fn one, void *arg)
{
    for (size_t column = 0; column < COLUMNS_MAX; column++) {
        size_t length = strcspn(cell, "\t");
        bool last = cell[length] == '\0' || column + 1 == COLUMNS_MAX;
        one(arg, column, cell, length, last);
        if (last)
            break;
        cell += length + 1;
    }
}

static void measure_cell(void *arg, size_t column, const char *cell, size_t length, bool last)
{
    struct layout *l = arg;
    size_t w = width(cell, length);
    (void)last;
    l->widths[column] = w > l->widths[column] ? w : l->widths[column];
    l->columns = column + 1 > l->columns ? column + 1 : l->columns;
}

static void lay_out(const struct table *t, size_t screen, struct layout *l)
{
    size_t sum = 0, at = 0;
    *l = (struct layout){.screen = screen, .left_out = NO_COLUMN};
    for (size_t i = 0; i < t->count; i++)
        each_cell(t->rows[i].cells, measure_cell, l);
    for (size_t i = 0; i < l->columns; i++)
        sum += l->widths[i] + (i > 0 ? GAP : 0);
    if (screen == 0 || sum <= screen)
        return;
    l->left_out = t->spare;
    for (size_t i = 0; i < l->columns; i++) {
        if (i == l->left_out)
            continue;
        size_t w = l->widths[i];
        if (i + 1 == l->columns && w > WRAP_WIDTH_MIN) // each row for itself, see print_cell
            w = WRAP_WIDTH_MIN;
        l->breaks[i] = at > INDENT && at + w > screen;
        at = (l->breaks[i] ? INDENT : at) + w + GAP;
    }
}

// ---- printing

struct line {
    FILE *out;
    const struct layout *layout;
    const struct row *row;
    size_t at;  // columns printed
    size_t gap; // blanks owed before the next cell
};

static void new_line(struct line *l, size_t indent)
{
    fprintf(l->out, "\n%*s", (int)indent, "");
    l->at = indent;
    l->gap = 0;
}

// Word by word, in the room from here to the end of the screen.
static void print_wrapped(struct line *l, const char *cell, size_t length)
{
    size_t start = l->at, screen = l->layout->screen;
    while (length > 0) {
        const char *blank = memchr(cell, ' ', length);
        size_t n = blank == NULL ? length : (size_t)(blank - cell), w = width(cell, n);
        if (l->at > start && l->at + 1 + w > screen)
            new_line(l, start);
        else if (l->at > start)
            l->at += (size_t)fprintf(l->out, " ");
        fwrite(cell, 1, n, l->out);
        l->at += w;
        n += blank != NULL;
        cell += n;
        length -= n;
    }
}

static void print_cell(void *arg, size_t column, const char *cell, size_t length, bool last)
{
    struct line *l = arg;
    const struct layout *layout = l->layout;
    size_t w = width(cell, length), start = l->at + l->gap;
    if (column == layout->left_out)
        return;
    bool too_long = layout->screen > 0 && !l->row->whole && last && start + w > layout->screen;
    bool wraps = too_long && start + WRAP_WIDTH_MIN <= layout->screen && memchr(cell, ' ', length) != NULL;
    if (layout->breaks[column] || (too_long && !wraps && start > INDENT))
        new_line(l, INDENT);
    fprintf(l->out, "%*s", (int)l->gap, "");
    l->at += l->gap;
    bool tinted = column == 0 && l->row->tint[0] != '\0';
    if (tinted)
        fputs(l->row->tint, l->out);
    if (too_long)
        print_wrapped(l, cell, length);
    else
        fwrite(cell, 1, length, l->out);
    if (tinted)
        fputs(TINT_END, l->out);
    l->at += too_long ? 0 : w;
    l->gap = layout->widths[column] - w + GAP;
}

char *table_text(struct table *t, unsigned screen)
{
    struct layout layout;
    char *text = NULL;
    size_t length = 0;
    if (t == NULL || t->failed)
        return NULL;
    lay_out(t, screen, &layout);
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < t->count; i++) {
        struct line line = {.out = out, .layout = &layout, .row = &t->rows[i]};
        each_cell(t->rows[i].cells, print_cell, &line);
        fputc('\n', out);
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
