// The life of a box on a real Incus: made, woken, stopped, frozen, given keys, deleted, from every state, and
// what a killed creation leaves repaired. Prints how long each step took.
//
// CONTAINARIUM_TEST_CONFIG names a configuration whose [incus] section reaches a prepared project (packaging/
// incus-setup.sh, packaging/image.sh). Without it, or without an Incus that answers, the test skips (77).
#include "component/provision_fixture.h"

#define CROWD 100

static char *file_of(const char *path, struct http_file *info)
{
    struct fault f;
    char *data = NULL;
    size_t length = 0;
    assert_ok(incus_file_get(incus, box.name, path, &data, &length, info, &f));
    return data;
}

static void life_cycle(void **state)
{
    (void)state;
    make_box();
    assert_answers();
    struct seen seen = run_ok(BOX_OP_ENSURE, "ensure, running");
    seen = run_ok(BOX_OP_ENSURE, "ensure, running, again");
    assert_false(seen.result.started);
    assert_int_equal(seen.steps, 0);
    run_ok(BOX_OP_START, "start, running");
    run_ok(BOX_OP_STATE, "state, running");
    seen = run_ok(BOX_OP_STOP, "stop, running");
    assert_int_equal(seen.result.was, BOX_STATE_RUNNING);
    assert_state(BOX_STATE_STOPPED);
    run_ok(BOX_OP_STOP, "stop, stopped");
    seen = run_ok(BOX_OP_ENSURE, "ensure, stopped");
    assert_true(seen.result.started);
    assert_false(seen.result.created);
    assert_answers();
    run_ok(BOX_OP_FREEZE, "freeze, running");
    assert_state(BOX_STATE_FROZEN);
    run_ok(BOX_OP_FREEZE, "freeze, frozen");
    seen = run_ok(BOX_OP_ENSURE, "ensure, frozen");
    assert_true(seen.result.started);
    assert_int_equal(seen.result.was, BOX_STATE_FROZEN);
    assert_answers();
    run_ok(BOX_OP_FREEZE, "freeze, running, second time");
    seen = run_ok(BOX_OP_STOP, "stop, frozen");
    assert_state(BOX_STATE_STOPPED);
    assert_int_equal(run(BOX_OP_FREEZE).result.code, ERR_CONFLICT);
    run_ok(BOX_OP_RESTART, "restart, stopped");
    run_ok(BOX_OP_RESTART, "restart, running");
    assert_answers();
    run_ok(BOX_OP_FREEZE, "freeze, running, third time");
    run_ok(BOX_OP_DELETE, "delete, frozen");
    assert_state(BOX_STATE_ABSENT);
    run_ok(BOX_OP_DELETE, "delete, absent");
    assert_int_equal(run(BOX_OP_START).result.code, ERR_NOTFOUND);
    assert_int_equal(run(BOX_OP_STOP).result.code, ERR_NOTFOUND);
    // One that was made and is gone is not silently made anew: its owner's files are missing.
    seen = run(BOX_OP_ENSURE);
    assert_int_equal(seen.result.code, ERR_NOTFOUND);
    print_message("    %s\n", seen.result.fault.text);
}

static void assert_keys(const char *has, const char *has_not, const char *foreign)
{
    struct http_file info;
    char path[128];
    snprintf(path, sizeof path, "/home/%s/.ssh/authorized_keys", box.user);
    char *text = file_of(path, &info);
    assert_int_equal(info.mode, 0600);
    assert_int_equal(info.uid, 1000);
    assert_int_equal(info.gid, 1000);
    assert_non_null(strstr(text, AUTHKEYS_BEGIN));
    assert_non_null(strstr(text, has));
    assert_null(strstr(text, has_not));
    if (foreign != NULL)
        assert_non_null(strstr(text, foreign));
    free(text);
    text = file_of("/etc/containarium/user_keys", NULL);
    assert_non_null(strstr(text, has));
    assert_null(strstr(text, has_not));
    free(text);
}

