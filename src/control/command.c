// Owns the way from words to a handler: which verb is meant, what its options are, whose account it is about,
// whether the caller may, and the record of it. Refuses, with the nearest right word, what the table does not
// have.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/writer.h"

#define COLUMNS_MIN 40 // of a terminal that output is laid out for
#define COLUMNS_MAX 1000
#define TYPED_MAX 40 // bytes of a wrong word that are shown again

static const struct command_option common_options[] = {
    {"json", NULL, false, "print the result as JSON"},
    {"help", NULL, false, "say how the verb is used"},
    {NULL, NULL, false, NULL},
};

const struct command_option *command_common_options(void)
{
    return common_options;
}

bool command_allowed(const struct command *command, enum role role, bool other)
{
    return role >= command->role && (!other || role >= command->others);
}

// "keys" of "keys add"; the whole of "list".
static size_t noun_length(const char *name)
{
    return strcspn(name, " ");
}

static bool is_noun(const char *word)
{
    for (const struct command *c = command_table(); c->name != NULL; c++) {
        size_t n = noun_length(c->name);
        if (c->name[n] == ' ' && strlen(word) == n && strncmp(word, c->name, n) == 0)
            return true;
    }
    return false;
}

// How many words of argv name the command: 2, 1, or 0 if they do not.
static unsigned name_matches(const struct command *c, char *const *argv, size_t argc)
{
    size_t n = noun_length(c->name);
    if (argc == 0 || strlen(argv[0]) != n || strncmp(argv[0], c->name, n) != 0)
        return 0;
    if (c->name[n] == '\0')
        return 1;
    return argc > 1 && strcmp(argv[1], c->name + n + 1) == 0 ? 2 : 0;
}

static unsigned find_command(struct command_run *run, char *const *argv, size_t argc)
{
    unsigned best = 0;
    for (const struct command *c = command_table(); c->name != NULL; c++) {
        unsigned n = name_matches(c, argv, argc);
        if (n > best) {
            best = n;
            run->command = c;
        }
    }
    return best;
}

static void unknown_verb(struct command_run *run, char *const *argv, size_t argc)
{
    const char *names[128];
    const char *nouns[16];
    size_t count = 0, noun_count = 0;
    char typed[2 * TYPED_MAX + 2];
    if (argc > 1 && strncmp(argv[1], "--", 2) == 0)
        argc = 1; // an option is no part of a name
    snprintf(typed, sizeof typed, "%.*s%s%.*s", TYPED_MAX, argv[0], argc > 1 ? " " : "", TYPED_MAX,
             argc > 1 ? argv[1] : "");
    for (const struct command *c = command_table(); c->name != NULL && count < 128; c++) {
        if (run->who.role >= c->role)
            names[count++] = c->name;
    }
    if (is_noun(argv[0])) {
        for (const struct command *c = command_table(); c->name != NULL && noun_count < 16; c++) {
            size_t n = noun_length(c->name);
            if (c->name[n] == ' ' && strncmp(c->name, argv[0], n) == 0 && strlen(argv[0]) == n)
                nouns[noun_count++] = c->name + n + 1;
        }
        const char *verb = argc > 1 ? command_suggest(argv[1], nouns, noun_count) : NULL;
        if (argc == 1)
            verb_failf(run, ERR_INVALID, "%s needs a verb; see: %s %s --help", argv[0], verb_program(run),
                       argv[0]);
        else if (verb != NULL)
            verb_failf(run, ERR_INVALID, "no such verb: %s. Did you mean \"%s %s\"?", typed, argv[0], verb);
        else
            verb_failf(run, ERR_INVALID, "no such verb: %s; see: %s %s --help", typed, verb_program(run),
                       argv[0]);
        return;
    }
    const char *name = command_from_elsewhere(argv[0], names, count);
    if (name == NULL)
        name = command_suggest(typed, names, count);
    if (name == NULL)
        name = command_suggest(argv[0], names, count);
    if (name != NULL)
        verb_failf(run, ERR_INVALID, "no such verb: %.*s. Did you mean \"%s\"?", TYPED_MAX, argv[0], name);
    else
        verb_failf(run, ERR_INVALID, "no such verb: %.*s; see: %s help", TYPED_MAX, argv[0],
                   verb_program(run));
}

static const struct command_option *find_option(const struct command *c, const char *name, size_t length)
{
    const struct command_option *lists[] = {c->options, common_options};
    for (size_t i = 0; i < 2; i++) {
        for (const struct command_option *o = lists[i]; o != NULL && o->name != NULL; o++) {
            if (strlen(o->name) == length && strncmp(o->name, name, length) == 0)
                return o;
        }
    }
    return NULL;
}

