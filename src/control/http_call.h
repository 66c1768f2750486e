// What a machine asks of the HTTPS interface: the body of POST /v1/VERB becomes the words of a command line.
// Pure.
//
//   {"args": ["alice"], "options": {"ssh-key": ["-"], "cpu": 4, "lazy": true}, "stdin": "ssh-ed25519 ...",
//    "files": {"laptop.pub": "ssh-ed25519 ..."}}
#ifndef CONTROL_HTTP_CALL_H
#define CONTROL_HTTP_CALL_H

#include <jansson.h>

#include "control/command.h"

#define HTTP_CALL_WORDS_MAX 64

struct http_call {
    char *words[HTTP_CALL_WORDS_MAX]; // what would have been typed
    size_t count;
    json_t *body; // stdin and files stay in it
};

// ERR_INVALID says which part of the body is wrong and what is accepted. An empty body is an empty object.
MUST_CHECK enum err http_call_parse(const struct command *command, const char *body, size_t length,
                                    struct http_call *out, struct fault *f);
void http_call_clear(struct http_call *c);

const char *http_call_stdin(const struct http_call *c, size_t *length); // "" if there is none
// The content of one of the files that came along; NULL if it did not.
const char *http_call_file(const struct http_call *c, const char *name, size_t *length);

// "/v1/keys/add" -> its row of the table. NULL if there is none.
const struct command *http_call_command(const char *path);

#endif
