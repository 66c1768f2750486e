// Public keys read from files or stdin, on their way into an account.
#ifndef CONTROL_KEY_LIST_H
#define CONTROL_KEY_LIST_H

#include "control/command_run.h"

#define KEY_LIST_MAX 64

struct key_list {
    struct pubkey *keys;
    size_t count;
};

// Adds the keys of a file's text; `source` is named in the fault. A key that is in the list already is
// skipped.
MUST_CHECK enum err key_list_add_text(struct key_list *list, const char *source, const char *text,
                                      size_t length, struct fault *f);
// Adds what verb_read_keys has read from `source`. Keys off the web get it as their comment; those of kinds
// that cannot be used here are left out there, and the caller is told.
MUST_CHECK enum err key_list_add_input(struct key_list *list, struct command_run *run, const char *source,
                                       struct fault *f);
void key_list_clear(struct key_list *list);
bool key_list_has(const struct key_list *list, const char *fingerprint);

// ERR_CONFLICT if one of them is another account's. To be asked before anything is written.
MUST_CHECK enum err key_list_check_owner(const struct key_list *list, struct store *s, int64_t account_id,
                                         struct fault *f);

// Adds them to the account, with an audit record each. *added counts the new ones, fresh[i] (may be NULL)
// tells which they are. False: the run has failed.
bool key_list_store(const struct key_list *list, struct command_run *run, int64_t account_id, bool *fresh,
                    unsigned *added);

#endif
