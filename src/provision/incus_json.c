// Owns the shape of Incus' JSON. Refuses what it does not understand; never trusts a length or a type.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "provision/incus_json_part.h"

static const char *const state_names[] = {
    [BOX_STATE_UNKNOWN] = "Unknown", [BOX_STATE_ABSENT] = "-",        [BOX_STATE_STOPPED] = "Stopped",
    [BOX_STATE_FROZEN] = "Frozen",   [BOX_STATE_RUNNING] = "Running", [BOX_STATE_ERROR] = "Error",
};

const char *box_state_name(enum box_state state)
{
    return (size_t)state < sizeof state_names / sizeof *state_names ? state_names[state] : "Unknown";
}

enum box_state incus_state(const char *status)
{
    for (enum box_state s = BOX_STATE_STOPPED; s <= BOX_STATE_ERROR; s++) {
        if (strcmp(status, state_names[s]) == 0)
            return s;
    }
    return BOX_STATE_UNKNOWN; // Starting, Stopping, Aborting, Freezing, Thawed, ...
}

static bool mentions(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcasestr(text, *words) != NULL)
            return true;
    }
    return false;
}

// Incus 6.0 answers most failures with 400 or 500 and says what it was in words only (operations have no code
// at all), so the words decide first. Each was seen on a real one; see FACTS and
// tests/unit/test_provision_json.c.
enum err incus_error(long code, const char *text)
{
    static const char *const full[] = {"no space left",    "disk quota exceeded", "quota exceeded",
                                       "not enough space", "reached maximum",     NULL};
    static const char *const conflict[] = {"already running", "already frozen",
                                           "already stopped", "already exists",
                                           "is already",      "is busy",
                                           "is running",      "not running",
                                           "isn't running",   "UNIQUE constraint",
                                           "is not frozen",   "currently in use",
                                           "is being",        NULL};
    static const char *const timeout[] = {"deadline exceeded", "timed out", NULL};
    static const char *const gone[] = {"shutting down", "daemon is starting", "connection refused", NULL};
    // What Incus has checked and refuses stays refused, whatever else its sentence mentions: "Failed start
    // validation for device "eth0": IP address "10.0.0.16" already defined on another NIC".
    static const char *const refused[] = {"start validation", "validation failed", "Invalid devices",
                                          "Invalid config", NULL};
    if (mentions(text, full))
        return ERR_FULL;
    if (mentions(text, refused))
        return ERR_FAILED;
    if (mentions(text, conflict))
        return ERR_CONFLICT;
    if (mentions(text, timeout))
        return ERR_TIMEOUT;
    if (mentions(text, gone))
        return ERR_UNAVAILABLE;
    switch (code) {
    case 401:
    case 403:
        return ERR_DENIED;
    case 404:
        return ERR_NOTFOUND;
    case 409:
    case 412:
    case 423:
        return ERR_CONFLICT;
    case 408:
    case 504:
        return ERR_TIMEOUT;
    case 502:
    case 503:
        return ERR_UNAVAILABLE;
    case 507:
        return ERR_FULL;
    default:
        return ERR_FAILED;
    }
}

const char *incus_text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

// Negative numbers and other types are 0.
uint64_t incus_number_of(const json_t *object, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(object, key));
    return n > 0 ? (uint64_t)n : 0;
}

json_t *incus_load(const char *data, size_t length, struct fault *f)
{
    json_error_t error;
    json_t *root = data == NULL ? NULL : json_loadb(data, length, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL || !json_is_object(root)) {
        json_decref(root);
        fault_set(f, ERR_PROTOCOL,
                  "Incus gave an answer that is not JSON as expected (%zu bytes): is [incus] url "
                  "the address of an Incus?",
                  length);
        return NULL;
    }
    return root;
}

enum err incus_read_envelope(const char *data, size_t length, struct incus_envelope *out, struct fault *f)
{
    *out = (struct incus_envelope){.async = false};
    json_t *root = incus_load(data, length, f);
    if (root == NULL)
        return ERR_PROTOCOL;
    enum err e = ERR_NONE;
    const char *type = incus_text_of(root, "type"), *operation = incus_text_of(root, "operation");
    if (strcmp(type, "error") == 0) {
        out->error_code = (long)incus_number_of(root, "error_code");
        if (out->error_code == 0)
            out->error_code = 500;
        snprintf(out->error, sizeof out->error, "%.399s", incus_text_of(root, "error"));
    } else if (strcmp(type, "async") == 0) {
        out->async = true;
        if (strncmp(operation, "/1.0/operations/", 16) != 0 || strlen(operation) >= sizeof out->operation ||
            strpbrk(operation, "?# \r\n") != NULL)
            e = fault_set(f, ERR_PROTOCOL, "Incus began an operation and gave no usable name of it");
        else
            snprintf(out->operation, sizeof out->operation, "%.127s", operation);
    } else if (strcmp(type, "sync") != 0) {
        e = fault_set(f, ERR_PROTOCOL, "Incus gave an answer of an unknown type");
    }
    json_decref(root);
    return e;
}

