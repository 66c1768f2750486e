// A world in which commands are run: store, writer and box flows are the real ones, Incus and the gateway are
// played by the functions below, and so is the client.
#ifndef UNIT_COMMAND_WORLD_H
#define UNIT_COMMAND_WORLD_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "control/bans.h"
#include "control/box_flow.h"
#include "control/command.h"
#include "control/gateway_link.h"
#include "control/metrics.h"
#include "control/share.h"
#include "control/usage.h"
#include "control/writer.h"

static const char alice_key[] =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ3w3eQ3xkYp0m3o6m2fAj1cQmXq5m5m3o6m2fAj1cQ alice@laptop\n";
static const char second_key[] =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ3w3eQ3xkYp0m3o6m2fAj1cQmXq5m5m3o6m2fAj1cR alice@phone\n";
static const char bob_key[] =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ3w3eQ3xkYp0m3o6m2fAj1cQmXq5m5m3o6m2fAj1cS bob@desk\n";

// ---- Incus and the gateway, played

#define PENDING_MAX 16

struct pending {
    struct event *event;
    enum box_op op;
    box_done_fn done;
    void *arg;
    struct box_result result;
    uint64_t ticket;
};

static struct {
    struct event_base *base;
    enum err answer; // what the next operations say
    enum box_state state;
    uint64_t tickets;
    unsigned ops[BOX_OP_LIST + 1];
    char keys[4096];          // of the last KEYS or ENSURE
    struct box_change change; // of the last CHANGE
    char snapshot[64];        // of the last SNAPSHOT_*
    bool kicked_from_box;
    bool image_gone, ensure_fails;
    char image[2][128]; // of the last IMAGE_USE: alias, fingerprint
    char account[4096]; // as EXPORT was given it, for IMPORT
    bool started;       // what START and ENSURE say
    struct pending pending[PENDING_MAX];
    size_t pending_count;
    unsigned kicks, guests_kicked;
    char kicked[PUBKEY_FINGERPRINT_SIZE];
    unsigned live;
    char told[128]; // to the listener
} played;

static inline void on_pending(evutil_socket_t fd, short what, void *arg)
{
    struct pending *p = arg;
    struct box_entry entry = {.state = played.state};
    struct box_snapshot before = {.name = "before", .created = 1700000000, .size = 4200000};
    struct box_image images[] = {
        {.alias = "containarium-box",
         .fingerprint = "aaaaaaaabbbb",
         .size = 240000000,
         .created = 1700000000},
        {.alias = "next", .fingerprint = "aaaaaaaacccc", .size = 250000000, .created = 1700000000},
        {.fingerprint = "ddddddddeeee", .box = "bob-container"},
    };
    struct box_health health = {.version = "6.0.4", .pool_driver = "zfs", .pool_used = 1, .pool_total = 100};
    p->result.images = images;
    p->result.image_count = p->op == BOX_OP_IMAGES ? 3 : 0;
    if (p->result.code == ERR_NONE && p->op == BOX_OP_HEALTH)
        p->result.health = &health;
    if (played.image_gone)
        (void)fault_set(&health.image, ERR_NOTFOUND, "Image alias not found");
    p->result.snapshots = &before;
    p->result.snapshot_count = p->op == BOX_OP_SNAPSHOTS ? 1 : 0;
    (void)fd;
    (void)what;
    snprintf(entry.name, sizeof entry.name, "alice-container");
    p->result.list = &entry;
    p->result.list_count = p->result.code == ERR_NONE ? 1 : 0;
    event_free(p->event);
    p->event = NULL;
    if (p->done != NULL)
        p->done(p->arg, &p->result);
}

