// What must be right with Incus for boxes to work, looked at once: see struct box_health.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provision/incus_call.h"

// A GET of "/1.0/KIND/NAME" + suffix, in the project's eyes; the answer is the caller's to free.
static enum err look_at(struct incus *i, const char *kind, const char *name, const char *suffix,
                        struct http_answer *a, struct fault *f)
{
    char path[1200], escaped[600];
    *a = (struct http_answer){.length = 0};
    if (!http_escape(name, escaped, sizeof escaped))
        return fault_set(f, ERR_INVALID, "\"%.64s\" cannot be a name in Incus", name);
    snprintf(path, sizeof path, "/1.0/%s/%s%s?project=%s", kind, escaped, suffix, i->project);
    return incus_fetch(i, path, a, f);
}

static void look_at_pool(struct incus *i, struct box_health *h)
{
    struct http_answer a;
    struct fault *f = &h->pool;
    f->code = look_at(i, "storage-pools", i->config->incus_pool, "", &a, f);
    if (f->code == ERR_NONE)
        f->code = incus_read_text(a.body, a.length, "driver", h->pool_driver, sizeof h->pool_driver, f);
    http_answer_free(&a);
    if (f->code != ERR_NONE)
        return;
    f->code = look_at(i, "storage-pools", i->config->incus_pool, "/resources", &a, f);
    if (f->code == ERR_NONE)
        f->code = incus_read_space(a.body, a.length, &h->pool_used, &h->pool_total, f);
    http_answer_free(&a);
}

static void look_at_one(struct incus *i, const char *kind, const char *name, struct fault *f)
{
    struct http_answer a;
    f->code = look_at(i, kind, name, "", &a, f);
    http_answer_free(&a);
}

enum err incus_health(struct incus *i, struct box_health *h, struct fault *f)
{
    struct http_answer a;
    char auth[32] = "";
    *h = (struct box_health){.pool_used = 0};
    enum err e = incus_fetch(i, "/1.0", &a, f);
    if (e == ERR_NONE)
        e = incus_read_text(a.body, a.length, "auth", auth, sizeof auth, f);
    if (e == ERR_NONE)
        e = incus_read_version(a.body, a.length, h->version, sizeof h->version, f);
    http_answer_free(&a);
    if (e == ERR_NONE && strcmp(auth, "trusted") != 0)
        e = fault_set(f, ERR_DENIED, "Incus does not know our certificate (it is %.30s)", auth);
    if (e != ERR_NONE)
        return e;
    look_at_one(i, "projects", i->config->incus_project, &h->project);
    look_at_one(i, "networks", i->config->incus_network, &h->network);
    look_at_one(i, "profiles", i->config->incus_profile, &h->profile);
    look_at_one(i, "images/aliases", i->config->incus_image, &h->image);
    look_at_pool(i, h);
    return ERR_NONE;
}
