// control.sock: who may connect is decided by the kernel's word (SO_PEERCRED), what they may do by the
// command table.
#ifndef CONTROL_ADMIN_SOCKET_H
#define CONTROL_ADMIN_SOCKET_H

#include "control/control.h"
#include "control/enrol.h"

// On whose behalf a command runs.
struct identity {
    char actor[64];      // for the audit trail: "root@host", "alice"
    enum role role;      // root and members of admin_group: ROLE_ADMIN
    bool capped;         // `role` holds even if the account's own is higher: a certificate's
    int64_t account_id;  // 0 for root@host and for certificates that act for no account
    char address[64];    // where from: "local" or "203.0.113.7:50122"
    char credential[64]; // what proved it, if it is no SSH key: "X509:serial"
    bool local;          // on the host
    enum joined joined;  // by an invitation: they are welcomed, and no verb is run
};

struct admin_server;
MUST_CHECK enum err admin_server_new(struct control *c, struct admin_server **out, struct fault *f);
void admin_server_free(struct admin_server *a);

// Serves one conversation (wire/frame.h) on fd, which becomes ours, for somebody already identified. This is
// how the door connects `ssh ctl@gateway`.
void admin_serve(struct control *c, int fd, const struct identity *who);

#endif
