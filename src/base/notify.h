// The service manager's protocol (sd_notify(3)), spoken directly: one datagram. Nothing happens without
// NOTIFY_SOCKET.
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

#include <event2/event.h>

void notify_ready(void);     // READY=1
void notify_reloading(void); // before starting anew: RELOADING=1, until the next notify_ready
void notify_stopping(void);  // STOPPING=1

// WATCHDOG=1 (sd_watchdog_enabled(3)), twice in the time the service manager allows, from a timer of this
// loop: a loop that has stopped turning says nothing. NULL if nobody asks for it, or if memory is short.
// event_free ends it.
struct event *notify_watchdog(struct event_base *base);

// Descriptors the service manager passed (sd_listen_fds(3)): their number; the first is 3. Clears the
// environment.
int notify_listen_fds(void);

#endif
