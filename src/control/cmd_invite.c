// invite, invites: tokens with which people enrol a key of their own. The token is printed once and nowhere
// else.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/enrol.h"
#include "control/option.h"
#include "control/table.h"

#define EXPIRES_MIN_MS 60000
#define EXPIRES_MAX_MS (UINT64_C(90) * 86400000)

struct invitation {
    struct invite row;
    char token[INVITE_TOKEN_SIZE];
    unsigned replaced; // earlier ones that do not work any more
};

// ---- invite

static enum err parse_expiry(const struct command_run *run, struct invite *row, struct fault *f)
{
    uint64_t ms = run->control->config->invite_expiry;
    const char *text = verb_option(run, "expires");
    if (text != NULL && duration_parse(text, &ms, f) != ERR_NONE)
        return fault_prefix(f, "--expires");
    if (ms < EXPIRES_MIN_MS || ms > EXPIRES_MAX_MS)
        return fault_set(f, ERR_INVALID, "--expires: an invitation lasts from 1m to 90d");
    row->expires = row->created + (time_t)(ms / 1000);
    return ERR_NONE;
}

static enum err parse_wishes(const struct command_run *run, struct invite *row, bool exists, struct fault *f)
{
    const char *role = verb_option(run, "role");
    bool any = role != NULL || verb_option(run, "cpu") != NULL || verb_option(run, "memory") != NULL ||
               verb_option(run, "disk-quota") != NULL;
    row->created = time(NULL);
    snprintf(row->name, sizeof row->name, "%.31s", run->user);
    snprintf(row->actor, sizeof row->actor, "%s", run->who.actor);
    enum err e = name_check_user(run->user, f);
    if (e == ERR_NONE && role != NULL && !role_parse(role, &row->role))
        e = fault_set(f, ERR_INVALID, "--role: \"%.40s\" is none of user, operator, admin", role);
    if (e == ERR_NONE)
        e = option_box(run, row->cpu, &row->memory, &row->disk, f);
    if (e == ERR_NONE)
        e = option_limits(run, &row->limits, row->limited, &any, f);
    if (e == ERR_NONE && exists && any)
        e = fault_set(f, ERR_CONFLICT,
                      "%s has an account, which an invitation gives one more key; for the rest there are "
                      "role, resize and limits set",
                      run->user);
    return e == ERR_NONE ? parse_expiry(run, row, f) : e;
}

static enum err take_fingerprint(const struct pubkey *key, void *arg, struct fault *f)
{
    (void)f;
    snprintf(arg, PUBKEY_FINGERPRINT_SIZE, "%s", key->fingerprint);
    return ERR_NONE;
}

// What ssh will ask a newcomer about: whoever stands between could use the token as well. "" if not known.
static void host_fingerprint(const struct config *config, char out[PUBKEY_FINGERPRINT_SIZE])
{
    char path[CONFIG_TEXT + 32], text[1024];
    struct fault f;
    out[0] = '\0';
    snprintf(path, sizeof path, "%s/ssh_host_ed25519_key.pub", config->host_key_dir);
    FILE *in = fopen(path, "re");
    if (in == NULL)
        return;
    size_t n = fread(text, 1, sizeof text, in);
    fclose(in);
    if (pubkey_parse_file(text, n, take_fingerprint, out, &f) != ERR_NONE)
        out[0] = '\0';
}

static void tell_invited(struct command_run *run, const struct invitation *i, const char *expires,
                         const char *host_key)
{
    bool exists = i->row.account_id != 0;
    if (exists && i->row.account_id == run->who.account_id)
        verb_note(run, "Run the ssh line on your other machine. It works once, until %s.", expires);
    else
        verb_note(run, "Send the ssh line to %s over a channel you trust.\nIt works once, until %s.",
                  run->user, expires);
    if (exists)
        verb_note(run, "%s has an account: the key that is offered with it is added to the others.",
                  run->user);
    else
        verb_note(run,
                  "It makes the account %s (role %s) with the key that is offered;\n"
                  "the box is made at the first login. Whether it was used: %s invites list",
                  run->user, role_name(i->row.role), verb_program(run));
    if (host_key[0] != '\0')
        verb_note(run, "The first time, ssh asks about the gateway's key. Answer with its fingerprint:\n  %s",
                  host_key);
    if (i->replaced > 0)
        verb_note(run, "An earlier invitation of %s does not work any more.", run->user);
    if (run->control->config->public_host[0] == '\0')
        verb_note(run, "Put your gateway's name in place of GATEWAY; [control] public_host says it for you.");
}

static void on_invited(struct command_run *run)
{
    char host_key[PUBKEY_FINGERPRINT_SIZE];
    const struct invitation *i = run->state;
    char expires[32], login[INVITE_TOKEN_SIZE + 8], command[DESCRIBE_WAY];
    bool exists = i->row.account_id != 0;
    snprintf(login, sizeof login, "join+%s", i->token);
    describe_way(run->control->config, login, command);
    when_format(i->row.expires, expires, sizeof expires);
    host_fingerprint(run->control->config, host_key);
    if (run->json) {
        verb_result(run, json_pack("{s:I, s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:i}", "id",
                                   (json_int_t)i->row.id, "user", i->row.name, "role", role_name(i->row.role),
                                   "new_account", !exists, "token", i->token, "command", command, "host_key",
                                   host_key, "expires", expires, "replaced", (int)i->replaced));
        verb_done(run);
        return;
    }
    tell_invited(run, i, expires, host_key);
    verb_err(run, "\n");
    verb_out(run, "%s\n", command); // last: what is to be copied, and all that a pipe gets
    verb_done(run);
}

