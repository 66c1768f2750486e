// audit verify, head, export and summary: the trail as a whole.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/table.h"

#define STEP_ROWS 2000 // verified before others have their turn: a few ms

// ---- verify

struct verifying {
    struct audit_walk *walk;
};

static void verifying_free(void *state)
{
    struct verifying *v = state;
    if (v != NULL)
        audit_walk_free(v->walk);
    free(v);
}

static void walk_on(struct command_run *run)
{
    struct verifying *v = run->state;
    struct fault f;
    bool done = false;
    if (audit_walk_step(v->walk, STEP_ROWS, &done, &f) != ERR_NONE) {
        verb_hint(
            run,
            "Somebody has changed the database. Keep a copy of it and of its backups before anything else.");
        verb_fail(run, &f);
        return;
    }
    if (!done) {
        verb_yield(run, walk_on);
        return;
    }
    long long rows = audit_walk_rows(v->walk);
    if (run->json)
        verb_result(run, json_pack("{s:b, s:I}", "whole", true, "records", (json_int_t)rows));
    else
        verb_out(run, "The audit trail is whole: %lld records.\n", rows);
    verb_done(run);
}

void cmd_audit_verify(struct command_run *run)
{
    struct fault f;
    struct verifying *v = verb_state(run, sizeof *v, verifying_free);
    if (v == NULL)
        return;
    if (audit_walk_new(run->control->store, &v->walk, &f) != ERR_NONE)
        verb_fail(run, &f);
    else
        walk_on(run);
}

// ---- head

static json_t *head_json(const struct audit_mark_text *head)
{
    return json_pack("{s:I, s:s, s:s, s:s}", "seq", (json_int_t)head->seq, "hash", head->hash, "signature",
                     head->signature, "key", head->key);
}

