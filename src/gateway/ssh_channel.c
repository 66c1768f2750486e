// Owns one libssh channel and the flags its callbacks set. Callbacks never act: libssh calls them from inside
// reads, writes and closes.
#include "gateway/ssh_channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/ssh_raw.h"

#define SIGNALS_MAX 8 // requests not yet forwarded; more are dropped, as a kernel drops repeated signals

struct chan {
    ssh_channel raw;
    struct ssh_channel_callbacks_struct callbacks;
    bool readable[2];
    bool open; // confirmed: only then does the peer know a channel to close
    bool eof, closed_by_peer;
    bool eof_sent, exit_sent, close_sent;
    bool wants_agent;
    struct chan_exit exit;
    char signals[SIGNALS_MAX][32];
    unsigned signal_first, signal_count;
};

static int on_data(ssh_session session, ssh_channel raw, void *data, uint32_t length, int is_stderr,
                   void *arg)
{
    struct chan *c = arg;
    (void)session;
    (void)raw;
    (void)data;
    if (length > 0)
        c->readable[is_stderr != 0] = true;
    return 0; // left in libssh's buffer, which the window bounds, until chan_read
}

static void on_eof(ssh_session session, ssh_channel raw, void *arg)
{
    struct chan *c = arg;
    (void)session;
    (void)raw;
    c->eof = true;
}

static void on_close(ssh_session session, ssh_channel raw, void *arg)
{
    struct chan *c = arg;
    (void)session;
    (void)raw;
    c->eof = true;
    c->closed_by_peer = true;
}

static void on_signal(ssh_session session, ssh_channel raw, const char *name, void *arg)
{
    struct chan *c = arg;
    (void)session;
    (void)raw;
    if (c->signal_count == SIGNALS_MAX)
        return;
    unsigned slot = (c->signal_first + c->signal_count++) % SIGNALS_MAX;
    snprintf(c->signals[slot], sizeof c->signals[slot], "%s", name);
}

static void on_agent_request(ssh_session session, ssh_channel raw, void *arg)
{
    struct chan *c = arg;
    (void)session;
    (void)raw;
    c->wants_agent = true;
}

static void on_exit_status(ssh_session session, ssh_channel raw, int status, void *arg)
{
    struct chan *c = arg;
    (void)session;
    (void)raw;
    c->exit.known = true;
    c->exit.status = (uint32_t)status;
}

static void on_exit_signal(ssh_session session, ssh_channel raw, const char *name, int core,
                           const char *message, const char *language, void *arg)
{
    struct chan *c = arg;
    (void)session;
    (void)raw;
    (void)language;
    c->exit.known = true;
    c->exit.by_signal = true;
    c->exit.core_dumped = core != 0;
    snprintf(c->exit.signal, sizeof c->exit.signal, "%s", name == NULL ? "" : name);
    snprintf(c->exit.message, sizeof c->exit.message, "%s", message == NULL ? "" : message);
}

struct chan *chan_wrap(ssh_channel raw, bool open)
{
    struct chan *c = calloc(1, sizeof *c);
    if (c == NULL) {
        ssh_channel_free(raw);
        return NULL;
    }
    c->raw = raw;
    c->open = open;
    c->callbacks = (struct ssh_channel_callbacks_struct){
        .userdata = c,
        .channel_data_function = on_data,
        .channel_eof_function = on_eof,
        .channel_close_function = on_close,
        .channel_signal_function = on_signal,
        .channel_auth_agent_req_function = on_agent_request,
        .channel_exit_status_function = on_exit_status,
        .channel_exit_signal_function = on_exit_signal,
    };
    ssh_callbacks_init(&c->callbacks);
    ssh_set_channel_callbacks(raw, &c->callbacks);
    return c;
}

enum err chan_open_result(struct chan *c, int rc)
{
    enum err e = ssh_raw_result(rc);
    c->open = e == ERR_NONE;
    return e;
}

ssh_channel chan_raw(const struct chan *c)
{
    return c->raw;
}

enum err ssh_raw_result(int rc)
{
    if (rc == SSH_OK)
        return ERR_NONE;
    return rc == SSH_AGAIN ? ERR_CONFLICT : ERR_DENIED;
}

