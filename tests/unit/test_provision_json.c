// Incus' answers, good and bad, and its words as our codes. The texts were copied from Incus 6.0.4.
#include <stdlib.h>

#include "provision/incus_json.h"
#include "unit/check.h"

static struct fault f;

// Not NUL-terminated, so that a read beyond the length shows.
static char *exact(const char *text, size_t length)
{
    char *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, text, length);
    return copy;
}

#define GOOD_ASYNC                                                                                           \
    "{\"type\":\"async\",\"status_code\":100,\"operation\":\"/1.0/operations/"                               \
    "4026eac6-6c49\",\"error_code\":0,"                                                                      \
    "\"error\":\"\",\"metadata\":{\"err\":\"\"}}"
#define GOOD_INSTANCE                                                                                        \
    "{\"type\":\"sync\",\"status_code\":200,\"error_code\":0,\"error\":\"\",\"metadata\":{\"name\":\"t1\","  \
    "\"status\":\"Running\",\"last_used_at\":\"2026-11-23T21:12:40.58704138Z\",\"devices\":{\"eth0\":"       \
    "{\"ipv4.address\":\"10.181.0.20\"}},\"state\":{\"status\":\"Running\",\"disk\":{\"root\":{\"usage\":"   \
    "18137088,"                                                                                              \
    "\"total\":3000000000}},\"memory\":{\"usage\":2834432,\"total\":1999998976},\"processes\":7,"            \
    "\"cpu\":{\"usage\":36760305},\"started_at\":\"2026-11-23T21:24:12.351286865Z\"}}}"

static void envelopes(void **state)
{
    struct incus_envelope e;
    (void)state;
    assert_ok(incus_read_envelope(GOOD_ASYNC, strlen(GOOD_ASYNC), &e, &f));
    assert_true(e.async);
    assert_string_equal(e.operation, "/1.0/operations/4026eac6-6c49");
    const char *error =
        "{\"type\":\"error\",\"error_code\":404,\"error\":\"Instance not found\",\"metadata\":null}";
    assert_ok(incus_read_envelope(error, strlen(error), &e, &f));
    assert_int_equal(e.error_code, 404);
    assert_string_equal(e.error, "Instance not found");
    const char *silent = "{\"type\":\"error\"}"; // an error without a code is one all the same
    assert_ok(incus_read_envelope(silent, strlen(silent), &e, &f));
    assert_int_equal(e.error_code, 500);
    char *long_error = NULL; // longer than ours can be
    assert_true(asprintf(&long_error, "{\"type\":\"error\",\"error_code\":500,\"error\":\"%0*d\"}", 9000, 1) >
                0);
    assert_ok(incus_read_envelope(long_error, strlen(long_error), &e, &f));
    assert_int_equal(strlen(e.error), sizeof e.error - 1);
    free(long_error);
}

static void bad_envelopes(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "null",
        "\"x\"",
        "{}",
        "{\"type\":7}",
        "{\"type\":\"sync\"} trailing",
        "<html>not Incus</html>",
        "{\"type\":\"async\"}",
        "{\"type\":\"async\",\"operation\":\"https://evil/1.0/operations/x\"}",
        "{\"type\":\"async\",\"operation\":\"/1.0/operations/x?project=other\"}",
        "{\"type\":\"async\",\"operation\":\"/1.0/operations/x\\r\\nHost: evil\"}",
        "{\"type\":\"sync\",\"type\":\"error\"}",
        "{\"type\":\"sync\",\"error\":\"\xff\xfe\"}",
    };
    struct incus_envelope e;
    (void)state;
    for (size_t k = 0; k < COUNT(bad); k++) {
        char *copy = exact(bad[k], strlen(bad[k]));
        assert_err(ERR_PROTOCOL, incus_read_envelope(copy, strlen(bad[k]), &e, &f));
        free(copy);
    }
    assert_err(ERR_PROTOCOL, incus_read_envelope(NULL, 0, &e, &f));
    char *deep = malloc(200000); // the parser has a limit of its own
    memset(deep, '[', 200000);
    assert_err(ERR_PROTOCOL, incus_read_envelope(deep, 200000, &e, &f));
    free(deep);
}

