// Owns the paths and the waiting of Incus' REST API. Knows no box life cycle: see box.c.
#include "provision/incus_call.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

struct incus *incus_new(const struct config *config, const atomic_bool *stop)
{
    struct incus *i = calloc(1, sizeof *i);
    if (i == NULL)
        return NULL;
    i->config = config;
    i->stop = stop;
    i->deadline = UINT64_MAX;
    i->http = http_new(config, stop);
    if (i->http == NULL || !http_escape(config->incus_project, i->project, sizeof i->project)) {
        incus_free(i);
        return NULL;
    }
    return i;
}

void incus_free(struct incus *i)
{
    if (i == NULL)
        return;
    http_free(i->http);
    free(i);
}

void incus_set_deadline(struct incus *i, uint64_t deadline)
{
    i->deadline = deadline;
}

// What a call may still take; 0 when the deadline has passed.
static uint64_t time_left(const struct incus *i)
{
    uint64_t now = monotonic_ms();
    uint64_t left = i->deadline > now ? i->deadline - now : 0;
    return left < i->config->incus_timeout ? left : i->config->incus_timeout;
}

enum err incus_ask(struct incus *i, struct http_request *q, struct http_answer *a, struct fault *f)
{
    *a = (struct http_answer){.status = 0};
    if (q->timeout_ms == 0)
        q->timeout_ms = time_left(i);
    if (q->timeout_ms == 0)
        return fault_set(f, ERR_TIMEOUT, "there was no time left to ask Incus");
    return http_perform(i->http, q, a, f);
}

enum err incus_checked(const struct http_answer *a, struct incus_envelope *envelope, struct fault *f)
{
    enum err e = incus_read_envelope(a->body, a->length, envelope, f);
    if (e == ERR_NONE && envelope->error_code != 0)
        e = fault_set(f, incus_error(envelope->error_code, envelope->error), "%s", envelope->error);
    return e;
}

// Waits until the operation has ended. Should we give up first, it goes on in Incus.
static enum err wait_for(struct incus *i, const char *operation, uint64_t patience_ms, struct fault *f)
{
    char path[512];
    uint64_t left = time_left(i);
    uint64_t patience = left < patience_ms ? left : patience_ms;
    if (left == 0)
        return fault_set(f, ERR_TIMEOUT, "there was no time left to wait for Incus");
    snprintf(path, sizeof path, "%s/wait?timeout=%" PRIu64 "&project=%s", operation, patience / 1000 + 1,
             i->project);
    // Incus gives up by itself after whole seconds; a little later so do we.
    struct http_request q = {.method = "GET", .path = path, .timeout_ms = patience + 1000};
    struct http_answer a;
    enum err e = incus_ask(i, &q, &a, f);
    if (e == ERR_NONE)
        e = incus_read_operation(a.body, a.length, f);
    http_answer_free(&a);
    return e;
}

static enum err call_within(struct incus *i, const char *method, const char *path, const char *json,
                            uint64_t patience_ms, struct fault *f)
{
    struct http_request q = {.method = method, .path = path, .json = json};
    struct incus_envelope envelope = {.async = false};
    struct http_answer a;
    enum err e = incus_ask(i, &q, &a, f);
    if (e == ERR_NONE)
        e = incus_checked(&a, &envelope, f);
    http_answer_free(&a);
    if (e == ERR_NONE && envelope.async)
        e = wait_for(i, envelope.operation, patience_ms, f);
    return e;
}

enum err incus_call(struct incus *i, const char *method, const char *path, const char *json, struct fault *f)
{
    return call_within(i, method, path, json, UINT64_MAX, f);
}

enum err incus_box_path(const struct incus *i, const char *name, const char *suffix, const char *more,
                        char *out, size_t out_size, struct fault *f)
{
    char escaped[256];
    int n = -1;
    if (name[0] != '\0' && strchr(name, '/') == NULL && name[0] != '.' &&
        http_escape(name, escaped, sizeof escaped))
        n = snprintf(out, out_size, "/1.0/instances/%s%s?project=%s%s", escaped, suffix, i->project, more);
    if (n < 0 || (size_t)n >= out_size)
        return fault_set(f, ERR_INVALID, "\"%.64s\" cannot be the name of a box", name);
    return ERR_NONE;
}

enum err incus_fetch(struct incus *i, const char *path, struct http_answer *a, struct fault *f)
{
    struct incus_envelope envelope;
    struct http_request q = {.method = "GET", .path = path};
    enum err e = incus_ask(i, &q, a, f);
    return e == ERR_NONE ? incus_checked(a, &envelope, f) : e;
}

