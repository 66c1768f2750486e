// The one authorization function: may this account have this channel or global request? Deny by default.
// Pure.
#ifndef POLICY_AUTHZ_H
#define POLICY_AUTHZ_H

#include <stdint.h>

#include "base/fault.h"
#include "policy/keyoption.h"

enum role { ROLE_USER, ROLE_OPERATOR, ROLE_ADMIN };
const char *role_name(enum role role);
bool role_parse(const char *text, enum role *out);

// What a client may ask for, named as in RFC 4254 and OpenSSH PROTOCOL.
enum request_kind {
    REQUEST_SESSION,       // "session"
    REQUEST_DIRECT_TCPIP,  // "direct-tcpip"
    REQUEST_TCPIP_FORWARD, // "tcpip-forward" (global)
    REQUEST_AGENT,         // "auth-agent-req@openssh.com" of a session
    REQUEST_PTY,           // "pty-req" of a session
    REQUEST_UNKNOWN,
};
const char *request_kind_name(enum request_kind kind);
enum request_kind request_kind_parse(const char *text);

struct authz_subject {
    enum role role;
    bool console;            // logged in as ctl
    const char *owner;       // whose box this login leads to: the user's own, or one shared with them
    const char *box_name;    // of that box; "" if there is none yet
    const char *box_address; // its address; "" if not known
    const char *jump_ports;  // config's [box] jump_ports
    const char
        *box_subnet; // config's [box] subnet: other boxes and the host's bridge are in it; NULL = not known
    const struct keyoption *key; // options of the key they came in with; NULL = none
};

struct authz_request {
    enum request_kind kind;
    const char *host; // direct-tcpip: as the client wrote it; untrusted bytes, NUL-terminated
    uint32_t port;
};

enum authz_verdict {
    AUTHZ_DENY,
    AUTHZ_BOX_SESSION, // a session in the login's box (direct door)
    AUTHZ_BOX_JUMP,    // TCP to the login's box at request.port (jump door)
    AUTHZ_BOX_FORWARD, // a forward carried by the box's own sshd (direct door's -L, -D, -R)
    AUTHZ_CONSOLE,     // a session on the console
};

// On AUTHZ_DENY the reason is a sentence for the log and, where SSH allows, the client.
// For direct-tcpip: the login's box by name ("alice-container", "alice-dev", or its address) and an allowed
// port is a jump; "localhost", "127.0.0.0/8" and "::1" mean the box's own loopback and any other name or
// address means "as seen from the box": both are AUTHZ_BOX_FORWARD *only if* `forward_ok`, else denied.
// Always denied, with the same words whether it exists or not: loopback on port 22 (who jumps there means
// this host), another user's box name ("*-container", "*-dev", also with ".incus"), any other address of
// box_subnet, and link-local addresses (a cloud's metadata service).
enum authz_verdict authz_decide(const struct authz_subject *subject, const struct authz_request *request,
                                bool forward_ok, char *reason, size_t reason_size);

// True if port is in "22 80 8000-8999".
bool authz_port_allowed(const char *ports, uint32_t port);

#endif
