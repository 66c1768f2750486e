// A terminal nobody types at, for whoever edits lines (gateway/prompt.h) and may not open one.
#ifndef CONTROL_TERMINAL_H
#define CONTROL_TERMINAL_H

#include <stdbool.h>

// Master and slave. False, with errno: what was opened stands in fds, the rest is -1.
bool terminal_open(int fds[2]);

#endif
