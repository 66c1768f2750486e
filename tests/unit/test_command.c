// The command table: words, suggestions, and every verb against every role.
#include "unit/command_world.h"

// ---- words

static void nearest_words_are_suggested(void **state)
{
    static const char *const names[] = {"create",   "list",        "info",      "delete",
                                        "keys add", "keys remove", "disk-quota"};
    static const char *const cases[][2] = {
        {"lst", "list"},
        {"craete", "create"},
        {"delet", "delete"},
        {"kyes add", "keys add"},
        {"infos", "info"},
        {"keys rm", NULL},
        {"x", NULL},
        {"", NULL},
        {"wholly-else", NULL},
        {"disk", "disk-quota"},
        {"disk-qouta", "disk-quota"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *found = command_suggest(cases[i][0], names, sizeof names / sizeof *names);
        if (cases[i][1] == NULL)
            assert_null(found);
        else
            assert_string_equal(found == NULL ? "" : found, cases[i][1]);
    }
}

static void usage_errors_say_what_to_do(void **state)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"lst", "Did you mean \"list\"?"},
        {"key list alice", "Did you mean \"keys list\"?"},
        {"keys ad alice", "Did you mean \"keys add\"?"},
        {"keys", "keys needs a verb"},
        {"list --jsno", "Did you mean --json?"},
        {"list extra", "one word too many"},
        {"list -x", "no option -x"},
        {"info", "something is missing: info USER"},
        {"create alice --cpus=2 --ssh-key k", "Did you mean --cpu?"},
        {"create alice", "--ssh-key FILE"},
        {"create alice --ssh-key", "needs a value"},
        {"create alice --cpu 2 --cpu 3", "given twice"},
        {"create alice --lazy=yes", "takes no value"},
        {"create alice --ssh-key k --memory 2", "8GiB"},
        {"create alice --ssh-key k --disk-quota much", "--disk-quota"},
        {"create alice --ssh-key k --cpu 0", "--cpu"},
        {"create Alice --ssh-key k", "Alice"},
        {"create root --ssh-key k", "root"},
        {"create alice --ssh-key github:al/ice", "user name of that site"},
        {"create alice --ssh-key http://host.example/k", "https:// only"},
        {"create alice --ssh-key k --role king", "operator"},
        {"create alice --ssh-key k --autostart --no-autostart", "exclude"},
        {"create alice --ssh-key k --static host.example", "IP address"},
        {"create alice --ssh-key k --static 192.0.2.7:99999", "65535"},
        {"create alice --ssh-key k --host-key h", "--static"},
        {"audit --limit many", "--limit"},
        {"resize", "something is missing: resize USER"},
        {"snapshot", "snapshot needs a verb"},
        {"snapshot make alice", "no such verb"},
        {"snapshot restore", "something is missing"},
        {"audit --event loggin", "Did you mean login?"},
        {"audit --format xml", "jsonl"},
        {"audit --since never", "--since"},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = do_as(w, &root, cases[i].line, "");
        if (status != 2 || strstr(w->client.err, cases[i].says) == NULL || w->client.out[0] != '\0')
            fail_msg("%s: status %d, out %s, err %s", cases[i].line, status, w->client.out, w->client.err);
    }
    assert_int_equal(played.ops[BOX_OP_ENSURE], 0);
}

static void every_verb_explains_itself(void **state)
{
    struct world *w = *state;
    char line[128];
    for (const struct command *c = command_table(); c->name != NULL; c++) {
        snprintf(line, sizeof line, "%s --help", c->name);
        assert_int_equal(do_as(w, &root, line, ""), 0);
        assert_non_null(strstr(w->client.out, "Usage: containarium "));
        assert_non_null(strstr(w->client.out, c->help));
        assert_string_equal(w->client.err, "");
    }
    assert_int_equal(do_as(w, &root, "keys --help", ""), 0);
    assert_non_null(strstr(w->client.out, "keys replace"));
    assert_int_equal(do_as(w, &root, "help keys add", ""), 0);
    assert_int_equal(do_as(w, &root, "help nothing", ""), 3);
    assert_int_equal(do_as(w, &root, "", ""), 0);
    assert_non_null(strstr(w->client.out, "create"));
    assert_int_equal(do_as(w, &root, "--version", ""), 0);
    assert_int_equal(do_as(w, &root, "help --json", ""), 0);
    json_t *object = json_loads(w->client.out, 0, NULL);
    assert_true(json_is_array(json_object_get(object, "commands")));
    json_decref(object);
}

// ---- roles

