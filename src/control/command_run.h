// What handlers work with: a run's words, its output, and the things it can wait for. A run waits for one
// thing at a time, by naming the function to go on with; after verb_done or verb_fail a handler returns at
// once.
#ifndef CONTROL_COMMAND_RUN_H
#define CONTROL_COMMAND_RUN_H

#include <jansson.h>

#include "control/box_flow.h"
#include "control/command.h"

#define RUN_INPUT_MAX (256u << 10) // bytes of a file or of stdin
#define RUN_WORDS_MAX 64
#define RUN_WORD_MAX 4096

typedef void (*verb_next_fn)(struct command_run *run);

enum run_wait {
    RUN_BUSY,
    RUN_WAITS_INPUT,
    RUN_WAITS_FILE,
    RUN_WAITS_SAVED,
    RUN_WAITS_ROOM,
    RUN_WAITS_INSIDE,
    RUN_WAITS_COMMIT, // anybody's, see verb_follow
    RUN_FINISHED,
};

struct run_value {
    const struct command_option *option;
    const char *text;
};

struct command_run {
    struct control *control;
    const struct command *command;
    struct identity who;
    const struct command_sink *sink;
    void *sink_arg;
    bool detached;
    bool tty_in, tty_out, tty_err;
    bool cli, console; // see command_request
    bool colours;
    unsigned columns; // of the terminal that output goes to; 0: to none
    bool json;

    char **argv; // as typed
    size_t argc;
    const char *words[RUN_WORDS_MAX]; // what is neither verb, account nor option
    size_t word_count;
    struct run_value values[RUN_WORDS_MAX];
    size_t value_count;
    struct account own;     // the caller's; id 0 for root@host
    const char *user;       // name the command is about; "" = everybody
    struct account account; // ditto, if have_account
    bool have_account;

    char hint[640];    // printed after a failure
    char program[320]; // how the caller calls us, see verb_program

    enum run_wait wait;
    verb_next_fn next;
    verb_next_fn confirmed; // after verb_confirm's question
    char *input;            // what was read last, NUL-terminated
    size_t input_length;
    bool input_ended;      // stdin can be read once
    bool wants_descriptor; // of a file on the caller's side
    int file;              // after verb_pass; 0 = none
    uint64_t flow_ticket, list_ticket;
    struct fetch *fetch; // keys that are on their way
    bool following;      // commits are told
    struct event *timer;
    struct box_row row; // after verb_box
    bool have_row;
    struct box_result result;  // ditto
    struct box_entry *entries; // after verb_list
    size_t entry_count;
    struct box_snapshot *snapshots; // after verb_box with SNAPSHOTS, oldest first
    size_t snapshot_count;
    struct box_image *images; // after verb_provision with IMAGES, newest first
    size_t image_count;
    char *metadata;            // after IMPORT: the account, as text
    struct box_health *health; // after HEALTH; NULL when Incus was not reached
    void *state;               // the handler's own; freed with state_free
    void (*state_free)(void *state);
};

// Options. verb_option gives the last value or NULL; verb_option_next goes through all (at = 0 first; NULL at
// the end).
const char *verb_option(const struct command_run *run, const char *name);
const char *verb_option_next(const struct command_run *run, const char *name, size_t *at);
bool verb_flag(const struct command_run *run, const char *name);

// Memory for the handler, zeroed; freed with the run. NULL: the run has failed.
void *verb_state(struct command_run *run, size_t size, void (*state_free)(void *state));

void verb_out(struct command_run *run, const char *format, ...) PRINTF_LIKE(2, 3);
void verb_out_text(struct command_run *run, const char *text);
struct table;
void verb_table(struct command_run *run, struct table *t); // fails the run without memory
void verb_err(struct command_run *run, const char *format, ...) PRINTF_LIKE(2, 3);
// A line of progress or advice on stderr.
void verb_note(struct command_run *run, const char *format, ...) PRINTF_LIKE(2, 3);
// Takes the object; NULL (out of memory) fails the run. Only under --json.
void verb_result(struct command_run *run, json_t *object);
void verb_save(struct command_run *run, const char *path, const char *data, size_t length);
// How to call the program from where the caller is: "containarium" or "ssh -p 2222 ctl@gateway.example".
const char *verb_program(const struct command_run *run);

