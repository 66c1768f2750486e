// The agent that proves the gateway to a box signs that box's logins and nothing else.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "control/agent.h"

static const unsigned char seed[BOX_SEED_SIZE] = {1, 2, 3, 4, 5};

// "box host key" and another, as pinned.
static const char hostkeys[] = "ssh-rsa b3RoZXI=\nssh-ed25519 Ym94IGhvc3Qga2V5\n";

struct bytes {
    unsigned char data[4096];
    size_t length;
};

static void put(struct bytes *b, const void *data, size_t length)
{
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

static void put_u32(struct bytes *b, uint32_t n)
{
    put(b,
        (unsigned char[]){(unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
                          (unsigned char)n},
        4);
}

static void put_string(struct bytes *b, const void *data, size_t length)
{
    put_u32(b, (uint32_t)length);
    put(b, data, length);
}

static struct bytes public_blob(void)
{
    unsigned char key[32];
    size_t length = sizeof key;
    struct bytes blob = {.length = 0};
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
    assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, key, &length), 1);
    EVP_PKEY_free(pkey);
    put_string(&blob, "ssh-ed25519", 11);
    put_string(&blob, key, sizeof key);
    return blob;
}

// RFC 4252 section 7, with what may be varied.
static struct bytes login_request(const char *user, const char *service, const char *method,
                                  unsigned char type)
{
    struct bytes data = {.length = 0}, blob = public_blob();
    static const unsigned char session[32] = {9};
    put_string(&data, session, sizeof session);
    put(&data, &type, 1);
    put_string(&data, user, strlen(user));
    put_string(&data, service, strlen(service));
    put_string(&data, method, strlen(method));
    put(&data, "\1", 1);
    put_string(&data, "ssh-ed25519", 11);
    put_string(&data, blob.data, blob.length);
    return data;
}

static struct bytes hostbound_request(const char *host_key)
{
    struct bytes data = login_request("alice", "ssh-connection", "publickey-hostbound-v00@openssh.com", 50);
    put_string(&data, host_key, strlen(host_key));
    return data;
}

struct fixture {
    struct event_base *base;
    int fd;
};

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof *x);
    int pair[2];
    struct fault f;
    x->base = event_base_new();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(agent_serve(x->base, pair[0], seed, "alice", hostkeys, &f), ERR_NONE);
    x->fd = pair[1];
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    close(x->fd);
    event_base_loop(x->base, EVLOOP_NONBLOCK); // the agent notices and frees itself
    event_base_free(x->base);
    free(x);
    return 0;
}

// Sends one packet and returns the answer's body; its first byte is the type.
static struct bytes ask(struct fixture *x, const struct bytes *body)
{
    struct bytes packet = {.length = 0}, answer = {.length = 0};
    unsigned char header[4];
    put_u32(&packet, (uint32_t)body->length);
    put(&packet, body->data, body->length);
    assert_int_equal(write(x->fd, packet.data, packet.length), (ssize_t)packet.length);
    for (int i = 0; i < 4; i++)
        event_base_loop(x->base, EVLOOP_NONBLOCK);
    assert_int_equal(recv(x->fd, header, 4, MSG_DONTWAIT), 4);
    answer.length = (size_t)header[2] << 8 | header[3];
    assert_int_equal(recv(x->fd, answer.data, answer.length, MSG_DONTWAIT), (ssize_t)answer.length);
    return answer;
}

static struct bytes ask_to_sign(struct fixture *x, const struct bytes *data)
{
    struct bytes body = {.length = 0}, blob = public_blob();
    put(&body, "\x0d", 1);
    put_string(&body, blob.data, blob.length);
    put_string(&body, data->data, data->length);
    put_u32(&body, 0);
    return ask(x, &body);
}

static void it_has_one_identity(void **state)
{
    struct bytes body = {.data = {11}, .length = 1}, blob = public_blob();
    struct bytes answer = ask(*state, &body);
    assert_int_equal(answer.data[0], 12);
    assert_memory_equal(answer.data + 1, "\0\0\0\1", 4);
    assert_memory_equal(answer.data + 9, blob.data, blob.length);
}

