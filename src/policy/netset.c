// Owns the sorted array.
#include "policy/netset.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 100000

static bool over(const struct netset_entry *e, time_t now)
{
    return e->until != 0 && e->until <= now;
}

// Where it is, or where it belongs.
static size_t place(const struct netset *s, const struct subnet *subnet, bool *found)
{
    size_t low = 0, high = s->count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = subnet_compare(&s->entries[middle].subnet, subnet);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void sweep(struct netset *s, time_t now)
{
    size_t kept = 0;
    memset(s->prefixes, 0, sizeof s->prefixes);
    for (size_t i = 0; i < s->count; i++) {
        if (over(&s->entries[i], now))
            continue;
        s->entries[kept] = s->entries[i];
        s->prefixes[s->entries[kept++].subnet.prefix] = 1;
    }
    s->count = kept;
}

enum err netset_add(struct netset *s, const struct subnet *subnet, time_t until, time_t now, struct fault *f)
{
    size_t max = s->max == 0 ? ENTRIES_MAX : s->max;
    bool found = false;
    if (s->count >= max || s->count == s->room)
        sweep(s, now);
    size_t at = place(s, subnet, &found);
    if (found) {
        s->entries[at].until = until;
        return ERR_NONE;
    }
    if (s->count >= max)
        return fault_set(f, ERR_FULL, "more than %zu addresses", max);
    if (s->count == s->room) {
        size_t room = s->room == 0 ? 64 : s->room * 2;
        struct netset_entry *grown = reallocarray(s->entries, room, sizeof *grown);
        if (grown == NULL)
            return fault_set(f, ERR_MEMORY, "out of memory");
        s->entries = grown;
        s->room = room;
    }
    memmove(s->entries + at + 1, s->entries + at, (s->count - at) * sizeof *s->entries);
    s->entries[at] = (struct netset_entry){*subnet, until};
    s->count++;
    s->prefixes[subnet->prefix] = 1;
    return ERR_NONE;
}

void netset_remove(struct netset *s, const struct subnet *subnet)
{
    bool found = false;
    size_t at = place(s, subnet, &found);
    if (!found)
        return;
    memmove(s->entries + at, s->entries + at + 1, (s->count - at - 1) * sizeof *s->entries);
    s->count--;
}

bool netset_has(const struct netset *s, const uint8_t address[16], time_t now, time_t *until)
{
    struct subnet wanted;
    bool any = false;
    memcpy(wanted.address, address, sizeof wanted.address);
    for (unsigned prefix = 129; prefix-- > 0;) { // from the whole address down, cutting bits as it shortens
        bool found = false;
        if (prefix < 128)
            wanted.address[prefix / 8] &= (uint8_t) ~(0x80u >> prefix % 8);
        if (!s->prefixes[prefix])
            continue;
        wanted.prefix = prefix;
        size_t at = place(s, &wanted, &found);
        if (!found || over(&s->entries[at], now))
            continue;
        time_t end = s->entries[at].until;
        if (until != NULL && (!any || end == 0 || (*until != 0 && end > *until)))
            *until = end;
        any = true;
    }
    return any;
}

void netset_clear(struct netset *s)
{
    free(s->entries);
    *s = (struct netset){.max = s->max};
}
