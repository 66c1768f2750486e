// Owns the libssh server session. Message-queue mode: no callbacks on the session, so every answer may be
// deferred.
#include "gateway/ssh_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/ssh_raw.h"

// libssh marks the message interface deprecated in favour of callbacks, which cannot defer an answer.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#define PUMP_ROUNDS 64 // 256 KiB between two turns of the relays
#define CHANNELS_MAX 4096

struct ssh_keys {
    ssh_bind bind;
};

struct server {
    ssh_session session;
    struct ssh_counter_struct raw, payload;
    struct chan **chans; // live channels, to tell asks about channels that are gone
    size_t chan_count, chan_capacity;
};

struct ask {
    struct server *server;
    ssh_message message;
    struct ask_view view;
    char *key;
};

static enum err load_one(ssh_bind bind, const char *directory, const char *name, unsigned *loaded,
                         struct fault *f)
{
    char path[CONFIG_TEXT + 40];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (stat(path, &st) != 0)
        return ERR_NONE;
    if ((st.st_mode & 077) != 0)
        return fault_set(f, ERR_DENIED, "host key %s is readable by others (mode %04o): chmod 600 it", path,
                         (unsigned)(st.st_mode & 07777));
    ssh_key key = NULL;
    if (ssh_pki_import_privkey_file(path, NULL, NULL, NULL, &key) != SSH_OK)
        return fault_set(f, ERR_INVALID,
                         "host key %s cannot be read as an SSH private key without passphrase", path);
    if (ssh_bind_options_set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, key) != SSH_OK) {
        ssh_key_free(key);
        return fault_set(f, ERR_INVALID, "host key %s: %s", path, ssh_get_error(bind));
    }
    ++*loaded;
    return ERR_NONE;
}

static enum err set_option(ssh_bind bind, enum ssh_bind_options_e option, const void *value, const char *key,
                           struct fault *f)
{
    if (ssh_bind_options_set(bind, option, value) == SSH_OK)
        return ERR_NONE;
    return fault_set(f, ERR_INVALID, "[gateway] %s: %s", key, ssh_get_error(bind));
}

// Accepted by the library only so that they can be refused with a word: an algorithm it does not accept gets
// no answer at all.
static const char refused_algorithms[] = "sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com";

static enum err set_algorithms(ssh_bind bind, const struct config *c, struct fault *f)
{
    char pubkey[CONFIG_TEXT + sizeof refused_algorithms];
    bool no = false;
    int rsa = (int)c->rsa_min_bits;
    enum err e = set_option(bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no, "libssh configuration", f);
    if (e == ERR_NONE) // neither version nor library: no help for who collects them
        e = set_option(bind, SSH_BIND_OPTIONS_BANNER, "containarium", "banner", f);
    if (e == ERR_NONE)
        e = set_option(bind, SSH_BIND_OPTIONS_KEY_EXCHANGE, c->kex, "kex", f);
    if (e == ERR_NONE)
        e = set_option(bind, SSH_BIND_OPTIONS_CIPHERS_C_S, c->ciphers, "ciphers", f);
    if (e == ERR_NONE)
        e = set_option(bind, SSH_BIND_OPTIONS_CIPHERS_S_C, c->ciphers, "ciphers", f);
    if (e == ERR_NONE)
        e = set_option(bind, SSH_BIND_OPTIONS_HMAC_C_S, c->macs, "macs", f);
    if (e == ERR_NONE)
        e = set_option(bind, SSH_BIND_OPTIONS_HMAC_S_C, c->macs, "macs", f);
    snprintf(pubkey, sizeof pubkey, "%s,%s", c->pubkey_algorithms, refused_algorithms);
    if (e == ERR_NONE)
        e = set_option(bind, SSH_BIND_OPTIONS_PUBKEY_ACCEPTED_KEY_TYPES, pubkey, "pubkey_algorithms", f);
    if (e == ERR_NONE)
        e = set_option(bind, SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS, c->hostkey_algorithms, "hostkey_algorithms",
                       f);
    if (e == ERR_NONE)
        e = set_option(bind, SSH_BIND_OPTIONS_RSA_MIN_SIZE, &rsa, "rsa_min_bits", f);
    return e;
}

