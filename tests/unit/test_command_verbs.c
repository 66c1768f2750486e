// What the verbs of accounts, keys and the host do and say.
#include "unit/command_world.h"

static void create_makes_everything_and_can_be_repeated(void **state)
{
    struct world *w = *state;
    assert_int_equal(do_as(w, &root, "create alice --ssh-key alice.pub --memory 4GB --cpu 0-3", alice_key),
                     0);
    assert_non_null(strstr(w->client.err, "[1/5] Creating alice-container..."));
    assert_non_null(strstr(w->client.out, "Container Details:"));
    assert_non_null(strstr(w->client.out, "4GB"));
    assert_non_null(strstr(w->client.out, "cores 0-3 (pinned)"));
    assert_non_null(strstr(w->client.out, "alice@gw.example.org"));
    char *first = strdup(w->client.out);
    assert_int_equal(do_as(w, &root, "create alice --ssh-key alice.pub --memory 4GB --cpu 0-3", alice_key),
                     0);
    assert_string_equal(first, w->client.out);
    free(first);
    assert_int_equal(played.ops[BOX_OP_ENSURE], 1);
    assert_int_equal(count_events(w, "account-created", "alice"), 1);
    assert_int_equal(count_events(w, "key-added", "alice"), 1);
    assert_int_equal(count_events(w, "box-created", "alice"), 1);
    assert_int_equal(count_events(w, "command", "alice"), 2);
    assert_int_equal(do_as(w, &root, "create alice --ssh-key -", second_key), 5);
    assert_non_null(strstr(w->client.err, "keys add alice"));
    assert_int_equal(do_as(w, &root, "create alice --ssh-key - --memory 8GB", alice_key), 5);
    assert_int_equal(do_as(w, &root, "create bob --ssh-key -", alice_key), 5); // somebody else's key
    assert_non_null(strstr(w->client.err, "alice"));
    assert_int_equal(count_events(w, "account-created", "bob"), 0);
}

static void create_completes_what_failed(void **state)
{
    struct world *w = *state;
    played.answer = ERR_UNAVAILABLE;
    assert_int_equal(do_as(w, &root, "create alice --ssh-key -", alice_key), 1);
    assert_non_null(strstr(w->client.err, "run the same command again"));
    played.answer = ERR_NONE;
    assert_int_equal(do_as(w, &root, "create alice --ssh-key -", alice_key), 0);
    assert_int_equal(count_events(w, "account-created", "alice"), 1);
}

static void create_static(void **state)
{
    struct world *w = *state;
    begin(w, &root, "create alice --ssh-key - --static 192.0.2.7:2222 --host-key h.pub --json");
    turn(w);
    command_input(w->run, alice_key, strlen(alice_key));
    command_input(w->run, "", 0);
    turn(w);
    assert_string_equal(w->client.read, "h.pub");
    static const char scanned[] = "# 192.0.2.7:2222 SSH-2.0\n192.0.2.7 ssh-ed25519 "
                                  "AAAAC3NzaC1lZDI1NTE5AAAAIGJ3w3eQ3xkYp0m3o6m2fAj1cQmXq5m5m3o6m2fAj1cS";
    command_file(w->run, scanned, strlen(scanned));
    command_file(w->run, "", 0);
    turn(w);
    assert_int_equal(w->client.status, 0);
    command_free(w->run);
    struct box_row row;
    struct fault f;
    assert_int_equal(box_get_user(w->control.store, "alice", &row, &f), ERR_NONE);
    assert_int_equal(row.driver, BOX_DRIVER_STATIC);
    assert_string_equal(row.address, "192.0.2.7");
    assert_int_equal(row.port, 2222);
    assert_int_equal(strncmp(row.hostkeys, "ssh-ed25519 AAAA", 16), 0);
    assert_int_equal(do_as(w, &root, "stop alice", ""), 5);
}

static void bad_keys_are_refused_before_anything_is_written(void **state)
{
    struct world *w = *state;
    assert_int_equal(do_as(w, &root, "create alice --ssh-key -", "rubbish\n"), 2);
    assert_int_equal(do_as(w, &root, "create alice --ssh-key -", ""), 2);
    assert_int_equal(do_as(w, &root, "create alice --ssh-key - --ssh-key -", alice_key), 2);
    assert_non_null(strstr(w->client.err, "only once"));
    assert_int_equal(do_as(w, &root, "info alice", ""), 3);
}

