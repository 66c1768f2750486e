// A SOCK_SEQPACKET link on the loop: whole packets in, whole packets out, descriptors alongside, bounded
// queue. Used between gateway and control plane (messages, see wire/message.h) and between the command line
// and the control plane (frames, see wire/frame.h).
#ifndef WIRE_LINK_H
#define WIRE_LINK_H

#include <stdint.h>
#include <sys/types.h>

#include <event2/event.h>

#include "base/fault.h"

#define LINK_PACKET_MAX 65536     // bytes; a longer packet ends the link
#define LINK_FDS_MAX 3            // descriptors beside one packet
#define LINK_QUEUE_MAX (4u << 20) // bytes waiting to be sent before link_send says ERR_FULL

struct link;

// One whole packet. `fds` are ours to keep or close: the callback takes all of them. data is not
// NUL-terminated.
typedef void (*link_packet_fn)(void *arg, const char *data, size_t length, const int *fds, size_t fd_count);
// The link ended: peer closed it, an I/O error, a packet too long. Called once, never from inside link_send
// or link_close. The link is unusable but still the caller's: call link_free.
typedef void (*link_end_fn)(void *arg, const char *reason);
// The send queue ran empty after having held something.
typedef void (*link_drained_fn)(void *arg);

// Takes fd (made non-blocking); closed by link_free. NULL only when out of memory (fd is closed then as
// well).
struct link *link_new(struct event_base *base, int fd, link_packet_fn packet, link_end_fn end, void *arg);
void link_on_drained(struct link *l, link_drained_fn drained);

// Sends or queues. Descriptors are duplicated for the queue, so the caller keeps and closes its own.
// ERR_FULL: the peer does not read; the packet was not queued. ERR_UNAVAILABLE: the link has ended.
MUST_CHECK enum err link_send(struct link *l, const void *data, size_t length, const int *fds,
                              size_t fd_count);

// Stop or resume reading (back-pressure).
void link_set_reading(struct link *l, bool on);
size_t link_queued(const struct link *l); // bytes waiting

// What is queued is tried once more without waiting, then the fd is closed. NULL is fine. May be called from
// the link's own callbacks: memory goes from the loop.
void link_free(struct link *l);

// The peer's process as the kernel knew it at connect(2).
MUST_CHECK enum err link_peer(const struct link *l, uid_t *uid, gid_t *gid, pid_t *pid);

// The two halves of link_connect, for a process that may not make sockets any more when it has to connect
// again. A socket whose connect failed may be used for the next try. -1 and errno on failure.
int link_socket(void);
int link_connect_on(int fd, const char *path);

// Connects to a SEQPACKET socket at path; -1 and errno on failure. Blocking connect, then non-blocking.
int link_connect(const char *path);
// Binds and listens at path with mode; an old socket nobody listens on is replaced. -1 and errno on failure.
int link_listen(const char *path, mode_t mode);

#endif
