// config show, version, whoami, help.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cmd.h"
#include "control/command_run.h"

static json_t *value_json(const struct config *config, const struct config_option *o)
{
    const char *at = (const char *)config + o->offset;
    switch (o->type) {
    case CONFIG_UINT:
    case CONFIG_SIZE:
    case CONFIG_RATE:
    case CONFIG_DURATION: {
        uint64_t n;
        memcpy(&n, at, sizeof n);
        return json_integer((json_int_t)n);
    }
    case CONFIG_BOOL: {
        bool yes;
        memcpy(&yes, at, sizeof yes);
        return json_boolean(yes);
    }
    case CONFIG_STRING:
    case CONFIG_PATH:
    case CONFIG_CPU:
    case CONFIG_CHOICE:
    case CONFIG_LISTEN:
    case CONFIG_SUBNET:
    case CONFIG_ADDRESS:
    case CONFIG_PORTS:
    case CONFIG_SUBNETS:
    case CONFIG_LOCAL:
    case CONFIG_NAME:
    case CONFIG_URL:
    case CONFIG_ALGORITHMS:
        return json_string(at);
    }
    return json_null();
}

static json_t *config_json(const struct config *config)
{
    json_t *all = json_object();
    for (const struct config_option *o = config_options(); all != NULL && o->key != NULL; o++) {
        json_t *section = json_object_get(all, o->section);
        if (section == NULL) {
            json_object_set_new(all, o->section, json_object());
            section = json_object_get(all, o->section);
        }
        json_object_set_new(section, o->key, value_json(config, o));
    }
    return all;
}

void cmd_config_show(struct command_run *run)
{
    char *text = NULL;
    size_t length = 0;
    if (run->json) {
        verb_result(run, config_json(run->control->config));
        verb_done(run);
        return;
    }
    FILE *out = open_memstream(&text, &length);
    if (out != NULL)
        config_dump(run->control->config, out);
    if (out == NULL || fclose(out) != 0) {
        verb_failf(run, ERR_MEMORY, "out of memory");
    } else {
        verb_out_text(run, text);
        verb_done(run);
    }
    free(text);
}

void cmd_version(struct command_run *run)
{
    int schema = store_schema_version(run->control->store);
    if (run->json)
        verb_result(run, json_pack("{s:s, s:i}", "version", CONTAINARIUM_VERSION, "schema", schema));
    else
        verb_out(run, "containarium %s (store schema %d)\n", CONTAINARIUM_VERSION, schema);
    verb_done(run);
}

void cmd_whoami(struct command_run *run)
{
    const char *role = role_name(run->who.role);
    if (run->json)
        verb_result(run, json_pack("{s:s, s:s, s:s, s:b}", "name", run->who.actor, "role", role, "address",
                                   run->who.address, "local", run->who.local));
    else
        verb_out(run, "%s (%s), from %s\n", run->who.actor, role, run->who.address);
    verb_done(run);
}

void cmd_help(struct command_run *run)
{
    command_help(run, run->words, run->word_count);
}
