// Owns one EditLine. In its unbuffered mode (editline(3)) it takes one key a call; a key is given to it only
// when all of its bytes have come, because in the middle of one it would want to wait.
#include "gateway/prompt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include <histedit.h>

#define HISTORY_LINES 200
#define LINE_BYTES 4096 // longer lines are not taken
#define KEY_MAX 16      // bytes of one key

enum { CTRL_C = 3, CTRL_D = 4, TAB = 9, ESC = 27, DELETE = 127 };

struct prompt {
    EditLine *edit;
    History *history;
    FILE *in, *out;
    int terminal;
    struct evbuffer *shown;
    char text[64];
    char key[KEY_MAX]; // bytes of one key
    size_t key_length, key_read;
    wchar_t letter; // in their place: one that is not ASCII
    bool plain;
    char line[LINE_BYTES];
    bool open; // a line is being typed
};

// ---- what libedit wants

static struct prompt *owner(EditLine *edit)
{
    void *p = NULL;
    el_get(edit, EL_CLIENTDATA, &p);
    return p;
}

static char *on_prompt(EditLine *edit)
{
    return owner(edit)->text;
}

static int on_read(EditLine *edit, wchar_t *out)
{
    struct prompt *p = owner(edit);
    if (p->letter != 0) {
        *out = p->letter;
        p->letter = 0;
        return 1;
    }
    if (p->key_read == p->key_length) {
        errno = EAGAIN;
        return -1;
    }
    *out = (unsigned char)p->key[p->key_read++];
    return 1;
}

static ssize_t on_write(void *arg, const char *data, size_t size)
{
    struct prompt *p = arg;
    return evbuffer_add(p->shown, data, size) == 0 ? (ssize_t)size : -1;
}

// What any terminal of the last forty years does, ECMA-48. The database of terminals is out of reach here,
// and not needed for more than this.
static void set_capabilities(EditLine *edit)
{
    el_set(edit, EL_SETTC, "ce", "\033[K", NULL);
    el_set(edit, EL_SETTC, "cd", "\033[J", NULL);
    el_set(edit, EL_SETTC, "cl", "\033[H\033[J", NULL);
    el_set(edit, EL_SETTC, "nd", "\033[C", NULL);
    el_set(edit, EL_SETTC, "up", "\033[A", NULL);
    el_set(edit, EL_SETTC, "am", "yes", NULL);
    el_set(edit, EL_SETTC, "xn", "yes", NULL);
}

// Keys as terminals send them behind ESC [ or ESC O. Others are swallowed: libedit would take their end for
// text.
static const struct {
    const char *sequence, *action; // NULL: libedit knows it by itself
} keys[] = {
    {"A", NULL},
    {"B", NULL},
    {"C", NULL},
    {"D", NULL},
    {"H", "ed-move-to-beg"},
    {"F", "ed-move-to-end"},
    {"1~", "ed-move-to-beg"},
    {"7~", "ed-move-to-beg"},
    {"4~", "ed-move-to-end"},
    {"8~", "ed-move-to-end"},
    {"3~", "ed-delete-next-char"},
    {"1;5C", "em-next-word"},
    {"1;5D", "ed-prev-word"},
};

// Keys that would have libedit read on by itself, or run its own commands.
static void bind_keys(EditLine *edit)
{
    static const char *const away[] = {"^V", "^R", "^S", "^Q", "^Z", "\\ex", "\\eX", "^X"};
    char sequence[16];
    for (size_t i = 0; i < sizeof away / sizeof *away; i++)
        el_set(edit, EL_BIND, "-r", away[i], NULL);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(sequence, sizeof sequence, "\\e[%s", keys[i].sequence);
        if (keys[i].action != NULL)
            el_set(edit, EL_BIND, sequence, keys[i].action, NULL);
    }
    el_set(edit, EL_BIND, "^W", "ed-delete-prev-word", NULL);
}

static bool open_streams(struct prompt *p)
{
    static const cookie_io_functions_t writer = {.write = on_write}, reader = {.read = NULL};
    p->in = fopencookie(p, "r", reader); // ends at once; nothing is read from it
    p->out = fopencookie(p, "w", writer);
    if (p->out != NULL)
        setvbuf(p->out, NULL, _IONBF, 0);
    return p->in != NULL && p->out != NULL;
}

