// What went wrong: a code the program acts on and a sentence a person reads.
//
// Every call that may fail returns enum err (0 or negative) and, where a person will want to know more,
// fills the struct fault the caller passed. A fault is plain data: no allocation, copy it freely.
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>
#include <stddef.h>

enum err {
    ERR_NONE = 0,
    ERR_INVALID = -1,     // the request itself is malformed; the text names the accepted forms
    ERR_NOTFOUND = -2,    // no such user, key, box, ...
    ERR_CONFLICT = -3,    // exists already, or is busy with something that excludes this
    ERR_DENIED = -4,      // known and not allowed
    ERR_TIMEOUT = -5,     // the deadline passed
    ERR_UNAVAILABLE = -6, // a service we need (Incus, the store, the control plane) cannot be reached
    ERR_FULL = -7,        // disk, quota or one of our own limits is exhausted
    ERR_MEMORY = -8,      // out of memory
    ERR_IO = -9,          // a system call failed; the text holds strerror
    ERR_PROTOCOL = -10,   // the other side of an internal protocol broke it
    ERR_FAILED = -11,     // the operation was carried out and failed; the text holds the engine's own words
};

// May be called with its result unused only where failure is harmless; say so with (void).
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((__format__(__printf__, fmt, first)))

struct fault {
    enum err code;
    char text[480]; // NUL-terminated, one line, no trailing newline; control characters are escaped
};

// Fills *f (may be NULL) and returns code, so that callers write: return fault_set(f, ERR_IO, "...", ...);
enum err fault_set(struct fault *f, enum err code, const char *format, ...) PRINTF_LIKE(3, 4);

// Like fault_set, appends ": strerror(errno)".
enum err fault_errno(struct fault *f, enum err code, const char *format, ...) PRINTF_LIKE(3, 4);

// Puts "prefix: " before the text already there; returns f->code.
enum err fault_prefix(struct fault *f, const char *format, ...) PRINTF_LIKE(2, 3);

// A short stable word for logs and --json: "not-found", "conflict", ...
const char *err_name(enum err code);

// The command line's exit status for a code: 0 ok, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 conflict.
int err_exit_status(enum err code);

#endif