bool ssh_raw_write_pending(ssh_session session)
{
    return (ssh_get_status(session) & SSH_WRITE_PENDING) != 0;
}

ssh_message ssh_raw_pump(ssh_session session, const struct ssh_counter_struct *received, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        uint64_t before = received->in_bytes;
        ssh_message message = ssh_message_get(session);
        if (message != NULL || received->in_bytes == before)
            return message;
    }
    return NULL;
}

int chan_read(struct chan *c, enum chan_stream stream, void *buffer, size_t size)
{
    if (!c->readable[stream])
        return 0;
    c->readable[stream] = false;
    int n = ssh_channel_read_timeout(c->raw, buffer, (uint32_t)size, stream == CHAN_STDERR, 0);
    if (n == SSH_AGAIN || n == SSH_EOF)
        return 0;
    if (n < 0)
        return -1;
    if ((size_t)n == size)
        c->readable[stream] = true; // perhaps there is more
    return n;
}

size_t chan_room(const struct chan *c)
{
    if (c->eof_sent || c->close_sent || c->closed_by_peer ||
        ssh_raw_write_pending(ssh_channel_get_session(c->raw)))
        return 0;
    uint32_t window = ssh_channel_window_size(c->raw);
    return window < CHAN_BATCH ? window : CHAN_BATCH;
}

int chan_write(struct chan *c, enum chan_stream stream, const void *data, size_t size)
{
    if (c->eof_sent || c->close_sent || c->closed_by_peer)
        return -1;
    int n = stream == CHAN_STDERR ? ssh_channel_write_stderr(c->raw, data, (uint32_t)size)
                                  : ssh_channel_write(c->raw, data, (uint32_t)size);
    return n == SSH_AGAIN ? 0 : n;
}

bool chan_at_eof(const struct chan *c)
{
    return c->eof && !c->readable[CHAN_STDOUT] && !c->readable[CHAN_STDERR];
}

bool chan_closed_by_peer(const struct chan *c)
{
    return c->closed_by_peer;
}

const struct chan_exit *chan_exit_state(const struct chan *c)
{
    return &c->exit;
}

const char *chan_next_signal(struct chan *c)
{
    if (c->signal_count == 0)
        return NULL;
    const char *name = c->signals[c->signal_first];
    c->signal_first = (c->signal_first + 1) % SIGNALS_MAX;
    c->signal_count--;
    return name;
}

bool chan_wants_agent(const struct chan *c)
{
    return c->wants_agent;
}

void chan_send_eof(struct chan *c)
{
    if (c->eof_sent || c->close_sent)
        return;
    c->eof_sent = true;
    (void)ssh_channel_send_eof(c->raw);
}

void chan_send_exit(struct chan *c, const struct chan_exit *status)
{
    if (c->exit_sent || c->close_sent || c->closed_by_peer)
        return;
    c->exit_sent = true;
    if (status->by_signal)
        (void)ssh_channel_request_send_exit_signal(c->raw, status->signal, status->core_dumped,
                                                   status->message, "");
    else
        (void)ssh_channel_request_send_exit_status(c->raw, (int)status->status);
}

void chan_close(struct chan *c)
{
    if (c->close_sent)
        return;
    c->close_sent = true;
    c->eof_sent = true;
    if (!c->open)
        return;
    // The first call stops after its EOF when the kernel's buffer is full; the second goes on to the CLOSE.
    if (ssh_channel_close(c->raw) == SSH_AGAIN)
        (void)ssh_channel_close(c->raw);
}

bool chan_finished(const struct chan *c)
{
    return c->close_sent && c->closed_by_peer;
}

void chan_free(struct chan *c)
{
    if (c == NULL)
        return;
    if (c->raw != NULL && !c->close_sent)
        chan_close(c);
    if (c->raw != NULL) {
        ssh_remove_channel_callbacks(c->raw, &c->callbacks);
        ssh_channel_free(c->raw);
    }
    free(c);
}

void chan_let_go(struct chan *c)
{
    if (c->raw != NULL)
        ssh_remove_channel_callbacks(c->raw, &c->callbacks);
    c->raw = NULL;
}
