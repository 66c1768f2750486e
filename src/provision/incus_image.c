// Images: the ones boxes are made of, and boxes on their way out of Incus and back in. A box leaves as an
// image, not as one of Incus' own backups: those cannot be read back into a restricted project (6.0.4:
// "Setting volatile.cloud-init.instance-id ... is forbidden", also for root).
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/units.h"
#include "provision/incus_call.h"

#define PATIENCE_MS 20000 // of one wait for an operation that may take as long as it likes
#define LEFTOVER_S 86400  // an image of a box that we could not remove is one that Incus may

static void list_path(const struct incus *i, char *out, size_t out_size)
{
    snprintf(out, out_size, "/1.0/images?recursion=1&project=%s", i->project);
}

static enum err image_path(const struct incus *i, const char *fingerprint, const char *suffix, char *out,
                           size_t out_size, struct fault *f)
{
    if (strlen(fingerprint) != 64 || strspn(fingerprint, "0123456789abcdef") != 64)
        return fault_set(f, ERR_INVALID, "\"%.70s\" is not the fingerprint of an image", fingerprint);
    snprintf(out, out_size, "/1.0/images/%s%s?project=%s", fingerprint, suffix, i->project);
    return ERR_NONE;
}

enum err incus_images(struct incus *i, struct box_image **list, size_t *count, struct fault *f)
{
    char path[512];
    struct http_answer a = {.length = 0};
    *list = NULL;
    *count = 0;
    list_path(i, path, sizeof path);
    enum err e = incus_fetch(i, path, &a, f);
    if (e == ERR_NONE)
        e = incus_read_images(a.body, a.length, list, count, f);
    http_answer_free(&a);
    return e;
}

enum err incus_image_delete(struct incus *i, const char *fingerprint, struct fault *f)
{
    char path[512];
    enum err e = image_path(i, fingerprint, "", path, sizeof path, f);
    return e == ERR_NONE ? incus_call(i, "DELETE", path, NULL, f) : e;
}

enum err incus_image_account(struct incus *i, const char *fingerprint, char **account, struct fault *f)
{
    char path[512];
    struct http_answer a = {.length = 0};
    *account = NULL;
    enum err e = image_path(i, fingerprint, "", path, sizeof path, f);
    if (e == ERR_NONE)
        e = incus_fetch(i, path, &a, f);
    if (e == ERR_NONE)
        e = incus_read_image_account(a.body, a.length, account, f);
    http_answer_free(&a);
    return e;
}

