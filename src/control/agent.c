// Owns one box's private key for as long as one connection process may need it. Refuses to sign anything that
// is not a login of the box's own user with this very key.
#include "control/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/log.h"

// draft-ietf-sshm-ssh-agent, section 6.1
enum {
    AGENT_FAILURE = 5,
    AGENTC_REQUEST_IDENTITIES = 11,
    AGENT_IDENTITIES_ANSWER = 12,
    AGENTC_SIGN_REQUEST = 13,
    AGENT_SIGN_RESPONSE = 14,
};

#define AGENT_PACKET_MAX 8192
#define BLOB_SIZE (4 + 11 + 4 + 32) // string "ssh-ed25519", string key (RFC 8709)
#define SIGNATURE_SIZE (4 + 11 + 4 + 64)
static const char comment[] = "containarium-gateway";

struct agent {
    struct bufferevent *stream;
    EVP_PKEY *key;
    unsigned char blob[BLOB_SIZE];
    char user[64];
    char hostkeys[BOX_HOSTKEYS_SIZE];
    unsigned signatures, requests;
};

struct reader {
    const unsigned char *at, *end;
    bool ok;
};

static uint32_t read_u32(struct reader *r)
{
    if (!r->ok || r->end - r->at < 4) {
        r->ok = false;
        return 0;
    }
    uint32_t n = (uint32_t)r->at[0] << 24 | (uint32_t)r->at[1] << 16 | (uint32_t)r->at[2] << 8 | r->at[3];
    r->at += 4;
    return n;
}

static unsigned read_byte(struct reader *r)
{
    if (!r->ok || r->at == r->end) {
        r->ok = false;
        return 0;
    }
    return *r->at++;
}

static struct reader read_string(struct reader *r)
{
    uint32_t n = read_u32(r);
    if (!r->ok || (size_t)(r->end - r->at) < n) {
        r->ok = false;
        return (struct reader){.ok = false};
    }
    struct reader s = {.at = r->at, .end = r->at + n, .ok = true};
    r->at += n;
    return s;
}

static bool string_is(const struct reader *s, const void *bytes, size_t length)
{
    return s->ok && (size_t)(s->end - s->at) == length && memcmp(s->at, bytes, length) == 0;
}

static unsigned char *put_string(unsigned char *at, const void *bytes, size_t length)
{
    at[0] = (unsigned char)(length >> 24);
    at[1] = (unsigned char)(length >> 16);
    at[2] = (unsigned char)(length >> 8);
    at[3] = (unsigned char)length;
    memcpy(at + 4, bytes, length);
    return at + 4 + length;
}

static EVP_PKEY *load(const unsigned char *seed, unsigned char *blob)
{
    unsigned char public[32];
    size_t length = sizeof public;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, BOX_SEED_SIZE);
    if (key == NULL || EVP_PKEY_get_raw_public_key(key, public, &length) != 1) {
        EVP_PKEY_free(key);
        return NULL;
    }
    put_string(put_string(blob, "ssh-ed25519", 11), public, sizeof public);
    return key;
}

enum err agent_public_line(const unsigned char seed[BOX_SEED_SIZE], char *out, size_t out_size,
                           struct fault *f)
{
    unsigned char blob[BLOB_SIZE];
    char base64[4 * ((BLOB_SIZE + 2) / 3) + 1];
    EVP_PKEY *key = load(seed, blob);
    if (key == NULL)
        return fault_set(f, ERR_FAILED, "cannot make the box's gateway key");
    EVP_PKEY_free(key);
    EVP_EncodeBlock((unsigned char *)base64, blob, sizeof blob);
    snprintf(out, out_size, "ssh-ed25519 %s %s", base64, comment);
    return ERR_NONE;
}

enum err agent_new_seed(unsigned char seed[BOX_SEED_SIZE], struct fault *f)
{
    if (RAND_priv_bytes(seed, BOX_SEED_SIZE) != 1)
        return fault_set(f, ERR_FAILED, "no random numbers for the box's gateway key");
    return ERR_NONE;
}

static void agent_close(struct agent *a)
{
    bufferevent_free(a->stream);
    EVP_PKEY_free(a->key);
    free(a);
}

static void answer(struct agent *a, const unsigned char *body, size_t length)
{
    unsigned char header[4] = {(unsigned char)(length >> 24), (unsigned char)(length >> 16),
                               (unsigned char)(length >> 8), (unsigned char)length};
    bufferevent_write(a->stream, header, sizeof header);
    bufferevent_write(a->stream, body, length);
}

static void answer_failure(struct agent *a)
{
    answer(a, (const unsigned char[]){AGENT_FAILURE}, 1);
}

static void answer_identities(struct agent *a)
{
    unsigned char body[1 + 4 + 4 + BLOB_SIZE + 4 + sizeof comment] = {AGENT_IDENTITIES_ANSWER, 0, 0, 0, 1};
    unsigned char *end = put_string(put_string(body + 5, a->blob, BLOB_SIZE), comment, sizeof comment - 1);
    answer(a, body, (size_t)(end - body));
}

