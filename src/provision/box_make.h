// Making a box and waking it: ENSURE, START.
#ifndef PROVISION_BOX_MAKE_H
#define PROVISION_BOX_MAKE_H

#include "provision/box_run.h"

// One try, for run_repeat.
MUST_CHECK enum err box_make_ensure(struct box_run *r);

#endif
