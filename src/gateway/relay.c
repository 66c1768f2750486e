// Owns the left-overs of short writes and the end-of-file state of each direction.
#include "gateway/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCRATCH_SIZE (256u * 1024)
#define STEPS_MAX 8 // scratch-fulls one relay may move before the others get their turn

// What one write could not place.
struct rest {
    char *data;
    size_t at, end;
};

struct relay {
    struct chan *client;
    struct chan *box; // or
    int fd;
    struct throttle *throttle;
    struct event *readable, *writable;
    relay_wake_fn wake;
    void *arg;
    struct rest up, down, down_error;
    bool up_ended, down_ended; // EOF passed on
    bool broken;               // the target failed
    bool end_held;
    uint64_t in, out;
};

static char scratch[SCRATCH_SIZE]; // one thread, never kept between two calls

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct relay *r = arg;
    (void)fd;
    (void)what;
    r->wake(r->arg);
}

struct relay *relay_to_chan(struct chan *client, struct chan *box, struct throttle *throttle)
{
    struct relay *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->client = client;
    r->box = box;
    r->throttle = throttle;
    r->fd = -1;
    return r;
}

struct relay *relay_to_socket(struct chan *client, int fd, struct throttle *throttle, struct event_base *base,
                              relay_wake_fn wake, void *arg)
{
    struct relay *r = calloc(1, sizeof *r);
    if (r == NULL) {
        close(fd);
        return NULL;
    }
    r->client = client;
    r->fd = fd;
    r->throttle = throttle;
    r->wake = wake;
    r->arg = arg;
    r->readable = event_new(base, fd, EV_READ, on_socket, r);
    r->writable = event_new(base, fd, EV_WRITE, on_socket, r);
    if (r->readable == NULL || r->writable == NULL || event_add(r->readable, NULL) != 0) {
        relay_free(r);
        return NULL;
    }
    return r;
}

void relay_free(struct relay *r)
{
    if (r == NULL)
        return;
    if (r->readable != NULL)
        event_free(r->readable);
    if (r->writable != NULL)
        event_free(r->writable);
    if (r->fd >= 0)
        close(r->fd);
    free(r->up.data);
    free(r->down.data);
    free(r->down_error.data);
    free(r);
}

static bool rest_empty(const struct rest *rest)
{
    return rest->at == rest->end;
}

static bool rest_keep(struct rest *rest, const char *data, size_t length)
{
    free(rest->data);
    rest->data = length == 0 ? NULL : malloc(length);
    rest->at = 0;
    rest->end = rest->data == NULL ? 0 : length;
    if (rest->data != NULL)
        memcpy(rest->data, data, length);
    return length == 0 || rest->data != NULL;
}

static void rest_used(struct rest *rest, size_t length)
{
    rest->at += length;
    if (rest_empty(rest)) {
        free(rest->data);
        *rest = (struct rest){.data = NULL};
    }
}

// Writes to the target; how much it took, -1 if it broke.
static ssize_t target_write(struct relay *r, const char *data, size_t length)
{
    if (r->box != NULL) {
        size_t room = chan_room(r->box);
        if (room == 0)
            return chan_closed_by_peer(r->box) ? -1 : 0;
        return chan_write(r->box, CHAN_STDOUT, data, length < room ? length : room);
    }
    ssize_t n = send(r->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        event_add(r->writable, NULL);
        return 0;
    }
    return n;
}

// How much may be read at once where `room` has a place to go.
static size_t scratch_room(const struct relay *r, size_t room)
{
    size_t allowed = room == 0 ? 0 : throttle_room(r->throttle);
    if (room > allowed)
        room = allowed;
    return room < SCRATCH_SIZE ? room : SCRATCH_SIZE;
}

