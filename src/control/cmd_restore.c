// restore: a user and their box, from what `delete --backup` wrote.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/agent.h"
#include "control/backup.h"
#include "control/box_flow.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/key_list.h"

struct restoration {
    struct backup backup;
    struct key_list keys;
    enum role role;
    char fingerprint[65]; // of the image that the box is made of
    char image[128];      // what it was made of once
    struct fault why;     // what went wrong, while the image is removed
};

static void restoration_free(void *state)
{
    struct restoration *r = state;
    if (r == NULL)
        return;
    backup_clear(&r->backup);
    key_list_clear(&r->keys);
    free(r);
}

static void on_gave_up(struct command_run *run)
{
    const struct restoration *r = run->state;
    verb_fail(run, &r->why);
}

// Nothing of it is in the store: the image that was loaded goes as well.
static void give_up(struct command_run *run, const struct fault *f)
{
    struct restoration *r = run->state;
    struct box_spec spec = {.is_static = false};
    r->why = *f; // may be itself
    snprintf(spec.fingerprint, sizeof spec.fingerprint, "%s", r->fingerprint);
    verb_provision(run, BOX_OP_IMAGE_DELETE, &spec, on_gave_up);
}

// ---- the end

static void print_done(struct command_run *run)
{
    const struct restoration *r = run->state;
    bool same = strcmp(run->row.hostkeys, r->backup.row.hostkeys) == 0;
    if (!same)
        verb_note(
            run,
            "Note: the box has other host keys than it had; its users' known_hosts must follow: %s export %s",
            verb_program(run), run->user);
    if (r->role != r->backup.role)
        verb_note(run, "Note: %s was %s and is %s now; a role does not come out of a file, see --role.",
                  run->user, role_name(r->backup.role), role_name(r->role));
    if (run->json) {
        json_t *object = describe_json(&run->account, &run->row, BOX_STATE_RUNNING, NULL);
        if (object != NULL)
            json_object_set_new(object, "keys", describe_keys(run->control->store, run->account.id));
        verb_result(run, object);
    } else {
        verb_out(run, "Restored %s and %s.\n", run->user, run->row.name);
        describe_ssh(run, &run->row);
    }
    verb_done(run);
}

static void on_image_gone(struct command_run *run)
{
    if (run->result.code != ERR_NONE)
        verb_note(run, "Note: the image it was restored from could not be removed: %s",
                  run->result.fault.text);
    print_done(run);
}

static void on_image_named(struct command_run *run)
{
    const struct restoration *r = run->state;
    struct box_spec spec = {.is_static = false};
    snprintf(spec.fingerprint, sizeof spec.fingerprint, "%s", r->fingerprint);
    verb_provision(run, BOX_OP_IMAGE_DELETE, &spec, on_image_gone);
}

// What cannot be unpacked today cannot be tomorrow: the account goes again, then the image.
static void on_unmade(struct command_run *run)
{
    struct restoration *r = run->state;
    struct audit_record record = {
        .event = AUDIT_ACCOUNT_DELETED, .box = r->backup.row.name, .reason = "not restored"};
    struct fault f;
    if (account_delete(run->control->store, run->account.id, &f) != ERR_NONE) {
        verb_fail(run, &f);
    } else if (verb_audit(run, &record)) {
        (void)fault_prefix(&r->why, "nothing was restored");
        give_up(run, &r->why);
    }
}

static void not_made(struct command_run *run)
{
    struct restoration *r = run->state;
    r->why = run->result.fault;
    r->why.code = run->result.code == ERR_NONE ? ERR_NOTFOUND : run->result.code;
    if (r->why.code == ERR_FAILED) {
        verb_box(run, BOX_OP_DELETE, on_unmade);
        return;
    }
    (void)fault_prefix(&r->why, "the account %s is there, its box is not yet", run->user);
    verb_hint(
        run, "Nothing needs undoing: the first login makes the box of the backup, or fails with the reason.");
    verb_fail(run, &r->why);
}

static void on_made(struct command_run *run)
{
    const struct restoration *r = run->state;
    struct fault f;
    if (run->result.code != ERR_NONE || !run->have_row) {
        not_made(run);
    } else if (box_set_image(run->control->store, run->account.id, r->image, &f) != ERR_NONE) {
        verb_fail(run, &f);
    } else {
        snprintf(run->row.image, sizeof run->row.image, "%s", r->image);
        verb_commit(run, on_image_named);
    }
}