uint64_t provision_submit(struct provision *provision, enum box_op op, const struct box_spec *spec,
                          box_progress_fn progress, box_done_fn done, void *arg)
{
    (void)provision;
    struct pending *p = &played.pending[played.pending_count++ % PENDING_MAX];
    played.ops[op]++;
    if (spec != NULL)
        snprintf(played.keys, sizeof played.keys, "%s",
                 spec->authorized_keys == NULL ? "" : spec->authorized_keys);
    if (spec != NULL && op == BOX_OP_CHANGE)
        played.change = spec->change;
    if (spec != NULL && spec->snapshot[0] != '\0')
        snprintf(played.snapshot, sizeof played.snapshot, "%s", spec->snapshot);
    if (op == BOX_OP_ENSURE && progress != NULL)
        progress(arg, "Creating alice-container", 1, 5);
    enum box_state was = played.state;
    if (played.answer == ERR_NONE && (op == BOX_OP_ENSURE || op == BOX_OP_START))
        played.state = BOX_STATE_RUNNING;
    if (played.answer == ERR_NONE && op == BOX_OP_STOP)
        played.state = BOX_STATE_STOPPED;
    *p = (struct pending){.done = done, .arg = arg, .op = op, .ticket = ++played.tickets};
    p->result = (struct box_result){.flight = p->ticket,
                                    .code = played.answer,
                                    .was = was,
                                    .state = played.state,
                                    .started = played.started && op == BOX_OP_START,
                                    .created = op == BOX_OP_ENSURE && was == BOX_STATE_ABSENT};
    if (played.answer != ERR_NONE)
        (void)fault_set(&p->result.fault, played.answer, "Incus does not answer");
    if (op == BOX_OP_ENSURE && played.ensure_fails) {
        p->result.created = false;
        p->result.code = fault_set(&p->result.fault, ERR_FAILED, "zstd: corrupted");
    }
    if (op == BOX_OP_ENSURE)
        snprintf(p->result.hostkeys, sizeof p->result.hostkeys, "ssh-ed25519 AAAABOX\n");
    if (op == BOX_OP_EXPORT) {
        assert_int_equal(write(spec->file, "half", 4), 4);
        snprintf(played.account, sizeof played.account, "%s", spec->account);
        snprintf(p->result.fingerprint, sizeof p->result.fingerprint, "%064d", 7);
        p->result.length = 4;
    }
    if (op == BOX_OP_IMAGE_USE) {
        snprintf(played.image[0], sizeof played.image[0], "%s", spec->image);
        snprintf(played.image[1], sizeof played.image[1], "%s", spec->fingerprint);
    }
    if (op == BOX_OP_IMPORT) {
        p->result.account = played.account;
        snprintf(p->result.fingerprint, sizeof p->result.fingerprint, "%064d", 7);
    }
    p->event = event_new(played.base, -1, 0, on_pending, p);
    event_active(p->event, EV_TIMEOUT, 0);
    return p->ticket;
}

void provision_cancel(struct provision *provision, uint64_t ticket)
{
    (void)provision;
    for (size_t i = 0; i < PENDING_MAX; i++) {
        if (played.pending[i].ticket == ticket)
            played.pending[i].done = NULL;
    }
}

const char *box_state_name(enum box_state state)
{
    return state == BOX_STATE_RUNNING ? "Running" : "Stopped";
}

void gateway_each_live(struct gateway_server *g, int64_t account_id, live_session_fn each, void *arg)
{
    (void)g;
    struct live_session alice = {.id = 7,
                                 .account_id = account_id,
                                 .user = "alice",
                                 .login = "alice",
                                 .fingerprint = "SHA256:x",
                                 .address = "203.0.113.7:50122",
                                 .started = 1700000000};
    if (played.live > 0)
        each(&alice, arg);
}

unsigned gateway_count_live(struct gateway_server *g, int64_t account_id)
{
    (void)g;
    (void)account_id;
    return played.live;
}

unsigned gateway_kick(struct gateway_server *g, int64_t account_id, const char *fingerprint,
                      const char *reason)
{
    (void)g;
    (void)account_id;
    (void)reason;
    played.kicks++;
    snprintf(played.kicked, sizeof played.kicked, "%s", fingerprint == NULL ? "all" : fingerprint);
    return 1;
}

bool gateway_kick_session(struct gateway_server *g, int64_t session, const char *reason)
{
    (void)g;
    (void)reason;
    played.kicks++;
    return session == 7;
}

unsigned gateway_kick_from(struct gateway_server *g, const char *login, const char *subnet,
                           const char *reason)
{
    (void)g;
    (void)login;
    (void)subnet;
    (void)reason;
    played.kicks++;
    return played.live;
}

void gateway_tell_listeners(struct gateway_server *g, const struct message *m)
{
    (void)g;
    snprintf(played.told, sizeof played.told, "%s %s", message_name(m->type), m->address);
}

