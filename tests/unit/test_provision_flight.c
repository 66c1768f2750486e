// Single flight, lanes, tickets and steps, with real threads and a box that is only pretended.
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/units.h"
#include "provision/flight.h"
#include "unit/check.h"

#define THREADS 4

// The pretended engine. Names: "gate..." waits for the gate, "quick..." is settled by a look.
static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool open;
    unsigned performed, inside, inside_most;
    char order[4096];
    unsigned busy[64]; // a box whose name ends in -N
    bool overlapped, saw_signals;
} engine = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static struct event_base *base;
static struct flights *flights;
static struct fault f;

static unsigned number_of(const char *name)
{
    const char *dash = strrchr(name, '-');
    return dash != NULL ? (unsigned)atoi(dash + 1) % 64 : 0;
}

static bool fake_look(struct box_work *w, void *worker)
{
    assert_non_null(worker);
    return strncmp(w->spec.name, "quick", 5) == 0;
}

static void fake_perform(struct box_work *w, void *worker)
{
    sigset_t mask;
    (void)worker;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    pthread_mutex_lock(&engine.lock);
    engine.saw_signals = engine.saw_signals || !sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGHUP);
    engine.performed++;
    engine.inside++;
    if (engine.inside > engine.inside_most)
        engine.inside_most = engine.inside;
    unsigned n = number_of(w->spec.name);
    engine.overlapped = engine.overlapped || engine.busy[n] != 0;
    engine.busy[n]++;
    size_t used = strlen(engine.order);
    if (used < sizeof engine.order - 8)
        snprintf(engine.order + used, sizeof engine.order - used, "%d ", (int)w->op);
    w->step(w->step_arg, "one", 1, 2);
    while (strncmp(w->spec.name, "gate", 4) == 0 && !engine.open)
        pthread_cond_wait(&engine.wake, &engine.lock);
    w->step(w->step_arg, "two", 2, 2);
    engine.busy[n]--;
    engine.inside--;
    pthread_mutex_unlock(&engine.lock);
    w->result.code = ERR_NONE;
    w->result.started = true;
    // The caller's text is gone by now: what was copied must be whole.
    w->result.state = w->spec.authorized_keys != NULL && strlen(w->spec.authorized_keys) == 4
                          ? BOX_STATE_RUNNING
                          : BOX_STATE_ERROR;
}

static void *worker_new(void *arg)
{
    return arg;
}

static void worker_free(void *worker)
{
    (void)worker;
}

static void gate(bool open)
{
    pthread_mutex_lock(&engine.lock);
    engine.open = open;
    pthread_cond_broadcast(&engine.wake);
    pthread_mutex_unlock(&engine.lock);
}

static unsigned performed(void)
{
    pthread_mutex_lock(&engine.lock);
    unsigned n = engine.performed;
    pthread_mutex_unlock(&engine.lock);
    return n;
}

static int set_up(void **state)
{
    static const struct flight_hooks hooks = {
        .look = fake_look,
        .perform = fake_perform,
        .workers = {.worker_new = worker_new, .worker_free = worker_free, .arg = &engine},
    };
    static const struct box_work template;
    (void)state;
    engine.open = engine.overlapped = engine.saw_signals = false;
    engine.performed = engine.inside = engine.inside_most = 0;
    engine.order[0] = '\0';
    base = event_base_new();
    return flights_new(base, THREADS, &hooks, &template, &flights, &f) == ERR_NONE ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    gate(true);
    flights_free(flights);
    event_base_free(base);
    flights = NULL;
    return engine.overlapped || engine.saw_signals ? -1 : 0;
}

// A caller and what it was told.
struct told {
    unsigned done, steps;
    uint64_t ticket;
    struct box_result result;
    char step[32];
    struct told *cancels; // in its callbacks, cancel this one
    const char *submits;  // in done, ask for this box again
    unsigned *sequence, at;
};

