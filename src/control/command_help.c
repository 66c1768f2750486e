// Help, made from the table: the overview, a noun's verbs, one verb.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/table.h"

static void print_table(struct command_run *run, struct table *t)
{
    verb_table(run, t);
    table_free(t);
}

// Verbs the caller's role may use; all of them, or those of one noun.
static void list_verbs(struct command_run *run, const char *noun)
{
    struct table *t = table_new();
    for (const struct command *c = command_table(); c->name != NULL; c++) {
        size_t n = strcspn(c->name, " ");
        if (!command_allowed(c, run->who.role, false) || strcmp(c->name, "complete") == 0) // the Tab key's
            continue;
        if (noun != NULL && (strlen(noun) != n || strncmp(noun, c->name, n) != 0))
            continue;
        table_row(t, "  %s\t%s", c->name, c->help);
    }
    print_table(run, t);
}

// A paragraph: one line for programs, wrapped on a terminal.
static void print_text(struct command_run *run, const char *text)
{
    struct table *t = table_new();
    table_row(t, "%s", text);
    print_table(run, t);
}

static void overview(struct command_run *run)
{
    verb_out(run,
             "Every user has a Linux box of their own, reached through one SSH gateway.\n\n"
             "Usage: %s VERB [WORD...] [--option...]\n\n",
             verb_program(run));
    list_verbs(run, NULL);
    verb_out(run, "\nEvery verb takes --json and --help. Exit status: 0 done, 1 failed, 2 usage,\n"
                  "3 not found, 4 not allowed, 5 conflict. Sizes are written 500MB 8GB (powers of\n"
                  "ten) or 4096MiB 8GiB (of two).\n");
    if (run->cli)
        verb_out(run, "The same verbs work over SSH (ssh ctl@GATEWAY VERB) and from elsewhere\n"
                      "(containarium --server HOST[:PORT] VERB).\n");
}

void command_greet(struct command_run *run)
{
    const char *host = run->control->config->public_host;
    verb_out(run, "containarium%s%s: you are %s, role %s.\n", host[0] == '\0' ? "" : " at ", host,
             run->who.actor, role_name(run->who.role));
    if (run->who.role == ROLE_USER)
        verb_out(run, "info shows your box, keys list your keys, help all verbs.\n");
    else
        verb_out(run, "list shows everybody, security status the last hour, help all verbs.\n");
    verb_out(run, "Tab completes, exit or Ctrl-D leaves.\n\n");
    verb_done(run);
}

struct own_keys {
    char used[PUBKEY_FINGERPRINT_SIZE]; // by this connection
    struct command_run *run;
    bool others; // which are to be shown
    unsigned count;
};

static enum err welcome_key(const struct account_key *key, void *arg, struct fault *f)
{
    struct own_keys *own = arg;
    char added[32];
    (void)f;
    if ((strcmp(key->key.fingerprint, own->used) == 0) == own->others)
        return ERR_NONE;
    if (own->others && own->count++ == 0)
        verb_out(own->run, "The others:\n");
    verb_out(own->run, "  %s  %s, since %.10s\n", key->key.fingerprint, key->key.type,
             when_format(key->added, added, sizeof added));
    return ERR_NONE;
}

static enum err welcome_keys(struct own_keys *own, struct fault *f)
{
    struct command_run *run = own->run;
    describe_own_key(run, own->used);
    enum err e = account_key_each(run->control->store, run->own.id, welcome_key, own, f);
    own->others = true;
    return e == ERR_NONE ? account_key_each(run->control->store, run->own.id, welcome_key, own, f) : e;
}

static bool has_box(const struct command_run *run)
{
    struct box_row row;
    return box_get(run->control->store, run->own.id, &row, NULL) == ERR_NONE &&
           (row.driver == BOX_DRIVER_STATIC || row.phase != BOX_ABSENT);
}

