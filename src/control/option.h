// Options that several verbs have, read in one way.
#ifndef CONTROL_OPTION_H
#define CONTROL_OPTION_H

#include "control/command_run.h"
#include "policy/limit.h"

// --cpu, --memory and --disk-quota of a new box. What is not given is left as it is; cpu has 64 bytes.
MUST_CHECK enum err option_box(const struct command_run *run, char *cpu, uint64_t *memory, uint64_t *disk,
                               struct fault *f);

// The options named as limits are. given: LIMIT_COUNT entries. *any is set if there is one.
MUST_CHECK enum err option_limits(const struct command_run *run, struct limits *values, bool *given,
                                  bool *any, struct fault *f);

#endif