static uint64_t submit(enum box_op op, const char *name, const char *keys, struct told *told);

static void on_step(void *arg, const char *step, unsigned number, unsigned total)
{
    struct told *told = arg;
    assert_int_equal(told->done, 0);
    assert_in_range(number, 1, total);
    told->steps++;
    snprintf(told->step, sizeof told->step, "%s", step);
    if (told->cancels != NULL)
        flights_cancel(flights, told->cancels->ticket);
}

static void on_done(void *arg, const struct box_result *result)
{
    struct told *told = arg;
    told->done++;
    told->result = *result;
    if (told->sequence != NULL)
        told->at = ++*told->sequence;
    if (told->cancels != NULL)
        flights_cancel(flights, told->cancels->ticket);
    if (told->submits != NULL) {
        struct told *again = told->cancels; // reused as the new caller
        told->submits = NULL;
        submit(BOX_OP_ENSURE, "plain-1", "keys", again);
    }
}

static uint64_t submit(enum box_op op, const char *name, const char *keys, struct told *told)
{
    struct box_spec spec = {.provisioned = true};
    char *copy = strdup(keys); // must be copied by flights_submit
    snprintf(spec.name, sizeof spec.name, "%s", name);
    spec.authorized_keys = copy;
    unsigned done = told->done;
    told->ticket = flights_submit(flights, op, &spec, 1000, on_step, on_done, told);
    assert_int_not_equal(told->ticket, 0);
    assert_int_equal(told->done, done); // never from inside
    memset(copy, 'x', strlen(copy));
    free(copy);
    return told->ticket;
}

// Runs the loop until `count` is `wanted`, or for a while when it never is.
static void loop_until(const unsigned *count, unsigned wanted)
{
    uint64_t until = monotonic_ms() + 10000;
    while (*count < wanted && monotonic_ms() < until) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(200);
    }
    assert_int_equal(*count, wanted);
}