static void operations(void **state)
{
    static const struct {
        const char *text;
        enum err expected;
    } cases[] = {
        {"{\"type\":\"sync\",\"metadata\":{\"status_code\":200,\"err\":\"\"}}", ERR_NONE},
        {"{\"type\":\"sync\",\"metadata\":{\"status_code\":103,\"err\":\"\"}}", ERR_TIMEOUT},
        {"{\"type\":\"sync\",\"metadata\":{\"status_code\":400,\"err\":\"The instance is already running\"}}",
         ERR_CONFLICT},
        {"{\"type\":\"sync\",\"metadata\":{\"status_code\":401,\"err\":\"\"}}", ERR_FAILED},
        {"{\"type\":\"error\",\"error_code\":500,\"error\":\"The container is already frozen\"}",
         ERR_CONFLICT},
        {"{\"type\":\"error\",\"error_code\":404,\"error\":\"Operation not found\"}", ERR_NOTFOUND},
        {"{\"type\":\"sync\",\"metadata\":{}}", ERR_PROTOCOL},
        {"{\"type\":\"sync\",\"metadata\":[1]}", ERR_PROTOCOL},
        {"{\"type\":\"sync\",\"metadata\":{\"status_code\":-1}}", ERR_PROTOCOL},
        {"{}", ERR_PROTOCOL},
        {"", ERR_PROTOCOL},
    };
    (void)state;
    for (size_t k = 0; k < COUNT(cases); k++)
        assert_err(cases[k].expected, incus_read_operation(cases[k].text, strlen(cases[k].text), &f));
}

static void words_to_codes(void **state)
{
    static const struct {
        long code;
        const char *words;
        enum err expected;
    } cases[] = {
        {0, "The instance is already running", ERR_CONFLICT},
        {0, "The container is already frozen", ERR_CONFLICT},
        {0, "container is already frozen", ERR_CONFLICT},
        {0, "The container is already running", ERR_CONFLICT},
        {0, "The instance is already stopped", ERR_CONFLICT},
        {400, "Instance is running", ERR_CONFLICT},
        {400, "Instance is busy running a \"create\" operation", ERR_CONFLICT},
        {500,
         "Failed creating instance record: Add instance info to the database: Failed to create \"instances\" "
         "entry: UNIQUE constraint failed: instances.project_id, instances.name",
         ERR_CONFLICT},
        {409, "anything", ERR_CONFLICT},
        {412, "ETag doesn't match", ERR_CONFLICT},
        {404, "Failed to fetch instance \"zzz\" in project \"p\": Instance not found", ERR_NOTFOUND},
        {403, "not authorized", ERR_DENIED},
        {0, "Failed shutting down instance, status is \"Running\": context deadline exceeded", ERR_TIMEOUT},
        {500, "sftp: \"write /root/noise51: disk quota exceeded\" (SSH_FX_FAILURE)", ERR_FULL},
        {0, "Failed unpacking image: No space left on device", ERR_FULL},
        {503, "Daemon is starting up", ERR_UNAVAILABLE},
        {500, "Incus is shutting down", ERR_UNAVAILABLE},
        {0, "Image not provided for instance creation", ERR_FAILED},
        {0, "", ERR_FAILED},
        {500, "Failed to run: forkstart", ERR_FAILED},
        {400,
         "Failed start validation for device \"eth0\": IP address \"10.179.0.16\" is already defined on "
         "another "
         "NIC",
         ERR_FAILED},
    };
    (void)state;
    for (size_t k = 0; k < COUNT(cases); k++) {
        enum err got = incus_error(cases[k].code, cases[k].words);
        if (got != cases[k].expected)
            fail_msg("%ld \"%s\": expected %s, got %s", cases[k].code, cases[k].words,
                     err_name(cases[k].expected), err_name(got));
    }
}

