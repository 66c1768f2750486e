// What each user is using now, and whether there is more of it: logins a minute, connections, sessions,
// channels, and the bandwidth their connection processes share.
#ifndef CONTROL_USAGE_H
#define CONTROL_USAGE_H

#include "control/control.h"
#include "policy/limit.h"

struct usages *usages_new(void);    // NULL: out of memory
void usages_free(struct usages *u); // NULL is fine

// The limits in force for the account.
MUST_CHECK enum err usage_limits(struct control *c, int64_t account_id, struct limits *out, struct fault *f);

// One more login of the account from there (subnet text)? Takes it from the buckets. ERR_FULL says what was
// exceeded and when to try again.
MUST_CHECK enum err usage_login(struct control *c, int64_t account_id, const char *source, struct fault *f);

// One more channel, a session or not? ERR_FULL says what was exceeded.
MUST_CHECK enum err usage_channel(struct control *c, int64_t account_id, bool session, struct fault *f);

// The descriptor of the account's page (wire/bandwidth.h), made if need be; it stays ours. -1 without memory.
int usage_bandwidth(struct control *c, int64_t account_id);
// Limits were changed: live connections feel it at once.
void usage_changed(struct control *c, int64_t account_id);

#endif