static void loop_a_little(void)
{
    for (unsigned k = 0; k < 50; k++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
}

static void crowd_flies_once(void **state)
{
    struct told told[100] = {{0}};
    unsigned sequence = 0;
    (void)state;
    for (unsigned k = 0; k < COUNT(told); k++) {
        told[k].sequence = &sequence;
        submit(BOX_OP_ENSURE, "gate-1", "keys", &told[k]);
    }
    loop_a_little();
    gate(true);
    loop_until(&sequence, COUNT(told));
    assert_int_equal(performed(), 1);
    for (unsigned k = 0; k < COUNT(told); k++) {
        assert_int_equal(told[k].done, 1);
        assert_int_equal(told[k].steps, 2);
        assert_int_equal(told[k].result.flight, told[0].result.flight);
        assert_int_equal(told[k].result.state, BOX_STATE_RUNNING);
    }
    struct provision_stats stats;
    flights_stats(flights, &stats);
    assert_int_equal(stats.flights, 1);
    assert_int_equal(stats.joined, COUNT(told) - 1);
    assert_int_equal(stats.queued + stats.running, 0);
}

static void same_box_in_turn_others_beside(void **state)
{
    struct told told[40] = {{0}};
    unsigned sequence = 0;
    (void)state;
    for (unsigned k = 0; k < COUNT(told); k++) { // ten boxes, four different operations each
        static const enum box_op ops[] = {BOX_OP_ENSURE, BOX_OP_STOP, BOX_OP_RESTART, BOX_OP_FREEZE};
        char name[32];
        snprintf(name, sizeof name, "gate-%u", k % 10);
        told[k].sequence = &sequence;
        submit(ops[k / 10], name, "keys", &told[k]);
    }
    loop_a_little();
    assert_int_equal(sequence, 0);
    gate(true);
    loop_until(&sequence, COUNT(told));
    assert_int_equal(performed(), COUNT(told));
    assert_true(engine.inside_most > 1 && engine.inside_most < THREADS); // one thread is kept for looks
    for (unsigned k = 10; k < COUNT(told); k++)
        assert_true(told[k].at > told[k - 10].at);
}

static void order_decides_what_is_joined(void **state)
{
    struct told t[8] = {{0}};
    (void)state;
    submit(BOX_OP_ENSURE, "gate-1", "keys", &t[0]);
    submit(BOX_OP_STOP, "gate-1", "keys", &t[1]);
    submit(BOX_OP_ENSURE, "gate-1", "keys", &t[2]); // not the first: that is undone by the stop
    submit(BOX_OP_KEYS, "gate-1", "keyA", &t[3]);
    submit(BOX_OP_ENSURE, "gate-1", "keys", &t[4]); // joins the second: keys undo nothing
    submit(BOX_OP_KEYS, "gate-1", "keyB", &t[5]);   // other keys
    submit(BOX_OP_KEYS, "gate-1", "keyB", &t[6]);   // the same
    submit(BOX_OP_KEYS, "gate-1", "keyA", &t[7]);   // not t[3]: that is undone by t[5]
    gate(true);
    loop_until(&t[7].done, 1);
    assert_string_equal(engine.order, "0 3 0 7 7 7 ");
    assert_int_equal(t[2].result.flight, t[4].result.flight);
    assert_int_not_equal(t[0].result.flight, t[2].result.flight);
    assert_int_equal(t[5].result.flight, t[6].result.flight);
    assert_int_not_equal(t[3].result.flight, t[7].result.flight);
    for (unsigned k = 0; k < COUNT(t); k++)
        assert_int_equal(t[k].done, 1);
}

// A login that comes while the box is put to sleep: its wake is behind the sleep, however many came before
// it.
static void a_login_wins_over_a_sleep(void **state)
{
    struct told t[5] = {{0}};
    (void)state;
    submit(BOX_OP_ENSURE, "gate-1", "keys", &t[0]);
    submit(BOX_OP_FREEZE, "gate-1", "keys", &t[1]);
    submit(BOX_OP_ENSURE, "gate-1", "keys", &t[2]);
    submit(BOX_OP_CHANGE, "gate-1", "keys", &t[3]); // other limits undo no wake
    submit(BOX_OP_ENSURE, "gate-1", "keys", &t[4]);
    gate(true);
    loop_until(&t[4].done, 1);
    loop_until(&t[3].done, 1);
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%d %d %d %d ", BOX_OP_ENSURE, BOX_OP_FREEZE, BOX_OP_ENSURE,
             BOX_OP_CHANGE);
    assert_string_equal(engine.order, wanted);
    assert_int_equal(t[2].result.flight, t[4].result.flight);
    assert_int_not_equal(t[0].result.flight, t[2].result.flight);
}

static void what_has_a_name_is_done_for_each(void **state)
{
    static const enum box_op ops[] = {BOX_OP_SNAPSHOT_CREATE, BOX_OP_SNAPSHOT_RESTORE, BOX_OP_SNAPSHOT_DELETE,
                                      BOX_OP_EXPORT,          BOX_OP_IMPORT,           BOX_OP_IMAGE_DELETE};
    struct told t[COUNT(ops)][2] = {{{0}}};
    (void)state;
    for (unsigned k = 0; k < COUNT(ops); k++) {
        submit(ops[k], "gate-1", "keys", &t[k][0]);
        submit(ops[k], "gate-1", "keys", &t[k][1]);
    }
    gate(true);
    for (unsigned k = 0; k < COUNT(ops); k++) {
        loop_until(&t[k][1].done, 1);
        assert_int_not_equal(t[k][0].result.flight, t[k][1].result.flight);
    }
}

