// The command table: parsing, suggestions, every verb against every role, and what the verbs do to the store.
// Incus and the gateway are played by the functions below; the store, the writer and the box flows are the
// real ones.
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

static void on_pending(evutil_socket_t fd, short what, void *arg)
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

static void to_out(void *arg, const char *data, size_t length)
{
    struct client *c = arg;
    strncat(c->out, data, length);
}

static void to_err(void *arg, const char *data, size_t length)
{
    struct client *c = arg;
    strncat(c->err, data, length);
}

static void to_want(void *arg)
{
    ((struct client *)arg)->wants = true;
}

static void to_read(void *arg, const char *path)
{
    snprintf(((struct client *)arg)->read, sizeof((struct client *)arg)->read, "%s", path);
}

static void to_save(void *arg, const char *path, const char *data, size_t length)
{
    struct client *c = arg;
    snprintf(c->saved, sizeof c->saved, "%s:%.*s", path, (int)length, data);
}

static void to_pass(void *arg, const char *path, bool write)
{
    struct client *c = arg;
    snprintf(c->passed, sizeof c->passed, "%c%s", write ? 'w' : 'r', path);
}

static bool to_congested(void *arg)
{
    (void)arg;
    return false;
}

static void to_exit(void *arg, int status)
{
    struct client *c = arg;
    assert_int_equal(c->status, -1); // once only
    c->status = status;
}

static void to_sync(void *arg)
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

static struct identity account_of(struct world *w, const char *name)
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

static void begin(struct world *w, const struct identity *who, const char *line)
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

static void turn(struct world *w)
{
    for (int i = 0; i < 100 && w->client.status < 0; i++)
        event_base_loop(w->control.base, EVLOOP_NONBLOCK);
    for (int i = 0; i < 5; i++)
        event_base_loop(w->control.base, EVLOOP_NONBLOCK);
}

// As the command line would: a file made anew to write, or the one that is there to read.
static void pass_a_file(struct world *w)
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
static int do_as(struct world *w, const struct identity *who, const char *line, const char *input)
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

static int set_up(void **state)
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

static int tear_down(void **state)
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

static void make(struct world *w, const char *options, const char *key)
{
    char line[256];
    snprintf(line, sizeof line, "create %s --ssh-key -", options);
    assert_int_equal(do_as(w, &root, line, key), 0);
}

// ---- words

static void nearest_words_are_suggested(void **state)
{
    static const char *const names[] = {"create",   "list",        "info",      "delete",
                                        "keys add", "keys remove", "disk-quota"};
    static const char *const cases[][2] = {
        {"lst", "list"},
        {"craete", "create"},
        {"delet", "delete"},
        {"kyes add", "keys add"},
        {"infos", "info"},
        {"keys rm", NULL},
        {"x", NULL},
        {"", NULL},
        {"wholly-else", NULL},
        {"disk", "disk-quota"},
        {"disk-qouta", "disk-quota"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *found = command_suggest(cases[i][0], names, sizeof names / sizeof *names);
        if (cases[i][1] == NULL)
            assert_null(found);
        else
            assert_string_equal(found == NULL ? "" : found, cases[i][1]);
    }
}

static void usage_errors_say_what_to_do(void **state)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"lst", "Did you mean \"list\"?"},
        {"key list alice", "Did you mean \"keys list\"?"},
        {"keys ad alice", "Did you mean \"keys add\"?"},
        {"keys", "keys needs a verb"},
        {"list --jsno", "Did you mean --json?"},
        {"list extra", "one word too many"},
        {"list -x", "no option -x"},
        {"info", "something is missing: info USER"},
        {"create alice --cpus=2 --ssh-key k", "Did you mean --cpu?"},
        {"create alice", "--ssh-key FILE"},
        {"create alice --ssh-key", "needs a value"},
        {"create alice --cpu 2 --cpu 3", "given twice"},
        {"create alice --lazy=yes", "takes no value"},
        {"create alice --ssh-key k --memory 2", "8GiB"},
        {"create alice --ssh-key k --disk-quota much", "--disk-quota"},
        {"create alice --ssh-key k --cpu 0", "--cpu"},
        {"create Alice --ssh-key k", "Alice"},
        {"create root --ssh-key k", "root"},
        {"create alice --ssh-key github:al/ice", "user name of that site"},
        {"create alice --ssh-key http://host.example/k", "https:// only"},
        {"create alice --ssh-key k --role king", "operator"},
        {"create alice --ssh-key k --autostart --no-autostart", "exclude"},
        {"create alice --ssh-key k --static host.example", "IP address"},
        {"create alice --ssh-key k --static 192.0.2.7:99999", "65535"},
        {"create alice --ssh-key k --host-key h", "--static"},
        {"audit --limit many", "--limit"},
        {"resize", "something is missing: resize USER"},
        {"snapshot", "snapshot needs a verb"},
        {"snapshot make alice", "no such verb"},
        {"snapshot restore", "something is missing"},
        {"audit --event loggin", "Did you mean login?"},
        {"audit --format xml", "jsonl"},
        {"audit --since never", "--since"},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = do_as(w, &root, cases[i].line, "");
        if (status != 2 || strstr(w->client.err, cases[i].says) == NULL || w->client.out[0] != '\0')
            fail_msg("%s: status %d, out %s, err %s", cases[i].line, status, w->client.out, w->client.err);
    }
    assert_int_equal(played.ops[BOX_OP_ENSURE], 0);
}

static void every_verb_explains_itself(void **state)
{
    struct world *w = *state;
    char line[128];
    for (const struct command *c = command_table(); c->name != NULL; c++) {
        snprintf(line, sizeof line, "%s --help", c->name);
        assert_int_equal(do_as(w, &root, line, ""), 0);
        assert_non_null(strstr(w->client.out, "Usage: containarium "));
        assert_non_null(strstr(w->client.out, c->help));
        assert_string_equal(w->client.err, "");
    }
    assert_int_equal(do_as(w, &root, "keys --help", ""), 0);
    assert_non_null(strstr(w->client.out, "keys replace"));
    assert_int_equal(do_as(w, &root, "help keys add", ""), 0);
    assert_int_equal(do_as(w, &root, "help nothing", ""), 3);
    assert_int_equal(do_as(w, &root, "", ""), 0);
    assert_non_null(strstr(w->client.out, "create"));
    assert_int_equal(do_as(w, &root, "--version", ""), 0);
    assert_int_equal(do_as(w, &root, "help --json", ""), 0);
    json_t *object = json_loads(w->client.out, 0, NULL);
    assert_true(json_is_array(json_object_get(object, "commands")));
    json_decref(object);
}

// ---- roles