// ---- account and row

static void on_stored(struct command_run *run)
{
    verb_box(run, BOX_OP_ENSURE, on_made);
}

static enum err store_account(struct command_run *run, struct restoration *r, struct fault *f)
{
    struct store *s = run->control->store;
    uint32_t first = 0, last = 0;
    int64_t id = 0;
    enum err e = account_create(s, run->user, r->role, time(NULL), &id, f);
    if (e == ERR_NONE)
        e = account_get_id(s, id, &run->account, f);
    if (e != ERR_NONE)
        return e;
    run->have_account = true;
    run->row = r->backup.row;
    run->row.account_id = id;
    run->row.hostkeys[0] = '\0'; // pinned from the disk itself
    snprintf(run->row.image, sizeof run->row.image, "%s", r->fingerprint);
    config_subnet_range(run->control->config, &first, &last);
    e = agent_new_seed(run->row.gateway_seed, f);
    if (e == ERR_NONE)
        e = box_insert(s, &run->row, first, last, f);
    return e;
}

// Others write in the same group, so this is undone by hand, not rolled back.
static void undo(const struct command_run *run)
{
    struct fault f;
    if (run->have_account && account_delete(run->control->store, run->account.id, &f) != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "restore_not_undone", "user=%s error=%s", run->user, log_quote(f.text));
}

static void store_it(struct command_run *run)
{
    struct restoration *r = run->state;
    struct audit_record record = {
        .event = AUDIT_ACCOUNT_CREATED, .target = role_name(r->role), .reason = "restored"};
    struct fault f;
    unsigned added;
    enum err e = store_account(run, r, &f);
    if (e == ERR_NONE && verb_audit(run, &record) &&
        key_list_store(&r->keys, run, run->account.id, NULL, &added)) {
        verb_commit(run, on_stored);
        return;
    }
    undo(run);
    if (e != ERR_NONE) // else the run has failed already
        give_up(run, &f);
}

static enum err check(struct command_run *run, struct restoration *r, struct fault *f)
{
    struct store *s = run->control->store;
    struct account account;
    enum err e = backup_parse(run->metadata == NULL ? "" : run->metadata, &r->backup, f);
    if (e != ERR_NONE)
        return e;
    run->user = r->backup.row.user;
    snprintf(r->image, sizeof r->image, "%s", r->backup.row.image);
    e = account_get(s, run->user, &account, f);
    if (e == ERR_NONE)
        return fault_set(
            f, ERR_CONFLICT,
            "there is a user %s: what is in the backup would take their place. Delete them first, with "
            "--backup to keep what they have now",
            run->user);
    if (e != ERR_NOTFOUND)
        return e;
    e = ERR_NONE;
    if (r->backup.keys[0] != '\0')
        e = key_list_add_text(&r->keys, "the keys in the backup", r->backup.keys, strlen(r->backup.keys), f);
    return e == ERR_NONE ? key_list_check_owner(&r->keys, s, 0, f) : e;
}

static void on_loaded(struct command_run *run)
{
    struct restoration *r = run->state;
    struct fault f;
    if (verb_box_failed(run))
        return;
    snprintf(r->fingerprint, sizeof r->fingerprint, "%s", run->result.fingerprint);
    if (check(run, r, &f) != ERR_NONE)
        give_up(run, &f);
    else
        store_it(run);
}

static void load(struct command_run *run)
{
    const struct box_spec spec = {.file = run->file};
    verb_provision(run, BOX_OP_IMPORT, &spec, on_loaded);
}

void cmd_restore(struct command_run *run)
{
    struct fault f;
    const char *role = verb_option(run, "role");
    struct restoration *r = verb_state(run, sizeof *r, restoration_free);
    if (r == NULL)
        return;
    if (role != NULL && !role_parse(role, &r->role)) {
        verb_usage(run, "--role: \"%.40s\" is none of user, operator, admin", role);
        return;
    }
    int fd = backup_file_open(run->control->config, run->words[0], &f);
    if (fd >= 0) {
        run->file = fd;
        load(run);
    } else if (f.code == ERR_NOTFOUND && run->who.local) {
        verb_pass(run, run->words[0], false, load);
    } else {
        verb_fail(run, &f);
    }
}
