// Owns the mapping and the timer.
#include "gateway/throttle.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "policy/bucket.h"
#include "wire/bandwidth.h"

#define SECOND_NS UINT64_C(1000000000)
#define PIECE 16384 // worth waking up for: moving a few bytes at a time would cost more than they are

struct throttle {
    struct bandwidth_page *page; // NULL: no limit
    struct event *timer;
    uint64_t moved[2];
    throttle_wake_fn wake;
    void *arg;
};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct throttle *t = arg;
    (void)fd;
    (void)what;
    t->wake(t->arg);
}

struct throttle *throttle_new(struct event_base *base, throttle_wake_fn wake, void *arg)
{
    struct throttle *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->wake = wake;
    t->arg = arg;
    t->timer = evtimer_new(base, on_timer, t);
    if (t->timer == NULL) {
        free(t);
        return NULL;
    }
    return t;
}

static void detach(struct throttle *t)
{
    if (t->page != NULL)
        munmap(t->page, BANDWIDTH_PAGE_SIZE);
    t->page = NULL;
}

void throttle_free(struct throttle *t)
{
    if (t == NULL)
        return;
    detach(t);
    event_free(t->timer);
    free(t);
}

enum err throttle_attach(struct throttle *t, int fd, struct fault *f)
{
    void *page = mmap(NULL, BANDWIDTH_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    enum err e = page == MAP_FAILED ? fault_errno(f, ERR_IO, "cannot map the user's bandwidth") : ERR_NONE;
    close(fd);
    if (e != ERR_NONE)
        return e;
    detach(t);
    t->page = page;
    return ERR_NONE;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static struct bucket_rate rate_of(const struct throttle *t)
{
    struct bucket_rate rate = {.period = SECOND_NS};
    if (t->page != NULL) {
        rate.amount = atomic_load_explicit(&t->page->rate, memory_order_relaxed);
        rate.burst = atomic_load_explicit(&t->page->burst, memory_order_relaxed);
    }
    return rate;
}

size_t throttle_room(struct throttle *t)
{
    struct bucket_rate rate = rate_of(t);
    if (rate.amount == 0)
        return SIZE_MAX;
    uint64_t now = now_ns();
    uint64_t full = atomic_load_explicit(&t->page->full, memory_order_relaxed);
    uint64_t piece = rate.burst < PIECE ? rate.burst : PIECE, wait = 0;
    if (bucket_take(&full, &rate, piece, now, &wait)) // a copy: only asked, not taken
        return (size_t)(bucket_holds(full, &rate, now) + piece);
    struct timeval tv = {.tv_sec = (time_t)(wait / SECOND_NS),
                         .tv_usec = (suseconds_t)(wait % SECOND_NS / 1000) + 1};
    if (!evtimer_pending(t->timer, NULL))
        evtimer_add(t->timer, &tv);
    return 0;
}

uint64_t throttle_moved(const struct throttle *t, enum throttle_way way)
{
    return t->moved[way];
}

void throttle_take(struct throttle *t, enum throttle_way way, size_t bytes)
{
    struct bucket_rate rate = rate_of(t);
    t->moved[way] += bytes;
    if (rate.amount == 0 || bytes == 0)
        return;
    uint64_t now = now_ns(), full = atomic_load_explicit(&t->page->full, memory_order_relaxed), after;
    do
        after = bucket_after(full, &rate, bytes, now);
    while (!atomic_compare_exchange_weak_explicit(&t->page->full, &full, after, memory_order_relaxed,
                                                  memory_order_relaxed));
}
