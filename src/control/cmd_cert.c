// cert generate, cert server: the authority and the server's own certificate. The authority lives with the
// daemon (pki/authority.h); what a person needs is written on the caller's side, and nothing of a new
// authority is in force before that has been done.
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "control/cert_issue.h"
#include "control/cmd.h"
#include "control/tls_server.h"

#define DAYS_AUTHORITY 3650

static enum err add_hosts(struct command_run *run, const char *option, struct cert_issue *i, struct fault *f)
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

static enum err parse_hosts(struct command_run *run, struct cert_issue *i, struct fault *f)
{
    enum err e = add_hosts(run, "server-ip", i, f);
    if (e == ERR_NONE)
        e = add_hosts(run, "server-name", i, f);
    if (e == ERR_NONE && i->host_count == 0)
        e = fault_set(f, ERR_INVALID,
                      "say how the server is reached: --server-ip ADDRESS, --server-name NAME, or both");
    return e;
}

static enum err issue_server(struct cert_issue *i, struct fault *f)
{
    time_t now = time(NULL);
    struct certificate_wish wish = {.kind = CERTIFICATE_SERVER,
                                    .name =
                                        strlen(i->hosts[0]) < CERTIFICATE_NAME_SIZE ? i->hosts[0] : "server",
                                    .hosts = i->hosts,
                                    .host_count = i->host_count,
                                    .from = now - 3600, // the caller's clock may be behind
                                    .until = now + (time_t)i->days * CERT_DAY};
    return authority_issue(i->authority, &wish, &i->server, f);
}

// ---- generate

static void say_generated(struct command_run *run)
{
    const struct cert_issue *i = run->state;
    const char *folder = verb_option(run, "output-dir"), *port = tls_server_port(run->control);
    char until[32], client_until[32];
    when_format(i->server.holder.until, until, sizeof until);
    when_format(i->client.holder.until, client_until, sizeof client_until);
    if (run->json) {
        verb_result(run, json_pack("{s:s, s:o, s:o}", "folder", folder, "server",
                                   cert_json(&i->server.holder), "client", cert_json(&i->client.holder)));
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
                      "and have it read: systemctl kill --kill-who=main -s HUP containariumd\n");
    verb_out(run, "More people and machines: containarium cert client NAME --role ROLE.\n");
}

static void on_generated(struct command_run *run)
{
    say_generated(run);
    verb_done(run);
}

static void on_files_written(struct command_run *run)
{
    struct cert_issue *i = run->state;
    struct fault f;
    enum err e = authority_install(i->authority, &i->server, time(NULL), &f);
    if (e == ERR_NONE)
        e = authority_record(i->authority, &i->client, &f);
    if (e != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    tls_server_refresh(run->control);
    if (cert_audit(run, AUDIT_KEY_ADDED, &i->client.holder))
        verb_commit(run, on_generated);
}

void cmd_cert_generate(struct command_run *run)
{
    char folder[CONFIG_TEXT + 8];
    struct cert_issue *i = cert_issue_begin(run, folder);
    struct fault f;
    if (i == NULL)
        return;
    enum err e = cert_check_output(run, true, &f);
    if (e == ERR_NONE)
        e = parse_hosts(run, i, &f);
    if (e == ERR_NONE)
        e = cert_parse_days(run, "days", CERT_DAYS, &i->days, &f);
    if (e == ERR_NONE)
        e = cert_parse_days(run, "ca-days", DAYS_AUTHORITY, &i->authority_days, &f);
    if (e == ERR_NONE)
        e = cert_parse_role(run, ROLE_ADMIN, &i->role, &f);
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
        e = cert_issue_client(i, "admin", 0, &f);
    if (e != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    cert_save(run, "ca.crt", authority_certificate(i->authority));
    cert_save(run, "ca.key", authority_key(i->authority));
    cert_save(run, "server.crt", i->server.certificate);
    cert_save(run, "server.key", i->server.key);
    cert_save(run, "client.crt", i->client.certificate);
    cert_save(run, "client.key", i->client.key);
    verb_saved(run, on_files_written);
}

// ---- server

void cmd_cert_server(struct command_run *run)
{
    char folder[CONFIG_TEXT + 8], until[32];
    struct cert_issue *i = cert_issue_begin(run, folder);
    struct fault f;
    if (i == NULL)
        return;
    enum err e = parse_hosts(run, i, &f);
    if (e == ERR_NONE)
        e = cert_parse_days(run, "days", CERT_DAYS, &i->days, &f);
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
        verb_result(run, cert_json(&i->server.holder));
    else
        verb_out(run, "The server shows a new certificate, until %s. Clients need nothing new.\n",
                 when_format(i->server.holder.until, until, sizeof until));
    verb_done(run);
}
