// Shares: one row a box and guest. Whether one is in force is asked anew at every login.
#include "store/share.h"

#include "store/query.h"

#define SHARE_SELECT                                                                                         \
    "SELECT owner_id, accounts.name, guest_id, guest, actor, shares.created, until FROM shares"              \
    " JOIN accounts ON accounts.id = owner_id "

bool share_in_force(const struct share *share, time_t now)
{
    return share->until == 0 || share->until > now;
}

static void read_share(const struct query *q, struct share *out)
{
    *out = (struct share){
        .owner_id = query_int(q, 0),
        .guest_id = query_int(q, 2),
        .created = (time_t)query_int(q, 5),
        .until = (time_t)query_int(q, 6),
    };
    query_copy(q, 1, out->owner, sizeof out->owner);
    query_copy(q, 3, out->guest, sizeof out->guest);
    query_copy(q, 4, out->actor, sizeof out->actor);
}

// The first row of a query that was begun, which ends here. ERR_NOTFOUND with `missing` if there is none.
static enum err read_one(struct query *q, enum err e, struct share *out, const char *missing, struct fault *f)
{
    bool row = false;
    if (e == ERR_NONE)
        e = query_step(q, &row, f);
    if (e == ERR_NONE && row)
        read_share(q, out);
    else if (e == ERR_NONE)
        e = fault_set(f, ERR_NOTFOUND, "%s", missing);
    query_end(q);
    return e;
}

static enum err find_named(struct store *s, int64_t owner_id, const char *guest, struct share *out,
                           struct fault *f)
{
    static const char sql[] = SHARE_SELECT "WHERE owner_id = ? AND guest = ?";
    struct query q;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE) {
        query_bind_int(&q, owner_id);
        query_bind_text(&q, guest);
    }
    return read_one(&q, e, out, "the box is not shared with that name", f);
}

static enum err check_room(struct store *s, const struct share *share, struct fault *f)
{
    static const char sql[] = "SELECT count(*) FROM shares WHERE owner_id = ? AND guest <> ?";
    struct query q;
    bool row = false;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE) {
        query_bind_int(&q, share->owner_id);
        query_bind_text(&q, share->guest);
        e = query_step(&q, &row, f);
    }
    if (e == ERR_NONE && query_int(&q, 0) >= SHARES_MAX)
        e = fault_set(f, ERR_FULL, "a box can be shared with %d others at most", SHARES_MAX);
    query_end(&q);
    return e;
}

enum err share_put(struct store *s, const struct share *share, struct fault *f)
{
    static const char sql[] =
        "INSERT INTO shares (owner_id, guest_id, guest, actor, created, until) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (owner_id, guest) DO UPDATE SET guest_id = excluded.guest_id,"
        " actor = excluded.actor, created = excluded.created, until = excluded.until";
    struct query q;
    enum err e = check_room(s, share, f);
    if (e == ERR_NONE)
        e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, share->owner_id);
    if (share->guest_id == 0)
        query_bind_null(&q);
    else
        query_bind_int(&q, share->guest_id);
    query_bind_text(&q, share->guest);
    query_bind_text(&q, share->actor);
    query_bind_int(&q, share->created);
    query_bind_int(&q, share->until);
    return query_run(&q, NULL, f);
}

enum err share_remove(struct store *s, int64_t owner_id, const char *guest, struct share *removed,
                      struct fault *f)
{
    static const char sql[] = "DELETE FROM shares WHERE owner_id = ? AND guest = ?";
    struct query q;
    enum err e = find_named(s, owner_id, guest, removed, f);
    if (e == ERR_NONE)
        e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, owner_id);
    query_bind_text(&q, guest);
    return query_run(&q, NULL, f);
}

enum err share_find(struct store *s, int64_t owner_id, int64_t guest_id, time_t now, struct share *out,
                    struct fault *f)
{
    static const char sql[] = SHARE_SELECT "WHERE owner_id = ? AND guest_id = ? AND (until = 0 OR until > ?)";
    struct query q;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE) {
        query_bind_int(&q, owner_id);
        query_bind_int(&q, guest_id);
        query_bind_int(&q, now);
    }
    return read_one(&q, e, out, "that box is not shared with this account", f);
}

enum err share_forget_guest(struct store *s, int64_t guest_id, struct fault *f)
{
    static const char sql[] = "UPDATE shares SET guest_id = NULL WHERE guest_id = ?";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, guest_id);
    return query_run(&q, NULL, f);
}

enum err share_each(struct store *s, int64_t owner_id, int64_t guest_id, share_each_fn each, void *arg,
                    struct fault *f)
{
    static const char all[] = SHARE_SELECT "ORDER BY accounts.name, guest";
    static const char of_box[] = SHARE_SELECT "WHERE owner_id = ? ORDER BY accounts.name, guest";
    static const char of_guest[] = SHARE_SELECT "WHERE guest_id = ? ORDER BY accounts.name, guest";
    struct query q;
    bool row = true;
    enum err e = query_read(s, owner_id != 0 ? of_box : guest_id != 0 ? of_guest : all, &q, f);
    if (e == ERR_NONE && (owner_id != 0 || guest_id != 0))
        query_bind_int(&q, owner_id != 0 ? owner_id : guest_id);
    while (e == ERR_NONE) {
        struct share share;
        e = query_step(&q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        read_share(&q, &share);
        e = each(&share, arg, f);
    }
    query_end(&q);
    return e;
}

enum err share_next_end(struct store *s, time_t *out, struct fault *f)
{
    static const char sql[] = "SELECT coalesce(min(until), 0) FROM shares WHERE until > 0";
    struct query q;
    bool row = false;
    *out = 0;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE)
        e = query_step(&q, &row, f);
    if (e == ERR_NONE)
        *out = (time_t)query_int(&q, 0);
    query_end(&q);
    return e;
}

enum err share_over(struct store *s, time_t now, struct share *out, struct fault *f)
{
    static const char sql[] = SHARE_SELECT "WHERE until > 0 AND until <= ? ORDER BY until LIMIT 1";
    struct query q;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE)
        query_bind_int(&q, now);
    return read_one(&q, e, out, "no share is over", f);
}