enum err ssh_keys_load(const struct config *config, struct ssh_keys **out, struct fault *f)
{
    static const char *const names[] = {"ssh_host_ed25519_key", "ssh_host_ecdsa_key", "ssh_host_rsa_key"};
    unsigned loaded = 0;
    *out = NULL;
    struct ssh_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL || ssh_init() != SSH_OK || (keys->bind = ssh_bind_new()) == NULL) {
        free(keys);
        return fault_set(f, ERR_MEMORY, "cannot start the SSH library");
    }
    enum err e = set_algorithms(keys->bind, config, f);
    for (size_t i = 0; e == ERR_NONE && i < sizeof names / sizeof names[0]; i++)
        e = load_one(keys->bind, config->host_key_dir, names[i], &loaded, f);
    if (e == ERR_NONE && loaded == 0)
        e = fault_set(f, ERR_NOTFOUND,
                      "no host key in %s: make one with ssh-keygen -t ed25519 -N '' -f %s/%s",
                      config->host_key_dir, config->host_key_dir, names[0]);
    if (e != ERR_NONE) {
        ssh_keys_free(keys);
        return e;
    }
    *out = keys;
    return ERR_NONE;
}

void ssh_keys_free(struct ssh_keys *keys)
{
    if (keys == NULL)
        return;
    ssh_bind_free(keys->bind);
    free(keys);
}

enum err server_new(const struct ssh_keys *keys, int fd, struct server **out, struct fault *f)
{
    *out = NULL;
    struct server *s = calloc(1, sizeof *s);
    if (s == NULL || (s->session = ssh_new()) == NULL) {
        free(s);
        return fault_set(f, ERR_MEMORY, "out of memory");
    }
    if (ssh_bind_accept_fd(keys->bind, s->session, fd) != SSH_OK) {
        fault_set(f, ERR_FAILED, "cannot start an SSH session: %s", ssh_get_error(keys->bind));
        ssh_free(s->session);
        free(s);
        return f->code;
    }
    ssh_set_blocking(s->session, 0);
    ssh_set_counters(s->session, &s->raw, &s->payload);
    ssh_set_auth_methods(s->session, SSH_AUTH_METHOD_PUBLICKEY);
    int rc = ssh_handle_key_exchange(s->session); // starts it; server_next carries it on
    if (rc != SSH_OK && rc != SSH_AGAIN) {
        fault_set(f, ERR_FAILED, "%s", ssh_get_error(s->session));
        server_free(s);
        return f->code;
    }
    *out = s;
    return ERR_NONE;
}

// Before any channel is closed: a client whose last session closes hangs up without reading further.
void server_disconnect(struct server *s, const char *reason)
{
    if (s == NULL || !ssh_is_connected(s->session))
        return;
    for (size_t i = 0; i < s->chan_count; i++)
        chan_let_go(s->chans[i]);
    ssh_session_set_disconnect_message(s->session, reason);
    ssh_set_fd_towrite(s->session); // else the socket is closed with the message still in the buffer
    ssh_disconnect(s->session);
}

void server_free(struct server *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->chan_count; i++)
        chan_free(s->chans[i]);
    free(s->chans);
    ssh_disconnect(s->session);
    ssh_free(s->session);
    free(s);
}

bool server_write_pending(const struct server *s)
{
    return ssh_raw_write_pending(s->session);
}

bool server_dead(const struct server *s)
{
    return !ssh_is_connected(s->session) ||
           (ssh_get_status(s->session) & (SSH_CLOSED | SSH_CLOSED_ERROR)) != 0;
}

const char *server_client_id(const struct server *s)
{
    const char *id = ssh_get_clientbanner(s->session);
    return id == NULL ? "" : id;
}

uint64_t server_bytes_in(const struct server *s)
{
    return s->raw.in_bytes;
}

void server_send_keepalive(struct server *s)
{
    (void)ssh_send_keepalive(s->session);
}

void server_send_banner(struct server *s, const char *text)
{
    ssh_string banner = ssh_string_from_char(text);
    if (banner == NULL)
        return;
    (void)ssh_send_issue_banner(s->session, banner);
    ssh_string_free(banner);
}

static struct chan *find_chan(const struct server *s, ssh_channel raw)
{
    for (size_t i = 0; i < s->chan_count; i++) {
        if (chan_raw(s->chans[i]) == raw)
            return s->chans[i];
    }
    return NULL;
}

static bool add_chan(struct server *s, struct chan *c)
{
    if (s->chan_count == s->chan_capacity) {
        size_t capacity = s->chan_capacity == 0 ? 8 : s->chan_capacity * 2;
        struct chan **chans =
            capacity > CHANNELS_MAX ? NULL : reallocarray(s->chans, capacity, sizeof(struct chan *));
        if (chans == NULL)
            return false;
        s->chans = chans;
        s->chan_capacity = capacity;
    }
    s->chans[s->chan_count++] = c;
    return true;
}

