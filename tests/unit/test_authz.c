// The authorization function over its whole input: every kind of request, and every way to write a target.
#include "unit/check.h"

#include "policy/authz.h"

static const struct authz_subject alice = {
    .role = ROLE_USER,
    .owner = "alice",
    .box_name = "alice-container",
    .box_address = "10.178.0.16",
    .jump_ports = "22 80 8000-8999",
    .box_subnet = "10.178.0.0/20",
};

static enum authz_verdict ask(const struct authz_subject *subject, enum request_kind kind, const char *host,
                              uint32_t port, bool forward_ok)
{
    char reason[300] = "";
    struct authz_request request = {.kind = kind, .host = host, .port = port};
    enum authz_verdict v = authz_decide(subject, &request, forward_ok, reason, sizeof reason);
    if ((v == AUTHZ_DENY) != (reason[0] != '\0'))
        fail_msg("%s: reason \"%s\"", host, reason);
    return v;
}

static void kinds(void **state)
{
    struct authz_subject console = alice;
    console.console = true;
    (void)state;
    for (int role = ROLE_USER; role <= ROLE_ADMIN; role++) {
        console.role = (enum role)role;
        assert_int_equal(ask(&console, REQUEST_SESSION, "", 0, true), AUTHZ_CONSOLE);
        assert_int_equal(ask(&console, REQUEST_DIRECT_TCPIP, "alice-container", 22, true), AUTHZ_DENY);
        assert_int_equal(ask(&console, REQUEST_TCPIP_FORWARD, "", 0, true), AUTHZ_DENY);
        assert_int_equal(ask(&console, REQUEST_AGENT, "", 0, true), AUTHZ_DENY);
        assert_int_equal(ask(&console, REQUEST_UNKNOWN, "", 0, true), AUTHZ_DENY);
    }
    assert_int_equal(ask(&alice, REQUEST_SESSION, "", 0, false), AUTHZ_BOX_SESSION);
    assert_int_equal(ask(&alice, REQUEST_TCPIP_FORWARD, "", 0, true), AUTHZ_BOX_FORWARD);
    assert_int_equal(ask(&alice, REQUEST_TCPIP_FORWARD, "", 0, false), AUTHZ_DENY);
    assert_int_equal(ask(&alice, REQUEST_AGENT, "", 0, true), AUTHZ_BOX_FORWARD);
    assert_int_equal(ask(&alice, REQUEST_AGENT, "", 0, false), AUTHZ_DENY);
    assert_int_equal(ask(&alice, REQUEST_UNKNOWN, "", 0, true), AUTHZ_DENY);
    for (int kind = 0; kind <= REQUEST_UNKNOWN; kind++)
        assert_int_equal(request_kind_parse(request_kind_name((enum request_kind)kind)), kind);
    assert_int_equal(request_kind_parse("x11"), REQUEST_UNKNOWN);
    assert_int_equal(request_kind_parse("direct-streamlocal@openssh.com"), REQUEST_UNKNOWN);
}