static void unknown_option(struct command_run *run, const char *word, size_t length)
{
    const struct command_option *lists[] = {run->command->options, common_options};
    const char *names[64];
    size_t count = 0;
    char typed[TYPED_MAX + 1];
    snprintf(typed, sizeof typed, "%.*s", (int)(length > TYPED_MAX ? TYPED_MAX : length), word);
    for (size_t i = 0; i < 2; i++) {
        for (const struct command_option *o = lists[i]; o != NULL && o->name != NULL && count < 64; o++)
            names[count++] = o->name;
    }
    const char *nearest = command_suggest(typed, names, count);
    if (nearest != NULL)
        verb_failf(run, ERR_INVALID, "%s has no option --%s. Did you mean --%s?", run->command->name, typed,
                   nearest);
    else
        verb_usage(run, "%s has no option --%s", run->command->name, typed);
}

// One "--name", "--name=value" or "--name value"; moves *at over what it took. False: the run has failed.
static bool take_option(struct command_run *run, char *const *argv, size_t argc, size_t *at)
{
    const char *word = argv[*at] + 2;
    size_t length = strcspn(word, "=");
    const struct command_option *o = find_option(run->command, word, length);
    if (o == NULL) {
        unknown_option(run, word, length);
        return false;
    }
    const char *value = word[length] == '=' ? word + length + 1 : NULL;
    if (o->value == NULL && value != NULL) {
        verb_usage(run, "--%s takes no value", o->name);
        return false;
    }
    if (o->value != NULL && o->value[0] != '[' && value == NULL) {
        if (*at + 1 >= argc) {
            verb_usage(run, "--%s needs a value: --%s %s", o->name, o->name, o->value);
            return false;
        }
        value = argv[++*at];
    }
    if (o->value != NULL && value != NULL && value[0] == '\0' && o->value[0] == '[') {
        verb_usage(run, "--%s= needs a value, or leave the = out", o->name);
        return false;
    }
    if (!o->repeat && o->value != NULL && verb_option(run, o->name) != NULL) {
        verb_usage(run, "--%s is given twice", o->name);
        return false;
    }
    run->values[run->value_count++] = (struct run_value){.option = o, .text = value};
    return true;
}

static bool take_words(struct command_run *run, char *const *argv, size_t argc)
{
    bool only_words = false;
    for (size_t i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
        } else if (!only_words && strncmp(word, "--", 2) == 0) {
            if (!take_option(run, argv, argc, &i))
                return false;
        } else if (!only_words && strcmp(word, "-h") == 0) {
            run->values[run->value_count++] =
                (struct run_value){.option = find_option(run->command, "help", 4)};
        } else if (!only_words && strcmp(word, "-v") == 0 &&
                   find_option(run->command, "verbose", 7) != NULL) {
            run->values[run->value_count++] =
                (struct run_value){.option = find_option(run->command, "verbose", 7)};
        } else if (!only_words && word[0] == '-' && word[1] != '\0') {
            verb_usage(run, "%s has no option %s", run->command->name, word);
            return false;
        } else {
            run->words[run->word_count++] = word;
        }
    }
    return true;
}

static void drop_first_word(struct command_run *run)
{
    run->word_count--;
    memmove(run->words, run->words + 1, run->word_count * sizeof *run->words);
}

// An account that exists may be named by its box.
static bool is_box_of(const char *word, const char *user)
{
    char box[NAME_BOX_SIZE];
    name_box(user, box);
    return strcmp(word, box) == 0;
}

static bool is_own_name(const struct command *c, const char *word, const char *own)
{
    bool exists = c->account == ACCOUNT_REQUIRED || c->account == ACCOUNT_OPTIONAL;
    return strcmp(word, own) == 0 || (exists && is_box_of(word, own));
}

