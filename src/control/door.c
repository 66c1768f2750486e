// Owns one request to get through. Refuses by default; what policy allows is woken, connected to, recorded,
// passed.
#include "control/door.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"
#include "control/admin_socket.h"
#include "control/agent.h"
#include "control/box_flow.h"
#include "control/describe.h"
#include "control/dial.h"
#include "control/metrics.h"
#include "control/usage.h"
#include "control/writer.h"

#define SSH_PORT 22
#define LOOK_AGAIN_MS 1500 // a box that does not answer for so long may have gone down meanwhile: look again

struct door {
    struct control *control;
    struct door_caller who;
    uint64_t id; // of the OPEN
    enum authz_verdict verdict;
    char kind[32];
    char host[256];
    uint32_t port;
    bool have_leg;
    char via[80]; // where the connection to the box comes from
    struct box_row row;
    uint64_t flow_ticket;
    struct dial *dial;
    bool woke;      // the box was not awake
    bool made;      // nor was there one
    bool dials_ssh; // the box's own sshd, which may still have to come up
    struct door_answer answer;
    uint64_t began, deadline; // monotonic ms
    door_progress_fn progress;
    door_done_fn done;
    void *arg;
};

static void door_free(struct door *d)
{
    writer_cancel(d->control->writer, d);
    if (d->flow_ticket != 0)
        box_flow_cancel(d->control, d->flow_ticket);
    dial_cancel(d->dial);
    for (size_t i = 0; i < d->answer.fd_count; i++)
        close(d->answer.fds[i]);
    free(d);
}

void door_cancel(struct door *d)
{
    door_free(d);
}

static void drop_fds(struct door *d)
{
    for (size_t i = 0; i < d->answer.fd_count; i++)
        close(d->answer.fds[i]);
    d->answer.fd_count = 0;
}

static void on_recorded(void *arg, enum err code, const struct fault *f)
{
    struct door *d = arg;
    if (code != ERR_NONE && d->answer.code == ERR_NONE) { // no record, no access
        drop_fds(d);
        d->answer.code = code;
        snprintf(d->answer.text, sizeof d->answer.text, "this access cannot be recorded: %.400s", f->text);
    }
    d->done(d->arg, d->id, &d->answer);
    door_free(d);
}

// Writes the audit record of what the answer is, and gives the answer once it is on disk.
static void give(struct door *d)
{
    bool ok = d->answer.code == ERR_NONE;
    char target[300];
    if (d->host[0] != '\0' || d->port != 0)
        snprintf(target, sizeof target, "%s %s:%u", d->kind, d->host, (unsigned)d->port);
    else
        snprintf(target, sizeof target, "%s", d->kind);
    struct audit_record record = {
        .event = ok ? AUDIT_OPEN : AUDIT_REFUSED,
        .user = d->who.user,
        .fingerprint = d->who.fingerprint,
        .address = d->who.address,
        .session = d->who.session,
        .box = d->row.name,
        .target = target,
        .duration_ms = monotonic_ms() - d->began,
        .reason = ok ? d->via : d->answer.text,
    };
    struct fault f;
    if (!ok)
        log_event(LOG_LEVEL_WARN, "refused", "user=%s from=%s target=%s reason=%s", d->who.user,
                  d->who.address, log_quote(target), log_quote(d->answer.text));
    metrics_channel(d->control, ok);
    enum err e = writer_audit(d->control->writer, &record, &f);
    if (e != ERR_NONE && ok) {
        drop_fds(d);
        d->answer.code = e;
        snprintf(d->answer.text, sizeof d->answer.text, "this access cannot be recorded: %.400s", f.text);
    }
    writer_after_commit(d->control->writer, d, on_recorded, d);
}

static void refuse(struct door *d, enum err code, const char *text)
{
    d->answer.code = code;
    snprintf(d->answer.text, sizeof d->answer.text, "%s", text);
    give(d);
}

// A fresh pair of connected sockets: one end is served here, the other goes into the answer.
static int pass_pair(struct door *d, int type, struct fault *f)
{
    int pair[2];
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) != 0) {
        fault_errno(f, ERR_IO, "cannot make a pair of sockets");
        return -1;
    }
    d->answer.fds[d->answer.fd_count++] = pair[1];
    return pair[0];
}

