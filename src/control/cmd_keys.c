// keys list, add, remove, replace, sync. A change is in the store first (so the gateway obeys it), then
// sessions that came in with a removed key are cut, then the box is told; only then the command answers.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/gateway_link.h"
#include "control/key_list.h"
#include "control/share.h"
#include "control/table.h"
#include "store/invite.h"

struct change {
    struct key_list sources; // sync: keys whose comments are sources, one of each
    size_t next_source;
    struct key_list keys;     // read from the caller
    struct key_list remove;   // to be cut
    bool fresh[KEY_LIST_MAX]; // which of keys were not there before
    unsigned added, removed, kicked;
};

static void change_free(void *state)
{
    struct change *change = state;
    if (change == NULL)
        return;
    key_list_clear(&change->sources);
    key_list_clear(&change->keys);
    key_list_clear(&change->remove);
    free(change);
}

// ---- list

static enum err list_key(const struct account_key *key, void *arg, struct fault *f)
{
    char added[32], used[32];
    (void)f;
    table_row(arg, "%s\t%s\t%u\t%s\t%s\t%s\t%s", key->key.fingerprint, key->key.type, key->key.bits,
              key->key.comment[0] == '\0' ? "-" : key->key.comment,
              when_format(key->added, added, sizeof added),
              key->last_used == 0 ? "never" : when_format(key->last_used, used, sizeof used),
              key->key.options[0] == '\0' ? "-" : key->key.options);
    return ERR_NONE;
}

// Which of them is this machine's? For whoever is about to remove one.
static void say_own_key(struct command_run *run)
{
    char own[PUBKEY_FINGERPRINT_SIZE];
    describe_own_key(run, own);
    if (run->account.id == run->who.account_id && own[0] != '\0' && run->tty_out)
        verb_note(run, "The one you use now: %s", own);
}

void cmd_keys_list(struct command_run *run)
{
    struct fault f;
    if (run->json) {
        verb_result(run, describe_keys(run->control->store, run->account.id));
        verb_done(run);
        return;
    }
    struct table *t = table_new();
    table_row(t, "FINGERPRINT\tTYPE\tBITS\tCOMMENT\tADDED\tLAST USED\tOPTIONS");
    if (account_key_each(run->control->store, run->account.id, list_key, t, &f) != ERR_NONE) {
        verb_fail(run, &f);
    } else {
        verb_table(run, t);
        say_own_key(run);
        verb_done(run);
    }
    table_free(t);
}

// ---- the common end of every change

static void cut_sessions(struct command_run *run)
{
    struct change *change = run->state;
    for (size_t i = 0; i < change->remove.count; i++)
        change->kicked +=
            gateway_kick(run->control->gateway, run->account.id, change->remove.keys[i].fingerprint,
                         "the key of this session was removed");
}

static void count_session(const struct live_session *session, void *arg)
{
    struct change *change = arg;
    change->kicked += key_list_has(&change->remove, session->fingerprint);
}

static void say_key(struct command_run *run, const char *what, const struct pubkey *key)
{
    verb_out(run, "%s %s: %s %s\n", what, run->user, key->fingerprint, key->comment);
}

static void answer(struct command_run *run)
{
    struct change *change = run->state;
    bool own = run->account.id == run->who.account_id;
    if (own) // they are cut last, because this command's own session may be among them
        gateway_each_live(run->control->gateway, run->account.id, count_session, change);
    if (run->json) {
        verb_result(run, json_pack("{s:s, s:i, s:i, s:i}", "user", run->user, "added", (int)change->added,
                                   "removed", (int)change->removed, "sessions_ended", (int)change->kicked));
    } else {
        if (change->added == 0 && change->removed == 0)
            verb_out(run, "Nothing to change, %s has it so already.\n", run->user);
        for (size_t i = 0; i < change->keys.count; i++) {
            if (change->fresh[i])
                say_key(run, "Added to", &change->keys.keys[i]);
        }
        for (size_t i = 0; i < change->remove.count; i++)
            say_key(run, "Removed from", &change->remove.keys[i]);
        if (change->kicked > 0)
            verb_out(run, "%u live session%s ended.\n", change->kicked, change->kicked == 1 ? "" : "s");
    }
    if (own)
        cut_sessions(run);
    verb_done(run);
}

