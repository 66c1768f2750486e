// share, unshare, shares: whose box somebody else may enter. A share is in the store first, and one that is
// taken back ends what is live; then the box is told, which has copies of guests' keys for the jump door.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/gateway_link.h"
#include "control/share.h"
#include "control/table.h"
#include "store/share.h"

struct sharing {
    struct share share;
    char box[NAME_BOX_SIZE];
    unsigned ended; // sessions
};

// "BOX with USER": the second word is only there to be read.
static bool take_guest(struct command_run *run, struct sharing *s)
{
    struct fault f;
    if (strcmp(run->words[0], "with") != 0) {
        verb_usage(run, "say with whom: %s %s", run->command->name, run->command->args);
        return false;
    }
    enum err e = name_check_user(run->words[1], &f);
    if (e == ERR_NONE && strcmp(run->words[1], run->account.name) == 0)
        e = fault_set(&f, ERR_INVALID, "that is the box's own user");
    if (e != ERR_NONE) {
        verb_fail(run, &f);
        return false;
    }
    snprintf(s->share.guest, sizeof s->share.guest, "%s", run->words[1]);
    snprintf(s->share.owner, sizeof s->share.owner, "%s", run->account.name);
    s->share.owner_id = run->account.id;
    name_box(run->account.name, s->box);
    return true;
}

// "8h" from now, or a time.
static enum err parse_until(const struct command_run *run, time_t now, time_t *out, struct fault *f)
{
    const char *text = verb_option(run, "until");
    uint64_t ms = 0;
    if (text == NULL)
        return ERR_NONE;
    if (duration_parse(text, &ms, NULL) == ERR_NONE) {
        *out = now + (time_t)(ms / 1000);
    } else if (strcmp(text, "today") == 0 || strcmp(text, "yesterday") == 0 ||
               when_parse(text, now, out, NULL) != ERR_NONE) {
        return fault_set(f, ERR_INVALID,
                         "--until: \"%.40s\" is no time; accepted: 8h, 7d, 2027-01-31, 2027-01-31T18:00:00Z",
                         text);
    }
    if (*out <= now)
        return fault_set(f, ERR_INVALID, "--until: %.40s is over already", text);
    return ERR_NONE;
}

// Users do not learn here who else there is: a share with nobody is as good as any other, and leads nowhere.
static enum err find_guest(const struct command_run *run, struct share *share, struct fault *f)
{
    struct account guest;
    enum err e = account_get(run->control->store, share->guest, &guest, f);
    if (e == ERR_NONE)
        share->guest_id = guest.id;
    else if (e == ERR_NOTFOUND && !command_allowed(run->command, run->who.role, true))
        e = ERR_NONE;
    return e;
}

// ---- share

static void print_ways(struct command_run *run, const struct sharing *s)
{
    const struct config *config = run->control->config;
    const char *guest = s->share.guest, *owner = s->share.owner;
    char login[NAME_LOGIN_SIZE], way[DESCRIBE_WAY];
    snprintf(login, sizeof login, "%s+%s", guest, owner);
    verb_note(run, "With a key of %s, one gets in as %s, and may do there what %s may:", guest, owner, owner);
    verb_note(run, "  %s", describe_way(config, login, way));
    verb_note(run, "  %s", describe_jump(config, login, owner, s->box, way));
    verb_note(run, "To take it back: %s unshare %s with %s", verb_program(run), owner, guest);
}

static void on_share_told(struct command_run *run)
{
    const struct sharing *s = run->state;
    char until[32];
    if (run->result.code != ERR_NONE)
        verb_note(run,
                  "The box could not be told, so ssh -J does not get in yet; repeat the command later: %s",
                  run->result.fault.text);
    if (run->json) {
        verb_result(run, json_pack("{s:s, s:s, s:s, s:o}", "box", s->box, "owner", s->share.owner, "user",
                                   s->share.guest, "until", describe_time(s->share.until)));
    } else {
        verb_out(run, "%s is shared with %s%s%s.\n", s->box, s->share.guest,
                 s->share.until == 0 ? "" : " until ",
                 s->share.until == 0 ? "" : when_format(s->share.until, until, sizeof until));
        print_ways(run, s);
    }
    verb_done(run);
}

static void on_shared(struct command_run *run)
{
    shares_plan(run->control);
    verb_box_keys(run, on_share_told);
}

