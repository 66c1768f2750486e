// What the verbs do to boxes: limits, sleep, snapshots, backups.
#include "unit/command_world.h"

static void row_of(struct world *w, const char *user, struct box_row *row)
{
    struct fault f;
    assert_int_equal(box_get_user(w->control.store, user, row, &f), ERR_NONE);
}

static void resize_changes_the_row_after_incus(void **state)
{
    static const struct {
        const char *line;
        int status;
        const char *says;
    } wrong[] = {
        {"resize alice", 2, "--cpu, --memory, --disk"}, {"resize alice --cpu none", 2, "0-3"},
        {"resize alice --memory 2", 2, "8GiB"},         {"resize alice --memory 1MB", 2, "64MB"},
        {"resize alice --disk much", 2, "--disk"},      {"resize alice --disk 10GB", 5, "can only grow"},
        {"resize nobody --cpu 2", 3, "no such user"},   {"resize bob --cpu 2", 3, "no box yet"},
        {"resize eve --cpu 2", 5, "existing machine"},
    };
    struct world *w = *state;
    struct box_row row;
    make(w, "alice", alice_key);
    make(w, "bob --lazy", bob_key);
    make(w, "eve --static 192.0.2.7", second_key);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int status = do_as(w, &root, wrong[i].line, "");
        if (status != wrong[i].status || strstr(w->client.err, wrong[i].says) == NULL)
            fail_msg("%s: status %d, err %s", wrong[i].line, status, w->client.err);
    }
    assert_int_equal(played.ops[BOX_OP_CHANGE], 0);
    assert_int_equal(do_as(w, &root, "resize alice --memory 8GB --disk 50GB", ""), 0);
    assert_non_null(strstr(w->client.out, "2GB -> 8GB"));
    assert_string_equal(played.change.cpu, "");
    assert_int_equal(played.change.memory, 8000000000);
    row_of(w, "alice", &row);
    assert_int_equal(row.memory, 8000000000);
    assert_int_equal(row.disk, 50000000000);
    assert_string_equal(row.cpu, "2");
    assert_int_equal(do_as(w, &root, "resize alice --memory 8GB --disk 50GB", ""), 0); // again: no harm
    assert_int_equal(count_events(w, "box-changed", "alice"), 2);
    played.answer = ERR_FULL; // as when the box uses more than that
    assert_int_equal(do_as(w, &root, "resize alice --memory 1GB", ""), 1);
    assert_non_null(strstr(w->client.err, "Nothing was changed"));
    row_of(w, "alice", &row);
    assert_int_equal(row.memory, 8000000000);
}

