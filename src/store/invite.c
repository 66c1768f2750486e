// Invitations.
#include "store/invite.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "store/query.h"

#define INVITE_COLUMNS                                                                                       \
    "id, name, account_id, role, cpu, memory, disk, actor, created, expires, used, fingerprint, revoked"

// No l, o, 0 and 1: a token may have to be read aloud. Chat programs leave it alone, and so do shells.
static const char alphabet[32] = "abcdefghijkmnpqrstuvwxyz23456789";

const char *invite_state_name(enum invite_state state)
{
    static const char *const names[] = {"open", "used", "expired", "revoked"};
    return names[state];
}

enum invite_state invite_state(const struct invite *row, time_t now)
{
    if (row->used != 0)
        return INVITE_USED;
    if (row->revoked != 0)
        return INVITE_REVOKED;
    return row->expires <= now ? INVITE_EXPIRED : INVITE_OPEN;
}

static enum err make_token(char token[INVITE_TOKEN_SIZE], struct fault *f)
{
    unsigned char raw[INVITE_TOKEN_SIZE - 1];
    if (RAND_bytes(raw, sizeof raw) != 1)
        return fault_set(f, ERR_FAILED, "no random numbers");
    for (size_t i = 0; i < sizeof raw; i++)
        token[i] = alphabet[raw[i] % sizeof alphabet]; // 32 divides 256: no bias
    token[sizeof raw] = '\0';
    return ERR_NONE;
}

// False if the text cannot be a token at all.
static bool hash_token(const char *text, unsigned char hash[STORE_HASH_SIZE])
{
    char token[INVITE_TOKEN_SIZE];
    size_t n = strnlen(text, sizeof token);
    if (n != sizeof token - 1)
        return false;
    for (size_t i = 0; i <= n; i++)
        token[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
    return EVP_Digest(token, n, hash, NULL, EVP_sha256(), NULL) == 1;
}

static enum err add_limits(struct store *s, const struct invite *row, struct fault *f)
{
    static const char sql[] = "INSERT INTO invite_limits (invite_id, name, value) VALUES (?, ?, ?)";
    enum err e = ERR_NONE;
    for (int i = 0; i < LIMIT_COUNT && e == ERR_NONE; i++) {
        struct query q;
        if (!row->limited[i])
            continue;
        e = query_write(s, sql, &q, f);
        if (e != ERR_NONE)
            return e;
        query_bind_int(&q, row->id);
        query_bind_text(&q, limit_info((enum limit_name)i)->name);
        query_bind_int(&q, (int64_t)row->limits.value[i]);
        e = query_run(&q, NULL, f);
    }
    return e;
}

enum err invite_add(struct store *s, struct invite *row, char token[INVITE_TOKEN_SIZE], struct fault *f)
{
    static const char sql[] =
        "INSERT INTO invites (hash, name, account_id, role, cpu, memory, disk, actor, created, expires)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    unsigned char hash[STORE_HASH_SIZE];
    struct query q;
    enum err e = make_token(token, f);
    if (e == ERR_NONE && !hash_token(token, hash))
        e = fault_set(f, ERR_FAILED, "SHA-256 is not available");
    if (e == ERR_NONE)
        e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_blob(&q, hash, sizeof hash);
    query_bind_text(&q, row->name);
    query_bind_int(&q, row->account_id);
    query_bind_text(&q, role_name(row->role));
    query_bind_text(&q, row->cpu);
    query_bind_int(&q, (int64_t)row->memory);
    query_bind_int(&q, (int64_t)row->disk);
    query_bind_text(&q, row->actor);
    query_bind_int(&q, row->created);
    query_bind_int(&q, row->expires);
    e = query_run(&q, NULL, f);
    if (e != ERR_NONE)
        return e;
    row->id = sqlite3_last_insert_rowid(s->db);
    return add_limits(s, row, f);
}

static enum err read_invite(const struct query *q, struct invite *out, struct fault *f)
{
    *out = (struct invite){
        .id = query_int(q, 0),
        .account_id = query_int(q, 2),
        .memory = (uint64_t)query_int(q, 5),
        .disk = (uint64_t)query_int(q, 6),
        .created = (time_t)query_int(q, 8),
        .expires = (time_t)query_int(q, 9),
        .used = (time_t)query_int(q, 10),
        .revoked = (time_t)query_int(q, 12),
    };
    query_copy(q, 1, out->name, sizeof out->name);
    query_copy(q, 4, out->cpu, sizeof out->cpu);
    query_copy(q, 7, out->actor, sizeof out->actor);
    query_copy(q, 11, out->fingerprint, sizeof out->fingerprint);
    if (!role_parse(query_text(q, 3), &out->role)) // never guess a role
        return fault_set(f, ERR_IO, "an invitation has the unknown role \"%.32s\"", query_text(q, 3));
    return ERR_NONE;
}

static enum err load_limits(struct store *s, struct invite *row, struct fault *f)
{
    static const char sql[] = "SELECT name, value FROM invite_limits WHERE invite_id = ?";
    struct query q;
    bool more = true;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE)
        query_bind_int(&q, row->id);
    while (e == ERR_NONE) {
        enum limit_name name;
        e = query_step(&q, &more, f);
        if (e != ERR_NONE || !more)
            break;
        if (!limit_parse_name(query_text(&q, 0), &name))
            continue;
        row->limits.value[name] = (uint64_t)query_int(&q, 1);
        row->limited[name] = true;
    }
    query_end(&q);
    return e;
}

