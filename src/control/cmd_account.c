// list, info: what is known of users and their boxes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/gateway_link.h"
#include "control/idle.h"
#include "control/table.h"
#include "store/share.h"

// ---- list

struct listing {
    struct command_run *run;
    struct table *table; // or
    json_t *array;
    size_t count;
};

static const struct box_entry *find_entry(const struct command_run *run, const char *name)
{
    for (size_t i = 0; i < run->entry_count; i++) {
        if (strcmp(run->entries[i].name, name) == 0)
            return &run->entries[i];
    }
    return NULL;
}

// "in use", "3h 5m", "-" when never used.
static void idle_text(const struct command_run *run, const struct account *account, char *out, size_t size)
{
    time_t since = idle_since(run->control, account->id), now = time(NULL);
    if (idle_in_use(run->control, account->id))
        snprintf(out, size, "in use");
    else if (since == 0 || account->last_login == 0)
        snprintf(out, size, "-");
    else
        duration_format((uint64_t)(now > since ? now - since : 0) * 1000, out, size);
}

static void list_row(struct listing *l, const struct account *account, const struct box_row *row,
                     const struct box_entry *entry)
{
    char idle[48], limit[32], used[32], disk[32], memory[72];
    struct box_result seen = {.code = l->run->result.code,
                              .state = entry == NULL ? BOX_STATE_ABSENT : entry->state};
    enum box_state state = row->driver == BOX_DRIVER_STATIC ? BOX_STATE_UNKNOWN : describe_state(row, &seen);
    bool running = state == BOX_STATE_RUNNING && entry != NULL;
    idle_text(l->run, account, idle, sizeof idle);
    if (l->array != NULL) {
        json_t *one = describe_json(account, row, state, running ? &entry->usage : NULL);
        if (one != NULL)
            json_object_set_new(one, "sessions",
                                json_integer(gateway_count_live(l->run->control->gateway, account->id)));
        if (one != NULL)
            json_object_set_new(one, "idle_since",
                                idle_in_use(l->run->control, account->id)
                                    ? json_null()
                                    : describe_time(idle_since(l->run->control, account->id)));
        json_array_append_new(l->array, one);
        return;
    }
    if (row->driver == BOX_DRIVER_STATIC) {
        table_row(l->table, "%s\t%s\tStatic\t%s\t-\t-\t-\t-\t%s", row->name, account->name, row->address,
                  idle);
        return;
    }
    size_format(row->memory, limit, sizeof limit);
    snprintf(memory, sizeof memory, "%s/%s",
             running ? size_format_human(entry->usage.memory, used, sizeof used) : "-", limit);
    table_row(l->table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", row->name, account->name,
              describe_state_name(row, state), running || state == BOX_STATE_FROZEN ? row->address : "-",
              row->cpu, memory, size_format(row->disk, disk, sizeof disk), row->autostart ? "yes" : "no",
              idle);
}

static enum err list_one(const struct account *account, void *arg, struct fault *f)
{
    struct listing *l = arg;
    struct box_row row;
    enum err e = box_get(l->run->control->store, account->id, &row, f);
    l->count++;
    if (e == ERR_NONE)
        list_row(l, account, &row, find_entry(l->run, row.name));
    else if (e != ERR_NOTFOUND)
        return e;
    else if (l->array != NULL)
        json_array_append_new(
            l->array, json_pack("{s:s, s:s}", "user", account->name, "role", role_name(account->role)));
    else
        table_row(l->table, "-\t%s\t-\t-\t-\t-\t-\t-\t-", account->name);
    return ERR_NONE;
}