// Words that make each verb complete, about the account `who`.
static void complete_line(const struct command *c, const char *who, char *out, size_t size)
{
    const char *extra = strcmp(c->name, "keys remove") == 0     ? " nothing"
                        : strcmp(c->name, "sessions kill") == 0 ? " all"
                        : strcmp(c->name, "limits set") == 0    ? " --sessions 3"
                        : strcmp(c->name, "idle set") == 0      ? " --stop never"
                        : strncmp(c->name, "keys ", 5) == 0 && strcmp(c->name, "keys list") != 0 ? " -"
                        : strncmp(c->name, "snapshot ", 9) == 0 && strcmp(c->name, "snapshot list") != 0
                            ? " before"
                        : strcmp(c->name, "resize") == 0                                     ? " --cpu 1"
                        : strcmp(c->name, "autostart") == 0                                  ? " on"
                        : strcmp(c->name, "role") == 0                                       ? " nothing"
                        : strstr(c->name, "share") != NULL && strcmp(c->name, "shares") != 0 ? " with carol"
                                                                                             : "";
    switch (c->account) {
    case ACCOUNT_NONE:
        snprintf(out, size, "%s%s", c->name,
                 strncmp(c->name, "bans ", 5) == 0 && c->changes                        ? " 192.0.2.1"
                 : strcmp(c->name, "restore") == 0 || strcmp(c->name, "image use") == 0 ? " nothing"
                                                                                        : "");
        return;
    case ACCOUNT_OPTION:
        snprintf(out, size, "%s --user %s", c->name, who);
        return;
    case ACCOUNT_NEW:
    case ACCOUNT_NAMED:
    case ACCOUNT_REQUIRED:
    case ACCOUNT_OPTIONAL:
        snprintf(out, size, "%s %s%s", c->name, who, extra);
        return;
    }
}

// Who may, written down a second time: on one's own account and on another's. A new verb has to be thought
// about here.
static void roles_are_as_decided(void **state)
{
    static const struct {
        const char *name;
        enum role own, others;
    } decided[] = {
        {"create", ROLE_ADMIN, ROLE_ADMIN},
        {"list", ROLE_OPERATOR, ROLE_OPERATOR},
        {"info", ROLE_USER, ROLE_OPERATOR},
        {"delete", ROLE_ADMIN, ROLE_ADMIN},
        {"restore", ROLE_ADMIN, ROLE_ADMIN},
        {"start", ROLE_USER, ROLE_OPERATOR},
        {"stop", ROLE_USER, ROLE_OPERATOR},
        {"restart", ROLE_USER, ROLE_OPERATOR},
        {"freeze", ROLE_USER, ROLE_OPERATOR},
        {"autostart", ROLE_OPERATOR, ROLE_OPERATOR},
        {"resize", ROLE_OPERATOR, ROLE_OPERATOR},
        {"idle", ROLE_USER, ROLE_OPERATOR},
        {"idle set", ROLE_OPERATOR, ROLE_OPERATOR},
        {"snapshot create", ROLE_USER, ROLE_OPERATOR},
        {"snapshot list", ROLE_USER, ROLE_OPERATOR},
        {"snapshot restore", ROLE_USER, ROLE_OPERATOR},
        {"snapshot delete", ROLE_USER, ROLE_OPERATOR},
        {"keys list", ROLE_USER, ROLE_OPERATOR},
        {"keys add", ROLE_USER,
         ROLE_ADMIN}, // a key added to an administrator's account makes an administrator
        {"keys remove", ROLE_USER, ROLE_ADMIN},
        {"keys replace", ROLE_USER, ROLE_ADMIN},
        {"keys sync", ROLE_USER, ROLE_ADMIN},
        {"invite", ROLE_USER, ROLE_ADMIN}, // ditto
        {"invites list", ROLE_USER, ROLE_OPERATOR},
        {"invites revoke", ROLE_USER, ROLE_ADMIN},
        {"share", ROLE_USER, ROLE_ADMIN}, // access to a box is its owner's to give
        {"unshare", ROLE_USER, ROLE_OPERATOR},
        {"shares", ROLE_USER, ROLE_OPERATOR},
        {"role", ROLE_ADMIN, ROLE_ADMIN},
        {"export", ROLE_USER, ROLE_OPERATOR},
        {"sessions list", ROLE_USER, ROLE_OPERATOR},
        {"sessions kill", ROLE_USER, ROLE_OPERATOR},
        {"limits", ROLE_USER, ROLE_OPERATOR},
        {"limits set", ROLE_OPERATOR, ROLE_OPERATOR},
        {"bans list", ROLE_OPERATOR, ROLE_OPERATOR},
        {"bans status", ROLE_OPERATOR, ROLE_OPERATOR},
        {"bans add", ROLE_OPERATOR, ROLE_OPERATOR},
        {"bans remove", ROLE_OPERATOR, ROLE_OPERATOR},
        {"security status", ROLE_OPERATOR, ROLE_OPERATOR},
        {"audit", ROLE_USER, ROLE_OPERATOR},
        {"audit verify", ROLE_OPERATOR, ROLE_OPERATOR},
        {"audit summary", ROLE_OPERATOR, ROLE_OPERATOR},
        {"audit export", ROLE_OPERATOR, ROLE_OPERATOR},
        {"audit head", ROLE_OPERATOR, ROLE_OPERATOR},
        {"image list", ROLE_OPERATOR, ROLE_OPERATOR},
        {"image use", ROLE_ADMIN, ROLE_ADMIN},
        {"doctor", ROLE_OPERATOR, ROLE_OPERATOR},
        {"cert generate", ROLE_ADMIN, ROLE_ADMIN},
        {"cert server", ROLE_ADMIN, ROLE_ADMIN},
        {"cert client", ROLE_ADMIN, ROLE_ADMIN}, // an administrator's certificate makes an administrator
        {"cert revoke", ROLE_ADMIN, ROLE_ADMIN},
        {"cert list", ROLE_ADMIN, ROLE_ADMIN},
        {"store backup", ROLE_ADMIN, ROLE_ADMIN},
        {"store verify", ROLE_ADMIN, ROLE_ADMIN},
        {"config show", ROLE_OPERATOR, ROLE_OPERATOR},
        {"whoami", ROLE_USER, ROLE_USER},
        {"version", ROLE_USER, ROLE_USER},
        {"complete", ROLE_USER, ROLE_USER},
        {"help", ROLE_USER, ROLE_USER},
    };
    size_t count = 0;
    (void)state;
    for (const struct command *c = command_table(); c->name != NULL; c++, count++) {
        assert_true(count < sizeof decided / sizeof *decided);
        assert_string_equal(c->name, decided[count].name);
        assert_int_equal(c->role, decided[count].own);
        assert_int_equal(c->others, decided[count].others);
    }
    assert_int_equal(count, sizeof decided / sizeof *decided);
}