// Frees the channels that both sides have closed and that their users gave up (server_release).
void server_release(struct server *s, struct chan *c)
{
    for (size_t i = 0; i < s->chan_count; i++) {
        if (s->chans[i] == c) {
            s->chans[i] = s->chans[--s->chan_count];
            chan_free(c);
            return;
        }
    }
}

static void view_auth(struct ask *a)
{
    ssh_message m = a->message;
    struct ask_view *v = &a->view;
    v->user = ssh_message_auth_user(m);
    v->kind = ASK_AUTH_NONE;
    if (v->user == NULL)
        v->user = "";
    if (ssh_message_subtype(m) != SSH_AUTH_METHOD_PUBLICKEY)
        return;
    ssh_key key = ssh_message_auth_pubkey(m);
    if (key == NULL || ssh_pki_export_pubkey_base64(key, &a->key) != SSH_OK)
        return;
    v->key = a->key;
    enum ssh_keytypes_e type = ssh_key_type(key);
    if (type != SSH_KEYTYPE_ED25519 && type != SSH_KEYTYPE_RSA && type != SSH_KEYTYPE_ECDSA_P256 &&
        type != SSH_KEYTYPE_ECDSA_P384 && type != SSH_KEYTYPE_ECDSA_P521) {
        v->kind =
            ASK_AUTH_UNSUPPORTED_KEY; // libssh checks neither the certificate nor the touch of a FIDO key
        return;
    }
    switch (ssh_message_auth_publickey_state(m)) {
    case SSH_PUBLICKEY_STATE_NONE:
        v->kind = ASK_AUTH_PROBE;
        return;
    case SSH_PUBLICKEY_STATE_VALID:
        v->kind = ASK_AUTH_SIGNED;
        return;
    case SSH_PUBLICKEY_STATE_WRONG:
    case SSH_PUBLICKEY_STATE_ERROR:
        v->kind = ASK_AUTH_BAD;
        return;
    }
}

static void view_open(struct ask *a)
{
    ssh_message m = a->message;
    struct ask_view *v = &a->view;
    v->kind = ASK_OPEN_OTHER;
    if (ssh_message_subtype(m) == SSH_CHANNEL_SESSION)
        v->kind = ASK_OPEN_SESSION;
    if (ssh_message_subtype(m) == SSH_CHANNEL_DIRECT_TCPIP) {
        v->kind = ASK_OPEN_DIRECT_TCPIP;
        v->host = ssh_message_channel_request_open_destination(m);
        v->port = (uint32_t)ssh_message_channel_request_open_destination_port(m);
        if (v->host == NULL)
            v->host = "";
    }
}

static void view_window(struct ask *a)
{
    struct ask_view *v = &a->view;
    v->columns = (uint32_t)ssh_message_channel_request_pty_width(a->message);
    v->rows = (uint32_t)ssh_message_channel_request_pty_height(a->message);
    v->width = (uint32_t)ssh_message_channel_request_pty_pxwidth(a->message);
    v->height = (uint32_t)ssh_message_channel_request_pty_pxheight(a->message);
}

// Returns false if the channel is gone.
static bool view_channel(struct ask *a)
{
    ssh_message m = a->message;
    struct ask_view *v = &a->view;
    v->chan = find_chan(a->server, ssh_message_channel_request_channel(m));
    if (v->chan == NULL)
        return false;
    switch (ssh_message_subtype(m)) {
    case SSH_CHANNEL_REQUEST_PTY:
        v->kind = ASK_PTY;
        v->term = ssh_message_channel_request_pty_term(m);
        view_window(a);
        break;
    case SSH_CHANNEL_REQUEST_WINDOW_CHANGE:
        v->kind = ASK_WINDOW_CHANGE;
        view_window(a);
        break;
    case SSH_CHANNEL_REQUEST_ENV:
        v->kind = ASK_ENV;
        v->name = ssh_message_channel_request_env_name(m);
        v->value = ssh_message_channel_request_env_value(m);
        break;
    case SSH_CHANNEL_REQUEST_SHELL:
        v->kind = ASK_SHELL;
        break;
    case SSH_CHANNEL_REQUEST_EXEC:
        v->kind = ASK_EXEC;
        v->command = ssh_message_channel_request_command(m);
        break;
    case SSH_CHANNEL_REQUEST_SUBSYSTEM:
        v->kind = ASK_SUBSYSTEM;
        v->command = ssh_message_channel_request_subsystem(m);
        break;
    default:
        v->kind = ASK_CHANNEL_OTHER;
        break;
    }
    return true;
}