static void on_box_told(struct command_run *run)
{
    struct fault f = run->result.fault;
    if (run->result.code == ERR_NONE) {
        answer(run);
        return;
    }
    f.code = run->result.code;
    if (run->account.id == run->who.account_id)
        cut_sessions(run);
    (void)fault_prefix(&f, "in force at the gateway, but the box could not be told");
    verb_hint(run, "Run the same command again once the box can be reached.");
    verb_fail(run, &f);
}

static void on_committed(struct command_run *run)
{
    if (run->account.id != run->who.account_id)
        cut_sessions(run);
    shares_tell_boxes(run->control, run->account.id, run->who.actor);
    verb_box_keys(run, on_box_told);
}

static bool remove_keys(struct command_run *run)
{
    struct change *change = run->state;
    struct fault f;
    for (size_t i = 0; i < change->remove.count; i++) {
        const struct pubkey *key = &change->remove.keys[i];
        struct account_key removed;
        struct audit_record record = {
            .event = AUDIT_KEY_REMOVED, .fingerprint = key->fingerprint, .target = key->comment};
        if (account_key_remove(run->control->store, run->account.id, key->fingerprint, &removed, &f) !=
            ERR_NONE) {
            verb_fail(run, &f);
            return false;
        }
        if (!verb_audit(run, &record))
            return false;
        change->removed++;
    }
    return true;
}

// "No others" is also said to those who were invited to bring one. And whoever had a key that is removed
// could have invited in its owner's name.
static bool revoke_invitations(struct command_run *run)
{
    const struct change *change = run->state;
    bool all = strcmp(run->command->name, "keys replace") == 0;
    struct fault f;
    unsigned count = 0;
    if (!all && change->removed == 0)
        return true;
    if (invite_revoke(run->control->store, 0, run->user, all ? "" : run->user, time(NULL), &count, &f) !=
        ERR_NONE) {
        verb_fail(run, &f);
        return false;
    }
    struct audit_record record = {.event = AUDIT_INVITE_REVOKED, .target = run->command->name};
    if (count > 0)
        verb_note(run, "%u open invitation%s of %s revoked.", count, count == 1 ? "" : "s", run->user);
    return count == 0 || verb_audit(run, &record);
}

// ---- add and replace

