// cert client, revoke, list: who else may use the HTTPS interface.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/units.h"
#include "control/cert_issue.h"
#include "control/cmd.h"
#include "control/table.h"
#include "control/tls_server.h"

// ---- client

static void say_client(struct command_run *run)
{
    const struct cert_issue *i = run->state;
    const char *folder = verb_option(run, "output-dir");
    const struct certificate_holder *holder = &i->client.holder;
    char until[32];
    when_format(holder->until, until, sizeof until);
    if (run->json) {
        json_t *object = cert_json(holder);
        if (folder == NULL && object != NULL) {
            json_object_set_new(object, "certificate", json_string(i->client.certificate));
            json_object_set_new(object, "key", json_string(i->client.key));
            json_object_set_new(object, "ca", json_string(authority_certificate(i->authority)));
        }
        verb_result(run, object);
    } else if (folder == NULL) {
        verb_out(run, "%s%s%s", i->client.certificate, i->client.key, authority_certificate(i->authority));
        verb_note(run, "Certificate, private key and authority of %s (role %s, serial %s), until %s.",
                  holder->name, role_name(holder->role), holder->serial, until);
    } else {
        verb_out(run, "Written to %s: ca.crt client.crt client.key\n", folder);
        verb_out(run, "%s, role %s, acts for %s, serial %s, until %s\n", holder->name,
                 role_name(holder->role), holder->account_id == 0 ? "no account" : "the account of that name",
                 holder->serial, until);
    }
    verb_done(run);
}

static void on_client_recorded(struct command_run *run)
{
    const struct cert_issue *i = run->state;
    if (verb_option(run, "output-dir") == NULL) {
        say_client(run);
        return;
    }
    verb_hint(run, "If the files are not what you want: containarium cert revoke %s",
              i->client.holder.serial);
    cert_save(run, "ca.crt", authority_certificate(i->authority));
    cert_save(run, "client.crt", i->client.certificate);
    cert_save(run, "client.key", i->client.key);
    verb_saved(run, say_client);
}

// A certificate with the role user is worth nothing without an account, and a name that is an account's
// means that account.
static enum err find_holder(struct command_run *run, struct cert_issue *i, int64_t *account_id,
                            struct fault *f)
{
    struct account account;
    const char *name = run->words[0];
    *account_id = 0;
    enum err e = certificate_check_name(name, f);
    if (e == ERR_NONE)
        e = cert_parse_role(run, ROLE_USER, &i->role, f);
    if (e != ERR_NONE)
        return e;
    e = account_get(run->control->store, name, &account, f);
    if (e == ERR_NONE) {
        *account_id = account.id;
        if (i->role > account.role)
            return fault_set(f, ERR_CONFLICT,
                             "the account %s has the role %s, and its certificate cannot have more; for a "
                             "machine choose a name that is no account's",
                             name, role_name(account.role));
        return ERR_NONE;
    }
    if (e == ERR_NOTFOUND && i->role != ROLE_USER)
        return ERR_NONE;
    if (e == ERR_NOTFOUND)
        return fault_set(f, ERR_NOTFOUND,
                         "there is no account %s, which a certificate with the role user acts for; for a "
                         "machine say --role operator or --role admin",
                         name);
    return e;
}

void cmd_cert_client(struct command_run *run)
{
    char folder[CONFIG_TEXT + 8];
    struct cert_issue *i = cert_issue_begin(run, folder);
    int64_t account_id = 0;
    struct fault f;
    if (i == NULL)
        return;
    enum err e = cert_check_output(run, false, &f);
    if (e == ERR_NONE)
        e = find_holder(run, i, &account_id, &f);
    if (e == ERR_NONE)
        e = cert_parse_days(run, "days", CERT_DAYS, &i->days, &f);
    if (e == ERR_NONE)
        e = authority_open(folder, &i->authority, &f);
    if (e == ERR_NONE)
        e = cert_issue_client(i, run->words[0], account_id, &f);
    if (e == ERR_NONE)
        e = authority_record(i->authority, &i->client, &f);
    if (e != ERR_NONE)
        verb_fail(run, &f);
    else if (cert_audit(run, AUDIT_KEY_ADDED, &i->client.holder))
        verb_commit(run, on_client_recorded);
}

