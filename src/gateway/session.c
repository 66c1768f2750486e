// A session channel: the direct door, or the console. The client's open is accepted at once, so that its
// requests can be collected while the box wakes; its program starts when three things have come together: the
// control plane's answer, the leg to the box, and the client's shell, exec or subsystem request.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/channel.h"
#include "gateway/console.h"
#include "gateway/relay.h"
#include "gateway/wait_line.h"
#include "gateway/words.h"

#define ENV_MAX 64          // variables a session may set
#define ENV_BYTES_MAX 16384 // and their size together
#define TERM_MAX 64
#define EXIT_WAIT_MS 100 // how long the program's EOF waits for its exit status

enum session_state {
    SESSION_WAITING, // for the door, the leg, and what to start
    SESSION_OPENING, // the box's channel
    SESSION_ENV,     // sending env[env_sent]
    SESSION_PTY,
    SESSION_START,   // shell, exec or subsystem was sent
    SESSION_RUNNING, // bytes flow
    SESSION_CONSOLE, // ditto, from the command table
    SESSION_ENDING,  // CLOSE sent, the client's awaited
};

struct variable {
    char *name, *value;
};

struct session {
    struct channel channel; // first
    enum session_state state;
    bool granted;      // the control plane said yes
    char refused[480]; // or this
    bool have_pty;
    char term[TERM_MAX];
    uint32_t columns, rows;
    struct variable env[ENV_MAX];
    size_t env_count, env_bytes, env_sent;
    struct ask *start;
    struct chan *box; // of the leg; given back by detach()
    struct relay *relay;
    uint64_t bytes_in, bytes_out;
    char how[64]; // how it ended, for the audit trail
    struct console *console;
    int console_fd; // between the answer and the start
    struct wait_line *wait;
    char doing[200];         // what the control plane last said it is doing
    struct event *exit_wait; // runs from the program's EOF on
    bool exit_overdue;
};

static void set_state(struct session *s, enum session_state state)
{
    s->state = state;
}

static void on_wake(void *arg)
{
    connection_wake(arg);
}

static void ask_to_open(struct session *s);

// Gives the box's channel back to the leg, remembering what the audit trail wants to know of it.
static void detach(struct session *s)
{
    if (s->relay != NULL) {
        s->bytes_in = relay_bytes_in(s->relay);
        s->bytes_out = relay_bytes_out(s->relay);
        relay_free(s->relay);
        s->relay = NULL;
    }
    const struct chan_exit *status = s->box == NULL ? NULL : chan_exit_state(s->box);
    if (status != NULL && status->known && status->by_signal)
        snprintf(s->how, sizeof s->how, "signal %s", status->signal);
    else if (status != NULL && status->known)
        snprintf(s->how, sizeof s->how, "exit %u", (unsigned)status->status);
    channel_release_box(&s->channel, s->box);
    s->box = NULL;
    s->channel.on_leg = false;
}

static void session_free(struct channel *ch)
{
    struct session *s = (struct session *)ch;
    detach(s);
    wait_line_free(s->wait);
    if (s->exit_wait != NULL)
        event_free(s->exit_wait);
    ask_drop(s->start);
    console_free(s->console);
    if (s->console_fd >= 0)
        close(s->console_fd);
    for (size_t i = 0; i < s->env_count; i++) {
        free(s->env[i].name);
        free(s->env[i].value);
    }
    channel_remove(ch, s->bytes_in, s->bytes_out, s->how[0] == '\0' ? "closed" : s->how);
    free(s);
}

static void end(struct session *s, const struct chan_exit *status)
{
    wait_line_free(s->wait);
    s->wait = NULL;
    if (status != NULL && status->known)
        chan_send_exit(s->channel.chan, status);
    chan_close(s->channel.chan);
    detach(s);
    set_state(s, SESSION_ENDING);
}