// One box as Incus tells it. The answer is the caller's to free, also on error.
static enum err fetch_box(struct incus *i, const char *name, const char *more, struct http_answer *a,
                          struct fault *f)
{
    char path[768];
    *a = (struct http_answer){.length = 0};
    enum err e = incus_box_path(i, name, "", more, path, sizeof path, f);
    return e == ERR_NONE ? incus_fetch(i, path, a, f) : e;
}

enum err incus_get(struct incus *i, const char *name, struct incus_instance *out, struct fault *f)
{
    struct http_answer a;
    enum err e = fetch_box(i, name, "", &a, f);
    if (e == ERR_NONE)
        e = incus_read_instance(a.body, a.length, out, f);
    http_answer_free(&a);
    return e;
}

enum err incus_usage(struct incus *i, const char *name, struct box_entry *out, struct fault *f)
{
    struct http_answer a;
    enum err e = fetch_box(i, name, "&recursion=1", &a, f);
    if (e == ERR_NONE)
        e = incus_read_usage(a.body, a.length, out, f);
    http_answer_free(&a);
    return e;
}

enum err incus_list(struct incus *i, struct box_entry **list, size_t *count, struct fault *f)
{
    char path[512];
    struct incus_envelope envelope;
    *list = NULL;
    *count = 0;
    snprintf(path, sizeof path, "/1.0/instances?recursion=2&project=%s", i->project);
    struct http_request q = {.method = "GET", .path = path, .body_max = HTTP_BODY_MAX_LIST};
    struct http_answer a;
    enum err e = incus_ask(i, &q, &a, f);
    if (e == ERR_NONE)
        e = incus_checked(&a, &envelope, f);
    if (e == ERR_NONE)
        e = incus_read_list(a.body, a.length, list, count, f);
    http_answer_free(&a);
    return e;
}

