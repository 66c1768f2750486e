// What console.c and console_shell.c share: one session of `ctl`, and no more.
#ifndef GATEWAY_CONSOLE_PARTS_H
#define GATEWAY_CONSOLE_PARTS_H

#include <event2/buffer.h>

#include "gateway/console.h"
#include "gateway/shell.h"
#include "wire/frame.h"
#include "wire/link.h"

struct output {
    struct evbuffer *out, *error;
};

struct console {
    struct link *link;
    struct chan *chan;
    struct output output;
    struct shell *shell;     // a person at a prompt
    struct evbuffer *screen; // what the shell shows
    bool shown;              // the run is one of the person's
    char user[32], term[64];
    uint32_t columns, rows;
    bool interactive;
    bool tty, colours, wants_input, input_ended, exited;
    bool framed; // the containarium program is at the other end: its frames pass as they are
    size_t have; // bytes of its next frame
    unsigned char frame[FRAME_HEAD + FRAME_PAYLOAD_MAX + 1];
    int status;
    void (*wake)(void *arg);
    void *arg;
};

void console_show(struct console *c, struct evbuffer *to, const char *data, size_t length);
void console_finish(struct console *c, int status);
void console_send(struct console *c, char type, const char *data, size_t length);
void console_refuse_file(struct console *c, char type);
int console_exit_status(const char *data, size_t length);

// ---- a person at a prompt (console_shell.c)

// Takes the descriptors.
void console_shell_packet(struct console *c, const char *data, size_t length, const int *fds,
                          size_t fd_count);
bool console_shell_keys(struct console *c); // true if there were any
void console_shell_show(struct console *c); // what the shell has to show

#endif