// Words that make each verb complete, about the account `who`.
static void complete_line(const struct command *c, const char *who, char *out, size_t size)
{
    const char *extra = strcmp(c->name, "keys remove") == 0     ? " nothing"
                        : strcmp(c->name, "sessions kill") == 0 ? " all"
                        : strcmp(c->name, "limits set") == 0    ? " --sessions 3"
                        : strcmp(c->name, "idle set") == 0      ? " --stop never"
                        : strncmp(c->name, "keys ", 5) == 0 && strcmp(c->name, "keys list") != 0 ? " -"
                        : strncmp(c->name, "snapshot ", 9) == 0 && strcmp(c->name, "snapshot list") != 0
                            ? " before"
                        : strcmp(c->name, "resize") == 0                                     ? " --cpu 1"
                        : strcmp(c->name, "autostart") == 0                                  ? " on"
                        : strcmp(c->name, "role") == 0                                       ? " nothing"
                        : strstr(c->name, "share") != NULL && strcmp(c->name, "shares") != 0 ? " with carol"
                                                                                             : "";
    switch (c->account) {
    case ACCOUNT_NONE:
        snprintf(out, size, "%s%s", c->name,
                 strncmp(c->name, "bans ", 5) == 0 && c->changes                        ? " 192.0.2.1"
                 : strcmp(c->name, "restore") == 0 || strcmp(c->name, "image use") == 0 ? " nothing"
                                                                                        : "");
        return;
    case ACCOUNT_OPTION:
        snprintf(out, size, "%s --user %s", c->name, who);
        return;
    case ACCOUNT_NEW:
    case ACCOUNT_NAMED:
    case ACCOUNT_REQUIRED:
    case ACCOUNT_OPTIONAL:
        snprintf(out, size, "%s %s%s", c->name, who, extra);
        return;
    }
}

// Who may, written down a second time: on one's own account and on another's. A new verb has to be thought
// about here.
static void roles_are_as_decided(void **state)
{
    static const struct {
        const char *name;
        enum role own, others;
    } decided[] = {
        {"create", ROLE_ADMIN, ROLE_ADMIN},
        {"list", ROLE_OPERATOR, ROLE_OPERATOR},
        {"info", ROLE_USER, ROLE_OPERATOR},
        {"delete", ROLE_ADMIN, ROLE_ADMIN},
        {"restore", ROLE_ADMIN, ROLE_ADMIN},
        {"start", ROLE_USER, ROLE_OPERATOR},
        {"stop", ROLE_USER, ROLE_OPERATOR},
        {"restart", ROLE_USER, ROLE_OPERATOR},
        {"freeze", ROLE_USER, ROLE_OPERATOR},
        {"autostart", ROLE_OPERATOR, ROLE_OPERATOR},
        {"resize", ROLE_OPERATOR, ROLE_OPERATOR},
        {"idle", ROLE_USER, ROLE_OPERATOR},
        {"idle set", ROLE_OPERATOR, ROLE_OPERATOR},
        {"snapshot create", ROLE_USER, ROLE_OPERATOR},
        {"snapshot list", ROLE_USER, ROLE_OPERATOR},
        {"snapshot restore", ROLE_USER, ROLE_OPERATOR},
        {"snapshot delete", ROLE_USER, ROLE_OPERATOR},
        {"keys list", ROLE_USER, ROLE_OPERATOR},
        {"keys add", ROLE_USER,
         ROLE_ADMIN}, // a key added to an administrator's account makes an administrator
        {"keys remove", ROLE_USER, ROLE_ADMIN},
        {"keys replace", ROLE_USER, ROLE_ADMIN},
        {"keys sync", ROLE_USER, ROLE_ADMIN},
        {"invite", ROLE_USER, ROLE_ADMIN}, // ditto
        {"invites list", ROLE_USER, ROLE_OPERATOR},
        {"invites revoke", ROLE_USER, ROLE_ADMIN},
        {"share", ROLE_USER, ROLE_ADMIN}, // access to a box is its owner's to give
        {"unshare", ROLE_USER, ROLE_OPERATOR},
        {"shares", ROLE_USER, ROLE_OPERATOR},
        {"role", ROLE_ADMIN, ROLE_ADMIN},
        {"export", ROLE_USER, ROLE_OPERATOR},
        {"sessions list", ROLE_USER, ROLE_OPERATOR},
        {"sessions kill", ROLE_USER, ROLE_OPERATOR},
        {"limits", ROLE_USER, ROLE_OPERATOR},
        {"limits set", ROLE_OPERATOR, ROLE_OPERATOR},
        {"bans list", ROLE_OPERATOR, ROLE_OPERATOR},
        {"bans status", ROLE_OPERATOR, ROLE_OPERATOR},
        {"bans add", ROLE_OPERATOR, ROLE_OPERATOR},
        {"bans remove", ROLE_OPERATOR, ROLE_OPERATOR},
        {"security status", ROLE_OPERATOR, ROLE_OPERATOR},
        {"audit", ROLE_USER, ROLE_OPERATOR},
        {"audit verify", ROLE_OPERATOR, ROLE_OPERATOR},
        {"audit summary", ROLE_OPERATOR, ROLE_OPERATOR},
        {"audit export", ROLE_OPERATOR, ROLE_OPERATOR},
        {"audit head", ROLE_OPERATOR, ROLE_OPERATOR},
        {"image list", ROLE_OPERATOR, ROLE_OPERATOR},
        {"image use", ROLE_ADMIN, ROLE_ADMIN},
        {"doctor", ROLE_OPERATOR, ROLE_OPERATOR},
        {"cert generate", ROLE_ADMIN, ROLE_ADMIN},
        {"cert server", ROLE_ADMIN, ROLE_ADMIN},
        {"cert client", ROLE_ADMIN, ROLE_ADMIN}, // an administrator's certificate makes an administrator
        {"cert revoke", ROLE_ADMIN, ROLE_ADMIN},
        {"cert list", ROLE_ADMIN, ROLE_ADMIN},
        {"store backup", ROLE_ADMIN, ROLE_ADMIN},
        {"store verify", ROLE_ADMIN, ROLE_ADMIN},
        {"config show", ROLE_OPERATOR, ROLE_OPERATOR},
        {"whoami", ROLE_USER, ROLE_USER},
        {"version", ROLE_USER, ROLE_USER},
        {"complete", ROLE_USER, ROLE_USER},
        {"help", ROLE_USER, ROLE_USER},
    };
    size_t count = 0;
    (void)state;
    for (const struct command *c = command_table(); c->name != NULL; c++, count++) {
        assert_true(count < sizeof decided / sizeof *decided);
        assert_string_equal(c->name, decided[count].name);
        assert_int_equal(c->role, decided[count].own);
        assert_int_equal(c->others, decided[count].others);
    }
    assert_int_equal(count, sizeof decided / sizeof *decided);
}

