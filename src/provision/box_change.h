// Limits and snapshots of a box that exists. One try each, for run_repeat.
#ifndef PROVISION_BOX_CHANGE_H
#define PROVISION_BOX_CHANGE_H

#include "provision/box_run.h"

MUST_CHECK enum err box_change_limits(struct box_run *r);

MUST_CHECK enum err box_snapshot_list(struct box_run *r);
MUST_CHECK enum err box_snapshot_create(struct box_run *r);
// Stops the box if it runs, and starts it again.
MUST_CHECK enum err box_snapshot_restore(struct box_run *r);
MUST_CHECK enum err box_snapshot_delete(struct box_run *r);

#endif
