// Owns the libssh client session. Refuses every host key that is not pinned and everything a box may ask of a
// client.
#include "gateway/ssh_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "gateway/ssh_raw.h"

// libssh marks the message interface deprecated in favour of callbacks, which cannot defer an answer.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#define PUMP_ROUNDS 64
#define OPENS_MAX 64 // opens of the box that wait for an answer

// The way to a box is a bridge on this host: fast and private. No post-quantum exchange there, and AES-GCM
// first.
static const char kex[] = "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256";
static const char ciphers[] = "aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-gcm@openssh.com";
static const char macs[] = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com";

struct client_open {
    TAILQ_ENTRY(client_open) entry;
    struct client *client;
    ssh_message message;
    struct client_open_view view;
};

struct client {
    ssh_session session;
    struct ssh_counter_struct raw, payload;
    enum client_state state;
    char hostkeys[2048];
    char error[256];
    struct chan **chans;
    size_t chan_count, chan_capacity;
    TAILQ_HEAD(, client_open) opens; // not yet taken by client_next_open
    unsigned open_count;             // of them
};

static void client_fail(struct client *c, const char *what)
{
    if (c->state == CLIENT_FAILED)
        return;
    c->state = CLIENT_FAILED;
    snprintf(c->error, sizeof c->error, "%s: %.180s", what, ssh_get_error(c->session));
}

// "ssh-ed25519,ecdsa-sha2-nistp256": only types that are pinned are worth negotiating.
static void pinned_types(const char *hostkeys, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (const char *line = hostkeys; *line != '\0';) {
        size_t length = strcspn(line, " \n");
        bool rsa = length == 7 && strncmp(line, "ssh-rsa", 7) == 0;
        const char *name = rsa ? "rsa-sha2-512,rsa-sha2-256" : line;
        int n = snprintf(out + at, size - at, "%s%.*s", at == 0 ? "" : ",", rsa ? 64 : (int)length, name);
        if (n < 0 || (size_t)n >= size - at)
            return;
        at += (size_t)n;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
}

static bool set_options(struct client *c, int fd, const char *user, const char *types)
{
    bool no = false;
    int nodelay = 1;
    ssh_session s = c->session;
    return ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &no) == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_SSH_DIR, "/nonexistent") ==
               SSH_OK && // nothing is ever read from there
           ssh_options_set(s, SSH_OPTIONS_KNOWNHOSTS, "/nonexistent/known_hosts") == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/nonexistent/known_hosts") == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_HOST, "box") == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_USER, user) == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_KEY_EXCHANGE, kex) == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_CIPHERS_C_S, ciphers) == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_CIPHERS_S_C, ciphers) == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_HMAC_C_S, macs) == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_HMAC_S_C, macs) == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_HOSTKEYS, types) == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_NODELAY, &nodelay) == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_FD, &fd) == SSH_OK;
}

enum err client_new(int fd, int agent_fd, const char *user, const char *hostkeys, struct client **out,
                    struct fault *f)
{
    char types[256];
    *out = NULL;
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL || (c->session = ssh_new()) == NULL) {
        close(fd);
        close(agent_fd);
        free(c);
        return fault_set(f, ERR_MEMORY, "out of memory");
    }
    TAILQ_INIT(&c->opens);
    snprintf(c->hostkeys, sizeof c->hostkeys, "%s", hostkeys);
    pinned_types(hostkeys, types, sizeof types);
    if (!set_options(c, fd, user, types)) {
        fault_set(f, ERR_FAILED, "cannot set up the session to the box: %s", ssh_get_error(c->session));
        close(fd);
        close(agent_fd);
        client_free(c);
        return f->code;
    }
    if (ssh_set_agent_socket(c->session, agent_fd) != SSH_OK) {
        close(fd);
        close(agent_fd);
        client_free(c);
        return fault_set(f, ERR_FAILED, "cannot use the agent for the box");
    }
    ssh_set_counters(c->session, &c->raw, &c->payload);
    ssh_set_blocking(c->session, 0);
    *out = c;
    return ERR_NONE;
}

void client_free(struct client *c)
{
    if (c == NULL)
        return;
    while (!TAILQ_EMPTY(&c->opens))
        client_open_refuse(client_next_open(c));
    for (size_t i = 0; i < c->chan_count; i++)
        chan_free(c->chans[i]);
    free(c->chans);
    ssh_disconnect(c->session);
    ssh_free(c->session);
    free(c);
}