// Is this host key blob one of the box's?
static bool is_pinned(const struct agent *a, const struct reader *blob)
{
    char base64[BOX_HOSTKEYS_SIZE];
    size_t length = (size_t)(blob->end - blob->at);
    if (!blob->ok || length == 0 || 4 * ((length + 2) / 3) + 1 > sizeof base64)
        return false;
    size_t size = (size_t)EVP_EncodeBlock((unsigned char *)base64, blob->at, (int)length);
    for (const char *line = a->hostkeys; *line != '\0';) {
        size_t end = strcspn(line, "\n"), type = strcspn(line, " \n");
        if (type < end && end - type - 1 == size && memcmp(line + type + 1, base64, size) == 0)
            return true;
        line += end;
        line += *line == '\n';
    }
    return false;
}

// RFC 4252 section 7: string session identifier, byte 50, user, "ssh-connection", "publickey", TRUE,
// algorithm, key; with publickey-hostbound-v00@openssh.com the server's host key follows.
static bool is_login_of(const struct agent *a, struct reader data)
{
    static const char hostbound[] = "publickey-hostbound-v00@openssh.com";
    struct reader session = read_string(&data);
    unsigned type = read_byte(&data);
    struct reader user = read_string(&data);
    struct reader service = read_string(&data);
    struct reader method = read_string(&data);
    unsigned has_signature = read_byte(&data);
    struct reader algorithm = read_string(&data);
    struct reader key = read_string(&data);
    if (string_is(&method, hostbound, sizeof hostbound - 1)) {
        struct reader host = read_string(&data);
        if (!is_pinned(a, &host))
            return false;
    } else if (!string_is(&method, "publickey", 9)) {
        return false;
    }
    return data.ok && data.at == data.end && session.end - session.at >= 20 && type == 50 &&
           has_signature == 1 && string_is(&user, a->user, strlen(a->user)) &&
           string_is(&service, "ssh-connection", 14) && string_is(&algorithm, "ssh-ed25519", 11) &&
           string_is(&key, a->blob, BLOB_SIZE);
}

static bool sign(struct agent *a, const struct reader *data, unsigned char *signature)
{
    size_t length = 64;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, a->key) == 1 &&
              EVP_DigestSign(context, signature, &length, data->at, (size_t)(data->end - data->at)) == 1 &&
              length == 64;
    EVP_MD_CTX_free(context);
    return ok;
}

static void answer_sign(struct agent *a, struct reader r)
{
    unsigned char raw[64], wrapped[SIGNATURE_SIZE], body[1 + 4 + SIGNATURE_SIZE] = {AGENT_SIGN_RESPONSE};
    struct reader key = read_string(&r);
    struct reader data = read_string(&r);
    (void)read_u32(&r); // flags mean nothing for ed25519
    if (!r.ok || !string_is(&key, a->blob, BLOB_SIZE) || !is_login_of(a, data) ||
        a->signatures++ >= AGENT_SIGNATURES_MAX || !sign(a, &data, raw)) {
        log_event(LOG_LEVEL_WARN, "agent_refused", "user=%s", a->user);
        answer_failure(a);
        return;
    }
    put_string(put_string(wrapped, "ssh-ed25519", 11), raw, sizeof raw);
    put_string(body + 1, wrapped, sizeof wrapped);
    answer(a, body, sizeof body);
}

static void on_request(struct bufferevent *stream, void *arg)
{
    struct agent *a = arg;
    struct evbuffer *in = bufferevent_get_input(stream);
    unsigned char packet[AGENT_PACKET_MAX];
    while (evbuffer_get_length(in) >= 4) {
        struct reader r = {.at = packet, .end = packet + 4, .ok = true};
        evbuffer_copyout(in, packet, 4);
        uint32_t length = read_u32(&r);
        if (length == 0 || length > sizeof packet || a->requests == AGENT_REQUESTS_MAX) {
            agent_close(a);
            return;
        }
        if (evbuffer_get_length(in) < 4 + length)
            return;
        a->requests++;
        evbuffer_drain(in, 4);
        evbuffer_remove(in, packet, length);
        r = (struct reader){.at = packet + 1, .end = packet + length, .ok = true};
        if (packet[0] == AGENTC_REQUEST_IDENTITIES)
            answer_identities(a);
        else if (packet[0] == AGENTC_SIGN_REQUEST)
            answer_sign(a, r);
        else
            answer_failure(a);
    }
}

static void on_end(struct bufferevent *stream, short what, void *arg)
{
    (void)stream;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0)
        agent_close(arg);
}

enum err agent_serve(struct event_base *base, int fd, const unsigned char seed[BOX_SEED_SIZE],
                     const char *user, const char *hostkeys, struct fault *f)
{
    struct agent *a = calloc(1, sizeof *a);
    if (a == NULL) {
        close(fd);
        return fault_set(f, ERR_MEMORY, "out of memory");
    }
    evutil_make_socket_nonblocking(fd);
    snprintf(a->user, sizeof a->user, "%s", user);
    snprintf(a->hostkeys, sizeof a->hostkeys, "%s", hostkeys);
    a->key = load(seed, a->blob);
    a->stream = a->key == NULL ? NULL : bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (a->stream == NULL) {
        close(fd);
        EVP_PKEY_free(a->key);
        free(a);
        return fault_set(f, ERR_FAILED, "cannot serve the box's gateway key");
    }
    bufferevent_setwatermark(a->stream, EV_READ, 0, AGENT_PACKET_MAX + 4);
    bufferevent_setcb(a->stream, on_request, NULL, on_end, a);
    bufferevent_enable(a->stream, EV_READ | EV_WRITE);
    return ERR_NONE;
}