// Takes the account's name from where the row says it is. Own accounts may be left out; a user's own always
// is.
static void take_account(struct command_run *run)
{
    const char *own = run->own.name;
    const struct command *c = run->command;
    bool others = run->who.role >= c->others;
    switch (c->account) {
    case ACCOUNT_NONE:
        return;
    case ACCOUNT_OPTION:
        run->user = verb_option(run, "user");
        if (run->user == NULL)
            run->user = others ? "" : own;
        return;
    case ACCOUNT_NEW:
    case ACCOUNT_NAMED:
    case ACCOUNT_REQUIRED:
    case ACCOUNT_OPTIONAL:
        break;
    }
    bool named = run->word_count > 0 && own[0] != '\0' && is_own_name(c, run->words[0], own);
    bool ones_own = c->account == ACCOUNT_REQUIRED || c->account == ACCOUNT_NAMED;
    bool implied = own[0] != '\0' && ones_own && c->role == ROLE_USER &&
                   (others ? run->word_count < c->min : run->word_count < c->max);
    if (c->account == ACCOUNT_OPTIONAL && run->word_count == 0) {
        run->user = others ? "" : own;
    } else if (named) {
        run->user = own;
        drop_first_word(run);
    } else if (implied) {
        run->user = own;
    } else if (run->word_count > 0) {
        run->user = run->words[0];
        drop_first_word(run);
    }
}

// True if the number of words is right; the account's counts as one.
static bool check_count(struct command_run *run)
{
    const struct command *c = run->command;
    bool positional = c->account != ACCOUNT_NONE && c->account != ACCOUNT_OPTION;
    size_t count = run->word_count + (positional && run->user != NULL ? 1 : 0);
    if (count < c->min) {
        verb_usage(run, "something is missing: %s %s", c->name, c->args);
        return false;
    }
    if (count > c->max) {
        verb_usage(run, "\"%s\" is one word too many: %s%s%s", run->words[run->word_count - 1], c->name,
                   c->args[0] == '\0' ? " takes none" : " ", c->args);
        return false;
    }
    return true;
}

static bool deny(struct command_run *run, const char *reason)
{
    struct audit_record record = {.event = AUDIT_REFUSED, .reason = reason};
    if (verb_audit(run, &record))
        verb_failf(run, ERR_DENIED, "%s", reason);
    return false;
}

// Who is asking is looked up again now: a role may have changed since the session began.
static bool identify(struct command_run *run)
{
    struct fault f;
    struct account *own = &run->own;
    if (run->who.account_id == 0)
        return true;
    enum err e = account_get_id(run->control->store, run->who.account_id, own, &f);
    if (e == ERR_NOTFOUND)
        verb_failf(run, ERR_DENIED, "this account does not exist any more");
    else if (e != ERR_NONE)
        verb_fail(run, &f);
    if (e == ERR_NONE && (!run->who.capped || own->role < run->who.role))
        run->who.role = own->role;
    return e == ERR_NONE;
}

static bool find_account(struct command_run *run)
{
    struct fault f;
    if (run->user == NULL || run->user[0] == '\0' || run->command->account == ACCOUNT_NEW ||
        run->command->account == ACCOUNT_NAMED || run->command->account == ACCOUNT_OPTION)
        return true;
    char of_box[NAME_USER_SIZE];
    enum err e = account_get(run->control->store, run->user, &run->account, &f);
    if (e == ERR_NOTFOUND && name_user_of_box(run->user, of_box) && is_box_of(run->user, of_box))
        e = account_get(run->control->store, of_box, &run->account, &f);
    if (e == ERR_NONE)
        run->user = run->account.name;
    if (e == ERR_NOTFOUND)
        verb_failf(run, ERR_NOTFOUND, "no such user: %s; see: %s list", run->user, verb_program(run));
    else if (e != ERR_NONE)
        verb_fail(run, &f);
    run->have_account = e == ERR_NONE;
    return e == ERR_NONE;
}

// Authorizes and finds the account. The order matters: who may not name others learns nothing about them.
static bool authorize(struct command_run *run)
{
    const struct account *own = &run->own;
    const struct command *c = run->command;
    char reason[160];
    if (!command_allowed(c, run->who.role, false)) {
        snprintf(reason, sizeof reason, "\"%s\" needs the role %s; yours is %s", c->name, role_name(c->role),
                 role_name(run->who.role));
        return deny(run, reason);
    }
    take_account(run);
    bool other = run->user != NULL && c->account != ACCOUNT_NEW && strcmp(run->user, own->name) != 0;
    if (other && !command_allowed(c, run->who.role, true)) {
        snprintf(reason, sizeof reason, "\"%s\" on another account needs the role %s; yours is %s", c->name,
                 role_name(c->others), role_name(run->who.role));
        return deny(run, reason);
    }
    return check_count(run) && find_account(run);
}

static void on_recorded(struct command_run *run)
{
    run->command->run(run);
}