static void targets(void **state)
{
    // JUMP whatever forward_ok says; FORWARD only with it; DENY always.
    static const struct {
        const char *host;
        uint32_t port;
        enum authz_verdict verdict;
    } rows[] = {
        {"alice-container", 22, AUTHZ_BOX_JUMP},
        {"alice-dev", 22, AUTHZ_BOX_JUMP},
        {"ALICE-Container", 22, AUTHZ_BOX_JUMP},
        {"alice-container.", 22, AUTHZ_BOX_JUMP},
        {"10.178.0.16", 22, AUTHZ_BOX_JUMP},
        {"::ffff:10.178.0.16", 22, AUTHZ_BOX_JUMP},
        {"0x0ab20010", 22, AUTHZ_BOX_JUMP},
        {"alice-container", 80, AUTHZ_BOX_JUMP},
        {"alice-container", 8999, AUTHZ_BOX_JUMP},
        {"alice-container", 9000, AUTHZ_DENY},
        {"alice-container", 0, AUTHZ_DENY},
        {"alice-container", 65536, AUTHZ_DENY},
        {"10.178.0.16", 23, AUTHZ_DENY},
        {"localhost", 0, AUTHZ_DENY},
        {"localhost", 22, AUTHZ_DENY}, // who jumps there means the host
        {"localhost.", 22, AUTHZ_DENY},
        {"x.localhost", 22, AUTHZ_DENY},
        {"127.0.0.1", 22, AUTHZ_DENY},
        {"2130706433", 22, AUTHZ_DENY},
        {"::1", 22, AUTHZ_DENY},
        {"::ffff:127.0.0.1", 22, AUTHZ_DENY},
        {"0.0.0.0", 22, AUTHZ_DENY},
        {"::", 22, AUTHZ_DENY},
        {"localhost", 8443, AUTHZ_BOX_FORWARD},
        {"127.0.0.1", 2222, AUTHZ_BOX_FORWARD},
        {"127.9.9.9", 5432, AUTHZ_BOX_FORWARD},
        {"::1", 80, AUTHZ_BOX_FORWARD},
        {"example.com", 443, AUTHZ_BOX_FORWARD},
        {"192.0.2.1", 443, AUTHZ_BOX_FORWARD},
        {"2001:db8::1", 443, AUTHZ_BOX_FORWARD},
        {"alice", 22, AUTHZ_BOX_FORWARD}, // as seen from the box
        // another user's box, whether there is one or not
        {"bob-container", 22, AUTHZ_DENY},
        {"bob-dev", 22, AUTHZ_DENY},
        {"BOB-CONTAINER", 22, AUTHZ_DENY},
        {"bob-container.", 22, AUTHZ_DENY},
        {"bob-container..", 22, AUTHZ_DENY},
        {"bob-container.incus", 22, AUTHZ_DENY},
        {"bob-container.incus.", 22, AUTHZ_DENY},
        {"malice-container", 22, AUTHZ_DENY},
        {"alice-container-container", 22, AUTHZ_DENY},
        {"alice-dev-dev", 22, AUTHZ_DENY},
        {"10.178.0.17", 22, AUTHZ_DENY},
        {"10.178.15.254", 80, AUTHZ_DENY},
        {"::ffff:10.178.0.17", 22, AUTHZ_DENY},
        {"0x0ab20011", 22, AUTHZ_DENY},
        {"10.11665425", 22, AUTHZ_DENY},        // 10.178.0.17 as inet_aton reads it
        {"10.178.16.1", 22, AUTHZ_BOX_FORWARD}, // outside the subnet
        // the host's side of the bridge
        {"10.178.0.1", 22, AUTHZ_DENY},
        // metadata services
        {"169.254.169.254", 80, AUTHZ_DENY},
        {"2852039166", 80, AUTHZ_DENY},
        {"0xa9fea9fe", 80, AUTHZ_DENY},
        {"169.254.43518", 80, AUTHZ_DENY},
        {"::ffff:169.254.169.254", 80, AUTHZ_DENY},
        {"fe80::1", 80, AUTHZ_DENY},
        {"fe80::1%eth0", 80, AUTHZ_DENY},
        {"fd00:ec2::254", 80, AUTHZ_DENY},
        {"metadata.google.internal", 80, AUTHZ_DENY},
        // no host name at all
        {"", 22, AUTHZ_DENY},
        {".", 22, AUTHZ_DENY},
        {"alice-container\n", 22, AUTHZ_DENY},
        {"alice container", 22, AUTHZ_DENY},
        {"alice-container\x01", 22, AUTHZ_DENY},
        {"/run/x.sock", 22, AUTHZ_DENY},
        {"\xc3\xa9", 22, AUTHZ_DENY},
        {"$(id)", 22, AUTHZ_DENY},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum authz_verdict with = ask(&alice, REQUEST_DIRECT_TCPIP, rows[i].host, rows[i].port, true);
        enum authz_verdict without = ask(&alice, REQUEST_DIRECT_TCPIP, rows[i].host, rows[i].port, false);
        enum authz_verdict strict = rows[i].verdict == AUTHZ_BOX_FORWARD ? AUTHZ_DENY : rows[i].verdict;
        if (with != rows[i].verdict || without != strict)
            fail_msg("%s:%u gave %d and %d", rows[i].host, rows[i].port, (int)with, (int)without);
    }
}

