// complete: what a line could go on with, for each role.
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "control/command.h"
#include "control/writer.h"

struct world {
    struct config config;
    struct control control;
    char folder[64], out[8192];
    int status;
};

static void to_out(void *arg, const char *data, size_t length)
{
    struct world *w = arg;
    size_t at = strlen(w->out);
    snprintf(w->out + at, sizeof w->out - at, "%.*s", (int)length, data);
}

static void to_err(void *arg, const char *data, size_t length)
{
    (void)arg;
    fail_msg("nothing is said but words: %.*s", (int)length, data);
}

static void to_exit(void *arg, int status)
{
    ((struct world *)arg)->status = status;
}

static const struct command_sink sink = {.out = to_out, .err = to_err, .exit = to_exit};

static int set_up(void **state)
{
    static const struct {
        const char *name;
        enum role role;
    } people[] = {{"alice", ROLE_USER}, {"albert", ROLE_USER}, {"op", ROLE_OPERATOR}, {"chief", ROLE_ADMIN}};
    struct world *w = calloc(1, sizeof *w);
    struct fault f;
    char path[100];
    config_defaults(&w->config);
    snprintf(w->folder, sizeof w->folder, "/tmp/test_complete.XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(path, sizeof path, "%s/db", w->folder);
    w->control.config = &w->config;
    w->control.base = event_base_new();
    assert_ok(store_open(path, &w->control.store, &f));
    w->control.writer = writer_new(&w->control);
    for (size_t i = 0; i < COUNT(people); i++)
        assert_ok(account_create(w->control.store, people[i].name, people[i].role, 1, NULL, &f));
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    char command[100];
    writer_free(w->control.writer);
    store_close(w->control.store);
    event_base_free(w->control.base);
    snprintf(command, sizeof command, "rm -r '%s'", w->folder);
    assert_int_equal(system(command), 0);
    free(w);
    return 0;
}

// The words for a line in which | stands for a blank, joined with blanks.
static const char *complete(struct world *w, const char *who, const char *line)
{
    char storage[256], *save = storage, *word;
    const char *argv[32] = {"complete", "--"};
    size_t argc = 2;
    struct account account;
    struct fault f;
    assert_ok(account_get(w->control.store, who, &account, &f));
    struct identity identity = {.role = account.role, .account_id = account.id};
    snprintf(identity.actor, sizeof identity.actor, "%s", who);
    snprintf(storage, sizeof storage, "%s", line);
    while ((word = strsep(&save, "|")) != NULL)
        argv[argc++] = word;
    struct command_request request = {.argv = argv, .argc = argc};
    w->out[0] = '\0';
    w->status = -1;
    struct command_run *run = command_start(&w->control, &identity, &request, &sink, w);
    assert_int_equal(w->status, 0);
    command_free(run);
    for (char *p = w->out; *p != '\0'; p++)
        *p = *p == '\n' ? (p[1] == '\0' ? '\0' : ' ') : *p;
    return w->out;
}

static void words_that_could_follow(void **state)
{
    static const struct {
        const char *who, *line, *words;
    } rows[] = {
        {"chief", "wh", "whoami"},
        {"chief", "ke", "keys"},
        {"chief", "keys|", "list add remove replace sync"},
        {"chief", "keys|re", "remove replace"},
        {"chief", "info|al", "albert alice"},
        {"chief", "keys|list|op", "op"},
        {"chief", "autostart|alice|", "on off"},
        {"chief", "share|alice|", "with"},
        {"chief", "share|alice|with|al", "albert alice"},
        {"chief", "create|--ro", "--role"},
        {"chief", "create|bob|--role|", "user operator admin"},
        {"chief", "create|--role|a", "admin"},
        {"chief", "create|al", ""}, // a new name is nobody's
        {"chief", "audit|--user|al", "albert alice"},
        {"chief", "audit|--format|", "table jsonl csv"},
        {"chief", "audit|v", "verify"},
        {"chief", "list|--", "--json --help"},
        {"chief", "help|keys|r", "remove replace"},
        {"chief", "nosuch|", ""},
        {"chief", "info|alice|", ""},
        {"chief", "create|--ssh-key|--", ""}, // its value, not an option
        // Users are told of their own verbs and their own name.
        {"alice", "lis", ""},
        {"alice", "cr", ""},
        {"alice", "info|al", "alice"},
        {"alice", "info|", "alice"},
        {"alice", "info|albert", ""},
        {"alice", "audit|--user|a", "alice"},
        {"op", "lis", "list"},
        {"op", "cert|", ""},
        {"op", "info|al", "albert alice"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(complete(*state, rows[i].who, rows[i].line), rows[i].words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(words_that_could_follow, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