static void view_global(struct ask *a)
{
    struct ask_view *v = &a->view;
    v->kind = ASK_GLOBAL_OTHER;
    int subtype = ssh_message_subtype(a->message);
    if (subtype == SSH_GLOBAL_REQUEST_TCPIP_FORWARD || subtype == SSH_GLOBAL_REQUEST_CANCEL_TCPIP_FORWARD) {
        v->kind = subtype == SSH_GLOBAL_REQUEST_TCPIP_FORWARD ? ASK_FORWARD : ASK_CANCEL_FORWARD;
        v->host = ssh_message_global_request_address(a->message);
        v->port = (uint32_t)ssh_message_global_request_port(a->message);
    }
}

struct ask *server_next(struct server *s)
{
    for (;;) {
        ssh_message message = ssh_raw_pump(s->session, &s->raw, PUMP_ROUNDS);
        if (message == NULL)
            return NULL;
        struct ask *a = calloc(1, sizeof *a);
        if (a == NULL) {
            ssh_message_free(message);
            return NULL;
        }
        a->server = s;
        a->message = message;
        bool wanted = true;
        switch (ssh_message_type(message)) {
        case SSH_REQUEST_AUTH:
            view_auth(a);
            break;
        case SSH_REQUEST_CHANNEL_OPEN:
            view_open(a);
            break;
        case SSH_REQUEST_CHANNEL:
            wanted = view_channel(a);
            break;
        case SSH_REQUEST_GLOBAL:
            view_global(a);
            break;
        case SSH_REQUEST_SERVICE: // "ssh-userauth"; libssh has refused any other already
            (void)ssh_message_service_reply_success(message);
            wanted = false;
            break;
        default:
            (void)ssh_message_reply_default(message);
            wanted = false;
            break;
        }
        if (wanted)
            return a;
        ask_drop(a);
    }
}

const struct ask_view *ask_view(const struct ask *a)
{
    return &a->view;
}

void ask_drop(struct ask *a)
{
    if (a == NULL)
        return;
    if (a->key != NULL)
        ssh_string_free_char(a->key);
    ssh_message_free(a->message);
    free(a);
}

void ask_refuse(struct ask *a)
{
    if (ssh_message_type(a->message) == SSH_REQUEST_AUTH)
        ssh_message_auth_set_methods(a->message, SSH_AUTH_METHOD_PUBLICKEY);
    (void)ssh_message_reply_default(a->message);
    ask_drop(a);
}

void ask_accept(struct ask *a)
{
    if (a->view.kind == ASK_AUTH_PROBE)
        (void)ssh_message_auth_reply_pk_ok_simple(a->message);
    else if (ssh_message_type(a->message) == SSH_REQUEST_CHANNEL)
        (void)ssh_message_channel_request_reply_success(a->message);
    else if (a->view.kind == ASK_CANCEL_FORWARD)
        (void)ssh_message_global_request_reply_success(a->message, 0);
    ask_drop(a);
}

void ask_accept_forward(struct ask *a, uint32_t port)
{
    if (a->view.kind == ASK_FORWARD)
        (void)ssh_message_global_request_reply_success(a->message, (uint16_t)port);
    ask_drop(a);
}

void ask_accept_login(struct ask *a)
{
    if (a->view.kind == ASK_AUTH_SIGNED)
        (void)ssh_message_auth_reply_success(a->message, 0);
    ask_drop(a);
}

struct chan *ask_accept_open(struct ask *a)
{
    struct server *s = a->server;
    ssh_channel raw = ssh_message_channel_request_open_reply_accept(a->message);
    struct chan *c = raw == NULL ? NULL : chan_wrap(raw, true);
    if (c != NULL && !add_chan(s, c)) {
        chan_free(c);
        c = NULL;
    }
    ask_drop(a);
    return c;
}

struct chan *server_chan_new(struct server *s)
{
    ssh_channel raw = ssh_channel_new(s->session);
    struct chan *c = raw == NULL ? NULL : chan_wrap(raw, false);
    if (c != NULL && !add_chan(s, c)) {
        chan_free(c);
        c = NULL;
    }
    return c;
}

enum err server_open_forwarded(struct chan *chan, const char *host, uint32_t port, const char *from,
                               uint32_t from_port)
{
    return chan_open_result(
        chan, ssh_channel_open_reverse_forward(chan_raw(chan), host, (int)port, from, (int)from_port));
}

enum err server_open_agent(struct chan *chan)
{
    return chan_open_result(chan, ssh_channel_open_auth_agent(chan_raw(chan)));
}
