// For cli*.c only: one conversation of the command line, and the files on this side of it.
#ifndef CONTROL_CLI_H
#define CONTROL_CLI_H

#include <stdbool.h>
#include <stddef.h>

#define SAVES_MAX 8

struct saving {
    char *path;
    int fd; // -1: it could not be made
};

struct cli {
    int fd; // of the conversation
    int argc;
    char **argv; // what goes to the control plane
    bool input_wanted, input_ended;
    bool out_broken; // nobody reads our stdout any more
    bool failed;     // something on our side went wrong: the status is not 0
    struct saving saves[SAVES_MAX];
    size_t save_count;
    char *made; // a file made for the control plane to write, or NULL
    bool lost;  // the control plane went away before it had said how it went
};

void cli_complain(const char *what, const char *which); // with errno
bool cli_write_all(int fd, const char *data, size_t length);
bool cli_send_frame(struct cli *c, char type, const char *data, size_t length);

// Answers to FRAME_READ, FRAME_SAVE and FRAME_PASS.
void cli_send_file(struct cli *c, const char *path);
void cli_save_file(struct cli *c, const char *data, size_t length);
void cli_pass_file(struct cli *c, const char *data, size_t length);
// Closes what was saved; c->failed if that fails. `status` is the command's.
void cli_files_end(struct cli *c, int status);

#endif
