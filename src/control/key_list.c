// Owns keys between parsing and the store.
#include "control/key_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct adding {
    struct key_list *list;
};

static enum err add_one(const struct pubkey *key, void *arg, struct fault *f)
{
    struct key_list *list = ((struct adding *)arg)->list;
    if (key_list_has(list, key->fingerprint))
        return ERR_NONE;
    if (list->count == KEY_LIST_MAX)
        return fault_set(f, ERR_INVALID, "more than %d keys", KEY_LIST_MAX);
    struct pubkey *grown = reallocarray(list->keys, list->count + 1, sizeof *grown);
    if (grown == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    list->keys = grown;
    list->keys[list->count++] = *key;
    return ERR_NONE;
}

enum err key_list_add_text(struct key_list *list, const char *source, const char *text, size_t length,
                           struct fault *f)
{
    struct adding adding = {.list = list};
    enum err e = pubkey_parse_file(text == NULL ? "" : text, length, add_one, &adding, f);
    if (e != ERR_NONE)
        (void)fault_prefix(f, "%.120s", strcmp(source, "-") == 0 ? "standard input" : source);
    return e;
}

// A page of keys is what its owner uses everywhere: one that is of no use here does not spoil the others.
static bool is_unusable(const char *line)
{
    static const char *const kinds[] = {"sk-", "ssh-dss"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strncmp(line, kinds[i], strlen(kinds[i])) == 0)
            return true;
    }
    return false;
}

static size_t drop_unusable(char *text, size_t *length)
{
    size_t dropped = 0;
    char *to = text;
    for (const char *line = text, *end = text + *length; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t n = newline == NULL ? (size_t)(end - line) : (size_t)(newline - line) + 1;
        if (is_unusable(line)) {
            dropped++;
        } else {
            memmove(to, line, n);
            to += n;
        }
        line += n;
    }
    *length = (size_t)(to - text);
    *to = '\0';
    return dropped;
}

enum err key_list_add_input(struct key_list *list, struct command_run *run, const char *source,
                            struct fault *f)
{
    size_t before = list->count;
    bool fetched = fetch_is_source(source);
    size_t dropped = fetched && run->input != NULL ? drop_unusable(run->input, &run->input_length) : 0;
    if (dropped > 0)
        verb_note(run, "%zu of the keys at %s left out: FIDO (sk-) and DSA keys cannot be used here.",
                  dropped, source);
    enum err e = key_list_add_text(list, source, run->input, run->input_length, f);
    for (size_t i = before; e == ERR_NONE && fetched && i < list->count; i++) {
        if (strlen(source) < sizeof list->keys[i].comment)
            snprintf(list->keys[i].comment, sizeof list->keys[i].comment, "%s", source);
    }
    return e;
}

void key_list_clear(struct key_list *list)
{
    free(list->keys);
    *list = (struct key_list){.keys = NULL};
}

bool key_list_has(const struct key_list *list, const char *fingerprint)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->keys[i].fingerprint, fingerprint) == 0)
            return true;
    }
    return false;
}

enum err key_list_check_owner(const struct key_list *list, struct store *s, int64_t account_id,
                              struct fault *f)
{
    for (size_t i = 0; i < list->count; i++) {
        struct account owner;
        struct account_key found;
        enum err e = account_key_find(s, list->keys[i].fingerprint, &owner, &found, f);
        if (e == ERR_NONE && owner.id != account_id)
            return fault_set(
                f, ERR_CONFLICT,
                "the key %s is %s's; a key says who somebody is, so it can belong to one account only",
                list->keys[i].fingerprint, owner.name);
        if (e != ERR_NONE && e != ERR_NOTFOUND)
            return e;
    }
    return ERR_NONE;
}

bool key_list_store(const struct key_list *list, struct command_run *run, int64_t account_id, bool *fresh,
                    unsigned *added)
{
    *added = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct pubkey *key = &list->keys[i];
        struct fault f;
        bool is_new = false;
        if (account_key_add(run->control->store, account_id, key, time(NULL), &is_new, &f) != ERR_NONE) {
            verb_fail(run, &f);
            return false;
        }
        struct audit_record record = {
            .event = AUDIT_KEY_ADDED, .fingerprint = key->fingerprint, .target = key->comment};
        if (is_new && !verb_audit(run, &record))
            return false;
        if (fresh != NULL)
            fresh[i] = is_new;
        *added += is_new;
    }
    return true;
}
