// The audit trail: what is written comes back, queries find it through their indexes, and every kind of
// tampering is found at its place.
#include "unit/check.h"

#include <sqlite3.h>

#include "unit/store_fixture.h"

static void append(struct fixture *x, time_t t, enum audit_event event, const char *user, const char *address)
{
    struct fault f = {.text = ""};
    struct audit_record record = {.time = t, .event = event, .user = user, .address = address};
    assert_ok(audit_append(x->store, &record, &f));
}

struct seen {
    unsigned count;
    int64_t first, last;
    struct audit_record record; // the last one; strings copied
    char text[7][1100];
};

static enum err see(const struct audit_record *r, void *arg, struct fault *f)
{
    struct seen *seen = arg;
    const char **fields[] = {&seen->record.user,    &seen->record.actor, &seen->record.fingerprint,
                             &seen->record.address, &seen->record.box,   &seen->record.target,
                             &seen->record.reason};
    (void)f;
    if (seen->count++ == 0)
        seen->first = r->seq;
    else
        assert_true(r->seq > seen->last); // oldest first
    seen->last = r->seq;
    seen->record = *r;
    for (size_t i = 0; i < COUNT(fields); i++) {
        snprintf(seen->text[i], sizeof seen->text[i], "%s", *fields[i]);
        *fields[i] = seen->text[i];
    }
    return ERR_NONE;
}

static struct seen look(struct fixture *x, struct audit_query query)
{
    struct fault f = {.text = ""};
    struct seen seen = {.count = 0};
    assert_ok(audit_each(x->store, &query, see, &seen, &f));
    return seen;
}

static void fields_come_back(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct audit_record record = {
        .time = 1234,
        .event = AUDIT_CHANNEL_CLOSED,
        .user = "alice",
        .actor = "root@host",
        .fingerprint = "SHA256:abc",
        .address = "203.0.113.7:50122",
        .session = 17,
        .box = "alice-container",
        .target = "direct-tcpip alice-container:22",
        .bytes_in = 1,
        .bytes_out = UINT64_MAX,
        .duration_ms = 99,
        .reason = "bye",
    };
    static struct seen seen;
    assert_ok(audit_append(x->store, &record, &f));
    assert_int_equal(record.seq, 1);
    seen.count = 0;
    assert_ok(audit_each(x->store, &(struct audit_query){.limit = 0}, see, &seen, &f));
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.record.seq, 1);
    assert_int_equal(seen.record.time, 1234);
    assert_int_equal(seen.record.event, AUDIT_CHANNEL_CLOSED);
    assert_string_equal(seen.text[0], "alice");
    assert_string_equal(seen.text[1], "root@host");
    assert_string_equal(seen.text[2], "SHA256:abc");
    assert_string_equal(seen.text[3], "203.0.113.7:50122");
    assert_string_equal(seen.text[4], "alice-container");
    assert_string_equal(seen.text[5], "direct-tcpip alice-container:22");
    assert_string_equal(seen.text[6], "bye");
    assert_int_equal(seen.record.session, 17);
    assert_int_equal(seen.record.bytes_in, 1);
    assert_int_equal(seen.record.bytes_out, INT64_MAX);
    assert_int_equal(seen.record.duration_ms, 99);
}