static void it_signs_the_boxs_login(void **state)
{
    struct bytes data = login_request("alice", "ssh-connection", "publickey", 50);
    struct bytes answer = ask_to_sign(*state, &data);
    assert_int_equal(answer.data[0], 14);
    assert_int_equal(answer.length, 1 + 4 + 4 + 11 + 4 + 64);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(context, NULL, NULL, NULL, key), 1);
    assert_int_equal(EVP_DigestVerify(context, answer.data + answer.length - 64, 64, data.data, data.length),
                     1);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
}

static void it_signs_for_the_boxs_host_key_only(void **state)
{
    static const char *const others[] = {"", "b", "box host ke", "box host key2", "another"};
    struct bytes data = hostbound_request("box host key");
    assert_int_equal(ask_to_sign(*state, &data).data[0], 14);
    data = hostbound_request("other");
    assert_int_equal(ask_to_sign(*state, &data).data[0], 14);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        data = hostbound_request(others[i]);
        assert_int_equal(ask_to_sign(*state, &data).data[0], 5);
    }
}

static void it_signs_nothing_else(void **state)
{
    struct bytes cases[] = {
        login_request("root", "ssh-connection", "publickey", 50),
        login_request("alice2", "ssh-connection", "publickey", 50),
        login_request("alice", "ssh-userauth", "publickey", 50),
        login_request("alice", "ssh-connection", "hostbased", 50),
        login_request("alice", "ssh-connection", "publickey", 51),
        {.data = "SSHSIG anything", .length = 15},
        {.length = 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(ask_to_sign(*state, &cases[i]).data[0], 5);
    struct bytes longer = login_request("alice", "ssh-connection", "publickey", 50);
    put(&longer, "x", 1);
    assert_int_equal(ask_to_sign(*state, &longer).data[0], 5);
    for (int type = 0; type < 256; type++) { // add, remove, lock, extension, ...
        struct bytes body = {.data = {(unsigned char)type}, .length = 1};
        if (type != 11)
            assert_int_equal(ask(*state, &body).data[0], 5);
    }
}

static void it_does_not_sign_without_end(void **state)
{
    struct bytes data = login_request("alice", "ssh-connection", "publickey", 50);
    for (int i = 0; i < AGENT_SIGNATURES_MAX; i++)
        assert_int_equal(ask_to_sign(*state, &data).data[0], 14);
    assert_int_equal(ask_to_sign(*state, &data).data[0], 5);
}

static void it_does_not_answer_without_end(void **state)
{
    struct fixture *x = *state;
    struct bytes body = {.data = {11}, .length = 1};
    char byte;
    for (int i = 0; i < AGENT_REQUESTS_MAX; i++)
        assert_int_equal(ask(x, &body).data[0], 12);
    assert_int_equal(write(x->fd, "\0\0\0\1\x0b", 5), 5);
    for (int i = 0; i < 4; i++)
        event_base_loop(x->base, EVLOOP_NONBLOCK);
    assert_int_equal(recv(x->fd, &byte, 1, MSG_DONTWAIT), 0);
}

static void a_length_it_cannot_hold_ends_it(void **state)
{
    struct fixture *x = *state;
    char byte;
    assert_int_equal(write(x->fd, "\xff\xff\xff\xff", 4), 4);
    for (int i = 0; i < 4; i++)
        event_base_loop(x->base, EVLOOP_NONBLOCK);
    assert_int_equal(recv(x->fd, &byte, 1, MSG_DONTWAIT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_has_one_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(it_signs_the_boxs_login, setup, teardown),
        cmocka_unit_test_setup_teardown(it_signs_for_the_boxs_host_key_only, setup, teardown),
        cmocka_unit_test_setup_teardown(it_signs_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(it_does_not_sign_without_end, setup, teardown),
        cmocka_unit_test_setup_teardown(it_does_not_answer_without_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_length_it_cannot_hold_ends_it, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
