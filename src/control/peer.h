// Who is at the other end of control.sock: the kernel's word.
#ifndef CONTROL_PEER_H
#define CONTROL_PEER_H

#include "control/admin_socket.h"

// Writes into refusal why somebody may not use it; leaves it alone if they may.
void peer_identify(const struct control *c, int fd, struct identity *who, char *refusal, size_t size);

#endif