static void idle_times_are_the_boxes_own(void **state)
{
    static const struct {
        const char *line;
        int status;
        const char *says;
    } wrong[] = {
        {"idle set alice", 2, "give --freeze, --stop, or --reset"},
        {"idle set alice --freeze soon", 2,
         "--freeze: \"soon\" does not fit; accepted: never, and durations"},
        {"idle set alice --freeze 1h --stop 366d", 2, "--stop: \"366d\""},
        {"idle set alice --freeze=", 2, "--freeze"},
        {"idle set alice --sleep 1h", 2, "--sleep"},
        {"idle set alice 1h", 2, "1h"},
        {"idle alice --stop never", 2, "--stop"},
        {"idle set nobody --reset", 3, "no such user"},
        {"idle set eve --reset", 5, "existing machine"},
        {"idle eve", 5, "existing machine"},
    };
    struct world *w = *state;
    struct box_row row;
    make(w, "alice", alice_key);
    make(w, "bob --lazy", bob_key);
    make(w, "eve --static 192.0.2.7", second_key);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int status = do_as(w, &root, wrong[i].line, "");
        if (status != wrong[i].status || strstr(w->client.err, wrong[i].says) == NULL)
            fail_msg("%s: status %d, err %s", wrong[i].line, status, w->client.err);
    }
    row_of(w, "alice", &row);
    assert_false(row.idle.has_freeze || row.idle.has_stop);
    assert_int_equal(count_events(w, "box-changed", "alice"), 0);
    assert_int_equal(do_as(w, &root, "idle set alice --freeze 2h", ""), 0);
    assert_non_null(strstr(w->client.out, "freeze  2h     own"));
    assert_non_null(strstr(w->client.out, "stop    1d     configuration"));
    assert_int_equal(do_as(w, &root, "idle set alice --stop never", ""), 0); // the other one stays
    row_of(w, "alice", &row);
    assert_true(row.idle.has_freeze && row.idle.has_stop);
    assert_int_equal(row.idle.rules.freeze_ms, 7200000);
    assert_int_equal(row.idle.rules.stop_ms, 0);
    assert_int_equal(do_as(w, &root, "info alice", ""), 0);
    assert_non_null(strstr(w->client.out, "frozen after 2h (own), never stopped (own)\n"));
    assert_int_equal(do_as(w, &root, "idle set alice --reset --stop 1h", ""), 0);
    row_of(w, "alice", &row);
    assert_true(!row.idle.has_freeze && row.idle.has_stop);
    assert_int_equal(do_as(w, &root, "idle set alice --freeze 60m", ""), 0);
    assert_non_null(strstr(w->client.err, "the stop comes first"));
    assert_int_equal(do_as(w, &root, "idle set bob --freeze 5m", ""), 0); // before it is made, too
    assert_int_equal(count_events(w, "box-changed", "alice"), 4);
    assert_int_equal(do_as(w, &root, "audit --event box-changed --user alice", ""), 0);
    assert_non_null(strstr(w->client.out, "idle reset stop 1h"));
    assert_int_equal(played.ops[BOX_OP_CHANGE], 0);
}

static void autostart_is_told_to_incus(void **state)
{
    struct world *w = *state;
    struct box_row row;
    make(w, "alice", alice_key);
    assert_int_equal(do_as(w, &root, "autostart alice off", ""), 0);
    assert_int_equal(played.change.autostart, CHANGE_OFF);
    row_of(w, "alice", &row);
    assert_false(row.autostart);
    played.answer = ERR_UNAVAILABLE;
    assert_int_equal(do_as(w, &root, "autostart alice on", ""), 1);
    row_of(w, "alice", &row);
    assert_false(row.autostart);
}

// Incus was told at its sleep to leave it asleep, so it is told again at its wake; once, and only if it may.
static void autostart_comes_back_with_the_wake(void **state)
{
    struct world *w = *state;
    make(w, "alice", alice_key);
    assert_int_equal(do_as(w, &root, "stop alice", ""), 0);
    played.started = true;
    assert_int_equal(do_as(w, &root, "start alice", ""), 0);
    assert_int_equal(played.ops[BOX_OP_CHANGE], 1);
    assert_int_equal(played.change.autostart, CHANGE_ON);
    assert_int_equal(do_as(w, &root, "autostart alice off", ""), 0);
    assert_int_equal(do_as(w, &root, "stop alice", ""), 0);
    assert_int_equal(do_as(w, &root, "start alice", ""), 0);
    assert_int_equal(played.ops[BOX_OP_CHANGE], 2); // autostart's own
}

