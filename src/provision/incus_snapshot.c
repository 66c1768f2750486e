// Snapshots of a box, and going back to one.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provision/incus_call.h"

static enum err snapshot_path(const struct incus *i, const char *name, const char *snapshot, char *out,
                              size_t out_size, struct fault *f)
{
    char suffix[320] = "/snapshots/";
    if (snapshot[0] == '\0' || strchr(snapshot, '/') != NULL ||
        !http_escape(snapshot, suffix + 11, sizeof suffix - 11))
        return fault_set(f, ERR_INVALID, "\"%.64s\" cannot be the name of a snapshot", snapshot);
    return incus_box_path(i, name, suffix, "", out, out_size, f);
}

enum err incus_snapshots(struct incus *i, const char *name, struct box_snapshot **list, size_t *count,
                         struct fault *f)
{
    char path[768];
    struct http_answer a = {.length = 0};
    *list = NULL;
    *count = 0;
    enum err e = incus_box_path(i, name, "/snapshots", "&recursion=1", path, sizeof path, f);
    if (e == ERR_NONE)
        e = incus_fetch(i, path, &a, f);
    if (e == ERR_NONE)
        e = incus_read_snapshots(a.body, a.length, list, count, f);
    http_answer_free(&a);
    return e;
}

enum err incus_snapshot_create(struct incus *i, const char *name, const char *snapshot, struct fault *f)
{
    char path[768];
    enum err e = incus_box_path(i, name, "/snapshots", "", path, sizeof path, f);
    if (e != ERR_NONE)
        return e;
    char *json = incus_write_snapshot(snapshot);
    if (json == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    e = incus_call(i, "POST", path, json, f);
    free(json);
    return e;
}

enum err incus_snapshot_restore(struct incus *i, const char *name, const char *snapshot, struct fault *f)
{
    char path[768];
    enum err e = incus_box_path(i, name, "", "", path, sizeof path, f);
    if (e != ERR_NONE)
        return e;
    char *json = incus_write_restore(snapshot);
    if (json == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    e = incus_call(i, "PUT", path, json, f);
    free(json);
    return e;
}

enum err incus_snapshot_delete(struct incus *i, const char *name, const char *snapshot, struct fault *f)
{
    char path[1100];
    enum err e = snapshot_path(i, name, snapshot, path, sizeof path, f);
    return e == ERR_NONE ? incus_call(i, "DELETE", path, NULL, f) : e;
}
