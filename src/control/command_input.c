// Owns what a run reads: the caller's stdin, keys off the web, files on the caller's side, and answers to
// questions.
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/command_run.h"

enum { KEY_INTERRUPT = 3, KEY_END = 4, KEY_ERASE = 127 };

static void clear_input(struct command_run *run)
{
    free(run->input);
    run->input = NULL;
    run->input_length = 0;
}

static bool add_input(struct command_run *run, const char *data, size_t length)
{
    if (run->input_length + length > RUN_INPUT_MAX) {
        verb_failf(run, ERR_INVALID, "the input is longer than %u bytes; is it the right file?",
                   RUN_INPUT_MAX);
        return false;
    }
    char *grown = realloc(run->input, run->input_length + length + 1);
    if (grown == NULL) {
        verb_failf(run, ERR_MEMORY, "out of memory");
        return false;
    }
    memcpy(grown + run->input_length, data, length);
    run->input = grown;
    run->input_length += length;
    run->input[run->input_length] = '\0';
    return true;
}

static void want_input(struct command_run *run, verb_next_fn next)
{
    verb_wait_for(run, RUN_WAITS_INPUT, next);
    if (run->detached)
        verb_failf(run, ERR_FAILED, "the input ended");
    else
        run->sink->want(run->sink_arg);
}

void verb_read(struct command_run *run, const char *source, verb_next_fn next)
{
    clear_input(run);
    if (strcmp(source, "-") == 0) {
        if (run->input_ended) {
            verb_usage(run, "\"-\" (standard input) can be read only once");
            return;
        }
        if (run->tty_in)
            verb_note(run, "Paste the text, then press Ctrl-D on a line of its own.");
        want_input(run, next);
    } else if (run->console) {
        verb_failf(
            run, ERR_INVALID,
            "files of your machine cannot be read from here: leave \"%.100s\" out, or write - for it, and "
            "paste what is in it",
            source);
    } else if (!run->cli) {
        verb_failf(
            run, ERR_INVALID,
            "files of your machine cannot be read from here: write - for \"%.100s\" and feed it: %s %s "
            "... - < %.100s",
            source, verb_program(run), run->command->name, source);
    } else if (run->detached) {
        verb_failf(run, ERR_FAILED, "the caller is gone");
    } else {
        verb_wait_for(run, RUN_WAITS_FILE, next);
        run->sink->read(run->sink_arg, source);
    }
}

static void on_fetched(void *arg, enum err code, const struct fault *f, const char *text, size_t length)
{
    struct command_run *run = arg;
    struct fault why = *f;
    run->fetch = NULL;
    why.code = code;
    if (code != ERR_NONE)
        verb_fail(run, &why);
    else if (add_input(run, text, length))
        verb_go_on(run);
}

void verb_read_keys(struct command_run *run, const char *source, verb_next_fn next)
{
    struct fault f;
    if (!fetch_is_source(source)) {
        verb_read(run, source, next);
        return;
    }
    clear_input(run);
    verb_wait_for(run, RUN_WAITS_INSIDE, next);
    run->fetch = fetch_start(run->control->fetcher, source, on_fetched, run, &f);
    if (run->fetch == NULL)
        verb_fail(run, &f);
}

void verb_pass(struct command_run *run, const char *path, bool write, verb_next_fn next)
{
    if (!run->who.local) {
        verb_failf(
            run, ERR_INVALID,
            "files of your machine cannot be %s from here: leave \"%.100s\" out, and the file is one of the "
            "gateway's",
            write ? "written" : "read", path);
    } else if (run->detached) {
        verb_failf(run, ERR_FAILED, "the caller is gone");
    } else {
        run->wants_descriptor = true;
        verb_wait_for(run, RUN_WAITS_FILE, next);
        run->sink->pass(run->sink_arg, path, write);
    }
}

