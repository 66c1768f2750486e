// The keys of accounts: added, removed, and looked up by fingerprint at every key a client offers.
#include "store/account.h"

#include <stdio.h>
#include <string.h>

#include "store/query.h"

#define KEY_COLUMNS                                                                                          \
    "keys.id, keys.account_id, keys.type, keys.base64, keys.fingerprint, keys.comment, keys.bits, "          \
    "keys.added, keys.last_used, keys.options"
#define KEY_COLUMN_COUNT 10

static void read_key(const struct query *q, struct account_key *out)
{
    *out = (struct account_key){
        .id = query_int(q, 0),
        .account_id = query_int(q, 1),
        .added = (time_t)query_int(q, 7),
        .last_used = (time_t)query_int(q, 8),
    };
    query_copy(q, 2, out->key.type, sizeof out->key.type);
    query_copy(q, 3, out->key.base64, sizeof out->key.base64);
    query_copy(q, 4, out->key.fingerprint, sizeof out->key.fingerprint);
    query_copy(q, 5, out->key.comment, sizeof out->key.comment);
    out->key.bits = (unsigned)query_int(q, 6);
    query_copy(q, 9, out->key.options, sizeof out->key.options);
}

enum err account_key_find(struct store *s, const char *fingerprint, struct account *owner,
                          struct account_key *key, struct fault *f)
{
    static const char sql[] = "SELECT " KEY_COLUMNS ", name, role, created, last_login FROM keys"
                              " JOIN accounts ON accounts.id = keys.account_id WHERE fingerprint = ?";
    struct query q;
    bool row = false;
    enum err e = query_read(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_text(&q, fingerprint);
    e = query_step(&q, &row, f);
    if (e == ERR_NONE && !row)
        e = fault_set(f, ERR_NOTFOUND, "nobody has the key %.64s", fingerprint);
    if (e == ERR_NONE) {
        read_key(&q, key);
        *owner = (struct account){
            .id = key->account_id,
            .created = (time_t)query_int(&q, KEY_COLUMN_COUNT + 2),
            .last_login = (time_t)query_int(&q, KEY_COLUMN_COUNT + 3),
        };
        query_copy(&q, KEY_COLUMN_COUNT, owner->name, sizeof owner->name);
        if (!role_parse(query_text(&q, KEY_COLUMN_COUNT + 1), &owner->role))
            e = fault_set(f, ERR_IO, "account %s has an unknown role", owner->name);
    }
    query_end(&q);
    return e;
}

static enum err insert_key(struct store *s, int64_t account_id, const struct pubkey *key, time_t now,
                           int *changes, struct fault *f)
{
    static const char sql[] = "INSERT INTO keys (account_id, fingerprint, type, base64, comment, bits, "
                              "added, options) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                              " ON CONFLICT (fingerprint) DO NOTHING";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, account_id);
    query_bind_text(&q, key->fingerprint);
    query_bind_text(&q, key->type);
    query_bind_text(&q, key->base64);
    query_bind_text(&q, key->comment);
    query_bind_int(&q, key->bits);
    query_bind_int(&q, now);
    query_bind_text(&q, key->options);
    e = query_run(&q, changes, f);
    if (e == ERR_CONFLICT) // the foreign key
        e = fault_set(f, ERR_NOTFOUND, "there is no account number %lld any more", (long long)account_id);
    return e;
}

// The key is there already: what it may do is what was said last.
static enum err change_options(struct store *s, int64_t key_id, const char *options, struct fault *f)
{
    static const char sql[] = "UPDATE keys SET options = ? WHERE id = ?";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_text(&q, options);
    query_bind_int(&q, key_id);
    return query_run(&q, NULL, f);
}

enum err account_key_add(struct store *s, int64_t account_id, const struct pubkey *key, time_t now,
                         bool *added, struct fault *f)
{
    struct account owner;
    struct account_key existing;
    int changes = 0;
    if (added != NULL)
        *added = false;
    enum err e = insert_key(s, account_id, key, now, &changes, f);
    if (e == ERR_NONE && changes > 0 && added != NULL)
        *added = true;
    if (e != ERR_NONE || changes > 0)
        return e;
    e = account_key_find(s, key->fingerprint, &owner, &existing, f);
    if (e == ERR_NONE && owner.id != account_id)
        e = fault_set(f, ERR_CONFLICT, "the key %s belongs to %s already; a key can log in one user only",
                      key->fingerprint, owner.name);
    if (e == ERR_NONE && strcmp(existing.key.options, key->options) != 0) {
        e = change_options(s, existing.id, key->options, f);
        if (e == ERR_NONE && added != NULL)
            *added = true;
    }
    return e;
}

// The one key `which` means. The fingerprint is looked at first: a comment may look like anything.
static enum err pick_key(struct store *s, int64_t account_id, const char *which, struct account_key *out,
                         struct fault *f)
{
    static const char by_fingerprint[] =
        "SELECT " KEY_COLUMNS " FROM keys WHERE account_id = ? AND fingerprint = ?";
    static const char by_comment[] =
        "SELECT " KEY_COLUMNS " FROM keys WHERE account_id = ? AND comment = ? LIMIT 2";
    bool fingerprint = strncmp(which, "SHA256:", 7) == 0;
    unsigned found = 0;
    for (int pass = fingerprint ? 0 : 1; pass < 2 && found == 0; pass++) {
        struct query q;
        bool row = false;
        enum err e = query_read(s, pass == 0 ? by_fingerprint : by_comment, &q, f);
        if (e == ERR_NONE) {
            query_bind_int(&q, account_id);
            query_bind_text(&q, which);
            e = query_step(&q, &row, f);
        }
        while (e == ERR_NONE && row) {
            if (found++ == 0)
                read_key(&q, out);
            e = query_step(&q, &row, f);
        }
        query_end(&q);
        if (e != ERR_NONE)
            return e;
    }
    if (found == 0)
        return fault_set(f, ERR_NOTFOUND, "no key of this user has the fingerprint or comment \"%.128s\"",
                         which);
    if (found > 1)
        return fault_set(f, ERR_CONFLICT, "several keys have the comment \"%.128s\"; give the fingerprint",
                         which);
    return ERR_NONE;
}

enum err account_key_remove(struct store *s, int64_t account_id, const char *which,
                            struct account_key *removed, struct fault *f)
{
    static const char sql[] = "DELETE FROM keys WHERE id = ?";
    struct account_key key;
    struct query q;
    enum err e = pick_key(s, account_id, which, &key, f);
    if (e == ERR_NONE)
        e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, key.id);
    e = query_run(&q, NULL, f);
    if (e == ERR_NONE && removed != NULL)
        *removed = key;
    return e;
}