enum err incus_read_operation(const char *data, size_t length, struct fault *f)
{
    json_t *root = incus_load(data, length, f);
    if (root == NULL)
        return ERR_PROTOCOL;
    enum err e = ERR_NONE;
    const json_t *metadata = json_object_get(root, "metadata");
    const char *words = incus_text_of(metadata, "err");
    uint64_t status =
        incus_number_of(metadata, "status_code"); // 103 running, 200 success, 400 failure, 401 cancelled
    if (strcmp(incus_text_of(root, "type"), "error") ==
        0) { // Incus 6.0: the failure of the operation stands here
        words = incus_text_of(root, "error");
        e = fault_set(f, incus_error((long)incus_number_of(root, "error_code"), words), "%s", words);
    } else if (status == 200) {
        e = ERR_NONE;
    } else if (status >= 100 && status < 200) {
        e = fault_set(f, ERR_TIMEOUT, "Incus is still busy with it");
    } else if (status == 0) {
        e = fault_set(f, ERR_PROTOCOL, "Incus gave no status of an operation");
    } else {
        e = fault_set(f, incus_error(0, words), "%s",
                      words[0] != '\0' ? words : "Incus cancelled the operation");
    }
    json_decref(root);
    return e;
}

enum err incus_read_instance(const char *data, size_t length, struct incus_instance *out, struct fault *f)
{
    *out = (struct incus_instance){.state = BOX_STATE_UNKNOWN};
    json_t *root = incus_load(data, length, f);
    if (root == NULL)
        return ERR_PROTOCOL;
    enum err e = ERR_NONE;
    const json_t *box = json_object_get(root, "metadata");
    const char *status = incus_text_of(box, "status");
    if (status[0] == '\0') {
        e = fault_set(f, ERR_PROTOCOL, "Incus gave no status of the box");
        goto out;
    }
    out->state = incus_state(status);
    const char *used = incus_text_of(box, "last_used_at");
    out->ever_started = strncmp(used, "1970-", 5) != 0 && strncmp(used, "0001-", 5) != 0;
    const json_t *nic = json_object_get(json_object_get(box, "devices"), "eth0");
    snprintf(out->address, sizeof out->address, "%.63s", incus_text_of(nic, "ipv4.address"));
out:
    json_decref(root);
    return e;
}

// "2026-11-23T21:24:12.351286865Z", as unix time; 0 for anything else and for Go's zero time.
int64_t incus_time_of(const char *text)
{
    struct tm tm = {.tm_sec = 0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest == NULL || tm.tm_year <= 70)
        return 0;
    return (int64_t)timegm(&tm);
}

static void read_entry(const json_t *box, struct box_entry *out)
{
    *out = (struct box_entry){.state = incus_state(incus_text_of(box, "status"))};
    snprintf(out->name, sizeof out->name, "%.63s", incus_text_of(box, "name"));
    const json_t *state = json_object_get(box, "state");
    const json_t *root = json_object_get(json_object_get(state, "disk"), "root");
    out->usage.disk = incus_number_of(root, "usage");
    out->usage.disk_limit = incus_number_of(root, "total");
    if (out->state != BOX_STATE_RUNNING && out->state != BOX_STATE_FROZEN)
        return;
    const json_t *memory = json_object_get(state, "memory");
    out->usage.memory = incus_number_of(memory, "usage");
    out->usage.memory_limit = incus_number_of(memory, "total");
    out->usage.cpu_ns = incus_number_of(json_object_get(state, "cpu"), "usage");
    out->usage.processes = (unsigned)incus_number_of(state, "processes");
    out->usage.started_at = incus_time_of(incus_text_of(state, "started_at"));
    if (out->usage.started_at == 0)
        out->usage.started_at = incus_time_of(incus_text_of(box, "last_used_at"));
}

