// The interactive console, `ssh ctl@gateway` on a terminal: a prompt, one command after the other, and what
// a line could go on with. It knows no verbs; all it asks the control plane goes through its owner.
#ifndef GATEWAY_SHELL_H
#define GATEWAY_SHELL_H

#include <stdint.h>

#include <event2/buffer.h>
#include <jansson.h>

#include "base/fault.h"

struct shell;

struct shell_owner {
    void (*run)(void *arg, json_t *argv, bool shown); // takes argv; `shown`: for the person, not for us
    void (*input)(void *arg, const char *data, size_t length); // for the command that wants it
    void (*cancel)(void *arg);                                 // the person does not want to wait
    void (*end)(void *arg, int status);
};

// `terminal` and the master that keeps it alive become the shell's. `out` is what the person sees. NULL: out
// of memory.
struct shell *shell_new(const int terminal[2], struct evbuffer *out, const char *user, const char *term,
                        const struct shell_owner *owner, void *arg);
void shell_free(struct shell *s); // NULL is fine
void shell_resize(struct shell *s, uint32_t columns, uint32_t rows);

void shell_start(struct shell *s);                                   // greets
void shell_input(struct shell *s, const char *data, size_t length);  // keys
void shell_wanted(struct shell *s);                                  // the command wants input
void shell_output(struct shell *s, const char *data, size_t length); // of a run that is not shown
void shell_done(struct shell *s, int status);                        // the run is over

#endif
