// What a connection process gives up before it reads its first byte from the client: new privileges, files,
// new sockets to the network, new processes.
#ifndef GATEWAY_SANDBOX_H
#define GATEWAY_SANDBOX_H

#include "base/fault.h"

struct sandbox;

// Compiles the system call filter once, in the listener; children inherit it.
MUST_CHECK enum err sandbox_prepare(struct sandbox **out, struct fault *f);

// For good. Fails closed: on an error the process must not go on. Landlock is used where the kernel has it
// (the filter refuses every open by itself already).
MUST_CHECK enum err sandbox_enter(const struct sandbox *sandbox, struct fault *f);

#endif
