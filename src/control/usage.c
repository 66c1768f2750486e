// Owns the buckets and bandwidth pages of accounts that were here lately.
#include "control/usage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/log.h"
#include "base/subnets.h"
#include "base/units.h"
#include "control/gateway_link.h"
#include "policy/bucket.h"
#include "store/limit.h"
#include "wire/bandwidth.h"

#define MINUTE_MS 60000
#define SOURCES_MAX 64 // of one account with a bucket of their own; the one used longest ago is given up

struct source {
    char name[SUBNET_TEXT];
    uint64_t full, used; // monotonic ms
};

struct usage {
    LIST_ENTRY(usage) entry;
    int64_t account_id;
    uint64_t full; // of logins from everywhere, monotonic ms
    struct source sources[SOURCES_MAX];
    size_t source_count;
    int fd;
    struct bandwidth_page *page; // NULL until a connection needs it
};

struct usages {
    LIST_HEAD(, usage) list;
};

struct usages *usages_new(void)
{
    struct usages *u = calloc(1, sizeof *u);
    if (u != NULL)
        LIST_INIT(&u->list);
    return u;
}

static void usage_free(struct usage *u)
{
    LIST_REMOVE(u, entry);
    if (u->page != NULL)
        munmap(u->page, BANDWIDTH_PAGE_SIZE);
    if (u->fd >= 0)
        close(u->fd);
    free(u);
}

void usages_free(struct usages *u)
{
    if (u == NULL)
        return;
    while (!LIST_EMPTY(&u->list))
        usage_free(LIST_FIRST(&u->list));
    free(u);
}

// Accounts nobody is connected as, and whose buckets are full again, need no memory.
static void sweep(struct control *c)
{
    uint64_t now = monotonic_ms();
    struct usage *u = LIST_FIRST(&c->usages->list);
    while (u != NULL) {
        struct usage *next = LIST_NEXT(u, entry);
        bool busy = u->full > now || gateway_count_live(c->gateway, u->account_id) > 0;
        for (size_t i = 0; i < u->source_count; i++)
            busy = busy || u->sources[i].full > now;
        if (!busy)
            usage_free(u);
        u = next;
    }
}

// The one asked for moves to the front: who is busy is found at once.
static struct usage *usage_of(struct control *c, int64_t account_id)
{
    struct usage *u;
    LIST_FOREACH(u, &c->usages->list, entry)
    {
        if (u->account_id == account_id)
            break;
    }
    if (u != NULL) {
        LIST_REMOVE(u, entry);
    } else {
        sweep(c);
        u = calloc(1, sizeof *u);
        if (u == NULL)
            return NULL;
        u->account_id = account_id;
        u->fd = -1;
    }
    LIST_INSERT_HEAD(&c->usages->list, u, entry);
    return u;
}

enum err usage_limits(struct control *c, int64_t account_id, struct limits *out, struct fault *f)
{
    limits_of_config(c->config, out);
    return limit_load(c->store, account_id, out, NULL, f);
}

static struct source *source_of(struct usage *u, const char *name, uint64_t now)
{
    struct source *oldest = &u->sources[0];
    for (size_t i = 0; i < u->source_count; i++) {
        if (strcmp(u->sources[i].name, name) == 0) {
            u->sources[i].used = now;
            return &u->sources[i];
        }
        if (u->sources[i].used < oldest->used)
            oldest = &u->sources[i];
    }
    struct source *s = u->source_count < SOURCES_MAX ? &u->sources[u->source_count++] : oldest;
    *s = (struct source){.used = now};
    snprintf(s->name, sizeof s->name, "%s", name);
    return s;
}

static struct bucket_rate per_minute(uint64_t count)
{
    return (struct bucket_rate){.amount = count, .period = MINUTE_MS, .burst = count};
}

// What is too many, what the limit is, and what to do.
static enum err exceeded(struct fault *f, enum limit_name name, uint64_t limit, const char *advice)
{
    const struct limit_info *info = limit_info(name);
    return fault_set(f, ERR_FULL, "too many %.*s: the limit is %llu %s; %s", (int)strcspn(info->name, "-"),
                     info->name, (unsigned long long)limit, info->unit, advice);
}