// One open invitation is enough for an account that is still to be made: the second would find it taken.
static enum err replace_earlier(struct command_run *run, struct invitation *i, struct fault *f)
{
    enum err e = invite_prune(run->control->store, i->row.created - INVITE_KEEP_SECONDS, f);
    if (e == ERR_NONE && i->row.account_id == 0)
        e = invite_revoke(run->control->store, 0, i->row.name, "", i->row.created, &i->replaced, f);
    return e;
}

void cmd_invite(struct command_run *run)
{
    struct invitation *i = verb_state(run, sizeof *i, free);
    struct store *s = run->control->store;
    struct fault f;
    char target[48];
    if (i == NULL)
        return;
    enum err e = account_get(s, run->user, &run->account, &f);
    bool exists = e == ERR_NONE;
    if (e == ERR_NOTFOUND)
        e = ERR_NONE;
    if (e == ERR_NONE)
        e = parse_wishes(run, &i->row, exists, &f);
    if (exists) {
        i->row.account_id = run->account.id;
        i->row.role = run->account.role;
    }
    if (e == ERR_NONE)
        e = replace_earlier(run, i, &f);
    if (e == ERR_NONE)
        e = invite_add(s, &i->row, i->token, &f);
    snprintf(target, sizeof target, "invitation %lld, %s", (long long)i->row.id,
             exists ? "one more key" : role_name(i->row.role));
    struct audit_record record = {.event = AUDIT_INVITED, .target = target};
    if (e != ERR_NONE)
        verb_fail(run, &f);
    else if (verb_audit(run, &record))
        verb_commit(run, on_invited);
}

// ---- invites list

struct listing {
    struct command_run *run;
    struct table *table; // or
    json_t *array;
    unsigned count;
};

static enum err list_invite(const struct invite *row, void *arg, struct fault *f)
{
    struct listing *l = arg;
    char created[32], expires[32];
    const char *state = invite_state_name(invite_state(row, time(NULL)));
    if (l->run->user != NULL && strcmp(l->run->user, row->name) != 0)
        return ERR_NONE;
    l->count++;
    if (l->array == NULL) {
        table_row(l->table, "%lld\t%s\t%s\t%s\t%s\t%s\t%s\t%s", (long long)row->id, row->name,
                  role_name(row->role), state, row->actor, when_format(row->created, created, sizeof created),
                  when_format(row->expires, expires, sizeof expires),
                  row->fingerprint[0] == '\0' ? "-" : row->fingerprint);
        return ERR_NONE;
    }
    json_t *one = json_pack("{s:I, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:s}", "id", (json_int_t)row->id,
                            "user", row->name, "role", role_name(row->role), "state", state, "by", row->actor,
                            "created", describe_time(row->created), "expires", describe_time(row->expires),
                            "used", describe_time(row->used), "fingerprint", row->fingerprint);
    if (one == NULL || json_array_append_new(l->array, one) != 0)
        return fault_set(f, ERR_MEMORY, "out of memory");
    return ERR_NONE;
}

void cmd_invites_list(struct command_run *run)
{
    struct listing l = {.run = run};
    struct fault f;
    if (run->json)
        l.array = json_array();
    else
        l.table = table_new();
    table_row(l.table, "ID\tUSER\tROLE\tSTATE\tBY\tCREATED\tEXPIRES\tKEY");
    if (invite_each(run->control->store, list_invite, &l, &f) != ERR_NONE) {
        json_decref(l.array);
        verb_fail(run, &f);
    } else if (run->json) {
        verb_result(run, l.array);
    } else if (l.count == 0) {
        verb_note(run, "No invitations. To make one: %s invite NAME", verb_program(run));
    } else {
        verb_table(run, l.table);
    }
    table_free(l.table);
    verb_done(run);
}

// ---- invites revoke

static void on_revoked(struct command_run *run)
{
    const unsigned *count = run->state;
    if (run->json)
        verb_result(run, json_pack("{s:i}", "revoked", (int)*count));
    else
        verb_out(run, "%u invitation%s revoked.\n", *count, *count == 1 ? "" : "s");
    verb_done(run);
}

void cmd_invites_revoke(struct command_run *run)
{
    unsigned *count = verb_state(run, sizeof *count, free);
    struct fault f;
    char *end = NULL;
    const char *which = run->user;
    if (count == NULL)
        return;
    // A user name begins with a letter.
    long long id = which[0] >= '0' && which[0] <= '9' ? strtoll(which, &end, 10) : 0;
    enum err e = ERR_NONE;
    if (end != NULL && (*end != '\0' || id <= 0))
        e = fault_set(&f, ERR_INVALID, "\"%.40s\" is neither a user name nor the number of an invitation",
                      which);
    else if (end == NULL)
        e = name_check_user(which, &f);
    if (e == ERR_NONE)
        e = invite_revoke(run->control->store, id, which, "", time(NULL), count, &f);
    if (e == ERR_NONE && *count == 0)
        e = fault_set(&f, ERR_NOTFOUND, "no invitation %s%.40s is open; see: %s invites list",
                      end == NULL ? "of " : "", which, verb_program(run));
    struct audit_record record = {.event = AUDIT_INVITE_REVOKED, .target = which};
    if (e != ERR_NONE)
        verb_fail(run, &f);
    else if (verb_audit(run, &record))
        verb_commit(run, on_revoked);
}
