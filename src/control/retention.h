// Records of the audit trail older than [audit] keep go, a few at a time, so that nobody waits for it.
#ifndef CONTROL_RETENTION_H
#define CONTROL_RETENTION_H

#include "control/control.h"

struct retention *retention_new(struct control *c); // NULL: out of memory
void retention_free(struct retention *r);           // NULL is fine

#endif
