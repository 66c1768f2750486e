// Owns the recent failures: a bounded table, the quietest entry goes when it is full.
#include "policy/ban.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define TIMES_MAX 32
#define LOGIN_SIZE 64
#define BUCKETS 4096 // a power of two

// Failures of a pair, or of a source as a whole (login ""): there each time is of a name that failed, or of
// silence.
struct entry {
    LIST_ENTRY(entry) in_bucket;
    TAILQ_ENTRY(entry) by_age;
    struct subnet source;
    char login[LOGIN_SIZE];
    time_t times[TIMES_MAX]; // the latest, a ring
    unsigned at;
    time_t silent[TIMES_MAX];
    unsigned silent_at;
};

struct ban_counter {
    struct ban_rules rules;
    LIST_HEAD(bucket, entry) buckets[BUCKETS];
    TAILQ_HEAD(, entry) ages; // quietest first
    unsigned count;
};

struct ban_counter *ban_counter_new(const struct ban_rules *rules)
{
    struct ban_counter *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->rules = *rules;
    TAILQ_INIT(&c->ages);
    return c;
}

static void entry_remove(struct ban_counter *c, struct entry *e)
{
    LIST_REMOVE(e, in_bucket);
    TAILQ_REMOVE(&c->ages, e, by_age);
    c->count--;
    free(e);
}

void ban_counter_free(struct ban_counter *c)
{
    if (c == NULL)
        return;
    while (!TAILQ_EMPTY(&c->ages))
        entry_remove(c, TAILQ_FIRST(&c->ages));
    free(c);
}

static uint64_t fnv(uint64_t hash, const void *data, size_t length)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static struct bucket *bucket_of(struct ban_counter *c, const struct subnet *source, const char *login)
{
    uint64_t hash = fnv(UINT64_C(0xcbf29ce484222325), source->address, sizeof source->address);
    hash = fnv(hash, login, strlen(login));
    return &c->buckets[(hash ^ hash >> 32) % BUCKETS];
}

static struct entry *find(struct ban_counter *c, const struct subnet *source, const char *login)
{
    struct entry *e;
    LIST_FOREACH(e, bucket_of(c, source, login), in_bucket)
    {
        if (subnet_compare(&e->source, source) == 0 && strcmp(e->login, login) == 0)
            return e;
    }
    return NULL;
}

// The entry, made if need be, as the one that spoke last. NULL when out of memory: then nothing is counted.
static struct entry *touch(struct ban_counter *c, const struct subnet *source, const char *login)
{
    struct entry *e = find(c, source, login);
    if (e != NULL) {
        TAILQ_REMOVE(&c->ages, e, by_age);
    } else {
        if (c->count >= c->rules.entries && !TAILQ_EMPTY(&c->ages))
            entry_remove(c, TAILQ_FIRST(&c->ages));
        e = calloc(1, sizeof *e);
        if (e == NULL)
            return NULL;
        e->source = *source;
        snprintf(e->login, sizeof e->login, "%s", login);
        LIST_INSERT_HEAD(bucket_of(c, source, login), e, in_bucket);
        c->count++;
    }
    TAILQ_INSERT_TAIL(&c->ages, e, by_age);
    return e;
}

// Notes `now` in the ring; true if `limit` of its times lie in the window, and then begins anew.
static bool note(time_t *times, unsigned *at, unsigned limit, time_t window, time_t now)
{
    unsigned recent = 0;
    times[(*at)++ % TIMES_MAX] = now;
    for (unsigned i = 0; i < TIMES_MAX; i++)
        recent += times[i] != 0 && times[i] > now - window;
    if (recent < (limit < TIMES_MAX ? limit : TIMES_MAX))
        return false;
    memset(times, 0, TIMES_MAX * sizeof *times);
    return true;
}

void ban_failed(struct ban_counter *c, const struct subnet *source, const char *login, bool known, time_t now,
                struct ban_verdict *out)
{
    char name[LOGIN_SIZE];
    *out = (struct ban_verdict){.pair = false};
    snprintf(name, sizeof name, "%s", login); // a longer one is counted by its beginning
    if (name[0] == '\0')
        return;
    struct entry *e = touch(c, source, name);
    out->pair = e != NULL && note(e->times, &e->at, c->rules.failures, c->rules.window, now);
    if (!out->pair || known)
        return;
    e = touch(c, source, ""); // one more name has failed too often from there
    out->source = e != NULL && note(e->times, &e->at, c->rules.names, c->rules.window, now);
}

void ban_silent(struct ban_counter *c, const struct subnet *source, bool known, time_t now,
                struct ban_verdict *out)
{
    *out = (struct ban_verdict){.pair = false};
    struct entry *e = known ? NULL : touch(c, source, "");
    out->source = e != NULL && note(e->silent, &e->silent_at, c->rules.silent, c->rules.window, now);
}

void ban_forget(struct ban_counter *c, const struct subnet *source, const char *login)
{
    struct entry *e, *next;
    if (login != NULL) {
        e = find(c, source, login);
        if (e != NULL)
            entry_remove(c, e);
        return;
    }
    for (e = TAILQ_FIRST(&c->ages); e != NULL; e = next) {
        next = TAILQ_NEXT(e, by_age);
        if (subnet_compare(&e->source, source) == 0)
            entry_remove(c, e);
    }
}

time_t ban_duration(const struct ban_rules *rules, unsigned earlier)
{
    time_t d = rules->duration;
    for (; earlier > 0 && d < rules->duration_max; earlier--)
        d = d > rules->duration_max / (time_t)rules->growth ? rules->duration_max : d * (time_t)rules->growth;
    return d < rules->duration_max ? d : rules->duration_max;
}

unsigned ban_followed(const struct ban_counter *c)
{
    return c->count;
}
