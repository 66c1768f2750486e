// Incus' answers read, its requests written. Pure functions of (pointer, length); the bytes are not trusted.
#ifndef PROVISION_INCUS_JSON_H
#define PROVISION_INCUS_JSON_H

#include <time.h>

#include "provision/incus.h"

// The envelope of every answer: {"type":"sync|async|error", "operation":…, "error":…, "error_code":…,
// "metadata":…}.
struct incus_envelope {
    bool async;
    char operation[128]; // path of the operation, when async
    long error_code;     // 0 = no error
    char error[400];
};
MUST_CHECK enum err incus_read_envelope(const char *data, size_t length, struct incus_envelope *out,
                                        struct fault *f);

// The answer of .../operations/UUID/wait: ERR_NONE if it ended well, ERR_TIMEOUT if it still runs, else its
// failure.
MUST_CHECK enum err incus_read_operation(const char *data, size_t length, struct fault *f);

MUST_CHECK enum err incus_read_instance(const char *data, size_t length, struct incus_instance *out,
                                        struct fault *f);
// An instance with its state (recursion=1), or a list of them (recursion=2).
MUST_CHECK enum err incus_read_usage(const char *data, size_t length, struct box_entry *out, struct fault *f);
MUST_CHECK enum err incus_read_list(const char *data, size_t length, struct box_entry **list, size_t *count,
                                    struct fault *f);

MUST_CHECK enum err incus_read_snapshots(const char *data, size_t length, struct box_snapshot **list,
                                         size_t *count, struct fault *f);

MUST_CHECK enum err incus_read_images(const char *data, size_t length, struct box_image **list, size_t *count,
                                      struct fault *f);
MUST_CHECK enum err incus_read_image_account(const char *data, size_t length, char **account,
                                             struct fault *f);
// Of the image that an operation has made.
MUST_CHECK enum err incus_read_fingerprint(const char *data, size_t length, char *fingerprint,
                                           struct fault *f);

// A text of the metadata; "" if it has none of that name.
MUST_CHECK enum err incus_read_text(const char *data, size_t length, const char *key, char *out,
                                    size_t out_size, struct fault *f);
MUST_CHECK enum err incus_read_version(const char *data, size_t length, char *out, size_t out_size,
                                       struct fault *f);
MUST_CHECK enum err incus_read_space(const char *data, size_t length, uint64_t *used, uint64_t *total,
                                     struct fault *f);

// "Running" -> BOX_STATE_RUNNING; anything not known is UNKNOWN.
enum box_state incus_state(const char *status);

// Incus' error as one of ours: `code` is its error_code (or an HTTP status), 0 when there was only text.
enum err incus_error(long code, const char *text);

// Bodies of requests, malloc'd; NULL when out of memory.
// limits.cpu takes our forms as they are: "4" is a number of cores, "0-3" and "0,2" pin.
char *incus_write_create(const struct incus_settings *s, const struct config *config);
char *incus_write_correct(const struct incus_settings *s, const struct config *config);
char *incus_write_change(const struct box_change *change, const struct config *config);
char *incus_write_snapshot(const char *snapshot);
char *incus_write_restore(const char *snapshot);
char *incus_write_alias(const char *alias, const char *fingerprint);
char *incus_write_publish(const char *box, const char *account, time_t expires);

#endif