// The program cannot be started: the client gets the reason on stderr and 255, as from ssh itself.
static void fail(struct session *s, const char *text)
{
    static const struct chan_exit failed = {.known = true, .status = 255};
    char line[600];
    wait_line_free(s->wait);
    s->wait = NULL;
    if (s->start != NULL)
        ask_accept(s->start);
    s->start = NULL;
    int n = snprintf(line, sizeof line, "containarium: %s\r\n", text);
    if (n > 0)
        (void)chan_write(s->channel.chan, CHAN_STDERR, line,
                         (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
    log_event(LOG_LEVEL_WARN, "session_failed", "reason=%s", log_quote(text));
    end(s, &failed);
}

static void on_opened(void *arg, const struct message *answer, const int *fds, size_t fd_count)
{
    struct session *s = arg;
    struct fault f;
    connection_wake(s->channel.connection);
    if (answer->type == MESSAGE_PROGRESS) {
        snprintf(s->doing, sizeof s->doing, "%.190s", answer->text);
        wait_line_text(s->wait, s->doing);
    } else if (!channel_answered(&s->channel, answer, fds, fd_count, &f)) {
        snprintf(s->refused, sizeof s->refused, "%s", f.text);
    } else {
        s->granted = true;
        if (!s->channel.on_leg)
            s->console_fd = fds[0];
    }
}

// ---- requests of the client

static bool add_env(struct session *s, const struct ask_view *v)
{
    if (v->name == NULL || v->value == NULL || s->env_count == ENV_MAX)
        return false;
    size_t size = strlen(v->name) + strlen(v->value);
    char *name = strdup(v->name), *value = strdup(v->value);
    if (s->env_bytes + size > ENV_BYTES_MAX || name == NULL || value == NULL) {
        free(name);
        free(value);
        return false;
    }
    s->env_bytes += size;
    s->env[s->env_count++] = (struct variable){name, value};
    return true;
}

static void set_window(struct session *s, const struct ask_view *v)
{
    s->columns = v->columns;
    s->rows = v->rows;
    if (s->state == SESSION_RUNNING && s->have_pty)
        client_window_change(s->box, s->columns, s->rows);
    if (s->state == SESSION_CONSOLE && s->have_pty)
        console_resize(s->console, s->columns, s->rows);
}

static void session_ask(struct channel *ch, struct ask *a)
{
    struct session *s = (struct session *)ch;
    const struct ask_view *v = ask_view(a);
    bool fresh = s->start == NULL && (s->state == SESSION_WAITING || s->state == SESSION_OPENING);
    bool ok = false;
    if (v->kind == ASK_WINDOW_CHANGE) {
        set_window(s, v);
        ok = s->have_pty;
    } else if (fresh && v->kind == ASK_PTY && !s->have_pty && ch->connection->may.pty) {
        ok = s->have_pty = v->term != NULL && strlen(v->term) < TERM_MAX;
        snprintf(s->term, sizeof s->term, "%s", ok ? v->term : "");
        set_window(s, v);
        if (ok && !s->granted)
            s->wait = wait_line_new(ch->connection->base, ch->chan, on_wake, ch->connection);
        if (s->doing[0] != '\0') // said before there was a terminal to show it on
            wait_line_text(s->wait, s->doing);
    } else if (fresh && v->kind == ASK_ENV) {
        ok = add_env(s, v);
    } else if (fresh && (v->kind == ASK_SHELL || v->kind == ASK_EXEC || v->kind == ASK_SUBSYSTEM)) {
        s->start = a; // answered when the box has answered
        return;
    }
    if (ok)
        ask_accept(a);
    else
        ask_refuse(a);
}

// ---- steps

// command= of the key: whatever the client asked for is told to that command, as sshd does it, and not
// carried out. The box's sshd takes no such variable from us, so a shell sets it.
static enum err request_forced(struct session *s, const char *forced)
{
    const struct ask_view *v = ask_view(s->start);
    const char *original = v->kind == ASK_SHELL || v->command == NULL ? "" : v->command;
    char *line = words_forced(forced, original);
    enum err e = line == NULL ? ERR_MEMORY : client_request_exec(s->box, line);
    free(line);
    return e;
}

static enum err request_start(struct session *s)
{
    const struct ask_view *v = ask_view(s->start);
    const char *forced = s->channel.connection->may.command;
    if (forced[0] != '\0')
        return request_forced(s, forced);
    if (v->kind == ASK_EXEC)
        return client_request_exec(s->box, v->command == NULL ? "" : v->command);
    if (v->kind == ASK_SUBSYSTEM)
        return client_request_subsystem(s->box, v->command == NULL ? "" : v->command);
    return client_request_shell(s->box);
}

// As no-color.org has it, for who sends that variable along.
static bool shows_colours(const struct session *s)
{
    bool shown = s->term[0] != '\0' && strcmp(s->term, "dumb") != 0;
    for (size_t i = 0; i < s->env_count; i++)
        shown = shown && (strcmp(s->env[i].name, "NO_COLOR") != 0 || s->env[i].value[0] == '\0');
    return shown;
}

static bool step_waiting(struct session *s)
{
    struct connection *c = s->channel.connection;
    if (s->refused[0] != '\0' && s->start != NULL) {
        fail(s, s->refused);
        return true;
    }
    if (!s->granted)
        return false;
    if (s->console_fd >= 0) {
        if (s->start == NULL)
            return false;
        const struct console_terminal terminal = {.there = s->have_pty,
                                                  .colours = s->have_pty && shows_colours(s),
                                                  .kind = s->term,
                                                  .columns = s->columns,
                                                  .rows = s->rows,
                                                  .user = c->user,
                                                  .command = c->may.command};
        s->console =
            console_new(c->base, s->console_fd, s->channel.chan, ask_view(s->start), &terminal, on_wake, c);
        s->console_fd = -1;
        wait_line_free(s->wait);
        s->wait = NULL;
        ask_accept(s->start);
        s->start = NULL;
        if (s->console == NULL)
            fail(s, "out of memory");
        else
            set_state(s, SESSION_CONSOLE);
        return true;
    }
    switch (channel_leg_state(&s->channel)) {
    case CHANNEL_LEG_WAIT:
        return false;
    case CHANNEL_LEG_GONE:
        s->granted = false;
        ask_to_open(s);
        return false;
    case CHANNEL_LEG_FAILED:
        if (s->start == NULL)
            return false;
        fail(s, client_error(leg_client(c->leg)));
        return true;
    case CHANNEL_LEG_READY:
        break;
    }
    s->box = channel_take_box(&s->channel);
    if (s->box == NULL)
        snprintf(s->refused, sizeof s->refused, "out of memory");
    else
        set_state(s, SESSION_OPENING);
    return true;
}

// One request after the other, as libssh keeps one a channel; each step goes on when its answer has come.
static bool step_requests(struct session *s)
{
    enum err e = ERR_NONE;
    if (s->state == SESSION_OPENING) {
        e = client_open_session(s->box);
        if (e == ERR_CONFLICT)
            return false;
        if (e != ERR_NONE) {
            snprintf(s->refused, sizeof s->refused, "the box's SSH server refuses another session");
            detach(s);
            set_state(s, SESSION_WAITING);
            return s->start != NULL;
        }
        if (s->start == NULL)
            return false;
        if (chan_wants_agent(s->channel.chan) && s->channel.connection->may.agent) {
            s->channel.connection->agent_forwarded = true;
            client_request_agent(s->box);
        }
        set_state(s, SESSION_ENV);
    }
    while (s->state == SESSION_ENV) {
        if (s->env_sent == s->env_count) {
            set_state(s, s->have_pty ? SESSION_PTY : SESSION_START);
            break;
        }
        e = client_request_env(s->box, s->env[s->env_sent].name, s->env[s->env_sent].value);
        if (e == ERR_CONFLICT)
            return false;
        s->env_sent++; // a variable sshd does not accept is no reason to stop
    }
    if (s->state == SESSION_PTY) {
        e = client_request_pty(s->box, s->term, s->columns, s->rows);
        if (e == ERR_CONFLICT)
            return false;
        if (e != ERR_NONE) {
            fail(s, "the box has no terminal to give");
            return true;
        }
        set_state(s, SESSION_START);
    }
    e = request_start(s);
    if (e == ERR_CONFLICT)
        return false;
    wait_line_free(s->wait);
    s->wait = NULL;
    if (e != ERR_NONE) {
        ask_refuse(s->start);
        s->start = NULL;
        end(s, NULL);
        return true;
    }
    ask_accept(s->start);
    s->start = NULL;
    s->relay = relay_to_chan(s->channel.chan, s->box, s->channel.connection->throttle);
    set_state(s, SESSION_RUNNING);
    if (s->relay == NULL)
        end(s, NULL);
    return true;
}

static void on_exit_overdue(evutil_socket_t fd, short what, void *arg)
{
    struct session *s = arg;
    (void)fd;
    (void)what;
    s->exit_overdue = true;
    connection_wake(s->channel.connection);
}

// The exit status goes as soon as it is known, and the EOF, which sshd sends beside it, waits for it a
// little: dropbear closes its channel after both EOFs and takes no status any more.
static void pass_exit(struct session *s)
{
    static const struct timeval wait = {.tv_usec = EXIT_WAIT_MS * 1000};
    bool known = chan_exit_state(s->box)->known;
    if (known)
        chan_send_exit(s->channel.chan, chan_exit_state(s->box));
    if (!known && s->exit_wait == NULL && chan_at_eof(s->box)) {
        s->exit_wait = evtimer_new(s->channel.connection->base, on_exit_overdue, s);
        s->exit_overdue = s->exit_wait == NULL || event_add(s->exit_wait, &wait) != 0;
    }
    relay_hold_end(s->relay, !known && !s->exit_overdue && !chan_closed_by_peer(s->box));
}

static bool step_running(struct session *s)
{
    struct chan *client = s->channel.chan;
    const char *name;
    while ((name = chan_next_signal(client)) != NULL)
        client_send_signal(s->box, name);
    pass_exit(s);
    bool moved = relay_step(s->relay);
    bool lost = channel_leg_state(&s->channel) == CHANNEL_LEG_FAILED;
    if (relay_done(s->relay) || (lost && !moved)) {
        if (!chan_exit_state(s->box)->known && !chan_closed_by_peer(s->box))
            fail(s, "the connection to the box ended");
        else
            end(s, chan_exit_state(s->box));
        return true;
    }
    if (chan_closed_by_peer(client) && !moved) {
        end(s, NULL);
        return true;
    }
    return moved;
}

static bool step_console(struct session *s)
{
    bool moved = console_step(s->console);
    if (console_done(s->console)) {
        struct chan_exit status = {.known = true, .status = (uint32_t)console_status(s->console)};
        end(s, &status);
        return true;
    }
    if (chan_closed_by_peer(s->channel.chan)) {
        end(s, NULL);
        return true;
    }
    return moved;
}

static bool session_step(struct channel *ch)
{
    struct session *s = (struct session *)ch;
    if (ch->done)
        return false;
    bool unstarted = s->state != SESSION_RUNNING && s->state != SESSION_CONSOLE && s->state != SESSION_ENDING;
    if (unstarted && chan_closed_by_peer(ch->chan)) { // gave up while waiting
        end(s, NULL);
        return true;
    }
    switch (s->state) {
    case SESSION_WAITING:
        return step_waiting(s);
    case SESSION_OPENING:
    case SESSION_ENV:
    case SESSION_PTY:
    case SESSION_START: {
        if (channel_leg_state(ch) == CHANNEL_LEG_FAILED) {
            fail(s, "the connection to the box ended");
            return true;
        }
        return step_requests(s);
    }
    case SESSION_RUNNING:
        return step_running(s);
    case SESSION_CONSOLE:
        return step_console(s);
    case SESSION_ENDING:
        ch->done = chan_finished(ch->chan);
        return ch->done;
    }
    return false;
}

static const struct channel_ops session_ops = {session_step, session_ask, session_free};

bool session_tell(struct connection *c, const char *text)
{
    char line[320];
    struct channel *ch;
    int n = snprintf(line, sizeof line, "\r\ncontainarium: %.280s\r\n", text);
    TAILQ_FOREACH(ch, &c->channels, entry)
    {
        const struct session *s = (const struct session *)ch;
        if (ch->ops == &session_ops && s->have_pty && s->state == SESSION_RUNNING)
            return n > 0 && chan_write(ch->chan, CHAN_STDERR, line, (size_t)n) > 0;
    }
    return false;
}

static void ask_to_open(struct session *s)
{
    struct message m = {.type = MESSAGE_OPEN};
    snprintf(m.kind, sizeof m.kind, "session");
    channel_ask(&s->channel, &m, on_opened);
}

void session_open(struct connection *c, struct ask *a)
{
    struct session *s = calloc(1, sizeof *s);
    if (c->state != CONNECTION_OPEN || s == NULL || !channel_add(c, &s->channel, &session_ops)) {
        free(s);
        ask_refuse(a);
        return;
    }
    s->console_fd = -1;
    s->channel.chan = ask_accept_open(a);
    if (s->channel.chan == NULL)
        s->channel.done = true;
    else
        ask_to_open(s);
}
