// The commands: one table for control.sock, for `ssh ctl@gateway` and for whatever comes. A row says what a
// verb is called, what it takes, who may use it and what it does; parsing, help, roles and the record in the
// audit trail are done here, from the row, once for all of them.
#ifndef CONTROL_COMMAND_H
#define CONTROL_COMMAND_H

#include <stdio.h>

#include "control/admin_socket.h"
#include "control/control.h"

struct command_run; // one command being carried out

struct command_option {
    const char *name;  // without dashes; NULL ends the list
    const char *value; // what its value is called; NULL: it takes none; "[...]": only as --name=VALUE
    bool repeat;
    const char *help;
};

// Which account a verb is about.
enum command_account {
    ACCOUNT_NONE,     // none
    ACCOUNT_NEW,      // first word: a name that need not exist
    ACCOUNT_NAMED,    // first word: a name, of an account or not; users leave it out, it is theirs
    ACCOUNT_REQUIRED, // first word; users leave it out, it is theirs
    ACCOUNT_OPTIONAL, // first word; left out it means everybody, or oneself where others may not be seen
    ACCOUNT_OPTION,   // --user NAME, ditto; the account may be gone already (its trail is not)
};

struct command {
    const char *name; // "keys add"; NULL ends the table
    enum role role;   // the lowest that may use it, on their own account
    enum role others; // the lowest that may use it on somebody else's
    enum command_account account;
    bool changes;      // recorded before it is begun; without a record it is not begun
    const char *args;  // for people: "USER FILE..."
    unsigned min, max; // words it takes, the account's included
    const struct command_option *options;
    const char *help;     // one sentence
    const char *details;  // more of them, or NULL
    const char *examples; // lines without the program's name, or NULL
    void (*run)(struct command_run *run);
};

const struct command *command_table(void);
const struct command_option *command_common_options(void); // understood by every verb

// The table for the completion of shells (its lines: control/command_dump.c), and as a list of mdoc(7).
void command_dump(FILE *out);
void command_dump_mdoc(FILE *out);

// The name of the table nearest to what was typed, or NULL if none is near.
const char *command_suggest(const char *typed, const char *const *names, size_t count);
// What other tools call one of these, e.g. "ls" is list; NULL if they do not.
const char *command_from_elsewhere(const char *typed, const char *const *names, size_t count);

// May this role use the command, on their own account or on another's? The only place that decides it.
bool command_allowed(const struct command *command, enum role role, bool other);

// Where a run's output goes and its input comes from. None of these may free the run.
struct command_sink {
    void (*out)(void *arg, const char *data, size_t length);
    void (*err)(void *arg, const char *data, size_t length);
    void (*want)(void *arg);                   // command_input is awaited from now on
    void (*read)(void *arg, const char *path); // command_file is awaited
    void (*save)(void *arg, const char *path, const char *data,
                 size_t length);                           // the first one makes the file anew
    void (*pass)(void *arg, const char *path, bool write); // command_descriptor is awaited
    bool (*congested)(void *arg);        // true: wait for command_resume before writing more
    void (*exit)(void *arg, int status); // the end, once
    void (*sync)(void *arg);             // command_saved is awaited: are all files so far written?
};

struct command_request {
    const char *const *argv; // copied
    size_t argc;
    bool tty_in, tty_out, tty_err;
    bool cli;     // the caller is the containarium program: it reads and writes files on its side, and its
                  // terminal echoes by itself
    bool console; // typed at the prompt of `ssh ctl@gateway`; without words it greets
    bool colours; // the terminal shows them, and nobody said NO_COLOR
    long long columns;
};

// Starts one. The sink may be called before this returns, its exit included. NULL: out of memory.
struct command_run *command_start(struct control *c, const struct identity *who,
                                  const struct command_request *request, const struct command_sink *sink,
                                  void *arg);
void command_input(struct command_run *run, const char *data, size_t length); // length 0: the end of it
void command_file(struct command_run *run, const char *data, size_t length);  // ditto
void command_descriptor(struct command_run *run, int fd);                     // takes it
void command_file_failed(struct command_run *run, const char *why);
void command_saved(struct command_run *run, const char *why); // NULL: they are
bool command_waits_input(const struct command_run *run);
void command_resume(struct command_run *run);

// The client is gone: it is told nothing more, and a run that waits for it ends. What was begun goes on to
// its end, and exit is still called then.
void command_detach(struct command_run *run);

// From now on the sink is called with this argument.
void command_move(struct command_run *run, void *sink_arg);

// Not from inside the sink. What it waits for is forgotten; operations begun go on without it.
void command_free(struct command_run *run);

#endif