void verb_done(struct command_run *run);
void verb_end(struct command_run *run, int status); // of a verb that has said itself what is wrong
// What to do about the failure that follows; printed below it.
void verb_hint(struct command_run *run, const char *format, ...) PRINTF_LIKE(2, 3);
void verb_fail(struct command_run *run, const struct fault *f);
void verb_failf(struct command_run *run, enum err code, const char *format, ...) PRINTF_LIKE(3, 4);
void verb_usage(struct command_run *run, const char *format, ...)
    PRINTF_LIKE(2, 3); // failf, and where the help is

// Goes on once everything written so far is on disk; fails the run if it is not.
void verb_commit(struct command_run *run, verb_next_fn next);
// Carries out a box operation on run->account; steps are shown as they happen. run->row and run->result tell.
void verb_box(struct command_run *run, enum box_op op, verb_next_fn next);
void verb_box_wish(struct command_run *run, enum box_op op, const struct box_wish *wish, verb_next_fn next);
// Goes on once the box has the keys as they are now; at once, as if it had been told, if it has no copies.
void verb_box_keys(struct command_run *run, verb_next_fn next);
// Loads run->row and says whether there is a box of ours to work on; false: the run has failed.
bool verb_own_box(struct command_run *run);
bool verb_own_row(struct command_run *run); // ditto, also of a box that is not made yet
// Fails the run with what run->result says, if it says that something failed.
bool verb_box_failed(struct command_run *run);
// What Incus knows of all boxes: run->entries, or run->result.code.
void verb_list(struct command_run *run, verb_next_fn next);
// An operation that concerns no box: run->result, run->images, run->metadata.
void verb_provision(struct command_run *run, enum box_op op, const struct box_spec *spec, verb_next_fn next);
// `source` is "-" for stdin or a file on the caller's side; run->input has the bytes.
void verb_read(struct command_run *run, const char *source, verb_next_fn next);
// Ditto for public keys, whose source may also be "github:NAME", "gitlab:NAME" or an https URL.
void verb_read_keys(struct command_run *run, const char *source, verb_next_fn next);
// Opens a file on the caller's side for run->file: a regular one, made anew if it is to be written. Nothing
// of it goes through this process's memory. For callers on this host; others are told so.
void verb_pass(struct command_run *run, const char *path, bool write, verb_next_fn next);
// Goes on once the caller has written every file of verb_save; fails the run if it could not.
void verb_saved(struct command_run *run, verb_next_fn next);
// Asks on the terminal; anything but "y" or "yes" ends the run. Without a terminal: a usage error naming
// --force.
void verb_confirm(struct command_run *run, const char *question, verb_next_fn next);
// Lets others have their turn and waits until the client has read enough.
void verb_yield(struct command_run *run, verb_next_fn next);
void verb_sleep(struct command_run *run, unsigned milliseconds, verb_next_fn next);
// Goes on after the next commit of the store, whoever wrote; a client that leaves meanwhile ends the run.
void verb_follow(struct command_run *run, verb_next_fn next);

// Their common ground, and command_input.c's: a run waits for `what`, and goes on.
void verb_wait_for(struct command_run *run, enum run_wait what, verb_next_fn next);
void verb_go_on(struct command_run *run);

// Fills in who did it and where from, and appends. False: the run has failed.
bool verb_audit(struct command_run *run, struct audit_record *record);

// Text of every help page. `words` may name a verb or a noun.
// What somebody sees who comes to the interactive console.
void command_greet(struct command_run *run);
// Ditto who joins by an invitation.
void command_welcome(struct command_run *run);
void command_help(struct command_run *run, const char *const *words, size_t count);
// The table as JSON: all of it (""), a verb, or the verbs of a noun; without any the list is empty.
json_t *command_help_json(const char *name);

#endif
