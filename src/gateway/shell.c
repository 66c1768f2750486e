// Owns the prompt and what is being done.
#include "gateway/shell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/prompt.h"
#include "gateway/words.h"

#define AHEAD_MAX 4096 // keys typed while a command runs
#define FOUND_MAX 32768
#define COLUMN_GAP 2
#define PROGRAM "containarium" // may be typed before a verb, as everywhere else

enum { CTRL_C = 3 };

enum shell_state {
    SHELL_EDITING,    // the person types
    SHELL_COMPLETING, // Tab: asked how the line could go on
    SHELL_RUNNING,    // a command; it may want what is typed
    SHELL_ENDED,
};

struct shell {
    struct prompt *prompt;
    struct evbuffer *out;
    const struct shell_owner *owner;
    void *arg;
    int master;
    enum shell_state state;
    bool wanted; // the command wants input
    uint32_t columns;
    char *found; // what a line could go on with, one a line
    size_t found_length;
    struct evbuffer *ahead;
};

static void say(struct shell *s, const char *text)
{
    evbuffer_add(s->out, text, strlen(text));
}

struct shell *shell_new(const int terminal[2], struct evbuffer *out, const char *user, const char *term,
                        const struct shell_owner *owner, void *arg)
{
    struct shell *s = calloc(1, sizeof *s);
    bool plain = term[0] == '\0' || strcmp(term, "dumb") == 0;
    char text[64];
    if (s == NULL) {
        close(terminal[0]);
        close(terminal[1]);
        return NULL;
    }
    snprintf(text, sizeof text, "%.31s@ctl> ", user);
    s->master = terminal[0];
    s->out = out;
    s->owner = owner;
    s->arg = arg;
    s->columns = 80;
    s->state = SHELL_RUNNING; // until it has greeted
    s->ahead = evbuffer_new();
    s->prompt = prompt_new(terminal[1], out, text, plain);
    if (s->prompt == NULL || s->ahead == NULL) {
        shell_free(s);
        return NULL;
    }
    return s;
}

void shell_free(struct shell *s)
{
    if (s == NULL)
        return;
    prompt_free(s->prompt);
    close(s->master);
    if (s->ahead != NULL)
        evbuffer_free(s->ahead);
    free(s->found);
    free(s);
}

void shell_resize(struct shell *s, uint32_t columns, uint32_t rows)
{
    s->columns = columns > 0 && columns < 1000 ? columns : 80;
    prompt_resize(s->prompt, columns, rows);
    if (s->state == SHELL_EDITING)
        prompt_redraw(s->prompt);
}

// ---- a line

static json_t *words_json(char *const *words, size_t count)
{
    json_t *argv = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(argv, json_string(words[i]));
    return argv;
}

static void start(struct shell *s, json_t *argv)
{
    s->state = SHELL_RUNNING;
    s->wanted = false;
    s->owner->run(s->arg, argv, true);
}

static void end(struct shell *s)
{
    s->state = SHELL_ENDED;
    s->owner->end(s->arg, 0);
}

static bool is_farewell(const char *word)
{
    return strcmp(word, "exit") == 0 || strcmp(word, "quit") == 0 || strcmp(word, "logout") == 0;
}

static void take_line(struct shell *s)
{
    char *words[WORDS_MAX];
    size_t count = 0, skip;
    struct fault f;
    char *storage = words_split(prompt_line(s->prompt), words, &count, &f);
    if (storage == NULL) {
        say(s, f.text);
        say(s, "\n");
        count = 0;
    }
    skip = count > 0 && strcmp(words[0], PROGRAM) == 0 ? 1 : 0;
    if (storage == NULL || count == skip)
        prompt_begin(s->prompt);
    else if (count == skip + 1 && is_farewell(words[skip]))
        end(s);
    else
        start(s, words_json(words + skip, count - skip));
    free(storage);
}

// ---- Tab

static bool ends_in_blank(const char *line)
{
    size_t n = strlen(line);
    return n == 0 || line[n - 1] == ' ' || line[n - 1] == '\t';
}

static void ask(struct shell *s)
{
    char line[1024];
    char *words[WORDS_MAX];
    size_t count = 0, skip;
    struct fault f;
    prompt_before(s->prompt, line, sizeof line);
    char *storage = words_split(line, words, &count, &f);
    if (storage == NULL) {
        say(s, "\a");
        return;
    }
    skip = count > 0 && strcmp(words[0], PROGRAM) == 0 ? 1 : 0;
    json_t *argv = json_pack("[s, s]", "complete", "--");
    for (size_t i = skip; i < count; i++)
        json_array_append_new(argv, json_string(words[i]));
    if (ends_in_blank(line))
        json_array_append_new(argv, json_string(""));
    free(storage);
    free(s->found);
    s->found = NULL;
    s->found_length = 0;
    s->state = SHELL_COMPLETING;
    s->owner->run(s->arg, argv, false);
}

