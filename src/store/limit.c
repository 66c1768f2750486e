// Limits of accounts.
#include "store/limit.h"

#include "store/query.h"

enum err limit_load(struct store *s, int64_t account_id, struct limits *limits, bool *own, struct fault *f)
{
    static const char sql[] = "SELECT name, value FROM limits WHERE account_id = ?";
    struct query q;
    bool row = true;
    for (int i = 0; own != NULL && i < LIMIT_COUNT; i++)
        own[i] = false;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE)
        query_bind_int(&q, account_id);
    while (e == ERR_NONE) {
        enum limit_name name;
        e = query_step(&q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        if (!limit_parse_name(query_text(&q, 0), &name)) // of a newer version that was gone back from
            continue;
        limits->value[name] = (uint64_t)query_int(&q, 1);
        if (own != NULL)
            own[name] = true;
    }
    query_end(&q);
    return e;
}

enum err limit_set(struct store *s, int64_t account_id, enum limit_name name, uint64_t value, struct fault *f)
{
    static const char sql[] = "INSERT INTO limits (account_id, name, value) VALUES (?, ?, ?)"
                              " ON CONFLICT (account_id, name) DO UPDATE SET value = excluded.value";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, account_id);
    query_bind_text(&q, limit_info(name)->name);
    query_bind_int(&q, (int64_t)value);
    return query_run(&q, NULL, f);
}

enum err limit_reset(struct store *s, int64_t account_id, struct fault *f)
{
    static const char sql[] = "DELETE FROM limits WHERE account_id = ?";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, account_id);
    return query_run(&q, NULL, f);
}
