// Owns the way of a box through an image of Incus' and a file. Leaves no image behind that was only on its
// way.
#include "provision/box_export.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"

enum err box_image_list(struct box_run *r)
{
    return incus_images(r->i, &r->w->result.images, &r->w->result.image_count, &r->fault);
}

enum err box_image_use(struct box_run *r)
{
    return incus_image_alias(r->i, r->w->spec.image, r->w->spec.fingerprint, &r->fault);
}

enum err box_image_delete(struct box_run *r)
{
    enum err e = incus_image_delete(r->i, r->w->spec.fingerprint, &r->fault);
    return e == ERR_NOTFOUND ? ERR_NONE : e;
}

static void forget_image(struct box_run *r, const char *fingerprint)
{
    struct fault f;
    enum err e = incus_image_delete(r->i, fingerprint, &f);
    if (e != ERR_NONE && e != ERR_NOTFOUND)
        log_event(LOG_LEVEL_WARN, "image_left", "image=%s error=%s", fingerprint, log_quote(f.text));
}

// Of earlier exports that were cut off half-way.
static void forget_leftovers(struct box_run *r)
{
    struct box_image *list = NULL;
    size_t count = 0;
    struct fault f;
    if (incus_images(r->i, &list, &count, &f) != ERR_NONE)
        return; // whatever is wrong is found by what follows
    for (size_t k = 0; k < count; k++) {
        if (strcmp(list[k].box, r->w->spec.name) == 0)
            forget_image(r, list[k].fingerprint);
    }
    free(list);
}

enum err box_export(struct box_run *r)
{
    const struct box_spec *s = &r->w->spec;
    struct box_result *result = &r->w->result;
    enum err e = run_look(r);
    if (e == ERR_NONE && r->box.state != BOX_STATE_STOPPED)
        e = run_fail(r, ERR_CONFLICT, "%s has not stopped", s->name);
    if (e != ERR_NONE)
        return e;
    forget_leftovers(r);
    run_step(r, 0, "Packing %s", s->name);
    incus_set_deadline(r->i, UINT64_MAX);
    e = incus_publish(r->i, s->name, s->account, result->fingerprint, &r->fault);
    if (e != ERR_NONE)
        return e;
    run_step(r, 0, "Writing the backup");
    e = incus_image_save(r->i, result->fingerprint, s->file, &result->length, &r->fault);
    forget_image(r, result->fingerprint);
    forget_leftovers(r); // Incus may have completed one that was cut off only now
    return e;
}

enum err box_import(struct box_run *r)
{
    struct box_result *result = &r->w->result;
    struct stat st;
    bool existed = false;
    if (fstat(r->w->spec.file, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return run_fail(r, ERR_INVALID, "the backup is empty, or no file");
    run_step(r, 0, "Handing the backup to Incus");
    incus_set_deadline(r->i, UINT64_MAX);
    enum err e = incus_image_load(r->i, r->w->spec.file, (uint64_t)st.st_size, result->fingerprint, &existed,
                                  &r->fault);
    if (e == ERR_FAILED || e == ERR_PROTOCOL)
        fault_prefix(&r->fault, "Incus cannot read it: is it a backup, and a whole one?");
    if (e != ERR_NONE)
        return e;
    e = incus_image_account(r->i, result->fingerprint, &result->account, &r->fault);
    if (e != ERR_NONE && !existed)
        forget_image(r, result->fingerprint);
    if (e == ERR_NOTFOUND)
        e = run_fail(r, ERR_INVALID,
                     "this is an image without an account in it, not a backup made by `delete --backup`");
    return e;
}
