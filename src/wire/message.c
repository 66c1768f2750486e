// The message table and the one encoder and decoder that walk it.
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

enum field_type { FIELD_TEXT, FIELD_NUMBER, FIELD_FLAG };

enum field_bit {
    F_ID = 1 << 0,
    F_VERSION = 1 << 1,
    F_ADDRESS = 1 << 2,
    F_PORT = 1 << 3,
    F_LOGIN = 1 << 4,
    F_USER = 1 << 5,
    F_KEY = 1 << 6,
    F_CLIENT = 1 << 7,
    F_KIND = 1 << 8,
    F_HOST = 1 << 9,
    F_TOKEN = 1 << 10,
    F_HOSTKEYS = 1 << 11,
    F_TEXT = 1 << 12,
    F_CODE = 1 << 13,
    F_DOOR = 1 << 14,
    F_BYTES_IN = 1 << 15,
    F_BYTES_OUT = 1 << 16,
    F_CHANNELS = 1 << 17,
    F_LEG = 1 << 18,
    F_CONSOLE = 1 << 19,
    F_PTY = 1 << 20,
    F_AGENT = 1 << 21,
    F_COMMAND = 1 << 22,
    F_KEX_MS = 1 << 23,
    F_AUTH_MS = 1 << 24,
    F_UNTIL = 1 << 25,
    F_COUNT = 1 << 26,
};

struct field {
    unsigned bit;
    const char *name;
    enum field_type type;
    size_t offset, size;
};

#define FIELD(bit, member, type)                                                                             \
    {                                                                                                        \
        bit, #member, type, offsetof(struct message, member), sizeof(((struct message *)0)->member)          \
    }
static const struct field fields[] = {
    FIELD(F_ID, id, FIELD_NUMBER),
    FIELD(F_VERSION, version, FIELD_NUMBER),
    FIELD(F_ADDRESS, address, FIELD_TEXT),
    FIELD(F_PORT, port, FIELD_NUMBER),
    FIELD(F_LOGIN, login, FIELD_TEXT),
    FIELD(F_USER, user, FIELD_TEXT),
    FIELD(F_KEY, key, FIELD_TEXT),
    FIELD(F_CLIENT, client, FIELD_TEXT),
    FIELD(F_KIND, kind, FIELD_TEXT),
    FIELD(F_HOST, host, FIELD_TEXT),
    FIELD(F_TOKEN, token, FIELD_TEXT),
    FIELD(F_HOSTKEYS, hostkeys, FIELD_TEXT),
    FIELD(F_TEXT, text, FIELD_TEXT),
    FIELD(F_CODE, code, FIELD_NUMBER),
    FIELD(F_DOOR, door, FIELD_NUMBER),
    FIELD(F_BYTES_IN, bytes_in, FIELD_NUMBER),
    FIELD(F_BYTES_OUT, bytes_out, FIELD_NUMBER),
    FIELD(F_CHANNELS, channels, FIELD_NUMBER),
    FIELD(F_LEG, leg, FIELD_FLAG),
    FIELD(F_CONSOLE, console, FIELD_FLAG),
    FIELD(F_PTY, pty, FIELD_FLAG),
    FIELD(F_AGENT, agent, FIELD_FLAG),
    FIELD(F_COMMAND, command, FIELD_TEXT),
    FIELD(F_KEX_MS, kex_ms, FIELD_NUMBER),
    FIELD(F_AUTH_MS, auth_ms, FIELD_NUMBER),
    FIELD(F_UNTIL, until, FIELD_NUMBER),
    FIELD(F_COUNT, count, FIELD_NUMBER),
};
#define FIELD_COUNT (sizeof fields / sizeof fields[0])

struct row {
    const char *name;
    unsigned stages; // in which a connection process may send it; 0 = only the control plane does
    unsigned fields;
};

static const struct row rows[MESSAGE_UNKNOWN] = {
    [MESSAGE_ADMIT] = {"admit", STAGE_NEW, F_ID | F_VERSION | F_ADDRESS | F_PORT},
    [MESSAGE_ATTACH] = {"attach", STAGE_NEW, F_ID | F_VERSION | F_TOKEN},
    [MESSAGE_KEY] = {"key", STAGE_ADMITTED, F_ID | F_LOGIN | F_KEY},
    [MESSAGE_LOGIN] = {"login", STAGE_ADMITTED, F_ID | F_LOGIN | F_KEY | F_CLIENT | F_KEX_MS | F_AUTH_MS},
    [MESSAGE_AUTH_FAILED] = {"auth-failed", STAGE_ADMITTED, F_LOGIN | F_KEY | F_TEXT},
    [MESSAGE_OPEN] = {"open", STAGE_AUTHENTICATED, F_ID | F_KIND | F_HOST | F_PORT | F_LEG},
    [MESSAGE_CANCEL] = {"cancel", STAGE_AUTHENTICATED, F_ID},
    [MESSAGE_CHANNEL_CLOSED] = {"channel-closed", STAGE_AUTHENTICATED,
                                F_ID | F_BYTES_IN | F_BYTES_OUT | F_TEXT},
    [MESSAGE_BYE] = {"bye", STAGE_NEW | STAGE_ADMITTED | STAGE_AUTHENTICATED,
                     F_BYTES_IN | F_BYTES_OUT | F_CHANNELS | F_TEXT},
    [MESSAGE_STATS] = {"stats", STAGE_AUTHENTICATED, F_BYTES_IN | F_BYTES_OUT | F_CHANNELS},
    [MESSAGE_LISTEN] = {"listen", STAGE_NEW, F_ID | F_VERSION},
    [MESSAGE_DROPPED] = {"dropped", STAGE_LISTENER, F_KIND | F_ADDRESS | F_COUNT},
    [MESSAGE_ADMITTED] = {"admitted", 0, F_ID},
    [MESSAGE_REFUSED] = {"refused", 0, F_ID | F_CODE | F_TEXT},
    [MESSAGE_KEY_OK] = {"key-ok", 0, F_ID},
    [MESSAGE_WELCOME] = {"welcome", 0, F_ID | F_TOKEN | F_USER | F_CONSOLE | F_PTY | F_AGENT | F_COMMAND},
    [MESSAGE_PROGRESS] = {"progress", 0, F_ID | F_TEXT},
    [MESSAGE_OPENED] = {"opened", 0, F_ID | F_DOOR | F_USER | F_HOSTKEYS},
    [MESSAGE_KICK] = {"kick", 0, F_TEXT},
    [MESSAGE_BAN] = {"ban", 0, F_ADDRESS | F_UNTIL},
    [MESSAGE_UNBAN] = {"unban", 0, F_ADDRESS},
    [MESSAGE_KNOWN] = {"known", 0, F_ADDRESS | F_UNTIL},
};

