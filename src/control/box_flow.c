// Owns the bookkeeping around box operations: the row's phase before, host keys and audit after, the commit
// between the deed and the word.
#include "control/box_flow.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "control/agent.h"
#include "control/deed.h"
#include "control/idle.h"
#include "control/writer.h"
#include "store/share.h"

struct flow {
    struct flow *next, **link;
    struct control *control;
    uint64_t ticket;
    enum box_op op;
    int64_t account_id;
    char actor[64];
    struct box_wish wish; // its file is the flow's own until it is submitted
    char *account;
    struct box_row row;
    bool have_row;
    struct box_result result; // its snapshots are the flow's own
    struct event *fail_event; // a failure found before submitting is told from the loop
    box_progress_fn progress;
    box_flow_done_fn done; // NULL once cancelled: the flow goes on, its bookkeeping is still owed
    void *arg;
};

struct box_flows {
    struct control *control;
    struct flow *head;
    uint64_t next_ticket;
    uint64_t recorded_flight; // the flight whose audit records were written last
};

struct box_flows *box_flows_new(struct control *c)
{
    struct box_flows *flows = calloc(1, sizeof *flows);
    if (flows != NULL)
        flows->control = c;
    return flows;
}

static void flow_free(struct flow *flow)
{
    writer_cancel(flow->control->writer, flow);
    if (flow->next != NULL)
        flow->next->link = flow->link;
    *flow->link = flow->next;
    if (flow->fail_event != NULL)
        event_free(flow->fail_event);
    free(flow->result.snapshots);
    free(flow->account);
    if (flow->wish.file > 0)
        close(flow->wish.file);
    free(flow);
}

void box_flows_free(struct box_flows *flows)
{
    if (flows == NULL)
        return;
    while (flows->head != NULL)
        flow_free(flows->head);
    free(flows);
}

static void tell(struct flow *flow)
{
    if (flow->done != NULL)
        flow->done(flow->arg, flow->have_row ? &flow->row : NULL, &flow->result);
    flow_free(flow);
}

static void on_fail(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    tell(arg);
}

static void fail(struct flow *flow, enum err code, const struct fault *f)
{
    flow->result = (struct box_result){.code = code, .fault = *f};
    flow->result.fault.code = code;
    event_active(flow->fail_event, EV_TIMEOUT, 0);
}

struct key_lines {
    struct control *control;
    FILE *out;
    const struct share *share; // whose keys these are, if not the owner's
};

static enum err add_key_line(const struct account_key *key, void *arg, struct fault *f)
{
    const struct key_lines *lines = arg;
    const struct share *share = lines->share;
    char options[KEYOPTION_TEXT + 40], guest[NAME_USER_SIZE + 16] = "";
    keyoption_for_box(key->key.options, options);
    if (share != NULL)
        snprintf(guest, sizeof guest, " (shared with %s)", share->guest);
    if (share != NULL && share->until != 0) { // the key's own, earlier one counts if there is one
        struct tm tm;
        size_t at = strlen(options);
        strftime(options + at, sizeof options - at,
                 at > 0 ? ",expiry-time=\"%Y%m%d%H%M%SZ\"" : "expiry-time=\"%Y%m%d%H%M%SZ\"",
                 gmtime_r(&share->until, &tm));
    }
    if (fprintf(lines->out, "%s%s%s %s %s%s\n", options, options[0] == '\0' ? "" : " ", key->key.type,
                key->key.base64, key->key.comment, guest) < 0)
        return fault_set(f, ERR_MEMORY, "out of memory");
    return ERR_NONE;
}

static enum err add_guest_keys(const struct share *share, void *arg, struct fault *f)
{
    struct key_lines lines = *(const struct key_lines *)arg;
    if (share->guest_id == 0 || !share_in_force(share, time(NULL)))
        return ERR_NONE;
    lines.share = share;
    return account_key_each(lines.control->store, share->guest_id, add_key_line, &lines, f);
}