void cmd_audit_head(struct command_run *run)
{
    struct audit_mark_text head;
    struct fault f;
    if (audit_head(run->control->store, &head, &f) != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    if (run->json)
        verb_result(run, head_json(&head));
    else
        verb_out(run, "Record:     %lld\nHash:       %s\nSignature:  %s\nKey:        %s\n",
                 (long long)head.seq, head.hash, head.signature, head.key);
    verb_done(run);
}

// ---- export

struct exporting {
    struct audit_export_state at;
    char *text;
    size_t length, room;
    const char *file; // NULL: standard output
    uint64_t records;
};

static void exporting_free(void *state)
{
    struct exporting *x = state;
    if (x != NULL)
        free(x->text);
    free(x);
}

static enum err add_line(struct exporting *x, json_t *object, struct fault *f)
{
    char *line = object == NULL ? NULL : json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(object);
    size_t n = line == NULL ? 0 : strlen(line);
    if (line != NULL && x->length + n + 2 > x->room) {
        size_t room = (x->room + n + 2) * 2;
        char *grown = realloc(x->text, room);
        if (grown != NULL) {
            x->text = grown;
            x->room = room;
        }
    }
    if (line == NULL || x->length + n + 2 > x->room) {
        free(line);
        return fault_set(f, ERR_MEMORY, "out of memory");
    }
    memcpy(x->text + x->length, line, n);
    x->length += n;
    x->text[x->length++] = '\n';
    x->text[x->length] = '\0';
    free(line);
    return ERR_NONE;
}

static enum err add_record(const struct audit_record *a, const char *hash, void *arg, struct fault *f)
{
    struct exporting *x = arg;
    x->records++;
    // As it is hashed: every field in its order, times as seconds.
    return add_line(x,
                    json_pack("{s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:s, s:s}",
                              "seq", (json_int_t)a->seq, "time", (json_int_t)a->time, "event",
                              audit_event_name(a->event), "user", a->user, "actor", a->actor, "fingerprint",
                              a->fingerprint, "address", a->address, "session", (json_int_t)a->session, "box",
                              a->box, "target", a->target, "bytes_in", (json_int_t)a->bytes_in, "bytes_out",
                              (json_int_t)a->bytes_out, "duration_ms", (json_int_t)a->duration_ms, "reason",
                              a->reason, "hash", hash),
                    f);
}

static void flush(struct command_run *run, struct exporting *x)
{
    for (size_t at = 0; x->file != NULL && at < x->length; at += 16384)
        verb_save(run, x->file, x->text + at, x->length - at < 16384 ? x->length - at : 16384);
    if (x->file == NULL)
        verb_out_text(run, x->length == 0 ? "" : x->text);
    x->length = 0;
}

static void export_on(struct command_run *run)
{
    struct exporting *x = run->state;
    struct fault f;
    bool done = false;
    enum err e = audit_export_step(run->control->store, &x->at, 500, add_record, x, &done, &f);
    if (e == ERR_NONE && done)
        e = add_line(x, json_pack("{s:o}", "head", head_json(&x->at.head)), &f);
    if (e != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    flush(run, x);
    if (!done) {
        verb_yield(run, export_on);
        return;
    }
    if (x->file != NULL && run->json)
        verb_result(run, json_pack("{s:s, s:I, s:o}", "file", x->file, "records", (json_int_t)x->records,
                                   "head", head_json(&x->at.head)));
    else if (x->file != NULL)
        verb_out(run, "%llu records are in %s.\n", (unsigned long long)x->records, x->file);
    verb_done(run);
}

void cmd_audit_export(struct command_run *run)
{
    struct exporting *x = verb_state(run, sizeof *x, exporting_free);
    struct fault f;
    if (x == NULL)
        return;
    x->file = verb_option(run, "output");
    if (x->file != NULL && !run->cli) {
        verb_failf(run, ERR_INVALID,
                   "files cannot be written on your machine from here; leave --output out and say > FILE");
        return;
    }
    if (audit_export_begin(run->control->store, &x->at, &f) != ERR_NONE ||
        add_line(x,
                 json_pack("{s:{s:I, s:s, s:s}}", "anchor", "seq", (json_int_t)x->at.seq, "hash",
                           x->at.anchor_hash, "key", x->at.head.key),
                 &f) != ERR_NONE)
        verb_fail(run, &f);
    else
        export_on(run);
}

// ---- summary

struct summary {
    struct table *table; // or
    json_t *users;
    unsigned unique_today;
    uint64_t logins, failures;
    time_t today;
};

static enum err add_user(const struct audit_count *count, void *arg, struct fault *f)
{
    struct summary *s = arg;
    char last[32];
    (void)f;
    s->logins += count->logins;
    s->failures += count->failures;
    s->unique_today += count->last >= s->today && count->logins > 0;
    if (s->users != NULL)
        json_array_append_new(s->users,
                              json_pack("{s:s, s:I, s:o, s:I}", "user", count->user, "logins",
                                        (json_int_t)count->logins, "last_login", describe_time(count->last),
                                        "failures", (json_int_t)count->failures));
    else
        table_row(s->table, "%s\t%llu\t%s\t%llu", count->user[0] == '\0' ? "-" : count->user,
                  (unsigned long long)count->logins,
                  count->last == 0 ? "-" : when_format(count->last, last, sizeof last),
                  (unsigned long long)count->failures);
    return ERR_NONE;
}

void cmd_audit_summary(struct command_run *run)
{
    struct summary s = {.table = NULL};
    struct fault f;
    time_t now = time(NULL), since = now - 7 * 86400;
    const char *text = verb_option(run, "since");
    if ((text != NULL && when_parse(text, now, &since, &f) != ERR_NONE) ||
        when_parse("today", now, &s.today, &f) != ERR_NONE) {
        (void)fault_prefix(&f, "--since");
        verb_fail(run, &f);
        return;
    }
    if (since > s.today)
        s.today = since;
    if (run->json)
        s.users = json_array();
    else
        s.table = table_new();
    table_row(s.table, "USER\tLOGINS\tLAST LOGIN\tFAILURES");
    if (audit_count_users(run->control->store, since, add_user, &s, &f) != ERR_NONE) {
        json_decref(s.users);
        verb_fail(run, &f);
    } else if (run->json) {
        verb_result(run, json_pack("{s:o, s:I, s:I, s:i, s:o}", "since", describe_time(since), "logins",
                                   (json_int_t)s.logins, "failures", (json_int_t)s.failures,
                                   "unique_users_today", (int)s.unique_today, "users", s.users));
        verb_done(run);
    } else {
        char when[32];
        verb_table(run, s.table);
        verb_out(run, "\n%llu logins and %llu failures since %s; %u users logged in today.\n",
                 (unsigned long long)s.logins, (unsigned long long)s.failures,
                 when_format(since, when, sizeof when), s.unique_today);
        verb_done(run);
    }
    table_free(s.table);
}
