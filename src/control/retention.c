// Owns the timer.
#include "control/retention.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "control/writer.h"

#define FIRST_SECONDS 60   // after the start
#define EVERY_SECONDS 3600 // between two looks
#define ROWS 500           // at once; more of them follow after PAUSE_MS
#define PAUSE_MS 100

struct retention {
    struct control *control;
    struct event *timer;
    uint64_t removed; // since the last look began
};

static void wait_for(struct retention *r, long seconds, long ms)
{
    struct timeval tv = {.tv_sec = seconds, .tv_usec = ms * 1000};
    event_add(r->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct retention *r = arg;
    struct control *c = r->control;
    struct fault f = {.text = ""};
    unsigned removed = 0;
    int sessions = 0;
    (void)fd;
    (void)what;
    if (c->config->audit_keep == 0)
        return;
    time_t before = time(NULL) - (time_t)(c->config->audit_keep / 1000);
    enum err e = audit_expire(c->store, before, ROWS, &removed, &f);
    if (e == ERR_NONE) // what they were is in the trail for as long
        e = session_prune(c->store, before, ROWS, &sessions, &f);
    r->removed += removed;
    if (e == ERR_NONE && (removed == ROWS || sessions == ROWS)) {
        writer_commit_soon(c->writer);
        wait_for(r, 0, PAUSE_MS);
        return;
    }
    if (e == ERR_NONE && r->removed > 0) {
        char reason[80];
        struct audit_record record = {.event = AUDIT_EXPIRED, .actor = "gateway", .reason = reason};
        snprintf(reason, sizeof reason, "%llu records were older than [audit] keep",
                 (unsigned long long)r->removed);
        e = writer_audit(c->writer, &record, &f);
        log_event(LOG_LEVEL_INFO, "audit_expired", "records=%llu", (unsigned long long)r->removed);
    }
    if (e != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "retention_failed", "error=%s", log_quote(f.text));
    r->removed = 0;
    wait_for(r, EVERY_SECONDS, 0);
}

struct retention *retention_new(struct control *c)
{
    struct retention *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->control = c;
    r->timer = evtimer_new(c->base, on_timer, r);
    if (r->timer == NULL) {
        free(r);
        return NULL;
    }
    wait_for(r, FIRST_SECONDS, 0);
    return r;
}

void retention_free(struct retention *r)
{
    if (r == NULL)
        return;
    event_free(r->timer);
    free(r);
}