// Client to target. Returns true if anything moved.
static bool step_up(struct relay *r)
{
    bool moved = false;
    if (r->up_ended)
        return false;
    for (int i = 0; i < STEPS_MAX; i++) {
        const char *data = scratch;
        size_t length;
        if (!rest_empty(&r->up)) {
            data = r->up.data + r->up.at;
            length = r->up.end - r->up.at;
        } else {
            size_t want = scratch_room(r, r->box != NULL ? chan_room(r->box) : SCRATCH_SIZE);
            int n = want == 0 ? 0 : chan_read(r->client, CHAN_STDOUT, scratch, want);
            if (n <= 0)
                break;
            length = (size_t)n;
            r->in += length;
            throttle_take(r->throttle, THROTTLE_IN, length);
        }
        ssize_t sent = target_write(r, data, length);
        if (sent < 0) { // the target takes no more; what it still sends is wanted
            r->up_ended = true;
            rest_keep(&r->up, NULL, 0);
            return true;
        }
        moved = moved || sent > 0;
        if (data != scratch)
            rest_used(&r->up, (size_t)sent);
        else if ((size_t)sent < length && !rest_keep(&r->up, data + sent, length - (size_t)sent))
            r->broken = true;
        if ((size_t)sent < length)
            return moved;
    }
    if (chan_at_eof(r->client) && rest_empty(&r->up)) {
        r->up_ended = true;
        moved = true;
        if (r->box != NULL)
            chan_send_eof(r->box);
        else
            (void)shutdown(r->fd, SHUT_WR);
    }
    return moved;
}

// Reads from the target: bytes, 0 nothing now, -1 end.
static ssize_t target_read(struct relay *r, enum chan_stream stream, size_t size)
{
    if (r->box != NULL) {
        int n = chan_read(r->box, stream, scratch, size);
        return n != 0 || !chan_at_eof(r->box) ? n : -1;
    }
    ssize_t n = recv(r->fd, scratch, size, MSG_DONTWAIT);
    if (n > 0)
        return n;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        event_add(r->readable, NULL);
        return 0;
    }
    return -1;
}

// Target to client, one stream of it. *ended is set at its end.
static bool step_down(struct relay *r, enum chan_stream stream, struct rest *rest, bool *ended)
{
    bool moved = false;
    for (int i = 0; i < STEPS_MAX; i++) {
        size_t room = chan_room(r->client);
        if (room == 0)
            return moved;
        const char *data = scratch;
        ssize_t length;
        if (!rest_empty(rest)) {
            data = rest->data + rest->at;
            length = (ssize_t)(rest->end - rest->at);
        } else {
            size_t want = scratch_room(r, room);
            length = want == 0 ? 0 : target_read(r, stream, want);
            if (length < 0)
                *ended = true;
            if (length <= 0)
                return moved;
            throttle_take(r->throttle, THROTTLE_OUT, (size_t)length);
        }
        int sent = chan_write(r->client, stream, data, (size_t)length < room ? (size_t)length : room);
        if (sent < 0) {
            r->broken = true;
            return moved;
        }
        r->out += (uint64_t)sent;
        moved = moved || sent > 0;
        if (data != scratch)
            rest_used(rest, (size_t)sent);
        else if (sent < length && !rest_keep(rest, data + sent, (size_t)(length - sent)))
            r->broken = true;
        if (sent < length)
            return moved;
    }
    return moved;
}

bool relay_step(struct relay *r)
{
    bool moved = step_up(r);
    bool out_ended = false, error_ended = r->box == NULL;
    if (r->down_ended || r->broken)
        return moved;
    if (r->box != NULL) {
        moved = step_down(r, CHAN_STDERR, &r->down_error, &error_ended) || moved;
        error_ended = error_ended && rest_empty(&r->down_error);
    }
    moved = step_down(r, CHAN_STDOUT, &r->down, &out_ended) || moved;
    if (out_ended && error_ended && rest_empty(&r->down) && !r->end_held) {
        r->down_ended = true;
        moved = true;
        chan_send_eof(r->client);
    }
    return moved;
}

void relay_hold_end(struct relay *r, bool hold)
{
    r->end_held = hold;
}

bool relay_done(const struct relay *r)
{
    if (r->broken)
        return true;
    if (r->box != NULL) // a session ends with its program: the client's own EOF may never come
        return r->down_ended && chan_closed_by_peer(r->box);
    return r->down_ended && r->up_ended;
}

uint64_t relay_bytes_in(const struct relay *r)
{
    return r->in;
}

uint64_t relay_bytes_out(const struct relay *r)
{
    return r->out;
}