static void every_verb_asks_for_its_role(void **state)
{
    struct world *w = *state;
    make(w, "alice --lazy", alice_key);
    make(w, "bob --lazy", bob_key);
    struct account alice;
    struct fault f;
    assert_int_equal(account_get(w->control.store, "alice", &alice, &f), ERR_NONE);
    for (int role = ROLE_USER; role <= ROLE_ADMIN; role++) {
        assert_int_equal(account_set_role(w->control.store, alice.id, (enum role)role, &f), ERR_NONE);
        struct identity who = account_of(w, "alice");
        for (const struct command *c = command_table(); c->name != NULL; c++) {
            static const char *const names[] = {"alice", "bob", "nobody-here"};
            char line[128];
            if (strcmp(c->name, "delete") == 0 && role >= (int)c->role)
                continue; // would take the others away
            for (size_t i = 0; i < 3; i++) {
                bool other = i > 0 && c->account != ACCOUNT_NONE && c->account != ACCOUNT_NEW;
                complete_line(c, names[i], line, sizeof line);
                int status = do_as(w, &who, line, "");
                bool may = command_allowed(c, (enum role)role, other);
                if ((status == 4) == may)
                    fail_msg("%s as %s: status %d: %s", line, role_name((enum role)role), status,
                             w->client.err);
            }
        }
    }
}

static void users_cannot_tell_who_exists(void **state)
{
    struct world *w = *state;
    make(w, "alice --lazy", alice_key);
    make(w, "bob --lazy", bob_key);
    struct identity who = account_of(w, "alice");
    static const char *const verbs[] = {"info",          "keys list", "start",       "export",
                                        "sessions list", "delete",    "audit --user"};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s bob", verbs[i]);
        assert_int_equal(do_as(w, &who, line, ""), 4);
        char *there = strdup(w->client.err);
        snprintf(line, sizeof line, "%s eve", verbs[i]);
        assert_int_equal(do_as(w, &who, line, ""), 4);
        assert_string_equal(there, w->client.err);
        free(there);
    }
    assert_int_equal(do_as(w, &who, "audit", ""), 0);
    assert_non_null(strstr(w->client.out, "keys list bob")); // her own refusal
    assert_null(strstr(w->client.out, "create bob"));        // his
    who = account_of(w, "bob");
    assert_int_equal(do_as(w, &who, "audit", ""), 0);
    assert_null(strstr(w->client.out, "alice"));
}

