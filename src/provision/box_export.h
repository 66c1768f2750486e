// A box into a file, and a file into an image that boxes can be made of. Once each, not for run_repeat: what
// takes minutes is not begun again unasked.
#ifndef PROVISION_BOX_EXPORT_H
#define PROVISION_BOX_EXPORT_H

#include "provision/box_run.h"

MUST_CHECK enum err box_export(struct box_run *r);
MUST_CHECK enum err box_import(struct box_run *r);
MUST_CHECK enum err box_image_list(struct box_run *r);
MUST_CHECK enum err box_image_use(struct box_run *r);
MUST_CHECK enum err box_image_delete(struct box_run *r);

#endif