enum err account_key_remove_all(struct store *s, int64_t account_id, struct fault *f)
{
    static const char sql[] = "DELETE FROM keys WHERE account_id = ?";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, account_id);
    return query_run(&q, NULL, f);
}

enum err account_key_count(struct store *s, int64_t account_id, unsigned *out, struct fault *f)
{
    static const char sql[] = "SELECT count(*) FROM keys WHERE account_id = ?";
    struct query q;
    bool row = false;
    *out = 0;
    enum err e = query_read(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, account_id);
    e = query_step(&q, &row, f);
    if (e == ERR_NONE)
        *out = (unsigned)query_int(&q, 0);
    query_end(&q);
    return e;
}

enum err account_key_each(struct store *s, int64_t account_id, account_key_each_fn each, void *arg,
                          struct fault *f)
{
    static const char sql[] = "SELECT " KEY_COLUMNS " FROM keys WHERE account_id = ? ORDER BY id";
    struct query q;
    bool row = true;
    enum err e = query_read(s, sql, &q, f);
    if (e == ERR_NONE)
        query_bind_int(&q, account_id);
    while (e == ERR_NONE) {
        struct account_key key;
        e = query_step(&q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        read_key(&q, &key);
        e = each(&key, arg, f);
    }
    query_end(&q);
    return e;
}

enum err account_key_touch(struct store *s, int64_t key_id, time_t now, struct fault *f)
{
    static const char sql[] = "UPDATE keys SET last_used = ? WHERE id = ?";
    struct query q;
    int changes = 0;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, now);
    query_bind_int(&q, key_id);
    e = query_run(&q, &changes, f);
    if (e == ERR_NONE && changes == 0)
        e = fault_set(f, ERR_NOTFOUND, "the key was removed meanwhile");
    return e;
}
