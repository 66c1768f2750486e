// What a key's line in authorized_keys may say in front of the key: options with the names and meaning of
// sshd(8), those that make sense here. What is not known is refused, never ignored: an option somebody relies
// on must work. Pure.
#ifndef POLICY_KEYOPTION_H
#define POLICY_KEYOPTION_H

#include <time.h>

#include "base/fault.h"

#define KEYOPTION_TEXT 1024   // of all of a key's options, with the NUL
#define KEYOPTION_COMMAND 400 // of command=
#define KEYOPTION_OPENS 16    // permitopen= a key

struct keyoption {
    char from[512]; // pattern list; "" = from anywhere
    time_t expires; // 0 = never
    bool no_port_forwarding, no_agent_forwarding, no_pty;
    char command[KEYOPTION_COMMAND]; // forced; "" = none
    struct keyoption_open {
        char host[256]; // lower case
        unsigned port;  // 0 = every
    } opens[KEYOPTION_OPENS];
    unsigned open_count; // 0 = everywhere
};

// `text` (length bytes) is the first word of such a line; "" gives no options. A key's accepted options are:
//   from="LIST"          addresses, subnets and address patterns, !negated; host names are not looked up here
//   expiry-time="TIME"   YYYYMMDD[Z] or YYYYMMDDHHMM[SS][Z], UTC with and without the Z
//   command="COMMAND"    permitopen="HOST:PORT" (again for more)
//   no-port-forwarding   no-agent-forwarding   no-pty   no-X11-forwarding   no-user-rc
//   restrict, and port-forwarding, agent-forwarding, pty behind it
MUST_CHECK enum err keyoption_parse(const char *text, size_t length, struct keyoption *out, struct fault *f);

// How long the options at the beginning of `line` are: up to the first blank outside quotes.
size_t keyoption_length(const char *line, size_t length);

// May the key be used from this address, now? The reason is for the log: to the client it is a key like any
// other wrong one.
bool keyoption_usable(const struct keyoption *o, const char *address, time_t now, char *reason,
                      size_t reason_size);

// May it open a forward to host:port?
bool keyoption_may_open(const struct keyoption *o, const char *host, unsigned port);

// The options as the box's own sshd shall know them: without from=, since all of the box's clients come from
// the gateway's address. out needs KEYOPTION_TEXT bytes.
void keyoption_for_box(const char *text, char *out);

#endif
