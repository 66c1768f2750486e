// What the daemons tell the service manager, read from a socket of the test's own.
#include "unit/check.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/notify.h"

static char folder[] = "/tmp/containarium-notify.XXXXXX";
static char path[64];

static int set_up(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int *fd = malloc(sizeof *fd);
    assert_non_null(fd);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/notify", folder);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    *fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", path, 1);
    *state = fd;
    return 0;
}

static int tear_down(void **state)
{
    close(*(int *)*state);
    free(*state);
    unlink(path);
    rmdir(folder);
    snprintf(folder, sizeof folder, "/tmp/containarium-notify.XXXXXX");
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return 0;
}

static const char *heard(void **state)
{
    static char text[128];
    ssize_t n = recv(*(int *)*state, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void states_are_told(void **state)
{
    notify_ready();
    assert_string_equal(heard(state), "READY=1");
    notify_reloading();
    assert_int_equal(strncmp(heard(state), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    notify_stopping();
    assert_string_equal(heard(state), "STOPPING=1");
    unsetenv("NOTIFY_SOCKET");
    notify_ready(); // to nobody
    assert_string_equal(heard(state), "");
}

static void the_watchdog_hears_a_loop_that_turns(void **state)
{
    char pid[24];
    struct event_base *base = event_base_new();
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    setenv("WATCHDOG_USEC", "20000", 1);
    struct event *timer = notify_watchdog(base);
    assert_non_null(timer);
    usleep(15000); // time passes, the loop does not turn
    assert_string_equal(heard(state), "");
    for (int i = 0; i < 3; i++) { // again and again
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
        assert_string_equal(heard(state), "WATCHDOG=1");
    }
    event_free(timer);
    event_base_free(base);
}

static void nobody_asks_for_the_watchdog(void **state)
{
    static const char *const bad[] = {"", "0", "1", "-5", "20000x", "x", "99999999999999999999"};
    struct event_base *base = event_base_new();
    (void)state;
    assert_null(notify_watchdog(base));
    for (size_t i = 0; i < COUNT(bad); i++) {
        setenv("WATCHDOG_USEC", bad[i], 1);
        assert_null(notify_watchdog(base));
    }
    setenv("WATCHDOG_USEC", "20000", 1);
    setenv("WATCHDOG_PID", "1", 1); // another process is meant: this is its child
    assert_null(notify_watchdog(base));
    event_base_free(base);
}

int main(void)
{
#define WITH_SOCKET(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_SOCKET(states_are_told),
        WITH_SOCKET(the_watchdog_hears_a_loop_that_turns),
        WITH_SOCKET(nobody_asks_for_the_watchdog),
    };
    return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