// The box's sshd logs this address and port as its client's: the trail and the box's own log can be laid side
// by side.
static void note_way(struct door *d, int fd)
{
    struct sockaddr_storage own;
    socklen_t length = sizeof own;
    char host[64], port[8];
    if (getsockname(fd, (struct sockaddr *)&own, &length) == 0 &&
        getnameinfo((struct sockaddr *)&own, length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(d->via, sizeof d->via, strchr(host, ':') != NULL ? "via [%s]:%s" : "via %s:%s", host, port);
}

// Whoever waited for a new box is told what they have got, and where it is looked after.
static void tell_made(struct door *d)
{
    const struct config *config = d->control->config;
    char text[DESCRIBE_WAY + 40], cpu[32], memory[32], disk[32], way[DESCRIBE_WAY];
    if (!d->made || d->progress == NULL || d->who.owner_id != d->who.account_id)
        return;
    snprintf(text, sizeof text, "Your box is ready: %s, %s of memory, %s of disk.\n",
             describe_cpu(d->row.cpu, cpu, sizeof cpu), size_format(d->row.memory, memory, sizeof memory),
             size_format(d->row.disk, disk, sizeof disk));
    d->progress(d->arg, d->id, text);
    snprintf(text, sizeof text, "To look after it: %s help\n", describe_way(config, "ctl", way));
    d->progress(d->arg, d->id, text);
}

static void wake(struct door *d);

static void on_connected(void *arg, int fd, const struct fault *f)
{
    struct door *d = arg;
    struct fault why;
    d->dial = NULL;
    if (fd < 0 && d->dials_ssh && monotonic_ms() < d->deadline) {
        wake(d);
        return;
    }
    if (d->woke || fd < 0)
        metrics_wake(d->control, fd >= 0, monotonic_ms() - d->began);
    if (fd < 0) {
        char text[480];
        if (d->verdict == AUTHZ_BOX_JUMP && d->port != d->row.port)
            snprintf(text, sizeof text, "%s is awake but nothing answers on port %u", d->row.name,
                     (unsigned)d->port);
        else
            snprintf(text, sizeof text, "the SSH server of %s does not answer: %.200s", d->row.name, f->text);
        refuse(d, ERR_TIMEOUT, text);
        return;
    }
    d->answer.fds[d->answer.fd_count++] = fd;
    note_way(d, fd);
    if (d->verdict == AUTHZ_BOX_SESSION) {
        int agent = pass_pair(d, SOCK_STREAM, &why);
        if (agent < 0 || agent_serve(d->control->base, agent, d->row.gateway_seed, d->row.user,
                                     d->row.hostkeys, &why) != ERR_NONE) {
            drop_fds(d);
            refuse(d, why.code, why.text);
            return;
        }
        d->answer.user = d->row.user;
        d->answer.hostkeys = d->row.hostkeys;
        tell_made(d);
    }
    give(d);
}

static void connect_to_box(struct door *d)
{
    struct fault f;
    uint64_t now = monotonic_ms(), left = d->deadline > now ? d->deadline - now : 0;
    uint16_t port = d->verdict == AUTHZ_BOX_JUMP && d->port != SSH_PORT ? (uint16_t)d->port : d->row.port;
    d->dials_ssh = port == d->row.port;
    d->dial = dial_start(d->control->base, d->row.address, port, d->dials_ssh,
                         left < LOOK_AGAIN_MS ? left : LOOK_AGAIN_MS, on_connected, d, &f);
    if (d->dial == NULL)
        refuse(d, f.code, f.text);
}

static void on_awake(void *arg, const struct box_row *row, const struct box_result *result)
{
    struct door *d = arg;
    d->flow_ticket = 0;
    d->woke = d->woke || result->started || result->created;
    d->made = d->made || result->created;
    if (result->code != ERR_NONE) {
        metrics_wake(d->control, false, 0);
        char text[480];
        const char *box = d->row.name;
        if (result->code == ERR_UNAVAILABLE || result->code == ERR_TIMEOUT)
            snprintf(
                text, sizeof text,
                "%s cannot be woken right now, the container service does not answer; try again in a minute "
                "(%.200s)",
                box, result->fault.text);
        else
            snprintf(text, sizeof text, "%s cannot be woken: %.300s", box, result->fault.text);
        refuse(d, result->code, text);
        return;
    }
    if (row == NULL) {
        refuse(d, ERR_NOTFOUND, "the box was deleted");
        return;
    }
    d->row = *row;
    if (d->verdict == AUTHZ_BOX_SESSION && row->hostkeys[0] == '\0') {
        refuse(d, ERR_FAILED,
               "the host key of this box is not known, so it cannot be entered directly; use ssh -J, or have "
               "it set "
               "with create --host-key");
        return;
    }
    connect_to_box(d);
}

static void on_wake_progress(void *arg, const char *step, unsigned number, unsigned total)
{
    struct door *d = arg;
    char text[160];
    if (total > 0)
        snprintf(text, sizeof text, "[%u/%u] %s", number, total, step);
    else
        snprintf(text, sizeof text, "%s", step);
    if (d->progress != NULL)
        d->progress(d->arg, d->id, text);
}

static void open_console(struct door *d)
{
    struct fault f;
    struct identity who = {.role = d->who.role, .account_id = d->who.account_id, .joined = d->who.joined};
    snprintf(who.actor, sizeof who.actor, "%s", d->who.user);
    snprintf(who.address, sizeof who.address, "%.63s", d->who.address);
    int fd = pass_pair(d, SOCK_SEQPACKET, &f);
    if (fd < 0) {
        refuse(d, f.code, f.text);
        return;
    }
    admin_serve(d->control, fd, &who);
    d->answer.kind = DOOR_CONSOLE;
    give(d);
}

static void wake(struct door *d)
{
    d->flow_ticket = box_flow_submit(d->control, BOX_OP_ENSURE, d->who.owner_id, d->who.user,
                                     on_wake_progress, on_awake, d);
}

// The owner's box row; an account without one gets it now, the box itself is made by ENSURE.
static enum err load_row(struct door *d, struct fault *f)
{
    struct account account;
    enum err e = box_get(d->control->store, d->who.owner_id, &d->row, f);
    if (e != ERR_NOTFOUND)
        return e;
    e = account_get_id(d->control->store, d->who.owner_id, &account, f);
    if (e == ERR_NONE)
        e = box_flow_new_row(d->control, &account, &d->row, f);
    return e;
}

static void proceed(struct door *d)
{
    switch (d->verdict) {
    case AUTHZ_CONSOLE:
        open_console(d);
        return;
    case AUTHZ_BOX_SESSION:
    case AUTHZ_BOX_FORWARD:
        d->answer.kind = DOOR_BOX;
        if (d->have_leg) {
            d->answer.kind = DOOR_SHARED;
            give(d);
            return;
        }
        d->verdict = AUTHZ_BOX_SESSION; // both enter through the box's own sshd
        break;
    case AUTHZ_BOX_JUMP:
        d->answer.kind = DOOR_JUMP;
        break;
    case AUTHZ_DENY:
        return; // was answered by the caller
    }
    wake(d);
}

static void decide(struct door *d)
{
    struct fault f;
    char reason[300];
    if (!d->who.console) {
        enum err e = load_row(d, &f);
        if (e != ERR_NONE) {
            refuse(d, e, f.text);
            return;
        }
    }
    struct authz_subject subject = {
        .role = d->who.role,
        .console = d->who.console,
        .owner = d->who.console ? d->who.user : d->who.owner,
        .box_name = d->row.name,
        .box_address = d->row.address,
        .box_subnet = d->control->config->box_subnet,
        .jump_ports = d->control->config->jump_ports,
        .key = d->who.key,
    };
    struct authz_request request = {
        .kind = request_kind_parse(d->kind),
        .host = d->host,
        .port = d->port,
    };
    d->verdict = authz_decide(&subject, &request, d->control->config->box_forwarding, reason, sizeof reason);
    struct fault f_limit;
    if (d->verdict == AUTHZ_DENY)
        refuse(d, ERR_DENIED, reason);
    else if (usage_channel(d->control, d->who.account_id, d->answer.session, &f_limit) != ERR_NONE)
        refuse(d, ERR_FULL, f_limit.text);
    else
        proceed(d);
}

struct door *door_open(struct control *c, const struct door_caller *who, const struct message *open,
                       door_progress_fn progress, door_done_fn done, void *arg)
{
    struct door *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    d->control = c;
    d->who = *who;
    d->id = open->id;
    snprintf(d->kind, sizeof d->kind, "%.31s", open->kind);
    snprintf(d->host, sizeof d->host, "%s", open->host);
    d->port = open->port > 65535 ? 65536 : (uint32_t)open->port; // 65536 is allowed nowhere
    d->have_leg = open->leg;
    d->answer.session = request_kind_parse(d->kind) == REQUEST_SESSION;
    d->began = monotonic_ms();
    d->deadline = d->began + c->config->wake_deadline;
    d->progress = progress;
    d->done = done;
    d->arg = arg;
    decide(d);
    return d;
}
