// For the ssh_*.c files only: the libssh side of struct chan.
#ifndef GATEWAY_SSH_RAW_H
#define GATEWAY_SSH_RAW_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>

#include "gateway/ssh_channel.h"

#define CHAN_BATCH (256u * 1024) // bytes written between two looks at the kernel's send buffer

// Wraps raw, which becomes the chan's; `open` if its open was confirmed already. NULL when out of memory (raw
// is freed).
struct chan *chan_wrap(ssh_channel raw, bool open);
// What a call that opens the channel returned; remembers whether there is anything to close.
enum err chan_open_result(struct chan *c, int rc);
ssh_channel chan_raw(const struct chan *c);
// The session that owns the channel is about to free it: from here on only chan_free may be called.
void chan_let_go(struct chan *c);

// What a non-blocking call of libssh means: ERR_NONE done, ERR_CONFLICT call again, ERR_DENIED refused or
// broken.
enum err ssh_raw_result(int rc);

// True while the session holds output that the kernel did not take.
bool ssh_raw_write_pending(ssh_session session);

// Reads packets until the descriptor has none left or `rounds` reads were made (libssh reads 4 KiB a time).
// Returns the first queued message or NULL.
ssh_message ssh_raw_pump(ssh_session session, const struct ssh_counter_struct *received, int rounds);

#endif