void command_welcome(struct command_run *run)
{
    const struct config *config = run->control->config;
    const char *name = run->own.name;
    char way[DESCRIBE_WAY];
    struct own_keys own = {.run = run};
    struct fault f;
    if (run->who.joined == JOINED_NEW)
        verb_out(run, "Welcome. You are %s here, and your key is enrolled:\n", name);
    else if (run->who.joined == JOINED_ADDED)
        verb_out(run, "Welcome back, %s. This machine's key is enrolled beside your others:\n", name);
    else
        verb_out(run, "You are %s here, and this key is enrolled already:\n", name);
    if (welcome_keys(&own, &f) != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    struct table *t = table_new();
    table_row(t, "  %s\t%s", describe_way(config, name, way),
              has_box(run) ? "your own Linux box" : "your own Linux box; it is made while you wait");
    if (own.count > 0)
        table_row(t, "  %s keys list\tall your keys; keys remove shuts one out",
                  describe_way(config, "ctl", way));
    table_row(t, "  %s help\twhat you can do yourself: keys, snapshots, start, stop",
              describe_way(config, "ctl", way));
    verb_out(run, "\nWhat to type next:\n");
    print_table(run, t);
    verb_done(run);
}

static void list_options(struct command_run *run, const struct command *c)
{
    const struct command_option *lists[] = {c->options, command_common_options()};
    struct table *t = table_new();
    for (size_t i = 0; i < 2; i++) {
        for (const struct command_option *o = lists[i]; o != NULL && o->name != NULL; o++)
            table_row(t, "  --%s%s%s\t%s%s", o->name, o->value == NULL || o->value[0] == '[' ? "" : " ",
                      o->value == NULL ? "" : o->value, o->help, o->repeat ? " (may be repeated)" : "");
    }
    verb_out(run, "\nOptions:\n");
    print_table(run, t);
}

static void list_examples(struct command_run *run, const char *examples)
{
    verb_out(run, "\nExamples:\n");
    while (*examples != '\0') {
        size_t n = strcspn(examples, "\n");
        verb_out(run, "  %s %.*s\n", verb_program(run), (int)n, examples);
        examples += n + (examples[n] == '\n');
    }
}

// The first word of the row's args, "USER" or "BOX", is the account.
static void own_may_be_left_out(struct command_run *run, const struct command *c)
{
    const char *word = c->args + strspn(c->args, "[");
    verb_out(run, "\nOn your own account %.*s may be left out; on another's it needs the role %s.\n",
             (int)strcspn(word, " |]"), word, role_name(c->others));
}

static void one_verb(struct command_run *run, const struct command *c)
{
    const char *blank = c->args[0] == '\0' ? "" : " ";
    verb_out(run, "%s.\n\nUsage: %s %s%s%s%s\n", c->help, verb_program(run), c->name, blank, c->args,
             c->options == NULL ? "" : " [--option...]");
    if (c->details != NULL) {
        verb_out(run, "\n");
        print_text(run, c->details);
    }
    list_options(run, c);
    if (c->examples != NULL)
        list_examples(run, c->examples);
    if (c->role > ROLE_USER)
        verb_out(run, "\nNeeds the role %s.\n", role_name(c->role));
    else if (c->account == ACCOUNT_REQUIRED || c->account == ACCOUNT_NAMED)
        own_may_be_left_out(run, c);
    else if (c->others > ROLE_USER && c->account != ACCOUNT_NONE)
        verb_out(run, "\nOn accounts other than your own it needs the role %s.\n", role_name(c->others));
}

static json_t *options_json(const struct command *c)
{
    json_t *list = json_array();
    for (const struct command_option *o = c->options; o != NULL && o->name != NULL; o++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s}", "name", o->name, "value",
                                              o->value == NULL ? "" : o->value, "repeat", o->repeat, "help",
                                              o->help));
    return list;
}

json_t *command_help_json(const char *name)
{
    size_t n = strlen(name);
    json_t *list = json_array();
    for (const struct command *c = command_table(); c->name != NULL; c++) {
        if (n > 0 && (strncmp(c->name, name, n) != 0 || (c->name[n] != '\0' && c->name[n] != ' ')))
            continue;
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "name", c->name, "args",
                                              c->args, "help", c->help, "role", role_name(c->role), "others",
                                              role_name(c->others), "options", options_json(c)));
    }
    return json_pack("{s:o}", "commands", list);
}

static void no_such_verb(struct command_run *run, const char *name)
{
    verb_failf(run, ERR_NOTFOUND, "no such verb: %s; see: %s help", name, verb_program(run));
}

static void print_json(struct command_run *run, const char *name)
{
    json_t *object = command_help_json(name);
    if (object != NULL && json_array_size(json_object_get(object, "commands")) == 0) {
        json_decref(object);
        no_such_verb(run, name);
        return;
    }
    verb_result(run, object);
    verb_done(run);
}

void command_help(struct command_run *run, const char *const *words, size_t count)
{
    char name[64];
    bool noun = false;
    snprintf(name, sizeof name, "%s%s%s", count > 0 ? words[0] : "", count > 1 ? " " : "",
             count > 1 ? words[1] : "");
    if (run->json) {
        print_json(run, name);
        return;
    }
    if (count == 0) {
        overview(run);
        verb_done(run);
        return;
    }
    for (const struct command *c = command_table(); c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0) {
            one_verb(run, c);
            verb_done(run);
            return;
        }
        noun = noun || (strncmp(c->name, name, strlen(name)) == 0 && c->name[strlen(name)] == ' ');
    }
    if (noun) {
        verb_out(run, "Usage: %s %s VERB\n\n", verb_program(run), name);
        list_verbs(run, name);
        verb_done(run);
        return;
    }
    no_such_verb(run, name);
}
