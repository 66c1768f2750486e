// The process that owns the port: accepts, refuses cheaply, forks. It reads nothing a client sends.
#ifndef GATEWAY_LISTENER_H
#define GATEWAY_LISTENER_H

#include "base/config.h"

// Runs until SIGTERM or SIGINT; live connections outlive it. argv is for starting itself anew: on SIGHUP (the
// configuration is read again) and after a connection process died of a signal (a new address-space layout).
// Returns the exit status. A configuration at config_path that has errors is reported and the old one stays
// in force.
int listener_run(const struct config *config, const char *config_path, char **argv);

#endif
