// Bans and known sources.
#include "store/ban.h"

#include <stdio.h>
#include <string.h>

#include "store/query.h"

#define BAN_SELECT "SELECT id, user, subnet, reason, actor, created, until, lifted, lifted_by FROM bans "
#define IN_FORCE "lifted = 0 AND (until = 0 OR until > ?)"

static void read_ban(const struct query *q, struct ban_row *out)
{
    *out = (struct ban_row){
        .id = query_int(q, 0),
        .created = (time_t)query_int(q, 5),
        .until = (time_t)query_int(q, 6),
        .lifted = (time_t)query_int(q, 7),
    };
    query_copy(q, 1, out->user, sizeof out->user);
    query_copy(q, 2, out->subnet, sizeof out->subnet);
    query_copy(q, 3, out->reason, sizeof out->reason);
    query_copy(q, 4, out->actor, sizeof out->actor);
    query_copy(q, 8, out->lifted_by, sizeof out->lifted_by);
}

enum err ban_find(struct store *s, const char *user, const char *subnet, time_t now, struct ban_row *out,
                  struct fault *f)
{
    static const char sql[] =
        BAN_SELECT "WHERE subnet = ? AND user = ? AND " IN_FORCE " ORDER BY id DESC LIMIT 1";
    struct query q;
    bool row = false;
    enum err e = query_read(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_text(&q, subnet);
    query_bind_text(&q, user);
    query_bind_int(&q, now);
    e = query_step(&q, &row, f);
    if (e == ERR_NONE && row)
        read_ban(&q, out);
    else if (e == ERR_NONE)
        e = fault_set(f, ERR_NOTFOUND, "no such ban is in force");
    query_end(&q);
    return e;
}

enum err ban_add(struct store *s, struct ban_row *row, struct fault *f)
{
    static const char sql[] =
        "INSERT INTO bans (user, subnet, reason, actor, created, until) VALUES (?, ?, ?, ?, ?, ?)";
    struct ban_row existing;
    struct query q;
    enum err e = ban_find(s, row->user, row->subnet, row->created, &existing, f);
    if (e == ERR_NONE) {
        *row = existing;
        return fault_set(f, ERR_CONFLICT, "that is banned already");
    }
    if (e == ERR_NOTFOUND)
        e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_text(&q, row->user);
    query_bind_text(&q, row->subnet);
    query_bind_text(&q, row->reason);
    query_bind_text(&q, row->actor);
    query_bind_int(&q, row->created);
    query_bind_int(&q, row->until);
    e = query_run(&q, NULL, f);
    if (e == ERR_NONE)
        row->id = sqlite3_last_insert_rowid(s->db);
    return e;
}

enum err ban_lift(struct store *s, const char *user, const char *subnet, const char *by, time_t now,
                  struct fault *f)
{
    static const char sql[] =
        "UPDATE bans SET lifted = ?, lifted_by = ? WHERE subnet = ? AND user = ? AND " IN_FORCE;
    struct query q;
    int changes = 0;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, now);
    query_bind_text(&q, by);
    query_bind_text(&q, subnet);
    query_bind_text(&q, user);
    query_bind_int(&q, now);
    e = query_run(&q, &changes, f);
    if (e == ERR_NONE && changes == 0)
        e = fault_set(f, ERR_NOTFOUND, "no such ban is in force");
    return e;
}

// One number of one row.
static enum err read_number(struct query *q, enum err e, unsigned *out, struct fault *f)
{
    bool row = false;
    *out = 0;
    if (e == ERR_NONE)
        e = query_step(q, &row, f);
    if (e == ERR_NONE && row)
        *out = (unsigned)query_int(q, 0);
    query_end(q);
    return e;
}