void cmd_share(struct command_run *run)
{
    struct sharing *s = verb_state(run, sizeof *s, free);
    char reason[48] = "", until[32];
    struct fault f;
    if (s == NULL || !take_guest(run, s))
        return;
    s->share.created = time(NULL);
    snprintf(s->share.actor, sizeof s->share.actor, "%s", run->who.actor);
    enum err e = parse_until(run, s->share.created, &s->share.until, &f);
    if (e == ERR_NONE)
        e = find_guest(run, &s->share, &f);
    if (e == ERR_NONE)
        e = share_put(run->control->store, &s->share, &f);
    if (s->share.until != 0)
        snprintf(reason, sizeof reason, "until %s", when_format(s->share.until, until, sizeof until));
    struct audit_record record = {
        .event = AUDIT_SHARED, .box = s->box, .target = s->share.guest, .reason = reason};
    if (e != ERR_NONE)
        verb_fail(run, &f);
    else if (verb_audit(run, &record))
        verb_commit(run, on_shared);
}

// ---- unshare

static void on_unshare_told(struct command_run *run)
{
    const struct sharing *s = run->state;
    if (run->result.code != ERR_NONE)
        verb_note(run, "In force at the gateway; the box still has their key, and could not be told: %s",
                  run->result.fault.text);
    if (run->json)
        verb_result(run, json_pack("{s:s, s:s, s:s, s:i}", "box", s->box, "owner", s->share.owner, "user",
                                   s->share.guest, "sessions_ended", (int)s->ended));
    else
        verb_out(run, "%s is not shared with %s any more.\n", s->box, s->share.guest);
    if (!run->json && s->ended > 0)
        verb_out(run, "%u live session%s ended.\n", s->ended, s->ended == 1 ? "" : "s");
    verb_done(run);
}

static void on_unshared(struct command_run *run)
{
    struct sharing *s = run->state;
    shares_plan(run->control);
    if (s->share.guest_id != 0)
        s->ended = gateway_kick_guest(run->control->gateway, s->share.owner_id, s->share.guest_id,
                                      "this box is not shared with you any more");
    verb_box_keys(run, on_unshare_told);
}

void cmd_unshare(struct command_run *run)
{
    struct sharing *s = verb_state(run, sizeof *s, free);
    struct fault f;
    if (s == NULL || !take_guest(run, s))
        return;
    enum err e = share_remove(run->control->store, s->share.owner_id, s->share.guest, &s->share, &f);
    if (e == ERR_NOTFOUND)
        verb_failf(run, e, "%s is not shared with %s; see: %s shares %s", s->box, s->share.guest,
                   verb_program(run), s->share.owner);
    else if (e != ERR_NONE)
        verb_fail(run, &f);
    if (e != ERR_NONE)
        return;
    struct audit_record record = {.event = AUDIT_UNSHARED, .box = s->box, .target = s->share.guest};
    if (verb_audit(run, &record))
        verb_commit(run, on_unshared);
}

// ---- shares

struct listing {
    struct command_run *run;
    struct table *table; // or
    json_t *array;
    unsigned count;
    time_t now;
};

static enum err list_share(const struct share *share, void *arg, struct fault *f)
{
    struct listing *l = arg;
    char box[NAME_BOX_SIZE], since[32], until[32];
    if (!share_in_force(share, l->now))
        return ERR_NONE;
    name_box(share->owner, box);
    l->count++;
    if (l->array == NULL) {
        table_row(l->table, "%s\t%s\t%s\t%s\t%s", box, share->guest,
                  when_format(share->created, since, sizeof since),
                  share->until == 0 ? "-" : when_format(share->until, until, sizeof until), share->actor);
        return ERR_NONE;
    }
    json_t *one = json_pack("{s:s, s:s, s:s, s:o, s:o, s:s}", "box", box, "owner", share->owner, "user",
                            share->guest, "since", describe_time(share->created), "until",
                            describe_time(share->until), "by", share->actor);
    if (one == NULL || json_array_append_new(l->array, one) != 0)
        return fault_set(f, ERR_MEMORY, "out of memory");
    return ERR_NONE;
}

static enum err list_shares(struct listing *l, struct fault *f)
{
    const struct command_run *run = l->run;
    struct store *s = run->control->store;
    if (!run->have_account)
        return share_each(s, 0, 0, list_share, l, f);
    enum err e = share_each(s, run->account.id, 0, list_share, l, f);
    return e == ERR_NONE ? share_each(s, 0, run->account.id, list_share, l, f) : e;
}

void cmd_shares(struct command_run *run)
{
    struct listing l = {.run = run, .now = time(NULL)};
    struct fault f;
    if (run->json)
        l.array = json_array();
    else
        l.table = table_new();
    table_row(l.table, "BOX\tSHARED WITH\tSINCE\tUNTIL\tBY");
    if (list_shares(&l, &f) != ERR_NONE) {
        json_decref(l.array);
        verb_fail(run, &f);
    } else if (run->json) {
        verb_result(run, l.array);
    } else if (l.count == 0) {
        verb_note(run, "Nothing is shared. To share a box: %s share BOX with USER", verb_program(run));
    } else {
        verb_table(run, l.table);
    }
    table_free(l.table);
    verb_done(run);
}