static void keys_in_every_state(void **state)
{
    struct fault f;
    char path[128];
    struct http_file info = {.uid = 1000, .gid = 1000, .mode = 0600};
    (void)state;
    run_ok(BOX_OP_KEYS, "keys, absent");
    make_box();
    assert_keys("a@test", "b@test", NULL);
    char *text = file_of("/etc/containarium/authorized_keys", &info);
    assert_string_equal(text, KEY_GATEWAY "\n");
    assert_int_equal(info.mode, 0644);
    free(text);
    // The owner's own line, outside the block.
    snprintf(path, sizeof path, "/home/%s/.ssh/authorized_keys", box.user);
    text = file_of(path, &info);
    char more[4096];
    int n = snprintf(more, sizeof more, "ssh-rsa AAAAforeign own\n%s# mine\n", text);
    free(text);
    assert_ok(incus_file_put(incus, box.name, path, more, (size_t)n, &info, &f));

    box.authorized_keys = KEY_B; // and no newline
    run_ok(BOX_OP_KEYS, "keys, running");
    assert_keys("b@test", "a@test", "AAAAforeign own\n");
    run_ok(BOX_OP_FREEZE, "freeze");
    box.authorized_keys = KEY_A "\n";
    run_ok(BOX_OP_KEYS, "keys, frozen");
    assert_state(BOX_STATE_FROZEN);
    assert_keys("a@test", "b@test", "# mine\n");
    run_ok(BOX_OP_STOP, "stop");
    box.authorized_keys = KEY_B "\n";
    run_ok(BOX_OP_KEYS, "keys, stopped");
    assert_state(BOX_STATE_STOPPED);
    assert_keys("b@test", "a@test", "AAAAforeign own\n");
    // Rights and owner that sshd would refuse are put right.
    assert_ok(incus_file_delete(incus, box.name, path, &f));
    info.mode = 0666;
    info.uid = 0;
    assert_ok(incus_file_put(incus, box.name, path, "ssh-rsa AAAAforeign own\n", 24, &info, &f));
    run_ok(BOX_OP_KEYS, "keys, stopped, wrong owner and mode");
    assert_keys("b@test", "a@test", "AAAAforeign own\n");
    // Gone altogether.
    assert_ok(incus_file_delete(incus, box.name, path, &f));
    run_ok(BOX_OP_KEYS, "keys, stopped, no file");
    assert_keys("b@test", "a@test", NULL);
    run_ok(BOX_OP_ENSURE, "ensure, stopped");
    assert_keys("b@test", "a@test", NULL);
}

// What a control plane killed at some step of a creation leaves: each is repaired by the next ENSURE.
static void killed_creation_is_repaired(void **state)
{
    struct fault f;
    struct http_file root = {.mode = 0644};
    struct seen seen;
    struct incus_settings s = {.name = box.name,
                               .image = config.incus_image,
                               .cpu = box.cpu,
                               .address = box.address,
                               .memory = box.memory,
                               .disk = box.disk};
    (void)state;
    // after "create"
    assert_ok(incus_create(incus, &s, &f));
    seen = run_ok(BOX_OP_ENSURE, "ensure, created only");
    assert_false(seen.result.created);
    assert_non_null(strstr(seen.result.hostkeys, "ssh-ed25519 AAAA"));
    assert_keys("a@test", "b@test", NULL);
    remove_box();
    // half of the files, and another address than is wanted now
    s.address = "10.255.255.250";
    struct in_addr a = {.s_addr = 0};
    char other[32];
    inet_pton(AF_INET, box.address, &a);
    a.s_addr = htonl(ntohl(a.s_addr) - 1);
    inet_ntop(AF_INET, &a, other, sizeof other);
    s.address = other;
    assert_ok(incus_create(incus, &s, &f));
    assert_ok(incus_file_put(incus, box.name, "/etc/containarium/user", "", 0, &root, &f));
    run_ok(BOX_OP_ENSURE, "ensure, half of the files, other address");
    assert_answers();
    assert_keys("a@test", "b@test", NULL);
    // all but the host keys: running, and frozen
    box.authorized_keys = KEY_B "\n";
    seen = run_ok(BOX_OP_ENSURE, "ensure, running, keys not pinned");
    assert_non_null(strstr(seen.result.hostkeys, "ssh-ed25519 AAAA"));
    assert_keys("b@test", "a@test", NULL);
    assert_ok(incus_change(incus, box.name, INCUS_FREEZE, 0, &f));
    run_ok(BOX_OP_ENSURE, "ensure, frozen, keys not pinned");
    assert_answers();
    remove_box();
    // started before its files were there: its first boot failed
    s.address = box.address;
    assert_ok(incus_create(incus, &s, &f));
    assert_ok(incus_change(incus, box.name, INCUS_START, 0, &f));
    seen = run_ok(BOX_OP_ENSURE, "ensure, started without its files");
    assert_answers();
    assert_keys("b@test", "a@test", NULL);
}