// The keys the box should let in, its guests' included, as authorized_keys lines. *text is malloc'd, the
// caller frees it.
static enum err user_keys(struct control *c, int64_t account_id, char **text, struct fault *f)
{
    size_t length = 0;
    *text = NULL;
    FILE *out = open_memstream(text, &length);
    if (out == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    struct key_lines lines = {.control = c, .out = out};
    enum err e = account_key_each(c->store, account_id, add_key_line, &lines, f);
    if (e == ERR_NONE)
        e = share_each(c->store, account_id, 0, add_guest_keys, &lines, f);
    if (fclose(out) != 0 && e == ERR_NONE)
        e = fault_set(f, ERR_MEMORY, "out of memory");
    if (e != ERR_NONE) {
        free(*text);
        *text = NULL;
    }
    return e;
}

enum err box_flow_gateway_key(const struct box_row *row, char *out, size_t out_size, struct fault *f)
{
    return agent_public_line(row->gateway_seed, out, out_size, f);
}

static void spec_of_row(const struct box_row *row, struct box_spec *spec)
{
    *spec = (struct box_spec){
        .port = row->port,
        .is_static = row->driver == BOX_DRIVER_STATIC,
        .memory = row->memory,
        .disk = row->disk,
        .autostart = row->autostart,
        .provisioned = row->phase == BOX_READY,
    };
    snprintf(spec->name, sizeof spec->name, "%s", row->name);
    snprintf(spec->user, sizeof spec->user, "%s", row->user);
    snprintf(spec->address, sizeof spec->address, "%s", row->address);
    snprintf(spec->image, sizeof spec->image, "%s", row->image);
    snprintf(spec->cpu, sizeof spec->cpu, "%s", row->cpu);
}

static void spec_of_wish(const struct flow *flow, struct box_spec *spec)
{
    spec->change = flow->wish.change;
    spec->asleep_is_enough = flow->wish.asleep_is_enough;
    spec->file = flow->wish.file;
    spec->account = flow->account;
    spec->snapshots_max = (unsigned)flow->control->config->box_max_snapshots;
    snprintf(spec->snapshot, sizeof spec->snapshot, "%s", flow->wish.snapshot);
}

static void on_box_progress(void *arg, const char *step, unsigned number, unsigned total)
{
    struct flow *flow = arg;
    if (flow->progress != NULL && flow->done != NULL)
        flow->progress(flow->arg, step, number, total);
}

static bool wakes(enum box_op op)
{
    return op == BOX_OP_ENSURE || op == BOX_OP_START || op == BOX_OP_RESTART;
}

static bool is_look(enum box_op op)
{
    return op == BOX_OP_STATE || op == BOX_OP_SNAPSHOTS;
}

// What the flight did, once for all who shared it.
static enum err record(struct flow *flow, struct fault *f)
{
    struct box_flows *flows = flow->control->flows;
    const struct deed deed = {.op = flow->op,
                              .row = &flow->row,
                              .wish = &flow->wish,
                              .result = &flow->result,
                              .actor = flow->actor};
    if (flows->recorded_flight == flow->result.flight)
        return ERR_NONE;
    flows->recorded_flight = flow->result.flight;
    return deed_record(flow->control->writer, &deed, f);
}

static void on_recorded(void *arg, enum err code, const struct fault *f)
{
    struct flow *flow = arg;
    if (code != ERR_NONE) {
        flow->result.code = code;
        flow->result.fault = *f;
    }
    tell(flow);
}

static void keep_result(struct flow *flow, const struct box_result *result)
{
    flow->result = *result;
    flow->result.list = NULL;
    flow->result.list_count = 0;
    flow->result.images = NULL; // these two come from operations that have no flow
    flow->result.account = NULL;
    flow->result.snapshots = NULL;
    flow->result.snapshot_count = 0;
    if (result->snapshot_count > 0)
        flow->result.snapshots = calloc(result->snapshot_count, sizeof *result->snapshots);
    if (flow->result.snapshots != NULL) {
        memcpy(flow->result.snapshots, result->snapshots, result->snapshot_count * sizeof *result->snapshots);
        flow->result.snapshot_count = result->snapshot_count;
    }
}

// The row as it is now, not as it was when this was asked for: others may have changed other limits
// meanwhile.
static enum err store_change(struct flow *flow, struct fault *f)
{
    const struct box_change *change = &flow->wish.change;
    struct store *s = flow->control->store;
    struct box_row row;
    enum err e = box_get(s, flow->account_id, &row, f);
    if (e == ERR_NONE && (change->cpu[0] != '\0' || change->memory > 0 || change->disk > 0))
        e = box_set_limits(s, flow->account_id, change->cpu[0] != '\0' ? change->cpu : row.cpu,
                           change->memory > 0 ? change->memory : row.memory,
                           change->disk > 0 ? change->disk : row.disk, f);
    if (e == ERR_NONE && change->autostart != CHANGE_KEEP)
        e = box_set_autostart(s, flow->account_id, change->autostart == CHANGE_ON, f);
    return e;
}

static void on_autostart_told(void *arg, const struct box_result *result)
{
    (void)arg;
    if (result->code != ERR_NONE)
        log_event(LOG_LEVEL_WARN, "autostart_not_set", "error=%s", log_quote(result->fault.text));
}

// Its sleep has told Incus to leave it asleep when the host starts (provision/box.c). Nobody waits for this.
static void tell_autostart(struct flow *flow)
{
    const struct box_result *result = &flow->result;
    struct box_spec spec;
    if (result->code != ERR_NONE || !result->started || !flow->row.autostart ||
        flow->row.phase != BOX_READY || (result->was != BOX_STATE_STOPPED && result->was != BOX_STATE_FROZEN))
        return;
    spec_of_row(&flow->row, &spec);
    spec.change.autostart = CHANGE_ON;
    (void)provision_submit(flow->control->provision, BOX_OP_CHANGE, &spec, NULL, on_autostart_told, NULL);
}

static void on_box_done(void *arg, const struct box_result *result)
{
    struct flow *flow = arg;
    struct control *c = flow->control;
    struct fault f = {.code = ERR_NONE};
    keep_result(flow, result);
    enum err e = record(flow, &f);
    tell_autostart(flow);
    if (result->code == ERR_NONE && flow->row.driver == BOX_DRIVER_INCUS)
        idle_moved(c, flow->account_id, flow->op, result);
    bool ready = result->code == ERR_NONE && (flow->op == BOX_OP_ENSURE || flow->op == BOX_OP_START) &&
                 flow->row.phase != BOX_READY;
    if (e == ERR_NONE && ready && result->hostkeys[0] != '\0')
        e = box_set_hostkeys(c->store, flow->account_id, result->hostkeys, &f);
    if (e == ERR_NONE && ready)
        e = box_set_phase(c->store, flow->account_id, BOX_READY, &f);
    if (e == ERR_NONE && result->code == ERR_NONE && flow->op == BOX_OP_CHANGE)
        e = store_change(flow, &f);
    if (e == ERR_NONE)
        e = box_get(c->store, flow->account_id, &flow->row, &f);
    if (e == ERR_NOTFOUND) { // deleted meanwhile; the operation's own result stands
        flow->have_row = false;
        e = ERR_NONE;
    }
    if (e == ERR_NONE && flow->have_row && flow->row.phase == BOX_DELETING &&
        wakes(flow->op)) // while it woke
        e = fault_set(&f, ERR_CONFLICT, "%s is being deleted", flow->row.name);
    if (e != ERR_NONE && flow->result.code == ERR_NONE) {
        flow->result.code = e;
        flow->result.fault = f;
    }
    if (result->code != ERR_NONE)
        log_event(LOG_LEVEL_WARN, "box_failed", "box=%s error=%s", flow->row.name,
                  log_quote(result->fault.text));
    if (store_dirty(c->store))
        writer_after_commit(c->writer, flow, on_recorded, flow);
    else
        tell(flow);
}

static void submit(struct flow *flow)
{
    struct control *c = flow->control;
    struct fault f;
    struct box_spec spec;
    char gateway_key[256];
    char *keys = NULL;
    spec_of_row(&flow->row, &spec);
    spec_of_wish(flow, &spec);
    enum err e = agent_public_line(flow->row.gateway_seed, gateway_key, sizeof gateway_key, &f);
    if (e == ERR_NONE &&
        (!spec.provisioned || flow->op == BOX_OP_KEYS || flow->op == BOX_OP_SNAPSHOT_RESTORE))
        e = user_keys(c, flow->account_id, &keys, &f);
    if (e != ERR_NONE) {
        fail(flow, e, &f);
        return;
    }
    spec.authorized_keys = keys == NULL ? "" : keys;
    spec.gateway_key = gateway_key;
    (void)provision_submit(c->provision, flow->op, &spec, on_box_progress, on_box_done, flow);
    free(keys);
}

static void on_phase_committed(void *arg, enum err code, const struct fault *f)
{
    struct flow *flow = arg;
    if (code != ERR_NONE)
        fail(flow, code, f);
    else
        submit(flow);
}

// The phase is on disk before Incus is asked, so that whoever comes after a crash knows what may lie around.
static void begin(struct flow *flow, enum box_phase phase)
{
    struct fault f;
    enum err e = box_set_phase(flow->control->store, flow->account_id, phase, &f);
    if (e != ERR_NONE) {
        fail(flow, e, &f);
        return;
    }
    flow->row.phase = phase;
    writer_after_commit(flow->control->writer, flow, on_phase_committed, flow);
}

static void start(struct flow *flow)
{
    struct fault f;
    enum err e = box_get(flow->control->store, flow->account_id, &flow->row, &f);
    if (e != ERR_NONE) {
        fail(flow, e, &f);
        return;
    }
    flow->have_row = true;
    if (flow->row.phase == BOX_DELETING && flow->op != BOX_OP_DELETE && !is_look(flow->op)) {
        fault_set(&f, ERR_CONFLICT, "%s is being deleted", flow->row.name);
        fail(flow, ERR_CONFLICT, &f);
    } else if (wakes(flow->op) && flow->op != BOX_OP_ENSURE && flow->row.phase == BOX_ABSENT) {
        fault_set(&f, ERR_NOTFOUND, "%s has not been made yet: it is made at the first login",
                  flow->row.name);
        fail(flow, ERR_NOTFOUND, &f);
    } else if (flow->op == BOX_OP_ENSURE && flow->row.phase == BOX_ABSENT) {
        begin(flow, BOX_CREATING);
    } else if (flow->op == BOX_OP_DELETE && flow->row.phase != BOX_DELETING) {
        begin(flow, BOX_DELETING);
    } else {
        submit(flow);
    }
}

static void take_wish(struct flow *flow, const struct box_wish *wish)
{
    flow->wish = *wish;
    flow->wish.account = NULL;
    flow->account = wish->account == NULL ? NULL : strdup(wish->account);
    flow->wish.file = wish->file > 0 ? fcntl(wish->file, F_DUPFD_CLOEXEC, 3) : 0;
    if (flow->wish.file < 0 || (wish->account != NULL && flow->account == NULL)) {
        log_event(LOG_LEVEL_ERROR, "out_of_memory", "where=box_flow");
        abort(); // as in box_flow_submit_wish
    }
}

uint64_t box_flow_submit(struct control *c, enum box_op op, int64_t account_id, const char *actor,
                         box_progress_fn progress, box_flow_done_fn done, void *arg)
{
    return box_flow_submit_wish(c, op, NULL, account_id, actor, progress, done, arg);
}

uint64_t box_flow_submit_wish(struct control *c, enum box_op op, const struct box_wish *wish,
                              int64_t account_id, const char *actor, box_progress_fn progress,
                              box_flow_done_fn done, void *arg)
{
    struct box_flows *flows = c->flows;
    struct flow *flow = calloc(1, sizeof *flow);
    if (flow != NULL)
        flow->fail_event = event_new(c->base, -1, 0, on_fail, flow);
    if (flow == NULL || flow->fail_event == NULL) {
        free(flow);
        log_event(LOG_LEVEL_ERROR, "out_of_memory", "where=box_flow");
        abort(); // the kernel overcommits: this is our own limit (rlimit), and half a bookkeeping is worse
    }
    flow->control = c;
    flow->ticket = ++flows->next_ticket;
    flow->op = op;
    flow->account_id = account_id;
    if (wish != NULL)
        take_wish(flow, wish);
    snprintf(flow->actor, sizeof flow->actor, "%s", actor);
    flow->progress = progress;
    flow->done = done;
    flow->arg = arg;
    flow->link = &flows->head;
    flow->next = flows->head;
    if (flow->next != NULL)
        flow->next->link = &flow->next;
    flows->head = flow;
    start(flow);
    return flow->ticket;
}

bool box_flow_has_keys(struct control *c, int64_t account_id)
{
    struct box_row row;
    return box_get(c->store, account_id, &row, NULL) == ERR_NONE && row.driver == BOX_DRIVER_INCUS &&
           row.phase != BOX_ABSENT;
}

void box_flow_tell_keys(struct control *c, int64_t account_id, const char *actor)
{
    if (box_flow_has_keys(c, account_id))
        (void)box_flow_submit(c, BOX_OP_KEYS, account_id, actor, NULL, NULL, NULL);
}

void box_flow_cancel(struct control *c, uint64_t ticket)
{
    for (struct flow *flow = c->flows->head; flow != NULL; flow = flow->next) {
        if (flow->ticket == ticket)
            flow->done = NULL;
    }
}

enum err box_flow_new_row(struct control *c, const struct account *account, struct box_row *row,
                          struct fault *f)
{
    uint32_t first = 0, last = 0;
    *row = (struct box_row){
        .account_id = account->id,
        .driver = BOX_DRIVER_INCUS,
        .phase = BOX_ABSENT,
        .port = 22,
        .memory = c->config->box_memory,
        .disk = c->config->box_disk,
        .autostart = c->config->box_autostart,
        .created = time(NULL),
    };
    snprintf(row->user, sizeof row->user, "%s", account->name);
    name_box(account->name, row->name);
    snprintf(row->image, sizeof row->image, "%.127s", c->config->incus_image);
    snprintf(row->cpu, sizeof row->cpu, "%.63s", c->config->box_cpu);
    config_subnet_range(c->config, &first, &last);
    enum err e = agent_new_seed(row->gateway_seed, f);
    if (e == ERR_NONE)
        e = box_insert(c->store, row, first, last, f);
    return e;
}