static void snapshots_are_named_asked_about_and_recorded(void **state)
{
    struct world *w = *state;
    make(w, "alice", alice_key);
    struct identity who = account_of(w, "alice");
    assert_int_equal(do_as(w, &who, "snapshot create before", ""), 0);
    assert_string_equal(played.snapshot, "before");
    assert_int_equal(do_as(w, &who, "snapshot create", ""), 0);
    assert_int_equal(strspn(played.snapshot, "0123456789-"), 15); // the time
    assert_int_equal(do_as(w, &who, "snapshot create a/b", ""), 2);
    assert_int_equal(do_as(w, &who, "snapshot create -- -x", ""), 2);
    assert_int_equal(do_as(w, &who, "snapshot list", ""), 0);
    assert_non_null(strstr(w->client.out, "before  2023-11-14T22:13:20Z  4.2MB"));
    assert_int_equal(do_as(w, &who, "snapshot restore nothing --force", ""), 3);
    assert_int_equal(do_as(w, &who, "snapshot restore before", ""), 2); // nobody to ask
    w->tty = true;
    assert_int_equal(do_as(w, &root, "snapshot restore alice before", "n\n"), 1);
    assert_false(played.kicked_from_box);
    assert_int_equal(played.ops[BOX_OP_SNAPSHOT_RESTORE], 0);
    assert_int_equal(do_as(w, &root, "snapshot restore alice before", "y\n"), 0);
    assert_true(played.kicked_from_box);
    assert_non_null(strstr(played.keys, "alice@laptop")); // today's keys go into the old disk
    assert_int_equal(do_as(w, &who, "snapshot delete before", ""), 0);
    assert_int_equal(count_events(w, "snapshot-created", "alice"), 2);
    assert_int_equal(count_events(w, "snapshot-restored", "alice"), 1);
    assert_int_equal(count_events(w, "snapshot-deleted", "alice"), 1);
}

static size_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (size_t)st.st_size : 9999;
}

static void delete_with_backup_deletes_nothing_without_one(void **state)
{
    struct world *w = *state;
    char path[128];
    make(w, "alice --memory 4GB --role operator", alice_key);
    make(w, "bob --lazy", bob_key);
    assert_int_equal(do_as(w, &root, "delete bob --force --backup", ""), 3); // nothing to back up
    assert_int_equal(do_as(w, &root, "delete alice --force --backup=", ""), 2);
    played.answer = ERR_FULL;
    assert_int_equal(do_as(w, &root, "delete alice --force --backup=a.backup", ""), 1);
    assert_non_null(strstr(w->client.err, "Nothing was deleted"));
    snprintf(path, sizeof path, "%s/a.backup", w->folder);
    assert_int_equal(size_of(path), 0); // what was half written is no backup
    assert_int_equal(do_as(w, &root, "delete alice --force --backup", ""), 1);
    snprintf(path, sizeof path, "rmdir %s/backups", w->folder);
    assert_int_equal(system(path), 0); // nothing left in it
    assert_int_equal(played.ops[BOX_OP_DELETE], 0);
    played.answer = ERR_NONE;
    assert_int_equal(do_as(w, &root, "delete alice --force --backup=a.backup", ""), 2); // not overwritten
    assert_int_equal(played.ops[BOX_OP_DELETE], 0);
    struct identity boss;
    make(w, "boss --lazy --role admin", second_key);
    boss = account_of(w, "boss");
    assert_int_equal(do_as(w, &boss, "delete alice --force --backup=b.backup", ""), 2); // no file of ours
    assert_int_equal(do_as(w, &boss, "delete alice --force --backup", ""), 0);
    assert_int_equal(played.ops[BOX_OP_DELETE], 1);
    assert_non_null(strstr(w->client.out, "ssh ctl@gw.example.org restore alice-"));
    assert_int_equal(count_events(w, "box-exported", "alice"), 1);
}

