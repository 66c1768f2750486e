// Owns the step from an invitation to an account with a key. Refuses tokens that were used by another key,
// are over, or whose name or key has become somebody else's meanwhile.
#include "control/enrol.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "control/box_flow.h"
#include "control/writer.h"
#include "store/limit.h"

enum err enrol_find(struct store *s, const char *login, struct invite *out, struct fault *f)
{
    const char *plus = strchr(login, '+');
    return invite_find(s, plus == NULL ? "" : plus + 1, out, f);
}

// The account an invitation is for, if it is for one that exists.
static enum err find_account(struct control *c, struct enrolment *e, struct fault *f)
{
    const struct invite *invite = &e->invite;
    struct account taken;
    enum err code = ERR_NONE;
    if (invite->account_id == 0) {
        code = account_get(c->store, invite->name, &taken, f);
        if (code == ERR_NOTFOUND)
            return ERR_NONE;
        if (code == ERR_NONE)
            code = fault_set(f, ERR_CONFLICT,
                             "the name %s has been given to somebody else since you were invited; ask for a "
                             "new invitation",
                             invite->name);
        return code;
    }
    code = account_get_id(c->store, invite->account_id, &e->account, f);
    if (code == ERR_NOTFOUND)
        code =
            fault_set(f, ERR_CONFLICT, "the account %s was deleted; ask for a new invitation", invite->name);
    return code;
}

static enum err used_already(const struct invite *invite, struct fault *f)
{
    char when[32];
    return fault_set(f, ERR_CONFLICT,
                     "this invitation was used %s with the key %s; if that is not yours, tell your "
                     "administrator, and ask for a new invitation",
                     when_format(invite->used, when, sizeof when), invite->fingerprint);
}

static enum err check_state(const struct enrolment *e, time_t now, struct fault *f)
{
    char when[32];
    switch (invite_state(&e->invite, now)) {
    case INVITE_USED: // a connection that was lost before it could tell: the same key may ask again
        if (strcmp(e->invite.fingerprint, e->key.fingerprint) != 0 || e->invite.expires <= now)
            return used_already(&e->invite, f);
        return ERR_NONE;
    case INVITE_EXPIRED:
        return fault_set(f, ERR_CONFLICT, "this invitation expired %s; ask for a new one",
                         when_format(e->invite.expires, when, sizeof when));
    case INVITE_REVOKED:
        return fault_set(f, ERR_CONFLICT, "this invitation was withdrawn; ask for a new one");
    case INVITE_OPEN:
        break;
    }
    return ERR_NONE;
}

enum err enrol_check(struct control *c, struct enrolment *e, time_t now, struct fault *f)
{
    struct account owner;
    struct account_key found;
    enum err code = check_state(e, now, f);
    if (code == ERR_NONE)
        code = find_account(c, e, f);
    if (code != ERR_NONE)
        return code;
    e->joined = e->account.id == 0 ? JOINED_NEW : JOINED_ADDED;
    code = account_key_find(c->store, e->key.fingerprint, &owner, &found, f);
    if (code == ERR_NONE && owner.id == e->account.id)
        e->joined = JOINED_AGAIN;
    else if (code == ERR_NONE)
        code = fault_set(f, ERR_CONFLICT,
                         "the key you offered is %s's already; a key says who somebody is, so offer another: "
                         "ssh -i KEYFILE -o IdentitiesOnly=yes join+TOKEN@...",
                         owner.name);
    else if (code == ERR_NOTFOUND && e->invite.used != 0)
        code = fault_set(f, ERR_CONFLICT, "this key was removed from %s again; ask for a new invitation",
                         e->invite.name);
    else if (code == ERR_NOTFOUND)
        code = ERR_NONE;
    return code;
}