enum err invite_find(struct store *s, const char *token, struct invite *out, struct fault *f)
{
    static const char sql[] = "SELECT " INVITE_COLUMNS " FROM invites WHERE hash = ?";
    unsigned char hash[STORE_HASH_SIZE];
    struct query q;
    bool row = false;
    if (!hash_token(token, hash))
        return fault_set(f, ERR_NOTFOUND, "there is no such invitation");
    enum err e = query_read(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_blob(&q, hash, sizeof hash);
    e = query_step(&q, &row, f);
    if (e == ERR_NONE)
        e = row ? read_invite(&q, out, f) : fault_set(f, ERR_NOTFOUND, "there is no such invitation");
    query_end(&q);
    return e == ERR_NONE ? load_limits(s, out, f) : e;
}

enum err invite_use(struct store *s, int64_t id, int64_t account_id, const char *fingerprint, time_t now,
                    struct fault *f)
{
    static const char sql[] = "UPDATE invites SET used = ?, account_id = ?, fingerprint = ?"
                              " WHERE id = ? AND used = 0 AND revoked = 0 AND expires > ?";
    struct query q;
    int changes = 0;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, now);
    query_bind_int(&q, account_id);
    query_bind_text(&q, fingerprint);
    query_bind_int(&q, id);
    query_bind_int(&q, now);
    e = query_run(&q, &changes, f);
    if (e == ERR_NONE && changes != 1)
        e = fault_set(f, ERR_CONFLICT, "this invitation is not open any more");
    return e;
}

enum err invite_revoke(struct store *s, int64_t id, const char *name, const char *actor, time_t now,
                       unsigned *count, struct fault *f)
{
    static const char sql[] = "UPDATE invites SET revoked = ? WHERE (id = ? OR (? = 0 AND name = ?))"
                              " AND (? = '' OR actor = ?) AND used = 0 AND revoked = 0 AND expires > ?";
    struct query q;
    int changes = 0;
    *count = 0;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, now);
    query_bind_int(&q, id);
    query_bind_int(&q, id);
    query_bind_text(&q, name);
    query_bind_text(&q, actor);
    query_bind_text(&q, actor);
    query_bind_int(&q, now);
    e = query_run(&q, &changes, f);
    *count = (unsigned)changes;
    return e;
}

enum err invite_each(struct store *s, invite_each_fn each, void *arg, struct fault *f)
{
    static const char sql[] = "SELECT " INVITE_COLUMNS " FROM invites ORDER BY id DESC";
    struct query q;
    bool row = true;
    enum err e = query_read(s, sql, &q, f);
    while (e == ERR_NONE) {
        struct invite invite;
        e = query_step(&q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        e = read_invite(&q, &invite, f);
        if (e == ERR_NONE)
            e = each(&invite, arg, f);
    }
    query_end(&q);
    return e;
}

enum err invite_prune(struct store *s, time_t before, struct fault *f)
{
    static const char sql[] = "DELETE FROM invites WHERE expires < ?";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, before);
    return query_run(&q, NULL, f);
}