static void every_verb_asks_for_its_role(void **state)
{
    struct world *w = *state;
    make(w, "alice --lazy", alice_key);
    make(w, "bob --lazy", bob_key);
    struct account alice;
    struct fault f;
    assert_int_equal(account_get(w->control.store, "alice", &alice, &f), ERR_NONE);
    for (int role = ROLE_USER; role <= ROLE_ADMIN; role++) {
        assert_int_equal(account_set_role(w->control.store, alice.id, (enum role)role, &f), ERR_NONE);
        struct identity who = account_of(w, "alice");
        for (const struct command *c = command_table(); c->name != NULL; c++) {
            static const char *const names[] = {"alice", "bob", "nobody-here"};
            char line[128];
            if (strcmp(c->name, "delete") == 0 && role >= (int)c->role)
                continue; // would take the others away
            for (size_t i = 0; i < 3; i++) {
                bool other = i > 0 && c->account != ACCOUNT_NONE && c->account != ACCOUNT_NEW;
                complete_line(c, names[i], line, sizeof line);
                int status = do_as(w, &who, line, "");
                bool may = command_allowed(c, (enum role)role, other);
                if ((status == 4) == may)
                    fail_msg("%s as %s: status %d: %s", line, role_name((enum role)role), status,
                             w->client.err);
            }
        }
    }
}

static void users_cannot_tell_who_exists(void **state)
{
    struct world *w = *state;
    make(w, "alice --lazy", alice_key);
    make(w, "bob --lazy", bob_key);
    struct identity who = account_of(w, "alice");
    static const char *const verbs[] = {"info",          "keys list", "start",       "export",
                                        "sessions list", "delete",    "audit --user"};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s bob", verbs[i]);
        assert_int_equal(do_as(w, &who, line, ""), 4);
        char *there = strdup(w->client.err);
        snprintf(line, sizeof line, "%s eve", verbs[i]);
        assert_int_equal(do_as(w, &who, line, ""), 4);
        assert_string_equal(there, w->client.err);
        free(there);
    }
    assert_int_equal(do_as(w, &who, "audit", ""), 0);
    assert_non_null(strstr(w->client.out, "keys list bob")); // her own refusal
    assert_null(strstr(w->client.out, "create bob"));        // his
    who = account_of(w, "bob");
    assert_int_equal(do_as(w, &who, "audit", ""), 0);
    assert_null(strstr(w->client.out, "alice"));
}

// What `line name` says, and its status in front; the name itself is replaced. Caller frees.
static char *said_with(struct world *w, const struct identity *who, const char *words, const char *name)
{
    char line[80], *text = NULL;
    snprintf(line, sizeof line, "%s%s", words, words[strlen(words) - 1] == ' ' ? name : "");
    int status = do_as(w, who, line, "");
    assert_true(asprintf(&text, "%d %s%s", status, w->client.out, w->client.err) > 0);
    for (char *p = text; (p = strstr(p, name)) != NULL;)
        memcpy(p, "___", 3);
    return text;
}

static void sharing_does_not_tell_who_exists(void **state)
{
    static const char *const lines[] = {"share with ", "share --until 2099-01-01 alice-container with ",
                                        "shares --json", "unshare alice with ", "unshare with "};
    struct world *w = *state;
    make(w, "alice --lazy", alice_key);
    make(w, "bob --lazy", bob_key);
    struct identity who = account_of(w, "alice");
    char *bob[5], *eve[5];
    for (size_t i = 0; i < 5; i++)
        bob[i] = said_with(w, &who, lines[i], "bob");
    assert_int_equal(played.guests_kicked, 1);
    for (size_t i = 0; i < 5; i++) {
        eve[i] = said_with(w, &who, lines[i], "eve");
        if (i != 2) // times may differ by a second
            assert_string_equal(bob[i], eve[i]);
        assert_int_equal(bob[i][0], i == 4 ? '3' : '0');
        free(bob[i]);
        free(eve[i]);
    }
    assert_int_equal(played.guests_kicked, 1);
    assert_int_equal(do_as(w, &root, "share alice with eve", ""), 3);
    assert_int_equal(do_as(w, &who, "share bob with alice", ""), 4);
    assert_int_equal(do_as(w, &who, "share with alice", ""), 2);
    assert_int_equal(do_as(w, &who, "share alice and bob", ""), 2);
    assert_int_equal(do_as(w, &who, "share with bob --until yesterday", ""), 2);
    assert_int_equal(do_as(w, &who, "share with bob --until 2020-01-01", ""), 2);
    assert_int_equal(do_as(w, &who, "share with bob --until 0s", ""), 2);
    assert_int_equal(do_as(w, &who, "share with Bob!", ""), 2);
}

static void a_role_is_looked_up_when_it_is_used(void **state)
{
    struct world *w = *state;
    struct fault f;
    make(w, "alice --lazy --role admin", alice_key);
    struct identity who = account_of(w, "alice");
    assert_int_equal(do_as(w, &who, "list", ""), 0);
    assert_int_equal(account_set_role(w->control.store, who.account_id, ROLE_USER, &f), ERR_NONE);
    assert_int_equal(do_as(w, &who, "list", ""), 4);
    assert_int_equal(account_delete(w->control.store, who.account_id, &f), ERR_NONE);
    assert_int_equal(do_as(w, &who, "whoami", ""), 4);
}

static void ones_own_account_goes_without_saying(void **state)
{
    struct world *w = *state;
    make(w, "alice --lazy", alice_key);
    struct identity who = account_of(w, "alice");
    assert_int_equal(do_as(w, &who, "keys list", ""), 0);
    assert_non_null(strstr(w->client.out, "alice@laptop"));
    assert_int_equal(do_as(w, &who, "keys add", second_key), 0);
    assert_int_equal(do_as(w, &who, "keys remove alice@phone", ""), 0);
    assert_int_equal(do_as(w, &who, "keys add alice -", second_key), 0);
    assert_int_equal(do_as(w, &who, "keys add laptop.pub", second_key), 2); // not a file of ours
    assert_non_null(strstr(w->client.err, "write - for"));
    assert_int_equal(do_as(w, &who, "info", ""), 0);
}

// ---- verbs

static enum err count_one(const struct audit_record *record, void *arg, struct fault *f)
{
    (void)record;
    (void)f;
    ++*(unsigned *)arg;
    return ERR_NONE;
}

static unsigned count_events(struct world *w, const char *event, const char *user)
{
    struct audit_query query = {.event = event, .user = user};
    struct fault f;
    unsigned n = 0;
    assert_int_equal(audit_each(w->control.store, &query, count_one, &n, &f), ERR_NONE);
    return n;
}