enum err incus_image_alias(struct incus *i, const char *alias, const char *fingerprint, struct fault *f)
{
    char path[768], escaped[400];
    char *json = incus_write_alias(alias, fingerprint);
    enum err e = ERR_NONE;
    if (json == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    if (!http_escape(alias, escaped, sizeof escaped))
        e = fault_set(f, ERR_INVALID, "\"%.64s\" cannot be the alias of an image", alias);
    snprintf(path, sizeof path, "/1.0/images/aliases/%s?project=%s", escaped, i->project);
    if (e == ERR_NONE)
        e = incus_call(i, "PATCH", path, json, f);
    if (e == ERR_NOTFOUND) {
        snprintf(path, sizeof path, "/1.0/images/aliases?project=%s", i->project);
        e = incus_call(i, "POST", path, json, f);
    }
    free(json);
    return e;
}

// Until the operation has ended, however long it takes: only an Incus that has gone silent is given up.
static enum err wait_long(struct incus *i, const char *operation, char *fingerprint, struct fault *f)
{
    char path[512];
    enum err e = ERR_NONE;
    bool busy = true;
    snprintf(path, sizeof path, "%s/wait?timeout=%d&project=%s", operation, PATIENCE_MS / 1000, i->project);
    while (busy) {
        struct http_request q = {.method = "GET", .path = path, .timeout_ms = 2 * PATIENCE_MS};
        struct http_answer a;
        uint64_t began = monotonic_ms();
        e = incus_ask(i, &q, &a, f);
        if (e == ERR_NONE)
            e = incus_read_operation(a.body, a.length, f);
        if (e == ERR_NONE)
            e = incus_read_fingerprint(a.body, a.length, fingerprint, f);
        http_answer_free(&a);
        busy = e == ERR_TIMEOUT && monotonic_ms() - began < 2 * PATIENCE_MS - 1000;
    }
    return e;
}

// What began with this answer, to its end: the image's fingerprint.
static enum err image_of(struct incus *i, const struct http_answer *a, char *fingerprint, struct fault *f)
{
    struct incus_envelope envelope = {.async = false};
    enum err e = incus_checked(a, &envelope, f);
    if (e == ERR_NONE && !envelope.async)
        e = fault_set(f, ERR_PROTOCOL, "Incus made an image at once, without an operation");
    return e == ERR_NONE ? wait_long(i, envelope.operation, fingerprint, f) : e;
}

enum err incus_publish(struct incus *i, const char *name, const char *account, char *fingerprint,
                       struct fault *f)
{
    char path[512];
    char *json = incus_write_publish(name, account, time(NULL) + LEFTOVER_S);
    if (json == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    snprintf(path, sizeof path, "/1.0/images?project=%s", i->project);
    struct http_request q = {.method = "POST", .path = path, .json = json};
    struct http_answer a;
    enum err e = incus_ask(i, &q, &a, f);
    if (e == ERR_NONE)
        e = image_of(i, &a, fingerprint, f);
    http_answer_free(&a);
    free(json);
    return e;
}

enum err incus_image_save(struct incus *i, const char *fingerprint, int file, uint64_t *length,
                          struct fault *f)
{
    char path[512];
    struct http_stream save = {.fd = file, .stall_ms = i->config->incus_timeout};
    struct incus_envelope envelope;
    enum err e = image_path(i, fingerprint, "/export", path, sizeof path, f);
    if (e != ERR_NONE)
        return e;
    struct http_request q = {.method = "GET", .path = path, .save = &save};
    struct http_answer a = {.status = 0};
    e = http_perform(i->http, &q, &a, f);
    if (e == ERR_NONE && a.status != 200) {
        e = incus_checked(&a, &envelope, f);
        if (e == ERR_NONE)
            e = fault_set(f, ERR_PROTOCOL, "Incus answered %ld where an image was asked for", a.status);
    }
    http_answer_free(&a);
    // An image is called by the SHA-256 of its file.
    if (e == ERR_NONE && strcmp(save.sha256, fingerprint) != 0)
        e = fault_set(f, ERR_PROTOCOL,
                      "what came out of Incus (%" PRIu64 " bytes) is not what went in: its SHA-256 is wrong",
                      save.length);
    *length = save.length;
    return e;
}

enum err incus_image_load(struct incus *i, int file, uint64_t length, char *fingerprint, bool *existed,
                          struct fault *f)
{
    char path[512];
    struct fault why = {.code = ERR_NONE};
    struct http_stream load = {.fd = file, .length = length, .stall_ms = i->config->incus_timeout};
    snprintf(path, sizeof path, "/1.0/images?project=%s", i->project);
    struct http_request q = {.method = "POST", .path = path, .load = &load};
    struct http_answer a = {.status = 0};
    enum err e = http_perform(i->http, &q, &a, &why);
    if (e == ERR_NONE)
        e = image_of(i, &a, fingerprint, &why);
    http_answer_free(&a);
    *existed = e == ERR_CONFLICT && strstr(why.text, "same fingerprint") != NULL;
    if (*existed) {
        snprintf(fingerprint, INCUS_FINGERPRINT_SIZE, "%s", load.sha256);
        return ERR_NONE;
    }
    return e == ERR_NONE ? e : fault_set(f, e, "%s", why.text);
}
