// resize: other limits for a box, while it runs. Incus first, then the store: a row never claims what is not
// so.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"

#define MEMORY_MIN UINT64_C(64000000) // as for [box] memory

struct resizing {
    struct box_wish wish;
    struct box_row before;
};

static enum err parse_wish(const struct command_run *run, struct box_change *change, struct fault *f)
{
    const char *cpu = verb_option(run, "cpu"), *memory = verb_option(run, "memory");
    const char *disk = verb_option(run, "disk");
    enum err e = ERR_NONE;
    if (cpu == NULL && memory == NULL && disk == NULL)
        return fault_set(f, ERR_INVALID,
                         "say what is to change: --cpu, --memory, --disk, or several of them");
    if (cpu != NULL && (e = cpu_parse(cpu, NULL, NULL, f)) != ERR_NONE)
        (void)fault_prefix(f, "--cpu");
    else if (memory != NULL && (e = size_parse(memory, &change->memory, f)) != ERR_NONE)
        (void)fault_prefix(f, "--memory");
    else if (disk != NULL && (e = size_parse(disk, &change->disk, f)) != ERR_NONE)
        (void)fault_prefix(f, "--disk");
    if (e == ERR_NONE && memory != NULL && change->memory < MEMORY_MIN)
        e = fault_set(f, ERR_INVALID, "--memory %.40s: a box needs 64MB at least", memory);
    if (e == ERR_NONE && cpu != NULL)
        snprintf(change->cpu, sizeof change->cpu, "%s", cpu);
    change->force = verb_flag(run, "force");
    return e;
}

// "4 cores", or "2 cores -> 4 cores".
static void print_line(struct command_run *run, const char *what, const char *before, const char *after)
{
    if (strcmp(before, after) == 0)
        verb_out(run, "  %-8s %s\n", what, after);
    else
        verb_out(run, "  %-8s %s -> %s\n", what, before, after);
}

static void print_limits(struct command_run *run, const struct box_row *was, const struct box_row *is)
{
    char before[96], after[96];
    verb_out(run, "%s:\n", is->name);
    print_line(run, "CPU", describe_cpu(was->cpu, before, sizeof before),
               describe_cpu(is->cpu, after, sizeof after));
    print_line(run, "Memory", size_format(was->memory, before, sizeof before),
               size_format(is->memory, after, sizeof after));
    print_line(run, "Disk", size_format(was->disk, before, sizeof before),
               size_format(is->disk, after, sizeof after));
}

static json_t *limits_json(const struct box_row *row)
{
    return json_pack("{s:s, s:I, s:I}", "cpu", row->cpu, "memory", (json_int_t)row->memory, "disk",
                     (json_int_t)row->disk);
}

static void on_changed(struct command_run *run)
{
    const struct resizing *r = run->state;
    if (run->result.code == ERR_FULL && r->wish.change.memory > 0)
        verb_hint(run, "Nothing was changed.");
    if (verb_box_failed(run))
        return;
    if (verb_flag(run, "verbose"))
        verb_note(run, "In force since %llu ms ago, without a restart; it was %s.",
                  (unsigned long long)run->result.elapsed_ms, box_state_name(run->result.was));
    if (run->json)
        verb_result(run, json_pack("{s:s, s:s, s:o, s:o}", "user", run->user, "box", run->row.name, "limits",
                                   limits_json(&run->row), "was", limits_json(&r->before)));
    else
        print_limits(run, &r->before, &run->row);
    verb_done(run);
}

void cmd_resize(struct command_run *run)
{
    struct fault f;
    char is[32], wanted[32];
    struct resizing *r = verb_state(run, sizeof *r, free);
    if (r == NULL)
        return;
    struct box_change *change = &r->wish.change;
    if (parse_wish(run, change, &f) != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    if (!verb_own_box(run))
        return;
    r->before = run->row;
    if (change->disk != 0 && change->disk < run->row.disk)
        verb_failf(
            run, ERR_CONFLICT,
            "the disk of %s is %s and can only grow; to get back to %s, create another box and copy what is "
            "needed",
            run->row.name, size_format(run->row.disk, is, sizeof is),
            size_format(change->disk, wanted, sizeof wanted));
    else
        verb_box_wish(run, BOX_OP_CHANGE, &r->wish, on_changed);
}
