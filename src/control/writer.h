// Group commit: everything written to the store during one iteration of the loop is committed once, at its
// end; only then do those who wrote tell anybody that it is done. Audit records alone, which nobody waits
// for, are committed within 50 ms.
#ifndef CONTROL_WRITER_H
#define CONTROL_WRITER_H

#include "control/control.h"

struct writer;

struct writer *writer_new(struct control *c); // NULL when out of memory
void writer_free(struct writer *w);

// `result` is ERR_NONE if the group is on disk, else nothing of it is and `f` says why.
typedef void (*writer_done_fn)(void *arg, enum err result, const struct fault *f);

// Calls done after the commit that ends this iteration, in order of asking. Call it after the writes it
// covers, in the same callback. `owner` may be used to forget: writer_cancel(w, owner) drops every done with
// that owner, and ends what it follows.
void writer_after_commit(struct writer *w, const void *owner, writer_done_fn done, void *arg);
void writer_cancel(struct writer *w, const void *owner);

// Calls `committed` after each commit that has put something on disk, until writer_cancel(w, owner).
typedef void (*writer_follow_fn)(void *arg);
MUST_CHECK enum err writer_follow(struct writer *w, const void *owner, writer_follow_fn committed, void *arg,
                                  struct fault *f);

// Something of this iteration could not be written: all of it is rolled back, and everybody who waits for
// this group is told `f`. For a caller that cannot undo its own part alone.
void writer_abandon(struct writer *w, const struct fault *f);

// Asks for a commit at the end of this iteration without anybody waiting for it.
void writer_commit_soon(struct writer *w);

// Appends an audit record with the time filled in; on failure logs it and returns the error: the caller must
// not go on with what the record was about.
enum err writer_audit(struct writer *w, struct audit_record *record, struct fault *f);

#endif