static void instances(void **state)
{
    struct incus_instance i;
    struct box_entry e;
    (void)state;
    assert_ok(incus_read_instance(GOOD_INSTANCE, strlen(GOOD_INSTANCE), &i, &f));
    assert_int_equal(i.state, BOX_STATE_RUNNING);
    assert_true(i.ever_started);
    assert_string_equal(i.address, "10.181.0.20");
    assert_ok(incus_read_usage(GOOD_INSTANCE, strlen(GOOD_INSTANCE), &e, &f));
    assert_string_equal(e.name, "t1");
    assert_int_equal(e.usage.memory, 2834432);
    assert_int_equal(e.usage.memory_limit, 1999998976);
    assert_int_equal(e.usage.disk, 18137088);
    assert_int_equal(e.usage.disk_limit, 3000000000);
    assert_int_equal(e.usage.processes, 7);
    assert_int_equal(e.usage.cpu_ns, 36760305);
    assert_int_equal(e.usage.started_at, 1795469052);
    // Never started, nothing of the rest.
    const char *bare =
        "{\"type\":\"sync\",\"metadata\":{\"status\":\"Stopped\",\"last_used_at\":\"1970-01-01T00:00:00Z\"}}";
    assert_ok(incus_read_instance(bare, strlen(bare), &i, &f));
    assert_int_equal(i.state, BOX_STATE_STOPPED);
    assert_false(i.ever_started);
    assert_string_equal(i.address, "");
    assert_ok(incus_read_usage(bare, strlen(bare), &e, &f));
    assert_int_equal(e.usage.memory, 0);
    // Wrong types everywhere are zeros, not crashes.
    const char *odd =
        "{\"type\":\"sync\",\"metadata\":{\"status\":\"Running\",\"name\":[],\"devices\":7,\"state\":"
        "{\"disk\":[],\"memory\":{\"usage\":-5,\"total\":\"x\"},\"cpu\":null,\"started_at\":9}}}";
    assert_ok(incus_read_usage(odd, strlen(odd), &e, &f));
    assert_int_equal(e.usage.memory, 0);
    assert_int_equal(e.usage.started_at, 0);
    const char *none = "{\"type\":\"sync\",\"metadata\":null}";
    assert_err(ERR_PROTOCOL, incus_read_instance(none, strlen(none), &i, &f));
    assert_err(ERR_PROTOCOL, incus_read_usage(none, strlen(none), &e, &f));
    // Every cut of a good answer is refused, not misread.
    for (size_t cut = 0; cut < strlen(GOOD_INSTANCE); cut++) {
        char *copy = exact(GOOD_INSTANCE, cut);
        assert_err(ERR_PROTOCOL, incus_read_instance(copy, cut, &i, &f));
        free(copy);
    }
}

static void lists(void **state)
{
    struct box_entry *list = NULL;
    size_t count = 7;
    const char *none = "{\"type\":\"sync\",\"metadata\":[]}";
    const char *two =
        "{\"type\":\"sync\",\"metadata\":[{\"name\":\"a-container\",\"status\":\"Frozen\",\"state\":"
        "{\"memory\":{\"usage\":5}}},17,{\"name\":\"b-container\",\"status\":\"Starting\"}]}";
    const char *wrong = "{\"type\":\"sync\",\"metadata\":{}}";
    (void)state;
    assert_ok(incus_read_list(none, strlen(none), &list, &count, &f));
    assert_int_equal(count, 0);
    assert_null(list);
    assert_ok(incus_read_list(two, strlen(two), &list, &count, &f));
    assert_int_equal(count, 3);
    assert_int_equal(list[0].state, BOX_STATE_FROZEN);
    assert_int_equal(list[0].usage.memory, 5);
    assert_string_equal(list[1].name, "");
    assert_int_equal(list[2].state, BOX_STATE_UNKNOWN);
    free(list);
    assert_err(ERR_PROTOCOL, incus_read_list(wrong, strlen(wrong), &list, &count, &f));
    assert_null(list);
}