// A user may be called "bob-dev": neither may bob's alias lead there, nor may she be taken for bob.
static void names_that_look_like_aliases(void **state)
{
    struct authz_subject bob = alice, bob_dev = alice;
    (void)state;
    bob.owner = "bob";
    bob.box_name = "bob-container";
    bob.box_address = "";
    bob_dev.owner = "bob-dev";
    bob_dev.box_name = "bob-dev-container";
    bob_dev.box_address = "";
    assert_int_equal(ask(&bob, REQUEST_DIRECT_TCPIP, "bob-dev", 22, true), AUTHZ_BOX_JUMP);
    assert_int_equal(ask(&bob, REQUEST_DIRECT_TCPIP, "bob-dev-container", 22, true), AUTHZ_DENY);
    assert_int_equal(ask(&bob_dev, REQUEST_DIRECT_TCPIP, "bob-dev", 22, true), AUTHZ_DENY);
    assert_int_equal(ask(&bob_dev, REQUEST_DIRECT_TCPIP, "bob-container", 22, true), AUTHZ_DENY);
    assert_int_equal(ask(&bob_dev, REQUEST_DIRECT_TCPIP, "bob-dev-dev", 22, true), AUTHZ_BOX_JUMP);
}

static void without_a_box(void **state)
{
    struct authz_subject lazy = alice;
    (void)state;
    lazy.box_name = "";
    lazy.box_address = "";
    lazy.box_subnet = NULL;
    assert_int_equal(ask(&lazy, REQUEST_SESSION, "", 0, true), AUTHZ_BOX_SESSION);
    assert_int_equal(ask(&lazy, REQUEST_DIRECT_TCPIP, "alice-container", 22, false), AUTHZ_BOX_JUMP);
    assert_int_equal(ask(&lazy, REQUEST_DIRECT_TCPIP, "", 22, true), AUTHZ_DENY);
    assert_int_equal(ask(&lazy, REQUEST_DIRECT_TCPIP, "10.178.0.16", 22, false), AUTHZ_DENY);
}

// Same words for a box that exists and one that does not: the function cannot even know, but the text must
// not differ.
static void refusals_tell_nothing(void **state)
{
    char one[300], two[300];
    struct authz_request request = {.kind = REQUEST_DIRECT_TCPIP, .host = "bob-container", .port = 22};
    (void)state;
    authz_decide(&alice, &request, true, one, sizeof one);
    request.host = "nob-container";
    authz_decide(&alice, &request, true, two, sizeof two);
    assert_string_equal(one + 1, two + 1);
}