struct prompt *prompt_new(int terminal, struct evbuffer *out, const char *text, bool plain)
{
    struct prompt *p = calloc(1, sizeof *p);
    HistEvent event;
    if (p == NULL) {
        close(terminal);
        return NULL;
    }
    p->terminal = terminal;
    p->plain = plain;
    snprintf(p->text, sizeof p->text, "%s", text);
    p->shown = evbuffer_new(); // what it says while it starts is nobody's business
    if (p->shown != NULL && open_streams(p))
        p->edit = el_init_fd("containarium", p->in, p->out, p->out, terminal, terminal, terminal);
    p->history = history_init();
    if (p->edit == NULL || p->history == NULL) {
        prompt_free(p);
        return NULL;
    }
    history(p->history, &event, H_SETSIZE, HISTORY_LINES);
    history(p->history, &event, H_SETUNIQUE, 1);
    el_set(p->edit, EL_CLIENTDATA, p);
    el_set(p->edit, EL_EDITOR, "emacs");
    el_set(p->edit, EL_GETCFN, on_read);
    el_set(p->edit, EL_PROMPT, on_prompt);
    el_set(p->edit, EL_HIST, history, p->history);
    el_set(p->edit, EL_SIGNAL, 0);
    if (!plain)
        set_capabilities(p->edit);
    bind_keys(p->edit);
    evbuffer_free(p->shown);
    p->shown = out;
    return p;
}

void prompt_free(struct prompt *p)
{
    if (p == NULL)
        return;
    if (p->edit != NULL)
        el_end(p->edit);
    if (p->history != NULL)
        history_end(p->history);
    if (p->in != NULL)
        fclose(p->in);
    if (p->out != NULL)
        fclose(p->out);
    close(p->terminal);
    free(p);
}

// Terminals lay a long line out anew for their new width. To its first row, and all of it away.
static void go_to_begin(struct prompt *p, unsigned columns)
{
    const LineInfo *line = el_line(p->edit);
    size_t cells = strlen(p->text);
    for (const char *c = line->buffer; c < line->cursor; c++)
        cells += ((unsigned char)*c & 0xc0) != 0x80;
    evbuffer_add(p->shown, "\r", 1);
    if (!p->plain && cells >= columns)
        evbuffer_add_printf(p->shown, "\033[%zuA", cells / columns);
    if (!p->plain)
        evbuffer_add(p->shown, "\033[J", 3);
}

void prompt_resize(struct prompt *p, uint32_t columns, uint32_t rows)
{
    struct winsize size = {.ws_col = (unsigned short)(columns > 0 && columns < 1000 ? columns : 80),
                           .ws_row = (unsigned short)(rows > 0 && rows < 1000 ? rows : 24)};
    if (p->open)
        go_to_begin(p, size.ws_col);
    if (ioctl(p->terminal, TIOCSWINSZ, &size) == 0)
        el_resize(p->edit);
}

// ---- lines

void prompt_begin(struct prompt *p)
{
    if (p->open)
        el_set(p->edit, EL_UNBUFFERED, 0);
    p->open = true;
    p->key_length = p->key_read = 0;
    el_set(p->edit, EL_UNBUFFERED, 1);
}

static size_t line_length(const struct prompt *p)
{
    const LineInfo *line = el_line(p->edit);
    return (size_t)(line->lastchar - line->buffer);
}

// Is there a whole key in key[]? Escape sequences as in ECMA-48: ESC [ parameters final, ESC O one, ESC one.
static bool key_whole(const struct prompt *p)
{
    const char *k = p->key;
    size_t n = p->key_length;
    if (k[0] != ESC)
        return true;
    if (n < 2)
        return false;
    if (k[1] == 'O')
        return n > 2;
    if (k[1] != '[')
        return true;
    return n > 2 && k[n - 1] >= 0x40 && k[n - 1] <= 0x7e;
}

// A sequence longer than any key: its bytes are swallowed to its end.
static void add_to_key(struct prompt *p, char c)
{
    if (p->key_length < KEY_MAX)
        p->key[p->key_length++] = c;
    else if (c >= 0x40 && c <= 0x7e)
        p->key_length = 0;
}

