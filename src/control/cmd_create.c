// create: account, keys and box row in one commit, then the box. Repeating it completes what is missing.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "control/agent.h"
#include "control/box_flow.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/key_list.h"
#include "control/option.h"

struct creation {
    struct key_list keys;
    size_t next_key;    // position among the options
    const char *source; // of the key being read
    enum role role;
    struct box_row row; // what is asked for
    bool lazy, account_made;
};

static void creation_free(void *state)
{
    struct creation *creation = state;
    if (creation == NULL)
        return;
    key_list_clear(&creation->keys);
    free(creation);
}

// "ADDRESS", "ADDRESS:PORT", "[IPV6]:PORT". Numeric, because a name could come to mean another machine.
static enum err parse_static(const char *text, struct box_row *row, struct fault *f)
{
    char host[64];
    unsigned char binary[16];
    unsigned long port = 22;
    const char *end = text[0] == '[' ? strchr(text, ']') : NULL;
    const char *start = end != NULL ? text + 1 : text;
    const char *colon = end != NULL ? (end[1] == ':' ? end + 1 : NULL) : strchr(text, ':');
    if (end == NULL && colon != NULL && strchr(colon + 1, ':') != NULL)
        colon = NULL; // a bare IPv6 address
    if (end == NULL)
        end = colon != NULL ? colon : text + strlen(text);
    snprintf(host, sizeof host, "%.*s", (int)(end - start), start);
    if (colon != NULL) {
        char *rest = NULL;
        port = strtoul(colon + 1, &rest, 10);
        if (colon[1] < '0' || colon[1] > '9' || *rest != '\0' || port == 0 || port > 65535)
            return fault_set(f, ERR_INVALID, "--static %.100s: the port must be 1 to 65535", text);
    }
    if (inet_pton(AF_INET, host, binary) != 1 && inet_pton(AF_INET6, host, binary) != 1)
        return fault_set(f, ERR_INVALID,
                         "--static %.100s: give the machine's IP address, as in 192.0.2.7, 192.0.2.7:2222 or "
                         "[2001:db8::7]:22",
                         text);
    row->driver = BOX_DRIVER_STATIC;
    row->phase = BOX_READY; // there is nothing to make
    row->port = (uint16_t)port;
    snprintf(row->address, sizeof row->address, "%s", host);
    return ERR_NONE;
}

static enum err parse_limits(const struct command_run *run, struct box_row *row, struct fault *f)
{
    const char *image = verb_option(run, "image"), *address = verb_option(run, "static");
    enum err e = option_box(run, row->cpu, &row->memory, &row->disk, f);
    if (e == ERR_NONE && address != NULL)
        e = parse_static(address, row, f);
    if (e != ERR_NONE)
        return e;
    if (image != NULL && (image[0] == '\0' || strlen(image) >= sizeof row->image))
        return fault_set(f, ERR_INVALID, "--image: \"%.60s\" is not an image's name", image);
    if (image != NULL)
        snprintf(row->image, sizeof row->image, "%s", image);
    if (verb_flag(run, "autostart") && verb_flag(run, "no-autostart"))
        return fault_set(f, ERR_INVALID, "--autostart and --no-autostart exclude each other");
    if (verb_flag(run, "autostart") || verb_flag(run, "no-autostart"))
        row->autostart = verb_flag(run, "autostart");
    return ERR_NONE;
}

// What the options ask for, on top of the configuration's defaults.
static enum err parse_wishes(const struct command_run *run, struct creation *creation, struct fault *f)
{
    const struct config *config = run->control->config;
    struct box_row *row = &creation->row;
    const char *role = verb_option(run, "role");
    *row = (struct box_row){
        .driver = BOX_DRIVER_INCUS,
        .phase = BOX_ABSENT,
        .port = 22,
        .memory = config->box_memory,
        .disk = config->box_disk,
        .autostart = config->box_autostart,
        .created = time(NULL),
    };
    snprintf(row->image, sizeof row->image, "%.127s", config->incus_image);
    snprintf(row->cpu, sizeof row->cpu, "%.63s", config->box_cpu);
    snprintf(row->user, sizeof row->user, "%.31s", run->user);
    creation->lazy = verb_flag(run, "lazy");
    if (role != NULL && !role_parse(role, &creation->role))
        return fault_set(f, ERR_INVALID, "--role: \"%.40s\" is none of user, operator, admin", role);
    enum err e = name_check_user(run->user, f);
    if (e != ERR_NONE)
        return e;
    name_box(run->user, row->name);
    if (verb_option(run, "host-key") != NULL && verb_option(run, "static") == NULL)
        return fault_set(f, ERR_INVALID, "--host-key goes with --static; other boxes make their own");
    return parse_limits(run, row, f);
}

