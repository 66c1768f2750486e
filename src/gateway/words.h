// Command lines: that of `ssh ctl@gateway ...` as words, quoted as in a POSIX shell but with nothing
// expanded; and that of a forced command. Pure.
#ifndef GATEWAY_WORDS_H
#define GATEWAY_WORDS_H

#include "base/fault.h"

#define WORDS_MAX 128

// Splits at blanks; '...' keeps everything, "..." knows \" and \\, a backslash outside keeps the next byte.
// Returns the storage the words point into (the caller frees it), NULL on an open quote, too many words or no
// memory.
char *words_split(const char *line, char *words[WORDS_MAX], size_t *count, struct fault *f);

// The line that runs `forced` (a key's command=) with `original` in SSH_ORIGINAL_COMMAND, for the login shell
// of a box; without the variable where the client asked for no command, as sshd does. malloc'd, NULL without
// memory.
char *words_forced(const char *forced, const char *original);

#endif