// What `line name` says, and its status in front; the name itself is replaced. Caller frees.
static char *said_with(struct world *w, const struct identity *who, const char *words, const char *name)
{
    char line[80], *text = NULL;
    snprintf(line, sizeof line, "%s%s", words, words[strlen(words) - 1] == ' ' ? name : "");
    int status = do_as(w, who, line, "");
    assert_true(asprintf(&text, "%d %s%s", status, w->client.out, w->client.err) > 0);
    for (char *p = text; (p = strstr(p, name)) != NULL;)
        memcpy(p, "___", 3);
    return text;
}

static void sharing_does_not_tell_who_exists(void **state)
{
    static const char *const lines[] = {"share with ", "share --until 2099-01-01 alice-container with ",
                                        "shares --json", "unshare alice with ", "unshare with "};
    struct world *w = *state;
    make(w, "alice --lazy", alice_key);
    make(w, "bob --lazy", bob_key);
    struct identity who = account_of(w, "alice");
    char *bob[5], *eve[5];
    for (size_t i = 0; i < 5; i++)
        bob[i] = said_with(w, &who, lines[i], "bob");
    assert_int_equal(played.guests_kicked, 1);
    for (size_t i = 0; i < 5; i++) {
        eve[i] = said_with(w, &who, lines[i], "eve");
        if (i != 2) // times may differ by a second
            assert_string_equal(bob[i], eve[i]);
        assert_int_equal(bob[i][0], i == 4 ? '3' : '0');
        free(bob[i]);
        free(eve[i]);
    }
    assert_int_equal(played.guests_kicked, 1);
    assert_int_equal(do_as(w, &root, "share alice with eve", ""), 3);
    assert_int_equal(do_as(w, &who, "share bob with alice", ""), 4);
    assert_int_equal(do_as(w, &who, "share with alice", ""), 2);
    assert_int_equal(do_as(w, &who, "share alice and bob", ""), 2);
    assert_int_equal(do_as(w, &who, "share with bob --until yesterday", ""), 2);
    assert_int_equal(do_as(w, &who, "share with bob --until 2020-01-01", ""), 2);
    assert_int_equal(do_as(w, &who, "share with bob --until 0s", ""), 2);
    assert_int_equal(do_as(w, &who, "share with Bob!", ""), 2);
}

static void a_role_is_looked_up_when_it_is_used(void **state)
{
    struct world *w = *state;
    struct fault f;
    make(w, "alice --lazy --role admin", alice_key);
    struct identity who = account_of(w, "alice");
    assert_int_equal(do_as(w, &who, "list", ""), 0);
    assert_int_equal(account_set_role(w->control.store, who.account_id, ROLE_USER, &f), ERR_NONE);
    assert_int_equal(do_as(w, &who, "list", ""), 4);
    assert_int_equal(account_delete(w->control.store, who.account_id, &f), ERR_NONE);
    assert_int_equal(do_as(w, &who, "whoami", ""), 4);
}

static void ones_own_account_goes_without_saying(void **state)
{
    struct world *w = *state;
    make(w, "alice --lazy", alice_key);
    struct identity who = account_of(w, "alice");
    assert_int_equal(do_as(w, &who, "keys list", ""), 0);
    assert_non_null(strstr(w->client.out, "alice@laptop"));
    assert_int_equal(do_as(w, &who, "keys add", second_key), 0);
    assert_int_equal(do_as(w, &who, "keys remove alice@phone", ""), 0);
    assert_int_equal(do_as(w, &who, "keys add alice -", second_key), 0);
    assert_int_equal(do_as(w, &who, "keys add laptop.pub", second_key), 2); // not a file of ours
    assert_non_null(strstr(w->client.err, "write - for"));
    assert_int_equal(do_as(w, &who, "info", ""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_words_are_suggested),    WITH_WORLD(usage_errors_say_what_to_do),
        WITH_WORLD(every_verb_explains_itself),           cmocka_unit_test(roles_are_as_decided),
        WITH_WORLD(every_verb_asks_for_its_role),         WITH_WORLD(users_cannot_tell_who_exists),
        WITH_WORLD(sharing_does_not_tell_who_exists),     WITH_WORLD(a_role_is_looked_up_when_it_is_used),
        WITH_WORLD(ones_own_account_goes_without_saying),
    };
    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
