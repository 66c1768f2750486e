// A session of `ssh ctl@gateway`: its command line becomes arguments for the command table, frames
// (wire/frame.h) become output. The gateway knows no verbs.
#ifndef GATEWAY_CONSOLE_H
#define GATEWAY_CONSOLE_H

#include <event2/event.h>

#include "gateway/ssh_server.h"

struct console;

// Of the client. A shell request with one gets a prompt (gateway/shell.h).
struct console_terminal {
    bool there;
    bool colours;
    const char *kind; // TERM
    uint32_t columns, rows;
    const char *user;    // for the prompt
    const char *command; // in place of what the client asks for; "" = none
};

// fd speaks frames and becomes the console's. `start` is the exec, shell or subsystem request. NULL: out of
// memory.
struct console *console_new(struct event_base *base, int fd, struct chan *chan, const struct ask_view *start,
                            const struct console_terminal *terminal, void (*wake)(void *arg), void *arg);
void console_resize(struct console *c, uint32_t columns, uint32_t rows);
void console_free(struct console *c); // NULL is fine
bool console_step(struct console *c);
bool console_done(const struct console *c);
int console_status(const struct console *c);

#endif
