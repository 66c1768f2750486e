// What an operation did to a box, or failed to do, as a record of the audit trail. Looks leave none.
#ifndef CONTROL_DEED_H
#define CONTROL_DEED_H

#include "control/box_flow.h"

struct deed {
    enum box_op op;
    const struct box_row *row;
    const struct box_wish *wish;
    const struct box_result *result;
    const char *actor;
};

MUST_CHECK enum err deed_record(struct writer *w, const struct deed *d, struct fault *f);

#endif