const char *message_name(enum message_type type)
{
    return type < MESSAGE_UNKNOWN ? rows[type].name : "unknown";
}

bool message_allowed(enum message_type type, enum link_stage stage)
{
    return type < MESSAGE_UNKNOWN && (rows[type].stages & (unsigned)stage) != 0;
}

static enum message_type type_parse(const char *name)
{
    for (int i = 0; name != NULL && i < MESSAGE_UNKNOWN; i++) {
        if (strcmp(rows[i].name, name) == 0)
            return (enum message_type)i;
    }
    return MESSAGE_UNKNOWN;
}

static enum err decode_field(const struct field *field, const json_t *value, struct message *m,
                             struct fault *f)
{
    char *at = (char *)m + field->offset;
    switch (field->type) {
    case FIELD_TEXT:
        if (!json_is_string(value) || json_string_length(value) >= field->size)
            break;
        memcpy(at, json_string_value(value), json_string_length(value) + 1);
        return ERR_NONE;
    case FIELD_NUMBER:
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            break;
        *(uint64_t *)(void *)at = (uint64_t)json_integer_value(value);
        return ERR_NONE;
    case FIELD_FLAG:
        if (!json_is_boolean(value))
            break;
        *(bool *)(void *)at = json_is_true(value);
        return ERR_NONE;
    }
    return fault_set(f, ERR_PROTOCOL, "message %s: field %s is malformed", message_name(m->type),
                     field->name);
}

enum err message_decode(const char *data, size_t length, struct message *out, struct fault *f)
{
    memset(out, 0, sizeof *out);
    out->type = MESSAGE_UNKNOWN;
    json_error_t error;
    json_t *root =
        json_loadb(data, length, JSON_REJECT_DUPLICATES, &error); // refuses NUL in strings by default
    if (root == NULL)
        return fault_set(f, ERR_PROTOCOL, "not a message: %s", error.text);
    enum err e = ERR_NONE;
    out->type = type_parse(json_string_value(json_object_get(root, "t")));
    if (out->type == MESSAGE_UNKNOWN) {
        e = fault_set(f, ERR_PROTOCOL, "unknown message type");
        goto out;
    }
    size_t found = 1;
    for (size_t i = 0; i < FIELD_COUNT && e == ERR_NONE; i++) {
        if ((rows[out->type].fields & fields[i].bit) == 0)
            continue;
        found++;
        e = decode_field(&fields[i], json_object_get(root, fields[i].name), out, f);
    }
    if (e == ERR_NONE && json_object_size(root) != found)
        e = fault_set(f, ERR_PROTOCOL, "message %s has fields it should not have", message_name(out->type));
out:
    json_decref(root);
    return e;
}

// Text of a peer need not be UTF-8, JSON must be: every byte of a text that is not becomes '?' if it is not
// ASCII.
static json_t *text_value(const char *text)
{
    json_t *value = json_string(text);
    if (value != NULL)
        return value;
    char *copy = strdup(text);
    if (copy == NULL)
        return NULL;
    for (char *p = copy; *p != '\0'; p++) {
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    }
    value = json_string(copy);
    free(copy);
    return value;
}

static json_t *encode_field(const struct field *field, const struct message *m)
{
    const char *at = (const char *)m + field->offset;
    switch (field->type) {
    case FIELD_TEXT:
        return text_value(at);
    case FIELD_NUMBER:
        return json_integer((json_int_t)(*(const uint64_t *)(const void *)at & INT64_MAX));
    case FIELD_FLAG:
        return json_boolean(*(const bool *)(const void *)at);
    }
    return NULL;
}

char *message_encode(const struct message *m, size_t *length)
{
    json_t *root = json_object();
    if (root == NULL || m->type >= MESSAGE_UNKNOWN)
        goto fail;
    if (json_object_set_new(root, "t", json_string(rows[m->type].name)) != 0)
        goto fail;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if ((rows[m->type].fields & fields[i].bit) != 0 &&
            json_object_set_new(root, fields[i].name, encode_field(&fields[i], m)) != 0)
            goto fail;
    }
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (text != NULL)
        *length = strlen(text);
    return text;
fail:
    json_decref(root);
    return NULL;
}

enum err message_send(struct link *l, const struct message *m, const int *fds, size_t fd_count)
{
    size_t length = 0;
    char *text = message_encode(m, &length);
    if (text == NULL)
        return ERR_MEMORY;
    enum err e = link_send(l, text, length, fds, fd_count);
    free(text);
    return e;
}
