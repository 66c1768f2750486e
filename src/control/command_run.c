// Owns what a run waits for and what it has printed. One thing is waited for at a time; whatever arrives when
// nothing is, is dropped.
#include "control/command_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/box_flow.h"
#include "control/table.h"
#include "control/writer.h"

// ---- words

const char *verb_option_next(const struct command_run *run, const char *name, size_t *at)
{
    for (; *at < run->value_count; (*at)++) {
        if (strcmp(run->values[*at].option->name, name) == 0)
            return run->values[(*at)++].text;
    }
    return NULL;
}

const char *verb_option(const struct command_run *run, const char *name)
{
    const char *last = NULL;
    for (size_t i = 0; i < run->value_count; i++) {
        if (strcmp(run->values[i].option->name, name) == 0)
            last = run->values[i].text;
    }
    return last;
}

bool verb_flag(const struct command_run *run, const char *name)
{
    for (size_t i = 0; i < run->value_count; i++) {
        if (strcmp(run->values[i].option->name, name) == 0)
            return true;
    }
    return false;
}

const char *verb_program(const struct command_run *run)
{
    return run->program;
}

void *verb_state(struct command_run *run, size_t size, void (*state_free)(void *state))
{
    run->state = calloc(1, size);
    run->state_free = state_free;
    if (run->state == NULL)
        verb_failf(run, ERR_MEMORY, "out of memory");
    return run->state;
}

// ---- output

static void write_text(struct command_run *run, bool err, const char *text, size_t length)
{
    if (run->detached || length == 0)
        return;
    if (err)
        run->sink->err(run->sink_arg, text, length);
    else
        run->sink->out(run->sink_arg, text, length);
}

static void write_format(struct command_run *run, bool err, const char *end, const char *format, va_list ap)
{
    char *text = NULL;
    int n = vasprintf(&text, format, ap);
    if (n < 0)
        return;
    write_text(run, err, text, (size_t)n);
    write_text(run, err, end, strlen(end));
    free(text);
}

void verb_out(struct command_run *run, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    write_format(run, false, "", format, ap);
    va_end(ap);
}

void verb_out_text(struct command_run *run, const char *text)
{
    write_text(run, false, text, strlen(text));
}

void verb_table(struct command_run *run, struct table *t)
{
    char *text = table_text(t, run->columns);
    if (text == NULL)
        verb_failf(run, ERR_MEMORY, "out of memory");
    else
        verb_out_text(run, text);
    free(text);
}

void verb_err(struct command_run *run, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    write_format(run, true, "", format, ap);
    va_end(ap);
}

void verb_note(struct command_run *run, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    write_format(run, true, "\n", format, ap);
    va_end(ap);
}

void verb_result(struct command_run *run, json_t *object)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(object);
    if (text == NULL) {
        run->json = false; // what cannot be built cannot tell of it either
        verb_failf(run, ERR_MEMORY, "out of memory");
        return;
    }
    verb_out(run, "%s\n", text);
    free(text);
}

void verb_save(struct command_run *run, const char *path, const char *data, size_t length)
{
    if (!run->detached)
        run->sink->save(run->sink_arg, path, data, length);
}

// ---- the end

static void finish(struct command_run *run, int status)
{
    if (run->wait == RUN_FINISHED)
        return;
    run->wait = RUN_FINISHED;
    run->sink->exit(run->sink_arg, status);
}

void verb_done(struct command_run *run)
{
    finish(run, 0);
}

void verb_end(struct command_run *run, int status)
{
    finish(run, status);
}

void verb_hint(struct command_run *run, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(run->hint, sizeof run->hint, format, ap);
    va_end(ap);
}

void verb_fail(struct command_run *run, const struct fault *f)
{
    if (run->wait == RUN_FINISHED)
        return;
    if (run->json)
        verb_result(run, json_pack("{s:{s:s, s:s}}", "error", "code", err_name(f->code), "text", f->text));
    verb_note(run, "containarium: %s", f->text);
    if (run->hint[0] != '\0')
        verb_note(run, "%s", run->hint);
    finish(run, err_exit_status(f->code));
}

void verb_failf(struct command_run *run, enum err code, const char *format, ...)
{
    struct fault f;
    char text[sizeof f.text];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    (void)fault_set(&f, code, "%s", text); // makes it printable
    verb_fail(run, &f);
}

void verb_usage(struct command_run *run, const char *format, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    verb_failf(run, ERR_INVALID, "%s; see: %s %s --help", text, verb_program(run), run->command->name);
}

// ---- waiting

void verb_wait_for(struct command_run *run, enum run_wait what, verb_next_fn next)
{
    run->wait = what;
    run->next = next;
}

void verb_go_on(struct command_run *run)
{
    verb_next_fn next = run->next;
    run->wait = RUN_BUSY;
    run->next = NULL;
    next(run);
}

static void on_commit(void *arg, enum err code, const struct fault *f)
{
    struct command_run *run = arg;
    if (run->wait != RUN_WAITS_INSIDE)
        return;
    if (code != ERR_NONE) {
        struct fault why = *f;
        why.code = code;
        (void)fault_prefix(&why, "nothing was changed, the store cannot be written");
        verb_fail(run, &why);
        return;
    }
    verb_go_on(run);
}