// A verb that changes something begins when the record of it is on disk; one that looks at what is not one's
// own is recorded as well, but a full disk does not keep an administrator from looking.
static void record_and_run(struct command_run *run)
{
    const struct account *own = &run->own;
    struct audit_record record = {.event = AUDIT_COMMAND};
    bool own_only = run->command->account == ACCOUNT_NONE ||
                    (run->user != NULL && own->name[0] != '\0' && strcmp(run->user, own->name) == 0);
    if (run->command->changes) {
        if (verb_audit(run, &record))
            verb_commit(run, on_recorded);
        return;
    }
    if (run->command->role > ROLE_USER || !own_only)
        (void)verb_audit(run, &record); // logged if it fails
    if (run->wait != RUN_FINISHED)
        run->command->run(run);
}

static bool check_request(struct command_run *run)
{
    for (size_t i = 0; i < run->argc; i++) {
        if (strlen(run->argv[i]) >= RUN_WORD_MAX) {
            verb_failf(run, ERR_INVALID, "a word of the command is longer than %d bytes", RUN_WORD_MAX);
            return false;
        }
    }
    return true;
}

static void help_of(struct command_run *run, char *const *argv, size_t argc)
{
    const char *words[2] = {argc > 0 ? argv[0] : NULL, argc > 1 ? argv[1] : NULL};
    command_help(run, words, argc > 2 ? 2 : argc);
}

// Before the words are understood: what is wrong with them is told as JSON to whoever seems to want that.
static bool seems_json(char *const *argv, size_t argc)
{
    for (size_t i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0)
            return true;
    }
    return false;
}

static void execute(struct command_run *run)
{
    char **argv = run->argv;
    size_t argc = run->argc;
    static char help_word[] = "help", version_word[] = "version";
    static char *help_argv[] = {help_word}, *version_argv[] = {version_word};
    run->json = seems_json(argv, argc);
    if (!check_request(run) || !identify(run))
        return;
    if (run->who.joined != JOINED_NOT) {
        command_welcome(run);
        return;
    }
    if (argc == 0 && run->console) {
        command_greet(run);
        return;
    }
    bool json = false;
    for (; argc > 0 && strcmp(argv[0], "--json") == 0; argv++, argc--)
        json = true;
    if (argc == 0 || strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
        argv = help_argv;
        argc = 1;
    } else if (strcmp(argv[0], "--version") == 0 || strcmp(argv[0], "-V") == 0) {
        argv = version_argv;
        argc = 1;
    }
    unsigned named = find_command(run, argv, argc);
    if (named == 0) {
        if (argc > 1 && is_noun(argv[0]) && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
            help_of(run, argv, 1);
        else
            unknown_verb(run, argv, argc);
        return;
    }
    if (!take_words(run, argv + named, argc - named))
        return;
    run->json = json || verb_flag(run, "json");
    if (verb_flag(run, "help")) {
        help_of(run, argv, named);
        return;
    }
    if (authorize(run))
        record_and_run(run);
}

static void name_program(struct command_run *run)
{
    char way[DESCRIBE_WAY];
    bool here = run->cli || run->console;
    snprintf(run->program, sizeof run->program, "%.299s",
             here ? "containarium" : describe_way(run->control->config, "ctl", way));
}

struct command_run *command_start(struct control *c, const struct identity *who,
                                  const struct command_request *request, const struct command_sink *sink,
                                  void *arg)
{
    struct command_run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return NULL;
    run->control = c;
    run->who = *who;
    run->sink = sink;
    run->sink_arg = arg;
    run->tty_in = request->tty_in;
    run->tty_out = request->tty_out;
    run->tty_err = request->tty_err;
    run->cli = request->cli || who->local;
    run->console = request->console;
    run->colours = request->tty_out && request->colours;
    if (request->tty_out && request->columns >= COLUMNS_MIN && request->columns <= COLUMNS_MAX)
        run->columns = (unsigned)request->columns;
    name_program(run);
    run->wait = RUN_BUSY;
    run->argv = calloc(request->argc + 1, sizeof *run->argv);
    for (size_t i = 0; run->argv != NULL && i < request->argc && i < RUN_WORDS_MAX; i++) {
        run->argv[i] = strdup(request->argv[i]);
        if (run->argv[i] == NULL)
            break;
        run->argc++;
    }
    if (run->argv == NULL || (run->argc < request->argc && run->argc < RUN_WORDS_MAX)) {
        command_free(run);
        return NULL;
    }
    if (request->argc > RUN_WORDS_MAX)
        verb_failf(run, ERR_INVALID, "more than %d words in one command", RUN_WORDS_MAX);
    else
        execute(run);
    return run;
}
