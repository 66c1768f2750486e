// The log: one line an event on stderr, key=value, for journald or a file. Audit is not a log, see
// store/audit.h.
//
// A line looks like `level=info conn=6f2a event=listening addr=0.0.0.0 port=22`. Values that come from
// outside are escaped here (\xNN for controls, quotes doubled up in backslashes), so a peer cannot forge a
// line.
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/fault.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

// Sets the lowest level written, and the program name put into `prog=`; finds out whether journald reads
// stderr, which is then told the level its own way (journalctl -p). Call once at start-up.
void log_setup(const char *program, enum log_level lowest);
bool log_level_parse(const char *text, enum log_level *out);

// Adds `conn=ID` to every further line of this process; NULL removes it. At most 39 bytes are kept.
void log_context(const char *id);

// `event` is a fixed word of ours; the rest is a printf format made of key=%s pairs. Pass peer text through
// log_quote. Never fails, never allocates, writes one line with one write(2).
void log_event(enum log_level level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);

// One line of plain words, without level and keys: for what other tools look for, such as sshd's `Accepted
// publickey for alice from 203.0.113.7 port 50122 ssh2: ...`. Written whatever the level. Control characters
// become '?'.
void log_words(const char *format, ...) PRINTF_LIKE(1, 2);

// Returns text escaped and in double quotes, in one of 8 rotating static buffers of 512 bytes: use it inside
// one log_event call only. Longer text is cut and ends in "...". NULL gives "-". Not thread-safe on purpose
// per buffer: each thread has its own set.
const char *log_quote(const char *text);

#endif
