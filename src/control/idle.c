// Owns one timer a box. A timer that comes too early looks and waits on; one that finds somebody in the box
// does nothing, because their end sets it anew.
#include "control/idle.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "control/box_flow.h"
#include "control/gateway_link.h"
#include "policy/idle.h"

#define RETRY_SECONDS 60 // after a sleep that failed: Incus down, say
// Sessions that were live when we went down have that long to come back; before that nobody seems to be in.
#define START_SECONDS (GATEWAY_REATTACH_SECONDS + 5)

struct sleeper {
    LIST_ENTRY(sleeper) entry;
    struct control *control;
    int64_t account_id;
    enum idle_state state;
    time_t since;
    bool known;  // planned for: what was seen at the start is old
    bool moving; // a sleep was asked for and is not done
    struct event *timer;
};

struct idle {
    struct control *control;
    time_t earliest;
    uint64_t list_ticket; // of the look at the start
    LIST_HEAD(, sleeper) sleepers;
};

static struct sleeper *find(const struct idle *idle, int64_t account_id)
{
    struct sleeper *s;
    LIST_FOREACH(s, &idle->sleepers, entry)
    {
        if (s->account_id == account_id)
            return s;
    }
    return NULL;
}

static void forget(struct sleeper *s)
{
    LIST_REMOVE(s, entry);
    event_free(s->timer);
    free(s);
}

struct use {
    int64_t owner_id;
    bool any;
};

static void look_at(const struct live_session *session, void *arg)
{
    struct use *use = arg;
    use->any = use->any || session->owner_id == use->owner_id; // not at the console, nor as a guest elsewhere
}

bool idle_in_use(struct control *c, int64_t account_id)
{
    struct use use = {.owner_id = account_id};
    gateway_each_live(c->gateway, account_id, look_at, &use);
    return use.any;
}

static void set_timer(struct sleeper *s, time_t at)
{
    time_t now = time(NULL), earliest = s->control->idle->earliest;
    if (at < earliest)
        at = earliest;
    struct timeval wait = {.tv_sec = at > now ? at - now : 0};
    if (event_add(s->timer, &wait) != 0)
        log_event(LOG_LEVEL_ERROR, "out_of_memory", "where=idle"); // its next use tries again
}

// False: not known now, and looked at again in a while. A guess could freeze a box that is to stay awake.
static bool find_rules(struct sleeper *s, struct idle_rules *rules)
{
    const struct control *c = s->control;
    struct box_row row;
    struct fault f;
    enum err e = box_get(c->store, s->account_id, &row, &f);
    if (e == ERR_NONE) {
        *rules = idle_rules_of(c->config, &row.idle);
    } else if (e != ERR_NOTFOUND) { // else it is being deleted
        log_event(LOG_LEVEL_ERROR, "idle_not_known", "error=%s", log_quote(f.text));
        set_timer(s, time(NULL) + RETRY_SECONDS);
    }
    return e == ERR_NONE;
}

// From now on the timer stands for the next step, whatever it was set to before.
static void plan(struct sleeper *s)
{
    struct idle_rules rules;
    const struct idle_facts facts = {.state = s->state, .since = s->since};
    time_t now = time(NULL), next = 0;
    s->known = true;
    if (!find_rules(s, &rules))
        return;
    if (idle_decide(&rules, &facts, now, &next) != IDLE_NOTHING)
        next = now; // from the loop, not from under somebody's feet
    event_del(s->timer);
    if (next != 0)
        set_timer(s, next);
}

static void on_slept(void *arg, const struct box_row *row, const struct box_result *result)
{
    const struct control *c = arg;
    struct sleeper *s = row == NULL || c->idle == NULL ? NULL : find(c->idle, row->account_id);
    if (s == NULL)
        return;
    s->moving = false;
    if (result->code == ERR_NONE)
        plan(s); // idle_moved() has noted the state; a timer that came meanwhile did nothing
    else if (result->code == ERR_NOTFOUND)
        forget(s);
    else
        set_timer(s, time(NULL) + RETRY_SECONDS);
}

static void send_to_sleep(struct sleeper *s, enum box_op op)
{
    const struct box_wish wish = {.asleep_is_enough = true}; // its user may have stopped it from within
    s->moving = true;
    (void)box_flow_submit_wish(s->control, op, &wish, s->account_id, "idle", NULL, on_slept, s->control);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct sleeper *s = arg;
    struct idle_rules rules;
    const struct idle_facts facts = {
        .state = s->state, .in_use = s->moving || idle_in_use(s->control, s->account_id), .since = s->since};
    time_t now = time(NULL), next = 0;
    (void)fd;
    (void)what;
    if (!find_rules(s, &rules))
        return;
    switch (idle_decide(&rules, &facts, now, &next)) {
    case IDLE_NOTHING:
        if (next != 0)
            set_timer(s, next);
        return;
    case IDLE_FREEZE:
        send_to_sleep(s, BOX_OP_FREEZE);
        return;
    case IDLE_STOP:
        send_to_sleep(s, BOX_OP_STOP);
        return;
    }
}

static struct sleeper *sleeper_new(struct idle *idle, int64_t account_id)
{
    struct sleeper *s = calloc(1, sizeof *s);
    if (s != NULL)
        s->timer = evtimer_new(idle->control->base, on_timer, s);
    if (s == NULL || s->timer == NULL) {
        log_event(LOG_LEVEL_ERROR, "out_of_memory", "where=idle");
        free(s);
        return NULL;
    }
    s->control = idle->control;
    s->account_id = account_id;
    LIST_INSERT_HEAD(&idle->sleepers, s, entry);
    return s;
}