unsigned gateway_count_connections(struct gateway_server *g, int64_t account_id, const char *source,
                                   unsigned *from_source)
{
    (void)g;
    (void)account_id;
    (void)source;
    *from_source = played.live;
    return played.live;
}

unsigned gateway_count_channels(struct gateway_server *g, int64_t account_id, unsigned *sessions)
{
    (void)g;
    (void)account_id;
    *sessions = played.live;
    return played.live;
}

unsigned gateway_count_unauthenticated(struct gateway_server *g)
{
    (void)g;
    return 0;
}

uint64_t gateway_count_dropped(struct gateway_server *g, int verdict)
{
    (void)g;
    (void)verdict;
    return 0;
}

void provision_stats(const struct provision *p, struct provision_stats *out)
{
    (void)p;
    *out = (struct provision_stats){.queued = 0};
}

unsigned gateway_kick_from_box(struct gateway_server *g, int64_t account_id, const char *reason)
{
    (void)g;
    (void)account_id;
    assert_non_null(strstr(reason, "before"));
    played.kicked_from_box = true;
    return 1;
}

unsigned gateway_kick_guest(struct gateway_server *g, int64_t owner_id, int64_t guest_id, const char *reason)
{
    (void)g;
    assert_true(owner_id != 0 && guest_id != 0 && owner_id != guest_id);
    assert_non_null(strstr(reason, "shared"));
    played.guests_kicked++;
    return 0; // nobody was in
}

// ---- a client

struct client {
    char out[1 << 20], err[65536], read[512], saved[65536], passed[512];
    bool wants, syncs;
    int status; // -1: not yet
};

static inline void to_out(void *arg, const char *data, size_t length)
{
    struct client *c = arg;
    strncat(c->out, data, length);
}

static inline void to_err(void *arg, const char *data, size_t length)
{
    struct client *c = arg;
    strncat(c->err, data, length);
}

static inline void to_want(void *arg)
{
    ((struct client *)arg)->wants = true;
}

static inline void to_read(void *arg, const char *path)
{
    snprintf(((struct client *)arg)->read, sizeof((struct client *)arg)->read, "%s", path);
}

static inline void to_save(void *arg, const char *path, const char *data, size_t length)
{
    struct client *c = arg;
    snprintf(c->saved, sizeof c->saved, "%s:%.*s", path, (int)length, data);
}

static inline void to_pass(void *arg, const char *path, bool write)
{
    struct client *c = arg;
    snprintf(c->passed, sizeof c->passed, "%c%s", write ? 'w' : 'r', path);
}

static inline bool to_congested(void *arg)
{
    (void)arg;
    return false;
}

static inline void to_exit(void *arg, int status)
{
    struct client *c = arg;
    assert_int_equal(c->status, -1); // once only
    c->status = status;
}

static inline void to_sync(void *arg)
{
    ((struct client *)arg)->syncs = true;
}

static const struct command_sink sink = {to_out,  to_err,       to_want, to_read, to_save,
                                         to_pass, to_congested, to_exit, to_sync};

struct world {
    struct control control;
    struct config config;
    char folder[64];
    struct client client;
    struct command_run *run;
    bool tty;
};

static const struct identity root = {
    .actor = "root@host", .role = ROLE_ADMIN, .address = "local", .local = true};

static inline struct identity account_of(struct world *w, const char *name)
{
    struct account account;
    struct fault f;
    struct identity who = {.address = "203.0.113.7:50122"};
    assert_int_equal(account_get(w->control.store, name, &account, &f), ERR_NONE);
    who.account_id = account.id;
    who.role = account.role;
    snprintf(who.actor, sizeof who.actor, "%s", name);
    return who;
}

static inline void begin(struct world *w, const struct identity *who, const char *line)
{
    static char storage[4096];
    const char *argv[128];
    size_t argc = 0;
    snprintf(storage, sizeof storage, "%s", line);
    for (char *save = NULL, *word = strtok_r(storage, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    struct command_request request = {.argv = argv, .argc = argc, .tty_in = w->tty};
    w->client = (struct client){.status = -1};
    w->run = command_start(&w->control, who, &request, &sink, &w->client);
    assert_non_null(w->run);
}

static inline void turn(struct world *w)
{
    for (int i = 0; i < 100 && w->client.status < 0; i++)
        event_base_loop(w->control.base, EVLOOP_NONBLOCK);
    for (int i = 0; i < 5; i++)
        event_base_loop(w->control.base, EVLOOP_NONBLOCK);
}

// As the command line would: a file made anew to write, or the one that is there to read.
static inline void pass_a_file(struct world *w)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", w->folder, w->client.passed + 1);
    int fd = w->client.passed[0] == 'w' ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)
                                        : open(path, O_RDONLY | O_CLOEXEC);
    w->client.passed[0] = '\0';
    if (fd < 0)
        command_file_failed(w->run, "cannot make the file: File exists");
    else
        command_descriptor(w->run, fd);
}

