// A doubly linked ring: a list whose members can leave without knowing which list they are in.
#ifndef PROVISION_RING_H
#define PROVISION_RING_H

#include <stdbool.h>

struct ring {
    struct ring *next, *prev;
};

static inline void ring_init(struct ring *r)
{
    r->next = r->prev = r;
}

static inline bool ring_empty(const struct ring *head)
{
    return head->next == head;
}

static inline void ring_leave(struct ring *r)
{
    r->prev->next = r->next;
    r->next->prev = r->prev;
    ring_init(r);
}

static inline void ring_append(struct ring *head, struct ring *r)
{
    r->prev = head->prev;
    r->next = head;
    head->prev->next = r;
    head->prev = r;
}

// All of `from` goes to `to`, which is initialised here.
static inline void ring_move(struct ring *from, struct ring *to)
{
    ring_init(to);
    while (!ring_empty(from)) {
        struct ring *r = from->next;
        ring_leave(r);
        ring_append(to, r);
    }
}

#endif
