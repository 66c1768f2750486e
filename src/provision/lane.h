// One lane a box: operations in the order they were asked for, one at a time; and which of them a new request
// may share. Lives on one thread; starts nothing itself.
#ifndef PROVISION_LANE_H
#define PROVISION_LANE_H

#include "provision/box.h"
#include "provision/ring.h"

#define LANE_BUCKETS 1024u

// Embedded in what waits in a lane.
struct lane_item {
    struct ring ring; // first
    struct lane *lane;
    const struct box_work *work;
};

struct lane {
    struct lane *next; // in its bucket
    struct ring items;
    char name[64];
};

struct lanes {
    struct lane *buckets[LANE_BUCKETS]; // zeroed at start
};

// The item of that box's lane whose end is what is asked for, or NULL: the same operation, wanting the same,
// with nothing behind it that would undo it.
struct lane_item *lanes_joinable(const struct lanes *l, enum box_op op, const struct box_spec *spec);

// Appends; *first tells that nothing is before it. False when out of memory.
bool lanes_append(struct lanes *l, struct lane_item *item, bool *first);

// Takes the item out. Returns the one whose turn it is now, or NULL.
struct lane_item *lanes_remove(struct lanes *l, struct lane_item *item);

// Any item, or NULL when all lanes are empty.
struct lane_item *lanes_any(const struct lanes *l);

#endif