enum err incus_create(struct incus *i, const struct incus_settings *s, struct fault *f)
{
    char path[512];
    char *json = incus_write_create(s, i->config);
    if (json == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    snprintf(path, sizeof path, "/1.0/instances?project=%s", i->project);
    enum err e = incus_call(i, "POST", path, json, f);
    free(json);
    if (e == ERR_NONE || f == NULL)
        return e;
    // The alias is looked up in the background: Incus 6.0 then says "Image not provided for instance
    // creation".
    if ((e == ERR_FAILED || e == ERR_NOTFOUND) && strstr(f->text, "mage not ") != NULL) {
        char words[sizeof f->text];
        memcpy(words, f->text, sizeof words);
        e = fault_set(f, ERR_NOTFOUND,
                      "the box image \"%.64s\" is not in Incus' project %.64s: run packaging/image.sh "
                      "(Incus: %.200s)",
                      s->image, i->config->incus_project, words);
    }
    return e;
}

enum err incus_correct(struct incus *i, const struct incus_settings *s, struct fault *f)
{
    char path[768];
    enum err e = incus_box_path(i, s->name, "", "", path, sizeof path, f);
    if (e != ERR_NONE)
        return e;
    char *json = incus_write_correct(s, i->config);
    if (json == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    e = incus_call(i, "PATCH", path, json, f);
    free(json);
    return e;
}

static enum err patch_change(struct incus *i, const char *path, const struct box_change *change,
                             struct fault *f)
{
    char *json = incus_write_change(change, i->config);
    if (json == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    enum err e = incus_call(i, "PATCH", path, json, f);
    free(json);
    return e;
}

// Incus 6.0 hands out cores when limits.cpu changes, but by what its database says, which may still be the
// old number: about every second change with a disk in it was lost on a box that runs (measured with 6.0.4).
// So the number is written twice, first as "02", then as "2": whichever the second round reads, it is the
// right one.
enum err incus_configure(struct incus *i, const char *name, const struct box_change *change, struct fault *f)
{
    char path[768];
    struct box_change first = *change, again = {.autostart = CHANGE_KEEP};
    enum err e = incus_box_path(i, name, "", "", path, sizeof path, f);
    if (e != ERR_NONE || change->cpu[0] == '\0')
        return e == ERR_NONE ? patch_change(i, path, change, f) : e;
    if (snprintf(first.cpu, sizeof first.cpu, "0%s", change->cpu) >= (int)sizeof first.cpu)
        return fault_set(f, ERR_INVALID, "the list of cores is too long: %s", change->cpu);
    snprintf(again.cpu, sizeof again.cpu, "%s", change->cpu);
    e = patch_change(i, path, &first, f);
    return e == ERR_NONE ? patch_change(i, path, &again, f) : e;
}

enum err incus_delete(struct incus *i, const char *name, struct fault *f)
{
    char path[768];
    enum err e = incus_box_path(i, name, "", "", path, sizeof path, f);
    if (e == ERR_NONE)
        e = incus_call(i, "DELETE", path, NULL, f);
    return e;
}

enum err incus_change(struct incus *i, const char *name, enum incus_action action, uint64_t patience_ms,
                      struct fault *f)
{
    static const char *const words[] = {
        [INCUS_START] = "start",     [INCUS_STOP] = "stop",     [INCUS_STOP_FORCE] = "stop",
        [INCUS_RESTART] = "restart", [INCUS_FREEZE] = "freeze", [INCUS_UNFREEZE] = "unfreeze",
    };
    char path[768], json[96];
    enum err e = incus_box_path(i, name, "/state", "", path, sizeof path, f);
    if (e != ERR_NONE)
        return e;
    bool force = action == INCUS_STOP_FORCE;
    snprintf(json, sizeof json, "{\"action\":\"%s\",\"timeout\":%d,\"force\":%s}", words[action],
             force ? -1 : (int)((patience_ms + 999) / 1000), force ? "true" : "false");
    return call_within(i, "PUT", path, json, action == INCUS_STOP ? patience_ms + 5000 : UINT64_MAX, f);
}

static enum err file_path(const struct incus *i, const char *name, const char *file, char *out,
                          size_t out_size, struct fault *f)
{
    char more[512] = "&path=";
    if (file[0] != '/' || !http_escape(file, more + 6, sizeof more - 6))
        return fault_set(f, ERR_INVALID, "\"%.64s\" cannot be the path of a file", file);
    return incus_box_path(i, name, "/files", more, out, out_size, f);
}

enum err incus_file_get(struct incus *i, const char *name, const char *file, char **data, size_t *length,
                        struct http_file *info, struct fault *f)
{
    char path[1024];
    struct incus_envelope envelope;
    *data = NULL;
    *length = 0;
    enum err e = file_path(i, name, file, path, sizeof path, f);
    if (e != ERR_NONE)
        return e;
    struct http_request q = {.method = "GET", .path = path};
    struct http_answer a;
    e = incus_ask(i, &q, &a, f);
    if (e != ERR_NONE)
        goto out;
    if (a.status != 200) {
        e = incus_checked(&a, &envelope, f);
        if (e == ERR_NONE)
            e = fault_set(f, ERR_PROTOCOL, "Incus answered %ld where a file was asked for", a.status);
        goto out;
    }
    // A symlink would be given as its target's name, a directory as a list.
    if (strcmp(a.file.type, "file") != 0) {
        e = fault_set(f, ERR_FAILED, "%s in %s is not a regular file but a %s", file, name,
                      a.file.type[0] != '\0' ? a.file.type : "thing unknown");
        goto out;
    }
    if (a.body == NULL)
        a.body = calloc(1, 1);
    if (a.body == NULL) {
        e = fault_set(f, ERR_MEMORY, "out of memory");
        goto out;
    }
    if (info != NULL)
        *info = a.file;
    *data = a.body;
    *length = a.length;
    a.body = NULL;
out:
    http_answer_free(&a);
    return e;
}

static enum err file_post(struct incus *i, const char *name, const char *file, const void *data,
                          size_t length, const struct http_file *info, struct fault *f)
{
    char path[1024];
    struct incus_envelope envelope;
    enum err e = file_path(i, name, file, path, sizeof path, f);
    if (e != ERR_NONE)
        return e;
    // With a form's content type Incus would read the body as the form and write an empty file; http.c sets
    // another.
    struct http_request q = {
        .method = "POST", .path = path, .data = data, .data_length = length, .file = info};
    struct http_answer a;
    e = incus_ask(i, &q, &a, f);
    if (e == ERR_NONE)
        e = incus_checked(&a, &envelope, f);
    http_answer_free(&a);
    return e;
}

enum err incus_file_put(struct incus *i, const char *name, const char *file, const void *data, size_t length,
                        const struct http_file *info, struct fault *f)
{
    struct http_file whole = *info;
    snprintf(whole.type, sizeof whole.type, "file");
    return file_post(i, name, file, data, length, &whole, f);
}

enum err incus_file_delete(struct incus *i, const char *name, const char *file, struct fault *f)
{
    char path[1024];
    enum err e = file_path(i, name, file, path, sizeof path, f);
    if (e == ERR_NONE)
        e = incus_call(i, "DELETE", path, NULL, f);
    return e;
}

enum err incus_mkdir(struct incus *i, const char *name, const char *file, unsigned mode, long uid, long gid,
                     struct fault *f)
{
    const struct http_file info = {.uid = uid, .gid = gid, .mode = mode, .type = "directory"};
    return file_post(i, name, file, NULL, 0, &info, f);
}