static void requests(void **state)
{
    static struct config config;
    const struct incus_settings s = {.name = "alice-container",
                                     .image = "containarium-box",
                                     .cpu = "0-3",
                                     .address = "10.178.0.16",
                                     .memory = 2000000000,
                                     .disk = 20000000000};
    (void)state;
    config_defaults(&config);
    char *text = incus_write_create(&s, &config);
    assert_non_null(text);
    assert_non_null(strstr(text, "\"limits.memory\":\"2000000000B\""));
    assert_non_null(strstr(text, "\"size\":\"20000000000B\""));
    assert_non_null(strstr(text, "\"limits.cpu\":\"0-3\""));
    assert_non_null(strstr(text, "\"boot.autostart\":\"false\""));
    assert_non_null(strstr(text, "\"security.idmap.isolated\":\"true\""));
    assert_non_null(strstr(text, "\"security.port_isolation\":\"true\""));
    assert_non_null(strstr(text, "\"security.mac_filtering\":\"true\""));
    assert_non_null(strstr(text, "\"security.ipv4_filtering\":\"true\""));
    assert_non_null(strstr(text, "\"ipv4.address\":\"10.178.0.16\""));
    assert_null(strstr(text, "privileged"));
    free(text);
    text = incus_write_correct(&s, &config);
    assert_null(strstr(text, "source"));
    free(text);
}

static enum err snapshots_of(const char *text, struct box_snapshot **list, size_t *count)
{
    return incus_read_snapshots(text, strlen(text), list, count, &f);
}

static void snapshots(void **state)
{
    struct box_snapshot *list = NULL;
    size_t count = 0;
    (void)state;
    assert_int_equal(snapshots_of("{\"type\":\"sync\",\"metadata\":["
                                  "{\"name\":\"b\",\"created_at\":\"2026-11-24T22:00:02.5Z\",\"size\":16384},"
                                  "{\"name\":\"box/a\",\"created_at\":\"2026-11-24T22:00:01Z\"},"
                                  "{\"name\":3,\"size\":-1}]}",
                                  &list, &count),
                     ERR_NONE);
    assert_int_equal(count, 3);
    assert_string_equal(list[0].name, ""); // no time: the oldest
    assert_int_equal(list[0].size, 0);
    assert_string_equal(list[1].name, "a");
    assert_string_equal(list[2].name, "b");
    assert_int_equal(list[2].size, 16384);
    assert_int_equal(list[2].created - list[1].created, 1);
    free(list);
    assert_int_equal(snapshots_of("{\"metadata\":[]}", &list, &count), ERR_NONE);
    assert_null(list);
    assert_int_equal(snapshots_of("{\"metadata\":{}}", &list, &count), ERR_PROTOCOL);
    assert_int_equal(snapshots_of("", &list, &count), ERR_PROTOCOL);
}

#define SHA "9c638000c608ec2f098956a324eae5f8b1d220e57c9cc6626f045f46b6fa5c79"