enum err ban_count_since(struct store *s, const char *user, const char *subnet, time_t since, unsigned *out,
                         struct fault *f)
{
    static const char sql[] =
        "SELECT count(*) FROM bans WHERE subnet = ? AND user = ? AND created > ? AND lifted = 0";
    struct query q;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE) {
        query_bind_text(&q, subnet);
        query_bind_text(&q, user);
        query_bind_int(&q, since);
    }
    return read_number(&q, e, out, f);
}

enum err ban_totals(struct store *s, time_t now, unsigned *in_force, unsigned *ever, struct fault *f)
{
    static const char now_sql[] = "SELECT count(*) FROM bans WHERE " IN_FORCE;
    static const char ever_sql[] = "SELECT count(*) FROM bans";
    struct query q;
    enum err e = query_read(s, now_sql, &q, f);
    if (e == ERR_NONE)
        query_bind_int(&q, now);
    e = read_number(&q, e, in_force, f);
    if (e == ERR_NONE)
        e = read_number(&q, query_read(s, ever_sql, &q, f), ever, f);
    return e;
}

static enum err each_ban(struct query *q, enum err e, ban_each_fn each, void *arg, struct fault *f)
{
    bool row = true;
    while (e == ERR_NONE) {
        struct ban_row ban;
        e = query_step(q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        read_ban(q, &ban);
        e = each(&ban, arg, f);
    }
    query_end(q);
    return e;
}

enum err ban_each_in_force(struct store *s, time_t now, ban_each_fn each, void *arg, struct fault *f)
{
    static const char sql[] = BAN_SELECT "WHERE " IN_FORCE " ORDER BY id";
    struct query q;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE)
        query_bind_int(&q, now);
    return each_ban(&q, e, each, arg, f);
}

enum err ban_each(struct store *s, unsigned limit, ban_each_fn each, void *arg, struct fault *f)
{
    static const char sql[] = BAN_SELECT "ORDER BY id DESC LIMIT ?";
    struct query q;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE)
        query_bind_int(&q, limit);
    return each_ban(&q, e, each, arg, f);
}

// ---- known sources

enum err known_source_touch(struct store *s, const char *source, const char *fingerprint, time_t now,
                            struct fault *f)
{
    static const char sql[] = "INSERT INTO known_sources (source, fingerprint, last) VALUES (?, ?, ?)"
                              " ON CONFLICT (source, fingerprint) DO UPDATE SET last = excluded.last";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_text(&q, source);
    query_bind_text(&q, fingerprint);
    query_bind_int(&q, now);
    return query_run(&q, NULL, f);
}

enum err known_source_has(struct store *s, const char *source, const char *fingerprint, time_t since,
                          bool *out, struct fault *f)
{
    static const char any[] = "SELECT 1 FROM known_sources WHERE source = ? AND last > ? LIMIT 1";
    static const char one[] = "SELECT 1 FROM known_sources WHERE source = ? AND last > ? AND fingerprint = ?";
    struct query q;
    *out = false;
    enum err e = query_read(s, fingerprint == NULL ? any : one, &q, f);
    if (e == ERR_NONE) {
        query_bind_text(&q, source);
        query_bind_int(&q, since);
        if (fingerprint != NULL)
            query_bind_text(&q, fingerprint);
        e = query_step(&q, out, f);
    }
    query_end(&q);
    return e;
}

enum err known_source_each(struct store *s, time_t since, known_source_fn each, void *arg, struct fault *f)
{
    static const char sql[] =
        "SELECT source, max(last) FROM known_sources WHERE last > ? GROUP BY source ORDER BY 2 DESC";
    struct query q;
    bool row = true;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE)
        query_bind_int(&q, since);
    while (e == ERR_NONE) {
        e = query_step(&q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        e = each(query_text(&q, 0), (time_t)query_int(&q, 1), arg, f);
    }
    query_end(&q);
    return e;
}

enum err known_source_prune(struct store *s, time_t before, struct fault *f)
{
    static const char sql[] = "DELETE FROM known_sources WHERE last < ?";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, before);
    return query_run(&q, NULL, f);
}
