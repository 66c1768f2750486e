// Boxes as the store knows them: what they should be. What they are doing now is asked of Incus.
#ifndef STORE_BOX_H
#define STORE_BOX_H

#include <time.h>

#include "policy/idle.h"
#include "policy/name.h"
#include "store/store.h"

enum box_driver { BOX_DRIVER_INCUS, BOX_DRIVER_STATIC };

// Written by the control plane around each life-cycle step, so that a crash at any point is seen and
// repaired.
enum box_phase {
    BOX_ABSENT,   // account only (--lazy); made at first login
    BOX_CREATING, // a creation was begun; whatever exists in Incus may be half done
    BOX_READY,    // created, provisioned, host keys pinned
    BOX_DELETING, // a deletion was begun; only deletion may follow
};

#define BOX_HOSTKEYS_SIZE 2048
#define BOX_SEED_SIZE 32

struct box_row {
    int64_t account_id;
    char user[NAME_USER_SIZE];
    char name[NAME_BOX_SIZE];
    enum box_driver driver;
    enum box_phase phase;
    char address[64]; // IPv4 or IPv6 text (static: also a host name); "" until given
    uint16_t port;    // of its sshd
    char image[128];
    char cpu[64];    // cpu_parse form
    uint64_t memory; // bytes
    uint64_t disk;   // bytes
    bool autostart;
    struct idle_own idle;                      // when it falls asleep, where not as configured
    char hostkeys[BOX_HOSTKEYS_SIZE];          // pinned: "TYPE BASE64\n" lines; "" until known
    unsigned char gateway_seed[BOX_SEED_SIZE]; // private key (ed25519 seed) the gateway proves itself with
    time_t created;
};

const char *box_phase_name(enum box_phase phase);
const char *box_driver_name(enum box_driver driver);

// Inserts the row of row->account_id. If driver is INCUS and address is "", the lowest free address of
// [first, last] (IPv4, host byte order) is given and written back to row->address; ERR_FULL when none is
// left. ERR_CONFLICT if the account has a box.
MUST_CHECK enum err box_insert(struct store *s, struct box_row *row, uint32_t first, uint32_t last,
                               struct fault *f);
MUST_CHECK enum err box_get(struct store *s, int64_t account_id, struct box_row *out, struct fault *f);
MUST_CHECK enum err box_get_user(struct store *s, const char *user, struct box_row *out, struct fault *f);
// ERR_CONFLICT for any other phase once it is BOX_DELETING.
MUST_CHECK enum err box_set_phase(struct store *s, int64_t account_id, enum box_phase phase, struct fault *f);
MUST_CHECK enum err box_set_hostkeys(struct store *s, int64_t account_id, const char *hostkeys,
                                     struct fault *f);
MUST_CHECK enum err box_set_image(struct store *s, int64_t account_id, const char *image, struct fault *f);
MUST_CHECK enum err box_set_limits(struct store *s, int64_t account_id, const char *cpu, uint64_t memory,
                                   uint64_t disk, struct fault *f);
MUST_CHECK enum err box_set_autostart(struct store *s, int64_t account_id, bool autostart, struct fault *f);
MUST_CHECK enum err box_set_idle(struct store *s, int64_t account_id, const struct idle_own *own,
                                 struct fault *f);
typedef enum err (*box_each_fn)(const struct box_row *row, void *arg, struct fault *f);
MUST_CHECK enum err box_each(struct store *s, box_each_fn each, void *arg, struct fault *f); // in user order

#endif
