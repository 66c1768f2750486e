// Incus that goes away: before, between and during the steps of an operation, behind a relay that this test
// kills, stops and starts again. What is asked of a box then fails with a sentence or succeeds late, and the
// same struct provision works again as soon as Incus is back.
#include "component/provision_fixture.h"

#include <signal.h>
#include <sys/wait.h>

#define RELAY_PORT 18447

static pid_t relay;
static struct config real;

static int connected(uint16_t port, bool listening)
{
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    for (unsigned tries = 0; listening; tries++) { // those of the last relay may still be dying
        if (bind(fd, (const struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 64) == 0)
            break;
        if (tries == 500)
            abort();
        usleep(10000);
    }
    if (!listening && connect(fd, (const struct sockaddr *)&at, sizeof at) != 0)
        _exit(0);
    return fd;
}

static void splice_both(int a, int b)
{
    struct pollfd p[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
    char data[16384];
    for (;;) {
        if (poll(p, 2, -1) < 0)
            _exit(1);
        for (int k = 0; k < 2; k++) {
            if (p[k].revents == 0)
                continue;
            ssize_t n = read(p[k].fd, data, sizeof data);
            if (n <= 0 || write(p[1 - k].fd, data, (size_t)n) != n)
                _exit(0);
        }
    }
}

// A process group of its own: one process a connection, so that one signal hits all of it.
static void relay_start(void)
{
    int listener = connected(RELAY_PORT, true);
    relay = fork();
    if (relay == 0) {
        setpgid(0, 0);
        signal(SIGCHLD, SIG_IGN);
        for (;;) {
            int client = accept(listener, NULL, NULL);
            if (client >= 0 && fork() == 0) {
                close(listener);
                splice_both(client, connected((uint16_t)atoi(strrchr(real.incus_url, ':') + 1), false));
            }
            close(client);
        }
    }
    setpgid(relay, relay);
    close(listener);
}

static void relay_stop(void)
{
    if (relay > 0) {
        kill(-relay, SIGKILL);
        waitpid(relay, NULL, 0);
    }
    relay = 0;
}

// When this step is told, the relay dies and comes back `outage_ms` later.
static const char *deadly_step;
static unsigned outage_ms, outages;

static void on_back(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    relay_start();
}

static void on_deadly_step(void *arg, const char *step, unsigned number, unsigned total)
{
    on_step(arg, step, number, total);
    if (deadly_step == NULL || strncmp(step, deadly_step, strlen(deadly_step)) != 0)
        return;
    struct timeval after = {.tv_sec = outage_ms / 1000, .tv_usec = outage_ms % 1000 * 1000};
    deadly_step = NULL;
    outages++;
    usleep(20000); // the request is on its way
    relay_stop();
    event_base_once(base, -1, EV_TIMEOUT, on_back, NULL, &after);
}

static struct seen run_with_outage(enum box_op op, const char *step, unsigned ms, const char *what)
{
    struct seen seen = {.began = monotonic_ms()};
    deadly_step = step;
    outage_ms = ms;
    unsigned before = outages;
    provision_submit(provision, op, &box, on_deadly_step, on_done, &seen);
    wait_until(&seen.done, 1);
    assert_int_equal(outages, before + 1);
    while (relay == 0) // it was faster than the outage
        event_base_loop(base, EVLOOP_ONCE);
    print_message("    %-34s lost at \"%s\": %s%s%s, %llu ms  %s\n", what, step, err_name(seen.result.code),
                  seen.result.code != ERR_NONE ? ": " : "", seen.result.fault.text,
                  (unsigned long long)seen.result.elapsed_ms, seen.steps_text);
    return seen;
}

static void back_again(void **state)
{
    (void)state;
    relay_stop();
    struct seen seen = run(BOX_OP_ENSURE);
    assert_int_equal(seen.result.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(seen.result.fault.text, "is it running?"));
    assert_true(seen.result.elapsed_ms < 1000); // a person waits
    relay_start();
    make_box();
    // A kept connection that died meanwhile is not an error.
    relay_stop();
    relay_start();
    run_ok(BOX_OP_ENSURE, "ensure, running, after a restart of Incus");
    relay_stop();
    assert_int_equal(run(BOX_OP_STATE).result.code, ERR_UNAVAILABLE);
    assert_int_equal(run(BOX_OP_KEYS).result.code, ERR_UNAVAILABLE);
    assert_int_equal(run(BOX_OP_ENSURE).result.code, ERR_UNAVAILABLE);
    relay_start();
    run_ok(BOX_OP_ENSURE, "ensure, running, Incus back");
}

static void lost_at_each_step_of_a_creation(void **state)
{
    static const char *const steps[] = {"Creating", "Writing", "Starting", "Waiting", "Pinning"};
    (void)state;
    for (size_t k = 0; k < COUNT(steps); k++) {
        struct seen seen = run_with_outage(BOX_OP_ENSURE, steps[k], 700, "ensure, absent,");
        assert_int_equal(seen.result.code, ERR_NONE);
        assert_true(seen.result.created);
        assert_true(seen.result.started);
        assert_non_null(strstr(seen.result.hostkeys, "ssh-ed25519 AAAA"));
        assert_answers();
        remove_box();
    }
}

static void lost_while_waking_and_stopping(void **state)
{
    struct seen seen;
    (void)state;
    make_box();
    run_ok(BOX_OP_STOP, "stop");
    seen = run_with_outage(BOX_OP_ENSURE, "Starting", 700, "ensure, stopped,");
    assert_int_equal(seen.result.code, ERR_NONE);
    assert_true(seen.result.started);
    assert_answers();
    run_ok(BOX_OP_FREEZE, "freeze");
    seen = run_with_outage(BOX_OP_ENSURE, "Unfreezing", 700, "ensure, frozen,");
    assert_int_equal(seen.result.code, ERR_NONE);
    assert_answers();
    seen = run_with_outage(BOX_OP_STOP, "Stopping", 700, "stop, running,");
    assert_int_equal(seen.result.code, ERR_NONE);
    assert_state(BOX_STATE_STOPPED);
    seen = run_with_outage(BOX_OP_DELETE, "Deleting", 700, "delete, stopped,");
    assert_int_equal(seen.result.code, ERR_NONE);
    assert_state(BOX_STATE_ABSENT);
}

// Incus accepts and says nothing: everything ends with the timeout, and nothing hangs when we stop.
static void silent_incus(void **state)
{
    struct provision *kept = provision, *other = NULL;
    struct config hasty = config;
    struct fault f;
    (void)state;
    hasty.incus_timeout = 1500;
    hasty.wake_deadline = 2000;
    make_box(); // by the patient one
    assert_ok(provision_new(base, &hasty, &other, &f));
    provision = other;
    kill(-relay, SIGSTOP);
    struct seen seen = run(BOX_OP_ENSURE);
    assert_int_equal(seen.result.code, ERR_TIMEOUT);
    assert_true(seen.result.elapsed_ms < 4000);
    print_message("    silent: %s\n", seen.result.fault.text);
    struct seen never = {.done = 0};
    provision_submit(provision, BOX_OP_STOP, &box, NULL, on_done, &never);
    usleep(100000);
    uint64_t began = monotonic_ms();
    provision_free(other);
    assert_true(monotonic_ms() - began < 1500);
    kill(-relay, SIGCONT);
    provision = kept;
    run_ok(BOX_OP_ENSURE, "ensure, Incus speaks again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(back_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lost_at_each_step_of_a_creation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lost_while_waking_and_stopping, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silent_incus, set_up, tear_down),
    };
    struct fault f;
    int code = prepare(1);
    if (code == 0) {
        real = config;
        relay_start();
        provision_free(provision); // the fixture's talks to Incus directly; this one goes through the relay
        snprintf(config.incus_url, sizeof config.incus_url, "https://127.0.0.1:%d", RELAY_PORT);
        code = provision_new(base, &config, &provision, &f);
        incus_free(incus);
        incus = incus_new(&real, NULL);
        if (code == 0)
            code = cmocka_run_group_tests(tests, NULL, NULL);
        relay_stop();
    }
    finish();
    return code;
}
