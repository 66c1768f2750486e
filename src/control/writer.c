// Owns the moment of commit: one zero-delay event that the first write of an iteration puts at the end of the
// active queue, behind every callback that was ready when the loop woke up. What nobody waits for (that a key
// was refused) is committed a little later, together with what comes until then: an attacker's attempts do
// not cost an fsync each.
#include "control/writer.h"

#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>

#include "base/log.h"
#include "control/metrics.h"

#define LAZY_MS 50

struct waiter {
    struct waiter *next;
    const void *owner; // NULL after writer_cancel
    writer_done_fn done;
    void *arg;
};

struct follower {
    LIST_ENTRY(follower) entry;
    const void *owner; // NULL after writer_cancel: goes at the next commit
    writer_follow_fn committed;
    void *arg;
};

struct writer {
    struct control *control;
    struct event *commit_event;
    struct waiter *head, **tail;
    struct waiter *answering; // the group being told; writer_cancel must see it too
    LIST_HEAD(, follower) followers;
    struct fault broken; // of this group; ERR_NONE: it may be committed
};

static void tell_followers(struct writer *w)
{
    struct follower *one = LIST_FIRST(&w->followers);
    while (one != NULL) {
        struct follower *next = LIST_NEXT(one, entry);
        if (one->owner != NULL) {
            one->committed(one->arg);
        } else {
            LIST_REMOVE(one, entry);
            free(one);
        }
        one = next;
    }
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static unsigned count_waiters(const struct waiter *list)
{
    unsigned count = 0;
    for (; list != NULL; list = list->next)
        count++;
    return count;
}

static enum err commit(struct writer *w, struct fault *f)
{
    bool dirty = store_dirty(w->control->store);
    uint64_t began = now_us();
    enum err e = store_commit(w->control->store, f);
    if (e == ERR_NONE && dirty) {
        metrics_commit(w->control, now_us() - began, count_waiters(w->head));
        tell_followers(w);
    }
    return e;
}

static void on_commit(evutil_socket_t fd, short what, void *arg)
{
    struct writer *w = arg;
    (void)fd;
    (void)what;
    event_del(w->commit_event); // the later one has been overtaken
    struct fault f = {.code = ERR_NONE};
    enum err e = w->broken.code;
    if (e != ERR_NONE) { // writes after the one that failed are part of the group as well
        f = w->broken;
        store_rollback(w->control->store);
        w->broken.code = ERR_NONE;
    } else {
        e = commit(w, &f);
    }
    if (e != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "commit_failed", "error=%s", log_quote(f.text));
    w->answering = w->head;
    w->head = NULL;
    w->tail = &w->head;
    while (w->answering != NULL) {
        struct waiter *one = w->answering;
        w->answering = one->next;
        if (one->owner != NULL)
            one->done(one->arg, e, &f);
        free(one);
    }
}

struct writer *writer_new(struct control *c)
{
    struct writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->control = c;
    w->tail = &w->head;
    LIST_INIT(&w->followers);
    w->commit_event = event_new(c->base, -1, 0, on_commit, w);
    if (w->commit_event == NULL) {
        free(w);
        return NULL;
    }
    return w;
}

void writer_free(struct writer *w)
{
    if (w == NULL)
        return;
    struct fault f;
    if (store_dirty(w->control->store) && store_commit(w->control->store, &f) != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "commit_failed", "error=%s", log_quote(f.text));
    while (w->head != NULL) {
        struct waiter *one = w->head;
        w->head = one->next;
        free(one);
    }
    while (!LIST_EMPTY(&w->followers)) {
        struct follower *one = LIST_FIRST(&w->followers);
        LIST_REMOVE(one, entry);
        free(one);
    }
    event_free(w->commit_event);
    free(w);
}

void writer_abandon(struct writer *w, const struct fault *f)
{
    if (w->broken.code == ERR_NONE)
        w->broken = *f;
    store_rollback(w->control->store);
    writer_commit_soon(w);
}

void writer_commit_soon(struct writer *w)
{
    event_active(w->commit_event, EV_TIMEOUT, 0);
}

static void commit_later(struct writer *w)
{
    static const struct timeval later = {.tv_usec = LAZY_MS * 1000};
    if (!event_pending(w->commit_event, EV_TIMEOUT, NULL))
        event_add(w->commit_event, &later);
}

void writer_after_commit(struct writer *w, const void *owner, writer_done_fn done, void *arg)
{
    struct waiter *one = malloc(sizeof *one);
    if (one == NULL) {
        log_event(LOG_LEVEL_ERROR, "out_of_memory", "where=writer");
        abort(); // nothing of this group is on disk yet; telling the caller from in here would be under its
                 // feet
    }
    *one = (struct waiter){.owner = owner, .done = done, .arg = arg};
    *w->tail = one;
    w->tail = &one->next;
    writer_commit_soon(w);
}

static void forget(struct waiter *list, const void *owner)
{
    for (; list != NULL; list = list->next) {
        if (list->owner == owner)
            list->owner = NULL;
    }
}

void writer_cancel(struct writer *w, const void *owner)
{
    struct follower *one;
    forget(w->head, owner);
    forget(w->answering, owner);
    LIST_FOREACH(one, &w->followers, entry)
    {
        if (one->owner == owner)
            one->owner = NULL;
    }
}

enum err writer_follow(struct writer *w, const void *owner, writer_follow_fn committed, void *arg,
                       struct fault *f)
{
    struct follower *one = malloc(sizeof *one);
    if (one == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    *one = (struct follower){.owner = owner, .committed = committed, .arg = arg};
    LIST_INSERT_HEAD(&w->followers, one, entry);
    return ERR_NONE;
}

enum err writer_audit(struct writer *w, struct audit_record *record, struct fault *f)
{
    record->time = time(NULL);
    enum err e = audit_append(w->control->store, record, f);
    if (e != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "audit_failed", "what=%s error=%s", audit_event_name(record->event),
                  f == NULL ? "-" : log_quote(f->text));
    commit_later(w);
    return e;
}