static void restore_brings_all_of_it_back(void **state)
{
    struct world *w = *state;
    struct box_row row;
    make(w, "alice --memory 4GB --cpu 0-1 --role operator --no-autostart", alice_key);
    assert_int_equal(do_as(w, &root, "keys add alice -", second_key), 0);
    assert_int_equal(do_as(w, &root, "idle set alice --freeze never", ""), 0);
    assert_int_equal(do_as(w, &root, "delete alice --force --backup=a.backup", ""), 0);
    assert_int_equal(do_as(w, &root, "info alice", ""), 3);
    assert_int_equal(do_as(w, &root, "restore b.backup", ""), 2); // no such file
    make(w, "bob --lazy", second_key);
    assert_int_equal(do_as(w, &root, "restore a.backup", ""), 5); // a key of hers is bob's now
    assert_non_null(strstr(w->client.err, "bob"));
    assert_int_equal(played.ops[BOX_OP_IMAGE_DELETE], 1);
    assert_int_equal(do_as(w, &root, "info alice", ""), 3);
    assert_int_equal(do_as(w, &root, "delete bob --force", ""), 0);
    played.ensure_fails = true; // it cannot be unpacked
    assert_int_equal(do_as(w, &root, "restore a.backup", ""), 1);
    assert_non_null(strstr(w->client.err, "nothing was restored"));
    assert_int_equal(do_as(w, &root, "info alice", ""), 3);
    assert_int_equal(played.ops[BOX_OP_IMAGE_DELETE], 2);
    played.ensure_fails = false;
    assert_int_equal(do_as(w, &root, "restore a.backup", ""), 0);
    assert_non_null(strstr(w->client.err, "was operator and is user now"));
    row_of(w, "alice", &row);
    assert_int_equal(row.phase, BOX_READY);
    assert_int_equal(row.memory, 4000000000);
    assert_string_equal(row.cpu, "0-1");
    assert_false(row.autostart);
    assert_true(row.idle.has_freeze && !row.idle.has_stop);
    assert_int_equal(row.idle.rules.freeze_ms, 0);
    assert_string_equal(row.image, "containarium-box"); // not the one it came through
    assert_int_equal(played.ops[BOX_OP_IMAGE_DELETE], 3);
    assert_int_equal(do_as(w, &root, "keys list alice", ""), 0);
    assert_non_null(strstr(w->client.out, "alice@laptop"));
    assert_non_null(strstr(w->client.out, "alice@phone"));
    assert_int_equal(do_as(w, &root, "restore a.backup", ""), 5); // she is there
    assert_int_equal(do_as(w, &root, "delete alice --force", ""), 0);
    static const char *const damaged[] = {
        "",
        "{}",
        "[]",
        "{\"version\":2}",
        "{\"version\":1,\"user\":\"root\",\"role\":\"user\",\"keys\":\"\",\"image\":\"i\",\"cpu\":\"1\","
        "\"hostkeys\":\"\",\"memory\":1,\"disk\":1}",
        "{\"version\":1,\"user\":\"eve\",\"role\":\"user\",\"keys\":\"\",\"image\":\"i\",\"cpu\":\"x\","
        "\"hostkeys\":\"\",\"memory\":1,\"disk\":1}",
        "{\"version\":1,\"user\":\"eve\",\"role\":\"user\",\"keys\":\"rubbish\",\"image\":\"i\",\"cpu\":"
        "\"1\","
        "\"hostkeys\":\"\",\"memory\":1,\"disk\":1}",
        "{\"version\":1,\"user\":\"eve\",\"role\":\"user\",\"keys\":\"\",\"image\":\"i\",\"cpu\":\"1\","
        "\"hostkeys\":\"\",\"memory\":1,\"disk\":1,\"idle_stop_ms\":-1}",
        "{\"version\":1,\"user\":\"eve\",\"role\":\"user\",\"keys\":\"\",\"image\":\"i\",\"cpu\":\"1\","
        "\"hostkeys\":\"\",\"memory\":1,\"disk\":1,\"idle_freeze_ms\":\"never\"}",
    };
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        snprintf(played.account, sizeof played.account, "%s", damaged[i]);
        assert_int_equal(do_as(w, &root, "restore a.backup", ""), 2);
    }
    assert_int_equal(do_as(w, &root, "list", ""), 0);
    assert_non_null(strstr(w->client.err, "No users yet"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(resize_changes_the_row_after_incus),
        WITH_WORLD(idle_times_are_the_boxes_own),
        WITH_WORLD(autostart_is_told_to_incus),
        WITH_WORLD(autostart_comes_back_with_the_wake),
        WITH_WORLD(snapshots_are_named_asked_about_and_recorded),
        WITH_WORLD(delete_with_backup_deletes_nothing_without_one),
        WITH_WORLD(restore_brings_all_of_it_back),
    };
    return cmocka_run_group_tests_name("command box", tests, NULL, NULL);
}
