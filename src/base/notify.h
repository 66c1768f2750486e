// The service manager's protocol (sd_notify(3)), spoken directly: one datagram. Nothing happens without
// NOTIFY_SOCKET.
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

void notify_ready(void); // READY=1

// Descriptors the service manager passed (sd_listen_fds(3)): their number; the first is 3. Clears the
// environment.
int notify_listen_fds(void);

#endif