static void port_lists(void **state)
{
    static const struct {
        const char *ports;
        uint32_t port;
        bool allowed;
    } rows[] = {
        {"22", 22, true},           {"22", 2, false},
        {"22", 222, false},         {"", 22, false},
        {"22 80", 80, true},        {"  22\t80 ", 80, true},
        {"8000-8999", 8000, true},  {"8000-8999", 8999, true},
        {"8000-8999", 7999, false}, {"8000-8999", 9000, false},
        {"1-65535", 65535, true},   {"1-65535", 65536, false},
        {"0-65535", 0, false},      {"80-", 80, false},
        {"-80", 80, false},         {"x 22", 22, false},
        {"22x", 22, false},         {"99999 22", 22, false},
        {"22,80", 80, false},       {"80-90-100", 95, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (authz_port_allowed(rows[i].ports, rows[i].port) != rows[i].allowed)
            fail_msg("%u in \"%s\"", rows[i].port, rows[i].ports);
    }
}

static void roles(void **state)
{
    enum role role = ROLE_USER;
    (void)state;
    for (int i = ROLE_USER; i <= ROLE_ADMIN; i++) {
        assert_true(role_parse(role_name((enum role)i), &role));
        assert_int_equal(role, i);
    }
    assert_false(role_parse("Admin", &role));
    assert_false(role_parse("", &role));
}

// The whole matrix, printed and checked: role x option of the key x request. Roles differ at the console
// only, whose verbs have their own table; here they must not differ at all. S session in the box, J jump, F
// forward through the box, C console, - denied.
static void the_whole_matrix(void **state)
{
    static const struct {
        const char *name;
        bool console;
        enum request_kind kind;
        const char *host;
        uint32_t port;
    } requests[] = {
        {"session", false, REQUEST_SESSION, "", 0},
        {"pty", false, REQUEST_PTY, "", 0},
        {"agent", false, REQUEST_AGENT, "", 0},
        {"-R", false, REQUEST_TCPIP_FORWARD, "", 8080},
        {"-J box", false, REQUEST_DIRECT_TCPIP, "alice-container", 22},
        {"-J address", false, REQUEST_DIRECT_TCPIP, "10.178.0.16", 22},
        {"-W port 80", false, REQUEST_DIRECT_TCPIP, "alice-container", 80},
        {"-L localhost", false, REQUEST_DIRECT_TCPIP, "localhost", 80},
        {"-L outside", false, REQUEST_DIRECT_TCPIP, "example.org", 443},
        {"other box", false, REQUEST_DIRECT_TCPIP, "bob-container", 22},
        {"metadata", false, REQUEST_DIRECT_TCPIP, "169.254.169.254", 80},
        {"unknown", false, REQUEST_UNKNOWN, "", 0},
        {"ctl session", true, REQUEST_SESSION, "", 0},
        {"ctl pty", true, REQUEST_PTY, "", 0},
        {"ctl agent", true, REQUEST_AGENT, "", 0},
        {"ctl -R", true, REQUEST_TCPIP_FORWARD, "", 8080},
        {"ctl -J", true, REQUEST_DIRECT_TCPIP, "alice-container", 22},
        {"ctl unknown", true, REQUEST_UNKNOWN, "", 0},
    };
    static const struct {
        const char *option, *expected; // a letter a request
    } options[] = {
        {"", "SSFFJJ-FF---CC----"},
        {"no-pty", "S-FFJJ-FF---C-----"},
        {"no-agent-forwarding", "SS-FJJ-FF---CC----"},
        {"no-port-forwarding", "SSF---------CC----"},
        {"permitopen=\"localhost:80\"", "SSFF---F----CC----"},
        {"permitopen=\"alice-container:22\"", "SSFFJ-------CC----"},
        {"permitopen=\"alice-container:*\",permitopen=\"169.254.169.254:80\"", "SSFFJ-------CC----"},
        {"command=\"make\"", "SSFFJJ-FF---------"},
        {"restrict", "S-----------C-----"},
        {"restrict,command=\"make\"", "S-----------------"},
        {"from=\"192.0.2.0/24\",expiry-time=\"20300101\"", "SSFFJJ-FF---CC----"}, // judged at the login
        {"no-X11-forwarding,no-user-rc", "SSFFJJ-FF---CC----"},                   // the box's own sshd's
    };
    static const char letters[] = {[AUTHZ_DENY] = '-',
                                   [AUTHZ_BOX_SESSION] = 'S',
                                   [AUTHZ_BOX_JUMP] = 'J',
                                   [AUTHZ_BOX_FORWARD] = 'F',
                                   [AUTHZ_CONSOLE] = 'C'};
    struct fault f = {.text = ""};
    (void)state;
    for (size_t i = 0; i < COUNT(requests); i++)
        printf("%*s%c %s\n", 22, "", (char)('a' + i), requests[i].name);
    for (int role = ROLE_USER; role <= ROLE_ADMIN; role++) {
        for (size_t o = 0; o < COUNT(options); o++) {
            char got[COUNT(requests) + 1] = "", reason[300];
            struct keyoption key;
            assert_ok(keyoption_parse(options[o].option, strlen(options[o].option), &key, &f));
            for (size_t i = 0; i < COUNT(requests); i++) {
                struct authz_subject s = {
                    .role = (enum role)role,
                    .console = requests[i].console,
                    .owner = "alice",
                    .box_name = "alice-container",
                    .box_address = "10.178.0.16",
                    .box_subnet = "10.178.0.0/20",
                    .jump_ports = "22",
                    .key = &key,
                };
                struct authz_request r = {
                    .kind = requests[i].kind, .host = requests[i].host, .port = requests[i].port};
                enum authz_verdict v = authz_decide(&s, &r, true, reason, sizeof reason);
                assert_int_equal(v == AUTHZ_DENY, reason[0] != '\0'); // a refusal has its reason
                got[i] = letters[v];
                enum authz_verdict off =
                    authz_decide(&s, &r, false, reason, sizeof reason); // [box] forwarding = no
                assert_int_equal(off, v == AUTHZ_BOX_FORWARD ? AUTHZ_DENY : v);
            }
            printf("%-9s %-40.40s %s\n", role_name((enum role)role), options[o].option, got);
            if (strcmp(got, options[o].expected) != 0)
                fail_msg("%s %s: expected %s", role_name((enum role)role), options[o].option,
                         options[o].expected);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds),         cmocka_unit_test(targets),
        cmocka_unit_test(without_a_box), cmocka_unit_test(names_that_look_like_aliases),
        cmocka_unit_test(port_lists),    cmocka_unit_test(refusals_tell_nothing),
        cmocka_unit_test(roles),         cmocka_unit_test(the_whole_matrix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
