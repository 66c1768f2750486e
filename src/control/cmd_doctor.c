// doctor: is everything there that a login needs, and how to mend what is not.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/cmd.h"
#include "control/command_run.h"
#include "control/dial.h"
#include "control/doctor.h"
#include "control/table.h"

#define GREETING_MS 2000

struct examination {
    struct findings findings;
    struct command_run *run;
    const char *cursor; // in [gateway] listen
    char host[64];
    uint16_t port;
    struct dial *dial;
};

static void examination_free(void *state)
{
    struct examination *x = state;
    if (x == NULL)
        return;
    dial_cancel(x->dial);
    free(x);
}

// ---- the end

static void print_json(struct command_run *run, const struct findings *all, bool well)
{
    json_t *checks = json_array();
    for (size_t i = 0; i < all->count; i++) {
        const struct finding *one = &all->list[i];
        json_array_append_new(checks, json_pack("{s:s, s:s, s:s, s:s}", "check", one->what, "level",
                                                finding_level_name(one->level), "text", one->text, "mend",
                                                one->mend));
    }
    verb_result(run, json_pack("{s:b, s:o}", "well", well, "checks", checks));
}

static const char *tint_of(enum finding_level level)
{
    return level == FINDING_OK ? TINT_GOOD : level == FINDING_WARN ? TINT_CARE : TINT_BAD;
}

static void print_text(struct command_run *run, const struct findings *all)
{
    unsigned failed = 0, warned = 0;
    struct table *t = table_new();
    for (size_t i = 0; i < all->count; i++) {
        const struct finding *one = &all->list[i];
        failed += one->level == FINDING_FAIL;
        warned += one->level == FINDING_WARN;
        table_row(t, "%s\t%s\t%s", finding_level_name(one->level), one->what, one->text);
        table_tint(t, run->colours ? tint_of(one->level) : "");
        if (one->mend[0] == '\0')
            continue;
        table_row(t, "\t\tTo mend it: %s", one->mend);
        table_keep_whole(t);
    }
    verb_table(run, t);
    table_free(t);
    if (failed > 0)
        verb_out(run, "\n%u of %zu checks failed; warnings: %u.\n", failed, all->count, warned);
    else if (warned > 0)
        verb_out(run, "\nNothing failed; warnings: %u.\n", warned);
    else
        verb_out(run, "\nAll is well.\n");
}

static void print_findings(struct command_run *run)
{
    struct examination *x = run->state;
    bool well = true;
    doctor_check_host(&x->findings, run->control);
    for (size_t i = 0; i < x->findings.count; i++)
        well = well && x->findings.list[i].level != FINDING_FAIL;
    if (run->json)
        print_json(run, &x->findings, well);
    else
        print_text(run, &x->findings);
    verb_end(run, well ? 0 : 1);
}

// ---- the gateway, as a client sees it

static void knock(struct command_run *run);

static void on_answer(void *arg, int fd, const struct fault *f)
{
    struct examination *x = arg;
    x->dial = NULL;
    if (fd >= 0) {
        close(fd);
        doctor_note(&x->findings, "gateway", FINDING_OK, NULL, "an SSH server answers on %s port %u", x->host,
                    (unsigned)x->port);
    } else {
        doctor_note(&x->findings, "gateway", FINDING_FAIL,
                    "systemctl status containarium-gateway.socket containarium-gateway", "%s port %u: %.180s",
                    x->host, (unsigned)x->port, f->text);
    }
    verb_go_on(x->run);
}

// Each address in turn; where it listens on all of them, the loopback stands for them.
static void knock(struct command_run *run)
{
    struct examination *x = run->state;
    struct fault f;
    if (!config_listen_next(&x->cursor, x->host, sizeof x->host, &x->port)) {
        print_findings(run);
        return;
    }
    if (strcmp(x->host, "0.0.0.0") == 0)
        snprintf(x->host, sizeof x->host, "127.0.0.1");
    else if (strcmp(x->host, "::") == 0)
        snprintf(x->host, sizeof x->host, "::1");
    verb_wait_for(run, RUN_WAITS_INSIDE, knock);
    x->dial = dial_start(run->control->base, x->host, x->port, true, GREETING_MS, on_answer, x, &f);
    if (x->dial == NULL)
        verb_fail(run, &f);
}

// ---- boxes, as both sides know them

struct comparison {
    const struct command_run *run;
    unsigned missing;
    char first[NAME_BOX_SIZE];
};

static enum err compare(const struct box_row *row, void *arg, struct fault *f)
{
    struct comparison *c = arg;
    (void)f;
    if (row->driver != BOX_DRIVER_INCUS || row->phase != BOX_READY)
        return ERR_NONE;
    for (size_t i = 0; i < c->run->entry_count; i++) {
        if (strcmp(c->run->entries[i].name, row->name) == 0)
            return ERR_NONE;
    }
    if (c->missing++ == 0)
        snprintf(c->first, sizeof c->first, "%s", row->name);
    return ERR_NONE;
}

static void on_listed(struct command_run *run)
{
    struct examination *x = run->state;
    struct comparison c = {.run = run};
    struct fault f = {.code = ERR_NONE};
    if (run->result.code == ERR_NONE && box_each(run->control->store, compare, &c, &f) == ERR_NONE) {
        if (c.missing > 0)
            doctor_note(&x->findings, "boxes", FINDING_WARN, "bring pool or backup back, or delete the user",
                        "%u known here and gone from Incus, %s for one", c.missing, c.first);
        else
            doctor_note(&x->findings, "boxes", FINDING_OK, NULL, "%zu in Incus, none is missing",
                        run->entry_count);
    }
    knock(run);
}

static void on_health(struct command_run *run)
{
    struct examination *x = run->state;
    doctor_check_incus(&x->findings, run->control->config, run->health, &run->result.fault);
    if (run->health != NULL)
        verb_list(run, on_listed);
    else
        knock(run);
}

void cmd_doctor(struct command_run *run)
{
    struct examination *x = verb_state(run, sizeof *x, examination_free);
    if (x == NULL)
        return;
    x->run = run;
    x->cursor = run->control->config->listen;
    verb_provision(run, BOX_OP_HEALTH, NULL, on_health);
}
