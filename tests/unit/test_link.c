// SEQPACKET links on real sockets: whole packets, descriptors beside them, a bounded queue, freeing from
// callbacks.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "wire/link.h"

struct end {
    struct link *link;
    unsigned packets, ended;
    size_t bytes;
    int fd; // last descriptor received
    bool free_on_packet;
};

static void on_packet(void *arg, const char *data, size_t length, const int *fds, size_t fd_count)
{
    struct end *e = arg;
    (void)data;
    e->packets++;
    e->bytes += length;
    for (size_t i = 0; i < fd_count; i++)
        e->fd = fds[i];
    if (e->free_on_packet) {
        link_free(e->link);
        e->link = NULL;
    }
}

static void on_end(void *arg, const char *reason)
{
    struct end *e = arg;
    assert_non_null(reason);
    e->ended++;
}

struct pair {
    struct event_base *base;
    struct end a, b;
};

static int setup(void **state)
{
    int fds[2];
    struct pair *p = calloc(1, sizeof *p);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    p->base = event_base_new();
    p->a.fd = p->b.fd = -1;
    p->a.link = link_new(p->base, fds[0], on_packet, on_end, &p->a);
    p->b.link = link_new(p->base, fds[1], on_packet, on_end, &p->b);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    link_free(p->a.link);
    link_free(p->b.link);
    event_base_loop(p->base, EVLOOP_NONBLOCK);
    event_base_free(p->base);
    free(p);
    return 0;
}

static void run(struct pair *p)
{
    for (int i = 0; i < 2000; i++)
        event_base_loop(p->base, EVLOOP_NONBLOCK);
}

static void packets_keep_their_bounds(void **state)
{
    static const size_t sizes[] = {1, 2, 100, 5000, LINK_PACKET_MAX};
    static char data[LINK_PACKET_MAX];
    struct pair *p = *state;
    size_t sum = 0;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(link_send(p->a.link, data, sizes[i], NULL, 0), ERR_NONE);
        sum += sizes[i];
    }
    run(p);
    assert_int_equal(p->b.packets, 5);
    assert_int_equal(p->b.bytes, sum);
    assert_int_equal(link_send(p->a.link, data, 0, NULL, 0), ERR_INVALID);
    assert_int_equal(link_send(p->a.link, data, LINK_PACKET_MAX + 1, NULL, 0), ERR_INVALID);
}

static void descriptors_travel_also_when_queued(void **state)
{
    static char data[60000];
    struct pair *p = *state;
    int pipe_fds[2];
    char byte = 0;
    assert_int_equal(pipe(pipe_fds), 0);
    for (int i = 0; i < 20; i++) // fills the socket, so that the last ones wait in the queue
        assert_int_equal(link_send(p->a.link, data, sizeof data, NULL, 0), ERR_NONE);
    assert_true(link_queued(p->a.link) > 0);
    assert_int_equal(link_send(p->a.link, "fd", 2, &pipe_fds[1], 1), ERR_NONE);
    close(pipe_fds[1]);
    run(p);
    assert_int_equal(p->b.packets, 21);
    assert_int_equal(link_queued(p->a.link), 0);
    assert_true(p->b.fd >= 0);
    assert_int_equal(write(p->b.fd, "x", 1), 1);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(p->b.fd);
    close(pipe_fds[0]);
}

static void a_peer_that_does_not_read_is_noticed(void **state)
{
    static char data[60000];
    struct pair *p = *state;
    enum err e = ERR_NONE;
    link_set_reading(p->b.link, false);
    for (int i = 0; i < 200 && e == ERR_NONE; i++)
        e = link_send(p->a.link, data, sizeof data, NULL, 0);
    assert_int_equal(e, ERR_FULL);
    assert_true(link_queued(p->a.link) <= LINK_QUEUE_MAX);
    link_set_reading(p->b.link, true);
    run(p);
    assert_int_equal(link_queued(p->a.link), 0);
}

static void the_end_is_told_once_and_never_from_inside(void **state)
{
    struct pair *p = *state;
    link_free(p->b.link);
    p->b.link = NULL;
    (void)!link_send(p->a.link, "x", 1, NULL, 0);
    assert_int_equal(p->a.ended, 0);
    run(p);
    assert_int_equal(p->a.ended, 1);
    assert_int_equal(link_send(p->a.link, "x", 1, NULL, 0), ERR_UNAVAILABLE);
    run(p);
    assert_int_equal(p->a.ended, 1);
}

static void a_link_may_be_freed_from_its_callback(void **state)
{
    struct pair *p = *state;
    p->b.free_on_packet = true;
    for (int i = 0; i < 3; i++)
        assert_int_equal(link_send(p->a.link, "x", 1, NULL, 0), ERR_NONE);
    run(p);
    assert_int_equal(p->b.packets, 1);
    assert_int_equal(p->a.ended, 1);
}

static void a_socket_that_is_served_is_not_taken(void **state)
{
    char path[] = "/tmp/test_link.XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(path));
    char socket_path[64];
    snprintf(socket_path, sizeof socket_path, "%s/s", path);
    int first = link_listen(socket_path, 0600);
    assert_true(first >= 0);
    assert_int_equal(link_listen(socket_path, 0600), -1);
    close(first); // what a killed daemon leaves behind is replaced
    int second = link_listen(socket_path, 0600);
    assert_true(second >= 0);
    close(second);
    unlink(socket_path);
    rmdir(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(packets_keep_their_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(descriptors_travel_also_when_queued, setup, teardown),
        cmocka_unit_test_setup_teardown(a_peer_that_does_not_read_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_is_told_once_and_never_from_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_may_be_freed_from_its_callback, setup, teardown),
        cmocka_unit_test(a_socket_that_is_served_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
