// The way through: authorize, wake, connect, pass. One door an OPEN message; its answer is a connected
// descriptor or a reason, and the audit record of either is on disk before the answer is given.
#ifndef CONTROL_DOOR_H
#define CONTROL_DOOR_H

#include "control/control.h"
#include "control/enrol.h"
#include "wire/message.h"

// Who asks; copied.
struct door_caller {
    int64_t account_id;
    int64_t owner_id; // whose box they may enter; 0 at the console
    int64_t session;  // of the store
    char user[NAME_USER_SIZE], owner[NAME_USER_SIZE];
    enum role role;
    bool console;
    enum joined joined;
    const struct keyoption *key; // of the key they came in with; lives as long as the door
    char fingerprint[PUBKEY_FINGERPRINT_SIZE];
    char address[80]; // "203.0.113.7:50122"
};

struct door_answer {
    enum err code;  // ERR_NONE, or why not
    char text[480]; // for the client
    enum door_kind kind;
    bool session;         // it was a session that was asked for
    const char *user;     // DOOR_BOX: account in the box
    const char *hostkeys; // DOOR_BOX: pinned
    int fds[2];           // closed by the door after the callback
    size_t fd_count;
};

struct door;
typedef void (*door_progress_fn)(void *arg, uint64_t id, const char *text);
typedef void (*door_done_fn)(void *arg, uint64_t id, const struct door_answer *answer);

// Calls done once, from the loop, then frees itself; unless door_cancel came first. NULL when out of memory.
struct door *door_open(struct control *c, const struct door_caller *who, const struct message *open,
                       door_progress_fn progress, door_done_fn done, void *arg);
void door_cancel(struct door *d);

#endif
