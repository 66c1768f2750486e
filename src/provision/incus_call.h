// For the incus*.c files of this folder only: one connection to Incus, and the calls all others are made of.
#ifndef PROVISION_INCUS_CALL_H
#define PROVISION_INCUS_CALL_H

#include "provision/incus.h"
#include "provision/incus_json.h"

struct incus {
    struct http *http;
    const struct config *config;
    const atomic_bool *stop;
    char project[192]; // percent-encoded
    uint64_t deadline;
};

// Any request, its answer as it comes. The answer is the caller's to free, also on error.
MUST_CHECK enum err incus_ask(struct incus *i, struct http_request *q, struct http_answer *a,
                              struct fault *f);
// An answer that is an envelope, checked; its error becomes ours.
MUST_CHECK enum err incus_checked(const struct http_answer *a, struct incus_envelope *envelope,
                                  struct fault *f);
// A request whose operation, if it becomes one, is waited for.
MUST_CHECK enum err incus_call(struct incus *i, const char *method, const char *path, const char *json,
                               struct fault *f);
// A GET of what is an envelope. The answer is the caller's to free, also on error.
MUST_CHECK enum err incus_fetch(struct incus *i, const char *path, struct http_answer *a, struct fault *f);

// "/1.0/instances/NAME" + suffix + "?project=P" + more.
MUST_CHECK enum err incus_box_path(const struct incus *i, const char *name, const char *suffix,
                                   const char *more, char *out, size_t out_size, struct fault *f);

#endif