static unsigned crowd_done, crowd_started, crowd_failed;
static uint64_t crowd_flight;

static void on_crowd(void *arg, const struct box_result *result)
{
    (void)arg;
    crowd_done++;
    crowd_started += result->started;
    crowd_failed += result->code != ERR_NONE;
    if (crowd_flight == 0)
        crowd_flight = result->flight;
    assert_int_equal(crowd_flight, result->flight);
    assert_string_equal(result->fault.text, "");
}

static bool runs(void)
{
    struct incus_instance i;
    struct fault f;
    assert_ok(incus_get(incus, box.name, &i, &f));
    return i.state == BOX_STATE_RUNNING;
}

static void crowd_starts_once(void **state)
{
    struct provision_stats before, after;
    (void)state;
    make_box();
    run_ok(BOX_OP_STOP, "stop");
    provision_stats(provision, &before);
    crowd_done = crowd_started = crowd_failed = 0;
    crowd_flight = 0;
    uint64_t began = monotonic_ms();
    for (unsigned k = 0; k < CROWD; k++)
        provision_submit(provision, BOX_OP_ENSURE, &box, NULL, on_crowd, NULL);
    wait_until(&crowd_done, CROWD);
    print_message("    %-44s %6llu ms\n", "100 x ensure, stopped",
                  (unsigned long long)(monotonic_ms() - began));
    provision_stats(provision, &after);
    assert_int_equal(crowd_failed, 0);
    assert_int_equal(crowd_started, CROWD); // one start, a hundred answers
    assert_int_equal(after.flights - before.flights, 1);
    assert_int_equal(after.joined - before.joined, CROWD - 1);
    assert_true(runs());
    assert_answers();

    crowd_done = crowd_started = 0;
    crowd_flight = 0;
    began = monotonic_ms();
    for (unsigned k = 0; k < CROWD; k++)
        provision_submit(provision, BOX_OP_ENSURE, &box, NULL, on_crowd, NULL);
    wait_until(&crowd_done, CROWD);
    print_message("    %-44s %6llu ms\n", "100 x ensure, running",
                  (unsigned long long)(monotonic_ms() - began));
    assert_int_equal(crowd_started, 0);

    uint64_t total = 0;
    for (unsigned k = 0; k < CROWD; k++) {
        began = monotonic_ms();
        (void)run(BOX_OP_ENSURE);
        total += monotonic_ms() - began;
    }
    print_message("    %-44s %6.2f ms each\n", "ensure, running, 100 in turn", (double)total / CROWD);
}

static size_t listed;

static void on_list(void *arg, const struct box_result *result)
{
    unsigned *done = arg;
    assert_int_equal(result->code, ERR_NONE);
    for (size_t k = 0; k < result->list_count; k++) {
        const struct box_entry *e = &result->list[k];
        if (strcmp(e->name, box.name) != 0)
            continue;
        listed++;
        assert_int_equal(e->state, BOX_STATE_RUNNING);
        assert_true(e->usage.memory > 0 && e->usage.memory <= box.memory);
        assert_in_range(e->usage.memory_limit, box.memory - 4096, box.memory);
        assert_int_equal(e->usage.disk_limit, box.disk);
        assert_true(e->usage.processes > 0);
        assert_true(e->usage.cpu_ns > 0);
        assert_true(e->usage.started_at > 1700000000);
    }
    ++*done;
}

static void list_and_state(void **state)
{
    unsigned done = 0;
    (void)state;
    assert_state(BOX_STATE_ABSENT);
    make_box();
    listed = 0;
    uint64_t began = monotonic_ms();
    provision_submit(provision, BOX_OP_LIST, NULL, NULL, on_list, &done);
    wait_until(&done, 1);
    print_message("    %-44s %6llu ms\n", "list", (unsigned long long)(monotonic_ms() - began));
    assert_int_equal(listed, 1);
    struct seen seen = run_ok(BOX_OP_STATE, "state");
    assert_int_equal(seen.result.usage.disk_limit, box.disk);
    assert_true(seen.result.usage.memory > 0);
}