// ---- revoke

static enum err audit_revoked(const struct certificate_holder *holder, time_t revoked, void *arg,
                              struct fault *f)
{
    struct command_run *run = arg;
    const char *which = run->words[0];
    (void)f;
    if (revoked == 0 || (strcasecmp(holder->serial, which) != 0 && strcmp(holder->name, which) != 0))
        return ERR_NONE;
    return cert_audit(run, AUDIT_KEY_REMOVED, holder) ? ERR_NONE : ERR_FULL;
}

static void on_revoked(struct command_run *run)
{
    unsigned count = ((const struct cert_issue *)run->state)->revoked;
    if (run->json)
        verb_result(run, json_pack("{s:s, s:i}", "which", run->words[0], "revoked", (int)count));
    else if (count == 0)
        verb_out(run, "Nothing to do, it was revoked before.\n");
    else
        verb_out(run, "%u certificate%s of %s revoked, connections with %s cut.\n", count,
                 count == 1 ? "" : "s", run->words[0], count == 1 ? "it are" : "them are");
    verb_done(run);
}

void cmd_cert_revoke(struct command_run *run)
{
    char folder[CONFIG_TEXT + 8];
    struct cert_issue *i = cert_issue_begin(run, folder);
    struct fault f;
    if (i == NULL)
        return;
    enum err e = authority_open(folder, &i->authority, &f);
    if (e == ERR_NONE)
        e = authority_revoke(i->authority, run->words[0], time(NULL), &i->revoked, &f);
    if (e != ERR_NONE) {
        verb_hint(run, "See: %s cert list", verb_program(run));
        verb_fail(run, &f);
        return;
    }
    tls_server_refresh(run->control);
    if (i->revoked > 0 && authority_each(i->authority, audit_revoked, run, &f) != ERR_NONE) {
        if (run->wait != RUN_FINISHED)
            verb_fail(run, &f);
        return;
    }
    verb_commit(run, on_revoked);
}

// ---- list

static const char *state_of(const struct certificate_holder *holder, time_t revoked)
{
    return revoked != 0 ? "revoked" : holder->until < time(NULL) ? "expired" : "valid";
}

static enum err list_holder(const struct certificate_holder *holder, time_t revoked, void *arg,
                            struct fault *f)
{
    char from[32], until[32];
    (void)f;
    table_row(arg, "%s\t%s\t%s\t%s\t%s\t%s\t%s", holder->name, role_name(holder->role),
              holder->account_id == 0 ? "-" : holder->name, when_format(holder->from, from, sizeof from),
              when_format(holder->until, until, sizeof until), state_of(holder, revoked), holder->serial);
    return ERR_NONE;
}

static enum err list_holder_json(const struct certificate_holder *holder, time_t revoked, void *arg,
                                 struct fault *f)
{
    json_t *object = cert_json(holder);
    (void)f;
    if (object != NULL)
        json_object_set_new(object, "state", json_string(state_of(holder, revoked)));
    json_array_append_new(arg, object);
    return ERR_NONE;
}

void cmd_cert_list(struct command_run *run)
{
    char folder[CONFIG_TEXT + 8];
    struct cert_issue *i = cert_issue_begin(run, folder);
    struct fault f;
    if (i == NULL)
        return;
    struct table *t = table_new();
    json_t *list = json_array();
    table_row(t, "NAME\tROLE\tACCOUNT\tISSUED\tEXPIRES\tSTATE\tSERIAL");
    enum err e = authority_open(folder, &i->authority, &f);
    if (e == ERR_NONE)
        e = authority_each(i->authority, run->json ? list_holder_json : list_holder,
                           run->json ? (void *)list : (void *)t, &f);
    if (e != ERR_NONE) {
        verb_fail(run, &f);
    } else if (run->json) {
        verb_result(run, json_pack("{s:O}", "certificates", list));
        verb_done(run);
    } else {
        verb_table(run, t);
        verb_done(run);
    }
    json_decref(list);
    table_free(t);
}
