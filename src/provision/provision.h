// Boxes brought into the state that is asked for, by jobs that run one after another for each box and side by
// side for different boxes, on a bounded pool of threads that never touches the store.
//
// Single flight: a request equal to one that waits or runs for the same box joins it; a hundred callers, one
// start, a hundred answers. Callbacks come on the loop's thread, never from inside provision_submit().
#ifndef PROVISION_PROVISION_H
#define PROVISION_PROVISION_H

#include <stdint.h>

#include <event2/event.h>

#include "base/config.h"
#include "base/fault.h"

enum box_op {
    BOX_OP_ENSURE, // created if absent, provisioned, running: what a login needs. Joins any waiting ENSURE
    BOX_OP_STATE,  // look only
    BOX_OP_START,  // like ENSURE, but ERR_NOTFOUND if absent
    BOX_OP_STOP,   // clean shutdown, forced after 10 s. Stopped already: fine
    BOX_OP_RESTART,
    BOX_OP_FREEZE,
    BOX_OP_DELETE,    // absent already: fine
    BOX_OP_KEYS,      // spec.authorized_keys made true in the box, running, frozen or stopped; absent: fine
    BOX_OP_CHANGE,    // spec.change made true, while the box runs; absent: fine
    BOX_OP_SNAPSHOTS, // look only; result.snapshots is set
    BOX_OP_SNAPSHOT_CREATE,
    BOX_OP_SNAPSHOT_RESTORE, // disk as it was; limits, keys and running state as they are now
    BOX_OP_SNAPSHOT_DELETE,
    BOX_OP_EXPORT, // stopped, and written to spec.file with spec.account in it; stays stopped
    // These concern no box:
    BOX_OP_IMPORT,       // spec.file becomes an image: result.fingerprint, result.account
    BOX_OP_HEALTH,       // look only; result.health
    BOX_OP_IMAGES,       // look only; result.images is set
    BOX_OP_IMAGE_USE,    // spec.image, an alias, stands for spec.fingerprint from now on
    BOX_OP_IMAGE_DELETE, // spec.fingerprint; absent: fine
    BOX_OP_LIST,         // every box of the project; spec is NULL. result.list is set
};

enum box_state {
    BOX_STATE_UNKNOWN,
    BOX_STATE_ABSENT,
    BOX_STATE_STOPPED,
    BOX_STATE_FROZEN,
    BOX_STATE_RUNNING,
    BOX_STATE_ERROR
};
const char *box_state_name(enum box_state state); // "Running", as Incus prints it; ABSENT "-"

enum box_change_flag { CHANGE_KEEP, CHANGE_ON, CHANGE_OFF };

// What is to be different; the rest stays.
struct box_change {
    char cpu[64];          // "": as it is
    uint64_t memory, disk; // bytes; 0: as it is
    enum box_change_flag autostart;
    bool force; // also a memory limit below what the box uses now
};

struct box_spec {
    char name[64]; // "alice-container"
    char user[32];
    char address[64]; // fixed address; static driver: host
    uint16_t port;
    bool is_static; // static driver: nothing to create or start; ENSURE only checks that it answers
    char image[128];
    char cpu[64];
    uint64_t memory, disk; // bytes
    bool autostart;
    bool provisioned;            // the store says READY: skip files and host keys
    const char *authorized_keys; // the user's own keys, lines; copied by provision_submit
    const char *gateway_key;     // "ssh-ed25519 AAAA... containarium-gateway"; copied
    bool asleep_is_enough;       // FREEZE: a box that is stopped already is fine
    struct box_change change;    // CHANGE
    char snapshot[64];           // SNAPSHOT_*
    int file;                    // EXPORT, IMPORT: a regular file, dup'ed by provision_submit; 0 = none
    const char *account;         // EXPORT: kept with the box, see result.account; copied
    char fingerprint[65];        // IMAGE_USE, IMAGE_DELETE
    unsigned snapshots_max;      // SNAPSHOT_CREATE: ERR_FULL when there are so many
};

struct box_usage {                                   // what a running box uses; zeros where not running
    uint64_t memory, memory_limit, disk, disk_limit; // bytes
    uint64_t cpu_ns;                                 // since start
    unsigned processes;
    int64_t started_at; // unix time, 0 = not running
};

struct box_entry {
    char name[64];
    enum box_state state;
    struct box_usage usage;
};

struct box_snapshot {
    char name[64];
    int64_t created; // unix time
    uint64_t size;   // bytes that only it holds, as far as the pool can tell
};

struct box_image {
    char alias[128]; // "" = none
    char fingerprint[65];
    char description[128];
    char box[64]; // of whose backup it is; "" = an image to make boxes of
    uint64_t size;
    int64_t created; // unix time
};

// Of Incus. A code of ERR_NONE: that part is there, and we may use it.
struct box_health {
    char version[32];
    struct fault project, network, profile, image, pool;
    char pool_driver[32];
    uint64_t pool_used, pool_total; // bytes; total 0 = not known
};

struct box_result {
    uint64_t flight; // the same for all callers of one flight, never used twice; callers of one flight are
                     // told one right after the other
    enum err code;
    struct fault fault;     // Incus' own words kept
    enum box_state was;     // before the operation
    enum box_state state;   // after it
    bool created;           // this flight created the box
    bool started;           // this flight started or unfroze it
    char hostkeys[2048];    // ENSURE of an unprovisioned box: "TYPE BASE64\n" lines
    struct box_usage usage; // STATE
    struct box_entry *list; // LIST: valid during the callback only
    size_t list_count;
    struct box_snapshot *snapshots; // SNAPSHOTS: ditto
    size_t snapshot_count;
    struct box_image *images; // IMAGES: ditto
    size_t image_count;
    struct box_health *health; // HEALTH: ditto; NULL when Incus was not reached
    char *account;             // IMPORT: what EXPORT was given; ditto
    char fingerprint[65];      // EXPORT: SHA-256 of the file; IMPORT: of the image
    uint64_t length;           // EXPORT: bytes of the file
    uint64_t elapsed_ms;
};

struct provision;

// The first failing thing (certificate unreadable, ...) is in *f. Incus being down is not an error here: each
// operation reports ERR_UNAVAILABLE until it is back.
MUST_CHECK enum err provision_new(struct event_base *base, const struct config *config,
                                  struct provision **out, struct fault *f);
// Waits for running jobs (at most their timeouts); callbacks that did not come yet never come.
void provision_free(struct provision *p);

// `step` is a short sentence for people: "Creating alice-container", with number and total when known (else
// 0, 0).
typedef void (*box_progress_fn)(void *arg, const char *step, unsigned number, unsigned total);
typedef void (*box_done_fn)(void *arg, const struct box_result *result);

// Returns a ticket (never 0). A caller that joins a flight gets the steps from now on and, at once, the
// current one. progress may be NULL. Out of memory or a full queue: done is called from the loop with
// ERR_MEMORY or ERR_FULL.
uint64_t provision_submit(struct provision *p, enum box_op op, const struct box_spec *spec,
                          box_progress_fn progress, box_done_fn done, void *arg);
// The caller is gone: its callbacks will not be called. The flight itself goes on. Unknown tickets are
// ignored.
void provision_cancel(struct provision *p, uint64_t ticket);

struct provision_stats {
    unsigned queued, running;
    uint64_t flights, joined;
};
void provision_stats(const struct provision *p, struct provision_stats *out);

#endif
