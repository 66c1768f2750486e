// The parts of the command line (cli*.c). It knows no verbs: it carries arguments, input, output and files
// between the terminal and the control plane.
#ifndef CONTROL_CLI_H
#define CONTROL_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <jansson.h>

#define CLI_SAVES_MAX 16

struct cli_saving {
    char *path;
    int fd; // -1: it could not be made
};

// One command. argc and argv are what goes to the control plane.
struct cli {
    int argc;
    char **argv;
    bool out_broken;      // nobody reads our stdout any more
    bool failed;          // something on our side went wrong: the status is not 0
    char save_fault[240]; // why the first file could not be written; "" if all could
    bool fault_told;      // the control plane knows, and says it
    struct cli_saving saves[CLI_SAVES_MAX];
    size_t save_count;
    char *made; // a file made for the control plane to write, or NULL
};

void cli_complain(const char *what, const char *which); // with strerror(errno)
bool cli_write_all(int fd, const char *data, size_t length);

// Output. Returns -1 to go on, else the exit status.
int cli_out(struct cli *c, const char *data, size_t length);

// The JSON object that begins a conversation. NULL: an argument is not text; the person has been told.
json_t *cli_request(const struct cli *c);

// ---- files (cli_files.c): only what stands in our own arguments

// Opens a file to be sent. -1: *why says why not, valid until the next call.
int cli_open_file(const struct cli *c, const char *path, const char **why);
void cli_save(struct cli *c, const char *path, const char *data, size_t length);
const char *cli_saved(struct cli *c); // NULL: everything so far is written; else what is not
void cli_close_files(struct cli *c);
// Opens a file to be handed over: to be read, or made anew, so that nothing else is overwritten. -1: *why as
// above.
int cli_open_passed(struct cli *c, bool write, const char *path, const char **why);
// The command has ended with `status`, -2 for not at all: what was made for nothing goes, what may be cut is
// said.
void cli_passed_end(struct cli *c, int status);

// ---- ways to a control plane; each returns the exit status

// A conversation of frames (wire/frame.h) over fd: packets, or with `stream` a stream. -2 if it ended without
// an exit status.
int cli_converse(struct cli *c, int fd, bool stream);
int cli_run_socket(struct cli *c, const char *path);
int cli_run_ssh(struct cli *c, const char *server);
int cli_run_tls(struct cli *c, const char *server, const char *certs_dir);

// "HOST", "HOST:PORT", "[IPV6]:PORT", "IPV6". Writes into host; *port is NULL if none is said. False, and
// said, if it is none of them.
bool cli_split_server(const char *server, char *host, size_t size, const char **port);

#endif