static void create_makes_everything_and_can_be_repeated(void **state)
{
    struct world *w = *state;
    assert_int_equal(do_as(w, &root, "create alice --ssh-key alice.pub --memory 4GB --cpu 0-3", alice_key),
                     0);
    assert_non_null(strstr(w->client.err, "[1/5] Creating alice-container..."));
    assert_non_null(strstr(w->client.out, "Container Details:"));
    assert_non_null(strstr(w->client.out, "4GB"));
    assert_non_null(strstr(w->client.out, "cores 0-3 (pinned)"));
    assert_non_null(strstr(w->client.out, "alice@gw.example.org"));
    char *first = strdup(w->client.out);
    assert_int_equal(do_as(w, &root, "create alice --ssh-key alice.pub --memory 4GB --cpu 0-3", alice_key),
                     0);
    assert_string_equal(first, w->client.out);
    free(first);
    assert_int_equal(played.ops[BOX_OP_ENSURE], 1);
    assert_int_equal(count_events(w, "account-created", "alice"), 1);
    assert_int_equal(count_events(w, "key-added", "alice"), 1);
    assert_int_equal(count_events(w, "box-created", "alice"), 1);
    assert_int_equal(count_events(w, "command", "alice"), 2);
    assert_int_equal(do_as(w, &root, "create alice --ssh-key -", second_key), 5);
    assert_non_null(strstr(w->client.err, "keys add alice"));
    assert_int_equal(do_as(w, &root, "create alice --ssh-key - --memory 8GB", alice_key), 5);
    assert_int_equal(do_as(w, &root, "create bob --ssh-key -", alice_key), 5); // somebody else's key
    assert_non_null(strstr(w->client.err, "alice"));
    assert_int_equal(count_events(w, "account-created", "bob"), 0);
}

static void create_completes_what_failed(void **state)
{
    struct world *w = *state;
    played.answer = ERR_UNAVAILABLE;
    assert_int_equal(do_as(w, &root, "create alice --ssh-key -", alice_key), 1);
    assert_non_null(strstr(w->client.err, "run the same command again"));
    played.answer = ERR_NONE;
    assert_int_equal(do_as(w, &root, "create alice --ssh-key -", alice_key), 0);
    assert_int_equal(count_events(w, "account-created", "alice"), 1);
}

static void create_static(void **state)
{
    struct world *w = *state;
    begin(w, &root, "create alice --ssh-key - --static 192.0.2.7:2222 --host-key h.pub --json");
    turn(w);
    command_input(w->run, alice_key, strlen(alice_key));
    command_input(w->run, "", 0);
    turn(w);
    assert_string_equal(w->client.read, "h.pub");
    static const char scanned[] = "# 192.0.2.7:2222 SSH-2.0\n192.0.2.7 ssh-ed25519 "
                                  "AAAAC3NzaC1lZDI1NTE5AAAAIGJ3w3eQ3xkYp0m3o6m2fAj1cQmXq5m5m3o6m2fAj1cS";
    command_file(w->run, scanned, strlen(scanned));
    command_file(w->run, "", 0);
    turn(w);
    assert_int_equal(w->client.status, 0);
    command_free(w->run);
    struct box_row row;
    struct fault f;
    assert_int_equal(box_get_user(w->control.store, "alice", &row, &f), ERR_NONE);
    assert_int_equal(row.driver, BOX_DRIVER_STATIC);
    assert_string_equal(row.address, "192.0.2.7");
    assert_int_equal(row.port, 2222);
    assert_int_equal(strncmp(row.hostkeys, "ssh-ed25519 AAAA", 16), 0);
    assert_int_equal(do_as(w, &root, "stop alice", ""), 5);
}

static void bad_keys_are_refused_before_anything_is_written(void **state)
{
    struct world *w = *state;
    assert_int_equal(do_as(w, &root, "create alice --ssh-key -", "rubbish\n"), 2);
    assert_int_equal(do_as(w, &root, "create alice --ssh-key -", ""), 2);
    assert_int_equal(do_as(w, &root, "create alice --ssh-key - --ssh-key -", alice_key), 2);
    assert_non_null(strstr(w->client.err, "only once"));
    assert_int_equal(do_as(w, &root, "info alice", ""), 3);
}

static void keys_change_in_store_box_and_sessions(void **state)
{
    struct world *w = *state;
    make(w, "alice", alice_key);
    assert_int_equal(do_as(w, &root, "keys add alice -", second_key), 0);
    assert_int_equal(played.ops[BOX_OP_KEYS], 1);
    assert_non_null(strstr(played.keys, "alice@phone"));
    assert_non_null(strstr(played.keys, "alice@laptop"));
    assert_int_equal(do_as(w, &root, "keys add alice -", second_key),
                     0); // again: no error, the box is told anyway
    assert_int_equal(played.ops[BOX_OP_KEYS], 2);
    assert_int_equal(do_as(w, &root, "keys remove alice alice@phone", ""), 0);
    assert_null(strstr(played.keys, "alice@phone"));
    assert_int_equal(played.kicks, 1);
    assert_int_equal(strncmp(played.kicked, "SHA256:", 7), 0);
    assert_int_equal(do_as(w, &root, "keys remove alice alice@phone", ""), 3);
    assert_int_equal(do_as(w, &root, "keys remove alice alice@laptop", ""), 5);
    assert_non_null(strstr(w->client.err, "--force"));
    assert_int_equal(do_as(w, &root, "keys remove alice alice@laptop --force", ""), 0);
    assert_int_equal(do_as(w, &root, "keys replace alice -", second_key), 0);
    assert_int_equal(do_as(w, &root, "keys replace alice -", alice_key), 0);
    assert_null(strstr(played.keys, "alice@phone"));
    assert_int_equal(count_events(w, "key-removed", "alice"), 3);
    make(w, "bob --lazy", bob_key);
    assert_int_equal(do_as(w, &root, "keys add alice -", bob_key), 5);
    played.answer = ERR_UNAVAILABLE;
    assert_int_equal(do_as(w, &root, "keys add alice -", second_key), 1);
    assert_non_null(strstr(w->client.err, "in force at the gateway"));
}

static void delete_asks_first(void **state)
{
    struct world *w = *state;
    make(w, "alice", alice_key);
    assert_int_equal(do_as(w, &root, "delete alice", ""), 2); // nobody to ask
    assert_non_null(strstr(w->client.err, "--force"));
    w->tty = true;
    assert_int_equal(do_as(w, &root, "delete alice", "n\n"), 1);
    assert_int_equal(do_as(w, &root, "delete alice", "yellow\n"), 1);
    assert_int_equal(do_as(w, &root, "delete alice --backup", "n\n"), 1);
    assert_int_equal(played.ops[BOX_OP_DELETE], 0);
    assert_int_equal(do_as(w, &root, "delete alice", "y\n"), 0);
    assert_int_equal(played.ops[BOX_OP_DELETE], 1);
    assert_int_equal(count_events(w, "account-deleted", "alice"), 1);
    assert_int_equal(do_as(w, &root, "delete alice", "y\n"), 3);
    assert_string_equal(played.kicked, "all");
}

