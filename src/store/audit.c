// The audit trail: appending to the chain and walking it. Queries are in audit_query.c.
#include "store/audit.h"

#include <stdio.h>
#include <string.h>

#include "store/query.h"

#define FIELD_MAX 1024 // bytes of one text field as stored; longer ones are cut and end in "..."

static const char *const event_names[] = {
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
    [AUDIT_BOX_CHANGED] = "box-changed",
    [AUDIT_BOX_EXPORTED] = "box-exported",
    [AUDIT_SNAPSHOT_CREATED] = "snapshot-created",
    [AUDIT_SNAPSHOT_RESTORED] = "snapshot-restored",
    [AUDIT_SNAPSHOT_DELETED] = "snapshot-deleted",
    [AUDIT_COMMAND] = "command",
};
#define EVENT_COUNT (sizeof event_names / sizeof event_names[0])

const char *audit_event_name(enum audit_event event)
{
    return event_names[event];
}

bool audit_event_parse(const char *text, enum audit_event *out)
{
    for (size_t i = 0; i < EVENT_COUNT; i++) {
        if (strcmp(event_names[i], text) == 0) {
            *out = (enum audit_event)i;
            return true;
        }
    }
    return false;
}

// A row as it is stored and hashed, in the order of the columns.
struct entry {
    int64_t seq, time, session, bytes_in, bytes_out, duration_ms;
    const char *event, *user, *actor, *fingerprint, *address, *box, *target, *reason;
};

static void hash_number(EVP_MD_CTX *ctx, uint64_t n, int *ok)
{
    unsigned char raw[12] = {0, 0, 0, 8};
    for (int i = 0; i < 8; i++)
        raw[4 + i] = (unsigned char)(n >> (56 - 8 * i));
    *ok &= EVP_DigestUpdate(ctx, raw, sizeof raw);
}

// Length before content: no two rows have the same bytes, however their fields are cut.
static void hash_text(EVP_MD_CTX *ctx, const char *text, int *ok)
{
    size_t n = strlen(text);
    unsigned char length[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
                               (unsigned char)n};
    *ok &= EVP_DigestUpdate(ctx, length, sizeof length);
    *ok &= EVP_DigestUpdate(ctx, text, n);
}

static enum err hash_entry(struct store *s, const unsigned char previous[STORE_HASH_SIZE],
                           const struct entry *r, unsigned char out[STORE_HASH_SIZE], struct fault *f)
{
    EVP_MD_CTX *ctx = s->digest;
    int ok = EVP_DigestInit_ex2(ctx, s->sha256, NULL);
    ok &= EVP_DigestUpdate(ctx, previous, STORE_HASH_SIZE);
    hash_number(ctx, (uint64_t)r->seq, &ok);
    hash_number(ctx, (uint64_t)r->time, &ok);
    hash_text(ctx, r->event, &ok);
    hash_text(ctx, r->user, &ok);
    hash_text(ctx, r->actor, &ok);
    hash_text(ctx, r->fingerprint, &ok);
    hash_text(ctx, r->address, &ok);
    hash_number(ctx, (uint64_t)r->session, &ok);
    hash_text(ctx, r->box, &ok);
    hash_text(ctx, r->target, &ok);
    hash_number(ctx, (uint64_t)r->bytes_in, &ok);
    hash_number(ctx, (uint64_t)r->bytes_out, &ok);
    hash_number(ctx, (uint64_t)r->duration_ms, &ok);
    hash_text(ctx, r->reason, &ok);
    ok &= EVP_DigestFinal_ex(ctx, out, NULL);
    return ok == 1 ? ERR_NONE : fault_set(f, ERR_MEMORY, "cannot compute a SHA-256");
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
    static const char sql[] = "SELECT seq, hash FROM audit_head WHERE id = 1";
    struct query q;
    bool row = false;
    if (s->chain.known)
        return ERR_NONE;
    s->chain = (struct audit_chain){.known = false};
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE)
        e = query_step(&q, &row, f);
    if (e == ERR_NONE && row) {
        size_t size = 0;
        const void *hash = query_blob(&q, 1, &size);
        s->chain.seq = query_int(&q, 0);
        if (size == STORE_HASH_SIZE)
            memcpy(s->chain.hash, hash, size);
        else
            e = fault_set(f, ERR_IO,
                          "the audit trail is damaged at its end; restore a backup of the database");
    }
    query_end(&q);
    s->chain.known = e == ERR_NONE;
    return e;
}

