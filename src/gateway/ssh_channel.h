// One SSH channel, of a server session (towards the client) or of a client session (towards the box); who
// uses it need not know which. No libssh type crosses this header: libssh stays behind the ssh_*.c files.
#ifndef GATEWAY_SSH_CHANNEL_H
#define GATEWAY_SSH_CHANNEL_H

#include <stdint.h>

#include "base/fault.h"

struct chan;

enum chan_stream { CHAN_STDOUT, CHAN_STDERR };

// How the program at the other end ended, RFC 4254 section 6.10.
struct chan_exit {
    bool known;
    bool by_signal;
    uint32_t status;
    char signal[32];
    bool core_dumped;
    char message[256];
};

// Reads what has arrived, never waits. Returns bytes, 0 if there is nothing now, -1 if the session is broken.
// Reading opens the receive window again: what is not read stays with the peer, at most 2 MiB of it with us.
int chan_read(struct chan *c, enum chan_stream stream, void *buffer, size_t size);

// Bytes that chan_write would take now: the peer's window, 0 while the session's own output is not yet with
// the kernel (that is the back-pressure) or a key re-exchange holds it.
size_t chan_room(const struct chan *c);

// Sends at most chan_room() bytes. Returns how many were taken, -1 if the channel or session is broken.
int chan_write(struct chan *c, enum chan_stream stream, const void *data, size_t size);

bool chan_at_eof(const struct chan *c);         // peer sent EOF (or CLOSE) and everything before it was read
bool chan_closed_by_peer(const struct chan *c); // peer sent CLOSE
const struct chan_exit *chan_exit_state(const struct chan *c);

// The next "signal" request of the peer ("TERM"), NULL if there is none. Valid until the next call.
const char *chan_next_signal(struct chan *c);

// True once the peer has sent "auth-agent-req@openssh.com" on it (answered with success).
bool chan_wants_agent(const struct chan *c);

void chan_send_eof(struct chan *c);                                  // once; later calls do nothing
void chan_send_exit(struct chan *c, const struct chan_exit *status); // ditto
void chan_close(struct chan *c);                                     // sends EOF and CLOSE, once
bool chan_finished(const struct chan *c); // CLOSE went both ways: chan_free will not surprise anybody

// Frees it; sends CLOSE first if need be. NULL is fine. Only when no request of this channel is held any
// more.
void chan_free(struct chan *c);

#endif