static void a_raw_terminal_is_echoed(void **state)
{
    struct world *w = *state;
    make(w, "boss --lazy --role admin", bob_key);
    make(w, "alice --lazy", alice_key);
    struct identity who = account_of(w, "boss");
    w->tty = true;
    assert_int_equal(do_as(w, &who, "delete alice", "y\003"), 1);
    assert_non_null(strstr(w->client.err, "interrupted"));
    assert_int_equal(do_as(w, &who, "keys add", "no key\r\004"), 2);
    assert_int_equal(do_as(w, &who, "delete alice", "x\177y\r"), 0);
    assert_non_null(strstr(w->client.err, "[y/N] x\b \by\n"));
}

static void delete_that_failed_is_finished_by_another(void **state)
{
    struct world *w = *state;
    make(w, "alice", alice_key);
    played.answer = ERR_UNAVAILABLE;
    assert_int_equal(do_as(w, &root, "delete alice --force", ""), 1);
    played.answer = ERR_NONE;
    assert_int_equal(do_as(w, &root, "start alice", ""), 5);
    assert_int_equal(do_as(w, &root, "delete alice --force", ""), 0);
}

static void a_client_that_leaves_breaks_nothing(void **state)
{
    struct world *w = *state;
    // While it is asked for input: the command ends.
    begin(w, &root, "create alice --ssh-key -");
    turn(w);
    assert_true(w->client.wants);
    command_detach(w->run);
    assert_int_equal(w->client.status, 1);
    command_free(w->run);
    // While Incus works: the command goes on to its end, and says nothing.
    make(w, "alice", alice_key);
    begin(w, &root, "delete alice --force");
    command_detach(w->run);
    turn(w);
    assert_int_equal(w->client.status, 0);
    assert_string_equal(w->client.out, "");
    command_free(w->run);
    assert_int_equal(do_as(w, &root, "info alice", ""), 3);
    // Freed in the middle (the daemon ends): nobody is called any more.
    begin(w, &root, "list");
    command_free(w->run);
    begin(w, &root, "create bob --lazy --ssh-key f");
    turn(w);
    command_file(w->run, bob_key, strlen(bob_key));
    command_file(w->run, "", 0);
    command_free(w->run);
    turn(w);
}

static void lists_what_is_known(void **state)
{
    struct world *w = *state;
    assert_int_equal(do_as(w, &root, "list", ""), 0);
    assert_non_null(strstr(w->client.err, "No users yet"));
    make(w, "alice", alice_key);
    make(w, "bob --lazy", bob_key);
    assert_int_equal(do_as(w, &root, "list", ""), 0);
    assert_int_equal(strncmp(w->client.out, "NAME ", 5), 0);
    assert_non_null(strstr(w->client.out, "AUTOSTART  IDLE\n"));
    assert_non_null(strstr(w->client.out, "Running"));
    assert_non_null(strstr(w->client.out, "bob-container"));
    played.answer = ERR_UNAVAILABLE;
    assert_int_equal(do_as(w, &root, "list", ""), 0);
    assert_non_null(strstr(w->client.out, " ? "));
    assert_non_null(strstr(w->client.err, "Incus was not reached"));
    assert_int_equal(do_as(w, &root, "info alice", ""), 0);
    assert_int_equal(do_as(w, &root, "start alice", ""), 1);
    played.answer = ERR_NONE;
    assert_int_equal(do_as(w, &root, "info alice", ""), 0);
    assert_non_null(strstr(w->client.out, "Container:      alice-container"));
    assert_int_equal(do_as(w, &root, "start bob", ""), 3);
    assert_int_equal(do_as(w, &root, "autostart alice off", ""), 0);
    assert_int_equal(do_as(w, &root, "autostart alice maybe", ""), 2);
    played.live = 1;
    assert_int_equal(do_as(w, &root, "sessions list", ""), 0);
    assert_non_null(strstr(w->client.out, "203.0.113.7:50122"));
    assert_int_equal(do_as(w, &root, "audit verify", ""), 0);
    assert_non_null(strstr(w->client.out, "whole"));
}

static void row_of(struct world *w, const char *user, struct box_row *row)
{
    struct fault f;
    assert_int_equal(box_get_user(w->control.store, user, row, &f), ERR_NONE);
}

static void resize_changes_the_row_after_incus(void **state)
{
    static const struct {
        const char *line;
        int status;
        const char *says;
    } wrong[] = {
        {"resize alice", 2, "--cpu, --memory, --disk"}, {"resize alice --cpu none", 2, "0-3"},
        {"resize alice --memory 2", 2, "8GiB"},         {"resize alice --memory 1MB", 2, "64MB"},
        {"resize alice --disk much", 2, "--disk"},      {"resize alice --disk 10GB", 5, "can only grow"},
        {"resize nobody --cpu 2", 3, "no such user"},   {"resize bob --cpu 2", 3, "no box yet"},
        {"resize eve --cpu 2", 5, "existing machine"},
    };
    struct world *w = *state;
    struct box_row row;
    make(w, "alice", alice_key);
    make(w, "bob --lazy", bob_key);
    make(w, "eve --static 192.0.2.7", second_key);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int status = do_as(w, &root, wrong[i].line, "");
        if (status != wrong[i].status || strstr(w->client.err, wrong[i].says) == NULL)
            fail_msg("%s: status %d, err %s", wrong[i].line, status, w->client.err);
    }
    assert_int_equal(played.ops[BOX_OP_CHANGE], 0);
    assert_int_equal(do_as(w, &root, "resize alice --memory 8GB --disk 50GB", ""), 0);
    assert_non_null(strstr(w->client.out, "2GB -> 8GB"));
    assert_string_equal(played.change.cpu, "");
    assert_int_equal(played.change.memory, 8000000000);
    row_of(w, "alice", &row);
    assert_int_equal(row.memory, 8000000000);
    assert_int_equal(row.disk, 50000000000);
    assert_string_equal(row.cpu, "2");
    assert_int_equal(do_as(w, &root, "resize alice --memory 8GB --disk 50GB", ""), 0); // again: no harm
    assert_int_equal(count_events(w, "box-changed", "alice"), 2);
    played.answer = ERR_FULL; // as when the box uses more than that
    assert_int_equal(do_as(w, &root, "resize alice --memory 1GB", ""), 1);
    assert_non_null(strstr(w->client.err, "Nothing was changed"));
    row_of(w, "alice", &row);
    assert_int_equal(row.memory, 8000000000);
}

