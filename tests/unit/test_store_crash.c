// Killed with -9 in the middle of writing, again and again: what was committed is there, the audit chain
// holds, and what was not committed is gone as a whole.
#include "unit/check.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "unit/store_fixture.h"

#define ROUNDS 30

// One group is a login as the control plane writes it: session, audit row, last login.
static void write_forever(const char *path, int64_t account, int report)
{
    struct store *s = NULL;
    struct fault f = {.text = ""};
    if (store_open(path, &s, &f) != ERR_NONE)
        _exit(1);
    for (uint64_t n = 0;; n++) {
        struct session_row session = {.account_id = account, .started = (time_t)n + 1};
        struct audit_record record = {.time = (time_t)n + 1, .event = AUDIT_LOGIN, .user = "alice"};
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        snprintf(session.token, sizeof session.token, "%d-%lld-%ld", getpid(), (long long)now.tv_sec,
                 now.tv_nsec);
        if (session_open(s, &session, &f) != ERR_NONE)
            _exit(2);
        record.session = session.id;
        if (audit_append(s, &record, &f) != ERR_NONE ||
            account_touch_login(s, account, (time_t)n, &f) != ERR_NONE)
            _exit(3);
        if (store_commit(s, &f) != ERR_NONE)
            _exit(4);
        // Only now may anybody be told.
        if (write(report, &record.seq, sizeof record.seq) != sizeof record.seq)
            _exit(5);
    }
}

static enum err every_row_has_its_session(const struct audit_record *record, void *arg, struct fault *f)
{
    (void)f;
    if (record->session != *(int64_t *)arg + 1)
        return ERR_FAILED;
    ++*(int64_t *)arg;
    return ERR_NONE;
}

static void killed_while_writing(void **state)
{
    struct fixture *x = *state;
    struct fault f = {.text = ""};
    int64_t alice = fixture_account(x, "alice"), total = 0;
    assert_ok(store_commit(x->store, &f));
    fixture_close(x);
    srand(7);
    for (int round = 0; round < ROUNDS; round++) {
        int report[2];
        int64_t told = 0, rows = 0, sessions = 0;
        unsigned live = 0;
        assert_int_equal(pipe(report), 0);
        pid_t child = fork();
        if (child == 0) {
            close(report[0]);
            write_forever(x->path, alice, report[1]);
        }
        close(report[1]);
        assert_int_equal(read(report[0], &told, sizeof told), sizeof told); // it has begun
        usleep((useconds_t)(rand() % 20000));
        assert_int_equal(kill(child, SIGKILL), 0);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        for (int64_t one = 0; read(report[0], &one, sizeof one) == sizeof one;)
            told = one;
        close(report[0]);
        fixture_open(x);
        assert_ok(audit_verify(x->store, &rows, &f));
        assert_true(rows == told || rows == told + 1); // committed, but killed before it could tell
        assert_ok(session_count_live(x->store, alice, &live, &f));
        assert_int_equal(live, rows); // one group: both or neither
        assert_ok(audit_each(x->store, &(struct audit_query){.limit = 0}, every_row_has_its_session,
                             &sessions, &f));
        assert_int_equal(sessions, rows);
        fixture_close(x);
        total = rows;
    }
    fixture_open(x);
    print_message("%d kills, %lld logins committed, none lost\n", ROUNDS, (long long)total);
}

// Killed while the database is being made: the next start finds nothing, part of it, or all of it, and goes
// on.
static void killed_while_opening(void **state)
{
    struct fixture *x = *state;
    srand(11);
    for (int round = 0; round < 60; round++) {
        fixture_close(x);
        fixture_remove(x);
        fixture_place(x);
        pid_t child = fork();
        if (child == 0) {
            struct store *s = NULL;
            struct fault f;
            _exit(store_open(x->path, &s, &f) == ERR_NONE ? 0 : 1);
        }
        usleep((useconds_t)(rand() % 4000));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        fixture_open(x);
        fixture_account(x, "alice");
        fixture_reopen(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {store_test(killed_while_writing), store_test(killed_while_opening)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
