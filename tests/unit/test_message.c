// The message table: what one end encodes the other decodes, and nothing else is accepted.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/message.h"

static enum err decode(const char *text, struct message *m)
{
    struct fault f;
    return message_decode(text, strlen(text), m, &f);
}

static void every_type_survives_a_round_trip(void **state)
{
    (void)state;
    for (int type = 0; type < MESSAGE_UNKNOWN; type++) {
        struct message in = {
            .type = (enum message_type)type, .id = 7, .version = MESSAGE_VERSION, .port = 22};
        struct message out;
        struct fault f;
        size_t length = 0;
        snprintf(in.host, sizeof in.host, "alice-container");
        snprintf(in.text, sizeof in.text, "a \"quoted\"\nline");
        char *text = message_encode(&in, &length);
        assert_non_null(text);
        assert_int_equal(message_decode(text, length, &out, &f), ERR_NONE);
        assert_int_equal(out.type, type);
        free(text);
    }
}

static void open_keeps_its_fields(void **state)
{
    struct message m;
    (void)state;
    assert_int_equal(decode("{\"t\":\"open\",\"id\":3,\"kind\":\"direct-tcpip\",\"host\":\"alice-container\","
                            "\"port\":22,\"leg\":true}",
                            &m),
                     ERR_NONE);
    assert_int_equal(m.id, 3);
    assert_string_equal(m.kind, "direct-tcpip");
    assert_string_equal(m.host, "alice-container");
    assert_int_equal(m.port, 22);
    assert_true(m.leg);
}

static void malformed_messages_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{}",
        "nul",
        "{\"t\":1}",
        "{\"t\":\"shutdown\"}",
        "{\"t\":\"cancel\"}",              // field missing
        "{\"t\":\"cancel\",\"id\":-1}",    // negative
        "{\"t\":\"cancel\",\"id\":\"1\"}", // wrong type
        "{\"t\":\"cancel\",\"id\":1.5}",
        "{\"t\":\"cancel\",\"id\":1,\"id\":2}",       // twice
        "{\"t\":\"cancel\",\"id\":1,\"extra\":true}", // not in the table
        "{\"t\":\"attach\",\"id\":1,\"version\":1,\"token\":\"a\\u0000b\"}",
        "{\"t\":\"attach\",\"id\":1,\"version\":1,\"token\":"
        "\"0123456789012345678901234567890123456789012345678901234567890123456789\"}", // too long for its
                                                                                       // field
    };
    struct message m;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(decode(bad[i], &m), ERR_PROTOCOL);
}

static void text_that_is_not_utf8_still_arrives(void **state)
{
    struct message in = {.type = MESSAGE_BYE}, out;
    struct fault f;
    size_t length = 0;
    (void)state;
    memcpy(in.text, "caf\xe9", 5);
    char *text = message_encode(&in, &length);
    assert_non_null(text);
    assert_int_equal(message_decode(text, length, &out, &f), ERR_NONE);
    assert_string_equal(out.text, "caf?");
    free(text);
}

// The whole table, so that a right that is given by mistake shows up here.
static void only_these_are_allowed(void **state)
{
    static const struct {
        enum message_type type;
        unsigned stages;
    } expected[] = {
        {MESSAGE_ADMIT, STAGE_NEW},
        {MESSAGE_ATTACH, STAGE_NEW},
        {MESSAGE_KEY, STAGE_ADMITTED},
        {MESSAGE_LOGIN, STAGE_ADMITTED},
        {MESSAGE_AUTH_FAILED, STAGE_ADMITTED},
        {MESSAGE_OPEN, STAGE_AUTHENTICATED},
        {MESSAGE_CANCEL, STAGE_AUTHENTICATED},
        {MESSAGE_CHANNEL_CLOSED, STAGE_AUTHENTICATED},
        {MESSAGE_STATS, STAGE_AUTHENTICATED},
        {MESSAGE_LISTEN, STAGE_NEW},
        {MESSAGE_DROPPED, STAGE_LISTENER},
        {MESSAGE_BYE, STAGE_NEW | STAGE_ADMITTED | STAGE_AUTHENTICATED},
    };
    static const enum link_stage stages[] = {STAGE_NEW, STAGE_ADMITTED, STAGE_AUTHENTICATED, STAGE_CLOSED,
                                             STAGE_LISTENER};
    (void)state;
    for (int type = 0; type <= MESSAGE_UNKNOWN; type++) {
        unsigned allowed = 0;
        for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
            allowed |= (int)expected[i].type == type ? expected[i].stages : 0;
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(message_allowed((enum message_type)type, stages[i]), (allowed & stages[i]) != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_survives_a_round_trip),
        cmocka_unit_test(open_keeps_its_fields),
        cmocka_unit_test(malformed_messages_are_refused),
        cmocka_unit_test(text_that_is_not_utf8_still_arrives),
        cmocka_unit_test(only_these_are_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