static void idle_times_are_the_boxes_own(void **state)
{
    static const struct {
        const char *line;
        int status;
        const char *says;
    } wrong[] = {
        {"idle set alice", 2, "give --freeze, --stop, or --reset"},
        {"idle set alice --freeze soon", 2,
         "--freeze: \"soon\" does not fit; accepted: never, and durations"},
        {"idle set alice --freeze 1h --stop 366d", 2, "--stop: \"366d\""},
        {"idle set alice --freeze=", 2, "--freeze"},
        {"idle set alice --sleep 1h", 2, "--sleep"},
        {"idle set alice 1h", 2, "1h"},
        {"idle alice --stop never", 2, "--stop"},
        {"idle set nobody --reset", 3, "no such user"},
        {"idle set eve --reset", 5, "existing machine"},
        {"idle eve", 5, "existing machine"},
    };
    struct world *w = *state;
    struct box_row row;
    make(w, "alice", alice_key);
    make(w, "bob --lazy", bob_key);
    make(w, "eve --static 192.0.2.7", second_key);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int status = do_as(w, &root, wrong[i].line, "");
        if (status != wrong[i].status || strstr(w->client.err, wrong[i].says) == NULL)
            fail_msg("%s: status %d, err %s", wrong[i].line, status, w->client.err);
    }
    row_of(w, "alice", &row);
    assert_false(row.idle.has_freeze || row.idle.has_stop);
    assert_int_equal(count_events(w, "box-changed", "alice"), 0);
    assert_int_equal(do_as(w, &root, "idle set alice --freeze 2h", ""), 0);
    assert_non_null(strstr(w->client.out, "freeze  2h     own"));
    assert_non_null(strstr(w->client.out, "stop    1d     configuration"));
    assert_int_equal(do_as(w, &root, "idle set alice --stop never", ""), 0); // the other one stays
    row_of(w, "alice", &row);
    assert_true(row.idle.has_freeze && row.idle.has_stop);
    assert_int_equal(row.idle.rules.freeze_ms, 7200000);
    assert_int_equal(row.idle.rules.stop_ms, 0);
    assert_int_equal(do_as(w, &root, "info alice", ""), 0);
    assert_non_null(strstr(w->client.out, "frozen after 2h (own), never stopped (own)\n"));
    assert_int_equal(do_as(w, &root, "idle set alice --reset --stop 1h", ""), 0);
    row_of(w, "alice", &row);
    assert_true(!row.idle.has_freeze && row.idle.has_stop);
    assert_int_equal(do_as(w, &root, "idle set alice --freeze 60m", ""), 0);
    assert_non_null(strstr(w->client.err, "the stop comes first"));
    assert_int_equal(do_as(w, &root, "idle set bob --freeze 5m", ""), 0); // before it is made, too
    assert_int_equal(count_events(w, "box-changed", "alice"), 4);
    assert_int_equal(do_as(w, &root, "audit --event box-changed --user alice", ""), 0);
    assert_non_null(strstr(w->client.out, "idle reset stop 1h"));
    assert_int_equal(played.ops[BOX_OP_CHANGE], 0);
}

static void autostart_is_told_to_incus(void **state)
{
    struct world *w = *state;
    struct box_row row;
    make(w, "alice", alice_key);
    assert_int_equal(do_as(w, &root, "autostart alice off", ""), 0);
    assert_int_equal(played.change.autostart, CHANGE_OFF);
    row_of(w, "alice", &row);
    assert_false(row.autostart);
    played.answer = ERR_UNAVAILABLE;
    assert_int_equal(do_as(w, &root, "autostart alice on", ""), 1);
    row_of(w, "alice", &row);
    assert_false(row.autostart);
}

// Incus was told at its sleep to leave it asleep, so it is told again at its wake; once, and only if it may.
static void autostart_comes_back_with_the_wake(void **state)
{
    struct world *w = *state;
    make(w, "alice", alice_key);
    assert_int_equal(do_as(w, &root, "stop alice", ""), 0);
    played.started = true;
    assert_int_equal(do_as(w, &root, "start alice", ""), 0);
    assert_int_equal(played.ops[BOX_OP_CHANGE], 1);
    assert_int_equal(played.change.autostart, CHANGE_ON);
    assert_int_equal(do_as(w, &root, "autostart alice off", ""), 0);
    assert_int_equal(do_as(w, &root, "stop alice", ""), 0);
    assert_int_equal(do_as(w, &root, "start alice", ""), 0);
    assert_int_equal(played.ops[BOX_OP_CHANGE], 2); // autostart's own
}

static void snapshots_are_named_asked_about_and_recorded(void **state)
{
    struct world *w = *state;
    make(w, "alice", alice_key);
    struct identity who = account_of(w, "alice");
    assert_int_equal(do_as(w, &who, "snapshot create before", ""), 0);
    assert_string_equal(played.snapshot, "before");
    assert_int_equal(do_as(w, &who, "snapshot create", ""), 0);
    assert_int_equal(strspn(played.snapshot, "0123456789-"), 15); // the time
    assert_int_equal(do_as(w, &who, "snapshot create a/b", ""), 2);
    assert_int_equal(do_as(w, &who, "snapshot create -- -x", ""), 2);
    assert_int_equal(do_as(w, &who, "snapshot list", ""), 0);
    assert_non_null(strstr(w->client.out, "before  2023-11-14T22:13:20Z  4.2MB"));
    assert_int_equal(do_as(w, &who, "snapshot restore nothing --force", ""), 3);
    assert_int_equal(do_as(w, &who, "snapshot restore before", ""), 2); // nobody to ask
    w->tty = true;
    assert_int_equal(do_as(w, &root, "snapshot restore alice before", "n\n"), 1);
    assert_false(played.kicked_from_box);
    assert_int_equal(played.ops[BOX_OP_SNAPSHOT_RESTORE], 0);
    assert_int_equal(do_as(w, &root, "snapshot restore alice before", "y\n"), 0);
    assert_true(played.kicked_from_box);
    assert_non_null(strstr(played.keys, "alice@laptop")); // today's keys go into the old disk
    assert_int_equal(do_as(w, &who, "snapshot delete before", ""), 0);
    assert_int_equal(count_events(w, "snapshot-created", "alice"), 2);
    assert_int_equal(count_events(w, "snapshot-restored", "alice"), 1);
    assert_int_equal(count_events(w, "snapshot-deleted", "alice"), 1);
}

static size_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (size_t)st.st_size : 9999;
}

static void delete_with_backup_deletes_nothing_without_one(void **state)
{
    struct world *w = *state;
    char path[128];
    make(w, "alice --memory 4GB --role operator", alice_key);
    make(w, "bob --lazy", bob_key);
    assert_int_equal(do_as(w, &root, "delete bob --force --backup", ""), 3); // nothing to back up
    assert_int_equal(do_as(w, &root, "delete alice --force --backup=", ""), 2);
    played.answer = ERR_FULL;
    assert_int_equal(do_as(w, &root, "delete alice --force --backup=a.backup", ""), 1);
    assert_non_null(strstr(w->client.err, "Nothing was deleted"));
    snprintf(path, sizeof path, "%s/a.backup", w->folder);
    assert_int_equal(size_of(path), 0); // what was half written is no backup
    assert_int_equal(do_as(w, &root, "delete alice --force --backup", ""), 1);
    snprintf(path, sizeof path, "rmdir %s/backups", w->folder);
    assert_int_equal(system(path), 0); // nothing left in it
    assert_int_equal(played.ops[BOX_OP_DELETE], 0);
    played.answer = ERR_NONE;
    assert_int_equal(do_as(w, &root, "delete alice --force --backup=a.backup", ""), 2); // not overwritten
    assert_int_equal(played.ops[BOX_OP_DELETE], 0);
    struct identity boss;
    make(w, "boss --lazy --role admin", second_key);
    boss = account_of(w, "boss");
    assert_int_equal(do_as(w, &boss, "delete alice --force --backup=b.backup", ""), 2); // no file of ours
    assert_int_equal(do_as(w, &boss, "delete alice --force --backup", ""), 0);
    assert_int_equal(played.ops[BOX_OP_DELETE], 1);
    assert_non_null(strstr(w->client.out, "ssh ctl@gw.example.org restore alice-"));
    assert_int_equal(count_events(w, "box-exported", "alice"), 1);
}