static void on_listed(struct command_run *run)
{
    struct listing l = {.run = run};
    struct fault f;
    if (run->result.code != ERR_NONE)
        verb_note(run, "Incus was not reached, so states are not known: %s", run->result.fault.text);
    if (run->json)
        l.array = json_array();
    else
        l.table = table_new();
    table_spare(l.table, 0); // which USER tells
    table_row(l.table, "NAME\tUSER\tSTATE\tIP\tCPU\tMEMORY\tQUOTA\tAUTOSTART\tIDLE");
    if (account_each(run->control->store, list_one, &l, &f) != ERR_NONE) {
        json_decref(l.array);
        table_free(l.table);
        verb_fail(run, &f);
        return;
    }
    if (run->json) {
        verb_result(run, l.array);
    } else {
        verb_table(run, l.table);
        if (l.count == 0)
            verb_note(run, "No users yet. Make one: %s create alice --ssh-key alice.pub", verb_program(run));
    }
    table_free(l.table);
    verb_done(run);
}

void cmd_list(struct command_run *run)
{
    verb_list(run, on_listed);
}

// ---- info

#define CPU_SAMPLE_MS 250 // between the two looks that give a rate

struct sample {
    uint64_t at, cpu_ns;
};

static void print_use(struct command_run *run, const struct box_usage *usage, bool running, double cores)
{
    char used[32], limit[32], uptime[48];
    const struct box_row *row = &run->row;
    time_t now = time(NULL);
    verb_out(run, "Disk Quota:     %s\n", size_format(row->disk, limit, sizeof limit));
    if (usage->disk > 0)
        verb_out(run, "Disk Used:      %s (%.0f%%)\n", size_format_human(usage->disk, used, sizeof used),
                 row->disk > 0 ? 100.0 * (double)usage->disk / (double)row->disk : 0.0);
    else
        verb_out(run, "Disk Used:      -\n");
    size_format(row->memory, limit, sizeof limit);
    if (!running) {
        verb_out(run, "Memory:         - / %s\nCPU Usage:      -\nUptime:         -\n", limit);
        return;
    }
    verb_out(run, "Memory:         %s / %s\n", size_format_human(usage->memory, used, sizeof used), limit);
    verb_out(run, "CPU Usage:      %.0f%% of a core\n", cores * 100.0);
    verb_out(run, "Uptime:         %s\n",
             duration_format(usage->started_at > 0 && now > usage->started_at
                                 ? (uint64_t)(now - usage->started_at) * 1000
                                 : 0,
                             uptime, sizeof uptime));
}

static enum err info_key(const struct account_key *key, void *arg, struct fault *f)
{
    struct command_run *run = arg;
    (void)f;
    verb_out(run, "Key:            %s %s%s%s\n", key->key.type, key->key.fingerprint,
             key->key.comment[0] == '\0' ? "" : " ", key->key.comment);
    return ERR_NONE;
}

static enum err info_share(const struct share *share, void *arg, struct fault *f)
{
    char until[32];
    (void)f;
    if (share_in_force(share, time(NULL)))
        verb_out(arg, "Shared with:    %s%s%s\n", share->guest, share->until == 0 ? "" : " until ",
                 share->until == 0 ? "" : when_format(share->until, until, sizeof until));
    return ERR_NONE;
}

static enum err add_guest(const struct share *share, void *arg, struct fault *f)
{
    if (!share_in_force(share, time(NULL)))
        return ERR_NONE;
    json_t *one = json_pack("{s:s, s:o}", "user", share->guest, "until", describe_time(share->until));
    if (one == NULL || json_array_append_new(arg, one) != 0)
        return fault_set(f, ERR_MEMORY, "out of memory");
    return ERR_NONE;
}

