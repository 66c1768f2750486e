// A box operation with its bookkeeping: spec from the store, phases and host keys written back, audit
// appended, and only after the commit is the caller told. Used by logins (door) and by commands alike.
#ifndef CONTROL_BOX_FLOW_H
#define CONTROL_BOX_FLOW_H

#include "control/control.h"

struct box_flows;
struct box_flows *box_flows_new(struct control *c);
void box_flows_free(struct box_flows *flows);

// `row` is the box's row after the operation (NULL if it is gone), `result` as from provision.
typedef void (*box_flow_done_fn)(void *arg, const struct box_row *row, const struct box_result *result);

// Never calls back before it returns. `actor` ("alice", "root@host") goes to the audit trail. Returns a
// ticket. ENSURE of an ABSENT or CREATING row marks it CREATING first and READY after. DELETE marks it
// DELETING and removes nothing from the store: the caller does (account_delete) in its callback. STATE, KEYS
// as they say.
uint64_t box_flow_submit(struct control *c, enum box_op op, int64_t account_id, const char *actor,
                         box_progress_fn progress, box_flow_done_fn done, void *arg);

// What an operation needs beyond the box's row.
struct box_wish {
    struct box_change change; // CHANGE: the row follows once Incus has done it
    char snapshot[NAME_SNAPSHOT_SIZE];
    bool asleep_is_enough; // FREEZE, see struct box_spec
    int file;              // EXPORT: dup'ed
    const char *account;   // EXPORT: copied
    char target[128];      // of the audit record: what the file is called
};
uint64_t box_flow_submit_wish(struct control *c, enum box_op op, const struct box_wish *wish,
                              int64_t account_id, const char *actor, box_progress_fn progress,
                              box_flow_done_fn done, void *arg);
// Does the account have a box with a copy of who may enter it by ssh -J?
bool box_flow_has_keys(struct control *c, int64_t account_id);
// The box's copy of who may enter it by ssh -J, if it has one, is brought up to date. Nobody waits for it.
void box_flow_tell_keys(struct control *c, int64_t account_id, const char *actor);
void box_flow_cancel(struct control *c, uint64_t ticket);

// The gateway's public key for this box, "ssh-ed25519 AAAA... containarium-gateway", into out (256 bytes).
MUST_CHECK enum err box_flow_gateway_key(const struct box_row *row, char *out, size_t out_size,
                                         struct fault *f);

// A new row with the config's defaults, a fresh gateway seed and an address; phase ABSENT. Inserted, not
// committed.
MUST_CHECK enum err box_flow_new_row(struct control *c, const struct account *account, struct box_row *row,
                                     struct fault *f);

#endif
