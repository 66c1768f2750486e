// For the gateway_*.c files of this folder only: one link to a connection process, and the server that has
// them all.
#ifndef CONTROL_GATEWAY_CONNECTION_H
#define CONTROL_GATEWAY_CONNECTION_H

#include <sys/queue.h>

#include "control/door.h"
#include "control/enrol.h"
#include "control/gateway_link.h"
#include "policy/admit.h"
#include "wire/message.h"

#define DOORS_MAX 64 // OPENs of one link that wait for an answer

// A channel the client has open, as far as it was told.
struct open_channel {
    LIST_ENTRY(open_channel) entry;
    uint64_t id;
    bool session;
};

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
    struct account owner; // whose box it leads to: the account's own or one shared with it; id 0 at the
                          // console
    bool console;
    enum joined joined; // by an invitation
    bool closed;        // the session row is closed already
    bool kicked;        // was told to end: opens nothing more, whether it obeys or not
    unsigned channels;  // opened in all
    LIST_HEAD(, open_channel) open;
    unsigned open_channels, open_sessions;
    time_t admitted;
    unsigned keys_refused, keys_ok; // offered before the login
    bool turned_away;               // told why by us: what did not come of it is no failure of theirs
    char login[NAME_LOGIN_SIZE];    // the name they were offered under
    char name[NAME_LOGIN_SIZE];     // ditto, whom that says they are
    struct keyoption key;           // options of the key that logged in
    struct {
        uint64_t bytes_in, bytes_out;
        uint64_t moved;             // monotonic ms: when they last changed
        uint64_t at;                // ditto: when they were told
        uint64_t rate_in, rate_out; // bytes a second between the last two reports
    } stats;
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
    uint64_t dropped[ADMIT_VERDICTS]; // connections the listener turned away
};

// gateway_link.c
struct connection *connection_new(struct gateway_server *g,
                                  int fd); // NULL: refused or out of memory; fd is closed
void connection_close(struct connection *c, const char *reason); // ends the session if there is one; frees
void connection_cancel_doors(struct connection *c);
void connection_send(struct connection *c, const struct message *m, const int *fds, size_t fd_count);
void connection_refuse(struct connection *c, uint64_t id, enum err code, const char *text);

// The box of somebody else that a guest is in, for the trail; "" for everybody else. Needs NAME_BOX_SIZE
// bytes.
const char *connection_guest_box(const struct connection *c, char *out);

// Ends the login that did not come: counts it, and records why.
void login_over(struct connection *c, const char *reason);

// gateway_login.c: KEY, LOGIN and AUTH_FAILED, gateway_attach.c: ATTACH, as the table allows them
void login_on_key(struct connection *c, const struct message *m);
void login_on_login(struct connection *c, const struct message *m);
void login_on_auth_failed(struct connection *c, const struct message *m);
void login_on_attach(struct connection *c, const struct message *m);
// gateway_attach.c
void login_welcome(struct connection *c, uint64_t id);
bool login_leads_to_console(const char *login); // as it may be shown

#endif