static void keys_change_in_store_box_and_sessions(void **state)
{
    struct world *w = *state;
    make(w, "alice", alice_key);
    assert_int_equal(do_as(w, &root, "keys add alice -", second_key), 0);
    assert_int_equal(played.ops[BOX_OP_KEYS], 1);
    assert_non_null(strstr(played.keys, "alice@phone"));
    assert_non_null(strstr(played.keys, "alice@laptop"));
    assert_int_equal(do_as(w, &root, "keys add alice -", second_key),
                     0); // again: no error, the box is told anyway
    assert_int_equal(played.ops[BOX_OP_KEYS], 2);
    assert_int_equal(do_as(w, &root, "keys remove alice alice@phone", ""), 0);
    assert_null(strstr(played.keys, "alice@phone"));
    assert_int_equal(played.kicks, 1);
    assert_int_equal(strncmp(played.kicked, "SHA256:", 7), 0);
    assert_int_equal(do_as(w, &root, "keys remove alice alice@phone", ""), 3);
    assert_int_equal(do_as(w, &root, "keys remove alice alice@laptop", ""), 5);
    assert_non_null(strstr(w->client.err, "--force"));
    assert_int_equal(do_as(w, &root, "keys remove alice alice@laptop --force", ""), 0);
    assert_int_equal(do_as(w, &root, "keys replace alice -", second_key), 0);
    assert_int_equal(do_as(w, &root, "keys replace alice -", alice_key), 0);
    assert_null(strstr(played.keys, "alice@phone"));
    assert_int_equal(count_events(w, "key-removed", "alice"), 3);
    make(w, "bob --lazy", bob_key);
    assert_int_equal(do_as(w, &root, "keys add alice -", bob_key), 5);
    played.answer = ERR_UNAVAILABLE;
    assert_int_equal(do_as(w, &root, "keys add alice -", second_key), 1);
    assert_non_null(strstr(w->client.err, "in force at the gateway"));
}

static void delete_asks_first(void **state)
{
    struct world *w = *state;
    make(w, "alice", alice_key);
    assert_int_equal(do_as(w, &root, "delete alice", ""), 2); // nobody to ask
    assert_non_null(strstr(w->client.err, "--force"));
    w->tty = true;
    assert_int_equal(do_as(w, &root, "delete alice", "n\n"), 1);
    assert_int_equal(do_as(w, &root, "delete alice", "yellow\n"), 1);
    assert_int_equal(do_as(w, &root, "delete alice --backup", "n\n"), 1);
    assert_int_equal(played.ops[BOX_OP_DELETE], 0);
    assert_int_equal(do_as(w, &root, "delete alice", "y\n"), 0);
    assert_int_equal(played.ops[BOX_OP_DELETE], 1);
    assert_int_equal(count_events(w, "account-deleted", "alice"), 1);
    assert_int_equal(do_as(w, &root, "delete alice", "y\n"), 3);
    assert_string_equal(played.kicked, "all");
}

static void a_raw_terminal_is_echoed(void **state)
{
    struct world *w = *state;
    make(w, "boss --lazy --role admin", bob_key);
    make(w, "alice --lazy", alice_key);
    struct identity who = account_of(w, "boss");
    w->tty = true;
    assert_int_equal(do_as(w, &who, "delete alice", "y\003"), 1);
    assert_non_null(strstr(w->client.err, "interrupted"));
    assert_int_equal(do_as(w, &who, "keys add", "no key\r\004"), 2);
    assert_int_equal(do_as(w, &who, "delete alice", "x\177y\r"), 0);
    assert_non_null(strstr(w->client.err, "[y/N] x\b \by\n"));
}

static void delete_that_failed_is_finished_by_another(void **state)
{
    struct world *w = *state;
    make(w, "alice", alice_key);
    played.answer = ERR_UNAVAILABLE;
    assert_int_equal(do_as(w, &root, "delete alice --force", ""), 1);
    played.answer = ERR_NONE;
    assert_int_equal(do_as(w, &root, "start alice", ""), 5);
    assert_int_equal(do_as(w, &root, "delete alice --force", ""), 0);
}

static void a_client_that_leaves_breaks_nothing(void **state)
{
    struct world *w = *state;
    // While it is asked for input: the command ends.
    begin(w, &root, "create alice --ssh-key -");
    turn(w);
    assert_true(w->client.wants);
    command_detach(w->run);
    assert_int_equal(w->client.status, 1);
    command_free(w->run);
    // While Incus works: the command goes on to its end, and says nothing.
    make(w, "alice", alice_key);
    begin(w, &root, "delete alice --force");
    command_detach(w->run);
    turn(w);
    assert_int_equal(w->client.status, 0);
    assert_string_equal(w->client.out, "");
    command_free(w->run);
    assert_int_equal(do_as(w, &root, "info alice", ""), 3);
    // Freed in the middle (the daemon ends): nobody is called any more.
    begin(w, &root, "list");
    command_free(w->run);
    begin(w, &root, "create bob --lazy --ssh-key f");
    turn(w);
    command_file(w->run, bob_key, strlen(bob_key));
    command_file(w->run, "", 0);
    command_free(w->run);
    turn(w);
}

