// What a connection process and the control plane say to each other: one JSON object a packet, one table for
// all of them. The table says which fields a message has, who may send it and in which state of the link;
// both ends encode and decode through it, so neither can send or accept what is not in it.
//
//   {"t":"open","id":3,"kind":"direct-tcpip","host":"alice-container","port":22}
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

#include <stdint.h>

#include "base/fault.h"
#include "wire/link.h"

#define MESSAGE_VERSION 2

enum message_type {
    // connection process -> control plane
    MESSAGE_ADMIT,       // version, address, port: a client has connected          -> ADMITTED | REFUSED
    MESSAGE_ATTACH,      // version, token: a live session after our restart           -> WELCOME | REFUSED
    MESSAGE_KEY,         // login, key: is this key worth a signature? (probe)        -> KEY_OK | REFUSED
    MESSAGE_LOGIN,       // login, key, client: the signature was valid               -> WELCOME | REFUSED
    MESSAGE_AUTH_FAILED, // login, key, text: a signature was wrong; no answer
    MESSAGE_OPEN, // kind, host, port, leg                                     -> PROGRESS* (OPENED | REFUSED)
    MESSAGE_CANCEL,         // the client gave up on OPEN `id`; no answer
    MESSAGE_CHANNEL_CLOSED, // id of the OPEN, bytes, text; no answer
    MESSAGE_BYE,            // bytes, channels, text: the connection ends; no answer
    MESSAGE_STATS,          // bytes and open channels so far; no answer
    // listener -> control plane
    MESSAGE_LISTEN,  // version: wants to know who is banned and who is known   -> ADMITTED, then BAN... |
                     // REFUSED
    MESSAGE_DROPPED, // kind, address, count: connections refused before a process was made for them; no
                     // answer
    // control plane -> connection process
    MESSAGE_ADMITTED,
    MESSAGE_REFUSED, // code (enum err), text for the client
    MESSAGE_KEY_OK,
    MESSAGE_WELCOME,  // token, user, console; what its sessions may: pty, agent, and command if that alone;
                      // descriptor: the user's bandwidth, see wire/bandwidth.h
    MESSAGE_PROGRESS, // text for people; one that ends with a newline is to stay on their screen
    MESSAGE_OPENED,   // door; user, hostkeys for DOOR_BOX; descriptors, see enum door_kind
    MESSAGE_KICK,     // text: end this connection and say why
    MESSAGE_BAN,      // address, until: nobody from there (a subnet) is let in
    MESSAGE_UNBAN,    // address
    MESSAGE_KNOWN,    // address, until: somebody has logged in from there
    MESSAGE_UNKNOWN,
};

enum door_kind {
    DOOR_JUMP,    // descriptor 0: TCP, connected to the box
    DOOR_BOX,     // 0: TCP to the box's sshd, 1: ssh-agent that signs for that box only
    DOOR_SHARED,  // no descriptor: one more channel on the leg that exists
    DOOR_CONSOLE, // 0: conversation with the command table (wire/frame.h)
};

// States of a link as the control plane keeps them; bits, so that a row can allow several.
enum link_stage {
    STAGE_NEW = 1,           // nothing said yet
    STAGE_ADMITTED = 2,      // may authenticate
    STAGE_AUTHENTICATED = 4, // may open channels
    STAGE_CLOSED = 8,        // BYE was said: nothing more may come
    STAGE_LISTENER = 16,     // not a connection: the listener
};

struct message {
    enum message_type type;
    uint64_t id; // chosen by whoever asks, repeated in the answer; 0 = none
    uint64_t version;
    char address[64]; // numeric, no port
    uint64_t port;
    char login[64];   // the user name as the client typed it; longer ones never match and are cut
    char user[32];    // account
    char key[4096];   // public key blob, base64
    char client[128]; // the client's SSH identification string
    char kind[64];    // channel or request type as in RFC 4254
    char host[256];
    char token[44];
    char hostkeys[2048]; // "TYPE BASE64\n" lines
    char text[480];
    char command[400]; // forced by the key; "" = none
    uint64_t code;     // -enum err
    uint64_t door;     // enum door_kind
    uint64_t bytes_in, bytes_out, channels;
    uint64_t kex_ms, auth_ms; // how long key exchange took, and what came after it up to the signature
    uint64_t until;           // seconds since 1970, 0 = for ever
    uint64_t count;
    bool leg, console, pty, agent;
};

const char *message_name(enum message_type type);

// True if a connection process may send `type` when its link is in `stage`.
bool message_allowed(enum message_type type, enum link_stage stage);

// Decodes one packet. ERR_PROTOCOL for anything that is not exactly a message of the table: unknown type or
// field, wrong JSON type, text too long or with a NUL byte, a missing field. Pure function of (pointer,
// length).
MUST_CHECK enum err message_decode(const char *data, size_t length, struct message *out, struct fault *f);

// Encodes into a malloc'd buffer (caller frees). NULL when out of memory. Text that is not UTF-8 is replaced.
char *message_encode(const struct message *m, size_t *length);

// Encode and link_send.
MUST_CHECK enum err message_send(struct link *l, const struct message *m, const int *fds, size_t fd_count);

#endif
