// Faults: formatting and the two translations of their codes.
#include "base/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// A fault is shown on terminals and in logs: bytes below space, DEL and C1 introducers become '?'.
static void make_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\r' || *p == '\t')
            *p = ' ';
        else if (*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
}

enum err fault_set(struct fault *f, enum err code, const char *format, ...)
{
    if (f == NULL)
        return code;
    va_list ap;
    va_start(ap, format);
    f->code = code;
    vsnprintf(f->text, sizeof f->text, format, ap);
    va_end(ap);
    make_printable(f->text);
    return code;
}

enum err fault_errno(struct fault *f, enum err code, const char *format, ...)
{
    int saved = errno;
    if (f == NULL)
        return code;
    va_list ap;
    va_start(ap, format);
    f->code = code;
    int n = vsnprintf(f->text, sizeof f->text, format, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof f->text)
        snprintf(f->text + n, sizeof f->text - (size_t)n, ": %s", strerror(saved));
    make_printable(f->text);
    errno = saved;
    return code;
}

enum err fault_prefix(struct fault *f, const char *format, ...)
{
    if (f == NULL)
        return ERR_FAILED;
    char old[sizeof f->text];
    memcpy(old, f->text, sizeof old);
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(f->text, sizeof f->text, format, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof f->text)
        snprintf(f->text + n, sizeof f->text - (size_t)n, ": %.400s", old);
    make_printable(f->text);
    return f->code;
}

const char *err_name(enum err code)
{
    switch (code) {
    case ERR_NONE:
        return "ok";
    case ERR_INVALID:
        return "invalid";
    case ERR_NOTFOUND:
        return "not-found";
    case ERR_CONFLICT:
        return "conflict";
    case ERR_DENIED:
        return "denied";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_UNAVAILABLE:
        return "unavailable";
    case ERR_FULL:
        return "full";
    case ERR_MEMORY:
        return "memory";
    case ERR_IO:
        return "io";
    case ERR_PROTOCOL:
        return "protocol";
    case ERR_FAILED:
        return "failed";
    }
    return "unknown";
}

int err_exit_status(enum err code)
{
    switch (code) {
    case ERR_NONE:
        return 0;
    case ERR_INVALID:
        return 2;
    case ERR_NOTFOUND:
        return 3;
    case ERR_DENIED:
        return 4;
    case ERR_CONFLICT:
        return 5;
    case ERR_TIMEOUT:
    case ERR_UNAVAILABLE:
    case ERR_FULL:
    case ERR_MEMORY:
    case ERR_IO:
    case ERR_PROTOCOL:
    case ERR_FAILED:
        return 1;
    }
    return 1;
}
