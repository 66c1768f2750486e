// What a person at a terminal sees while the box wakes: one line on stderr, rewritten in place, gone when the
// box answers. Programs (no pty) see nothing.
#ifndef GATEWAY_WAIT_LINE_H
#define GATEWAY_WAIT_LINE_H

#include <event2/event.h>

#include "gateway/ssh_channel.h"

struct wait_line;

// Shows nothing before 250 ms have passed, or a second if nobody said what is being done. NULL when out of
// memory, which every call below accepts.
struct wait_line *wait_line_new(struct event_base *base, struct chan *chan, void (*wake)(void *arg),
                                void *arg);
// What is being done now. A text that ends with a newline is no such thing: it is shown at once, and stays.
void wait_line_text(struct wait_line *w, const char *text);
void wait_line_free(struct wait_line *w); // wipes the line if it was shown

#endif