static void peer_text_is_escaped(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    char longer[5000];
    static struct seen seen;
    memset(longer, '\n', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    struct audit_record record = {
        .time = 1, .event = AUDIT_REFUSED, .user = "a\nlevel=info\x1b[2J\\\xff", .target = longer};
    assert_ok(audit_append(x->store, &record, &f));
    seen.count = 0;
    assert_ok(audit_each(x->store, &(struct audit_query){.limit = 0}, see, &seen, &f));
    assert_string_equal(seen.text[0], "a\\x0alevel=info\\x1b[2J\\\\\\xff");
    assert_true(strlen(seen.text[5]) < 1024);
    assert_string_equal(seen.text[5] + strlen(seen.text[5]) - 3, "...");
    assert_ok(audit_verify(x->store, NULL, &f));
}

static void queries(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct seen none = {.count = 0};
    append(x, 100, AUDIT_LOGIN, "alice", "203.0.113.7:1000");
    append(x, 200, AUDIT_LOGIN, "bob", "203.0.113.70:1000");
    append(x, 300, AUDIT_LOGOUT, "alice", "203.0.113.7:1001");
    append(x, 400, AUDIT_LOGIN, "alice", "[2001:db8::1]:1000");
    append(x, 500, AUDIT_COMMAND, "alice", NULL);
    assert_int_equal(look(x, (struct audit_query){.user = "alice"}).count, 4);
    assert_int_equal(look(x, (struct audit_query){.user = "carol"}).count, 0);
    assert_int_equal(look(x, (struct audit_query){.event = "login"}).count, 3);
    assert_int_equal(look(x, (struct audit_query){.user = "alice", .event = "login"}).last, 4);
    assert_int_equal(look(x, (struct audit_query){.address = "203.0.113.7"}).count, 2); // not .70
    assert_int_equal(look(x, (struct audit_query){.address = "203.0.113.7:1001"}).count, 1);
    assert_int_equal(look(x, (struct audit_query){.address = "2001:db8::1"}).count, 1);
    assert_int_equal(look(x, (struct audit_query){.address = "[2001:db8::1]"}).count, 1);
    assert_int_equal(look(x, (struct audit_query){.address = "[2001:db8::1]:1000"}).count, 1);
    assert_int_equal(look(x, (struct audit_query){.address = "2001:db8::"}).count, 0);
    assert_int_equal(look(x, (struct audit_query){.since = 200, .until = 400}).count, 3);
    assert_int_equal(look(x, (struct audit_query){.after_seq = 3}).count, 2);
    struct seen newest = look(x, (struct audit_query){.limit = 2});
    assert_int_equal(newest.count, 2);
    assert_int_equal(newest.first, 4);
    assert_int_equal(newest.last, 5);
    newest = look(x, (struct audit_query){
                         .user = "alice", .address = "203.0.113.7", .limit = 1, .since = 1, .until = 999});
    assert_int_equal(newest.count, 1);
    assert_int_equal(newest.first, 3);
    assert_err(ERR_INVALID, audit_each(x->store, &(struct audit_query){.event = "logn"}, see, &none, &f));
    assert_says("not an event");
    assert_int_equal(look(x, (struct audit_query){.user = "alice' OR '1'='1"}).count, 0);
}

static void events_have_names(void **state)
{
    (void)state;
    for (int i = 0; i <= AUDIT_COMMAND; i++) {
        enum audit_event back = AUDIT_LOGIN;
        assert_true(audit_event_parse(audit_event_name((enum audit_event)i), &back));
        assert_int_equal(back, i);
    }
    enum audit_event e;
    assert_false(audit_event_parse("", &e));
    assert_false(audit_event_parse("LOGIN", &e));
}

static void rollback_leaves_no_gap(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    int64_t rows = 0;
    append(x, 1, AUDIT_LOGIN, "alice", NULL);
    assert_ok(store_commit(x->store, &f));
    append(x, 2, AUDIT_LOGIN, "bob", NULL);
    append(x, 3, AUDIT_LOGIN, "carol", NULL);
    store_rollback(x->store);
    append(x, 4, AUDIT_LOGIN, "dave", NULL);
    assert_ok(audit_verify(x->store, &rows, &f)); // also in the open group
    assert_int_equal(rows, 2);
    assert_ok(store_commit(x->store, &f));
    fixture_reopen(x);
    append(x, 5, AUDIT_LOGIN, "erin", NULL);
    assert_ok(store_commit(x->store, &f));
    assert_ok(audit_verify(x->store, &rows, &f));
    assert_int_equal(rows, 3);
}

static void empty_trail(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    int64_t rows = 7;
    assert_ok(audit_verify(x->store, &rows, &f));
    assert_int_equal(rows, 0);
}

// Does to the file what somebody with write access would do, and puts the triggers back.
static void tamper(struct fixture *x, const char *change)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    char triggers[2048] = "", *error = NULL;
    fixture_close(x);
    assert_int_equal(sqlite3_open(x->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT sql || ';' FROM sqlite_schema WHERE type = 'trigger'", -1,
                                        &stmt, NULL),
                     SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW)
        strcat(triggers, (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    assert_int_equal(
        sqlite3_exec(db, "DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete", NULL, NULL, NULL),
        SQLITE_OK);
    if (sqlite3_exec(db, change, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", change, error);
    assert_int_equal(sqlite3_exec(db, triggers, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void tampering_is_found(void **state)
{
    static const struct {
        const char *change, *says;
    } rows[] = {
        {"UPDATE audit SET user = 'mallory' WHERE seq = 5", "broken at 5"},
        {"UPDATE audit SET time = time + 1 WHERE seq = 5", "broken at 5"},
        {"UPDATE audit SET event = 'logout' WHERE seq = 5", "broken at 5"},
        {"UPDATE audit SET actor = 'x' WHERE seq = 5", "broken at 5"},
        {"UPDATE audit SET fingerprint = 'x' WHERE seq = 5", "broken at 5"},
        {"UPDATE audit SET address = '198.51.100.1:1' WHERE seq = 5", "broken at 5"},
        {"UPDATE audit SET session = 1 WHERE seq = 5", "broken at 5"},
        {"UPDATE audit SET box = 'x' WHERE seq = 5", "broken at 5"},
        {"UPDATE audit SET target = 'x' WHERE seq = 5", "broken at 5"},
        {"UPDATE audit SET bytes_in = 1 WHERE seq = 5", "broken at 5"},
        {"UPDATE audit SET bytes_out = 1 WHERE seq = 5", "broken at 5"},
        {"UPDATE audit SET duration_ms = 1 WHERE seq = 5", "broken at 5"},
        {"UPDATE audit SET reason = 'x' WHERE seq = 5", "broken at 5"},
        {"UPDATE audit SET hash = zeroblob(32) WHERE seq = 5", "broken at 5"},
        // moving text from one field to its neighbour
        {"UPDATE audit SET box = '', target = 'btarget' WHERE seq = 5", "broken at 5"},
        {"DELETE FROM audit WHERE seq = 1", "broken at 1"},
        {"DELETE FROM audit WHERE seq = 5", "broken at 5"},
        {"DELETE FROM audit WHERE seq = 5; UPDATE audit SET seq = seq - 1 WHERE seq > 5", "broken at 5"},
        {"DELETE FROM audit WHERE seq = 10",
         "broken at 10: it ends there, but 10 rows were written"}, // the tail
        {"DELETE FROM audit", "broken at 1"},
        {"DELETE FROM audit WHERE seq = 10; UPDATE audit_head SET seq = 9", "not signed with its key"},
        {"DELETE FROM audit WHERE seq = 10; UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit "
         "WHERE seq = 9)",
         "end mark of the audit trail (record 9) is not signed"}, // the tail, well cut
        {"UPDATE audit_head SET signature = x''", "not signed with its key"},
        {"UPDATE audit_anchor SET (seq, hash) = (SELECT seq, hash FROM audit WHERE seq = 5);"
         "DELETE FROM audit WHERE seq <= 5",
         "beginning mark of the audit trail (record 5) is not signed"}, // the beginning, as retention would
        {"UPDATE audit_anchor SET signature = (SELECT signature FROM audit_head),"
         " (seq, hash) = (SELECT seq, hash FROM audit_head); DELETE FROM audit",
         "beginning mark"}, // one mark's signature for the other
        {"DELETE FROM audit_head", "end mark of the audit trail is missing"},
        {"INSERT INTO audit SELECT 11, time, event, user, actor, fingerprint, address, session, box, target, "
         "bytes_in,"
         " bytes_out, duration_ms, reason, hash FROM audit WHERE seq = 10",
         "broken at 11"},
        {"UPDATE audit SET seq = 99 WHERE seq = 10", "broken at 10: row 99 follows row 9"},
        {"UPDATE audit SET seq = -1 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 6; UPDATE audit SET "
         "seq = 6"
         " WHERE seq = -1",
         "broken at 5"}, // two rows change places
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture *x = NULL;
        struct fault f = {.text = ""};
        (void)state;
        assert_int_equal(fixture_setup((void **)&x), 0);
        for (int n = 0; n < 10; n++) {
            struct audit_record r = {
                .time = 100 + n, .event = AUDIT_LOGIN, .user = "alice", .box = "b", .target = "target"};
            assert_ok(audit_append(x->store, &r, &f));
        }
        assert_ok(store_commit(x->store, &f));
        tamper(x, "SELECT 1");
        fixture_open(x);
        assert_ok(audit_verify(x->store, NULL, &f)); // the tampering's own tools leave no trace
        tamper(x, rows[i].change);
        enum err e = store_open(x->path, &x->store, &f); // a mark that is wrong is seen at the start
        if (e == ERR_NONE)
            e = audit_verify(x->store, NULL, &f);
        if (e != ERR_CONFLICT)
            fail_msg("not found: %s", rows[i].change);
        assert_says(rows[i].says);
        fixture_teardown((void **)&x);
    }
}

// Our own program cannot bend it either.
static void rows_cannot_be_changed(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    sqlite3 *db = NULL;
    append(x, 1, AUDIT_LOGIN, "alice", NULL);
    assert_ok(store_commit(x->store, &f));
    assert_int_equal(sqlite3_open(x->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE audit SET user = 'bob'", NULL, NULL, NULL), SQLITE_CONSTRAINT);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM audit", NULL, NULL, NULL), SQLITE_CONSTRAINT);
    assert_int_equal(
        sqlite3_exec(db,
                     "INSERT OR REPLACE INTO audit SELECT 1, 2, event, 'bob', actor, fingerprint, address,"
                     " session, box, target, 0, 0, 0, reason, hash FROM audit",
                     NULL, NULL, NULL),
        SQLITE_OK); // REPLACE does not fire delete triggers: the chain tells
    sqlite3_close(db);
    assert_err(ERR_CONFLICT, audit_verify(x->store, NULL, &f));
}

static void plan_of(sqlite3 *db, const char *sql, char *plan, size_t size)
{
    sqlite3_stmt *stmt = NULL;
    plan[0] = '\0';
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW)
        snprintf(plan + strlen(plan), size - strlen(plan), "%s; ",
                 (const char *)sqlite3_column_text(stmt, 3));
    sqlite3_finalize(stmt);
}

static void indexes_are_used(void **state)
{
    struct fixture *x = *state;
    sqlite3 *db = NULL;
    char plan[512];
    static const struct {
        const char *where, *index;
    } rows[] = {
        {"user = 'a' ORDER BY time DESC, seq DESC LIMIT 50", "audit_by_user"},
        {"event = 'login' ORDER BY time DESC, seq DESC LIMIT 50", "audit_by_event"},
        {"(address = 'a' OR (address >= 'a:' AND address < 'a;'))", "audit_by_address"},
        {"time >= 5 AND time <= 9 ORDER BY seq", "audit_by_time"},
        {"box = 'b' AND box <> '' AND box <> user || '-container' ORDER BY time DESC, seq DESC LIMIT 50",
         "audit_by_guest"},
        {"user = 'a' AND time >= 5 ORDER BY time DESC, seq DESC LIMIT 50", "audit_by_user"},
    };
    assert_int_equal(sqlite3_open(x->path, &db), SQLITE_OK);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char sql[256];
        snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN SELECT * FROM audit WHERE 1 AND %s", rows[i].where);
        plan_of(db, sql, plan, sizeof plan);
        if (strstr(plan, rows[i].index) == NULL)
            fail_msg("%s: %s", rows[i].where, plan);
    }
    sqlite3_close(db);
}

// What is old goes; what is left still verifies, from a beginning that is signed.
static void retention_keeps_the_chain(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    unsigned removed = 0;
    int64_t rows = 0;
    for (int n = 0; n < 100; n++)
        append(x, 1000 + n, AUDIT_LOGIN, "alice", NULL);
    assert_ok(store_commit(x->store, &f));
    assert_ok(audit_expire(x->store, 1000, 10, &removed, &f));
    assert_int_equal(removed, 0); // nothing is older
    assert_ok(audit_expire(x->store, 1050, 30, &removed, &f));
    assert_int_equal(removed, 30); // no more than asked at once
    assert_ok(audit_verify(x->store, &rows, &f));
    assert_int_equal(rows, 70);
    assert_ok(audit_expire(x->store, 1050, 30, &removed, &f));
    assert_int_equal(removed, 20);
    assert_ok(store_commit(x->store, &f));
    fixture_reopen(x);
    assert_ok(audit_verify(x->store, &rows, &f));
    assert_int_equal(rows, 50);
    append(x, 1200, AUDIT_LOGIN, "bob", NULL);
    assert_ok(audit_expire(x->store, 5000, 1000, &removed, &f)); // all of it
    assert_int_equal(removed, 51);
    assert_ok(store_commit(x->store, &f));
    assert_ok(audit_verify(x->store, &rows, &f));
    assert_int_equal(rows, 0);
    append(x, 1300, AUDIT_LOGIN, "bob", NULL);
    assert_ok(audit_verify(x->store, &rows, &f));
    assert_int_equal(rows, 1);
}

static void walked_while_others_write(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct audit_walk *walk = NULL;
    unsigned removed = 0, steps = 0;
    bool done = false;
    for (int n = 0; n < 100; n++)
        append(x, 1000 + n, AUDIT_LOGIN, "alice", NULL);
    assert_ok(audit_walk_new(x->store, &walk, &f));
    while (!done) {
        assert_ok(audit_walk_step(walk, 10, &done, &f));
        if (steps++ < 5)
            append(x, 2000, AUDIT_LOGIN, "bob", NULL);
        if (steps == 3) // retention overtakes
            assert_ok(audit_expire(x->store, 1060, 1000, &removed, &f));
    }
    assert_int_equal(removed, 60);
    assert_int_equal(audit_walk_rows(walk), 30 + 40 + 5);
    audit_walk_free(walk);
}

static enum err count_exported(const struct audit_record *record, const char *hash, void *arg,
                               struct fault *f)
{
    (void)f;
    assert_int_equal(strlen(hash), 64);
    assert_true(record->seq > 0);
    ++*(unsigned *)arg;
    return ERR_NONE;
}

static void exported_whole(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    struct audit_export_state at;
    unsigned count = 0;
    bool done = false;
    for (int n = 0; n < 25; n++)
        append(x, 1000 + n, AUDIT_LOGIN, "alice", NULL);
    assert_ok(audit_export_begin(x->store, &at, &f));
    assert_int_equal(at.seq, 0);
    while (!done)
        assert_ok(audit_export_step(x->store, &at, 10, count_exported, &count, &done, &f));
    assert_int_equal(count, 25);
    assert_int_equal(at.head.seq, 25);
    assert_int_equal(strlen(at.head.signature), 128);
    struct audit_mark_text again;
    assert_ok(audit_head(x->store, &again, &f));
    assert_string_equal(again.signature, at.head.signature);
}

static enum err sum_users(const struct audit_count *count, void *arg, struct fault *f)
{
    (void)f;
    size_t at = strlen(arg);
    snprintf((char *)arg + at, 200 - at, "%s %llu %lld %llu;", count->user, (unsigned long long)count->logins,
             (long long)count->last, (unsigned long long)count->failures);
    return ERR_NONE;
}

static enum err note_user(const struct audit_record *record, void *arg, struct fault *f)
{
    (void)f;
    size_t at = strlen(arg);
    snprintf((char *)arg + at, 200 - at, "%s;", record->user);
    return ERR_NONE;
}

static void counted_by_user(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    uint64_t n = 0;
    char text[201] = "";
    append(x, 100, AUDIT_LOGIN, "alice", NULL);
    append(x, 200, AUDIT_LOGIN, "alice", NULL);
    append(x, 300, AUDIT_LOGIN_FAILED, "alice", NULL);
    append(x, 300, AUDIT_LOGIN_FAILED, "", NULL); // a port scan: nobody's failed login
    append(x, 400, AUDIT_REFUSED, "alice", NULL);
    assert_ok(audit_count_users(x->store, 150, sum_users, text, &f));
    assert_string_equal(text, "alice 1 200 1;");
    assert_ok(audit_count_event(x->store, AUDIT_LOGIN, 0, &n, &f));
    assert_int_equal(n, 2);
    assert_ok(audit_count_event(x->store, AUDIT_LOGIN, 101, &n, &f));
    assert_int_equal(n, 1);
    assert_ok(audit_count_event(x->store, AUDIT_LOGIN_FAILED, 0, &n, &f));
    assert_int_equal(n, 1);
    struct audit_query query = {.event = audit_event_name(AUDIT_LOGIN_FAILED), .named = true};
    text[0] = '\0';
    assert_ok(audit_each(x->store, &query, note_user, text, &f));
    assert_string_equal(text, "alice;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(fields_come_back),
        store_test(peer_text_is_escaped),
        store_test(queries),
        cmocka_unit_test(events_have_names),
        store_test(rollback_leaves_no_gap),
        store_test(empty_trail),
        cmocka_unit_test(tampering_is_found),
        store_test(rows_cannot_be_changed),
        store_test(indexes_are_used),
        store_test(retention_keeps_the_chain),
        store_test(walked_while_others_write),
        store_test(exported_whole),
        store_test(counted_by_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