static bool differs(struct command_run *run, bool wrong, const char *what, const char *advice)
{
    if (wrong)
        verb_failf(run, ERR_CONFLICT, "%s exists with another %s; to change it: %s", run->user, what, advice);
    return wrong;
}

// Repeating a create must ask for what is there; what was not said is not compared.
static bool check_same(struct command_run *run, const struct creation *creation, const struct box_row *row)
{
    const struct box_row *wish = &creation->row;
    char keys[96], autostart[80], role[80];
    snprintf(keys, sizeof keys, "%s keys add %s FILE", verb_program(run), run->user);
    snprintf(autostart, sizeof autostart, "%s autostart %s on|off", verb_program(run), run->user);
    snprintf(role, sizeof role, "%s role %s user|operator|admin", verb_program(run), run->user);
    const char *remake = "delete the user and create it anew";
    bool autostart_said = verb_flag(run, "autostart") || verb_flag(run, "no-autostart");
    for (size_t i = 0; i < creation->keys.count; i++) {
        struct account owner;
        struct account_key found;
        struct fault f;
        if (differs(run,
                    account_key_find(run->control->store, creation->keys.keys[i].fingerprint, &owner, &found,
                                     &f) != ERR_NONE,
                    "key", keys))
            return false;
    }
    return !differs(run, verb_option(run, "role") != NULL && creation->role != run->account.role, "role",
                    role) &&
           !differs(run, verb_option(run, "cpu") != NULL && strcmp(wish->cpu, row->cpu) != 0, "CPU limit",
                    remake) &&
           !differs(run, verb_option(run, "memory") != NULL && wish->memory != row->memory, "memory limit",
                    remake) &&
           !differs(run, verb_option(run, "disk-quota") != NULL && wish->disk != row->disk, "disk quota",
                    remake) &&
           !differs(run, verb_option(run, "image") != NULL && strcmp(wish->image, row->image) != 0, "image",
                    remake) &&
           !differs(run, autostart_said && wish->autostart != row->autostart, "autostart setting",
                    autostart) &&
           !differs(run, wish->driver != row->driver && verb_option(run, "static") != NULL, "kind of box",
                    remake) &&
           !differs(run,
                    verb_option(run, "static") != NULL &&
                        (strcmp(wish->address, row->address) != 0 || wish->port != row->port),
                    "address", remake) &&
           !differs(run,
                    wish->hostkeys[0] != '\0' && row->hostkeys[0] != '\0' &&
                        strcmp(wish->hostkeys, row->hostkeys) != 0,
                    "host key", remake);
}

static void print_keys(struct command_run *run);

static void print_details(struct command_run *run)
{
    const struct box_row *row = &run->row;
    enum box_state state = describe_state(row, &run->result);
    char cpu[96], memory[32], disk[32], line[256];
    struct fault f;
    if (run->json) {
        json_t *object = describe_json(&run->account, row, state, NULL);
        if (object != NULL)
            json_object_set_new(object, "keys", describe_keys(run->control->store, run->account.id));
        verb_result(run, object);
        verb_done(run);
        return;
    }
    verb_out(run, "Container Details:\n");
    verb_out(run, "  Name:        %s\n  User:        %s\n", row->name, row->user);
    if (run->account.role != ROLE_USER)
        verb_out(run, "  Role:        %s\n", role_name(run->account.role));
    if (row->driver == BOX_DRIVER_STATIC) {
        verb_out(run, "  Address:     %s port %u (an existing machine)\n", row->address, (unsigned)row->port);
    } else {
        verb_out(run, "  Status:      %s\n",
                 state == BOX_STATE_ABSENT ? "made at the first login" : describe_state_name(row, state));
        verb_out(run, "  IP Address:  %s\n", row->address);
        verb_out(run, "  CPU:         %s\n", describe_cpu(row->cpu, cpu, sizeof cpu));
        verb_out(run, "  Memory:      %s\n", size_format(row->memory, memory, sizeof memory));
        verb_out(run, "  Disk Quota:  %s\n", size_format(row->disk, disk, sizeof disk));
        verb_out(run, "  Auto-start:  %s\n", row->autostart ? "Enabled" : "Disabled");
    }
    print_keys(run);
    describe_ssh(run, row);
    if (row->driver == BOX_DRIVER_STATIC && box_flow_gateway_key(row, line, sizeof line, &f) == ERR_NONE)
        verb_out(run,
                 "\nFor `ssh %s@GATEWAY` this line must stand in ~%s/.ssh/authorized_keys on %s:\n  %s\n",
                 row->user, row->user, row->address, line);
    verb_done(run);
}

