// Owns the shape of what Incus says of images, snapshots and itself; as incus_json.c.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "provision/incus_json_part.h"

// ---- snapshots

static int older_first(const void *a, const void *b)
{
    const struct box_snapshot *one = a, *two = b;
    if (one->created != two->created)
        return one->created < two->created ? -1 : 1;
    return strcmp(one->name, two->name);
}

enum err incus_read_snapshots(const char *data, size_t length, struct box_snapshot **list, size_t *count,
                              struct fault *f)
{
    *list = NULL;
    *count = 0;
    json_t *root = incus_load(data, length, f);
    if (root == NULL)
        return ERR_PROTOCOL;
    enum err e = ERR_NONE;
    const json_t *snapshots = json_object_get(root, "metadata");
    size_t n = json_array_size(snapshots);
    if (!json_is_array(snapshots))
        e = fault_set(f, ERR_PROTOCOL, "Incus gave no list of snapshots");
    else if (n > 0 && (*list = calloc(n, sizeof **list)) == NULL)
        e = fault_set(f, ERR_MEMORY, "out of memory");
    for (size_t k = 0; *list != NULL && k < n; k++) {
        const json_t *one = json_array_get(snapshots, k);
        const char *name = incus_text_of(one, "name"), *slash = strrchr(name, '/'); // older ones say BOX/NAME
        snprintf((*list)[k].name, sizeof(*list)[k].name, "%.63s", slash == NULL ? name : slash + 1);
        (*list)[k].created = incus_time_of(incus_text_of(one, "created_at"));
        (*list)[k].size = incus_number_of(one, "size");
    }
    if (*list != NULL) {
        *count = n;
        qsort(*list, n, sizeof **list, older_first);
    }
    json_decref(root);
    return e;
}

// ---- images

#define ACCOUNT_PROPERTY "containarium.account"
#define BOX_PROPERTY "containarium.box"

static void read_image(const json_t *image, struct box_image *out)
{
    const json_t *properties = json_object_get(image, "properties");
    const json_t *alias = json_array_get(json_object_get(image, "aliases"), 0);
    snprintf(out->alias, sizeof out->alias, "%.127s", incus_text_of(alias, "name"));
    snprintf(out->fingerprint, sizeof out->fingerprint, "%.64s", incus_text_of(image, "fingerprint"));
    snprintf(out->description, sizeof out->description, "%.127s", incus_text_of(properties, "description"));
    snprintf(out->box, sizeof out->box, "%.63s", incus_text_of(properties, BOX_PROPERTY));
    out->size = incus_number_of(image, "size");
    out->created = incus_time_of(incus_text_of(image, "uploaded_at"));
}

static int newer_first(const void *a, const void *b)
{
    const struct box_image *one = a, *two = b;
    if (one->created != two->created)
        return one->created > two->created ? -1 : 1;
    return strcmp(one->fingerprint, two->fingerprint);
}

enum err incus_read_images(const char *data, size_t length, struct box_image **list, size_t *count,
                           struct fault *f)
{
    *list = NULL;
    *count = 0;
    json_t *root = incus_load(data, length, f);
    if (root == NULL)
        return ERR_PROTOCOL;
    enum err e = ERR_NONE;
    const json_t *images = json_object_get(root, "metadata");
    size_t n = json_array_size(images);
    if (!json_is_array(images))
        e = fault_set(f, ERR_PROTOCOL, "Incus gave no list of images");
    else if (n > 0 && (*list = calloc(n, sizeof **list)) == NULL)
        e = fault_set(f, ERR_MEMORY, "out of memory");
    for (size_t k = 0; *list != NULL && k < n; k++)
        read_image(json_array_get(images, k), &(*list)[k]);
    if (*list != NULL) {
        *count = n;
        qsort(*list, n, sizeof **list, newer_first);
    }
    json_decref(root);
    return e;
}

enum err incus_read_image_account(const char *data, size_t length, char **account, struct fault *f)
{
    *account = NULL;
    json_t *root = incus_load(data, length, f);
    if (root == NULL)
        return ERR_PROTOCOL;
    enum err e = ERR_NONE;
    const json_t *properties = json_object_get(json_object_get(root, "metadata"), "properties");
    const char *text = incus_text_of(properties, ACCOUNT_PROPERTY);
    if (text[0] == '\0')
        e = fault_set(f, ERR_NOTFOUND, "there is no account in this image");
    else if ((*account = strdup(text)) == NULL)
        e = fault_set(f, ERR_MEMORY, "out of memory");
    json_decref(root);
    return e;
}

enum err incus_read_fingerprint(const char *data, size_t length, char *fingerprint, struct fault *f)
{
    json_t *root = incus_load(data, length, f);
    if (root == NULL)
        return ERR_PROTOCOL;
    enum err e = ERR_NONE;
    const json_t *made = json_object_get(json_object_get(root, "metadata"), "metadata");
    const char *text = incus_text_of(made, "fingerprint");
    if (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64)
        e = fault_set(f, ERR_PROTOCOL, "Incus made an image and gave no fingerprint of it");
    else
        memcpy(fingerprint, text, INCUS_FINGERPRINT_SIZE);
    json_decref(root);
    return e;
}

// ---- Incus itself

enum err incus_read_text(const char *data, size_t length, const char *key, char *out, size_t out_size,
                         struct fault *f)
{
    json_t *root = incus_load(data, length, f);
    if (root == NULL)
        return ERR_PROTOCOL;
    snprintf(out, out_size, "%s", incus_text_of(json_object_get(root, "metadata"), key));
    json_decref(root);
    return ERR_NONE;
}

enum err incus_read_version(const char *data, size_t length, char *out, size_t out_size, struct fault *f)
{
    json_t *root = incus_load(data, length, f);
    if (root == NULL)
        return ERR_PROTOCOL;
    const json_t *environment = json_object_get(json_object_get(root, "metadata"), "environment");
    snprintf(out, out_size, "%s", incus_text_of(environment, "server_version"));
    json_decref(root);
    return ERR_NONE;
}

enum err incus_read_space(const char *data, size_t length, uint64_t *used, uint64_t *total, struct fault *f)
{
    json_t *root = incus_load(data, length, f);
    if (root == NULL)
        return ERR_PROTOCOL;
    const json_t *space = json_object_get(json_object_get(root, "metadata"), "space");
    *used = incus_number_of(space, "used");
    *total = incus_number_of(space, "total");
    json_decref(root);
    return ERR_NONE;
}

// ---- requests

char *incus_write_snapshot(const char *snapshot)
{
    return incus_dump(json_pack("{s:s, s:b}", "name", snapshot, "stateful", false));
}

char *incus_write_restore(const char *snapshot)
{
    return incus_dump(json_pack("{s:s, s:b}", "restore", snapshot, "stateful", false));
}

char *incus_write_alias(const char *alias, const char *fingerprint)
{
    return incus_dump(json_pack("{s:s, s:s, s:s}", "name", alias, "target", fingerprint, "description", ""));
}

char *incus_write_publish(const char *box, const char *account, time_t expires)
{
    char when[32];
    return incus_dump(json_pack("{s:{s:s, s:s}, s:b, s:s, s:s, s:{s:s, s:s, s:s}}", "source", "type",
                                "instance", "name", box, "public", false, "compression_algorithm", "zstd",
                                "expires_at", when_format(expires, when, sizeof when), "properties",
                                "description", "backup of a box", BOX_PROPERTY, box, ACCOUNT_PROPERTY,
                                account));
}
