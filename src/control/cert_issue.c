// Owns one run's authority and what it issues.
#include "control/cert_issue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/tls_context.h"

#define DAYS_MAX 7300

void cert_issue_free(void *state)
{
    struct cert_issue *i = state;
    if (i == NULL)
        return;
    authority_free(i->authority);
    credential_clear(&i->server);
    credential_clear(&i->client);
    free(i);
}

struct cert_issue *cert_issue_begin(struct command_run *run, char *folder)
{
    tls_folder(run->control->config, folder);
    return verb_state(run, sizeof(struct cert_issue), cert_issue_free);
}

enum err cert_parse_days(struct command_run *run, const char *option, unsigned fallback, unsigned *out,
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

enum err cert_parse_role(struct command_run *run, enum role fallback, enum role *out, struct fault *f)
{
    const char *text = verb_option(run, "role");
    *out = fallback;
    if (text != NULL && !role_parse(text, out))
        return fault_set(f, ERR_INVALID, "--role: \"%.40s\" is not a role; accepted: user, operator, admin",
                         text);
    return ERR_NONE;
}

// Without the containarium program at the other end there is nobody who could write files.
enum err cert_check_output(struct command_run *run, bool needed, struct fault *f)
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

void cert_save(struct command_run *run, const char *name, const char *text)
{
    const char *folder = verb_option(run, "output-dir");
    char path[600];
    size_t n = strlen(folder);
    snprintf(path, sizeof path, "%s%s%s", folder, n > 0 && folder[n - 1] == '/' ? "" : "/", name);
    verb_save(run, path, text, strlen(text));
}

enum err cert_issue_client(struct cert_issue *i, const char *name, int64_t account_id, struct fault *f)
{
    time_t now = time(NULL);
    struct certificate_wish wish = {.kind = CERTIFICATE_CLIENT,
                                    .name = name,
                                    .role = i->role,
                                    .account_id = account_id,
                                    .from = now,
                                    .until = now + (time_t)i->days * CERT_DAY};
    return authority_issue(i->authority, &wish, &i->client, f);
}

bool cert_audit(struct command_run *run, enum audit_event event, const struct certificate_holder *holder)
{
    char serial[CERTIFICATE_SERIAL_SIZE + 8], what[CERTIFICATE_NAME_SIZE + 64];
    snprintf(serial, sizeof serial, "X509:%s", holder->serial);
    snprintf(what, sizeof what, "certificate %s, role %s", holder->name, role_name(holder->role));
    struct audit_record record = {
        .event = event, .user = holder->name, .fingerprint = serial, .target = what};
    return verb_audit(run, &record);
}

json_t *cert_json(const struct certificate_holder *holder)
{
    char from[32], until[32];
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:s}", "serial", holder->serial, "name", holder->name, "role",
                     role_name(holder->role), "account_id",
                     holder->account_id == 0 ? json_null() : json_integer(holder->account_id), "from",
                     when_format(holder->from, from, sizeof from), "until",
                     when_format(holder->until, until, sizeof until));
}