static void restore_brings_all_of_it_back(void **state)
{
    struct world *w = *state;
    struct box_row row;
    make(w, "alice --memory 4GB --cpu 0-1 --role operator --no-autostart", alice_key);
    assert_int_equal(do_as(w, &root, "keys add alice -", second_key), 0);
    assert_int_equal(do_as(w, &root, "idle set alice --freeze never", ""), 0);
    assert_int_equal(do_as(w, &root, "delete alice --force --backup=a.backup", ""), 0);
    assert_int_equal(do_as(w, &root, "info alice", ""), 3);
    assert_int_equal(do_as(w, &root, "restore b.backup", ""), 2); // no such file
    make(w, "bob --lazy", second_key);
    assert_int_equal(do_as(w, &root, "restore a.backup", ""), 5); // a key of hers is bob's now
    assert_non_null(strstr(w->client.err, "bob"));
    assert_int_equal(played.ops[BOX_OP_IMAGE_DELETE], 1);
    assert_int_equal(do_as(w, &root, "info alice", ""), 3);
    assert_int_equal(do_as(w, &root, "delete bob --force", ""), 0);
    played.ensure_fails = true; // it cannot be unpacked
    assert_int_equal(do_as(w, &root, "restore a.backup", ""), 1);
    assert_non_null(strstr(w->client.err, "nothing was restored"));
    assert_int_equal(do_as(w, &root, "info alice", ""), 3);
    assert_int_equal(played.ops[BOX_OP_IMAGE_DELETE], 2);
    played.ensure_fails = false;
    assert_int_equal(do_as(w, &root, "restore a.backup", ""), 0);
    assert_non_null(strstr(w->client.err, "was operator and is user now"));
    row_of(w, "alice", &row);
    assert_int_equal(row.phase, BOX_READY);
    assert_int_equal(row.memory, 4000000000);
    assert_string_equal(row.cpu, "0-1");
    assert_false(row.autostart);
    assert_true(row.idle.has_freeze && !row.idle.has_stop);
    assert_int_equal(row.idle.rules.freeze_ms, 0);
    assert_string_equal(row.image, "containarium-box"); // not the one it came through
    assert_int_equal(played.ops[BOX_OP_IMAGE_DELETE], 3);
    assert_int_equal(do_as(w, &root, "keys list alice", ""), 0);
    assert_non_null(strstr(w->client.out, "alice@laptop"));
    assert_non_null(strstr(w->client.out, "alice@phone"));
    assert_int_equal(do_as(w, &root, "restore a.backup", ""), 5); // she is there
    assert_int_equal(do_as(w, &root, "delete alice --force", ""), 0);
    static const char *const damaged[] = {
        "",
        "{}",
        "[]",
        "{\"version\":2}",
        "{\"version\":1,\"user\":\"root\",\"role\":\"user\",\"keys\":\"\",\"image\":\"i\",\"cpu\":\"1\","
        "\"hostkeys\":\"\",\"memory\":1,\"disk\":1}",
        "{\"version\":1,\"user\":\"eve\",\"role\":\"user\",\"keys\":\"\",\"image\":\"i\",\"cpu\":\"x\","
        "\"hostkeys\":\"\",\"memory\":1,\"disk\":1}",
        "{\"version\":1,\"user\":\"eve\",\"role\":\"user\",\"keys\":\"rubbish\",\"image\":\"i\",\"cpu\":"
        "\"1\","
        "\"hostkeys\":\"\",\"memory\":1,\"disk\":1}",
        "{\"version\":1,\"user\":\"eve\",\"role\":\"user\",\"keys\":\"\",\"image\":\"i\",\"cpu\":\"1\","
        "\"hostkeys\":\"\",\"memory\":1,\"disk\":1,\"idle_stop_ms\":-1}",
        "{\"version\":1,\"user\":\"eve\",\"role\":\"user\",\"keys\":\"\",\"image\":\"i\",\"cpu\":\"1\","
        "\"hostkeys\":\"\",\"memory\":1,\"disk\":1,\"idle_freeze_ms\":\"never\"}",
    };
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        snprintf(played.account, sizeof played.account, "%s", damaged[i]);
        assert_int_equal(do_as(w, &root, "restore a.backup", ""), 2);
    }
    assert_int_equal(do_as(w, &root, "list", ""), 0);
    assert_non_null(strstr(w->client.err, "No users yet"));
}

static void images_are_chosen_by_name_or_fingerprint(void **state)
{
    struct world *w = *state;
    assert_int_equal(do_as(w, &root, "image list", ""), 0);
    assert_non_null(strstr(w->client.out, "containarium-box  aaaaaaaabbbb  240MB"));
    assert_int_equal(do_as(w, &root, "image use nothing", ""), 3);
    assert_non_null(strstr(w->client.err, "packaging/image.sh"));
    assert_int_equal(do_as(w, &root, "image use aaaaaaaa", ""), 5); // which of the two?
    assert_int_equal(do_as(w, &root, "image use dddddddd", ""), 5); // somebody's box
    assert_int_equal(do_as(w, &root, "image use aa", ""), 3);
    assert_int_equal(do_as(w, &root, "image use containarium-box", ""), 0); // it is
    assert_int_equal(played.ops[BOX_OP_IMAGE_USE], 0);
    assert_int_equal(do_as(w, &root, "image use next", ""), 0);
    assert_string_equal(played.image[0], "containarium-box");
    assert_string_equal(played.image[1], "aaaaaaaacccc");
    assert_int_equal(do_as(w, &root, "image use aaaaaaaac", ""), 0);
    assert_int_equal(played.ops[BOX_OP_IMAGE_USE], 2);
}

static void file_with(const char *folder, const char *name, mode_t mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fclose(out);
    assert_int_equal(chmod(path, mode), 0);
}