void verb_commit(struct command_run *run, verb_next_fn next)
{
    verb_wait_for(run, RUN_WAITS_INSIDE, next);
    writer_after_commit(run->control->writer, run, on_commit, run);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct command_run *run = arg;
    (void)fd;
    (void)what;
    if (run->wait == RUN_WAITS_INSIDE || run->wait == RUN_WAITS_COMMIT)
        verb_go_on(run);
    else if (run->wait == RUN_WAITS_ROOM && (run->detached || !run->sink->congested(run->sink_arg)))
        verb_go_on(run);
}

static void set_timer(struct command_run *run, unsigned milliseconds)
{
    struct timeval t = {.tv_sec = milliseconds / 1000, .tv_usec = (milliseconds % 1000) * 1000};
    if (run->timer == NULL)
        run->timer = event_new(run->control->base, -1, 0, on_timer, run);
    if (run->timer == NULL || event_add(run->timer, &t) != 0)
        verb_failf(run, ERR_MEMORY, "out of memory");
}

void verb_sleep(struct command_run *run, unsigned milliseconds, verb_next_fn next)
{
    verb_wait_for(run, RUN_WAITS_INSIDE, next);
    set_timer(run, milliseconds);
}

// Not at once: the writer is still telling others.
static void on_anybodys_commit(void *arg)
{
    struct command_run *run = arg;
    if (run->wait == RUN_WAITS_COMMIT)
        set_timer(run, 0);
}

void verb_follow(struct command_run *run, verb_next_fn next)
{
    struct fault f;
    if (!run->following &&
        writer_follow(run->control->writer, run, on_anybodys_commit, run, &f) != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    run->following = true;
    verb_wait_for(run, RUN_WAITS_COMMIT, next);
}

void verb_yield(struct command_run *run, verb_next_fn next)
{
    verb_wait_for(run, RUN_WAITS_ROOM, next);
    set_timer(run, 0);
}

void command_resume(struct command_run *run)
{
    if (run->wait == RUN_WAITS_ROOM)
        set_timer(run, 0);
}

// ---- the trail

static void add_word(char *out, size_t size, const char *word)
{
    size_t at = strlen(out);
    bool plain = word[0] != '\0' && strpbrk(word, " \t\n\"'\\$*?;&|<>()`") == NULL;
    snprintf(out + at, size - at, plain ? "%s%s" : "%s'%s'", at > 0 ? " " : "", word);
}

bool verb_audit(struct command_run *run, struct audit_record *record)
{
    char target[1024] = "";
    struct fault f = {.code = ERR_NONE};
    record->actor = run->who.actor;
    record->address = run->who.address;
    if (record->fingerprint == NULL)
        record->fingerprint = run->who.credential;
    if (record->user == NULL) // a refusal concerns who was refused: whoever was asked about is not told
        record->user = record->event == AUDIT_REFUSED ? run->own.name : run->user;
    if (record->event == AUDIT_COMMAND || record->event == AUDIT_REFUSED) {
        for (size_t i = 0; i < run->argc; i++)
            add_word(target, sizeof target, run->argv[i]);
        record->target = target;
    }
    if (writer_audit(run->control->writer, record, &f) == ERR_NONE)
        return true;
    if (run->command->changes || record->event != AUDIT_COMMAND) {
        (void)fault_prefix(&f, "this cannot be recorded, so it is not done");
        verb_fail(run, &f);
    }
    return false;
}

// ---- lifetime

void command_detach(struct command_run *run)
{
    if (run->detached)
        return;
    run->detached = true;
    switch (run->wait) {
    case RUN_WAITS_INPUT:
    case RUN_WAITS_FILE:
    case RUN_WAITS_SAVED:
    case RUN_WAITS_ROOM:
    case RUN_WAITS_COMMIT:
        finish(run, 1);
        return;
    case RUN_BUSY:
    case RUN_WAITS_INSIDE:
    case RUN_FINISHED:
        return;
    }
}

void command_move(struct command_run *run, void *sink_arg)
{
    run->sink_arg = sink_arg;
}

void command_free(struct command_run *run)
{
    if (run == NULL)
        return;
    writer_cancel(run->control->writer, run);
    if (run->flow_ticket != 0)
        box_flow_cancel(run->control, run->flow_ticket);
    if (run->list_ticket != 0)
        provision_cancel(run->control->provision, run->list_ticket);
    if (run->fetch != NULL)
        fetch_cancel(run->fetch);
    if (run->timer != NULL)
        event_free(run->timer);
    if (run->state_free != NULL)
        run->state_free(run->state);
    for (size_t i = 0; i < run->argc; i++)
        free(run->argv[i]);
    free(run->argv);
    free(run->input);
    free(run->entries);
    free(run->snapshots);
    free(run->images);
    free(run->metadata);
    free(run->health);
    if (run->file > 0)
        close(run->file);
    free(run);
}
