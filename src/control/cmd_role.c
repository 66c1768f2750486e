// role: what an account may do at the console.
#include <stdlib.h>

#include "control/cmd.h"
#include "control/command_run.h"

struct change {
    enum role was, role;
};

static enum err count_admin(const struct account *account, void *arg, struct fault *f)
{
    (void)f;
    *(unsigned *)arg += account->role == ROLE_ADMIN;
    return ERR_NONE;
}

static void on_changed(struct command_run *run)
{
    const struct change *change = run->state;
    if (run->json)
        verb_result(run, json_pack("{s:s, s:s, s:s}", "user", run->user, "role", role_name(change->role),
                                   "was", role_name(change->was)));
    else if (change->was == change->role)
        verb_out(run, "%s is %s already.\n", run->user, role_name(change->role));
    else
        verb_out(run, "%s is %s now, and was %s.\n", run->user, role_name(change->role),
                 role_name(change->was));
    verb_done(run);
}

void cmd_role(struct command_run *run)
{
    struct change *change = verb_state(run, sizeof *change, free);
    struct store *s = run->control->store;
    struct fault f;
    unsigned admins = 0;
    if (change == NULL)
        return;
    change->was = run->account.role;
    if (!role_parse(run->words[0], &change->role)) {
        verb_usage(run, "\"%.40s\" is none of user, operator, admin", run->words[0]);
        return;
    }
    enum err e = account_each(s, count_admin, &admins, &f);
    if (e == ERR_NONE && change->was == ROLE_ADMIN && change->role != ROLE_ADMIN && admins == 1 &&
        !verb_flag(run, "force"))
        e = fault_set(&f, ERR_CONFLICT,
                      "%s is the last administrator: afterwards only root on the host could administer; make "
                      "another one first, or say --force",
                      run->user);
    if (e == ERR_NONE)
        e = account_set_role(s, run->account.id, change->role, &f);
    struct audit_record record = {
        .event = AUDIT_ROLE_CHANGED, .target = role_name(change->role), .reason = role_name(change->was)};
    if (e != ERR_NONE)
        verb_fail(run, &f);
    else if (change->was == change->role || verb_audit(run, &record))
        verb_commit(run, on_changed);
}
