// Options of keys: sshd's names and meaning, and nothing that would be ignored.
#include "unit/check.h"

#include "policy/keyoption.h"

static struct keyoption parsed;

static enum err parse(const char *text, struct fault *f)
{
    return keyoption_parse(text, strlen(text), &parsed, f);
}

static void accepted(void **state)
{
    struct fault f = {.text = ""};
    (void)state;
    assert_ok(parse("", &f));
    assert_ok(parse("no-pty,no-port-forwarding,no-agent-forwarding,no-X11-forwarding,no-user-rc", &f));
    assert_true(parsed.no_pty && parsed.no_port_forwarding && parsed.no_agent_forwarding);
    assert_ok(parse("NO-PTY", &f)); // as sshd compares them
    assert_true(parsed.no_pty);
    assert_ok(parse("restrict,pty", &f)); // the later wins
    assert_true(!parsed.no_pty && parsed.no_port_forwarding && parsed.no_agent_forwarding);
    assert_ok(parse("command=\"echo \\\"a, b\\\"\",no-pty", &f));
    assert_string_equal(parsed.command, "echo \"a, b\"");
    assert_true(parsed.no_pty);
    assert_ok(parse("permitopen=\"Localhost:80\",permitopen=\"[2001:db8::1]:*\"", &f));
    assert_int_equal(parsed.open_count, 2);
    assert_true(keyoption_may_open(&parsed, "localhost", 80));
    assert_false(keyoption_may_open(&parsed, "localhost", 81));
    assert_true(keyoption_may_open(&parsed, "2001:db8::1", 4711));
    assert_false(keyoption_may_open(&parsed, "other", 80));
}

static void refused(void **state)
{
    static const char *const rows[][2] = {
        {"environment=\"A=1\"", "not known here"},
        {"cert-authority", "not known here"},
        {"tunnel=\"1\"", "not known here"},
        {"no-ptyy", "not known here"},
        {"command=ls", "double quotes"},
        {"command=\"ls", "closing quote"},
        {"command=\"ls\"x", "comma is missing"},
        {"command", "needs a value"},
        {"no-pty=\"yes\"", "takes no value"},
        {"no-pty,", "end in a comma"},
        {",no-pty", "not known here"},
        {"command=\"a\",command=\"b\"", "given twice"},
        {"command=\"\"", "empty"},
        {"permitopen=\"host\"", "no target"},
        {"permitopen=\"host:0\"", "no target"},
        {"permitopen=\"host:65536\"", "no target"},
        {"permitopen=\"host:22x\"", "no target"},
        {"permitopen=\":22\"", "no target"},
        {"from=\"\"", "empty"},
        {"from=\"10.0.0.1/8\"", "is no address"},
        {"from=\"*.example.com\"", "host names are not looked up"},
        {"expiry-time=\"2027\"", "is no time"},
        {"expiry-time=\"20270231\"", "is no time"},
        {"expiry-time=\"202701312560\"", "is no time"},
        {"expiry-time=\"20270131X\"", "is no time"},
    };
    struct fault f = {.text = ""};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        memset(&parsed, 0x5a, sizeof parsed);
        if (parse(rows[i][0], &f) != ERR_INVALID)
            fail_msg("accepted: %s", rows[i][0]);
        assert_says(rows[i][1]);
        assert_int_equal(parsed.command[0], 0x5a); // nothing half applied
    }
    assert_err(ERR_INVALID, keyoption_parse("no-pty\0", 7, &parsed, &f));
}

static bool usable(const char *text, const char *address, time_t now)
{
    struct fault f = {.text = ""};
    char reason[400] = "";
    assert_ok(parse(text, &f));
    return keyoption_usable(&parsed, address, now, reason, sizeof reason) == (reason[0] == '\0') &&
           reason[0] == '\0';
}

static void where_and_until_when(void **state)
{
    (void)state;
    assert_true(usable("from=\"10.0.0.0/8,192.0.2.7\"", "10.1.2.3", 0));
    assert_true(usable("from=\"10.0.0.0/8,192.0.2.7\"", "192.0.2.7", 0));
    assert_false(usable("from=\"10.0.0.0/8,192.0.2.7\"", "192.0.2.8", 0));
    assert_false(usable("from=\"10.0.0.0/8,!10.0.0.9\"", "10.0.0.9", 0));
    assert_true(usable("from=\"!10.0.0.9,10.*\"", "10.0.0.8", 0));
    assert_false(usable("from=\"!10.0.0.9\"", "192.0.2.1", 0)); // as sshd: nothing matched
    assert_true(usable("from=\"2001:db8::/32\"", "2001:db8::1", 0));
    assert_false(usable("from=\"2001:db8::/32\"", "::1", 0));
    assert_true(usable("expiry-time=\"20270131\"", "::1", 1801353599)); // 2027-01-30T23:59:59Z
    assert_false(usable("expiry-time=\"20270131\"", "::1", 1801353600));
    assert_true(usable("expiry-time=\"20270131120000Z\"", "::1", 1801396799));
    assert_false(usable("expiry-time=\"202701311200\"", "::1", 1801396800));
}

static void the_boxs_own(void **state)
{
    char out[KEYOPTION_TEXT];
    (void)state;
    keyoption_for_box("from=\"10.0.0.0/8\",no-pty,command=\"a,\\\"b\\\"\"", out);
    assert_string_equal(out, "no-pty,command=\"a,\\\"b\\\"\"");
    keyoption_for_box("from=\"10.0.0.0/8\"", out);
    assert_string_equal(out, "");
    keyoption_for_box("", out);
    assert_string_equal(out, "");
}

static void end_of_the_options(void **state)
{
    static const char line[] = "command=\"a b\\\" c\",no-pty ssh-ed25519 AAAA";
    (void)state;
    assert_int_equal(keyoption_length(line, strlen(line)), strlen("command=\"a b\\\" c\",no-pty"));
    assert_int_equal(keyoption_length("", 0), 0);
    assert_int_equal(keyoption_length("\"never ends", 11), 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),           cmocka_unit_test(refused),
        cmocka_unit_test(the_boxs_own),       cmocka_unit_test(where_and_until_when),
        cmocka_unit_test(end_of_the_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
