// Owns one call's words.
#include "control/http_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "/v1/"

const struct command *http_call_command(const char *path)
{
    char name[64];
    size_t n = strlen(path);
    if (strncmp(path, PREFIX, strlen(PREFIX)) != 0 || n - strlen(PREFIX) >= sizeof name)
        return NULL;
    snprintf(name, sizeof name, "%s", path + strlen(PREFIX));
    char *slash = strchr(name, '/');
    if (strchr(name, ' ') != NULL)
        return NULL;
    if (slash != NULL)
        *slash = ' ';
    for (const struct command *c = command_table(); c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0)
            return c;
    }
    return NULL;
}

void http_call_clear(struct http_call *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->words[i]);
    json_decref(c->body);
    *c = (struct http_call){.count = 0};
}

static enum err add_word(struct http_call *c, const char *word, struct fault *f)
{
    if (c->count == HTTP_CALL_WORDS_MAX)
        return fault_set(f, ERR_INVALID, "more than %d words in one command", HTTP_CALL_WORDS_MAX);
    c->words[c->count] = strdup(word);
    if (c->words[c->count] == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    c->count++;
    return ERR_NONE;
}

static enum err add_option(struct http_call *c, const char *name, const char *value, struct fault *f)
{
    char *word = NULL;
    if (asprintf(&word, "--%s%s%s", name, value == NULL ? "" : "=", value == NULL ? "" : value) < 0)
        return fault_set(f, ERR_MEMORY, "out of memory");
    enum err e = add_word(c, word, f);
    free(word);
    return e;
}

static bool is_text(const json_t *value)
{
    return json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value);
}

// true, "text", a number, or a list of texts for an option that may be repeated.
static enum err add_value(struct http_call *c, const char *name, const json_t *value, struct fault *f)
{
    char number[32];
    if (json_is_false(value))
        return ERR_NONE;
    if (json_is_true(value))
        return add_option(c, name, NULL, f);
    if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return add_option(c, name, number, f);
    }
    if (is_text(value))
        return add_option(c, name, json_string_value(value), f);
    return fault_set(f, ERR_INVALID,
                     "\"options\": \"%.60s\" must be a text, a whole number, true or false, or a list of "
                     "texts",
                     name);
}

static enum err add_options(struct http_call *c, json_t *options, struct fault *f)
{
    const char *name;
    json_t *value, *item;
    size_t i;
    if (options == NULL)
        return ERR_NONE;
    if (!json_is_object(options))
        return fault_set(f, ERR_INVALID,
                         "\"options\" must be an object, like {\"cpu\": \"4\", \"lazy\": true}");
    json_object_foreach(options, name, value)
    {
        // A name goes behind two dashes and before an equals sign: it must not bring its own.
        if (name[0] == '\0' || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
            return fault_set(f, ERR_INVALID, "\"options\": \"%.60s\" is not the name of an option", name);
        enum err e = ERR_NONE;
        if (!json_is_array(value))
            e = add_value(c, name, value, f);
        else
            json_array_foreach(value, i, item) if (e == ERR_NONE) e = add_value(c, name, item, f);
        if (e != ERR_NONE)
            return e;
    }
    return ERR_NONE;
}

static enum err add_args(struct http_call *c, json_t *args, struct fault *f)
{
    json_t *word;
    size_t i;
    if (args == NULL)
        return ERR_NONE;
    if (!json_is_array(args))
        return fault_set(f, ERR_INVALID, "\"args\" must be a list of texts, like [\"alice\"]");
    enum err e = json_array_size(args) == 0 ? ERR_NONE : add_word(c, "--", f);
    json_array_foreach(args, i, word)
    {
        if (e == ERR_NONE && !is_text(word))
            e = fault_set(f, ERR_INVALID, "\"args\" must be a list of texts, like [\"alice\"]");
        if (e == ERR_NONE)
            e = add_word(c, json_string_value(word), f);
    }
    return e;
}

static enum err check_members(const json_t *body, struct fault *f)
{
    static const char *const known[] = {"args", "options", "stdin", "files"};
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        bool ok = false;
        for (size_t i = 0; i < 4; i++)
            ok = ok || strcmp(name, known[i]) == 0;
        if (!ok)
            return fault_set(f, ERR_INVALID, "\"%.60s\" is unknown; accepted: args, options, stdin, files",
                             name);
    }
    if (json_object_get(body, "stdin") != NULL && !json_is_string(json_object_get(body, "stdin")))
        return fault_set(f, ERR_INVALID, "\"stdin\" must be a text");
    json_t *files = json_object_get(body, "files");
    if (files == NULL)
        return ERR_NONE;
    if (!json_is_object(files))
        return fault_set(f, ERR_INVALID, "\"files\" must be an object of texts by file name");
    json_object_foreach(files, name, value)
    {
        if (!json_is_string(value))
            return fault_set(f, ERR_INVALID, "\"files\": \"%.60s\" must be a text", name);
    }
    return ERR_NONE;
}

static enum err add_verb(struct http_call *c, const struct command *command, struct fault *f)
{
    char name[64];
    char *rest = NULL;
    enum err e = ERR_NONE;
    snprintf(name, sizeof name, "%s", command->name);
    for (char *word = strtok_r(name, " ", &rest); word != NULL && e == ERR_NONE;
         word = strtok_r(NULL, " ", &rest))
        e = add_word(c, word, f);
    return e == ERR_NONE ? add_word(c, "--json", f) : e;
}

enum err http_call_parse(const struct command *command, const char *body, size_t length,
                         struct http_call *out, struct fault *f)
{
    json_error_t where;
    *out = (struct http_call){.count = 0};
    out->body = length == 0 ? json_object()
                            : json_loadb(body, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    if (out->body == NULL)
        return fault_set(f, ERR_INVALID, "the body is not JSON: line %d: %s", where.line, where.text);
    enum err e = ERR_NONE;
    if (!json_is_object(out->body))
        e = fault_set(f, ERR_INVALID, "the body must be an object, like {\"args\": [\"alice\"]}");
    if (e == ERR_NONE)
        e = check_members(out->body, f);
    if (e == ERR_NONE)
        e = add_verb(out, command, f);
    if (e == ERR_NONE)
        e = add_options(out, json_object_get(out->body, "options"), f);
    if (e == ERR_NONE)
        e = add_args(out, json_object_get(out->body, "args"), f);
    if (e != ERR_NONE)
        http_call_clear(out);
    return e;
}

static const char *text_of(const json_t *value, size_t *length)
{
    *length = json_is_string(value) ? json_string_length(value) : 0;
    return json_string_value(value);
}

const char *http_call_stdin(const struct http_call *c, size_t *length)
{
    const char *text = text_of(json_object_get(c->body, "stdin"), length);
    return text == NULL ? "" : text;
}

const char *http_call_file(const struct http_call *c, const char *name, size_t *length)
{
    return text_of(json_object_get(json_object_get(c->body, "files"), name), length);
}