static json_t *guests(const struct command_run *run)
{
    json_t *list = json_array();
    struct fault f;
    if (list != NULL &&
        share_each(run->control->store, run->account.id, 0, add_guest, list, &f) != ERR_NONE) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static void info_json(struct command_run *run, enum box_state state, double cores)
{
    bool running = state == BOX_STATE_RUNNING;
    json_t *object = describe_json(&run->account, &run->row, state, running ? &run->result.usage : NULL);
    if (object != NULL) {
        json_object_set_new(object, "keys", describe_keys(run->control->store, run->account.id));
        json_object_set_new(object, "shared_with", guests(run));
        json_object_set_new(object, "sessions",
                            json_integer(gateway_count_live(run->control->gateway, run->account.id)));
        json_object_set_new(object, "cpu_cores_used", running ? json_real(cores) : json_null());
        json_object_set_new(object, "idle",
                            run->row.driver == BOX_DRIVER_STATIC
                                ? json_null()
                                : describe_idle_json(run->control->config, &run->row));
    }
    verb_result(run, object);
    verb_done(run);
}

static void info_text(struct command_run *run, enum box_state state, double cores)
{
    const struct box_row *row = &run->row;
    char text[160];
    struct fault f;
    bool is_static = row->driver == BOX_DRIVER_STATIC;
    verb_out(run, "Container:      %s\n", row->name);
    verb_out(run, "Status:         %s\n",
             state == BOX_STATE_ABSENT && !is_static ? "made at the first login"
                                                     : describe_state_name(row, state));
    verb_out(run, "User:           %s\n", row->user);
    if (run->account.role != ROLE_USER)
        verb_out(run, "Role:           %s\n", role_name(run->account.role));
    verb_out(run, "IP Address:     %s\n", row->address[0] == '\0' ? "-" : row->address);
    if (!is_static) {
        verb_out(run, "CPU:            %s\n", describe_cpu(row->cpu, text, sizeof text));
        print_use(run, &run->result.usage, state == BOX_STATE_RUNNING, cores);
        verb_out(run, "Auto-start:     %s\n", row->autostart ? "Enabled" : "Disabled");
        verb_out(run, "Sleep:          %s\n", describe_idle(run->control->config, row, text, sizeof text));
        verb_out(run, "Image:          %s\n", row->image);
    }
    if (account_key_each(run->control->store, run->account.id, info_key, run, &f) != ERR_NONE ||
        share_each(run->control->store, run->account.id, 0, info_share, run, &f) != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    verb_out(run, "Last login:     %s\n",
             run->account.last_login == 0 ? "never"
                                          : when_format(run->account.last_login, text, sizeof text));
    verb_out(run, "Open sessions:  %u\n", gateway_count_live(run->control->gateway, run->account.id));
    verb_done(run);
}

static void info_show(struct command_run *run, double cores)
{
    bool is_static = run->row.driver == BOX_DRIVER_STATIC;
    enum box_state state = is_static ? BOX_STATE_UNKNOWN : describe_state(&run->row, &run->result);
    if (!is_static && run->result.code != ERR_NONE)
        verb_note(run, "Incus was not reached, so the state is not known: %s", run->result.fault.text);
    if (run->json)
        info_json(run, state, cores);
    else
        info_text(run, state, cores);
}

static void on_second_look(struct command_run *run)
{
    const struct sample *first = run->state;
    uint64_t passed = monotonic_ms() - first->at, cpu = run->result.usage.cpu_ns;
    double cores = 0;
    if (run->result.code == ERR_NONE && passed > 0 && cpu > first->cpu_ns)
        cores = (double)(cpu - first->cpu_ns) / 1e6 / (double)passed;
    info_show(run, cores);
}

static void on_slept(struct command_run *run)
{
    verb_box(run, BOX_OP_STATE, on_second_look);
}

static void on_first_look(struct command_run *run)
{
    if (run->result.code != ERR_NONE || run->result.state != BOX_STATE_RUNNING) {
        info_show(run, 0);
        return;
    }
    struct sample *sample = verb_state(run, sizeof *sample, free);
    if (sample == NULL)
        return;
    *sample = (struct sample){.at = monotonic_ms(), .cpu_ns = run->result.usage.cpu_ns};
    verb_sleep(run, CPU_SAMPLE_MS, on_slept);
}

void cmd_info(struct command_run *run)
{
    struct fault f;
    enum err e = box_get(run->control->store, run->account.id, &run->row, &f);
    if (e == ERR_NOTFOUND) {
        verb_failf(run, ERR_NOTFOUND, "%s has no box yet: it is made at the first login", run->user);
    } else if (e != ERR_NONE) {
        verb_fail(run, &f);
    } else if (run->row.driver == BOX_DRIVER_STATIC || run->row.phase == BOX_ABSENT) {
        info_show(run, 0);
    } else {
        verb_box(run, BOX_OP_STATE, on_first_look);
    }
}
