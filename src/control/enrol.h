// What `ssh join+TOKEN@gateway` leads to: an invitation becomes an account, or one more key of one.
#ifndef CONTROL_ENROL_H
#define CONTROL_ENROL_H

#include "control/control.h"
#include "store/invite.h"

#define INVITE_KEEP_SECONDS (90 * 86400) // after its end, so that its holder can be told what became of it

// How somebody came to the console: as `ctl`, or by an invitation, and then what that did.
enum joined { JOINED_NOT, JOINED_NEW, JOINED_ADDED, JOINED_AGAIN };

struct enrolment {
    struct invite invite;
    struct pubkey key;
    const char *address;    // where from
    struct account account; // id 0 until it is made
    enum joined joined;
};

// The invitation of a login name "join+TOKEN". ERR_NOTFOUND if nobody was given that token.
MUST_CHECK enum err enrol_find(struct store *s, const char *login, struct invite *out, struct fault *f);

// Whether invitation and key lead anywhere now; the fault is for the person who holds both. Sets account (if
// there is one) and joined; writes nothing.
MUST_CHECK enum err enrol_check(struct control *c, struct enrolment *e, time_t now, struct fault *f);

// Makes the account, its box's row and its limits, or takes what is there; adds the key; uses the invitation
// up; records all of it. On an error some of it may be written: the caller abandons the group.
MUST_CHECK enum err enrol_write(struct control *c, struct enrolment *e, time_t now, struct fault *f);

#endif
