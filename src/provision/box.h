// The life of a box as plain sequential steps, run on a job thread: look, decide, act, look again when Incus
// says that somebody was faster. Touches neither the store nor the loop.
#ifndef PROVISION_BOX_H
#define PROVISION_BOX_H

#include "provision/incus.h"
#include "provision/provision.h"

// One operation: what was asked, and what came of it. While a thread has it, nobody else looks at it.
struct box_work {
    enum box_op op;
    struct box_spec spec;
    const struct config *config; // [incus] only: the rest may be reloaded under a thread's feet
    const atomic_bool *stop;     // true: the process is ending, give up
    uint64_t began;              // monotonic_ms() of the request
    uint64_t wake_ms;            // [box] wake_deadline
    struct box_result result;    // its lists are malloc'd
    void (*step)(void *arg, const char *text, unsigned number, unsigned total); // progress; may be NULL
    void *step_arg;
};

// One question to Incus, milliseconds: true if that settled it (the box runs already, or only a look was
// wanted).
bool box_look(struct box_work *w, struct incus *i);

// The whole operation.
void box_perform(struct box_work *w, struct incus *i);

// Host keys as `ssh-keygen` leaves them ("TYPE BASE64 COMMENT") to one "TYPE BASE64\n" line, appended to out.
// False if it is not such a line of a known type, or does not fit: the bytes come out of the box. Pure.
bool box_hostkey_line(const char *data, size_t length, char *out, size_t out_size);

#endif