void shell_output(struct shell *s, const char *data, size_t length)
{
    if (s->found_length + length > FOUND_MAX)
        return;
    char *grown = realloc(s->found, s->found_length + length + 1);
    if (grown == NULL)
        return;
    memcpy(grown + s->found_length, data, length);
    s->found = grown;
    s->found_length += length;
    s->found[s->found_length] = '\0';
}

// Cuts found into lines; how many, and what all begin with.
static size_t count_found(struct shell *s, size_t *common, size_t *longest)
{
    size_t count = 0;
    char *first = s->found;
    *common = *longest = 0;
    for (char *line = first, *next; line != NULL && *line != '\0'; line = next) {
        size_t n = strcspn(line, "\n");
        next = line[n] == '\n' ? line + n + 1 : NULL;
        line[n] = '\0';
        *longest = n > *longest ? n : *longest;
        size_t same = 0;
        while (same < n && line[same] == first[same])
            same++;
        *common = count == 0 ? n : same < *common ? same : *common;
        count++;
    }
    return count;
}

static void show_found(struct shell *s, size_t count, size_t longest)
{
    size_t width = longest + COLUMN_GAP, columns = s->columns / width > 0 ? s->columns / width : 1;
    const char *word = s->found;
    say(s, "\n");
    for (size_t i = 0; i < count; i++, word += strlen(word) + 1) {
        bool last = i + 1 == count || (i + 1) % columns == 0;
        evbuffer_add_printf(s->out, "%-*s%s", last ? 0 : (int)width, word, last ? "\n" : "");
    }
}

static const char *last_word(const char *line)
{
    const char *blank = strrchr(line, ' ');
    return blank == NULL ? line : blank + 1;
}

static void use_found(struct shell *s)
{
    char line[1024], rest[256];
    size_t common = 0, longest = 0, count = count_found(s, &common, &longest);
    prompt_before(s->prompt, line, sizeof line);
    size_t typed = strlen(last_word(line));
    if (count == 0) {
        say(s, "\a");
    } else if (common > typed || count == 1) {
        size_t n = common > typed ? common - typed : 0;
        snprintf(rest, sizeof rest, "%.*s%s", n < 200 ? (int)n : 0, s->found + typed, count == 1 ? " " : "");
        prompt_insert(s->prompt, rest);
    } else {
        show_found(s, count, longest);
        prompt_redraw(s->prompt);
    }
}

// ---- keys

static void take_event(struct shell *s, enum prompt_event event)
{
    switch (event) {
    case PROMPT_MORE:
        return;
    case PROMPT_LINE:
        take_line(s);
        return;
    case PROMPT_COMPLETE:
        ask(s);
        return;
    case PROMPT_CANCEL:
        prompt_begin(s->prompt);
        return;
    case PROMPT_END:
        end(s);
        return;
    }
}

// While a command runs: what it wants goes to it, Ctrl-C ends the waiting, the rest is for later.
static void type_ahead(struct shell *s, const char *data, size_t length)
{
    const char *interrupt = memchr(data, CTRL_C, length);
    if (s->wanted) {
        s->owner->input(s->arg, data, length);
        return;
    }
    if (interrupt != NULL && s->state == SHELL_RUNNING) {
        evbuffer_drain(s->ahead, evbuffer_get_length(s->ahead));
        s->owner->cancel(s->arg);
        length -= (size_t)(interrupt + 1 - data);
        data = interrupt + 1;
    }
    if (evbuffer_get_length(s->ahead) + length <= AHEAD_MAX)
        evbuffer_add(s->ahead, data, length);
}

void shell_input(struct shell *s, const char *data, size_t length)
{
    while (length > 0 && s->state == SHELL_EDITING) {
        size_t used = 0;
        enum prompt_event event = prompt_input(s->prompt, data, length, &used);
        data += used;
        length -= used;
        take_event(s, event);
    }
    if (length > 0 && s->state != SHELL_ENDED)
        type_ahead(s, data, length);
}

static void take_ahead(struct shell *s)
{
    char data[AHEAD_MAX];
    int n = evbuffer_remove(s->ahead, data, sizeof data);
    if (n > 0)
        shell_input(s, data, (size_t)n);
}

void shell_wanted(struct shell *s)
{
    s->wanted = true;
    char data[AHEAD_MAX];
    int n = evbuffer_remove(s->ahead, data, sizeof data);
    if (n > 0)
        s->owner->input(s->arg, data, (size_t)n);
}

void shell_start(struct shell *s)
{
    start(s, json_array());
}

void shell_done(struct shell *s, int status)
{
    enum shell_state was = s->state;
    (void)status;
    if (was == SHELL_ENDED)
        return;
    s->state = SHELL_EDITING;
    s->wanted = false;
    if (was == SHELL_COMPLETING)
        use_found(s);
    else
        prompt_begin(s->prompt);
    take_ahead(s);
}
