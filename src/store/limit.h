// Limits that an account has of its own, in place of the configuration's. Names as policy/limit.h has them.
#ifndef STORE_LIMIT_H
#define STORE_LIMIT_H

#include "policy/limit.h"
#include "store/store.h"

// Sets those of *limits that the account has of its own, and marks them in own[] (LIMIT_COUNT entries, may be
// NULL).
MUST_CHECK enum err limit_load(struct store *s, int64_t account_id, struct limits *limits, bool *own,
                               struct fault *f);
MUST_CHECK enum err limit_set(struct store *s, int64_t account_id, enum limit_name name, uint64_t value,
                              struct fault *f);
MUST_CHECK enum err limit_reset(struct store *s, int64_t account_id, struct fault *f); // all of them

#endif
