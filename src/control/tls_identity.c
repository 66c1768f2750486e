// Maps subjects to identities.
#include "control/tls_identity.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "control/writer.h"

void tls_identity_address(int fd, char *out, size_t size)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char host[64], port[8];
    snprintf(out, size, "unknown");
    if (fd < 0 || getpeername(fd, (struct sockaddr *)&address, &length) != 0 ||
        getnameinfo((struct sockaddr *)&address, length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    const char *plain = strncmp(host, "::ffff:", 7) == 0 ? host + 7 : host;
    snprintf(out, size, strchr(plain, ':') != NULL ? "[%s]:%s" : "%s:%s", plain, port);
}

static enum err account_identity(struct control *c, const struct certificate_holder *holder,
                                 struct identity *out, struct fault *f)
{
    struct account account;
    enum err e = account_get_id(c->store, holder->account_id, &account, f);
    if (e == ERR_NOTFOUND)
        return fault_set(f, ERR_DENIED, "the account this certificate acts for does not exist any more");
    if (e != ERR_NONE)
        return e;
    snprintf(out->actor, sizeof out->actor, "%s", account.name);
    out->account_id = account.id;
    return ERR_NONE;
}

enum err tls_identity_of(struct control *c, const struct certificate_holder *holder, struct identity *out,
                         struct fault *f)
{
    out->capped = true;
    out->role = holder->role;
    snprintf(out->credential, sizeof out->credential, "X509:%s", holder->serial);
    snprintf(out->actor, sizeof out->actor, "cert:%.58s", holder->name);
    return holder->account_id == 0 ? ERR_NONE : account_identity(c, holder, out, f);
}

bool tls_identity_was_ours(int error)
{
    return error == X509_V_ERR_CERT_REVOKED || error == X509_V_ERR_CERT_HAS_EXPIRED;
}

void tls_identity_refused(struct control *c, X509 *certificate, int error, int fd)
{
    struct certificate_holder holder;
    struct fault f;
    char from[80], credential[64];
    if (certificate_holder(certificate, &holder, &f) != ERR_NONE)
        return;
    tls_identity_address(fd, from, sizeof from);
    snprintf(credential, sizeof credential, "X509:%s", holder.serial);
    struct audit_record record = {.event = AUDIT_AUTH_FAILED,
                                  .user = holder.name,
                                  .fingerprint = credential,
                                  .address = from,
                                  .reason = X509_verify_cert_error_string(error)};
    if (writer_audit(c->writer, &record, &f) == ERR_NONE)
        writer_commit_soon(c->writer);
}
