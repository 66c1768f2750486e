// Owns the paths, modes and owners of our files in a box (the contract with packaging/image). What is read
// from a box is its owner's: bounded, checked, never trusted.
#include "provision/box_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provision/authkeys.h"

#define FOLDER "/etc/containarium"
#define OWNER_ID 1000 // the user's uid and gid in the box, as the image makes them

static const struct http_file root_file = {.uid = 0, .gid = 0, .mode = 0644};
static const struct http_file key_file = {.uid = OWNER_ID, .gid = OWNER_ID, .mode = 0600};

// Writes FOLDER/leaf; makes the folder if the image has none.
static enum err write_ours(struct box_work *w, struct incus *i, const char *leaf, const char *text,
                           struct fault *f)
{
    char path[96];
    snprintf(path, sizeof path, FOLDER "/%s", leaf);
    enum err e = incus_file_put(i, w->spec.name, path, text, strlen(text), &root_file, f);
    if (e == ERR_NOTFOUND) {
        e = incus_mkdir(i, w->spec.name, FOLDER, 0755, 0, 0, f);
        if (e == ERR_NONE)
            e = incus_file_put(i, w->spec.name, path, text, strlen(text), &root_file, f);
    }
    if (e != ERR_NONE)
        fault_prefix(f, "cannot write %s into %s", path, w->spec.name);
    return e;
}

// NULL becomes "", a last line without newline gets one. malloc'd.
static char *lines_of(const char *text)
{
    char *out = NULL;
    size_t n = text == NULL ? 0 : strlen(text);
    bool whole = n == 0 || text[n - 1] == '\n';
    if (asprintf(&out, "%s%s", n > 0 ? text : "", whole ? "" : "\n") < 0)
        return NULL;
    return out;
}

