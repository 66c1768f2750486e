// The OpenAPI 3 document, made from the command table and the schemas of docs/schema: it cannot promise a
// verb that is not there.
#include <stdio.h>
#include <string.h>

#include "control/answer_schema.h"
#include "control/command_run.h"
#include "control/http_api.h"

static json_t *option_schema(const struct command_option *o)
{
    if (o->value == NULL)
        return json_pack("{s:s, s:s}", "type", "boolean", "description", o->help);
    json_t *one = json_pack("{s:[s, s], s:s}", "type", "string", "integer", "description", o->help);
    if (one != NULL)
        json_object_set_new(one, "x-value", json_string(o->value));
    if (!o->repeat)
        return one;
    return json_pack("{s:[o, {s:s, s:{s:s}}]}", "oneOf", one, "type", "array", "items", "type", "string");
}

static json_t *options_schema(const struct command *c)
{
    json_t *properties = json_object();
    for (const struct command_option *o = c->options; o != NULL && o->name != NULL; o++)
        json_object_set_new(properties, o->name, option_schema(o));
    return json_pack("{s:s, s:b, s:o}", "type", "object", "additionalProperties", 0, "properties",
                     properties);
}

static json_t *body_schema(const struct command *c)
{
    json_t *properties =
        json_pack("{s:{s:s, s:s, s:i, s:{s:s}}, s:o, s:{s:s, s:s}, s:{s:s, s:s, s:{s:s}}}", "args", "type",
                  "array", "description", c->args[0] == '\0' ? "none" : c->args, "maxItems", (int)c->max,
                  "items", "type", "string", "options", options_schema(c), "stdin", "type", "string",
                  "description", "what - stands for", "files", "type", "object", "description",
                  "texts of files, by the names the words and options give them", "additionalProperties",
                  "type", "string");
    return json_pack("{s:s, s:b, s:o}", "type", "object", "additionalProperties", 0, "properties",
                     properties);
}

// The name of the schema of docs/schema: "keys-add" of "keys add".
static void schema_name(const char *verb, char *out, size_t size)
{
    snprintf(out, size, "%s", verb);
    for (char *p = out; *p != '\0'; p++)
        *p = *p == ' ' ? '-' : *p;
}

static json_t *answer_of(const char *component)
{
    char path[96];
    snprintf(path, sizeof path, "#/components/schemas/%s", component);
    return json_pack("{s:s}", "$ref", path);
}

// An answer whose result is what the schema says.
static json_t *done_schema(const struct command *c)
{
    char name[64];
    schema_name(c->name, name, sizeof name);
    return json_pack("{s:[o, {s:s, s:{s:o}}]}", "allOf", answer_of("Answer"), "type", "object", "properties",
                     "result", answer_of(name));
}

static json_t *responses(const struct command *c)
{
    static const struct {
        const char *status, *text;
    } rows[] = {
        {"200", "done"},
        {"400", "the request is wrong (exit status 2)"},
        {"403", "not allowed (4)"},
        {"404", "no such user, key, ... (3)"},
        {"409", "conflict (5)"},
        {"415", "the request is not application/json, or comes from a page of a browser"},
        {"500", "failed (1)"},
        {"503", "too much at once; try again"},
    };
    json_t *all = json_object();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        json_object_set_new(all, rows[i].status,
                            json_pack("{s:s, s:{s:{s:o}}}", "description", rows[i].text, "content",
                                      "application/json", "schema",
                                      i == 0 ? done_schema(c) : answer_of("Answer")));
    return all;
}

static json_t *operation(const struct command *c)
{
    char id[64];
    snprintf(id, sizeof id, "%.60s", c->name);
    for (char *p = id; *p != '\0'; p++)
        *p = *p == ' ' ? '_' : *p;
    char *description = NULL;
    if (asprintf(&description, "%s%sNeeds the role %s%s%s.", c->details == NULL ? "" : c->details,
                 c->details == NULL ? "" : "\n\n", role_name(c->role),
                 c->others > c->role ? "; on accounts other than one's own: " : "",
                 c->others > c->role ? role_name(c->others) : "") < 0)
        return NULL;
    json_t *object = json_pack("{s:{s:s, s:s, s:s, s:{s:{s:{s:o}}}, s:o}}", "post", "operationId", id,
                               "summary", c->help, "description", description, "requestBody", "content",
                               "application/json", "schema", body_schema(c), "responses", responses(c));
    free(description);
    return object;
}

static json_t *paths(void)
{
    json_t *all = json_object();
    for (const struct command *c = command_table(); c->name != NULL; c++) {
        char path[80];
        snprintf(path, sizeof path, "/v1/%.70s", c->name);
        for (char *p = path; *p != '\0'; p++)
            *p = *p == ' ' ? '/' : *p;
        json_object_set_new(all, path, operation(c));
    }
    return all;
}

static json_t *answer_schema(void)
{
    return json_pack("{s:s, s:[s], s:{s:{s:s, s:s}, s:{s:s}, s:{s:s, s:s}, s:{s:s, s:s}, s:{s:s}, s:{s:s}, "
                     "s:{s:s, s:{s:s}, s:s}, s:{s:s}}}",
                     "type", "object", "required", "exit", "properties",                              //
                     "exit", "type", "integer", "description", "exit status of the verb",             //
                     "result", "description", "what --json prints",                                   //
                     "stdout", "type", "string", "description", "output that is not JSON",            //
                     "stdout_base64", "type", "string", "description", "ditto, when it is not UTF-8", //
                     "stderr", "type", "string", "stderr_base64", "type", "string",                   //
                     "files", "type", "object", "additionalProperties", "type", "string",             //
                     "description", "files the verb wrote, by name, in base64",                       //
                     "error", "$ref", "#/components/schemas/Error");
}

static json_t *schemas(void)
{
    json_t *all = json_pack("{s:o}", "Answer", answer_schema());
    int failed = 0;
    for (const struct answer_schema *s = answer_schemas(); s->name != NULL; s++) {
        json_t *one = json_loadb((const char *)s->text, s->length, 0, NULL);
        json_object_del(one, "$schema"); // the document has its own, and its own base
        json_object_del(one, "$id");
        if (strcmp(s->name, "error") == 0) // the answer is around it already
            failed |=
                json_object_set(all, "Error", json_object_get(json_object_get(one, "properties"), "error"));
        else if (strchr(s->name, '.') == NULL) // lines are text here
            failed |= json_object_set(all, s->name, one);
        json_decref(one);
    }
    if (failed == 0)
        return all;
    json_decref(all);
    return NULL;
}

json_t *openapi_document(void)
{
    return json_pack(
        "{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s, s:s}], s:o, s:{s:o, s:{s:{s:s, s:s}}}, s:[{s:[]}]}",
        "openapi", "3.1.0", "info", "title", "containarium", "version", CONTAINARIUM_VERSION, "description",
        "The verbs of containarium(1) as HTTPS and JSON. A client certificate says who asks.", "license",
        "name", "Apache License 2.0", "identifier", "Apache-2.0", "servers", "url", "https://GATEWAY:50051",
        "description", "containariumd --listen-tls", "paths", paths(), "components", "schemas", schemas(),
        "securitySchemes", "certificate", "type", "mutualTLS", "description",
        "made by: containarium cert client NAME", "security", "certificate");
}
