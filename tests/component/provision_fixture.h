// What the component tests of provision/ share: a configuration, a loop, a box of their own, and a second
// pair of hands at Incus. One test program includes it.
#ifndef COMPONENT_PROVISION_FIXTURE_H
#define COMPONENT_PROVISION_FIXTURE_H

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/config.h"
#include "base/units.h"
#include "provision/authkeys.h"
#include "provision/incus.h"
#include "provision/provision.h"
#include "unit/check.h"

#define KEY_A "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBv0p4yrDwn1cdgEMl8FA8SCEbJSnTZqsOfvCaeyfKt2 a@test"
#define KEY_B "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4vyjHnCQb0lbNkQw3aN5cFPIzoUy8Pnc3pHqHVDyqK b@test"
#define KEY_GATEWAY                                                                                          \
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKkvBlBeTqP6dYd3EgK4c1J5UqcHXc0SlL3vy1GVnZyW containarium-gateway"

static struct config config;
static struct event_base *base;
static struct provision *provision;
static struct incus *incus; // a second pair of hands, to look and to meddle
static struct box_spec box;

struct seen {
    struct box_result result;
    unsigned done, steps, last_number, total;
    uint64_t began;
    char steps_text[1024];
};

static void on_step(void *arg, const char *step, unsigned number, unsigned total)
{
    struct seen *seen = arg;
    size_t used = strlen(seen->steps_text);
    seen->steps++;
    assert_true(number == 0 || number >= seen->last_number);
    seen->last_number = number;
    seen->total = total;
    snprintf(seen->steps_text + used, sizeof seen->steps_text - used, "%s%s @%llu", used > 0 ? " | " : "",
             step, (unsigned long long)(monotonic_ms() - seen->began));
}

static void on_done(void *arg, const struct box_result *result)
{
    struct seen *seen = arg;
    seen->result = *result;
    seen->result.list = NULL;
    seen->done++;
}

static void wait_until(const unsigned *count, unsigned wanted)
{
    uint64_t until = monotonic_ms() + 120000;
    while (*count < wanted && monotonic_ms() < until)
        event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(*count, wanted);
}

static struct seen run(enum box_op op)
{
    struct seen seen = {.began = monotonic_ms()};
    provision_submit(provision, op, &box, on_step, on_done, &seen);
    assert_int_equal(seen.done, 0);
    wait_until(&seen.done, 1);
    return seen;
}

static struct seen run_ok(enum box_op op, const char *what)
{
    struct seen seen = run(op);
    if (seen.result.code != ERR_NONE)
        fail_msg("%s: %s: %s", what, err_name(seen.result.code), seen.result.fault.text);
    print_message("    %-44s %6llu ms  %s\n", what, (unsigned long long)seen.result.elapsed_ms,
                  seen.steps_text);
    return seen;
}

static void assert_state(enum box_state state)
{
    struct seen seen = run(BOX_OP_STATE);
    assert_int_equal(seen.result.code, ERR_NONE);
    assert_string_equal(box_state_name(seen.result.state), box_state_name(state));
}

static void remove_box(void)
{
    struct fault f;
    (void)!incus_change(incus, box.name, INCUS_STOP_FORCE, 0, &f);
    enum err e = incus_delete(incus, box.name, &f);
    if (e != ERR_NONE && e != ERR_NOTFOUND)
        fail_msg("cannot remove %s: %s", box.name, f.text);
}

static int set_up(void **state)
{
    (void)state;
    remove_box();
    box.provisioned = false;
    box.authorized_keys = KEY_A "\n";
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_box();
    return 0;
}

// Takes the first banner of its SSH server: the box truly answers.
static void assert_answers(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(box.port)};
    char banner[8] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, box.address, &to.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(recv(fd, banner, 4, 0), 4);
    assert_string_equal(banner, "SSH-");
    close(fd);
}

static void make_box(void)
{
    struct seen seen = run_ok(BOX_OP_ENSURE, "ensure, absent");
    assert_true(seen.result.created);
    assert_true(seen.result.started);
    assert_int_equal(seen.result.was, BOX_STATE_ABSENT);
    assert_int_equal(seen.result.state, BOX_STATE_RUNNING);
    assert_int_equal(seen.last_number, 5);
    assert_int_equal(seen.total, 5);
    assert_non_null(strstr(seen.result.hostkeys, "ssh-ed25519 AAAA"));
    box.provisioned = true;
}

// `place`: each program has its own box and address, so that they may run at the same time.
static int prepare(unsigned place)
{
    struct fault f;
    uint32_t first = 0, last = 0;
    const char *path = getenv("CONTAINARIUM_TEST_CONFIG");
    if (path == NULL) {
        fprintf(stderr,
                "skipped: CONTAINARIUM_TEST_CONFIG names no configuration with a prepared Incus project\n");
        return 77;
    }
    if (config_load(&config, path, stderr, &f) != ERR_NONE)
        return 1;
    base = event_base_new();
    if (provision_new(base, &config, &provision, &f) != ERR_NONE) {
        fprintf(stderr, "skipped: %s\n", f.text);
        return 77;
    }
    incus = incus_new(&config, NULL);
    config_subnet_range(&config, &first, &last);
    struct in_addr address = {.s_addr = htonl(last - 2 - 2 * place)};
    box = (struct box_spec){
        .port = 22, .memory = 2000000000, .disk = 1500000000, .gateway_key = KEY_GATEWAY, .cpu = "2"};
    snprintf(box.user, sizeof box.user, "provtest%u", place);
    snprintf(box.name, sizeof box.name, "%s-container", box.user);
    snprintf(box.image, sizeof box.image, "%.127s", config.incus_image);
    inet_ntop(AF_INET, &address, box.address, sizeof box.address);
    struct incus_instance i;
    enum err e = incus_get(incus, box.name, &i, &f);
    if (e != ERR_NONE && e != ERR_NOTFOUND) {
        fprintf(stderr, "skipped: %s\n", f.text);
        return 77;
    }
    return 0;
}

static void finish(void)
{
    provision_free(provision);
    incus_free(incus);
    if (base != NULL)
        event_base_free(base);
}

#endif