static enum err check_connections(struct control *c, int64_t account_id, const char *source,
                                  const struct limits *limits, struct fault *f)
{
    static const char advice[] = "try again when another connection has ended";
    unsigned here = 0, all = gateway_count_connections(c->gateway, account_id, source, &here);
    if (all >= limits->value[LIMIT_CONNECTIONS])
        return exceeded(f, LIMIT_CONNECTIONS, limits->value[LIMIT_CONNECTIONS], advice);
    if (here >= limits->value[LIMIT_CONNECTIONS_PER_SOURCE])
        return exceeded(f, LIMIT_CONNECTIONS_PER_SOURCE, limits->value[LIMIT_CONNECTIONS_PER_SOURCE], advice);
    return ERR_NONE;
}

enum err usage_login(struct control *c, int64_t account_id, const char *source, struct fault *f)
{
    struct limits limits;
    char advice[80];
    uint64_t now = monotonic_ms(), wait = 0, elsewhere = 0;
    struct usage *u = usage_of(c, account_id);
    if (u == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    enum err e = usage_limits(c, account_id, &limits, f);
    if (e == ERR_NONE)
        e = check_connections(c, account_id, source, &limits, f);
    if (e != ERR_NONE)
        return e;
    struct source *s = source_of(u, source, now);
    struct bucket_rate all = per_minute(limits.value[LIMIT_LOGINS]);
    struct bucket_rate here = per_minute(limits.value[LIMIT_LOGINS_PER_SOURCE]);
    uint64_t full = u->full, source_full = s->full; // both or none
    bool ok = bucket_take(&full, &all, 1, now, &wait),
         ok_here = bucket_take(&source_full, &here, 1, now, &elsewhere);
    if (ok && ok_here) {
        u->full = full;
        s->full = source_full;
        return ERR_NONE;
    }
    if (elsewhere > wait)
        wait = elsewhere;
    snprintf(advice, sizeof advice, "try again in %llu s", (unsigned long long)(wait / 1000 + 1));
    enum limit_name which = ok ? LIMIT_LOGINS_PER_SOURCE : LIMIT_LOGINS;
    return exceeded(f, which, limits.value[which], advice);
}

enum err usage_channel(struct control *c, int64_t account_id, bool session, struct fault *f)
{
    struct limits limits;
    unsigned sessions = 0;
    enum err e = usage_limits(c, account_id, &limits, f);
    if (e != ERR_NONE)
        return e;
    unsigned channels = gateway_count_channels(c->gateway, account_id, &sessions);
    if (session && sessions >= limits.value[LIMIT_SESSIONS])
        return exceeded(f, LIMIT_SESSIONS, limits.value[LIMIT_SESSIONS], "close one first");
    if (channels >= limits.value[LIMIT_CHANNELS])
        return exceeded(f, LIMIT_CHANNELS, limits.value[LIMIT_CHANNELS], "close one first");
    return ERR_NONE;
}

// Sealed: a connection process can neither shrink it under our feet nor grow it.
static bool make_page(struct usage *u)
{
    u->fd = memfd_create("bandwidth", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (u->fd < 0 || ftruncate(u->fd, BANDWIDTH_PAGE_SIZE) != 0 ||
        fcntl(u->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return false;
    void *page = mmap(NULL, BANDWIDTH_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, u->fd, 0);
    u->page = page == MAP_FAILED ? NULL : page;
    return u->page != NULL;
}

static void set_page(struct control *c, struct usage *u)
{
    struct limits limits;
    struct fault f = {.text = ""};
    if (u->page == NULL)
        return;
    if (usage_limits(c, u->account_id, &limits, &f) != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "limits_unknown", "error=%s", log_quote(f.text));
    atomic_store(&u->page->burst, limits.value[LIMIT_BURST]);
    atomic_store(&u->page->rate, limits.value[LIMIT_BANDWIDTH]);
}

int usage_bandwidth(struct control *c, int64_t account_id)
{
    struct usage *u = usage_of(c, account_id);
    if (u == NULL)
        return -1;
    if (u->page == NULL && !make_page(u)) {
        log_event(LOG_LEVEL_ERROR, "bandwidth_page_failed", "account=%lld", (long long)account_id);
        if (u->fd >= 0)
            close(u->fd);
        u->fd = -1;
        return -1;
    }
    set_page(c, u);
    return u->fd;
}

void usage_changed(struct control *c, int64_t account_id)
{
    struct usage *u = usage_of(c, account_id);
    if (u != NULL)
        set_page(c, u);
}
