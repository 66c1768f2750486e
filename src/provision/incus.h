// Incus' REST API as typed calls, each within the configured project. Synchronous and asynchronous calls look
// the same here: a call that Incus turns into an operation returns when that operation has ended.
//
// Errors: ERR_NOTFOUND, ERR_CONFLICT (exists, busy, already in that state: look again), ERR_DENIED, ERR_FULL,
// ERR_TIMEOUT, ERR_UNAVAILABLE (not reached, or went away), ERR_PROTOCOL (an answer we do not understand),
// ERR_FAILED. The fault holds Incus' own words.
#ifndef PROVISION_INCUS_H
#define PROVISION_INCUS_H

#include "provision/http.h"
#include "provision/provision.h"

struct incus; // for one thread

struct incus *incus_new(const struct config *config, const atomic_bool *stop); // NULL when out of memory
void incus_free(struct incus *i);                                              // NULL is fine

// No call goes beyond this point in time (monotonic_ms()); each one is also bounded by [incus] timeout.
void incus_set_deadline(struct incus *i, uint64_t deadline);

struct incus_instance {
    enum box_state state;
    bool ever_started;
    char address[64]; // eth0's fixed address
};

// What a new box is made of; also what an unfinished one is corrected to.
struct incus_settings {
    const char *name, *image, *cpu, *address;
    uint64_t memory, disk;
    bool autostart;
};

// ERR_NOTFOUND if there is none.
MUST_CHECK enum err incus_get(struct incus *i, const char *name, struct incus_instance *out, struct fault *f);
MUST_CHECK enum err incus_usage(struct incus *i, const char *name, struct box_entry *out, struct fault *f);
// *list is malloc'd, NULL if there are none.
MUST_CHECK enum err incus_list(struct incus *i, struct box_entry **list, size_t *count, struct fault *f);

MUST_CHECK enum err incus_create(struct incus *i, const struct incus_settings *s, struct fault *f);
MUST_CHECK enum err incus_correct(struct incus *i, const struct incus_settings *s, struct fault *f);
MUST_CHECK enum err incus_delete(struct incus *i, const char *name, struct fault *f);
// Only what `change` says; the box may run.
MUST_CHECK enum err incus_configure(struct incus *i, const char *name, const struct box_change *change,
                                    struct fault *f);

enum incus_action { INCUS_START, INCUS_STOP, INCUS_STOP_FORCE, INCUS_RESTART, INCUS_FREEZE, INCUS_UNFREEZE };
// `patience_ms` is how long Incus waits for a clean shutdown before it reports a failure.
MUST_CHECK enum err incus_change(struct incus *i, const char *name, enum incus_action action,
                                 uint64_t patience_ms, struct fault *f);

// incus_snapshot.c. *list is malloc'd, oldest first; NULL if there are none.
MUST_CHECK enum err incus_snapshots(struct incus *i, const char *name, struct box_snapshot **list,
                                    size_t *count, struct fault *f);
MUST_CHECK enum err incus_snapshot_create(struct incus *i, const char *name, const char *snapshot,
                                          struct fault *f);
// Disk and settings of the box become those of the snapshot; for a box that is stopped.
MUST_CHECK enum err incus_snapshot_restore(struct incus *i, const char *name, const char *snapshot,
                                           struct fault *f);
MUST_CHECK enum err incus_snapshot_delete(struct incus *i, const char *name, const char *snapshot,
                                          struct fault *f);

// incus_image.c. A fingerprint is the SHA-256 of the image's file, in hex.
#define INCUS_FINGERPRINT_SIZE 65
// *list is malloc'd, newest first; NULL if there are none.
MUST_CHECK enum err incus_images(struct incus *i, struct box_image **list, size_t *count, struct fault *f);
MUST_CHECK enum err incus_image_delete(struct incus *i, const char *fingerprint, struct fault *f);
// What incus_publish was given; malloc'd. ERR_NOTFOUND if the image was made by something else.
MUST_CHECK enum err incus_image_account(struct incus *i, const char *fingerprint, char **account,
                                        struct fault *f);
// The alias stands for this image from now on.
MUST_CHECK enum err incus_image_alias(struct incus *i, const char *alias, const char *fingerprint,
                                      struct fault *f);
// Makes an image of a stopped box, with `account` in its properties. Takes as long as it takes.
MUST_CHECK enum err incus_publish(struct incus *i, const char *name, const char *account, char *fingerprint,
                                  struct fault *f);
// Through a file, from its start, with nothing of it in memory. Checked against the fingerprint.
MUST_CHECK enum err incus_image_save(struct incus *i, const char *fingerprint, int file, uint64_t *length,
                                     struct fault *f);
// *existed tells that Incus had it already.
MUST_CHECK enum err incus_image_load(struct incus *i, int file, uint64_t length, char *fingerprint,
                                     bool *existed, struct fault *f);

// incus_health.c. An error: Incus was not reached, or does not let us in.
MUST_CHECK enum err incus_health(struct incus *i, struct box_health *h, struct fault *f);

// *data is malloc'd and NUL-terminated; `file` may be NULL. ERR_NOTFOUND if there is no such file.
MUST_CHECK enum err incus_file_get(struct incus *i, const char *name, const char *path, char **data,
                                   size_t *length, struct http_file *file, struct fault *f);
// Replaces what is there. The mode and owner of a file that exists are left as they are (Incus' way).
MUST_CHECK enum err incus_file_put(struct incus *i, const char *name, const char *path, const void *data,
                                   size_t length, const struct http_file *file, struct fault *f);
MUST_CHECK enum err incus_file_delete(struct incus *i, const char *name, const char *path, struct fault *f);
// One that exists is left as it is. ERR_NOTFOUND if the parent is missing.
MUST_CHECK enum err incus_mkdir(struct incus *i, const char *name, const char *path, unsigned mode, long uid,
                                long gid, struct fault *f);

#endif
