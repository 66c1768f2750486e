// Figures for Prometheus, counted as things happen and served over HTTP ([metrics] listen). The text format
// is https://prometheus.io/docs/instrumenting/exposition_formats/.
#ifndef CONTROL_METRICS_H
#define CONTROL_METRICS_H

#include "control/control.h"

struct metrics;

// Listens if the configuration says so.
MUST_CHECK enum err metrics_new(struct control *c, struct metrics **out, struct fault *f);
void metrics_free(struct metrics *m); // NULL is fine

void metrics_login(struct control *c, const char *result); // "ok", "failed", "refused", "none"
void metrics_handshake(struct control *c, uint64_t kex_ms, uint64_t auth_ms);
void metrics_bytes(struct control *c, uint64_t in, uint64_t out); // of a session that has ended
void metrics_wake(struct control *c, bool ok, uint64_t ms);       // until its sshd answered
void metrics_commit(struct control *c, uint64_t us, unsigned waiters);
void metrics_channel(struct control *c, bool opened); // or refused

#endif
