// cert generate, server, client, revoke, list: the certificates of the HTTPS interface. The authority lives
// with the daemon (pki/authority.h); what a person needs is written on the caller's side, and nothing of a
// new authority is in force before that has been done.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/table.h"
#include "control/tls_server.h"
#include "pki/authority.h"

#define DAY 86400
#define DAYS_AUTHORITY 3650
#define DAYS_OTHERS 365
#define DAYS_MAX 7300

struct issue {
    struct authority *authority;
    struct credential server, client;
    const char *hosts[CERTIFICATE_HOSTS_MAX];
    size_t host_count;
    unsigned days, authority_days;
    enum role role;
};

static void issue_free(void *state)
{
    struct issue *i = state;
    if (i == NULL)
        return;
    authority_free(i->authority);
    credential_clear(&i->server);
    credential_clear(&i->client);
    free(i);
}

// ---- words

static enum err parse_days(struct command_run *run, const char *option, unsigned fallback, unsigned *out,
                           struct fault *f)
{
    const char *text = verb_option(run, option);
    char *end = NULL;
    *out = fallback;
    if (text == NULL)
        return ERR_NONE;
    unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || n < 1 || n > DAYS_MAX)
        return fault_set(f, ERR_INVALID, "--%s: \"%.40s\" is not a number of days from 1 to %d", option, text,
                         DAYS_MAX);
    *out = (unsigned)n;
    return ERR_NONE;
}

static enum err parse_role(struct command_run *run, enum role fallback, enum role *out, struct fault *f)
{
    const char *text = verb_option(run, "role");
    *out = fallback;
    if (text != NULL && !role_parse(text, out))
        return fault_set(f, ERR_INVALID, "--role: \"%.40s\" is not a role; accepted: user, operator, admin",
                         text);
    return ERR_NONE;
}

static enum err add_hosts(struct command_run *run, const char *option, struct issue *i, struct fault *f)
{
    const char *host;
    for (size_t at = 0; (host = verb_option_next(run, option, &at)) != NULL;) {
        if (i->host_count == CERTIFICATE_HOSTS_MAX)
            return fault_set(f, ERR_INVALID, "more than %d addresses and names", CERTIFICATE_HOSTS_MAX);
        if (certificate_check_host(host, f) != ERR_NONE)
            return fault_prefix(f, "--%s", option);
        i->hosts[i->host_count++] = host;
    }
    return ERR_NONE;
}

static enum err parse_hosts(struct command_run *run, struct issue *i, struct fault *f)
{
    enum err e = add_hosts(run, "server-ip", i, f);
    if (e == ERR_NONE)
        e = add_hosts(run, "server-name", i, f);
    if (e == ERR_NONE && i->host_count == 0)
        e = fault_set(f, ERR_INVALID,
                      "say how the server is reached: --server-ip ADDRESS, --server-name NAME, or both");
    return e;
}

// Without the containarium program at the other end there is nobody who could write files.
static enum err check_output(struct command_run *run, bool needed, struct fault *f)
{
    const char *folder = verb_option(run, "output-dir");
    if (folder == NULL && needed)
        return fault_set(f, ERR_INVALID, "say where the files go: --output-dir DIR");
    if (folder != NULL && !run->cli)
        return fault_set(f, ERR_INVALID,
                         "files cannot be written on your machine from here; use the containarium program: "
                         "containarium --server HOST %s ...%s",
                         run->command->name,
                         needed ? "" : ", or leave --output-dir out: the text goes to standard output");
    if (folder != NULL && (folder[0] == '\0' || strlen(folder) > 512))
        return fault_set(f, ERR_INVALID, "--output-dir: not the name of a folder");
    return ERR_NONE;
}

static void save(struct command_run *run, const char *name, const char *text)
{
    const char *folder = verb_option(run, "output-dir");
    char path[600];
    size_t n = strlen(folder);
    snprintf(path, sizeof path, "%s%s%s", folder, n > 0 && folder[n - 1] == '/' ? "" : "/", name);
    verb_save(run, path, text, strlen(text));
}

