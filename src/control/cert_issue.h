// What the verbs of certificates share: their words, the files on the caller's side, the record.
#ifndef CONTROL_CERT_ISSUE_H
#define CONTROL_CERT_ISSUE_H

#include <jansson.h>

#include "control/command_run.h"
#include "pki/authority.h"

#define CERT_DAY 86400
#define CERT_DAYS 365 // unless said

// State of one run; freed with cert_issue_free.
struct cert_issue {
    struct authority *authority;
    struct credential server, client;
    const char *hosts[CERTIFICATE_HOSTS_MAX];
    size_t host_count;
    unsigned days, authority_days;
    unsigned revoked; // how many
    enum role role;
};

void cert_issue_free(void *state);
// Makes the state, and writes where the authority is: CONFIG_TEXT + 8 bytes. NULL: the run has failed.
struct cert_issue *cert_issue_begin(struct command_run *run, char *folder);

MUST_CHECK enum err cert_parse_days(struct command_run *run, const char *option, unsigned fallback,
                                    unsigned *out, struct fault *f);
MUST_CHECK enum err cert_parse_role(struct command_run *run, enum role fallback, enum role *out,
                                    struct fault *f);
// Can files be written at the caller's side, if they are wished or needed?
MUST_CHECK enum err cert_check_output(struct command_run *run, bool needed, struct fault *f);
void cert_save(struct command_run *run, const char *name, const char *text); // into --output-dir

MUST_CHECK enum err cert_issue_client(struct cert_issue *i, const char *name, int64_t account_id,
                                      struct fault *f);
bool cert_audit(struct command_run *run, enum audit_event event, const struct certificate_holder *holder);
json_t *cert_json(const struct certificate_holder *holder);

#endif