static void doctor_finds_what_is_wrong(void **state)
{
    struct world *w = *state;
    make(w, "alice", alice_key);
    snprintf(w->config.state_dir, sizeof w->config.state_dir, "%s", w->folder);
    snprintf(w->config.listen, sizeof w->config.listen, "127.0.0.1:1"); // nobody does
    file_with(w->folder, "ssh_host_ed25519_key.pub", 0644);
    file_with(w->folder, "ssh_host_ed25519_key", 0600);
    assert_int_equal(do_as(w, &root, "doctor", ""), 1);
    static const char *const wanted[] = {
        "ok    incus        Incus 6.0.4 answers",
        "ok    image        containarium-box is there",
        "ok    pool         containarium (zfs): 1B of 100B used, 1%",
        "ok    boxes        1 in Incus, none is missing",
        "fail  gateway      127.0.0.1 port 1",
        "To mend it: systemctl status containarium-gateway",
        "ok    host keys    1 in ",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (strstr(w->client.out, wanted[i]) == NULL)
            fail_msg("%s is not in\n%s", wanted[i], w->client.out);
    }
    file_with(w->folder, "ssh_host_ed25519_key", 0644);
    played.image_gone = true;
    assert_int_equal(do_as(w, &root, "doctor --json", ""), 1);
    json_t *object = json_loads(w->client.out, 0, NULL);
    assert_true(json_is_false(json_object_get(object, "well")));
    assert_true(json_array_size(json_object_get(object, "checks")) > 8);
    json_decref(object);
    assert_non_null(strstr(w->client.out, "packaging/image.sh builds it"));
    assert_non_null(strstr(w->client.out, "chmod 600"));
    played.answer = ERR_UNAVAILABLE;
    assert_int_equal(do_as(w, &root, "doctor", ""), 1);
    assert_non_null(strstr(w->client.out, "fail  incus        Incus does not answer"));
}

static void every_json_is_json(void **state)
{
    static const char *const lines[] = {
        "create alice --ssh-key -",
        "list",
        "info alice",
        "keys list alice",
        "keys add alice -",
        "autostart alice on",
        "sessions list",
        "audit",
        "audit verify",
        "config show",
        "whoami",
        "version",
        "stop alice",
        "start alice",
        "freeze alice",
        "resize alice --cpu 4",
        "resize alice --cpu none",
        "idle alice",
        "idle set alice --freeze 1h --stop never",
        "idle set alice",
        "snapshot create alice",
        "snapshot list alice",
        "snapshot restore alice before --force",
        "snapshot restore alice nothing --force",
        "snapshot delete alice before",
        "image list",
        "image use next",
        "keys replace alice -",
        "invite dave --role operator --sessions 3",
        "invites list",
        "invites revoke dave",
        "invites revoke 99",
        "role alice operator",
        "keys sync alice",
        "info nobody",
        "start nobody",
        "lst",
        "list --bogus",
        "info",
        "keys",
        "keys --help",
        "complete",
        "help",
        "help keys",
        "help nothing",
        "restore nothing",
        "delete alice --force --backup",
        "audit --user nobody",
        "export alice",
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char line[128];
        snprintf(line, sizeof line, "%s --json", lines[i]);
        int status = do_as(w, &root, line, alice_key);
        json_t *object = json_loads(w->client.out, 0, NULL);
        if (object == NULL || (status != 0) != (json_object_get(object, "error") != NULL))
            fail_msg("%s: status %d: %s%s", line, status, w->client.out, w->client.err);
        json_decref(object);
    }
}

static void export_is_complete(void **state)
{
    struct world *w = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/ssh_host_ed25519_key.pub", w->folder);
    make(w, "alice", alice_key);
    assert_int_equal(do_as(w, &root, "export alice", ""), 3); // no host key of the gateway
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(bob_key, out);
    fclose(out);
    assert_int_equal(do_as(w, &root, "export alice --jump-ip 203.0.113.5 --port 2222 --key ~/.ssh/k%d", ""),
                     0);
    static const char *const wanted[] = {
        "Host containarium-jump\n",
        "HostName 203.0.113.5\n",
        "Port 2222\n",
        "Host alice-dev alice-container\n",
        "ProxyJump containarium-jump\n",
        "HostKeyAlias alice-container\n",
        "IdentityFile \"~/.ssh/k%%d\"\n",
        "KnownHostsCommand /usr/bin/printf \"%%s\\n\" \"containarium-jump ssh-ed25519 AAAAC3",
        "KnownHostsCommand /usr/bin/printf \"%%s\\n\" \"alice-container ssh-ed25519 AAAABOX\"\n",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (strstr(w->client.out, wanted[i]) == NULL)
            fail_msg("%s is not in\n%s", wanted[i], w->client.out);
    }
    assert_int_equal(do_as(w, &root, "export alice --output a.conf", ""), 0);
    assert_string_equal(w->client.out, "");
    assert_int_equal(strncmp(w->client.saved, "a.conf:# Containarium", 21), 0);
    assert_int_equal(do_as(w, &root, "export alice --jump-ip a\"b", ""), 2);
    assert_int_equal(do_as(w, &root, "export alice --port 0", ""), 2);
    struct identity who = account_of(w, "alice");
    assert_int_equal(do_as(w, &who, "export", ""), 0);
    assert_non_null(strstr(w->client.out, "HostName gw.example.org"));
    assert_int_equal(do_as(w, &who, "export --output a.conf", ""), 2);
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_words_are_suggested),
        WITH_WORLD(usage_errors_say_what_to_do),
        WITH_WORLD(every_verb_explains_itself),
        cmocka_unit_test(roles_are_as_decided),
        WITH_WORLD(every_verb_asks_for_its_role),
        WITH_WORLD(users_cannot_tell_who_exists),
        WITH_WORLD(sharing_does_not_tell_who_exists),
        WITH_WORLD(a_role_is_looked_up_when_it_is_used),
        WITH_WORLD(ones_own_account_goes_without_saying),
        WITH_WORLD(create_makes_everything_and_can_be_repeated),
        WITH_WORLD(create_completes_what_failed),
        WITH_WORLD(create_static),
        WITH_WORLD(bad_keys_are_refused_before_anything_is_written),
        WITH_WORLD(keys_change_in_store_box_and_sessions),
        WITH_WORLD(delete_asks_first),
        WITH_WORLD(a_raw_terminal_is_echoed),
        WITH_WORLD(delete_that_failed_is_finished_by_another),
        WITH_WORLD(a_client_that_leaves_breaks_nothing),
        WITH_WORLD(lists_what_is_known),
        WITH_WORLD(resize_changes_the_row_after_incus),
        WITH_WORLD(idle_times_are_the_boxes_own),
        WITH_WORLD(autostart_is_told_to_incus),
        WITH_WORLD(autostart_comes_back_with_the_wake),
        WITH_WORLD(snapshots_are_named_asked_about_and_recorded),
        WITH_WORLD(delete_with_backup_deletes_nothing_without_one),
        WITH_WORLD(restore_brings_all_of_it_back),
        WITH_WORLD(images_are_chosen_by_name_or_fingerprint),
        WITH_WORLD(doctor_finds_what_is_wrong),
        WITH_WORLD(every_json_is_json),
        WITH_WORLD(export_is_complete),
    };
    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