static enum err record(struct control *c, const struct enrolment *e, enum audit_event event,
                       const char *target, struct fault *f)
{
    char reason[40];
    struct audit_record r = {
        .event = event,
        .user = e->invite.name,
        .actor = e->invite.actor,
        .fingerprint = e->key.fingerprint,
        .address = e->address,
        .target = target,
        .reason = reason,
    };
    snprintf(reason, sizeof reason, "invitation %lld", (long long)e->invite.id);
    return writer_audit(c->writer, &r, f);
}

static enum err make_account(struct control *c, struct enrolment *e, time_t now, struct fault *f)
{
    const struct invite *invite = &e->invite;
    struct box_row row;
    int64_t id = 0;
    enum err code = account_create(c->store, invite->name, invite->role, now, &id, f);
    if (code == ERR_NONE)
        code = account_get_id(c->store, id, &e->account, f);
    if (code == ERR_NONE)
        code = box_flow_new_row(c, &e->account, &row, f);
    if (code == ERR_NONE && (invite->cpu[0] != '\0' || invite->memory != 0 || invite->disk != 0))
        code = box_set_limits(c->store, id, invite->cpu[0] != '\0' ? invite->cpu : row.cpu,
                              invite->memory != 0 ? invite->memory : row.memory,
                              invite->disk != 0 ? invite->disk : row.disk, f);
    for (int i = 0; code == ERR_NONE && i < LIMIT_COUNT; i++) {
        if (invite->limited[i])
            code = limit_set(c->store, id, (enum limit_name)i, invite->limits.value[i], f);
    }
    return code == ERR_NONE ? record(c, e, AUDIT_ACCOUNT_CREATED, role_name(invite->role), f) : code;
}

struct naming {
    const char *comment;
    bool taken;
};

static enum err look_at_comment(const struct account_key *key, void *arg, struct fault *f)
{
    struct naming *n = arg;
    (void)f;
    n->taken = n->taken || strcmp(key->key.comment, n->comment) == 0;
    return ERR_NONE;
}

// What `keys list` calls the key and `keys remove` takes: "joined-2026-11-24", for the second of a day
// "joined-2026-11-24-2".
static enum err name_key(struct control *c, struct enrolment *e, time_t now, struct fault *f)
{
    char when[32], *comment = e->key.comment;
    size_t size = sizeof e->key.comment;
    struct naming n = {.comment = comment, .taken = true};
    enum err code = ERR_NONE;
    when_format(now, when, sizeof when);
    for (unsigned i = 1; code == ERR_NONE && n.taken; i++) {
        snprintf(comment, size, i == 1 ? "joined-%.10s" : "joined-%.10s-%u", when, i);
        n.taken = false;
        code = account_key_each(c->store, e->account.id, look_at_comment, &n, f);
    }
    return code;
}

enum err enrol_write(struct control *c, struct enrolment *e, time_t now, struct fault *f)
{
    bool added = false;
    enum err code = ERR_NONE;
    if (e->joined == JOINED_AGAIN)
        return ERR_NONE; // an open invitation stays so, for the key it was meant for
    if (e->joined == JOINED_NEW)
        code = make_account(c, e, now, f);
    if (code == ERR_NONE)
        code = name_key(c, e, now, f);
    if (code == ERR_NONE)
        code = account_key_add(c->store, e->account.id, &e->key, now, &added, f);
    if (code == ERR_NONE && added)
        code = record(c, e, AUDIT_KEY_ADDED, e->key.comment, f);
    if (code == ERR_NONE)
        code = invite_use(c->store, e->invite.id, e->account.id, e->key.fingerprint, now, f);
    if (code == ERR_NONE)
        code = record(c, e, AUDIT_INVITE_USED, e->joined == JOINED_NEW ? "account made" : "key added", f);
    if (code == ERR_NONE)
        log_event(LOG_LEVEL_INFO, "enrolled", "user=%s from=%s key=%s invitation=%lld", e->invite.name,
                  e->address, e->key.fingerprint, (long long)e->invite.id);
    return code;
}