static void images(void **state)
{
    static const char text[] =
        "{\"metadata\":[{\"fingerprint\":\"" SHA "\",\"size\":7,\"uploaded_at\":"
        "\"2026-11-24T21:58:44Z\",\"aliases\":[{\"name\":\"box\"}],\"properties\":"
        "{\"description\":\"d\"}},{\"fingerprint\":\"x\",\"uploaded_at\":"
        "\"2026-11-24T21:58:45Z\",\"properties\":{\"containarium.box\":\"alice-container\"}}]}";
    static const char made[] = "{\"metadata\":{\"metadata\":{\"fingerprint\":\"" SHA "\"}}}";
    static const char bad[] = "{\"metadata\":{\"metadata\":{\"fingerprint\":\"../../x\"}}}";
    static const char account[] = "{\"metadata\":{\"properties\":{\"containarium.account\":\"{}\"}}}";
    struct box_image *list = NULL;
    size_t count = 0;
    char fingerprint[INCUS_FINGERPRINT_SIZE] = "", *words = NULL;
    (void)state;
    assert_int_equal(incus_read_images(text, sizeof text - 1, &list, &count, &f), ERR_NONE);
    assert_int_equal(count, 2);
    assert_string_equal(list[0].box, "alice-container"); // the newest first
    assert_string_equal(list[0].alias, "");
    assert_string_equal(list[1].alias, "box");
    assert_string_equal(list[1].fingerprint, SHA);
    free(list);
    assert_int_equal(incus_read_fingerprint(made, sizeof made - 1, fingerprint, &f), ERR_NONE);
    assert_string_equal(fingerprint, SHA);
    assert_int_equal(incus_read_fingerprint(bad, sizeof bad - 1, fingerprint, &f), ERR_PROTOCOL);
    assert_int_equal(incus_read_image_account(account, sizeof account - 1, &words, &f), ERR_NONE);
    assert_string_equal(words, "{}");
    free(words);
    assert_int_equal(incus_read_image_account(made, sizeof made - 1, &words, &f), ERR_NOTFOUND);
    assert_null(words);
}

static void changes(void **state)
{
    struct config config;
    struct box_change change = {.memory = 1000000000};
    (void)state;
    config_defaults(&config);
    char *text = incus_write_change(&change, &config);
    assert_string_equal(text, "{\"config\":{\"limits.memory\":\"1000000000B\"},\"devices\":{}}");
    free(text);
    change = (struct box_change){.cpu = "0-1", .disk = 5, .autostart = CHANGE_OFF};
    text = incus_write_change(&change, &config);
    assert_non_null(strstr(text, "\"limits.cpu\":\"0-1\""));
    assert_non_null(strstr(text, "\"boot.autostart\":\"false\""));
    assert_non_null(strstr(text, "\"size\":\"5B\""));
    assert_null(strstr(text, "limits.memory"));
    free(text);
    const struct incus_settings s = {.name = "b", .image = SHA, .cpu = "1", .address = "10.178.0.16"};
    text = incus_write_create(&s, &config);
    assert_non_null(strstr(text, "\"fingerprint\":\"" SHA "\""));
    assert_null(strstr(text, "alias"));
    free(text);
}

static void state_names(void **state)
{
    (void)state;
    assert_string_equal(box_state_name(BOX_STATE_RUNNING), "Running");
    assert_string_equal(box_state_name(BOX_STATE_ABSENT), "-");
    assert_string_equal(box_state_name((enum box_state)99), "Unknown");
    assert_int_equal(incus_state("Stopped"), BOX_STATE_STOPPED);
    assert_int_equal(incus_state("-"), BOX_STATE_UNKNOWN);
    assert_int_equal(incus_state("Stopping"), BOX_STATE_UNKNOWN);
}

static void escapes(void **state)
{
    char out[16];
    (void)state;
    assert_true(http_escape("a b/c?&", out, sizeof out));
    assert_string_equal(out, "a%20b/c%3F%26");
    assert_false(http_escape("aaaaaaaaaaaaaaaa", out, sizeof out));
    assert_true(http_escape("", out, sizeof out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(envelopes),      cmocka_unit_test(bad_envelopes), cmocka_unit_test(operations),
        cmocka_unit_test(words_to_codes), cmocka_unit_test(instances),     cmocka_unit_test(lists),
        cmocka_unit_test(snapshots),      cmocka_unit_test(images),        cmocka_unit_test(changes),
        cmocka_unit_test(requests),       cmocka_unit_test(state_names),   cmocka_unit_test(escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