// The box's key must stand among the pinned lines, type and blob.
static bool host_key_pinned(const struct client *c)
{
    ssh_key key = NULL;
    char *base64 = NULL;
    bool found = false;
    if (ssh_get_server_publickey(c->session, &key) == SSH_OK &&
        ssh_pki_export_pubkey_base64(key, &base64) == SSH_OK) {
        size_t length = strlen(base64);
        for (const char *line = c->hostkeys; *line != '\0' && !found;) {
            const char *blob = strchr(line, ' ');
            size_t rest = strcspn(line, "\n");
            if (blob != NULL && (size_t)(blob - line) < rest) {
                blob++;
                found = rest - (size_t)(blob - line) == length && memcmp(blob, base64, length) == 0;
            }
            line += rest;
            line += *line == '\n';
        }
    }
    if (base64 != NULL)
        ssh_string_free_char(base64);
    ssh_key_free(key);
    return found;
}

static void pump_connecting(struct client *c)
{
    int rc = ssh_connect(c->session);
    if (rc == SSH_AGAIN)
        return;
    if (rc != SSH_OK) {
        client_fail(c, "key exchange with the box failed");
    } else if (!host_key_pinned(c)) {
        c->state = CLIENT_FAILED;
        snprintf(
            c->error, sizeof c->error,
            "the box shows a host key that is not the one it was created with; an administrator must look");
    } else {
        c->state = CLIENT_AUTHENTICATING;
    }
}

static void pump_authenticating(struct client *c)
{
    int rc = ssh_userauth_agent(c->session, NULL);
    if (rc == SSH_AUTH_AGAIN)
        return;
    if (rc == SSH_AUTH_SUCCESS) {
        c->state = CLIENT_READY;
    } else {
        c->state = CLIENT_FAILED;
        snprintf(
            c->error, sizeof c->error,
            "the box does not let the gateway in: its /etc/containarium/authorized_keys or sshd_config was "
            "changed; ssh -J still works");
    }
}

// A request may still be queued when its channel is freed; its pointer may only be compared then.
static bool knows(const struct client *c, ssh_channel raw)
{
    for (size_t i = 0; i < c->chan_count; i++) {
        if (chan_raw(c->chans[i]) == raw)
            return true;
    }
    return false;
}

// True if the message is now kept as an open; else it is still the caller's.
static bool keep_open(struct client *c, ssh_message message)
{
    int type = ssh_message_subtype(message);
    if (ssh_message_type(message) != SSH_REQUEST_CHANNEL_OPEN || c->open_count == OPENS_MAX ||
        (type != SSH_CHANNEL_FORWARDED_TCPIP && type != SSH_CHANNEL_AUTH_AGENT))
        return false;
    struct client_open *o = calloc(1, sizeof *o);
    if (o == NULL)
        return false;
    o->client = c;
    o->message = message;
    o->view.agent = type == SSH_CHANNEL_AUTH_AGENT;
    if (!o->view.agent) {
        o->view.host = ssh_message_channel_request_open_destination(message);
        o->view.port = (uint32_t)ssh_message_channel_request_open_destination_port(message);
        o->view.from = ssh_message_channel_request_open_originator(message);
        o->view.from_port = (uint32_t)ssh_message_channel_request_open_originator_port(message);
    }
    TAILQ_INSERT_TAIL(&c->opens, o, entry);
    c->open_count++;
    return true;
}

// What a box may send besides channel traffic (hostkeys-00@openssh.com, ...) is answered with no.
static void pump_ready(struct client *c)
{
    ssh_message message;
    while ((message = ssh_raw_pump(c->session, &c->raw, PUMP_ROUNDS)) != NULL) {
        if (keep_open(c, message))
            continue;
        if (ssh_message_type(message) != SSH_REQUEST_CHANNEL ||
            knows(c, ssh_message_channel_request_channel(message)))
            (void)ssh_message_reply_default(message);
        ssh_message_free(message);
    }
    if (!ssh_is_connected(c->session) || (ssh_get_status(c->session) & (SSH_CLOSED | SSH_CLOSED_ERROR)) != 0)
        client_fail(c, "the connection to the box ended");
}

bool client_pump(struct client *c)
{
    uint64_t before = c->raw.in_bytes;
    enum client_state state = c->state;
    if (c->state == CLIENT_CONNECTING)
        pump_connecting(c);
    if (c->state == CLIENT_AUTHENTICATING)
        pump_authenticating(c);
    if (c->state == CLIENT_READY)
        pump_ready(c);
    return c->state != state || c->raw.in_bytes != before;
}

enum client_state client_state(const struct client *c)
{
    return c->state;
}

const char *client_error(const struct client *c)
{
    return c->error;
}

