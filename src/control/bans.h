// Bans: failed logins become them (policy/ban.h), the store keeps them, the listener and every login obey
// them.
#ifndef CONTROL_BANS_H
#define CONTROL_BANS_H

#include "control/control.h"
#include "store/ban.h"
#include "wire/message.h"

#define BANS_ACTOR "gateway" // of those nobody imposed by hand

// Loads what is in force, and counts the failures of the last window from the trail again.
MUST_CHECK enum err bans_new(struct control *c, struct bans **out, struct fault *f);
void bans_free(struct bans *b); // NULL is fine

// Is anybody let in from this address? ERR_DENIED with a sentence for the client.
MUST_CHECK enum err bans_check_address(struct control *c, const char *address, struct fault *f);
// May somebody with this key log in as `login` from this address? *hopeless: no other key would do either, so
// that the connection may be ended at once.
MUST_CHECK enum err bans_check_login(struct control *c, const char *login, const char *address,
                                     const char *fingerprint, bool *hopeless, struct fault *f);

// A connection ended without a login: under a name with keys offered, or without any.
void bans_login_failed(struct control *c, const char *login, const char *address);
void bans_silent(struct control *c, const char *address);
// A key logged in from there: the source is known from now on.
MUST_CHECK enum err bans_login_ok(struct control *c, const char *login, const char *address,
                                  const char *fingerprint, time_t now, struct fault *f);

// By hand: the row's user, subnet, reason, actor, created and until are set. In force when the group is
// committed, on the listener as well; live connections it hits are ended by bans_enforce() then.
MUST_CHECK enum err bans_impose(struct control *c, struct ban_row *row, struct fault *f);
MUST_CHECK enum err bans_lift(struct control *c, const char *user, const char *subnet, const char *by,
                              time_t now, struct fault *f);
unsigned bans_enforce(struct control *c, const struct ban_row *row); // how many connections ended

// For a listener that has just come: every ban of a whole source, and every known one.
typedef void (*bans_tell_fn)(void *arg, const struct message *m);
void bans_tell_all(struct control *c, bans_tell_fn tell, void *arg);

struct bans_figures {
    unsigned in_force, ever;   // bans
    unsigned followed;         // names and sources whose failures are being counted
    uint64_t failed, silent;   // since the start of this process
    uint64_t failed_in_window; // of the last [bans] window
};
MUST_CHECK enum err bans_figures(struct control *c, struct bans_figures *out, struct fault *f);

#endif
