// Owns the order of operations on a box and the rule of single flight.
#include "provision/lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned bucket_of(const char *name)
{
    uint32_t hash = 2166136261u; // FNV-1a
    for (const unsigned char *p = (const unsigned char *)name; *p != '\0'; p++)
        hash = (hash ^ *p) * 16777619u;
    return hash % LANE_BUCKETS;
}

static struct lane *find(const struct lanes *l, const char *name)
{
    struct lane *lane = l->buckets[bucket_of(name)];
    while (lane != NULL && strcmp(lane->name, name) != 0)
        lane = lane->next;
    return lane;
}

// Would `later`, in the lane behind a flight of `op`, make its outcome stale?
static bool upsets(enum box_op later, enum box_op op)
{
    switch (later) {
    case BOX_OP_STATE:
    case BOX_OP_LIST:
    case BOX_OP_SNAPSHOTS:
    case BOX_OP_HEALTH:
    case BOX_OP_IMAGES:
    case BOX_OP_IMPORT:
    case BOX_OP_IMAGE_USE:
    case BOX_OP_IMAGE_DELETE:
        return false;
    case BOX_OP_KEYS:
        return op == BOX_OP_KEYS;
    case BOX_OP_CHANGE:
        return op == BOX_OP_CHANGE;
    case BOX_OP_SNAPSHOT_CREATE:
    case BOX_OP_SNAPSHOT_DELETE:
        return op == BOX_OP_SNAPSHOT_CREATE || op == BOX_OP_SNAPSHOT_DELETE;
    case BOX_OP_SNAPSHOT_RESTORE:
    case BOX_OP_EXPORT:
    case BOX_OP_ENSURE:
    case BOX_OP_START:
    case BOX_OP_STOP:
    case BOX_OP_RESTART:
    case BOX_OP_FREEZE:
    case BOX_OP_DELETE:
        return true;
    }
    return true;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

static bool same_change(const struct box_change *a, const struct box_change *b)
{
    return strcmp(a->cpu, b->cpu) == 0 && a->memory == b->memory && a->disk == b->disk &&
           a->autostart == b->autostart && a->force == b->force;
}

// Whoever comes second to what changes something by name, or has a file of their own, has it done for
// themselves: they are told that it was done before, or get their own copy.
static bool never_shared(enum box_op op)
{
    return op == BOX_OP_SNAPSHOT_CREATE || op == BOX_OP_SNAPSHOT_RESTORE || op == BOX_OP_SNAPSHOT_DELETE ||
           op == BOX_OP_EXPORT || op == BOX_OP_IMPORT || op == BOX_OP_IMAGE_USE || op == BOX_OP_IMAGE_DELETE;
}

static bool same(const struct box_work *has, enum box_op op, const struct box_spec *spec)
{
    if (has->op != op || never_shared(op))
        return false;
    if (op == BOX_OP_KEYS)
        return same_text(has->spec.authorized_keys, spec->authorized_keys);
    if (op == BOX_OP_FREEZE)
        return has->spec.asleep_is_enough == spec->asleep_is_enough;
    if (op == BOX_OP_CHANGE)
        return same_change(&has->spec.change, &spec->change);
    // One that had to be made tells its host keys; one that had not does not.
    return op != BOX_OP_ENSURE || has->spec.provisioned == spec->provisioned;
}

struct lane_item *lanes_joinable(const struct lanes *l, enum box_op op, const struct box_spec *spec)
{
    const struct lane *lane = find(l, spec->name);
    if (lane == NULL)
        return NULL;
    for (struct ring *r = lane->items.prev; r != &lane->items; r = r->prev) {
        struct lane_item *item = (struct lane_item *)r;
        if (same(item->work, op, spec))
            return item;
        if (upsets(item->work->op, op))
            return NULL;
    }
    return NULL;
}

bool lanes_append(struct lanes *l, struct lane_item *item, bool *first)
{
    const char *name = item->work->spec.name;
    struct lane *lane = find(l, name);
    if (lane == NULL) {
        lane = calloc(1, sizeof *lane);
        if (lane == NULL)
            return false;
        snprintf(lane->name, sizeof lane->name, "%s", name);
        ring_init(&lane->items);
        lane->next = l->buckets[bucket_of(name)];
        l->buckets[bucket_of(name)] = lane;
    }
    *first = ring_empty(&lane->items);
    item->lane = lane;
    ring_append(&lane->items, &item->ring);
    return true;
}

struct lane_item *lanes_remove(struct lanes *l, struct lane_item *item)
{
    struct lane *lane = item->lane;
    item->lane = NULL;
    ring_leave(&item->ring);
    if (!ring_empty(&lane->items))
        return (struct lane_item *)lane->items.next;
    struct lane **link = &l->buckets[bucket_of(lane->name)];
    while (*link != lane)
        link = &(*link)->next;
    *link = lane->next;
    free(lane);
    return NULL;
}

struct lane_item *lanes_any(const struct lanes *l)
{
    for (unsigned k = 0; k < LANE_BUCKETS; k++) {
        if (l->buckets[k] != NULL)
            return (struct lane_item *)l->buckets[k]->items.next;
    }
    return NULL;
}