static enum err append(struct key_list *list, const struct pubkey *key, struct fault *f)
{
    struct pubkey *grown = reallocarray(list->keys, list->count + 1, sizeof *grown);
    if (grown == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    list->keys = grown;
    grown[list->count++] = *key;
    return ERR_NONE;
}

static enum err mark_for_removal(const struct account_key *key, void *arg, struct fault *f)
{
    struct change *change = arg;
    return key_list_has(&change->keys, key->key.fingerprint) ? ERR_NONE
                                                             : append(&change->remove, &key->key, f);
}

static void on_keys_read(struct command_run *run)
{
    struct change *change = run->state;
    struct store *s = run->control->store;
    struct fault f;
    const char *source = run->word_count > 0 ? run->words[0] : "-";
    enum err e = key_list_add_input(&change->keys, run, source, &f);
    if (e == ERR_NONE)
        e = key_list_check_owner(&change->keys, s, run->account.id, &f);
    if (e == ERR_NONE && strcmp(run->command->name, "keys replace") == 0)
        e = account_key_each(s, run->account.id, mark_for_removal, change, &f);
    if (e != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    if (key_list_store(&change->keys, run, run->account.id, change->fresh, &change->added) &&
        remove_keys(run) && revoke_invitations(run))
        verb_commit(run, on_committed);
}

void cmd_keys_add(struct command_run *run)
{
    if (verb_state(run, sizeof(struct change), change_free) != NULL)
        verb_read_keys(run, run->word_count > 0 ? run->words[0] : "-", on_keys_read);
}

void cmd_keys_replace(struct command_run *run)
{
    cmd_keys_add(run); // on_keys_read looks at the verb
}

// ---- sync: the comment of a key off the web is where it came from

static enum err note_source(const struct account_key *key, void *arg, struct fault *f)
{
    struct change *change = arg;
    char url[FETCH_URL_SIZE];
    const char *comment = key->key.comment;
    if (!fetch_is_source(comment) || fetch_url(comment, url, f) != ERR_NONE)
        return ERR_NONE;
    for (size_t i = 0; i < change->sources.count; i++) {
        if (strcmp(change->sources.keys[i].comment, comment) == 0)
            return ERR_NONE;
    }
    return append(&change->sources, &key->key, f);
}

// Keys of a source that it does not have any more; what came from elsewhere stays.
static enum err mark_stale(const struct account_key *key, void *arg, struct fault *f)
{
    const struct change *change = arg;
    for (size_t i = 0; i < change->sources.count; i++) {
        if (strcmp(change->sources.keys[i].comment, key->key.comment) == 0)
            return mark_for_removal(key, arg, f);
    }
    return ERR_NONE;
}

static void fetch_next(struct command_run *run);

static void on_source_fetched(struct command_run *run)
{
    struct change *change = run->state;
    struct fault f;
    const char *source = change->sources.keys[change->next_source++].comment;
    if (key_list_add_input(&change->keys, run, source, &f) != ERR_NONE)
        verb_fail(run, &f);
    else
        fetch_next(run);
}

static void fetch_next(struct command_run *run)
{
    struct change *change = run->state;
    struct fault f;
    if (change->next_source < change->sources.count) {
        verb_read_keys(run, change->sources.keys[change->next_source].comment, on_source_fetched);
        return;
    }
    enum err e = key_list_check_owner(&change->keys, run->control->store, run->account.id, &f);
    if (e == ERR_NONE)
        e = account_key_each(run->control->store, run->account.id, mark_stale, change, &f);
    if (e != ERR_NONE)
        verb_fail(run, &f);
    else if (key_list_store(&change->keys, run, run->account.id, change->fresh, &change->added) &&
             remove_keys(run) && revoke_invitations(run))
        verb_commit(run, on_committed);
}

void cmd_keys_sync(struct command_run *run)
{
    struct change *change = verb_state(run, sizeof *change, change_free);
    struct fault f;
    if (change == NULL)
        return;
    if (account_key_each(run->control->store, run->account.id, note_source, change, &f) != ERR_NONE)
        verb_fail(run, &f);
    else if (change->sources.count == 0)
        verb_failf(run, ERR_NOTFOUND,
                   "no key of %s came off the web; to begin with it: %s keys add %s github:NAME", run->user,
                   verb_program(run), run->user);
    else
        fetch_next(run);
}

// ---- remove

struct search {
    const char *which;
    struct change *change;
    unsigned total;
};

static enum err match_key(const struct account_key *key, void *arg, struct fault *f)
{
    struct search *search = arg;
    search->total++;
    if (strcmp(key->key.fingerprint, search->which) != 0 && strcmp(key->key.comment, search->which) != 0)
        return ERR_NONE;
    return mark_for_removal(key, search->change, f);
}

void cmd_keys_remove(struct command_run *run)
{
    struct change *change = verb_state(run, sizeof *change, change_free);
    struct search search = {.which = run->words[0], .change = change};
    struct fault f;
    if (change == NULL)
        return;
    if (account_key_each(run->control->store, run->account.id, match_key, &search, &f) != ERR_NONE)
        verb_fail(run, &f);
    else if (change->remove.count == 0)
        verb_failf(run, ERR_NOTFOUND, "%s has no key \"%.100s\"; see: %s keys list %s", run->user,
                   search.which, verb_program(run), run->user);
    else if (change->remove.count > 1)
        verb_failf(run, ERR_CONFLICT,
                   "%zu keys of %s have the comment \"%.100s\"; name one by its fingerprint",
                   change->remove.count, run->user, search.which);
    else if (search.total == 1 && !verb_flag(run, "force"))
        verb_failf(
            run, ERR_CONFLICT,
            run->account.id == run->who.account_id
                ? "this is the last key of %s: you could not log in any more; add another first, or say "
                  "--force"
                : "this is the last key of %s, who could not log in any more; add another first, or say "
                  "--force",
            run->user);
    else if (remove_keys(run) && revoke_invitations(run))
        verb_commit(run, on_committed);
}
