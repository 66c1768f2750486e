// audit: the trail, page by page so that a long one neither fills memory nor holds up logins; and following
// it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/table.h"

#define PAGE_ROWS 500
#define TABLE_ROWS 100 // unless --limit says otherwise
#define FOLLOW_ROWS 10 // ditto, before the new ones

enum format { FORMAT_TABLE, FORMAT_JSONL, FORMAT_CSV, FORMAT_JSON };

struct reading {
    struct command_run *run;
    struct audit_query query;
    enum format format;
    struct table *table;
    unsigned in_page;
    int64_t last_seq;
    uint64_t rows;
    bool paging, full;
    bool follow;
    int64_t head; // the last record when following began
};

static void reading_free(void *state)
{
    struct reading *r = state;
    if (r != NULL)
        table_free(r->table);
    free(r);
}

static json_t *record_json(const struct audit_record *a)
{
    return json_pack("{s:I, s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "seq",
                     (json_int_t)a->seq, "time", describe_time(a->time), "event", audit_event_name(a->event),
                     "user", a->user, "actor", a->actor, "fingerprint", a->fingerprint, "address", a->address,
                     "box", a->box, "target", a->target, "reason", a->reason, "session",
                     (json_int_t)a->session, "bytes_in", (json_int_t)a->bytes_in, "bytes_out",
                     (json_int_t)a->bytes_out, "duration_ms", (json_int_t)a->duration_ms);
}

static void print_json(struct reading *r, const struct audit_record *a)
{
    json_t *object = record_json(a);
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
    if (r->format == FORMAT_JSON)
        verb_out(r->run, "%s%s", r->rows == 0 ? "[\n" : ",\n", text == NULL ? "null" : text);
    else
        verb_out(r->run, "%s\n", text == NULL ? "null" : text);
    free(text);
    json_decref(object);
}

// A cell of RFC 4180; one that a spreadsheet would take for a formula gets an apostrophe (CWE-1236).
static void csv_cell(FILE *out, const char *text, bool last)
{
    fputc('"', out);
    if (text[0] != '\0' && strchr("=+-@", text[0]) != NULL)
        fputc('\'', out);
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"')
            fputc('"', out);
        fputc(*p, out);
    }
    fputs(last ? "\"\r\n" : "\",", out);
}

static void print_csv(struct reading *r, const struct audit_record *a)
{
    char when[32], *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return;
    fprintf(out, "%lld,%s,%s,", (long long)a->seq, when_format(a->time, when, sizeof when),
            audit_event_name(a->event));
    csv_cell(out, a->user, false);
    csv_cell(out, a->actor, false);
    csv_cell(out, a->fingerprint, false);
    csv_cell(out, a->address, false);
    csv_cell(out, a->box, false);
    csv_cell(out, a->target, false);
    fprintf(out, "%lld,%llu,%llu,%llu,", (long long)a->session, (unsigned long long)a->bytes_in,
            (unsigned long long)a->bytes_out, (unsigned long long)a->duration_ms);
    csv_cell(out, a->reason, true);
    if (fclose(out) == 0)
        verb_out_text(r->run, text);
    free(text);
}

static const char *or_dash(const char *text)
{
    return text == NULL || text[0] == '\0' ? "-" : text;
}

// What it was about: the target, else the box; of keys their fingerprint as well.
static void add_row(struct reading *r, const struct audit_record *a)
{
    char when[32];
    struct table *t = r->follow ? table_new() : r->table; // followed, each line is laid out by itself
    bool of_key = a->event == AUDIT_KEY_ADDED || a->event == AUDIT_KEY_REMOVED || a->event == AUDIT_LOGIN ||
                  a->event == AUDIT_AUTH_FAILED;
    const char *what = a->target[0] != '\0' ? a->target : a->box;
    const char *key = of_key ? a->fingerprint : "";
    table_row(t, "%s\t%s\t%s\t%s\t%s\t%s%s%s%s%s%s", when_format(a->time, when, sizeof when),
              audit_event_name(a->event), or_dash(a->user), or_dash(a->actor), or_dash(a->address),
              what[0] == '\0' && key[0] == '\0' ? "-" : what, what[0] != '\0' && key[0] != '\0' ? " " : "",
              key, a->reason[0] == '\0' ? "" : " (", a->reason, a->reason[0] == '\0' ? "" : ")");
    if (!r->follow)
        return;
    verb_table(r->run, t);
    table_free(t);
}

static enum err take_record(const struct audit_record *a, void *arg, struct fault *f)
{
    struct reading *r = arg;
    if (r->paging && r->in_page == PAGE_ROWS) {
        r->full = true;
        return fault_set(f, ERR_FULL, "page");
    }
    switch (r->format) {
    case FORMAT_TABLE:
        add_row(r, a);
        break;
    case FORMAT_JSONL:
    case FORMAT_JSON:
        print_json(r, a);
        break;
    case FORMAT_CSV:
        print_csv(r, a);
        break;
    }
    r->in_page++;
    r->rows++;
    r->last_seq = a->seq;
    return ERR_NONE;
}

static void reading_end(struct reading *r)
{
    struct command_run *run = r->run;
    if (r->format == FORMAT_TABLE) {
        verb_table(run, r->table);
        if (r->query.limit != 0 && r->rows == r->query.limit)
            verb_note(run, "The newest %u records; for more: --limit N, or --limit 0 for all.",
                      r->query.limit);
    } else if (r->format == FORMAT_JSON) {
        verb_out_text(run, r->rows == 0 ? "[]\n" : "\n]\n");
    }
    verb_done(run);
}

