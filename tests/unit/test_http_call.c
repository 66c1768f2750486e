// Bodies of the HTTPS interface: what becomes which words, and what is refused.
#include <stdlib.h>

#include "check.h"
#include "control/http_call.h"

static const struct command *verb(const char *path)
{
    const struct command *c = http_call_command(path);
    assert_non_null(c);
    return c;
}

// All words with "|" between them.
static void joined(const struct http_call *call, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t i = 0; i < call->count; i++) {
        size_t at = strlen(out);
        snprintf(out + at, size - at, "%s%s", i > 0 ? "|" : "", call->words[i]);
    }
}

static void paths_name_verbs(void **state)
{
    static const char *const bad[] = {"/v1",       "/v1/",         "/v1/lis",        "/v1/keys",
                                      "/v1/keys/", "/v1/keys add", "/v1/keys/add/x", "/v1/list/",
                                      "/v2/list",  "/v1//list",    "/v1/LIST",       "/v1/keys%20add"};
    (void)state;
    assert_string_equal(verb("/v1/list")->name, "list");
    assert_string_equal(verb("/v1/keys/add")->name, "keys add");
    assert_string_equal(verb("/v1/audit")->name, "audit");
    assert_string_equal(verb("/v1/audit/verify")->name, "audit verify");
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_null(http_call_command(bad[i]));
}

static void bodies_become_words(void **state)
{
    static const struct {
        const char *path, *body, *words;
    } rows[] = {
        {"/v1/list", "", "list|--json"},
        {"/v1/list", "{}", "list|--json"},
        {"/v1/info", "{\"args\": [\"alice\"]}", "info|--json|--|alice"},
        {"/v1/keys/list", "{\"args\": [\"alice\"], \"options\": {}}", "keys|list|--json|--|alice"},
        {"/v1/create",
         "{\"args\": [\"bob\"], \"options\": {\"ssh-key\": [\"a.pub\", \"-\"], \"cpu\": 4, \"lazy\": true, "
         "\"autostart\": false}, \"stdin\": \"x\"}",
         "create|--json|--ssh-key=a.pub|--ssh-key=-|--cpu=4|--lazy|--|bob"},
        // What looks like an option among the words stays a word; what looks like one in a value stays a
        // value.
        {"/v1/info", "{\"args\": [\"--force\", \"\"]}", "info|--json|--|--force|"},
        {"/v1/create", "{\"options\": {\"image\": \"--lazy\"}}", "create|--json|--image=--lazy"},
        {"/v1/create", "{\"options\": {\"image\": \"a b=c\"}}", "create|--json|--image=a b=c"},
    };
    struct fault f;
    char words[400];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http_call call;
        assert_ok(http_call_parse(verb(rows[i].path), rows[i].body, strlen(rows[i].body), &call, &f));
        joined(&call, words, sizeof words);
        assert_string_equal(words, rows[i].words);
        http_call_clear(&call);
    }
}

static void bad_bodies_are_refused(void **state)
{
    static const struct {
        const char *body, *says;
    } rows[] = {
        {"{", "not JSON"},
        {"[]", "must be an object"},
        {"null", "not JSON"},
        {"{} {}", "not JSON"},
        {"{\"args\": [], \"args\": []}", "not JSON"},
        {"{\"arg\": []}", "\"arg\" is unknown"},
        {"{\"args\": \"alice\"}", "list of texts"},
        {"{\"args\": [1]}", "list of texts"},
        {"{\"args\": [\"a\\u0000b\"]}", "list of texts"},
        {"{\"options\": []}", "must be an object"},
        {"{\"options\": {\"cpu\": null}}", "\"cpu\" must be"},
        {"{\"options\": {\"cpu\": 1.5}}", "\"cpu\" must be"},
        {"{\"options\": {\"cpu\": {}}}", "\"cpu\" must be"},
        {"{\"options\": {\"cpu\": [[]]}}", "\"cpu\" must be"},
        {"{\"options\": {\"\": true}}", "name of an option"},
        {"{\"options\": {\"cpu=4 x\": true}}", "name of an option"},
        {"{\"options\": {\"force --json\": true}}", "name of an option"},
        {"{\"stdin\": 1}", "\"stdin\" must be"},
        {"{\"files\": []}", "\"files\" must be"},
        {"{\"files\": {\"a\": 1}}", "\"a\" must be"},
        {"{\"args\": [\"\xff\"]}", "not JSON"},
    };
    struct fault f;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http_call call;
        assert_err(ERR_INVALID,
                   http_call_parse(verb("/v1/info"), rows[i].body, strlen(rows[i].body), &call, &f));
        assert_says(rows[i].says);
    }
}

static void too_many_words(void **state)
{
    struct http_call call;
    struct fault f;
    char body[4000];
    int at = snprintf(body, sizeof body, "{\"args\": [\"a\"");
    (void)state;
    for (int i = 0; i < HTTP_CALL_WORDS_MAX; i++)
        at += snprintf(body + at, sizeof body - (size_t)at, ",\"a\"");
    snprintf(body + at, sizeof body - (size_t)at, "]}");
    assert_err(ERR_INVALID, http_call_parse(verb("/v1/info"), body, strlen(body), &call, &f));
    assert_says("more than");
}

static void files_and_input_come_along(void **state)
{
    static const char body[] =
        "{\"stdin\": \"a\\u0000b\", \"files\": {\"x.pub\": \"text\", \"empty\": \"\"}}";
    struct http_call call;
    struct fault f;
    size_t length = 99;
    (void)state;
    assert_ok(http_call_parse(verb("/v1/create"), body, sizeof body - 1, &call, &f));
    assert_memory_equal(http_call_stdin(&call, &length), "a\0b", 3);
    assert_int_equal(length, 3);
    assert_string_equal(http_call_file(&call, "x.pub", &length), "text");
    assert_int_equal(length, 4);
    assert_string_equal(http_call_file(&call, "empty", &length), "");
    assert_int_equal(length, 0);
    assert_null(http_call_file(&call, "/etc/passwd", &length));
    http_call_clear(&call);
    assert_ok(http_call_parse(verb("/v1/create"), "", 0, &call, &f));
    assert_string_equal(http_call_stdin(&call, &length), "");
    assert_null(http_call_file(&call, "x.pub", &length));
    http_call_clear(&call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_name_verbs),           cmocka_unit_test(bodies_become_words),
        cmocka_unit_test(bad_bodies_are_refused),     cmocka_unit_test(too_many_words),
        cmocka_unit_test(files_and_input_come_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
