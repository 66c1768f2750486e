// Reading the audit trail back, filtered. The SQL is put together from fixed pieces; values are only ever
// bound.
#include "store/audit.h"

#include <stdio.h>
#include <string.h>

#include "policy/name.h"
#include "store/query.h"

#define COLUMNS                                                                                              \
    "seq, time, event, user, actor, fingerprint, address, session, box, target, bytes_in, bytes_out, "       \
    "duration_ms, "                                                                                          \
    "reason"

// What rows of one address look like without knowing the port: "203.0.113.7:*" is the range ["203.0.113.7:",
// "203.0.113.7;"), which the index on address serves; a LIKE would not.
struct address_range {
    char low[160], high[160];
};

static void range_of(const char *address, struct address_range *out)
{
    bool v6 = strchr(address, ':') != NULL && address[0] != '[';
    int n = snprintf(out->low, sizeof out->low, v6 ? "[%.120s]:" : "%.120s:", address);
    memcpy(out->high, out->low, sizeof out->high);
    out->high[n - 1] = ';'; // the character after ':'
}

// True if a port stands behind the address.
static bool has_port(const char *address)
{
    const char *colon = strrchr(address, ':');
    return colon != NULL && (address[0] == '[' ? colon[-1] == ']' : strchr(address, ':') == colon);
}

struct filter {
    char sql[1600];
    char where[320]; // what both halves have in common
    unsigned bound;  // parameters it has
    struct query q;
    struct address_range range;
    char box[NAME_BOX_SIZE];
};

static void add_condition(struct filter *fl, const char *text)
{
    size_t at = strlen(fl->where);
    for (; *text != '\0' && at + 8 < sizeof fl->where; text++) {
        if (*text == '?')
            at += (size_t)snprintf(fl->where + at, sizeof fl->where - at, "?%u", ++fl->bound);
        else
            fl->where[at++] = *text;
    }
    fl->where[at] = '\0';
}

// Parameters have numbers, in the order in which filter_bind() gives their values.
static void filter_where(struct filter *fl, const struct audit_query *query)
{
    fl->where[0] = '\0';
    fl->bound = 0;
    // No "seq > 0": SQLite would take it for a reason to walk the whole table in its order.
    if (query->after_seq != 0)
        add_condition(fl, " AND seq > ?");
    if (query->event != NULL)
        add_condition(fl, " AND event = ?");
    if (query->address != NULL)
        add_condition(fl, has_port(query->address) ? " AND address = ?"
                                                   : " AND (address = ? OR (address >= ? AND address < ?))");
    if (query->since != 0)
        add_condition(fl, " AND time >= ?");
    if (query->until != 0)
        add_condition(fl, " AND time <= ?");
    if (query->named)
        add_condition(fl, " AND user <> ''");
}

// What concerns a user stands under their name, or is what somebody else did in their box: two halves, each
// with an index that finds its newest records first.
static void filter_sql(struct filter *fl, const struct audit_query *query)
{
    char limit[64] = "";
    filter_where(fl, query);
    // "Newest" is by time, as the indexes are; the clock may have been set back. Delivery is in the order of
    // the chain.
    if (query->limit > 0)
        snprintf(limit, sizeof limit, " ORDER BY time DESC, seq DESC LIMIT %u", query->limit);
    if (query->user == NULL)
        snprintf(fl->sql, sizeof fl->sql,
                 "SELECT * FROM (SELECT " COLUMNS " FROM audit WHERE 1%s%s) ORDER BY seq", fl->where, limit);
    else
        snprintf(fl->sql, sizeof fl->sql,
                 "SELECT * FROM (SELECT * FROM ("
                 "SELECT * FROM (SELECT " COLUMNS " FROM audit WHERE user = ?%u%s%s) UNION ALL "
                 "SELECT * FROM (SELECT " COLUMNS " FROM audit WHERE box = ?%u AND box <> ''"
                 " AND box <> user || '-container'%s%s))%s) ORDER BY seq",
                 fl->bound + 1, fl->where, limit, fl->bound + 2, fl->where, limit, limit);
}

