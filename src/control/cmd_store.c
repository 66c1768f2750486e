// store backup, store verify: the store in one file. The work is done on a thread of the run's own, beside a
// loop that goes on serving logins.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "control/backup.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "provision/job.h"
#include "store/archive.h"

struct storing {
    struct command_run *run;
    bool ours; // the file is in our folder, not on the caller's side
    char path[CONFIG_TEXT + 128];
    struct job_pool *pool; // of one thread
    struct job job;
    struct job_note note;
    // The thread's own until it has posted the note; `stop` is for both.
    atomic_bool stop;
    const char *database;
    int fd;
    enum err code;
    struct fault fault;
    struct archive_facts facts;
};

static void storing_free(void *state)
{
    struct storing *s = state;
    if (s == NULL)
        return;
    atomic_store(&s->stop, true);
    job_pool_free(s->pool);
    free(s);
}

// ---- on the thread

static struct storing *storing_of(struct job *job)
{
    return (struct storing *)((char *)job - offsetof(struct storing, job));
}

static void write_job(struct job *job, void *worker)
{
    struct storing *s = storing_of(job);
    (void)worker;
    s->code = archive_write(s->database, s->fd, &s->stop, &s->facts, &s->fault);
    job_post(s->pool, &s->note);
}

static void verify_job(struct job *job, void *worker)
{
    struct storing *s = storing_of(job);
    (void)worker;
    s->code = archive_verify(s->fd, s->database, &s->stop, &s->facts, &s->fault);
    job_post(s->pool, &s->note);
}

// ---- on the loop

static void *worker_new(void *arg)
{
    return arg; // needs none of its own
}

static void worker_free(void *worker)
{
    (void)worker;
}

static void deliver(struct job_note *note, bool dropped)
{
    struct storing *s = (struct storing *)((char *)note - offsetof(struct storing, note));
    if (!dropped)
        verb_go_on(s->run);
}

static void start(struct command_run *run, void (*work)(struct job *, void *), verb_next_fn next)
{
    struct storing *s = run->state;
    const struct job_hooks hooks = {.worker_new = worker_new, .worker_free = worker_free, .arg = s};
    struct fault f;
    s->run = run;
    s->fd = run->file;
    s->database = store_path(run->control->store);
    s->job.run = work;
    s->note.deliver = deliver;
    if (job_pool_new(run->control->base, 1, &hooks, &s->pool, &f) != ERR_NONE) {
        verb_fail(run, &f);
        return;
    }
    verb_wait_for(run, RUN_WAITS_INSIDE, next);
    job_submit(s->pool, &s->job);
}

static json_t *facts_json(const struct storing *s)
{
    const struct archive_facts *a = &s->facts;
    return json_pack("{s:s, s:I, s:s, s:o, s:i, s:I, s:I, s:I, s:I, s:I}", "file", s->path, "bytes",
                     (json_int_t)a->length, "sha256", a->sha256, "made", describe_time(a->made), "schema",
                     a->schema, "accounts", (json_int_t)a->accounts, "keys", (json_int_t)a->keys, "boxes",
                     (json_int_t)a->boxes, "records", (json_int_t)a->records, "last", (json_int_t)a->last);
}

static void print_facts(struct command_run *run)
{
    const struct storing *s = run->state;
    const struct archive_facts *a = &s->facts;
    char size[32], when[32];
    verb_out(
        run,
        "File:      %s (%s)\nSHA-256:   %s\nMade:      %s, schema %d\nHolds:     %lld accounts, %lld keys, "
        "%lld boxes\nTrail:     %lld records, whole and signed up to %lld\n",
        s->path, size_format_human(a->length, size, sizeof size), a->sha256,
        when_format(a->made, when, sizeof when), a->schema, (long long)a->accounts, (long long)a->keys,
        (long long)a->boxes, (long long)a->records, (long long)a->last);
}

static void print(struct command_run *run)
{
    if (run->json)
        verb_result(run, facts_json(run->state));
    else
        print_facts(run);
    verb_done(run);
}

// ---- backup

static void on_written(struct command_run *run)
{
    struct storing *s = run->state;
    if (s->code == ERR_NONE) {
        print(run);
        return;
    }
    // What was written so far is no backup, and must not look like one.
    if (ftruncate(run->file, 0) == 0 && s->ours)
        unlink(s->path);
    (void)fault_prefix(&s->fault, "no backup was made");
    verb_fail(run, &s->fault);
}

static void back_up(struct command_run *run)
{
    start(run, write_job, on_written);
}

void cmd_store_backup(struct command_run *run)
{
    struct fault f;
    struct storing *s = verb_state(run, sizeof *s, storing_free);
    if (s == NULL)
        return;
    if (run->word_count > 0) {
        snprintf(s->path, sizeof s->path, "%.600s", run->words[0]);
        verb_pass(run, run->words[0], true, back_up);
        return;
    }
    s->ours = true;
    // No user can have that name: the files of `delete --backup` are called after users.
    int fd = backup_file_make(run->control->config, "containarium.db", s->path, sizeof s->path, &f);
    if (fd < 0) {
        verb_fail(run, &f);
        return;
    }
    run->file = fd;
    back_up(run);
}

// ---- verify

static void on_verified(struct command_run *run)
{
    struct storing *s = run->state;
    if (s->code == ERR_NONE)
        print(run);
    else
        verb_fail(run, &s->fault);
}

static void verify(struct command_run *run)
{
    start(run, verify_job, on_verified);
}

void cmd_store_verify(struct command_run *run)
{
    struct fault f;
    struct storing *s = verb_state(run, sizeof *s, storing_free);
    if (s == NULL)
        return;
    snprintf(s->path, sizeof s->path, "%.600s", run->words[0]);
    int fd = backup_file_open(run->control->config, run->words[0], &f);
    if (fd >= 0) {
        run->file = fd;
        verify(run);
    } else if (f.code == ERR_NOTFOUND && run->who.local) {
        verb_pass(run, run->words[0], false, verify);
    } else {
        verb_fail(run, &f);
    }
}
