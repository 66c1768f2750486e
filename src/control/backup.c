// Owns the form of what is kept with a box. The private key the gateway had for it is not part of it: a box
// that is brought back gets a new one.
#include "control/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"

#define BACKUP_VERSION 1

// ---- account to text

static enum err add_key(const struct account_key *key, void *arg, struct fault *f)
{
    if (fprintf(arg, "%s %s %s\n", key->key.type, key->key.base64, key->key.comment) < 0)
        return fault_set(f, ERR_MEMORY, "out of memory");
    return ERR_NONE;
}

static char *keys_text(struct store *s, int64_t account_id, struct fault *f)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    enum err e = ERR_MEMORY;
    if (out != NULL)
        e = account_key_each(s, account_id, add_key, out, f);
    if (out == NULL || fclose(out) != 0)
        e = fault_set(f, ERR_MEMORY, "out of memory");
    if (e == ERR_NONE)
        return text;
    free(text);
    return NULL;
}

// What the box has of its own; times as configured are left out.
static bool add_idle(json_t *root, const struct idle_own *own)
{
    return (!own->has_freeze || json_object_set_new(root, "idle_freeze_ms",
                                                    json_integer((json_int_t)own->rules.freeze_ms)) == 0) &&
           (!own->has_stop ||
            json_object_set_new(root, "idle_stop_ms", json_integer((json_int_t)own->rules.stop_ms)) == 0);
}

char *backup_write(struct store *s, const struct account *account, const struct box_row *row, struct fault *f)
{
    char when[32];
    char *keys = keys_text(s, account->id, f), *text = NULL;
    if (keys == NULL)
        return NULL;
    json_t *root = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:s}", "version",
                             BACKUP_VERSION, "made", when_format(time(NULL), when, sizeof when), "user",
                             account->name, "role", role_name(account->role), "keys", keys, "image",
                             row->image, "cpu", row->cpu, "memory", (json_int_t)row->memory, "disk",
                             (json_int_t)row->disk, "autostart", row->autostart, "hostkeys", row->hostkeys);
    if (root != NULL && add_idle(root, &row->idle))
        text = json_dumps(root, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (text == NULL)
        fault_set(f, ERR_MEMORY, "out of memory");
    json_decref(root);
    free(keys);
    return text;
}

// ---- text to account

static bool copy(const json_t *root, const char *key, char *out, size_t out_size)
{
    const char *text = json_string_value(json_object_get(root, key));
    if (text == NULL || strlen(text) >= out_size)
        return false;
    snprintf(out, out_size, "%s", text);
    return true;
}

static uint64_t number(const json_t *root, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(root, key));
    return n > 0 ? (uint64_t)n : 0;
}

static bool read_idle(const json_t *root, const char *key, bool *has, uint64_t *ms)
{
    const json_t *value = json_object_get(root, key);
    *has = value != NULL;
    *ms = (uint64_t)json_integer_value(value);
    return value == NULL || (json_is_integer(value) && *ms <= IDLE_MS_MAX);
}

static enum err read_account(const json_t *root, struct backup *out, struct fault *f)
{
    struct box_row *row = &out->row;
    const char *keys = json_string_value(json_object_get(root, "keys"));
    const char *role = json_string_value(json_object_get(root, "role"));
    *row =
        (struct box_row){.driver = BOX_DRIVER_INCUS, .phase = BOX_ABSENT, .port = 22, .created = time(NULL)};
    if (json_integer_value(json_object_get(root, "version")) != BACKUP_VERSION)
        return fault_set(f, ERR_INVALID,
                         "this backup is of a version that is not known here: it takes a newer "
                         "containarium to read it");
    if (!copy(root, "user", row->user, sizeof row->user) || name_check_user(row->user, NULL) != ERR_NONE ||
        role == NULL || !role_parse(role, &out->role) || keys == NULL ||
        !copy(root, "cpu", row->cpu, sizeof row->cpu) || cpu_parse(row->cpu, NULL, NULL, NULL) != ERR_NONE ||
        !copy(root, "image", row->image, sizeof row->image) ||
        !copy(root, "hostkeys", row->hostkeys, sizeof row->hostkeys))
        return fault_set(f, ERR_INVALID, "what this backup says of its account is damaged");
    row->memory = number(root, "memory");
    row->disk = number(root, "disk");
    row->autostart = json_is_true(json_object_get(root, "autostart"));
    if (row->memory == 0 || row->disk == 0 ||
        !read_idle(root, "idle_freeze_ms", &row->idle.has_freeze, &row->idle.rules.freeze_ms) ||
        !read_idle(root, "idle_stop_ms", &row->idle.has_stop, &row->idle.rules.stop_ms))
        return fault_set(f, ERR_INVALID, "what this backup says of its box is damaged");
    name_box(row->user, row->name);
    out->keys = strdup(keys);
    return out->keys == NULL ? fault_set(f, ERR_MEMORY, "out of memory") : ERR_NONE;
}

enum err backup_parse(const char *text, struct backup *out, struct fault *f)
{
    *out = (struct backup){.keys = NULL};
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    enum err e = json_is_object(root)
                     ? read_account(root, out, f)
                     : fault_set(f, ERR_INVALID, "what this backup says of its account is damaged");
    json_decref(root);
    return e;
}

void backup_clear(struct backup *b)
{
    free(b->keys);
    *b = (struct backup){.keys = NULL};
}

// ---- the folder

static int open_folder(const struct config *config, struct fault *f)
{
    if (mkdir(config->backup_dir, 0700) != 0 && errno != EEXIST) {
        fault_errno(f, ERR_IO, "cannot make the folder for backups, [control] backup_dir %s",
                    config->backup_dir);
        return -1;
    }
    int folder = open(config->backup_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        fault_errno(f, ERR_IO, "cannot open the folder for backups, [control] backup_dir %s",
                    config->backup_dir);
    return folder;
}

int backup_file_make(const struct config *config, const char *what, char *path, size_t path_size,
                     struct fault *f)
{
    struct tm tm;
    time_t now = time(NULL);
    char when[32], name[96];
    int folder = open_folder(config, f);
    if (folder < 0)
        return -1;
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    snprintf(name, sizeof name, "%s-%s.backup", what, when);
    snprintf(path, path_size, "%s/%s", config->backup_dir, name);
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        fault_errno(f, ERR_IO, "cannot make %.300s", path);
    else if (fsync(folder) != 0) // its name must not be lost either, once the box is
        log_event(LOG_LEVEL_WARN, "backup_dir_not_synced", "error=%s", strerror(errno));
    close(folder);
    return fd;
}

int backup_file_open(const struct config *config, const char *name, struct fault *f)
{
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL) {
        fault_set(f, ERR_NOTFOUND, "\"%.100s\" is not a name in [control] backup_dir %.200s", name,
                  config->backup_dir);
        return -1;
    }
    int folder = open_folder(config, f);
    if (folder < 0)
        return -1;
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        fault_errno(f, errno == ENOENT ? ERR_NOTFOUND : ERR_IO,
                    "cannot open %.100s in [control] backup_dir %.200s", name, config->backup_dir);
    close(folder);
    return fd;
}
