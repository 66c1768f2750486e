// Prints the option table: as a configuration file, and as a section of the manual page.
#include "base/config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_value.h"
#include "base/mdoc.h"
#include "base/units.h"

// What a value of the option may be, for people.
static void print_accepted(const struct config_option *o, FILE *out)
{
    char low[32], high[32];
    switch (o->type) {
    case CONFIG_UINT:
        fprintf(out, "%" PRIu64 " to %" PRIu64, o->min, o->max);
        break;
    case CONFIG_SIZE:
        fprintf(out, "%s to %s", size_format(o->min, low, sizeof low),
                size_format(o->max, high, sizeof high));
        break;
    case CONFIG_DURATION:
        fprintf(out, "%s to %s", duration_format_exact(o->min, low, sizeof low),
                duration_format_exact(o->max, high, sizeof high));
        break;
    case CONFIG_BOOL:
        fputs("yes or no", out);
        break;
    case CONFIG_CHOICE:
        fprintf(out, "one of %s", o->choices);
        break;
    case CONFIG_SUBNET:
        fprintf(out, "an IPv4 subnet, /%" PRIu64 " to /%" PRIu64, o->min, o->max);
        break;
    case CONFIG_STRING:
        fputs("text", out);
        break;
    case CONFIG_NAME:
        fputs("a name", out);
        break;
    case CONFIG_PATH:
        fputs("an absolute path", out);
        break;
    case CONFIG_URL:
        fputs("https://HOST:PORT", out);
        break;
    case CONFIG_ALGORITHMS:
        fputs("names separated by commas", out);
        break;
    case CONFIG_CPU:
        fputs("a number of cores, or cores like 0-3 or 0,2", out);
        break;
    case CONFIG_LISTEN:
        fputs("ADDRESS:PORT, separated by spaces", out);
        break;
    case CONFIG_ADDRESS:
        fputs("an IPv4 address", out);
        break;
    case CONFIG_PORTS:
        fputs("ports and ranges, separated by spaces", out);
        break;
    case CONFIG_SUBNETS:
        fputs("addresses and subnets, separated by spaces", out);
        break;
    case CONFIG_RATE:
        fprintf(out, "none, or up to %s", size_format(o->max, high, sizeof high));
        break;
    case CONFIG_LOCAL:
        fputs("LOOPBACK-ADDRESS:PORT or an absolute path", out);
        break;
    }
}

void config_dump(const struct config *c, FILE *out)
{
    const char *section = "";
    char value[CONFIG_TEXT];
    fputs("# Configuration of containarium-gateway and containariumd, see containarium.conf(5).\n"
          "# What stands here is in force; a line left out means its default.\n",
          out);
    for (const struct config_option *o = config_options(); o->key != NULL; o++) {
        if (strcmp(section, o->section) != 0)
            fprintf(out, "\n[%s]\n", o->section);
        section = o->section;
        fprintf(out, "# %s\n# Accepted: ", o->help);
        print_accepted(o, out);
        fprintf(out, ". Default: %s%s\n", o->fallback[0] == '\0' ? "empty" : o->fallback,
                o->reloadable ? "" : ". Needs a restart");
        fprintf(out, "%s =%s%s\n", o->key, config_value_format(o, c, value)[0] == '\0' ? "" : " ", value);
    }
}

static void print_accepted_mdoc(const struct config_option *o, FILE *out)
{
    char *text = NULL;
    size_t length;
    FILE *line = open_memstream(&text, &length);
    if (line == NULL)
        return;
    fputs("Accepted: ", line);
    print_accepted(o, line);
    fputc('.', line);
    if (fclose(line) == 0)
        mdoc_text(text, out);
    fputc('\n', out);
    free(text);
}

void config_dump_mdoc(FILE *out)
{
    const char *section = "";
    for (const struct config_option *o = config_options(); o->key != NULL; o++) {
        if (strcmp(section, o->section) != 0) // \& : else the bracket counts as punctuation
            fprintf(out, "%s.Ss [%s]\\&\n.Bl -tag -width Ds\n", section[0] == '\0' ? "" : ".El\n",
                    o->section);
        section = o->section;
        fprintf(out, ".It Ic %s No = Ar ", o->key);
        fputs(o->type == CONFIG_BOOL ? "yes | no" : "value", out);
        fputc('\n', out);
        mdoc_text(o->help, out);
        fputc('\n', out);
        print_accepted_mdoc(o, out);
        if (o->fallback[0] != '\0') {
            fputs("The default is\n.Ql ", out);
            // A list of algorithms has no blank to break a line at.
            for (const char *p = o->fallback; *p != '\0'; p++)
                fprintf(out, "%c%s", *p, *p == ',' ? "\\:" : "");
            fputs(" .\n", out);
        }
        if (!o->reloadable)
            fputs("A change needs a restart.\n", out);
    }
    fputs(".El\n", out);
}