static void lists_what_is_known(void **state)
{
    struct world *w = *state;
    assert_int_equal(do_as(w, &root, "list", ""), 0);
    assert_non_null(strstr(w->client.err, "No users yet"));
    make(w, "alice", alice_key);
    make(w, "bob --lazy", bob_key);
    assert_int_equal(do_as(w, &root, "list", ""), 0);
    assert_int_equal(strncmp(w->client.out, "NAME ", 5), 0);
    assert_non_null(strstr(w->client.out, "AUTOSTART  IDLE\n"));
    assert_non_null(strstr(w->client.out, "Running"));
    assert_non_null(strstr(w->client.out, "bob-container"));
    played.answer = ERR_UNAVAILABLE;
    assert_int_equal(do_as(w, &root, "list", ""), 0);
    assert_non_null(strstr(w->client.out, " ? "));
    assert_non_null(strstr(w->client.err, "Incus was not reached"));
    assert_int_equal(do_as(w, &root, "info alice", ""), 0);
    assert_int_equal(do_as(w, &root, "start alice", ""), 1);
    played.answer = ERR_NONE;
    assert_int_equal(do_as(w, &root, "info alice", ""), 0);
    assert_non_null(strstr(w->client.out, "Container:      alice-container"));
    assert_int_equal(do_as(w, &root, "start bob", ""), 3);
    assert_int_equal(do_as(w, &root, "autostart alice off", ""), 0);
    assert_int_equal(do_as(w, &root, "autostart alice maybe", ""), 2);
    played.live = 1;
    assert_int_equal(do_as(w, &root, "sessions list", ""), 0);
    assert_non_null(strstr(w->client.out, "203.0.113.7:50122"));
    assert_int_equal(do_as(w, &root, "audit verify", ""), 0);
    assert_non_null(strstr(w->client.out, "whole"));
}

static void images_are_chosen_by_name_or_fingerprint(void **state)
{
    struct world *w = *state;
    assert_int_equal(do_as(w, &root, "image list", ""), 0);
    assert_non_null(strstr(w->client.out, "containarium-box  aaaaaaaabbbb  240MB"));
    assert_int_equal(do_as(w, &root, "image use nothing", ""), 3);
    assert_non_null(strstr(w->client.err, "packaging/image.sh"));
    assert_int_equal(do_as(w, &root, "image use aaaaaaaa", ""), 5); // which of the two?
    assert_int_equal(do_as(w, &root, "image use dddddddd", ""), 5); // somebody's box
    assert_int_equal(do_as(w, &root, "image use aa", ""), 3);
    assert_int_equal(do_as(w, &root, "image use containarium-box", ""), 0); // it is
    assert_int_equal(played.ops[BOX_OP_IMAGE_USE], 0);
    assert_int_equal(do_as(w, &root, "image use next", ""), 0);
    assert_string_equal(played.image[0], "containarium-box");
    assert_string_equal(played.image[1], "aaaaaaaacccc");
    assert_int_equal(do_as(w, &root, "image use aaaaaaaac", ""), 0);
    assert_int_equal(played.ops[BOX_OP_IMAGE_USE], 2);
}

static void file_with(const char *folder, const char *name, mode_t mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fclose(out);
    assert_int_equal(chmod(path, mode), 0);
}

static void doctor_finds_what_is_wrong(void **state)
{
    struct world *w = *state;
    make(w, "alice", alice_key);
    snprintf(w->config.state_dir, sizeof w->config.state_dir, "%s", w->folder);
    snprintf(w->config.listen, sizeof w->config.listen, "127.0.0.1:1"); // nobody does
    file_with(w->folder, "ssh_host_ed25519_key.pub", 0644);
    file_with(w->folder, "ssh_host_ed25519_key", 0600);
    assert_int_equal(do_as(w, &root, "doctor", ""), 1);
    static const char *const wanted[] = {
        "ok    incus        Incus 6.0.4 answers",
        "ok    image        containarium-box is there",
        "ok    pool         containarium (zfs): 1B of 100B used, 1%",
        "ok    boxes        1 in Incus, none is missing",
        "fail  gateway      127.0.0.1 port 1",
        "To mend it: systemctl status containarium-gateway",
        "ok    host keys    1 in ",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (strstr(w->client.out, wanted[i]) == NULL)
            fail_msg("%s is not in\n%s", wanted[i], w->client.out);
    }
    file_with(w->folder, "ssh_host_ed25519_key", 0644);
    played.image_gone = true;
    assert_int_equal(do_as(w, &root, "doctor --json", ""), 1);
    json_t *object = json_loads(w->client.out, 0, NULL);
    assert_true(json_is_false(json_object_get(object, "well")));
    assert_true(json_array_size(json_object_get(object, "checks")) > 8);
    json_decref(object);
    assert_non_null(strstr(w->client.out, "packaging/image.sh builds it"));
    assert_non_null(strstr(w->client.out, "chmod 600"));
    played.answer = ERR_UNAVAILABLE;
    assert_int_equal(do_as(w, &root, "doctor", ""), 1);
    assert_non_null(strstr(w->client.out, "fail  incus        Incus does not answer"));
}