void idle_left(struct control *c, int64_t account_id)
{
    struct sleeper *s = c->idle == NULL ? NULL : find(c->idle, account_id);
    if (s == NULL)
        return;
    s->since = time(NULL);
    plan(s);
}

void idle_changed(struct control *c, int64_t account_id)
{
    struct sleeper *s = c->idle == NULL ? NULL : find(c->idle, account_id);
    if (s != NULL && s->known && !s->moving) // else it is planned for when that is over
        plan(s);
}

// Does the operation leave the box in a state that it tells?
static bool tells_state(enum box_op op)
{
    switch (op) {
    case BOX_OP_ENSURE:
    case BOX_OP_START:
    case BOX_OP_RESTART:
    case BOX_OP_STOP:
    case BOX_OP_FREEZE:
    case BOX_OP_SNAPSHOT_RESTORE:
    case BOX_OP_EXPORT:
        return true;
    case BOX_OP_STATE:
    case BOX_OP_SNAPSHOTS:
    case BOX_OP_DELETE:
    case BOX_OP_KEYS:
    case BOX_OP_CHANGE:
    case BOX_OP_SNAPSHOT_CREATE:
    case BOX_OP_SNAPSHOT_DELETE:
    case BOX_OP_LIST:
    case BOX_OP_IMPORT:
    case BOX_OP_HEALTH:
    case BOX_OP_IMAGES:
    case BOX_OP_IMAGE_USE:
    case BOX_OP_IMAGE_DELETE:
        return false;
    }
    return false;
}

static enum idle_state state_of(enum box_state state)
{
    return state == BOX_STATE_FROZEN ? IDLE_FROZEN
           : state == BOX_STATE_STOPPED || state == BOX_STATE_ABSENT
               ? IDLE_STOPPED
               : IDLE_AWAKE; // a sleep will look for itself
}

void idle_moved(struct control *c, int64_t account_id, enum box_op op, const struct box_result *result)
{
    struct sleeper *s = c->idle == NULL ? NULL : find(c->idle, account_id);
    if (c->idle == NULL)
        return;
    if (op == BOX_OP_DELETE) {
        if (s != NULL)
            forget(s);
        return;
    }
    if (!tells_state(op) || (s == NULL && (s = sleeper_new(c->idle, account_id)) == NULL))
        return;
    s->state = state_of(result->state);
    if (s->state == IDLE_AWAKE) // whoever wanted it awake is about to use it
        s->since = time(NULL);
    plan(s);
}

time_t idle_since(const struct control *c, int64_t account_id)
{
    const struct sleeper *s = c->idle == NULL ? NULL : find(c->idle, account_id);
    return s == NULL ? 0 : s->since;
}

// ---- the start: what the store knows of their last use, and, asked once, what Incus knows of their state

static void on_listed(void *arg, const struct box_result *result)
{
    struct idle *idle = arg;
    struct sleeper *s;
    idle->list_ticket = 0;
    LIST_FOREACH(s, &idle->sleepers, entry)
    {
        struct box_row row;
        if (s->known || box_get(idle->control->store, s->account_id, &row, NULL) != ERR_NONE)
            continue; // or something has happened to it since
        for (size_t i = 0; i < result->list_count; i++) {
            if (strcmp(result->list[i].name, row.name) == 0)
                s->state = state_of(result->list[i].state);
        }
        plan(s);
    }
}

static enum err take_box(const struct box_row *row, void *arg, struct fault *f)
{
    struct idle *idle = arg;
    struct account account;
    if (row->driver != BOX_DRIVER_INCUS || row->phase != BOX_READY)
        return ERR_NONE;
    struct sleeper *s = sleeper_new(idle, row->account_id);
    if (s == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    enum err e = account_get_id(idle->control->store, row->account_id, &account, f);
    if (e == ERR_NONE)
        s->since = account.last_login > row->created ? account.last_login : row->created;
    return e;
}

static enum err take_last(int64_t account_id, time_t last, void *arg, struct fault *f)
{
    struct sleeper *s = find(arg, account_id);
    (void)f;
    if (s != NULL && last > s->since)
        s->since = last;
    return ERR_NONE;
}

struct idle *idle_new(struct control *c)
{
    struct fault f;
    struct idle *idle = calloc(1, sizeof *idle);
    if (idle == NULL)
        return NULL;
    idle->control = c;
    LIST_INIT(&idle->sleepers);
    c->idle = idle;
    unsigned live = 0;
    enum err e = session_count_live(c->store, 0, &live, &f);
    if (e != ERR_NONE || live > 0)
        idle->earliest = time(NULL) + START_SECONDS;
    if (e == ERR_NONE)
        e = box_each(c->store, take_box, idle, &f);
    if (e == ERR_NONE)
        e = session_each_last(c->store, take_last, idle, &f);
    if (e != ERR_NONE)
        log_event(LOG_LEVEL_ERROR, "idle_not_known", "error=%s", log_quote(f.text));
    if (!LIST_EMPTY(&idle->sleepers))
        idle->list_ticket = provision_submit(c->provision, BOX_OP_LIST, NULL, NULL, on_listed, idle);
    return idle;
}

void idle_free(struct idle *idle)
{
    if (idle == NULL)
        return;
    if (idle->list_ticket != 0)
        provision_cancel(idle->control->provision, idle->list_ticket);
    while (!LIST_EMPTY(&idle->sleepers))
        forget(LIST_FIRST(&idle->sleepers));
    idle->control->idle = NULL;
    free(idle);
}