bool client_write_pending(const struct client *c)
{
    return c->state != CLIENT_FAILED && ssh_raw_write_pending(c->session);
}

static struct chan *add_chan(struct client *c, ssh_channel raw, bool open)
{
    if (raw != NULL && c->chan_count == c->chan_capacity) {
        size_t capacity = c->chan_capacity == 0 ? 8 : c->chan_capacity * 2;
        struct chan **chans = reallocarray(c->chans, capacity, sizeof(struct chan *));
        if (chans == NULL) {
            ssh_channel_free(raw);
            return NULL;
        }
        c->chans = chans;
        c->chan_capacity = capacity;
    }
    struct chan *chan = raw == NULL ? NULL : chan_wrap(raw, open);
    if (chan != NULL)
        c->chans[c->chan_count++] = chan;
    return chan;
}

struct chan *client_chan_new(struct client *c)
{
    return add_chan(c, ssh_channel_new(c->session), false);
}

struct client_open *client_next_open(struct client *c)
{
    struct client_open *o = TAILQ_FIRST(&c->opens);
    if (o != NULL) {
        TAILQ_REMOVE(&c->opens, o, entry);
        c->open_count--;
    }
    return o;
}

const struct client_open_view *client_open_view(const struct client_open *o)
{
    return &o->view;
}

struct chan *client_open_accept(struct client_open *o)
{
    struct chan *chan = add_chan(o->client, ssh_message_channel_request_open_reply_accept(o->message), true);
    ssh_message_free(o->message);
    free(o);
    return chan;
}

void client_open_refuse(struct client_open *o)
{
    if (o == NULL)
        return;
    (void)ssh_message_reply_default(o->message);
    ssh_message_free(o->message);
    free(o);
}

void client_chan_release(struct client *c, struct chan *chan)
{
    for (size_t i = 0; i < c->chan_count; i++) {
        if (c->chans[i] == chan) {
            c->chans[i] = c->chans[--c->chan_count];
            chan_free(chan);
            return;
        }
    }
}

enum err client_open_session(struct chan *chan)
{
    return chan_open_result(chan, ssh_channel_open_session(chan_raw(chan)));
}

enum err client_open_forward(struct chan *chan, const char *host, uint32_t port)
{
    return chan_open_result(chan, ssh_channel_open_forward(chan_raw(chan), host, (int)port, "127.0.0.1", 0));
}

enum err client_request_env(struct chan *chan, const char *name, const char *value)
{
    return ssh_raw_result(ssh_channel_request_env(chan_raw(chan), name, value));
}

enum err client_request_pty(struct chan *chan, const char *term, uint32_t columns, uint32_t rows)
{
    // libssh does not hand out the modes a client sent, so the box gets those that matter on any terminal of
    // today (RFC 4254 section 8, RFC 8160): UTF-8 input, DEL erases, 38400 baud. sshd's defaults do the rest.
    static const unsigned char modes[] = {42, 0, 0,   0, 1,   3, 0, 0,   0, 127, 128,
                                          0,  0, 150, 0, 129, 0, 0, 150, 0, 0};
    return ssh_raw_result(ssh_channel_request_pty_size_modes(chan_raw(chan), term, (int)columns, (int)rows,
                                                             modes, sizeof modes));
}

enum err client_request_shell(struct chan *chan)
{
    return ssh_raw_result(ssh_channel_request_shell(chan_raw(chan)));
}

enum err client_request_exec(struct chan *chan, const char *command)
{
    return ssh_raw_result(ssh_channel_request_exec(chan_raw(chan), command));
}

enum err client_request_subsystem(struct chan *chan, const char *name)
{
    return ssh_raw_result(ssh_channel_request_subsystem(chan_raw(chan), name));
}

void client_request_agent(struct chan *chan)
{
    (void)ssh_channel_request_auth_agent(chan_raw(chan));
}

enum err client_listen(struct client *c, const char *host, uint32_t port)
{
    return ssh_raw_result(ssh_channel_listen_forward(c->session, host, (int)port, NULL));
}

enum err client_cancel_listen(struct client *c, const char *host, uint32_t port)
{
    return ssh_raw_result(ssh_channel_cancel_forward(c->session, host, (int)port));
}

void client_window_change(struct chan *chan, uint32_t columns, uint32_t rows)
{
    (void)ssh_channel_change_pty_size(chan_raw(chan), (int)columns, (int)rows);
}

void client_send_signal(struct chan *chan, const char *name)
{
    (void)ssh_channel_request_send_signal(chan_raw(chan), name);
}