static void read_page(struct command_run *run);

// What was asked for is told; from here on whatever is committed.
static void follow_on(struct reading *r)
{
    r->query.limit = 0;
    r->query.since = 0;
    r->paging = true;
    if (r->last_seq < r->head)
        r->last_seq = r->head;
    verb_follow(r->run, read_page);
}

static void read_page(struct command_run *run)
{
    struct reading *r = run->state;
    struct fault f;
    r->in_page = 0;
    r->full = false;
    r->query.after_seq = r->last_seq;
    enum err e = audit_each(run->control->store, &r->query, take_record, r, &f);
    if (e != ERR_NONE && !r->full)
        verb_fail(run, &f);
    else if (r->full)
        verb_yield(run, read_page);
    else if (r->follow)
        follow_on(r);
    else
        reading_end(r);
}

static enum err parse_format(struct reading *r, struct fault *f)
{
    const char *format = verb_option(r->run, "format");
    if (format == NULL || strcmp(format, "table") == 0)
        r->format = r->run->json ? FORMAT_JSON : FORMAT_TABLE;
    else if (strcmp(format, "jsonl") == 0)
        r->format = FORMAT_JSONL;
    else if (strcmp(format, "csv") == 0)
        r->format = FORMAT_CSV;
    else
        return fault_set(f, ERR_INVALID, "--format: \"%.40s\" is none of table, jsonl, csv", format);
    return ERR_NONE;
}

static enum err parse_event(struct reading *r, struct fault *f)
{
    const char *names[AUDIT_EVENTS];
    enum audit_event event;
    r->query.event = verb_option(r->run, "event");
    if (r->query.event == NULL || audit_event_parse(r->query.event, &event))
        return ERR_NONE;
    char all[480] = "";
    for (int i = 0; i < AUDIT_EVENTS; i++) {
        names[i] = audit_event_name((enum audit_event)i);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i > 0 ? " " : "", names[i]);
    }
    const char *nearest = command_suggest(r->query.event, names, AUDIT_EVENTS);
    if (nearest != NULL)
        return fault_set(f, ERR_INVALID, "--event: no event is called \"%.40s\". Did you mean %s?",
                         r->query.event, nearest);
    return fault_set(f, ERR_INVALID, "--event: \"%.40s\" is none of %s", r->query.event, all);
}

static enum err parse_limit(struct reading *r, struct fault *f)
{
    const char *text = verb_option(r->run, "limit");
    r->query.limit = r->follow ? FOLLOW_ROWS : r->format == FORMAT_TABLE ? TABLE_ROWS : 0;
    if (text == NULL)
        return ERR_NONE;
    char *end = NULL;
    unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || n > 10000000)
        return fault_set(f, ERR_INVALID, "--limit: \"%.40s\" is not a number of records from 0 to 10000000",
                         text);
    r->query.limit = (unsigned)n;
    return ERR_NONE;
}

static enum err parse_times(struct reading *r, struct fault *f)
{
    const char *since = verb_option(r->run, "since"), *until = verb_option(r->run, "until");
    time_t now = time(NULL);
    enum err e = ERR_NONE;
    if (since != NULL && (e = when_parse(since, now, &r->query.since, f)) != ERR_NONE)
        (void)fault_prefix(f, "--since");
    else if (until != NULL && (e = when_parse(until, now, &r->query.until, f)) != ERR_NONE)
        (void)fault_prefix(f, "--until");
    else if (since != NULL && until != NULL && r->query.since > r->query.until)
        e = fault_set(f, ERR_INVALID, "--since lies after --until");
    return e;
}

// Following begins behind the last record there is now, whether the filter lets it through or not.
static enum err prepare_follow(struct reading *r, struct fault *f)
{
    struct audit_mark_text head;
    if (!r->follow)
        return ERR_NONE;
    if (r->query.until != 0)
        return fault_set(f, ERR_INVALID, "--follow and --until exclude each other");
    if (r->format == FORMAT_JSON)
        r->format = FORMAT_JSONL;
    enum err e = audit_head(r->run->control->store, &head, f);
    r->head = e == ERR_NONE ? head.seq : 0;
    return e;
}

void cmd_audit(struct command_run *run)
{
    struct fault f;
    struct reading *r = verb_state(run, sizeof *r, reading_free);
    if (r == NULL)
        return;
    r->run = run;
    r->follow = verb_flag(run, "follow");
    r->query.user = run->user[0] == '\0' ? NULL : run->user;
    r->query.address = verb_option(run, "ip");
    if (parse_format(r, &f) != ERR_NONE || parse_event(r, &f) != ERR_NONE || parse_limit(r, &f) != ERR_NONE ||
        parse_times(r, &f) != ERR_NONE || prepare_follow(r, &f) != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    r->paging = r->query.limit == 0; // "the newest N" comes in one piece
    if (r->format == FORMAT_TABLE && !r->follow) {
        r->table = table_new();
        table_row(r->table, "TIME\tEVENT\tUSER\tBY\tFROM\tWHAT");
    } else if (r->format == FORMAT_CSV) {
        verb_out_text(run,
                      "seq,time,event,user,actor,fingerprint,address,box,target,session,bytes_in,bytes_out,"
                      "duration_ms,reason\r\n");
    }
    read_page(run);
}