static enum err write_lines(struct box_work *w, struct incus *i, const char *leaf, const char *text,
                            struct fault *f)
{
    char *lines = lines_of(text);
    if (lines == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    enum err e = write_ours(w, i, leaf, lines, f);
    free(lines);
    return e;
}

enum err box_files_write(struct box_work *w, struct incus *i, struct fault *f)
{
    enum err e = write_lines(w, i, "user", w->spec.user, f);
    if (e == ERR_NONE)
        e = write_lines(w, i, "authorized_keys", w->spec.gateway_key, f);
    if (e == ERR_NONE)
        e = write_lines(w, i, "user_keys", w->spec.authorized_keys, f);
    return e;
}

// Incus writes in place: it truncates, then writes. If that fails (a full disk) the old text is put back.
static enum err replace(struct box_work *w, struct incus *i, const char *path, const char *text,
                        size_t length, const char *old, size_t old_length, struct fault *f)
{
    enum err e = incus_file_put(i, w->spec.name, path, text, length, &key_file, f);
    struct fault second;
    if (e != ERR_NONE &&
        incus_file_put(i, w->spec.name, path, old, old_length, &key_file, &second) != ERR_NONE)
        fault_prefix(f, "its keys may be incomplete now (%.100s), free some space and try again",
                     second.text);
    return e;
}

// Missing file: makes it, and ~/.ssh. Missing home: the first boot has not come so far; it will read
// user_keys.
static enum err write_new(struct box_work *w, struct incus *i, const char *path, const char *text,
                          size_t length, struct fault *f)
{
    char folder[96];
    snprintf(folder, sizeof folder, "/home/%s/.ssh", w->spec.user);
    enum err e = incus_mkdir(i, w->spec.name, folder, 0700, OWNER_ID, OWNER_ID, f);
    if (e == ERR_NOTFOUND)
        return ERR_NONE;
    if (e == ERR_NONE)
        e = incus_file_put(i, w->spec.name, path, text, length, &key_file, f);
    return e;
}

static enum err write_home_keys(struct box_work *w, struct incus *i, struct fault *f)
{
    char path[128];
    char *old = NULL, *merged = NULL;
    size_t old_length = 0, length = 0;
    struct http_file info = key_file;
    snprintf(path, sizeof path, "/home/%s/.ssh/authorized_keys", w->spec.user);
    enum err e = incus_file_get(i, w->spec.name, path, &old, &old_length, &info, f);
    if (e != ERR_NONE && e != ERR_NOTFOUND)
        goto out;
    bool exists = e == ERR_NONE;
    e = ERR_NONE;
    merged = authkeys_merge(old, old_length, w->spec.authorized_keys == NULL ? "" : w->spec.authorized_keys,
                            &length);
    if (merged == NULL) {
        e = fault_set(f, ERR_MEMORY, "out of memory");
        goto out;
    }
    bool right = info.mode == key_file.mode && info.uid == OWNER_ID && info.gid == OWNER_ID;
    if (exists && right && length == old_length && memcmp(merged, old, length) == 0)
        goto out;
    if (exists && !right) { // Incus keeps mode and owner of what exists, and sshd insists on them
        e = incus_file_delete(i, w->spec.name, path, f);
        exists = false;
    }
    if (e == ERR_NONE && exists)
        e = replace(w, i, path, merged, length, old, old_length, f);
    else if (e == ERR_NONE)
        e = write_new(w, i, path, merged, length, f);
out:
    if (e != ERR_NONE)
        fault_prefix(f, "cannot write the keys of %s", w->spec.name);
    free(old);
    free(merged);
    return e;
}

enum err box_files_write_keys(struct box_work *w, struct incus *i, bool ever_started, struct fault *f)
{
    // Also later than the first boot: one that was interrupted runs again, and must not bring old keys back.
    enum err e = write_lines(w, i, "user_keys", w->spec.authorized_keys, f);
    if (e == ERR_NONE && ever_started)
        e = write_home_keys(w, i, f);
    return e;
}

bool box_hostkey_line(const char *data, size_t length, char *out, size_t out_size)
{
    static const char *const types[] = {"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
                                        "ecdsa-sha2-nistp521", "ssh-rsa"};
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    char line[1600];
    size_t used = strlen(out);
    if (length >= sizeof line || memchr(data, '\0', length) != NULL)
        return false;
    memcpy(line, data, length);
    line[length] = '\0';
    char *rest = NULL;
    const char *type = strtok_r(line, " \t\r\n", &rest);
    const char *blob = strtok_r(NULL, " \t\r\n", &rest);
    if (type == NULL || blob == NULL || strlen(blob) < 40 || blob[strspn(blob, base64)] != '\0')
        return false;
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        if (strcmp(type, types[k]) == 0) {
            int n = snprintf(out + used, out_size - used, "%s %s\n", type, blob);
            if (n > 0 && (size_t)n < out_size - used)
                return true;
            out[used] = '\0';
            return false;
        }
    }
    return false;
}

enum err box_files_read_hostkeys(struct box_work *w, struct incus *i, struct fault *f)
{
    static const char *const types[] = {"ed25519", "ecdsa", "rsa"};
    w->result.hostkeys[0] = '\0';
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        char path[64];
        char *data = NULL;
        size_t length = 0;
        snprintf(path, sizeof path, "/etc/ssh/ssh_host_%s_key.pub", types[k]);
        enum err e = incus_file_get(i, w->spec.name, path, &data, &length, NULL, f);
        if (e == ERR_NONE)
            (void)box_hostkey_line(data, length, w->result.hostkeys, sizeof w->result.hostkeys);
        free(data);
        if (e != ERR_NONE && e != ERR_NOTFOUND)
            return e;
    }
    if (w->result.hostkeys[0] == '\0')
        return fault_set(f, ERR_NOTFOUND,
                         "%s has no SSH host keys in /etc/ssh: was its image made by packaging/image.sh?",
                         w->spec.name);
    return ERR_NONE;
}
