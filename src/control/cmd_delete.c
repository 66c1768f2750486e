// delete: the end of a user and their box; and, before it, the box kept in a file.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "control/backup.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/gateway_link.h"
#include "control/share.h"

struct deletion {
    bool backed_up;
    bool ours; // the backup's file is in our folder, not on the caller's side
    char path[CONFIG_TEXT + 128];
    char sha256[65];
    uint64_t length;
};

static void on_deleted(struct command_run *run)
{
    const struct deletion *d = run->state;
    (void)gateway_kick(run->control->gateway, run->account.id, NULL, "this account was deleted");
    if (run->json) {
        json_t *backup = d->backed_up ? json_pack("{s:s, s:I, s:s}", "file", d->path, "bytes",
                                                  (json_int_t)d->length, "sha256", d->sha256)
                                      : json_null();
        verb_result(
            run, json_pack("{s:s, s:s, s:o}", "deleted", run->user, "box", run->row.name, "backup", backup));
    } else {
        verb_out(run, "Deleted %s%s%s.\n", run->user, run->row.name[0] == '\0' ? "" : " and ", run->row.name);
        if (d->backed_up)
            verb_out(run, "To bring them back: %s restore %s\n", verb_program(run),
                     d->ours && !run->who.local ? strrchr(d->path, '/') + 1 : d->path);
    }
    verb_done(run);
}

static void forget_account(struct command_run *run)
{
    struct fault f;
    struct audit_record record = {.event = AUDIT_ACCOUNT_DELETED, .box = run->row.name};
    enum err e = shares_forget_guest(run->control, run->account.id, run->who.actor, &f);
    if (e == ERR_NONE)
        e = account_delete(run->control->store, run->account.id, &f);
    if (e != ERR_NONE && e != ERR_NOTFOUND) {
        verb_fail(run, &f);
        return;
    }
    if (verb_audit(run, &record))
        verb_commit(run, on_deleted);
}

static void on_box_gone(struct command_run *run)
{
    const struct deletion *d = run->state;
    if (run->result.code == ERR_NONE) {
        forget_account(run);
        return;
    }
    struct fault f = run->result.fault;
    f.code = run->result.code;
    (void)fault_prefix(&f, "the box of %s could not be deleted", run->user);
    if (d->backed_up)
        verb_hint(
            run,
            "Nobody can log in to it any more, and the backup is whole: finish with %s delete %s --force",
            verb_program(run), run->user);
    else
        verb_hint(run, "Nobody can log in to it any more; run the same command again to finish.");
    verb_fail(run, &f);
}

static void delete_it(struct command_run *run)
{
    struct fault f;
    struct box_row row;
    (void)gateway_kick(run->control->gateway, run->account.id, NULL, "this account is being deleted");
    enum err e = box_get(run->control->store, run->account.id, &row, &f);
    if (e == ERR_NONE) {
        run->row = row;
        verb_box(run, BOX_OP_DELETE, on_box_gone);
    } else if (e == ERR_NOTFOUND) {
        forget_account(run);
    } else {
        verb_fail(run, &f);
    }
}

// ---- --backup

// What was written so far is no backup, and must not look like one.
static void drop_file(struct command_run *run)
{
    const struct deletion *d = run->state;
    if (run->file > 0 && ftruncate(run->file, 0) == 0 && d->ours)
        unlink(d->path);
}

static void on_exported(struct command_run *run)
{
    struct deletion *d = run->state;
    char size[32];
    if (run->result.code != ERR_NONE) {
        struct fault f = run->result.fault;
        f.code = run->result.code;
        drop_file(run);
        (void)fault_prefix(&f, "no backup could be made of the box of %s", run->user);
        verb_hint(run, "Nothing was deleted. The box is stopped; its next login starts it.");
        verb_fail(run, &f);
        return;
    }
    d->backed_up = true;
    d->length = run->result.length;
    snprintf(d->sha256, sizeof d->sha256, "%s", run->result.fingerprint);
    verb_note(run, "Backup: %s (%s, SHA-256 %s)", d->path, size_format_human(d->length, size, sizeof size),
              d->sha256);
    delete_it(run);
}

static void back_up(struct command_run *run)
{
    struct fault f;
    const struct deletion *d = run->state;
    struct box_wish wish = {.file = run->file};
    char *account = backup_write(run->control->store, &run->account, &run->row, &f);
    if (account == NULL) {
        drop_file(run);
        verb_fail(run, &f);
        return;
    }
    (void)gateway_kick(run->control->gateway, run->account.id, NULL, "this account is being deleted");
    wish.account = account;
    snprintf(wish.target, sizeof wish.target, "%.127s", d->path);
    verb_box_wish(run, BOX_OP_EXPORT, &wish, on_exported);
    free(account);
}

static void make_file(struct command_run *run)
{
    struct fault f;
    struct deletion *d = run->state;
    const char *path = verb_option(run, "backup");
    if (path != NULL) {
        snprintf(d->path, sizeof d->path, "%.600s", path);
        verb_pass(run, path, true, back_up);
        return;
    }
    d->ours = true;
    run->file = backup_file_make(run->control->config, run->user, d->path, sizeof d->path, &f);
    if (run->file >= 0) {
        back_up(run);
        return;
    }
    run->file = 0;
    (void)fault_prefix(&f, "nothing was deleted");
    verb_fail(run, &f);
}

static bool can_be_backed_up(struct command_run *run)
{
    if (!verb_own_box(run))
        return false;
    if (run->row.phase == BOX_READY)
        return true;
    verb_hint(run, "To delete it without a backup: %s delete %s", verb_program(run), run->user);
    verb_failf(run, ERR_CONFLICT,
               run->row.phase == BOX_DELETING ? "the deletion of %s was begun before; it can only be finished"
                                              : "%s was never finished, so there is nothing to back up yet",
               run->row.name);
    return false;
}

void cmd_delete(struct command_run *run)
{
    char question[160];
    bool backup = verb_flag(run, "backup");
    struct deletion *d = verb_state(run, sizeof *d, free);
    if (d == NULL || (backup && !can_be_backed_up(run)))
        return;
    if (run->account.id == run->who.account_id) {
        verb_failf(run, ERR_CONFLICT,
                   "this is the account you are logged in with; another administrator can delete it");
    } else if (verb_flag(run, "force")) {
        (backup ? make_file : delete_it)(run);
    } else {
        snprintf(question, sizeof question, "Delete %s, the box %s-container and everything in it%s?",
                 run->user, run->user, backup ? ", once it is backed up" : "");
        verb_confirm(run, question, backup ? make_file : delete_it);
    }
}
