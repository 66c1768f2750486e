// containariumd --restore and --verify: a backup of the store, without a daemon that runs.
#ifndef CONTROL_OFFLINE_H
#define CONTROL_OFFLINE_H

#include "base/config.h"

// Exactly one of the two names a file. Returns the exit status.
int offline_run(const struct config *config, const char *restore, const char *verify);

#endif