static void errors_say_what_to_do(void **state)
{
    (void)state;
    snprintf(box.image, sizeof box.image, "no-such-image");
    struct seen seen = run(BOX_OP_ENSURE);
    snprintf(box.image, sizeof box.image, "%.127s", config.incus_image);
    assert_int_equal(seen.result.code, ERR_NOTFOUND);
    assert_non_null(strstr(seen.result.fault.text, "run packaging/image.sh"));
    print_message("    %s\n", seen.result.fault.text);
    // An Incus that does not run: said at once, and over as soon as it is back.
    struct config nowhere = config;
    struct provision *other = NULL, *kept = provision;
    struct fault f;
    snprintf(nowhere.incus_url, sizeof nowhere.incus_url, "https://127.0.0.1:9");
    assert_ok(provision_new(base, &nowhere, &other, &f));
    provision = other;
    seen = run(BOX_OP_ENSURE);
    assert_int_equal(seen.result.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(seen.result.fault.text, "is it running?"));
    assert_true(seen.result.elapsed_ms < 1000);
    print_message("    %s\n", seen.result.fault.text);
    provision_free(other);
    // A server with another certificate than the pinned one is not talked to.
    nowhere = config;
    snprintf(nowhere.incus_server_certificate, sizeof nowhere.incus_server_certificate, "%s",
             config.incus_certificate);
    assert_ok(provision_new(base, &nowhere, &other, &f));
    provision = other;
    seen = run(BOX_OP_ENSURE);
    assert_int_equal(seen.result.code, ERR_DENIED);
    print_message("    %s\n", seen.result.fault.text);
    provision_free(other);
    provision = kept;
}

// A box's quota that is used up does not cost it its keys.
static void full_box_keeps_its_keys(void **state)
{
    struct fault f;
    const struct http_file info = {.mode = 0644};
    const size_t length = 16u << 20;
    (void)state;
    make_box();
    unsigned char *noise = malloc(length);
    assert_non_null(noise);
    enum err e = ERR_NONE;
    for (unsigned k = 0; k < 400 && e == ERR_NONE; k++) {
        char path[32];
        snprintf(path, sizeof path, "/root/noise%u", k);
        for (size_t n = 0; n < length; n += 4)
            memcpy(noise + n, &(uint32_t){(uint32_t)random()}, 4);
        e = incus_file_put(incus, box.name, path, noise, length, &info, &f);
    }
    free(noise);
    print_message("    full: %s: %s\n", err_name(e), f.text);
    assert_int_equal(e, ERR_FULL);
    box.authorized_keys = KEY_A "\n" KEY_B "\n";
    struct seen seen = run(BOX_OP_KEYS);
    print_message("    keys, full: %s: %s\n", err_name(seen.result.code), seen.result.fault.text);
    assert_true(seen.result.code == ERR_NONE || seen.result.code == ERR_FULL);
    assert_keys("a@test", "nobody@test", NULL);
}

static void free_does_not_hang(void **state)
{
    struct provision *other = NULL;
    struct fault f;
    struct seen seen = {.done = 0};
    (void)state;
    assert_ok(provision_new(base, &config, &other, &f));
    provision_submit(other, BOX_OP_ENSURE, &box, on_step, on_done, &seen);
    provision_submit(other, BOX_OP_STOP, &box, on_step, on_done, &seen);
    struct timeval little = {.tv_usec = 400000};
    event_base_loopexit(base, &little);
    event_base_dispatch(base);
    uint64_t began = monotonic_ms();
    provision_free(other);
    print_message("    %-44s %6llu ms\n", "free amid a creation",
                  (unsigned long long)(monotonic_ms() - began));
    assert_true(monotonic_ms() - began < 3000);
    assert_int_equal(seen.done, 0);
    run_ok(BOX_OP_ENSURE, "ensure after it");
    assert_answers();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(life_cycle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_in_every_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(killed_creation_is_repaired, set_up, tear_down),
        cmocka_unit_test_setup_teardown(crowd_starts_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(list_and_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors_say_what_to_do, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_box_keeps_its_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(free_does_not_hang, set_up, tear_down),
    };
    int code = prepare(0);
    if (code == 0)
        code = cmocka_run_group_tests(tests, NULL, NULL);
    finish();
    return code;
}