static void every_json_is_json(void **state)
{
    static const char *const lines[] = {
        "create alice --ssh-key -",
        "list",
        "info alice",
        "keys list alice",
        "keys add alice -",
        "autostart alice on",
        "sessions list",
        "audit",
        "audit verify",
        "config show",
        "whoami",
        "version",
        "stop alice",
        "start alice",
        "freeze alice",
        "resize alice --cpu 4",
        "resize alice --cpu none",
        "idle alice",
        "idle set alice --freeze 1h --stop never",
        "idle set alice",
        "snapshot create alice",
        "snapshot list alice",
        "snapshot restore alice before --force",
        "snapshot restore alice nothing --force",
        "snapshot delete alice before",
        "image list",
        "image use next",
        "keys replace alice -",
        "invite dave --role operator --sessions 3",
        "invites list",
        "invites revoke dave",
        "invites revoke 99",
        "role alice operator",
        "keys sync alice",
        "info nobody",
        "start nobody",
        "lst",
        "list --bogus",
        "info",
        "keys",
        "keys --help",
        "complete",
        "help",
        "help keys",
        "help nothing",
        "restore nothing",
        "delete alice --force --backup",
        "audit --user nobody",
        "export alice",
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char line[128];
        snprintf(line, sizeof line, "%s --json", lines[i]);
        int status = do_as(w, &root, line, alice_key);
        json_t *object = json_loads(w->client.out, 0, NULL);
        if (object == NULL || (status != 0) != (json_object_get(object, "error") != NULL))
            fail_msg("%s: status %d: %s%s", line, status, w->client.out, w->client.err);
        json_decref(object);
    }
}

static void export_is_complete(void **state)
{
    struct world *w = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/ssh_host_ed25519_key.pub", w->folder);
    make(w, "alice", alice_key);
    assert_int_equal(do_as(w, &root, "export alice", ""), 3); // no host key of the gateway
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(bob_key, out);
    fclose(out);
    assert_int_equal(do_as(w, &root, "export alice --jump-ip 203.0.113.5 --port 2222 --key ~/.ssh/k%d", ""),
                     0);
    static const char *const wanted[] = {
        "Host containarium-jump\n",
        "HostName 203.0.113.5\n",
        "Port 2222\n",
        "Host alice-dev alice-container\n",
        "ProxyJump containarium-jump\n",
        "HostKeyAlias alice-container\n",
        "IdentityFile \"~/.ssh/k%%d\"\n",
        "KnownHostsCommand /usr/bin/printf \"%%s\\n\" \"containarium-jump ssh-ed25519 AAAAC3",
        "KnownHostsCommand /usr/bin/printf \"%%s\\n\" \"alice-container ssh-ed25519 AAAABOX\"\n",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (strstr(w->client.out, wanted[i]) == NULL)
            fail_msg("%s is not in\n%s", wanted[i], w->client.out);
    }
    assert_int_equal(do_as(w, &root, "export alice --output a.conf", ""), 0);
    assert_string_equal(w->client.out, "");
    assert_int_equal(strncmp(w->client.saved, "a.conf:# Containarium", 21), 0);
    assert_int_equal(do_as(w, &root, "export alice --jump-ip a\"b", ""), 2);
    assert_int_equal(do_as(w, &root, "export alice --port 0", ""), 2);
    struct identity who = account_of(w, "alice");
    assert_int_equal(do_as(w, &who, "export", ""), 0);
    assert_non_null(strstr(w->client.out, "HostName gw.example.org"));
    assert_int_equal(do_as(w, &who, "export --output a.conf", ""), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(create_makes_everything_and_can_be_repeated),
        WITH_WORLD(create_completes_what_failed),
        WITH_WORLD(create_static),
        WITH_WORLD(bad_keys_are_refused_before_anything_is_written),
        WITH_WORLD(keys_change_in_store_box_and_sessions),
        WITH_WORLD(delete_asks_first),
        WITH_WORLD(a_raw_terminal_is_echoed),
        WITH_WORLD(delete_that_failed_is_finished_by_another),
        WITH_WORLD(a_client_that_leaves_breaks_nothing),
        WITH_WORLD(lists_what_is_known),
        WITH_WORLD(images_are_chosen_by_name_or_fingerprint),
        WITH_WORLD(doctor_finds_what_is_wrong),
        WITH_WORLD(every_json_is_json),
        WITH_WORLD(export_is_complete),
    };
    return cmocka_run_group_tests_name("command verbs", tests, NULL, NULL);
}