void command_descriptor(struct command_run *run, int fd)
{
    struct stat st;
    if (run->wait != RUN_WAITS_FILE || !run->wants_descriptor) {
        close(fd);
        return;
    }
    run->wants_descriptor = false;
    run->file = fd;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        verb_failf(run, ERR_INVALID, "that is not a regular file");
    else
        verb_go_on(run);
}

void verb_saved(struct command_run *run, verb_next_fn next)
{
    if (run->detached) {
        verb_failf(run, ERR_FAILED, "the caller is gone");
        return;
    }
    verb_wait_for(run, RUN_WAITS_SAVED, next);
    run->sink->sync(run->sink_arg);
}

void command_saved(struct command_run *run, const char *why)
{
    if (run->wait != RUN_WAITS_SAVED)
        return;
    if (why == NULL)
        verb_go_on(run);
    else
        verb_failf(run, ERR_FAILED, "%s", why);
}

static void on_answer(struct command_run *run)
{
    const char *answer = run->input == NULL ? "" : run->input;
    verb_next_fn next = run->confirmed;
    size_t n = strcspn(answer, "\r\n");
    bool yes = (n == 1 && strncasecmp(answer, "y", 1) == 0) || (n == 3 && strncasecmp(answer, "yes", 3) == 0);
    if (!yes) {
        verb_failf(run, ERR_FAILED, "not confirmed, nothing was changed");
        return;
    }
    next(run);
}

void verb_confirm(struct command_run *run, const char *question, verb_next_fn next)
{
    if (!run->tty_in) {
        verb_failf(run, ERR_INVALID,
                   "there is no terminal to ask on: \"%s\" To do it without being asked: --force", question);
        return;
    }
    run->confirmed = next;
    verb_err(run, "%s [y/N] ", question);
    clear_input(run);
    want_input(run, on_answer);
}

static void end_input(struct command_run *run)
{
    run->input_ended = true;
    if (run->wait == RUN_WAITS_INPUT)
        verb_go_on(run);
}

// A terminal at the other end of an SSH session is in raw mode: echo, erase, end of input and interrupt are
// ours.
static void terminal_input(struct command_run *run, const char *data, size_t length)
{
    for (size_t i = 0; i < length && run->wait == RUN_WAITS_INPUT; i++) {
        char c = data[i] == '\r' ? '\n' : data[i];
        if (c == KEY_INTERRUPT) {
            verb_note(run, "^C");
            verb_failf(run, ERR_FAILED, "interrupted, nothing was changed");
        } else if (c == KEY_END) {
            end_input(run);
        } else if (c == KEY_ERASE || c == '\b') {
            if (run->input_length > 0 && run->input[run->input_length - 1] != '\n') {
                run->input[--run->input_length] = '\0';
                verb_err(run, "\b \b");
            }
        } else if (add_input(run, &c, 1)) {
            if (c == '\n' || (unsigned char)c >= 0x20)
                verb_err(run, "%c", c);
            if (c == '\n' && run->next == on_answer)
                verb_go_on(run);
        }
    }
}

void command_input(struct command_run *run, const char *data, size_t length)
{
    if (length == 0) {
        end_input(run);
        return;
    }
    if (run->wait != RUN_WAITS_INPUT)
        return;
    if (run->tty_in && !run->cli) {
        terminal_input(run, data, length);
        return;
    }
    if (add_input(run, data, length) && run->next == on_answer && strchr(run->input, '\n') != NULL)
        verb_go_on(run);
}

bool command_waits_input(const struct command_run *run)
{
    return run->wait == RUN_WAITS_INPUT;
}

void command_file(struct command_run *run, const char *data, size_t length)
{
    if (run->wait != RUN_WAITS_FILE)
        return;
    if (run->wants_descriptor)
        verb_failf(run, ERR_PROTOCOL, "this command line is older than the daemon: it passes no files");
    else if (length > 0)
        (void)add_input(run, data, length);
    else
        verb_go_on(run);
}

void command_file_failed(struct command_run *run, const char *why)
{
    if (run->wait == RUN_WAITS_FILE)
        verb_failf(run, ERR_INVALID, "%s", why);
}
