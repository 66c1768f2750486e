// image: what new boxes are made of. Images are built by packaging/image.sh; here they are looked at and
// chosen.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/table.h"

#define SHORT_FINGERPRINT 12
#define PREFIX_MIN 6 // characters of a fingerprint that name an image

static bool is_current(const struct command_run *run, const struct box_image *image)
{
    return strcmp(image->alias, run->control->config->incus_image) == 0;
}

static void list_json(struct command_run *run)
{
    json_t *array = json_array();
    for (size_t i = 0; i < run->image_count; i++) {
        const struct box_image *m = &run->images[i];
        json_array_append_new(array,
                              json_pack("{s:s, s:s, s:s, s:I, s:o, s:s, s:b}", "alias", m->alias,
                                        "fingerprint", m->fingerprint, "description", m->description, "size",
                                        (json_int_t)m->size, "added", describe_time((time_t)m->created),
                                        "backup_of", m->box, "current", is_current(run, m)));
    }
    verb_result(run, array);
}

static void list_text(struct command_run *run)
{
    char when[32], size[32];
    struct table *t = table_new();
    table_row(t, "NAME\tFINGERPRINT\tSIZE\tADDED\tNEW BOXES\tDESCRIPTION");
    for (size_t i = 0; i < run->image_count; i++) {
        const struct box_image *m = &run->images[i];
        table_row(t, "%s\t%.*s\t%s\t%s\t%s\t%s%s%s", m->alias[0] == '\0' ? "-" : m->alias, SHORT_FINGERPRINT,
                  m->fingerprint, size_format_human(m->size, size, sizeof size),
                  when_format((time_t)m->created, when, sizeof when), is_current(run, m) ? "yes" : "-",
                  m->description, m->box[0] == '\0' ? "" : ": ", m->box);
    }
    verb_table(run, t);
    table_free(t);
}

static void on_listed(struct command_run *run)
{
    if (verb_box_failed(run))
        return;
    if (run->json)
        list_json(run);
    else if (run->image_count == 0)
        verb_note(run, "There are no images. Build one on the gateway: packaging/image.sh");
    else
        list_text(run);
    verb_done(run);
}

void cmd_image_list(struct command_run *run)
{
    verb_provision(run, BOX_OP_IMAGES, NULL, on_listed);
}

// ---- use

// By alias, or by the first characters of its fingerprint. NULL: the run has failed.
static const struct box_image *find_image(struct command_run *run, const char *name)
{
    const struct box_image *found = NULL;
    size_t length = strlen(name);
    for (size_t i = 0; i < run->image_count; i++) {
        const struct box_image *m = &run->images[i];
        if (m->alias[0] != '\0' && strcmp(m->alias, name) == 0)
            return m;
        if (length < PREFIX_MIN || strncmp(m->fingerprint, name, length) != 0)
            continue;
        if (found != NULL) {
            verb_failf(run, ERR_CONFLICT, "%.64s is the beginning of more than one fingerprint", name);
            return NULL;
        }
        found = m;
    }
    if (found == NULL) {
        verb_hint(
            run,
            "Those there are: %s image list; build others on the gateway: packaging/image.sh --alias NAME",
            verb_program(run));
        verb_failf(run, ERR_NOTFOUND, "there is no image \"%.64s\"", name);
    }
    return found;
}

static void print_used(struct command_run *run, const char *fingerprint)
{
    if (run->json)
        verb_result(run, json_pack("{s:s, s:s}", "image", run->control->config->incus_image, "fingerprint",
                                   fingerprint));
    else
        verb_out(run, "New boxes are made of %.*s. Those there are stay what they are.\n", SHORT_FINGERPRINT,
                 fingerprint);
    verb_done(run);
}

static void on_used(struct command_run *run)
{
    if (run->result.code == ERR_DENIED)
        verb_hint(
            run,
            "The project was set up with images that others share (features.images=false): choose on the "
            "gateway, with [incus] image.");
    if (!verb_box_failed(run))
        print_used(run, run->state);
}

static void on_found(struct command_run *run)
{
    struct box_spec spec = {.is_static = false};
    if (verb_box_failed(run))
        return;
    const struct box_image *m = find_image(run, run->words[0]);
    if (m == NULL)
        return;
    if (m->box[0] != '\0') {
        verb_failf(run, ERR_CONFLICT,
                   "that is %s on its way into a backup or out of one, not an image for others", m->box);
        return;
    }
    if (is_current(run, m)) {
        print_used(run, m->fingerprint);
        return;
    }
    char *fingerprint = verb_state(run, sizeof spec.fingerprint, free);
    if (fingerprint == NULL)
        return;
    memcpy(fingerprint, m->fingerprint, sizeof spec.fingerprint);
    memcpy(spec.fingerprint, m->fingerprint, sizeof spec.fingerprint);
    snprintf(spec.image, sizeof spec.image, "%.127s", run->control->config->incus_image);
    verb_provision(run, BOX_OP_IMAGE_USE, &spec, on_used);
}

void cmd_image_use(struct command_run *run)
{
    verb_provision(run, BOX_OP_IMAGES, NULL, on_found);
}