static enum err insert_entry(struct store *s, const struct entry *r, const unsigned char *hash,
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
    struct entry r = {
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
    e = hash_entry(s, s->chain.hash, &r, hash, f);
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
    static const char sql[] = "UPDATE audit_head SET seq = ?, hash = ? WHERE id = 1";
    struct query q;
    int changes = 0;
    if (!s->chain.moved)
        return ERR_NONE;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, s->chain.seq);
    query_bind_blob(&q, s->chain.hash, sizeof s->chain.hash);
    e = query_run(&q, &changes, f);
    if (e == ERR_NONE && changes != 1)
        e = fault_set(f, ERR_IO,
                      "the end mark of the audit trail is missing; restore a backup of the database");
    if (e == ERR_NONE)
        s->chain.moved = false;
    return e;
}

static struct entry read_entry(const struct query *q)
{
    return (struct entry){
        .seq = query_int(q, 0),
        .time = query_int(q, 1),
        .event = query_text(q, 2),
        .user = query_text(q, 3),
        .actor = query_text(q, 4),
        .fingerprint = query_text(q, 5),
        .address = query_text(q, 6),
        .session = query_int(q, 7),
        .box = query_text(q, 8),
        .target = query_text(q, 9),
        .bytes_in = query_int(q, 10),
        .bytes_out = query_int(q, 11),
        .duration_ms = query_int(q, 12),
        .reason = query_text(q, 13),
    };
}

// Does the row fit behind `seq` and `hash`? Moves both on to it.
static enum err verify_row(struct store *s, const struct query *q, int64_t *seq, unsigned char *hash,
                           struct fault *f)
{
    unsigned char expected[STORE_HASH_SIZE];
    struct entry r = read_entry(q);
    size_t size = 0;
    if (r.seq != *seq + 1)
        return fault_set(f, ERR_CONFLICT, "the audit trail is broken at %lld: row %lld follows row %lld",
                         (long long)*seq + 1, (long long)r.seq, (long long)*seq);
    enum err e = hash_entry(s, hash, &r, expected, f);
    if (e != ERR_NONE)
        return e;
    const void *stored = query_blob(q, 14, &size);
    if (size != STORE_HASH_SIZE || memcmp(stored, expected, STORE_HASH_SIZE) != 0)
        return fault_set(f, ERR_CONFLICT,
                         "the audit trail is broken at %lld: this row, or the one before it, is not what "
                         "was written",
                         (long long)r.seq);
    *seq = r.seq;
    memcpy(hash, expected, sizeof expected);
    return ERR_NONE;
}

// The last row must be the one the end mark names. Rows of the open group are not in the mark yet.
static enum err verify_head(struct store *s, int64_t seq, const unsigned char *hash, struct fault *f)
{
    static const char sql[] = "SELECT seq, hash FROM audit_head WHERE id = 1";
    struct query q;
    bool row = false;
    size_t size = 0;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE)
        e = query_step(&q, &row, f);
    if (e == ERR_NONE && !row)
        e = fault_set(f, ERR_CONFLICT, "the end mark of the audit trail is missing");
    if (e == ERR_NONE && query_int(&q, 0) != seq)
        e = fault_set(f, ERR_CONFLICT,
                      "the audit trail is broken at %lld: it ends there, but %lld rows were written",
                      (long long)seq + 1, (long long)query_int(&q, 0));
    const void *mark = e == ERR_NONE ? query_blob(&q, 1, &size) : NULL;
    if (e == ERR_NONE && (size != STORE_HASH_SIZE || memcmp(mark, hash, size) != 0))
        e = fault_set(f, ERR_CONFLICT, "the audit trail is broken at %lld: the end mark does not fit",
                      (long long)seq);
    query_end(&q);
    return e;
}

enum err audit_verify(struct store *s, int64_t *rows, struct fault *f)
{
    static const char sql[] =
        "SELECT seq, time, event, user, actor, fingerprint, address, session, box, target, bytes_in,"
        " bytes_out, duration_ms, reason, hash FROM audit ORDER BY seq";
    unsigned char hash[STORE_HASH_SIZE] = {0};
    int64_t seq = 0;
    struct query q;
    bool row = true;
    enum err e = s->group == GROUP_OPEN ? audit_seal(s, f) : ERR_NONE;
    if (e == ERR_NONE)
        e = query_read(s, sql, &q, f);
    else
        q = (struct query){.store = s};
    while (e == ERR_NONE) {
        e = query_step(&q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        e = verify_row(s, &q, &seq, hash, f);
    }
    query_end(&q);
    if (e == ERR_NONE)
        e = verify_head(s, seq, hash, f);
    if (rows != NULL)
        *rows = seq;
    return e;
}
