// sessions: who is connected now, and ending it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/gateway_link.h"
#include "control/table.h"

#define IDS_MAX 60
#define IDLE_MS 10000 // bytes that moved less than so long ago: it is not idle

// ---- list

struct listing {
    struct table *table; // or
    json_t *array;
    unsigned count;
    time_t now;
};

static const char *rate_text(uint64_t rate, char *out, size_t size)
{
    char human[32];
    if (rate == 0)
        return "-";
    snprintf(out, size, "%s/s", size_format_human(rate, human, sizeof human));
    return out;
}

static void list_row(struct listing *l, const struct live_session *s)
{
    char age[32], idle[32], in[32], out[32], rate_in[40], rate_out[40];
    uint64_t age_ms = l->now > s->started ? (uint64_t)(l->now - s->started) * 1000 : 0;
    table_row(l->table, "%lld\t%s\t%s\t%s\t%s\t%s\t%u\t%s\t%s\t%s\t%s\t%s", (long long)s->id, s->user,
              s->login, s->address, duration_format(age_ms, age, sizeof age),
              s->idle_ms < IDLE_MS ? "-" : duration_format(s->idle_ms, idle, sizeof idle), s->open_channels,
              size_format_human(s->bytes_in, in, sizeof in), size_format_human(s->bytes_out, out, sizeof out),
              rate_text(s->rate_in, rate_in, sizeof rate_in),
              rate_text(s->rate_out, rate_out, sizeof rate_out), s->fingerprint);
}

static void list_session(const struct live_session *s, void *arg)
{
    struct listing *l = arg;
    l->count++;
    if (l->array == NULL) {
        list_row(l, s);
        return;
    }
    json_array_append_new(l->array,
                          json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:o, s:i, s:i, s:I, s:I, s:I, s:I, s:I}",
                                    "id", (json_int_t)s->id, "user", s->user, "login", s->login, "box",
                                    s->box, "address", s->address, "fingerprint", s->fingerprint, "since",
                                    describe_time(s->started), "channels", (int)s->channels, "open_channels",
                                    (int)s->open_channels, "bytes_in", (json_int_t)s->bytes_in, "bytes_out",
                                    (json_int_t)s->bytes_out, "rate_in", (json_int_t)s->rate_in, "rate_out",
                                    (json_int_t)s->rate_out, "idle_ms", (json_int_t)s->idle_ms));
}

void cmd_sessions_list(struct command_run *run)
{
    struct listing l = {.now = time(NULL)};
    if (run->json)
        l.array = json_array();
    else
        l.table = table_new();
    table_row(l.table, "ID\tUSER\tLOGIN\tFROM\tAGE\tIDLE\tCHANNELS\tIN\tOUT\tIN RATE\tOUT RATE\tKEY");
    gateway_each_live(run->control->gateway, run->have_account ? run->account.id : 0, list_session, &l);
    if (run->json) {
        verb_result(run, l.array);
    } else if (l.count == 0) {
        verb_note(run, "Nobody is connected.");
    } else {
        verb_table(run, l.table);
    }
    table_free(l.table);
    verb_done(run);
}

// ---- kill

struct killing {
    int64_t wanted[IDS_MAX]; // none: all of the user
    bool live[IDS_MAX];
    size_t count;
    unsigned found;
    char reason[200];
};

static void mark_live(const struct live_session *s, void *arg)
{
    struct killing *k = arg;
    k->found++;
    for (size_t i = 0; i < k->count; i++)
        k->live[i] = k->live[i] || k->wanted[i] == s->id;
}

static enum err parse_ids(const struct command_run *run, struct killing *k, struct fault *f)
{
    const char *p = run->words[0];
    if (strcmp(p, "all") == 0)
        return ERR_NONE;
    for (; k->count < IDS_MAX; p++) {
        char *end = NULL;
        long long id = *p >= '0' && *p <= '9' ? strtoll(p, &end, 10) : 0;
        if (id <= 0 || (*end != '\0' && *end != ','))
            break;
        k->wanted[k->count++] = id;
        p = end;
        if (*p == '\0')
            return ERR_NONE;
    }
    return fault_set(
        f, ERR_INVALID,
        "\"%.60s\" names no sessions; accepted: a number of sessions list, several like 17,18 (%d at most), "
        "or all",
        run->words[0], IDS_MAX);
}

static void on_recorded(struct command_run *run)
{
    struct killing *k = run->state;
    struct gateway_server *g = run->control->gateway;
    unsigned ending = k->count == 0 ? k->found : (unsigned)k->count;
    if (run->json)
        verb_result(run, json_pack("{s:s, s:i}", "user", run->user, "sessions_ended", (int)ending));
    else
        verb_out(run, "%u session%s of %s ended.\n", ending, ending == 1 ? "" : "s", run->user);
    for (size_t i = 0; i < k->count; i++) // last, because this command's own may be among them
        (void)gateway_kick_session(g, k->wanted[i], k->reason); // one that has ended meanwhile has ended
    if (k->count == 0)
        (void)gateway_kick(g, run->account.id, NULL, k->reason);
    verb_done(run);
}

void cmd_sessions_kill(struct command_run *run)
{
    struct killing *k = verb_state(run, sizeof *k, free);
    struct fault f;
    const char *reason = verb_option(run, "reason");
    if (k == NULL)
        return;
    if (parse_ids(run, k, &f) != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    snprintf(k->reason, sizeof k->reason, "%s",
             reason == NULL ? "this session was ended by an administrator" : reason);
    if (reason == NULL && run->account.id == run->who.account_id)
        snprintf(k->reason, sizeof k->reason, "you ended this session yourself");
    gateway_each_live(run->control->gateway, run->account.id, mark_live, k);
    for (size_t i = 0; i < k->count; i++) {
        if (k->live[i])
            continue;
        verb_failf(run, ERR_NOTFOUND, "%s has no live session %lld; see: %s sessions list %s", run->user,
                   (long long)k->wanted[i], verb_program(run), run->user);
        return;
    }
    verb_commit(run, on_recorded); // the command itself is on record first
}
