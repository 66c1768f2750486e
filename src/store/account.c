// Accounts. Their keys are in account_key.c, their boxes in box.c; both go with the account.
#include "store/account.h"

#include <stdio.h>
#include <string.h>

#include "store/query.h"

static enum err read_account(const struct query *q, struct account *out, struct fault *f)
{
    *out = (struct account){
        .id = query_int(q, 0),
        .created = (time_t)query_int(q, 3),
        .last_login = (time_t)query_int(q, 4),
    };
    query_copy(q, 1, out->name, sizeof out->name);
    if (!role_parse(query_text(q, 2), &out->role)) // never guess a role
        return fault_set(f, ERR_IO, "account %s has the unknown role \"%.32s\"", out->name, query_text(q, 2));
    return ERR_NONE;
}

static enum err no_account(int64_t id, struct fault *f)
{
    return fault_set(f, ERR_NOTFOUND, "there is no account number %lld any more", (long long)id);
}

enum err account_create(struct store *s, const char *name, enum role role, time_t now, int64_t *out_id,
                        struct fault *f)
{
    static const char sql[] =
        "INSERT INTO accounts (name, role, created) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING";
    struct query q;
    int changes = 0;
    enum err e = name_check_user(name, f);
    if (e != ERR_NONE)
        return e;
    e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_text(&q, name);
    query_bind_text(&q, role_name(role));
    query_bind_int(&q, now);
    e = query_run(&q, &changes, f);
    if (e == ERR_NONE && changes == 0)
        e = fault_set(f, ERR_CONFLICT, "user %s exists already", name);
    if (e == ERR_NONE && out_id != NULL)
        *out_id = sqlite3_last_insert_rowid(s->db);
    return e;
}

enum err account_get(struct store *s, const char *name, struct account *out, struct fault *f)
{
    static const char sql[] = "SELECT id, name, role, created, last_login FROM accounts WHERE name = ?";
    struct query q;
    bool row = false;
    enum err e = query_read(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_text(&q, name);
    e = query_step(&q, &row, f);
    if (e == ERR_NONE)
        e = row ? read_account(&q, out, f) : fault_set(f, ERR_NOTFOUND, "there is no user \"%.64s\"", name);
    query_end(&q);
    return e;
}

enum err account_get_id(struct store *s, int64_t id, struct account *out, struct fault *f)
{
    static const char sql[] = "SELECT id, name, role, created, last_login FROM accounts WHERE id = ?";
    struct query q;
    bool row = false;
    enum err e = query_read(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, id);
    e = query_step(&q, &row, f);
    if (e == ERR_NONE)
        e = row ? read_account(&q, out, f) : no_account(id, f);
    query_end(&q);
    return e;
}

// Runs an UPDATE or DELETE of one account; what it needs is bound already.
static enum err run_on(struct query *q, int64_t id, struct fault *f)
{
    int changes = 0;
    enum err e = query_run(q, &changes, f);
    if (e == ERR_NONE && changes == 0)
        e = no_account(id, f);
    return e;
}

enum err account_set_role(struct store *s, int64_t id, enum role role, struct fault *f)
{
    static const char sql[] = "UPDATE accounts SET role = ? WHERE id = ?";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_text(&q, role_name(role));
    query_bind_int(&q, id);
    return run_on(&q, id, f);
}

enum err account_touch_login(struct store *s, int64_t id, time_t now, struct fault *f)
{
    static const char sql[] = "UPDATE accounts SET last_login = ? WHERE id = ?";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, now);
    query_bind_int(&q, id);
    return run_on(&q, id, f);
}

enum err account_delete(struct store *s, int64_t id, struct fault *f)
{
    static const char sql[] = "DELETE FROM accounts WHERE id = ?";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, id);
    return run_on(&q, id, f);
}

enum err account_each(struct store *s, account_each_fn each, void *arg, struct fault *f)
{
    static const char sql[] = "SELECT id, name, role, created, last_login FROM accounts ORDER BY name";
    struct query q;
    bool row = true;
    enum err e = query_read(s, sql, &q, f);
    while (e == ERR_NONE) {
        struct account account;
        e = query_step(&q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        e = read_account(&q, &account, f);
        if (e == ERR_NONE)
            e = each(&account, arg, f);
    }
    query_end(&q);
    return e;
}