// Runs one to its end; `input` answers stdin and files alike.
static inline int do_as(struct world *w, const struct identity *who, const char *line, const char *input)
{
    begin(w, who, line);
    for (int i = 0; i < 5000 && w->client.status < 0; i++) {
        bool wants = w->client.wants, reads = w->client.read[0] != '\0';
        if (w->client.passed[0] != '\0')
            pass_a_file(w);
        w->client.wants = false;
        w->client.read[0] = '\0';
        if (wants) {
            command_input(w->run, input, strlen(input));
            command_input(w->run, "", 0);
        } else if (reads) {
            command_file(w->run, input, strlen(input));
            command_file(w->run, "", 0);
        } else {
            event_base_loop(w->control.base, i < 100 ? EVLOOP_NONBLOCK : EVLOOP_ONCE);
        }
    }
    int status = w->client.status;
    command_free(w->run);
    w->run = NULL;
    return status;
}

static inline int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct fault f;
    char path[128];
    assert_non_null(w);
    memset(&played, 0, sizeof played);
    played.state = BOX_STATE_ABSENT;
    config_defaults(&w->config);
    snprintf(w->folder, sizeof w->folder, "/tmp/test_command.XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(path, sizeof path, "%s/db", w->folder);
    snprintf(w->config.host_key_dir, sizeof w->config.host_key_dir, "%s", w->folder);
    snprintf(w->config.backup_dir, sizeof w->config.backup_dir, "%s/backups", w->folder);
    snprintf(w->config.state_dir, sizeof w->config.state_dir, "%s", w->folder); // cert's
    snprintf(w->config.public_host, sizeof w->config.public_host, "gw.example.org");
    w->config.public_port = 22;
    w->control.config = &w->config;
    w->control.base = played.base = event_base_new();
    assert_int_equal(store_open(path, &w->control.store, &f), ERR_NONE);
    w->control.writer = writer_new(&w->control);
    w->control.flows = box_flows_new(&w->control);
    w->control.shares = shares_new(&w->control);
    w->control.usages = usages_new();
    assert_int_equal(metrics_new(&w->control, &w->control.metrics, &f), ERR_NONE);
    assert_int_equal(bans_new(&w->control, &w->control.bans, &f), ERR_NONE);
    *state = w;
    return 0;
}

static inline int tear_down(void **state)
{
    struct world *w = *state;
    char command[128];
    shares_free(w->control.shares);
    box_flows_free(w->control.flows);
    writer_free(w->control.writer);
    metrics_free(w->control.metrics);
    bans_free(w->control.bans);
    usages_free(w->control.usages);
    store_close(w->control.store);
    for (size_t i = 0; i < PENDING_MAX; i++) {
        if (played.pending[i].event != NULL)
            event_free(played.pending[i].event);
    }
    event_base_free(w->control.base);
    snprintf(command, sizeof command, "rm -r %s", w->folder);
    assert_int_equal(system(command), 0);
    free(w);
    return 0;
}

static inline void make(struct world *w, const char *options, const char *key)
{
    char line[256];
    snprintf(line, sizeof line, "create %s --ssh-key -", options);
    assert_int_equal(do_as(w, &root, line, key), 0);
}

static inline enum err count_one(const struct audit_record *record, void *arg, struct fault *f)
{
    (void)record;
    (void)f;
    ++*(unsigned *)arg;
    return ERR_NONE;
}

static inline unsigned count_events(struct world *w, const char *event, const char *user)
{
    struct audit_query query = {.event = event, .user = user};
    struct fault f;
    unsigned n = 0;
    assert_int_equal(audit_each(w->control.store, &query, count_one, &n, &f), ERR_NONE);
    return n;
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
