// Appending to the audit trail, and its end. Queries are in audit_query.c, the chain itself in audit_chain.c.
#include "store/audit.h"

#include <stdio.h>
#include <string.h>

#include "store/audit_chain.h"

#define FIELD_MAX 1024 // bytes of one text field as stored; longer ones are cut and end in "..."

static const char *const event_names[] = {
    [AUDIT_ADMITTED] = "admitted",
    [AUDIT_ADMIT_REFUSED] = "admit-refused",
    [AUDIT_AUTH_FAILED] = "auth-failed",
    [AUDIT_LOGIN] = "login",
    [AUDIT_OPEN] = "open",
    [AUDIT_REFUSED] = "refused",
    [AUDIT_CHANNEL_CLOSED] = "channel-closed",
    [AUDIT_LOGOUT] = "logout",
    [AUDIT_BOX_CREATED] = "box-created",
    [AUDIT_BOX_STARTED] = "box-started",
    [AUDIT_BOX_STOPPED] = "box-stopped",
    [AUDIT_BOX_DELETED] = "box-deleted",
    [AUDIT_BOX_FAILED] = "box-failed",
    [AUDIT_ACCOUNT_CREATED] = "account-created",
    [AUDIT_ACCOUNT_DELETED] = "account-deleted",
    [AUDIT_KEY_ADDED] = "key-added",
    [AUDIT_KEY_REMOVED] = "key-removed",
    [AUDIT_ROLE_CHANGED] = "role-changed",
    [AUDIT_INVITED] = "invited",
    [AUDIT_INVITE_USED] = "invite-used",
    [AUDIT_INVITE_REVOKED] = "invite-revoked",
    [AUDIT_LOGIN_FAILED] = "login-failed",
    [AUDIT_BANNED] = "banned",
    [AUDIT_UNBANNED] = "unbanned",
    [AUDIT_LIMIT_SET] = "limit-set",
    [AUDIT_EXPIRED] = "audit-expired",
    [AUDIT_KEY_RENEWED] = "audit-key-renewed",
    [AUDIT_BOX_CHANGED] = "box-changed",
    [AUDIT_BOX_EXPORTED] = "box-exported",
    [AUDIT_SNAPSHOT_CREATED] = "snapshot-created",
    [AUDIT_SNAPSHOT_RESTORED] = "snapshot-restored",
    [AUDIT_SNAPSHOT_DELETED] = "snapshot-deleted",
    [AUDIT_SHARED] = "shared",
    [AUDIT_UNSHARED] = "unshared",
    [AUDIT_STORE_RESTORED] = "store-restored",
    [AUDIT_COMMAND] = "command",
};
_Static_assert(sizeof event_names / sizeof event_names[0] == AUDIT_EVENTS, "every event has a name");

const char *audit_event_name(enum audit_event event)
{
    return event_names[event];
}

bool audit_event_parse(const char *text, enum audit_event *out)
{
    for (size_t i = 0; i < AUDIT_EVENTS; i++) {
        if (strcmp(event_names[i], text) == 0) {
            *out = (enum audit_event)i;
            return true;
        }
    }
    return false;
}

// Printable ASCII with \\ and \xNN: what a peer sent can neither forge a line of an export nor steer a
// terminal.
static const char *escape(const char *text, char out[FIELD_MAX])
{
    size_t at = 0;
    if (text == NULL)
        text = "";
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (at + 8 > FIELD_MAX) {
            memcpy(out + at, "...", 3);
            at += 3;
            break;
        }
        if (*p == '\\') {
            out[at++] = '\\';
            out[at++] = '\\';
        } else if (*p < 0x20 || *p >= 0x7f) {
            at += (size_t)snprintf(out + at, 5, "\\x%02x", *p);
        } else {
            out[at++] = (char)*p;
        }
    }
    out[at] = '\0';
    return out;
}

