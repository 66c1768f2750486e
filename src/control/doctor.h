// What the doctor writes down: one line a check, with the way to mend it. Checks of this host are here; those
// of Incus come as facts (struct box_health).
#ifndef CONTROL_DOCTOR_H
#define CONTROL_DOCTOR_H

#include "control/control.h"

enum finding_level { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct finding {
    const char *what;
    enum finding_level level;
    char text[300];
    char mend[240]; // "" when there is nothing to mend
};

#define FINDINGS_MAX 24

struct findings {
    struct finding list[FINDINGS_MAX];
    size_t count;
};

const char *finding_level_name(enum finding_level level);

// The finding's text; more of them than FINDINGS_MAX are dropped. NULL mend: nothing to mend.
void doctor_note(struct findings *all, const char *what, enum finding_level level, const char *mend,
                 const char *format, ...) PRINTF_LIKE(5, 6);

void doctor_check_incus(struct findings *all, const struct config *config, const struct box_health *health,
                        const struct fault *unreachable); // health NULL: not reached, and why
void doctor_check_host(struct findings *all, const struct control *c);

#endif
