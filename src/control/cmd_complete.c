// complete: how a command line could go on, one word a line, or as a list with --json. For the console's Tab
// key and for shells. It tells nobody more than they may know: verbs of their role, and names only to who may
// list them.
#include <stdio.h>
#include <string.h>

#include "control/cmd.h"
#include "control/command_run.h"

#define NAMES_MAX 200

struct line {
    struct command_run *run;
    const char *const *words; // all but the last
    size_t count;
    const char *typed; // the last, so far
    const char *said;  // the candidate before; verbs of one noun stand together
    unsigned names;
    json_t *list; // under --json
};

static void offer(struct line *l, const char *word, size_t length)
{
    size_t n = strlen(l->typed);
    if (length < n || strncmp(word, l->typed, n) != 0)
        return;
    if (l->said != NULL && strlen(l->said) >= length && strncmp(l->said, word, length) == 0 &&
        (l->said[length] == '\0' || l->said[length] == ' '))
        return;
    l->said = word;
    if (l->list != NULL)
        json_array_append_new(l->list, json_stringn(word, length));
    else
        verb_out(l->run, "%.*s\n", (int)length, word);
}

// "on|off", "user|operator|admin": words to choose from. What is in capitals stands for something else.
static void offer_choices(struct line *l, const char *value, size_t length)
{
    if (memchr(value, '|', length) == NULL)
        return;
    while (length > 0) {
        const char *bar = memchr(value, '|', length);
        size_t n = bar == NULL ? length : (size_t)(bar - value);
        if (n > 0 && value[0] >= 'a' && value[0] <= 'z')
            offer(l, value, n);
        length -= n + (bar != NULL);
        value += n + (bar != NULL);
    }
}

static enum err offer_account(const struct account *account, void *arg, struct fault *f)
{
    struct line *l = arg;
    (void)f;
    l->said = NULL;
    if (l->names < NAMES_MAX && strncmp(account->name, l->typed, strlen(l->typed)) == 0) {
        l->names++;
        offer(l, account->name, strlen(account->name));
    }
    return ERR_NONE;
}

static void offer_names(struct line *l)
{
    struct fault f;
    if (l->run->who.role >= ROLE_OPERATOR) {
        if (account_each(l->run->control->store, offer_account, l, &f) != ERR_NONE)
            return; // a Tab that finds nothing is no failure
    } else if (l->run->own.id != 0) {
        offer(l, l->run->own.name, strlen(l->run->own.name));
    }
}

// First words of verbs, or with a noun its second words.
static void offer_verbs(struct line *l, const char *noun)
{
    size_t n = noun == NULL ? 0 : strlen(noun);
    for (const struct command *c = command_table(); c->name != NULL; c++) {
        const char *word = noun == NULL ? c->name : c->name + n + 1;
        bool of_noun = noun == NULL || (strncmp(c->name, noun, n) == 0 && c->name[n] == ' ');
        if (of_noun && command_allowed(c, l->run->who.role, false))
            offer(l, word, strcspn(word, " "));
    }
}

static const struct command *find_verb(const struct line *l, size_t *used)
{
    const struct command *found = NULL;
    char two[80];
    snprintf(two, sizeof two, "%.38s %.38s", l->count > 0 ? l->words[0] : "",
             l->count > 1 ? l->words[1] : "");
    for (const struct command *c = command_table(); c->name != NULL; c++) {
        if (!command_allowed(c, l->run->who.role, false))
            continue;
        if (l->count > 1 && strcmp(c->name, two) == 0) {
            *used = 2;
            return c;
        }
        if (l->count > 0 && strcmp(c->name, l->words[0]) == 0) {
            *used = 1;
            found = c;
        }
    }
    return found;
}

static const struct command_option *find_option(const struct command *c, const char *word)
{
    if (strncmp(word, "--", 2) != 0)
        return NULL;
    for (const struct command_option *o = c->options; o != NULL && o->name != NULL; o++) {
        if (strcmp(o->name, word + 2) == 0)
            return o;
    }
    return NULL;
}

static void offer_options(struct line *l, const struct command *c)
{
    const struct command_option *lists[] = {c->options, command_common_options()};
    char names[64][40];
    size_t count = 0;
    for (size_t i = 0; i < 2; i++) {
        for (const struct command_option *o = lists[i]; o != NULL && o->name != NULL && count < 64; o++) {
            snprintf(names[count], sizeof names[count], "--%s", o->name);
            l->said = NULL;
            offer(l, names[count], strlen(names[count]));
            count++;
        }
    }
    l->said = NULL;
}

// How many words stand before the last that are neither the verb nor options.
static size_t position(const struct line *l, const struct command *c, size_t used)
{
    size_t at = 0;
    for (size_t i = used; i < l->count; i++) {
        const struct command_option *o = find_option(c, l->words[i]);
        if (o != NULL && o->value != NULL)
            i++;
        else if (strncmp(l->words[i], "--", 2) != 0)
            at++;
    }
    return at;
}

static void offer_word(struct line *l, const struct command *c, size_t at)
{
    const char *word = c->args;
    if (at == 0 && c->account != ACCOUNT_NONE && c->account != ACCOUNT_OPTION && c->account != ACCOUNT_NEW)
        offer_names(l);
    for (size_t i = 0; i < at && *word != '\0'; i++)
        word += strcspn(word, " ") + strspn(word + strcspn(word, " "), " ");
    size_t n = strcspn(word, " ");
    if (at > 0 && n == 4 && strncmp(word, "USER", n) == 0)
        offer_names(l);
    else if (word[0] >= 'a' && word[0] <= 'z' && memchr(word, '|', n) == NULL)
        offer(l, word, n); // "with"
    else
        offer_choices(l, word, n);
}

static void offer_all(struct line *l)
{
    size_t used = 0;
    const struct command *c = find_verb(l, &used);
    if (c == NULL || (l->count == 1 && used == 1))
        offer_verbs(l, l->count == 1 ? l->words[0] : NULL);
    if (c == NULL)
        return;
    const struct command_option *before = l->count > used ? find_option(c, l->words[l->count - 1]) : NULL;
    l->said = NULL;
    if (before != NULL && before->value != NULL) {
        if (strcmp(before->name, "user") == 0)
            offer_names(l);
        offer_choices(l, before->value, strlen(before->value));
    } else if (l->typed[0] == '-') {
        offer_options(l, c);
    } else if (strcmp(c->name, "help") == 0) {
        offer_verbs(l, l->count > 1 ? l->words[1] : NULL);
    } else {
        offer_word(l, c, position(l, c, used));
    }
}

void cmd_complete(struct command_run *run)
{
    struct line l = {.run = run, .typed = ""};
    l.words = run->words;
    if (run->word_count > 0) {
        l.count = run->word_count - 1;
        l.typed = run->words[run->word_count - 1];
    }
    if (run->json)
        l.list = json_array();
    offer_all(&l);
    if (run->json)
        verb_result(run, l.list);
    verb_done(run);
}
