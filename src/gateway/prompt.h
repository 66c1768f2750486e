// One line after the other, typed by a person: editing, history, the keys everybody knows. libedit does it,
// and is included by prompt.c alone. It never waits: it is given the bytes that have come, and what it wants
// shown goes into a buffer.
#ifndef GATEWAY_PROMPT_H
#define GATEWAY_PROMPT_H

#include <stdint.h>

#include <event2/buffer.h>

#include "base/fault.h"

struct prompt;

enum prompt_event {
    PROMPT_MORE,     // nothing yet
    PROMPT_LINE,     // Enter: prompt_line() has it
    PROMPT_COMPLETE, // Tab: so far prompt_before() was typed
    PROMPT_CANCEL,   // Ctrl-C: the line is thrown away
    PROMPT_END,      // Ctrl-D on an empty line
};

// libedit asks a terminal for its modes and its size; `terminal` is one nobody types at (a pty's slave), and
// becomes the prompt's. `plain`: the client's terminal understands no escape sequences. NULL: out of memory.
struct prompt *prompt_new(int terminal, struct evbuffer *out, const char *text, bool plain);
void prompt_free(struct prompt *p);
void prompt_resize(struct prompt *p, uint32_t columns, uint32_t rows);

void prompt_begin(struct prompt *p); // shows the prompt, and an empty line
// Takes at most `length` bytes, up to the first event; *used tells how many. Half a key stays in there until
// the rest comes.
enum prompt_event prompt_input(struct prompt *p, const char *data, size_t length, size_t *used);
const char *prompt_line(const struct prompt *p);                    // until the next prompt_begin
void prompt_before(const struct prompt *p, char *out, size_t size); // up to the cursor; "" if it does not fit
void prompt_insert(struct prompt *p, const char *text);             // as if typed
void prompt_redraw(struct prompt *p);                               // after something else was shown

#endif
