// The files of docs/schema, built into the program by cmake/Embed.cmake: what each verb prints with --json.
#ifndef CONTROL_ANSWER_SCHEMA_H
#define CONTROL_ANSWER_SCHEMA_H

#include <stddef.h>

struct answer_schema {
    const char *name; // the file's, without .json; NULL ends the list
    const unsigned char *text;
    size_t length;
};

const struct answer_schema *answer_schemas(void);

#endif
