// Owns the timer. A share that is over is one nobody gets in with, whether or not its row is still there; the
// timer ends what is live, and tidies up.
#include "control/share.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "control/box_flow.h"
#include "control/gateway_link.h"
#include "control/writer.h"
#include "store/share.h"

#define FAR_SECONDS 60   // a timer waits no longer: the clock may be set
#define RETRY_SECONDS 10 // after a write that failed

struct shares {
    struct control *control;
    struct event *timer;
};

static void set_timer(struct shares *s, time_t seconds)
{
    struct timeval wait = {.tv_sec = seconds < 0 ? 0 : seconds > FAR_SECONDS ? FAR_SECONDS : seconds};
    if (event_add(s->timer, &wait) != 0)
        log_event(LOG_LEVEL_ERROR, "out_of_memory", "where=shares");
}

void shares_plan(struct control *c)
{
    struct fault f;
    time_t next = 0;
    enum err e = share_next_end(c->store, &next, &f);
    if (e != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "shares_not_known", "error=%s", log_quote(f.text));
    if (e != ERR_NONE)
        set_timer(c->shares, RETRY_SECONDS);
    else if (next != 0)
        set_timer(c->shares, next - time(NULL));
    else
        event_del(c->shares->timer);
}

static enum err end_share(struct control *c, const struct share *over, struct fault *f)
{
    char box[NAME_BOX_SIZE];
    struct share removed;
    name_box(over->owner, box);
    struct audit_record record = {
        .event = AUDIT_UNSHARED,
        .user = over->owner,
        .actor = "gateway",
        .box = box,
        .target = over->guest,
        .reason = "its time was over",
    };
    enum err e = share_remove(c->store, over->owner_id, over->guest, &removed, f);
    if (e == ERR_NONE)
        e = writer_audit(c->writer, &record, f);
    if (e != ERR_NONE)
        return e;
    writer_commit_soon(c->writer);
    unsigned ended = 0;
    if (over->guest_id != 0)
        ended = gateway_kick_guest(c->gateway, over->owner_id, over->guest_id,
                                   "the time for which this box was shared with you is over");
    box_flow_tell_keys(c, over->owner_id, "gateway");
    log_event(LOG_LEVEL_INFO, "share_over", "box=%s guest=%s sessions=%u", box, over->guest, ended);
    return ERR_NONE;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct shares *s = arg;
    struct share over;
    struct fault f = {.code = ERR_NONE};
    enum err e = ERR_NONE;
    (void)fd;
    (void)what;
    while (e == ERR_NONE) {
        e = share_over(s->control->store, time(NULL), &over, &f);
        if (e == ERR_NONE)
            e = end_share(s->control, &over, &f);
    }
    if (e == ERR_NOTFOUND) {
        shares_plan(s->control);
        return;
    }
    log_event(LOG_LEVEL_ERROR, "share_not_ended", "error=%s", log_quote(f.text));
    set_timer(s, RETRY_SECONDS);
}

struct shares *shares_new(struct control *c)
{
    struct shares *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->control = c;
    s->timer = evtimer_new(c->base, on_timer, s);
    if (s->timer == NULL) {
        free(s);
        return NULL;
    }
    c->shares = s;
    shares_plan(c);
    return s;
}

void shares_free(struct shares *s)
{
    if (s == NULL)
        return;
    event_free(s->timer);
    free(s);
}

// ---- a guest's boxes

struct owners {
    int64_t *ids;
    size_t count;
};

static enum err add_owner(const struct share *share, void *arg, struct fault *f)
{
    struct owners *owners = arg;
    int64_t *grown = reallocarray(owners->ids, owners->count + 1, sizeof *grown);
    if (grown == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    owners->ids = grown;
    grown[owners->count++] = share->owner_id;
    return ERR_NONE;
}

static void tell(struct control *c, const struct owners *owners, const char *actor)
{
    for (size_t i = 0; i < owners->count; i++)
        box_flow_tell_keys(c, owners->ids[i], actor);
}

void shares_tell_boxes(struct control *c, int64_t guest_id, const char *actor)
{
    struct owners owners = {NULL, 0};
    struct fault f;
    if (share_each(c->store, 0, guest_id, add_owner, &owners, &f) == ERR_NONE)
        tell(c, &owners, actor);
    else
        log_event(LOG_LEVEL_ERROR, "boxes_not_told", "error=%s", log_quote(f.text));
    free(owners.ids);
}

enum err shares_forget_guest(struct control *c, int64_t guest_id, const char *actor, struct fault *f)
{
    struct owners owners = {NULL, 0};
    enum err e = share_each(c->store, 0, guest_id, add_owner, &owners, f);
    if (e == ERR_NONE && owners.count > 0)
        e = share_forget_guest(c->store, guest_id, f);
    if (e == ERR_NONE)
        tell(c, &owners, actor);
    free(owners.ids);
    return e;
}
