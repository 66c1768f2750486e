// The table of commands for other programs: shells, which complete its words, and mandoc.
//
// For shells, a line a verb and a line an option, fields parted by tabs and none of them empty:
//     verb    NAME  KIND-OF-WORD...          HELP
//     option  VERB  --NAME            KIND   HELP       VERB is * for what every verb takes
// A KIND is file, user, verb, any, =ONE,OTHER (one of these), or - (nothing).
#include "control/command.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/mdoc.h"

static bool is_fixed(const char *word, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!islower((unsigned char)word[i]) && word[i] != '-')
            return false;
    }
    return length > 0 && word[0] != '-'; // a lone - is standard input
}

static bool contains(const char *text, size_t length, const char *word)
{
    const char *found = strstr(text, word);
    return found != NULL && found + strlen(word) <= text + length;
}

// The kind of a value from what it is called: "FILE|-", "on|off", "USER", "SIZE".
static void print_kind(const char *name, size_t length, FILE *out)
{
    static const struct {
        const char *part, *kind;
    } kinds[] = {{"FILE", "file"}, {"PATH", "file"}, {"DIR", "file"}, {"USER", "user"}, {"VERB", "verb"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (contains(name, length, kinds[i].part)) {
            fputs(kinds[i].kind, out);
            return;
        }
    }
    const char *before = "=";
    for (const char *at = name, *end = name + length; at < end;) {
        size_t n = strcspn(at, "|");
        if (n > (size_t)(end - at))
            n = (size_t)(end - at);
        if (is_fixed(at, n)) {
            fprintf(out, "%s%.*s", before, (int)n, at);
            before = ",";
        }
        at += n + 1;
    }
    if (*before == '=')
        fputs("any", out);
}

struct word {
    const char *text;
    size_t length;
    bool optional; // stood in brackets, which text is without
    bool option;   // --NAME, or the value after it: one that must be given is named among the args
};

// The next word of a command's args. Start with w zeroed and *args at their beginning.
static bool word_next(const char **args, struct word *w)
{
    bool value = w->option && w->length > 1 && strncmp(w->text, "--", 2) == 0;
    w->text = *args + strspn(*args, " ");
    w->length = strcspn(w->text, " ");
    *args = w->text + w->length;
    if (w->length == 0)
        return false;
    w->option = value || strncmp(w->text, "--", 2) == 0;
    w->optional = w->length > 2 && w->text[0] == '[' && w->text[w->length - 1] == ']';
    if (w->optional) {
        w->text++;
        w->length -= 2;
    }
    return true;
}

static void dump_options(const char *verb, const struct command_option *o, FILE *out)
{
    for (; o != NULL && o->name != NULL; o++) {
        fprintf(out, "option\t%s\t--%s\t", verb, o->name);
        if (o->value == NULL)
            fputc('-', out);
        else if (strcmp(o->name, "user") == 0)
            fputs("user", out);
        else
            print_kind(o->value, strlen(o->value), out);
        fprintf(out, "\t%s\n", o->help);
    }
}

void command_dump(FILE *out)
{
    for (const struct command *c = command_table(); c->name != NULL; c++) {
        const char *args = c->args, *before = "";
        struct word w = {.length = 0};
        fprintf(out, "verb\t%s\t", c->name);
        while (word_next(&args, &w)) {
            if (w.option)
                continue;
            fputs(before, out);
            if (*before == '\0' && c->account == ACCOUNT_NEW) // the name of somebody who is not there yet
                fputs("any", out);
            else
                print_kind(w.text, w.length, out);
            before = " ";
        }
        fprintf(out, "%s\t%s\n", *before == '\0' ? "-" : "", c->help);
        dump_options(c->name, c->options, out);
    }
    dump_options("*", command_common_options(), out);
}

// ---- the manual page

static void mdoc_word(const struct word *w, FILE *out)
{
    if (w->length > 1 && strncmp(w->text, "--", 2) == 0)
        fprintf(out, " Fl %.*s", (int)w->length - 1, w->text + 1);
    else
        fprintf(out, " %s%s %.*s", w->optional ? "Op " : "",
                is_fixed(w->text, strcspn(w->text, "| ]")) ? "Cm" : "Ar", (int)w->length, w->text);
}

static void mdoc_heading(const struct command *c, FILE *out)
{
    const char *args = c->args;
    struct word w = {.length = 0};
    fprintf(out, ".It Cm %s", c->name);
    while (word_next(&args, &w))
        mdoc_word(&w, out);
    fputs(c->options != NULL ? " Op Fl -option Ns ...\n" : "\n", out);
}

static void mdoc_sentence(const char *text, FILE *out)
{
    char sentence[512];
    snprintf(sentence, sizeof sentence, "%s.", text);
    sentence[0] = (char)toupper((unsigned char)sentence[0]);
    mdoc_text(sentence, out);
    fputc('\n', out);
}

static void mdoc_options(const struct command_option *o, FILE *out)
{
    if (o == NULL)
        return;
    fputs(".Bl -tag -width Ds\n", out);
    for (; o->name != NULL; o++) {
        fprintf(out, ".It Fl -%s", o->name);
        if (o->value != NULL)
            mdoc_word(&(struct word){.text = o->value, .length = strlen(o->value)}, out);
        fputc('\n', out);
        mdoc_sentence(o->help, out);
        if (o->repeat)
            fputs("May be repeated.\n", out);
    }
    fputs(".El\n", out);
}

static void mdoc_role(const struct command *c, FILE *out)
{
    if (c->role > ROLE_USER)
        fprintf(out, "Needs the role\n.Cm %s .\n", role_name(c->role));
    else if (c->others > ROLE_USER && c->account != ACCOUNT_NONE)
        fprintf(out, "On another's account it needs the role\n.Cm %s .\n", role_name(c->others));
}

void command_dump_mdoc(FILE *out)
{
    fputs(".Bl -tag -width Ds\n", out);
    for (const struct command *c = command_table(); c->name != NULL; c++) {
        mdoc_heading(c, out);
        mdoc_sentence(c->help, out);
        if (c->details != NULL) {
            mdoc_text(c->details, out);
            fputc('\n', out);
        }
        mdoc_role(c, out);
        mdoc_options(c->options, out);
    }
    fputs(".El\n", out);
}