static void late_joiner_gets_the_current_step(void **state)
{
    struct told first = {0}, late = {0};
    (void)state;
    submit(BOX_OP_ENSURE, "gate-1", "keys", &first);
    loop_until(&first.steps, 1);
    submit(BOX_OP_ENSURE, "gate-1", "keys", &late);
    assert_int_equal(late.steps, 0); // not from inside
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(late.steps, 1);
    assert_string_equal(late.step, "one");
    assert_int_equal(first.steps, 1); // not told twice
    gate(true);
    loop_until(&late.done, 1);
    assert_int_equal(late.steps, 2);
    assert_int_equal(first.steps, 2);
}

static void cancelled_are_not_told(void **state)
{
    struct told t[6] = {{0}};
    (void)state;
    for (unsigned k = 0; k < 4; k++)
        submit(BOX_OP_ENSURE, "gate-1", "keys", &t[k]);
    flights_cancel(flights, t[0].ticket);
    flights_cancel(flights, t[0].ticket); // twice is fine
    flights_cancel(flights, 0);
    flights_cancel(flights, 1u << 30);
    t[1].cancels = &t[2]; // from its step
    t[3].cancels = &t[3]; // itself
    loop_until(&t[1].steps, 1);
    submit(BOX_OP_ENSURE, "gate-1", "keys", &t[4]); // waits for its step ...
    flights_cancel(flights, t[4].ticket);           // ... in vain
    gate(true);
    loop_until(&t[1].done, 1);
    loop_a_little();
    assert_int_equal(t[0].done + t[2].done + t[3].done + t[4].done, 0);
    assert_int_equal(t[4].steps, 0);
    assert_int_equal(performed(), 1);
    // All gone: the flight goes on all the same.
    gate(false);
    submit(BOX_OP_STOP, "gate-1", "keys", &t[5]);
    flights_cancel(flights, t[5].ticket);
    gate(true);
    uint64_t until = monotonic_ms() + 5000;
    while (performed() < 2 && monotonic_ms() < until)
        loop_a_little();
    assert_int_equal(performed(), 2);
    assert_int_equal(t[5].done, 0);
}

static void callbacks_may_cancel_and_submit(void **state)
{
    struct told t[3] = {{0}}, again = {0};
    (void)state;
    for (unsigned k = 0; k < 3; k++)
        submit(BOX_OP_ENSURE, "gate-1", "keys", &t[k]);
    loop_until(&t[2].steps, 1);
    t[0].cancels = &t[1]; // in its done: the next in line of the same flight
    t[2].cancels = &again;
    t[2].submits = "plain-1";
    gate(true);
    loop_until(&again.done, 1);
    assert_int_equal(t[0].done, 1);
    assert_int_equal(t[1].done, 0);
    assert_int_equal(t[2].done, 1);
    assert_int_not_equal(again.result.flight, t[0].result.flight);
}

static void looks_wait_for_nobody(void **state)
{
    struct told slow[12] = {{0}}, quick = {0}, state_asked[3] = {{0}};
    (void)state;
    for (unsigned k = 0; k < COUNT(slow); k++) { // more than there are threads
        char name[32];
        snprintf(name, sizeof name, "gate-%u", k);
        submit(BOX_OP_ENSURE, name, "keys", &slow[k]);
    }
    loop_a_little();
    submit(BOX_OP_ENSURE, "quick-40", "keys", &quick); // awake: settled by its look
    loop_until(&quick.done, 1);
    // STATE of a box that is busy does not wait for it, and one that has begun is not shared.
    submit(BOX_OP_STATE, "quick-0", "keys", &state_asked[0]);
    loop_until(&state_asked[0].done, 1);
    submit(BOX_OP_STATE, "quick-0", "keys", &state_asked[1]);
    loop_until(&state_asked[1].done, 1);
    assert_int_not_equal(state_asked[0].result.flight, state_asked[1].result.flight);
    assert_int_equal(slow[0].done, 0);
    struct provision_stats stats;
    flights_stats(flights, &stats);
    assert_int_equal(stats.running, THREADS - 1);
    assert_int_equal(stats.queued, COUNT(slow) - (THREADS - 1));
}