static int64_t clamp(uint64_t n)
{
    return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

// The chain goes on from the end mark, not from the last row: a tail that was cut stays missed.
static enum err chain_load(struct store *s, struct fault *f)
{
    if (s->chain.known)
        return ERR_NONE;
    s->chain = (struct audit_chain){.known = false};
    enum err e = audit_read_mark(s, AUDIT_MARK_HEAD, true, &s->chain.seq, s->chain.hash, f);
    s->chain.known = e == ERR_NONE;
    return e;
}

static enum err insert_entry(struct store *s, const struct audit_entry *r, const unsigned char *hash,
                             struct fault *f)
{
    static const char sql[] =
        "INSERT INTO audit (seq, time, event, user, actor, fingerprint, address, session, box, target,"
        " bytes_in, bytes_out, duration_ms, reason, hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, r->seq);
    query_bind_int(&q, r->time);
    query_bind_text(&q, r->event);
    query_bind_text(&q, r->user);
    query_bind_text(&q, r->actor);
    query_bind_text(&q, r->fingerprint);
    query_bind_text(&q, r->address);
    query_bind_int(&q, r->session);
    query_bind_text(&q, r->box);
    query_bind_text(&q, r->target);
    query_bind_int(&q, r->bytes_in);
    query_bind_int(&q, r->bytes_out);
    query_bind_int(&q, r->duration_ms);
    query_bind_text(&q, r->reason);
    query_bind_blob(&q, hash, STORE_HASH_SIZE);
    return query_run(&q, NULL, f);
}

enum err audit_append(struct store *s, struct audit_record *record, struct fault *f)
{
    char text[7][FIELD_MAX];
    unsigned char hash[STORE_HASH_SIZE];
    enum err e = chain_load(s, f);
    if (e != ERR_NONE)
        return e;
    struct audit_entry r = {
        .seq = s->chain.seq + 1,
        .time = record->time,
        .event = audit_event_name(record->event),
        .user = escape(record->user, text[0]),
        .actor = escape(record->actor, text[1]),
        .fingerprint = escape(record->fingerprint, text[2]),
        .address = escape(record->address, text[3]),
        .session = record->session,
        .box = escape(record->box, text[4]),
        .target = escape(record->target, text[5]),
        .bytes_in = clamp(record->bytes_in),
        .bytes_out = clamp(record->bytes_out),
        .duration_ms = clamp(record->duration_ms),
        .reason = escape(record->reason, text[6]),
    };
    e = audit_hash(s, s->chain.hash, &r, hash, f);
    if (e == ERR_NONE)
        e = insert_entry(s, &r, hash, f);
    if (e != ERR_NONE) {
        s->chain.known = s->chain.moved; // nothing of this group yet: look at the table again next time
        return e;
    }
    s->chain.seq = r.seq;
    s->chain.moved = true;
    memcpy(s->chain.hash, hash, sizeof hash);
    record->seq = r.seq;
    return ERR_NONE;
}

enum err audit_seal(struct store *s, struct fault *f)
{
    static const char sql[] = "UPDATE audit_head SET seq = ?, hash = ?, signature = ? WHERE id = 1";
    unsigned char signature[SIGNATURE_SIZE];
    struct query q;
    int changes = 0;
    if (!s->chain.moved)
        return ERR_NONE;
    enum err e = audit_sign(s, AUDIT_MARK_HEAD, s->chain.seq, s->chain.hash, signature, f);
    if (e == ERR_NONE)
        e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, s->chain.seq);
    query_bind_blob(&q, s->chain.hash, sizeof s->chain.hash);
    query_bind_blob(&q, signature, sizeof signature);
    e = query_run(&q, &changes, f);
    if (e == ERR_NONE && changes != 1)
        e = fault_set(f, ERR_IO,
                      "the end mark of the audit trail is missing; restore a backup of the database");
    if (e == ERR_NONE)
        s->chain.moved = false;
    return e;
}