enum err incus_read_usage(const char *data, size_t length, struct box_entry *out, struct fault *f)
{
    *out = (struct box_entry){.state = BOX_STATE_UNKNOWN};
    json_t *root = incus_load(data, length, f);
    if (root == NULL)
        return ERR_PROTOCOL;
    enum err e = ERR_NONE;
    const json_t *box = json_object_get(root, "metadata");
    if (incus_text_of(box, "status")[0] == '\0')
        e = fault_set(f, ERR_PROTOCOL, "Incus gave no status of the box");
    else
        read_entry(box, out);
    json_decref(root);
    return e;
}

enum err incus_read_list(const char *data, size_t length, struct box_entry **list, size_t *count,
                         struct fault *f)
{
    *list = NULL;
    *count = 0;
    json_t *root = incus_load(data, length, f);
    if (root == NULL)
        return ERR_PROTOCOL;
    enum err e = ERR_NONE;
    const json_t *boxes = json_object_get(root, "metadata");
    size_t n = json_array_size(boxes);
    if (!json_is_array(boxes)) {
        e = fault_set(f, ERR_PROTOCOL, "Incus gave no list of boxes");
    } else if (n > 0) {
        *list = calloc(n, sizeof **list);
        if (*list == NULL)
            e = fault_set(f, ERR_MEMORY, "out of memory");
        for (size_t k = 0; *list != NULL && k < n; k++)
            read_entry(json_array_get(boxes, k), &(*list)[k]);
        *count = *list != NULL ? n : 0;
    }
    json_decref(root);
    return e;
}

static json_t *settings_config(const struct incus_settings *s)
{
    char memory[32];
    snprintf(memory, sizeof memory, "%" PRIu64 "B", s->memory);
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "limits.cpu", s->cpu, "limits.memory", memory,
                     "security.nesting", "true", "security.idmap.isolated", "true", "boot.autostart",
                     s->autostart ? "true" : "false");
}

static json_t *root_device(uint64_t bytes, const struct config *c)
{
    char size[32];
    snprintf(size, sizeof size, "%" PRIu64 "B", bytes);
    return json_pack("{s:s, s:s, s:s, s:s}", "type", "disk", "path", "/", "pool", c->incus_pool, "size",
                     size);
}

static json_t *settings_devices(const struct incus_settings *s, const struct config *c)
{
    return json_pack("{s:o, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s}}", "root", root_device(s->disk, c), "eth0",
                     "type", "nic", "name", "eth0", "network", c->incus_network, "ipv4.address", s->address,
                     "security.port_isolation", "true", "security.mac_filtering", "true",
                     "security.ipv4_filtering", "true");
}

char *incus_dump(json_t *root)
{
    char *text = root == NULL ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

char *incus_write_create(const struct incus_settings *s, const struct config *c)
{
    bool exact = strlen(s->image) == 64 && strspn(s->image, "0123456789abcdef") == 64;
    return incus_dump(json_pack("{s:s, s:s, s:[s], s:{s:s, s:s}, s:o, s:o}", "name", s->name, "type",
                                "container", "profiles", c->incus_profile, "source", "type", "image",
                                exact ? "fingerprint" : "alias", s->image, "config", settings_config(s),
                                "devices", settings_devices(s, c)));
}

char *incus_write_correct(const struct incus_settings *s, const struct config *c)
{
    return incus_dump(
        json_pack("{s:o, s:o}", "config", settings_config(s), "devices", settings_devices(s, c)));
}

char *incus_write_change(const struct box_change *change, const struct config *c)
{
    char memory[32];
    json_t *root = json_pack("{s:{}, s:{}}", "config", "devices");
    json_t *config = json_object_get(root, "config"), *devices = json_object_get(root, "devices");
    bool ok = root != NULL;
    snprintf(memory, sizeof memory, "%" PRIu64 "B", change->memory);
    if (change->cpu[0] != '\0')
        ok = json_object_set_new(config, "limits.cpu", json_string(change->cpu)) == 0 && ok;
    if (change->memory > 0)
        ok = json_object_set_new(config, "limits.memory", json_string(memory)) == 0 && ok;
    if (change->autostart != CHANGE_KEEP)
        ok = json_object_set_new(config, "boot.autostart",
                                 json_string(change->autostart == CHANGE_ON ? "true" : "false")) == 0 &&
             ok;
    if (change->disk > 0)
        ok = json_object_set_new(devices, "root", root_device(change->disk, c)) == 0 && ok;
    if (!ok) {
        json_decref(root);
        return NULL;
    }
    return incus_dump(root);
}