// ---- what both generate and server make

static enum err issue_server(struct issue *i, struct fault *f)
{
    time_t now = time(NULL);
    struct certificate_wish wish = {.kind = CERTIFICATE_SERVER,
                                    .name =
                                        strlen(i->hosts[0]) < CERTIFICATE_NAME_SIZE ? i->hosts[0] : "server",
                                    .hosts = i->hosts,
                                    .host_count = i->host_count,
                                    .from = now - 3600, // the caller's clock may be behind
                                    .until = now + (time_t)i->days * DAY};
    return authority_issue(i->authority, &wish, &i->server, f);
}

static enum err issue_client(struct issue *i, const char *name, int64_t account_id, struct fault *f)
{
    time_t now = time(NULL);
    struct certificate_wish wish = {.kind = CERTIFICATE_CLIENT,
                                    .name = name,
                                    .role = i->role,
                                    .account_id = account_id,
                                    .from = now,
                                    .until = now + (time_t)i->days * DAY};
    return authority_issue(i->authority, &wish, &i->client, f);
}

static bool audit_certificate(struct command_run *run, enum audit_event event,
                              const struct certificate_holder *holder)
{
    char serial[CERTIFICATE_SERIAL_SIZE + 8], what[CERTIFICATE_NAME_SIZE + 64];
    snprintf(serial, sizeof serial, "X509:%s", holder->serial);
    snprintf(what, sizeof what, "certificate %s, role %s", holder->name, role_name(holder->role));
    struct audit_record record = {
        .event = event, .user = holder->name, .fingerprint = serial, .target = what};
    return verb_audit(run, &record);
}

static json_t *holder_json(const struct certificate_holder *holder)
{
    char from[32], until[32];
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:s}", "serial", holder->serial, "name", holder->name, "role",
                     role_name(holder->role), "account_id",
                     holder->account_id == 0 ? json_null() : json_integer(holder->account_id), "from",
                     when_format(holder->from, from, sizeof from), "until",
                     when_format(holder->until, until, sizeof until));
}

// ---- generate

static void say_generated(struct command_run *run)
{
    const struct issue *i = run->state;
    const char *folder = verb_option(run, "output-dir"), *port = tls_server_port(run->control);
    char until[32], client_until[32];
    when_format(i->server.holder.until, until, sizeof until);
    when_format(i->client.holder.until, client_until, sizeof client_until);
    if (run->json) {
        verb_result(run, json_pack("{s:s, s:o, s:o}", "folder", folder, "server",
                                   holder_json(&i->server.holder), "client", holder_json(&i->client.holder)));
        return;
    }
    verb_out(run, "Written to %s:\n", folder);
    verb_out(run, "  ca.crt ca.key          the certificate authority, for %u days\n", i->authority_days);
    verb_out(run, "  server.crt server.key  until %s, for", until);
    for (size_t h = 0; h < i->host_count; h++)
        verb_out(run, " %s", i->hosts[h]);
    verb_out(run, "\n  client.crt client.key  until %s, name %s, role %s\n\n", client_until,
             i->client.holder.name, role_name(i->client.holder.role));
    verb_out(run,
             "The daemon has its own copy and uses it. Copy ca.crt, client.crt and client.key to your "
             "machine, then:\n  containarium --server %s:%s --certs-dir DIR list\n",
             i->hosts[0], port == NULL ? "50051" : port);
    if (port == NULL)
        verb_out(run, "Nothing listens yet: set listen_tls = 0.0.0.0:50051 in [control] of the configuration "
                      "and reload (systemctl reload containariumd).\n");
    verb_out(run, "More people and machines: containarium cert client NAME --role ROLE.\n");
}

static void on_generated(struct command_run *run)
{
    say_generated(run);
    verb_done(run);
}