static void filter_bind(struct filter *fl, const struct audit_query *query)
{
    if (query->after_seq != 0)
        query_bind_int(&fl->q, query->after_seq);
    if (query->event != NULL)
        query_bind_text(&fl->q, query->event);
    if (query->address != NULL) {
        query_bind_text(&fl->q, query->address);
        if (!has_port(query->address)) {
            range_of(query->address, &fl->range);
            query_bind_text(&fl->q, fl->range.low);
            query_bind_text(&fl->q, fl->range.high);
        }
    }
    if (query->since != 0)
        query_bind_int(&fl->q, query->since);
    if (query->until != 0)
        query_bind_int(&fl->q, query->until);
    if (query->user != NULL) {
        name_box(query->user, fl->box);
        query_bind_text(&fl->q, query->user);
        query_bind_text(&fl->q, fl->box);
    }
}

static enum err read_record(const struct query *q, struct audit_record *out, struct fault *f)
{
    *out = (struct audit_record){
        .seq = query_int(q, 0),
        .time = (time_t)query_int(q, 1),
        .user = query_text(q, 3),
        .actor = query_text(q, 4),
        .fingerprint = query_text(q, 5),
        .address = query_text(q, 6),
        .session = query_int(q, 7),
        .box = query_text(q, 8),
        .target = query_text(q, 9),
        .bytes_in = (uint64_t)query_int(q, 10),
        .bytes_out = (uint64_t)query_int(q, 11),
        .duration_ms = (uint64_t)query_int(q, 12),
        .reason = query_text(q, 13),
    };
    if (!audit_event_parse(query_text(q, 2), &out->event))
        return fault_set(f, ERR_IO,
                         "row %lld of the audit trail has the unknown event \"%.40s\"; run audit verify",
                         (long long)out->seq, query_text(q, 2));
    return ERR_NONE;
}

enum err audit_each(struct store *s, const struct audit_query *query, audit_each_fn each, void *arg,
                    struct fault *f)
{
    struct filter fl;
    bool row = true;
    enum audit_event known;
    if (query->event != NULL && !audit_event_parse(query->event, &known))
        return fault_set(f, ERR_INVALID,
                         "\"%.40s\" is not an event of the audit trail; try login, auth-failed, refused",
                         query->event);
    filter_sql(&fl, query);
    enum err e = query_read_once(s, fl.sql, &fl.q, f);
    if (e == ERR_NONE)
        filter_bind(&fl, query);
    while (e == ERR_NONE) {
        struct audit_record record;
        e = query_step(&fl.q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        e = read_record(&fl.q, &record, f);
        if (e == ERR_NONE)
            e = each(&record, arg, f);
    }
    query_end(&fl.q);
    return e;
}

enum err audit_count_users(struct store *s, time_t since, audit_count_fn each, void *arg, struct fault *f)
{
    static const char sql[] =
        "SELECT user, sum(event = 'login'), max(CASE event WHEN 'login' THEN time ELSE 0 END),"
        " sum(event = 'login-failed') FROM audit"
        " WHERE event IN ('login', 'login-failed') AND user <> '' AND time >= ? GROUP BY user ORDER BY user";
    struct query q;
    bool row = true;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE)
        query_bind_int(&q, since);
    while (e == ERR_NONE) {
        e = query_step(&q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        struct audit_count count = {
            .user = query_text(&q, 0),
            .logins = (uint64_t)query_int(&q, 1),
            .last = (time_t)query_int(&q, 2),
            .failures = (uint64_t)query_int(&q, 3),
        };
        e = each(&count, arg, f);
    }
    query_end(&q);
    return e;
}

enum err audit_count_event(struct store *s, enum audit_event event, time_t since, uint64_t *out,
                           struct fault *f)
{
    static const char sql[] = "SELECT count(*) FROM audit WHERE event = ? AND time >= ?"
                              " AND (event <> 'login-failed' OR user <> '')";
    struct query q;
    bool row = false;
    *out = 0;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE) {
        query_bind_text(&q, audit_event_name(event));
        query_bind_int(&q, since);
        e = query_step(&q, &row, f);
    }
    if (e == ERR_NONE && row)
        *out = (uint64_t)query_int(&q, 0);
    query_end(&q);
    return e;
}
