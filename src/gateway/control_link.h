// This connection's link to the control plane: questions with answers, statements without, and coming back
// after the control plane was restarted (the session's token proves who we are).
#ifndef GATEWAY_CONTROL_LINK_H
#define GATEWAY_CONTROL_LINK_H

#include "wire/message.h"

struct control_link;

// An answer to a question. PROGRESS may come several times before the final one. `fds` are the callee's to
// keep or close. If the control plane cannot be asked, the answer is a REFUSED made here.
typedef void (*control_answer_fn)(void *arg, const struct message *answer, const int *fds, size_t fd_count);
typedef void (*control_kick_fn)(void *arg, const char *reason);

// Descriptors kept for coming back are at CONTROL_FD_FIRST and above: the sandbox allows connect(2) on those
// only, and puts the limit on descriptors below them, so that nothing else can ever get there.
#define CONTROL_FD_FIRST 4000
#define CONTROL_FD_COUNT 8 // restarts of the control plane a connection can live through

// Connects to the socket at path. NULL if nobody listens there.
// `welcome` is called with each WELCOME that follows a restart of the control plane.
struct control_link *control_link_new(struct event_base *base, const char *path, control_kick_fn kick,
                                      control_answer_fn welcome, void *arg);
void control_link_free(struct control_link *l); // answers that did not come never come

// Sends a question; fills in its id and returns it. The callback never comes from inside this call.
uint64_t control_link_ask(struct control_link *l, struct message *question, control_answer_fn answer,
                          void *arg);
// The answer is not wanted any more (the control plane is told if it was an OPEN).
void control_link_forget(struct control_link *l, uint64_t id);
void control_link_tell(struct control_link *l, const struct message *statement);

// From WELCOME: from now on a lost link is made anew.
void control_link_set_token(struct control_link *l, const char *token);

#endif
