// For the gateway_*.c files of this folder only: one link to a connection process, and the server that has
// them all.
#ifndef CONTROL_GATEWAY_CONNECTION_H
#define CONTROL_GATEWAY_CONNECTION_H

#include <sys/queue.h>

#include "control/door.h"
#include "control/gateway_link.h"
#include "wire/message.h"

#define DOORS_MAX 64 // OPENs of one link that wait for an answer

struct connection {
    LIST_ENTRY(connection) entry;
    struct gateway_server *server;
    struct link *link;
    enum link_stage stage;
    struct event *hello_timer;
    char host[64]; // of the client
    unsigned port;
    char address[80]; // both
    uint64_t answer_id;
    struct session_row session;
    struct account account;
    bool console;
    bool closed; // the session row is closed already
    bool kicked; // was told to end: opens nothing more, whether it obeys or not
    unsigned channels;
    struct {
        struct door *door; // NULL = free slot
        uint64_t id;
    } doors[DOORS_MAX];
};

struct gateway_server {
    struct control *control;
    int fd;
    uid_t gateway_uid;
    struct event *accept_event, *reattach_timer;
    LIST_HEAD(, connection) connections;
};

// gateway_link.c
struct connection *connection_new(struct gateway_server *g,
                                  int fd); // NULL: refused or out of memory; fd is closed
void connection_close(struct connection *c, const char *reason); // ends the session if there is one; frees
void connection_cancel_doors(struct connection *c);
void connection_send(struct connection *c, const struct message *m, const int *fds, size_t fd_count);
void connection_refuse(struct connection *c, uint64_t id, enum err code, const char *text);

// gateway_login.c: KEY, LOGIN, AUTH_FAILED and ATTACH, as the table allows them
void login_on_key(struct connection *c, const struct message *m);
void login_on_login(struct connection *c, const struct message *m);
void login_on_auth_failed(struct connection *c, const struct message *m);
void login_on_attach(struct connection *c, const struct message *m);

#endif
