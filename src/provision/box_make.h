// Making a box and waking it: ENSURE, START.
#ifndef PROVISION_BOX_MAKE_H
#define PROVISION_BOX_MAKE_H

#include "provision/box_run.h"

// One try, for run_repeat.
MUST_CHECK enum err box_make_ensure(struct box_run *r);

// What the box is to be made of, from its spec.
struct incus_settings box_make_settings(const struct box_run *r);

#endif