static bool key_known(const struct prompt *p)
{
    if (p->key_length < 3 || p->key[0] != ESC)
        return true;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        size_t n = strlen(keys[i].sequence);
        if (p->key_length == n + 2 && memcmp(p->key + 2, keys[i].sequence, n) == 0)
            return true;
    }
    return false;
}

// One whole key for libedit. True if it ended the line.
static bool give_key(struct prompt *p)
{
    int count = 0;
    if (p->letter == 0 && !key_known(p)) {
        p->key_length = 0;
        return false;
    }
    p->key_read = 0;
    const char *line = el_gets(p->edit, &count);
    bool ended = line != NULL && count > 0 && line[count - 1] == '\n';
    if (ended)
        snprintf(p->line, sizeof p->line, "%.*s", count - 1, line);
    p->key_length = p->key_read = 0;
    return ended;
}

static void close_line(struct prompt *p)
{
    el_set(p->edit, EL_UNBUFFERED, 0);
    p->open = false;
}

static enum prompt_event take_line(struct prompt *p)
{
    HistEvent event;
    close_line(p);
    if (p->line[strspn(p->line, " \t")] != '\0')
        history(p->history, &event, H_ENTER, p->line);
    return PROMPT_LINE;
}

static void beep(struct prompt *p)
{
    evbuffer_add(p->shown, "\a", 1);
    p->key_length = 0;
}

// A letter that is not ASCII, byte by byte. What is none of the locale's letters is not taken.
static void take_letter(struct prompt *p, char c)
{
    mbstate_t state = {0};
    wchar_t letter = 0;
    p->key[p->key_length++] = c;
    size_t n = mbrtowc(&letter, p->key, p->key_length, &state);
    if (n == (size_t)-2)
        return; // not whole yet
    if (n == p->key_length && iswprint((wint_t)letter)) {
        p->letter = letter;
        (void)give_key(p);
    } else {
        beep(p);
    }
}

static enum prompt_event take_byte(struct prompt *p, char c)
{
    if ((unsigned char)p->key[0] >= 0x80 && (unsigned char)c < 0x80)
        p->key_length = 0; // the rest of a letter did not come
    bool first = p->key_length == 0;
    if (first && c == CTRL_C) {
        evbuffer_add(p->shown, "^C\n", 3);
        close_line(p);
        return PROMPT_CANCEL;
    }
    if (first && c == CTRL_D && line_length(p) == 0) {
        evbuffer_add(p->shown, "\n", 1);
        close_line(p);
        return PROMPT_END;
    }
    if (first && c == TAB)
        return PROMPT_COMPLETE;
    bool text = (unsigned char)c >= 0x20 && c != DELETE;
    if (first && text && line_length(p) >= LINE_BYTES - 64) {
        beep(p);
        return PROMPT_MORE;
    }
    if ((unsigned char)c >= 0x80 && (first || (unsigned char)p->key[0] >= 0x80)) {
        take_letter(p, c);
        return PROMPT_MORE;
    }
    add_to_key(p, c);
    return p->key_length > 0 && key_whole(p) && give_key(p) ? take_line(p) : PROMPT_MORE;
}

enum prompt_event prompt_input(struct prompt *p, const char *data, size_t length, size_t *used)
{
    enum prompt_event event = PROMPT_MORE;
    for (*used = 0; *used < length && event == PROMPT_MORE && p->open; (*used)++)
        event = take_byte(p, data[*used]);
    return event;
}

const char *prompt_line(const struct prompt *p)
{
    return p->line;
}

void prompt_before(const struct prompt *p, char *out, size_t size)
{
    const LineInfo *line = el_line(p->edit);
    size_t n = (size_t)(line->cursor - line->buffer);
    snprintf(out, size, "%.*s", n < size ? (int)n : 0, line->buffer);
}

void prompt_insert(struct prompt *p, const char *text)
{
    for (; *text != '\0' && line_length(p) < LINE_BYTES - 64; text++) {
        if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
            continue;
        p->key[0] = *text;
        p->key_length = 1;
        (void)give_key(p);
    }
}

void prompt_redraw(struct prompt *p)
{
    el_set(p->edit, EL_REFRESH);
}