static enum err print_key(const struct account_key *key, void *arg, struct fault *f)
{
    struct command_run *run = arg;
    (void)f;
    verb_out(run, "  Key:         %s %s%s%s\n", key->key.type, key->key.fingerprint,
             key->key.comment[0] == '\0' ? "" : " ", key->key.comment);
    return ERR_NONE;
}

static void print_keys(struct command_run *run)
{
    struct fault f;
    if (account_key_each(run->control->store, run->account.id, print_key, run, &f) != ERR_NONE)
        verb_note(run, "The keys cannot be read: %s", f.text);
}

static void on_made(struct command_run *run)
{
    if (run->result.code == ERR_NONE && run->have_row) {
        print_details(run);
        return;
    }
    struct fault f = run->result.fault;
    f.code = run->result.code == ERR_NONE ? ERR_NOTFOUND : run->result.code;
    (void)fault_prefix(&f, "the account %s is there, its box is not", run->user);
    verb_hint(run, "Nothing needs undoing: run the same command again, or let the first login make the box.");
    verb_fail(run, &f);
}

static void on_looked(struct command_run *run)
{
    if (run->result.code == ERR_NONE && run->result.state == BOX_STATE_ABSENT)
        verb_box(run, BOX_OP_ENSURE, on_made); // gone behind our back
    else
        print_details(run);
}

static void on_stored(struct command_run *run)
{
    char memory[32], disk[32];
    struct creation *creation = run->state;
    if (creation->account_made)
        verb_note(run, "Account %s made%s.", run->user,
                  creation->lazy ? "; the box is made at the first login" : "");
    else
        verb_note(run, "Account %s exists; completing what is missing.", run->user);
    if (verb_flag(run, "verbose") && run->row.driver == BOX_DRIVER_INCUS)
        verb_note(run, "Image %s, address %s, CPU %s, memory %s, disk %s.", run->row.image, run->row.address,
                  run->row.cpu, size_format(run->row.memory, memory, sizeof memory),
                  size_format(run->row.disk, disk, sizeof disk));
    if (creation->lazy || run->row.driver == BOX_DRIVER_STATIC)
        print_details(run);
    else if (run->row.phase == BOX_READY)
        verb_box(run, BOX_OP_STATE, on_looked);
    else
        verb_box(run, BOX_OP_ENSURE, on_made);
}

// The account exists: only what is missing is written.
static bool complete(struct command_run *run, struct creation *creation)
{
    struct store *s = run->control->store;
    struct fault f;
    enum err e = box_get(s, run->account.id, &run->row, &f);
    if (e == ERR_NONE) {
        if (!check_same(run, creation, &run->row))
            return false;
        if (creation->row.hostkeys[0] != '\0' && run->row.hostkeys[0] == '\0') {
            snprintf(run->row.hostkeys, sizeof run->row.hostkeys, "%s", creation->row.hostkeys);
            e = box_set_hostkeys(s, run->account.id, run->row.hostkeys, &f);
        }
    }
    if (e != ERR_NONE && e != ERR_NOTFOUND) {
        verb_fail(run, &f);
        return false;
    }
    return true;
}

static bool insert_row(struct command_run *run, struct creation *creation)
{
    uint32_t first = 0, last = 0;
    struct fault f;
    struct box_row *row = &creation->row;
    row->account_id = run->account.id;
    config_subnet_range(run->control->config, &first, &last);
    enum err e = agent_new_seed(row->gateway_seed, &f);
    if (e == ERR_NONE)
        e = box_insert(run->control->store, row, first, last, &f);
    if (e != ERR_NONE) {
        verb_fail(run, &f);
        return false;
    }
    run->row = *row;
    return true;
}

static bool make_account(struct command_run *run, struct creation *creation)
{
    struct fault f;
    struct audit_record record = {.event = AUDIT_ACCOUNT_CREATED, .target = role_name(creation->role)};
    int64_t id = 0;
    unsigned added;
    if (account_create(run->control->store, run->user, creation->role, time(NULL), &id, &f) != ERR_NONE ||
        account_get_id(run->control->store, id, &run->account, &f) != ERR_NONE) {
        verb_fail(run, &f);
        return false;
    }
    creation->account_made = true;
    return verb_audit(run, &record) && key_list_store(&creation->keys, run, id, NULL, &added) &&
           insert_row(run, creation);
}