static void too_many_are_refused(void **state)
{
    struct told *t = calloc(FLIGHT_MAX + 2, sizeof *t);
    (void)state;
    for (unsigned k = 0; k <= FLIGHT_MAX; k++) {
        char name[32];
        snprintf(name, sizeof name, "gate%u-%u", k, k % 64);
        submit(BOX_OP_FREEZE, name, "keys", &t[k]);
    }
    loop_until(&t[FLIGHT_MAX].done, 1);
    assert_int_equal(t[FLIGHT_MAX].result.code, ERR_FULL);
    assert_non_null(strstr(t[FLIGHT_MAX].result.fault.text, "try again"));
    submit(BOX_OP_FREEZE, "gate0-0", "keys", &t[FLIGHT_MAX + 1]); // joining is still possible
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(t[FLIGHT_MAX + 1].done, 0);
    struct told refused = {0}; // and a refused one may be cancelled before it is told
    submit(BOX_OP_FREEZE, "gateX-0", "keys", &refused);
    flights_cancel(flights, refused.ticket);
    loop_a_little();
    assert_int_equal(refused.done, 0);
    engine.busy[0] = 0;
    gate(true);
    tear_down(state);          // most are still waiting: they are dropped
    engine.overlapped = false; // names share numbers here
    unsigned done = 0;
    for (unsigned k = 0; k < FLIGHT_MAX; k++)
        done += t[k].done;
    assert_int_equal(done, 0);
    free(t);
    memset(engine.busy, 0, sizeof engine.busy);
    set_up(state);
}

static void stress(void **state)
{
    enum { CALLERS = 3000 };
    struct told *t = calloc(CALLERS, sizeof *t);
    bool *cancelled = calloc(CALLERS, sizeof *cancelled);
    static const enum box_op ops[] = {BOX_OP_ENSURE, BOX_OP_ENSURE, BOX_OP_ENSURE, BOX_OP_STOP,
                                      BOX_OP_FREEZE, BOX_OP_KEYS,   BOX_OP_STATE};
    unsigned seed = 7;
    (void)state;
    for (unsigned k = 0; k < CALLERS; k++) {
        char name[32];
        enum box_op op = ops[(unsigned)rand_r(&seed) % COUNT(ops)];
        snprintf(name, sizeof name, "%s-%u", op == BOX_OP_STATE ? "quick" : "plain",
                 (unsigned)rand_r(&seed) % 16);
        submit(op, name, rand_r(&seed) % 2 != 0 ? "keyA" : "keyB", &t[k]);
        if (rand_r(&seed) % 5 == 0) {
            unsigned victim = (unsigned)rand_r(&seed) % (k + 1);
            cancelled[victim] = cancelled[victim] || t[victim].done == 0;
            flights_cancel(flights, t[victim].ticket);
        }
        if (rand_r(&seed) % 3 == 0)
            event_base_loop(base, EVLOOP_NONBLOCK);
    }
    struct told last[16] = {{0}};
    for (unsigned k = 0; k < 16; k++) {
        char name[32];
        snprintf(name, sizeof name, "plain-%u", k);
        submit(BOX_OP_DELETE, name, "keys", &last[k]);
    }
    for (unsigned k = 0; k < 16; k++)
        loop_until(&last[k].done, 1);
    loop_a_little();
    for (unsigned k = 0; k < CALLERS; k++)
        assert_int_equal(t[k].done, cancelled[k] ? 0 : 1);
    free(t);
    free(cancelled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(crowd_flies_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(same_box_in_turn_others_beside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(order_decides_what_is_joined, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_login_wins_over_a_sleep, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_has_a_name_is_done_for_each, set_up, tear_down),
        cmocka_unit_test_setup_teardown(late_joiner_gets_the_current_step, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancelled_are_not_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(callbacks_may_cancel_and_submit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(looks_wait_for_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_many_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stress, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
