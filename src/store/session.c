// Sessions: opened at login, closed once. The row stays as history when the account goes.
#include "store/session.h"

#include <stdio.h>
#include <string.h>

#include "store/query.h"

#define SESSION_SELECT                                                                                       \
    "SELECT id, account_id, user, login, fingerprint, address, port, token, started, ended, reason, "        \
    "bytes_in, bytes_out, channels, owner_id FROM sessions "

static int64_t clamp(uint64_t n)
{
    return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

static void read_session(const struct query *q, struct session_row *out)
{
    *out = (struct session_row){
        .id = query_int(q, 0),
        .account_id = query_int(q, 1),
        .port = (uint16_t)query_int(q, 6),
        .started = (time_t)query_int(q, 8),
        .ended = (time_t)query_int(q, 9),
        .bytes_in = (uint64_t)query_int(q, 11),
        .bytes_out = (uint64_t)query_int(q, 12),
        .channels = (unsigned)query_int(q, 13),
        .owner_id = query_int(q, 14),
    };
    query_copy(q, 2, out->user, sizeof out->user);
    query_copy(q, 3, out->login, sizeof out->login);
    query_copy(q, 4, out->fingerprint, sizeof out->fingerprint);
    query_copy(q, 5, out->address, sizeof out->address);
    query_copy(q, 7, out->token, sizeof out->token);
    query_copy(q, 10, out->reason, sizeof out->reason);
}

enum err session_open(struct store *s, struct session_row *row, struct fault *f)
{
    static const char sql[] =
        "INSERT INTO sessions (account_id, owner_id, user, login, fingerprint, address, port, token, started)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    struct query q;
    if (row->token[0] == '\0') // an empty token would let anybody attach to it
        return fault_set(f, ERR_INVALID, "a session needs a token");
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, row->account_id);
    query_bind_int(&q, row->owner_id);
    query_bind_text(&q, row->user);
    query_bind_text(&q, row->login);
    query_bind_text(&q, row->fingerprint);
    query_bind_text(&q, row->address);
    query_bind_int(&q, row->port);
    query_bind_text(&q, row->token);
    query_bind_int(&q, row->started);
    e = query_run(&q, NULL, f);
    if (e == ERR_CONFLICT)
        e = fault_set(f, ERR_CONFLICT, "this session's token was used before");
    if (e == ERR_NONE)
        row->id = sqlite3_last_insert_rowid(s->db);
    return e;
}

static enum err session_exists(struct store *s, int64_t id, struct fault *f)
{
    static const char sql[] = "SELECT 1 FROM sessions WHERE id = ?";
    struct query q;
    bool row = false;
    enum err e = query_read(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, id);
    e = query_step(&q, &row, f);
    query_end(&q);
    if (e == ERR_NONE && !row)
        e = fault_set(f, ERR_NOTFOUND, "there is no session %lld", (long long)id);
    return e;
}

enum err session_close(struct store *s, int64_t id, time_t now, const char *reason, uint64_t bytes_in,
                       uint64_t bytes_out, unsigned channels, struct fault *f)
{
    static const char sql[] =
        "UPDATE sessions SET ended = ?, reason = ?, bytes_in = ?, bytes_out = ?, channels = ?"
        " WHERE id = ? AND ended = 0";
    struct query q;
    int changes = 0;
    char shown[sizeof((struct session_row *)NULL)->reason];
    snprintf(shown, sizeof shown, "%s", reason == NULL ? "" : reason);
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, now);
    query_bind_text(&q, shown);
    query_bind_int(&q, clamp(bytes_in));
    query_bind_int(&q, clamp(bytes_out));
    query_bind_int(&q, channels);
    query_bind_int(&q, id);
    e = query_run(&q, &changes, f);
    if (e == ERR_NONE && changes == 0)
        e = session_exists(s, id, f); // closed before: the first reason stands
    return e;
}

enum err session_find_token(struct store *s, const char *token, struct session_row *out, struct fault *f)
{
    static const char sql[] = SESSION_SELECT "WHERE token = ?";
    struct query q;
    bool row = false;
    enum err e = query_read(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_text(&q, token);
    e = query_step(&q, &row, f);
    if (e == ERR_NONE && row)
        read_session(&q, out);
    else if (e == ERR_NONE)
        e = fault_set(f, ERR_NOTFOUND, "there is no session with this token");
    query_end(&q);
    return e;
}

// "?1 = 0 OR account_id = ?1" would keep SQLite from using the index on (account_id, id): two statements
// instead.
static enum err query_live(struct store *s, int64_t account_id, const char *all, const char *one,
                           struct query *q, struct fault *f)
{
    enum err e = query_read(s, account_id == 0 ? all : one, q, f);
    if (e == ERR_NONE && account_id != 0)
        query_bind_int(q, account_id);
    return e;
}

enum err session_each_live(struct store *s, int64_t account_id, session_each_fn each, void *arg,
                           struct fault *f)
{
    static const char all[] = SESSION_SELECT "WHERE ended = 0 ORDER BY id";
    static const char one[] = SESSION_SELECT "WHERE ended = 0 AND account_id = ? ORDER BY id";
    struct query q;
    bool row = true;
    enum err e = query_live(s, account_id, all, one, &q, f);
    while (e == ERR_NONE) {
        struct session_row session;
        e = query_step(&q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        read_session(&q, &session);
        e = each(&session, arg, f);
    }
    query_end(&q);
    return e;
}

enum err session_count_live(struct store *s, int64_t account_id, unsigned *out, struct fault *f)
{
    static const char all[] = "SELECT count(*) FROM sessions WHERE ended = 0";
    static const char one[] = "SELECT count(*) FROM sessions WHERE ended = 0 AND account_id = ?";
    struct query q;
    bool row = false;
    *out = 0;
    enum err e = query_live(s, account_id, all, one, &q, f);
    if (e == ERR_NONE)
        e = query_step(&q, &row, f);
    if (e == ERR_NONE)
        *out = (unsigned)query_int(&q, 0);
    query_end(&q);
    return e;
}

enum err session_each_last(struct store *s, session_last_fn each, void *arg, struct fault *f)
{
    static const char sql[] = "SELECT owner_id, max(max(started, ended)) FROM sessions WHERE owner_id <> 0"
                              " GROUP BY owner_id";
    struct query q;
    bool row = true;
    enum err e = query_read(s, sql, &q, f);
    while (e == ERR_NONE) {
        e = query_step(&q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        e = each(query_int(&q, 0), (time_t)query_int(&q, 1), arg, f);
    }
    query_end(&q);
    return e;
}

enum err session_prune(struct store *s, time_t before, unsigned most, int *removed, struct fault *f)
{
    static const char sql[] = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions"
                              " WHERE ended > 0 AND ended < ? ORDER BY id LIMIT ?)";
    struct query q;
    *removed = 0;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, before);
    query_bind_int(&q, most);
    return query_run(&q, removed, f);
}