static void on_files_written(struct command_run *run)
{
    struct issue *i = run->state;
    struct fault f;
    enum err e = authority_install(i->authority, &i->server, time(NULL), &f);
    if (e == ERR_NONE)
        e = authority_record(i->authority, &i->client, &f);
    if (e != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    tls_server_refresh(run->control);
    if (audit_certificate(run, AUDIT_KEY_ADDED, &i->client.holder))
        verb_commit(run, on_generated);
}

void cmd_cert_generate(struct command_run *run)
{
    struct issue *i = verb_state(run, sizeof *i, issue_free);
    char folder[CONFIG_TEXT + 8];
    struct fault f;
    if (i == NULL)
        return;
    tls_folder(run->control->config, folder);
    enum err e = check_output(run, true, &f);
    if (e == ERR_NONE)
        e = parse_hosts(run, i, &f);
    if (e == ERR_NONE)
        e = parse_days(run, "days", DAYS_OTHERS, &i->days, &f);
    if (e == ERR_NONE)
        e = parse_days(run, "ca-days", DAYS_AUTHORITY, &i->authority_days, &f);
    if (e == ERR_NONE)
        e = parse_role(run, ROLE_ADMIN, &i->role, &f);
    if (e == ERR_NONE && i->role == ROLE_USER)
        e = fault_set(&f, ERR_INVALID,
                      "--role: the first certificate is for administering; accepted: operator, admin");
    if (e == ERR_NONE && authority_exists(folder) && !verb_flag(run, "force")) {
        verb_hint(run, "One more client: cert client NAME. Another address of the server: cert server "
                       "--server-ip ADDRESS. Start all over, after which no certificate issued so far works: "
                       "--force.");
        e = fault_set(&f, ERR_CONFLICT, "there is a certificate authority already, and nothing was changed");
    }
    if (e == ERR_NONE)
        e = authority_new(folder, time(NULL), i->authority_days, &i->authority, &f);
    if (e == ERR_NONE)
        e = issue_server(i, &f);
    if (e == ERR_NONE)
        e = issue_client(i, "admin", 0, &f);
    if (e != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    save(run, "ca.crt", authority_certificate(i->authority));
    save(run, "ca.key", authority_key(i->authority));
    save(run, "server.crt", i->server.certificate);
    save(run, "server.key", i->server.key);
    save(run, "client.crt", i->client.certificate);
    save(run, "client.key", i->client.key);
    verb_saved(run, on_files_written);
}

// ---- server

void cmd_cert_server(struct command_run *run)
{
    struct issue *i = verb_state(run, sizeof *i, issue_free);
    char folder[CONFIG_TEXT + 8], until[32];
    struct fault f;
    if (i == NULL)
        return;
    tls_folder(run->control->config, folder);
    enum err e = parse_hosts(run, i, &f);
    if (e == ERR_NONE)
        e = parse_days(run, "days", DAYS_OTHERS, &i->days, &f);
    if (e == ERR_NONE)
        e = authority_open(folder, &i->authority, &f);
    if (e == ERR_NONE)
        e = issue_server(i, &f);
    if (e == ERR_NONE)
        e = authority_set_server(i->authority, &i->server, &f);
    if (e != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    tls_server_refresh(run->control);
    if (run->json)
        verb_result(run, holder_json(&i->server.holder));
    else
        verb_out(run, "The server shows a new certificate, until %s. Clients need nothing new.\n",
                 when_format(i->server.holder.until, until, sizeof until));
    verb_done(run);
}

// ---- client

static void say_client(struct command_run *run)
{
    const struct issue *i = run->state;
    const char *folder = verb_option(run, "output-dir");
    const struct certificate_holder *holder = &i->client.holder;
    char until[32];
    when_format(holder->until, until, sizeof until);
    if (run->json) {
        json_t *object = holder_json(holder);
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
    const struct issue *i = run->state;
    if (verb_option(run, "output-dir") == NULL) {
        say_client(run);
        return;
    }
    verb_hint(run, "If the files are not what you want: containarium cert revoke %s",
              i->client.holder.serial);
    save(run, "ca.crt", authority_certificate(i->authority));
    save(run, "client.crt", i->client.certificate);
    save(run, "client.key", i->client.key);
    verb_saved(run, say_client);
}

// A certificate with the role user is worth nothing without an account, and a name that is an account's
// means that account.
static enum err find_holder(struct command_run *run, struct issue *i, int64_t *account_id, struct fault *f)
{
    struct account account;
    const char *name = run->words[0];
    *account_id = 0;
    enum err e = certificate_check_name(name, f);
    if (e == ERR_NONE)
        e = parse_role(run, ROLE_USER, &i->role, f);
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
    struct issue *i = verb_state(run, sizeof *i, issue_free);
    char folder[CONFIG_TEXT + 8];
    int64_t account_id = 0;
    struct fault f;
    if (i == NULL)
        return;
    tls_folder(run->control->config, folder);
    enum err e = check_output(run, false, &f);
    if (e == ERR_NONE)
        e = find_holder(run, i, &account_id, &f);
    if (e == ERR_NONE)
        e = parse_days(run, "days", DAYS_OTHERS, &i->days, &f);
    if (e == ERR_NONE)
        e = authority_open(folder, &i->authority, &f);
    if (e == ERR_NONE)
        e = issue_client(i, run->words[0], account_id, &f);
    if (e == ERR_NONE)
        e = authority_record(i->authority, &i->client, &f);
    if (e != ERR_NONE)
        verb_fail(run, &f);
    else if (audit_certificate(run, AUDIT_KEY_ADDED, &i->client.holder))
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
    return audit_certificate(run, AUDIT_KEY_REMOVED, holder) ? ERR_NONE : ERR_FULL;
}

static void on_revoked(struct command_run *run)
{
    verb_done(run);
}

void cmd_cert_revoke(struct command_run *run)
{
    struct issue *i = verb_state(run, sizeof *i, issue_free);
    char folder[CONFIG_TEXT + 8];
    unsigned count = 0;
    struct fault f;
    if (i == NULL)
        return;
    tls_folder(run->control->config, folder);
    enum err e = authority_open(folder, &i->authority, &f);
    if (e == ERR_NONE)
        e = authority_revoke(i->authority, run->words[0], time(NULL), &count, &f);
    if (e != ERR_NONE) {
        verb_hint(run, "See: %s cert list", verb_program(run));
        verb_fail(run, &f);
        return;
    }
    tls_server_refresh(run->control);
    if (count > 0 && authority_each(i->authority, audit_revoked, run, &f) != ERR_NONE) {
        if (run->wait != RUN_FINISHED)
            verb_fail(run, &f);
        return;
    }
    if (run->json)
        verb_result(run, json_pack("{s:s, s:i}", "which", run->words[0], "revoked", (int)count));
    else if (count == 0)
        verb_out(run, "Nothing to do, it was revoked before.\n");
    else
        verb_out(run, "%u certificate%s of %s revoked, connections with %s cut.\n", count,
                 count == 1 ? "" : "s", run->words[0], count == 1 ? "it are" : "them are");
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
    json_t *object = holder_json(holder);
    (void)f;
    if (object != NULL)
        json_object_set_new(object, "state", json_string(state_of(holder, revoked)));
    json_array_append_new(arg, object);
    return ERR_NONE;
}

void cmd_cert_list(struct command_run *run)
{
    struct issue *i = verb_state(run, sizeof *i, issue_free);
    char folder[CONFIG_TEXT + 8];
    struct fault f;
    if (i == NULL)
        return;
    tls_folder(run->control->config, folder);
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
        char *text = table_text(t);
        verb_out_text(run, text == NULL ? "" : text);
        free(text);
        verb_done(run);
    }
    json_decref(list);
    table_free(t);
}