static void store_it(struct command_run *run)
{
    struct creation *creation = run->state;
    struct store *s = run->control->store;
    struct fault f;
    enum err e = account_get(s, run->user, &run->account, &f);
    if (e != ERR_NONE && e != ERR_NOTFOUND) {
        verb_fail(run, &f);
        return;
    }
    bool exists = e == ERR_NONE;
    if (key_list_check_owner(&creation->keys, s, exists ? run->account.id : 0, &f) != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    run->have_account = true;
    if (exists) {
        if (!complete(run, creation) || (run->row.account_id == 0 && !insert_row(run, creation)))
            return;
    } else if (!make_account(run, creation)) {
        // Others write in the same group, so this is undone by hand, not rolled back.
        if (creation->account_made && account_delete(s, run->account.id, &f) != ERR_NONE)
            log_event(LOG_LEVEL_ERROR, "create_not_undone", "user=%s error=%s", run->user, log_quote(f.text));
        return;
    }
    verb_commit(run, on_stored);
}

static enum err add_host_key(const struct pubkey *key, void *arg, struct fault *f)
{
    struct box_row *row = arg;
    size_t at = strlen(row->hostkeys);
    int n = snprintf(row->hostkeys + at, sizeof row->hostkeys - at, "%s %s\n", key->type, key->base64);
    if (n < 0 || (size_t)n >= sizeof row->hostkeys - at)
        return fault_set(f, ERR_INVALID, "too many host keys: the ed25519 one is enough");
    return ERR_NONE;
}

// Lines as ssh-keyscan prints them begin with the host; a .pub file does not.
static char *without_hosts(const char *text)
{
    char *plain = malloc(strlen(text) + 2), *out = plain; // the last line may lack its end
    for (const char *line = text; plain != NULL && *line != '\0';) {
        size_t n = strcspn(line, "\n");
        const char *key = line;
        if (strncmp(line, "ssh-", 4) != 0 && strncmp(line, "ecdsa-", 6) != 0 && line[0] != '#') {
            size_t host = strcspn(line, " \n");
            key = line + host + (line[host] == ' ');
        }
        size_t rest = n - (size_t)(key - line);
        memmove(out, key, rest);
        out += rest;
        *out++ = '\n';
        line += n + (line[n] == '\n');
    }
    if (plain != NULL)
        *out = '\0';
    return plain;
}

static void on_host_key(struct command_run *run)
{
    struct creation *creation = run->state;
    struct fault f;
    char *plain = without_hosts(run->input == NULL ? "" : run->input);
    enum err e = plain == NULL ? fault_set(&f, ERR_MEMORY, "out of memory")
                               : pubkey_parse_file(plain, strlen(plain), add_host_key, &creation->row, &f);
    free(plain);
    if (e != ERR_NONE) {
        (void)fault_prefix(&f, "--host-key");
        verb_fail(run, &f);
        return;
    }
    store_it(run);
}

static void read_next_key(struct command_run *run);

static void on_key(struct command_run *run)
{
    struct creation *creation = run->state;
    struct fault f;
    if (key_list_add_input(&creation->keys, run, creation->source, &f) != ERR_NONE)
        verb_fail(run, &f);
    else
        read_next_key(run);
}

static void read_next_key(struct command_run *run)
{
    struct creation *creation = run->state;
    const char *source = verb_option_next(run, "ssh-key", &creation->next_key);
    const char *host_key = verb_option(run, "host-key");
    creation->source = source;
    if (source != NULL)
        verb_read_keys(run, source, on_key);
    else if (host_key != NULL)
        verb_read(run, host_key, on_host_key);
    else
        store_it(run);
}

void cmd_create(struct command_run *run)
{
    struct fault f;
    struct creation *creation = verb_state(run, sizeof *creation, creation_free);
    if (creation == NULL)
        return;
    if (parse_wishes(run, creation, &f) != ERR_NONE)
        verb_fail(run, &f);
    else if (verb_option(run, "ssh-key") == NULL)
        verb_usage(run, "a key is needed to get in: --ssh-key FILE (the .pub file), github:NAME, "
                        "gitlab:NAME, an https URL, or - to paste it; or let them bring it: invite");
    else
        read_next_key(run);
}
