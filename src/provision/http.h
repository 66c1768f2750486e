// One https connection to Incus, kept alive, for one thread: requests in, whole bounded answers out.
//
// It presents our client certificate and talks to the one server certificate it was given, whatever its name
// says. It knows nothing of Incus but the headers of its file API.
#ifndef PROVISION_HTTP_H
#define PROVISION_HTTP_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/config.h"
#include "base/fault.h"

#define HTTP_BODY_MAX (1u << 20)       // bytes of an ordinary answer
#define HTTP_BODY_MAX_LIST (64u << 20) // of a list of all boxes

struct http;

// Headers of Incus' file API, both ways. type is "file", "directory", "symlink"; "" if the answer had none.
struct http_file {
    long uid, gid;
    unsigned mode;
    char type[16];
};

// A body that goes through a regular file and not through memory.
struct http_stream {
    int fd;            // at the place to begin
    uint64_t length;   // load: bytes to send. save: bytes that came
    uint64_t stall_ms; // without a byte for so long: ERR_TIMEOUT; the whole may take any time
    char sha256[65];   // out: of what went through, in hex
};

struct http_request {
    const char *method; // "GET" "PUT" "POST" "PATCH" "DELETE"
    const char *path;   // "/1.0/..." with its query
    const char *json;   // body, or NULL
    const void *data;   // body of a file upload, or NULL; with `file`
    size_t data_length;
    const struct http_file *file; // headers of a file upload, or NULL
    struct http_stream *load;     // body from a file, or NULL
    struct http_stream *save;     // body of a 200 goes into a file; NULL: into the answer
    size_t body_max;              // 0 = HTTP_BODY_MAX
    uint64_t timeout_ms;          // for the whole request
};

struct http_answer {
    long status;
    char *body; // malloc'd, NUL-terminated beyond length; NULL when empty
    size_t length;
    struct http_file file;
};

// Once a process, before the threads that use it.
MUST_CHECK enum err http_global(struct fault *f);

// Are the files there and readable? ERR_IO says which one is not and how to make it; ERR_NOTFOUND: none of
// them is.
MUST_CHECK enum err http_check_files(const struct config *config, struct fault *f);

// `stop` may be NULL; once it is true running requests end within a second. NULL when out of memory.
struct http *http_new(const struct config *config, const atomic_bool *stop);
void http_free(struct http *h); // NULL is fine

// An answer of any HTTP status is ERR_NONE. ERR_UNAVAILABLE: no connection, or it broke; ERR_TIMEOUT;
// ERR_FULL: the answer is larger than body_max; ERR_DENIED: one of the certificates was not accepted. The
// answer is freed with http_answer_free also after an error.
MUST_CHECK enum err http_perform(struct http *h, const struct http_request *request,
                                 struct http_answer *answer, struct fault *f);
void http_answer_free(struct http_answer *answer);

// "name=value" pairs and path segments: percent-encodes into out. False if it does not fit.
bool http_escape(const char *text, char *out, size_t out_size);

#endif
