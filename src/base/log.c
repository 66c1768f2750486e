// The log's one writer.
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    enum log_level lowest;
    char program[32];
    char context[40];
    bool journal; // stderr is a stream of journald, which takes a line's priority from "<N>" before it
} state = {.lowest = LOG_LEVEL_INFO, .program = "containarium"}; // set at start-up, before threads exist

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *const journal_levels[] = {"<7>", "<6>", "<4>", "<3>"}; // sd-daemon(3)

// JOURNAL_STREAM names the stream by device and inode (systemd.exec(5)); stderr may have been redirected
// since.
static bool stderr_is_journal(void)
{
    const char *text = getenv("JOURNAL_STREAM");
    char own[48];
    struct stat st;
    if (text == NULL || fstat(STDERR_FILENO, &st) != 0)
        return false;
    snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(text, own) == 0;
}

void log_setup(const char *program, enum log_level lowest)
{
    snprintf(state.program, sizeof state.program, "%s", program);
    state.lowest = lowest;
    state.journal = stderr_is_journal();
}

bool log_level_parse(const char *text, enum log_level *out)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_context(const char *id)
{
    snprintf(state.context, sizeof state.context, "%s", id == NULL ? "" : id);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if (level < state.lowest)
        return;
    char line[2048];
    int n = snprintf(line, sizeof line - 1, "%slevel=%s prog=%s%s%s event=%s ",
                     state.journal ? journal_levels[level] : "", level_names[level], state.program,
                     state.context[0] != '\0' ? " conn=" : "", state.context, event);
    if (n < 0 || (size_t)n >= sizeof line - 1)
        return;
    va_list ap;
    va_start(ap, format);
    int m = vsnprintf(line + n, sizeof line - 1 - (size_t)n, format, ap);
    va_end(ap);
    size_t length = (size_t)n + (m > 0 ? (size_t)m : 0);
    if (length > sizeof line - 2)
        length = sizeof line - 2;
    for (size_t i = (size_t)n; i < length; i++) {
        if ((unsigned char)line[i] < 0x20) // a value that forgot log_quote still cannot start a new line
            line[i] = ' ';
    }
    line[length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written; // nowhere to report it
}

void log_words(const char *format, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(line, sizeof line - 1, format, ap);
    va_end(ap);
    if (n < 0)
        return;
    size_t length = (size_t)n < sizeof line - 2 ? (size_t)n : sizeof line - 2;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)line[i] < 0x20 || (unsigned char)line[i] >= 0x7f)
            line[i] = '?';
    }
    line[length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written; // nowhere to report it
}

const char *log_quote(const char *text)
{
    static _Thread_local char buffers[8][512];
    static _Thread_local unsigned next;
    if (text == NULL)
        return "-";
    char *out = buffers[next++ % 8];
    size_t at = 0;
    out[at++] = '"';
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (at > 500) {
            memcpy(out + at, "...", 3);
            at += 3;
            break;
        }
        if (*p == '"' || *p == '\\') {
            out[at++] = '\\';
            out[at++] = (char)*p;
        } else if (*p < 0x20 || *p >= 0x7f) {
            at += (size_t)snprintf(out + at, 5, "\\x%02x", *p);
        } else {
            out[at++] = (char)*p;
        }
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}
