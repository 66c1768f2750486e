// A body of the HTTPS interface, behind a byte that picks the verb. Whatever the bytes: what comes out is
// that verb, and every option is in a word of its own that a value cannot leave.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/http_call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_call call;
    struct fault f;
    size_t verbs = 0, length = 0;
    while (command_table()[verbs].name != NULL)
        verbs++;
    if (size == 0 || verbs == 0)
        return 0;
    const struct command *command = &command_table()[data[0] % verbs];
    if (http_call_parse(command, (const char *)data + 1, size - 1, &call, &f) != ERR_NONE) {
        if (f.text[0] == '\0')
            abort();
        return 0;
    }
    size_t n = strcspn(command->name, " ");
    bool only_words = false;
    if (call.count == 0 || strlen(call.words[0]) != n || strncmp(call.words[0], command->name, n) != 0)
        abort();
    for (size_t i = command->name[n] == ' ' ? 2 : 1; i < call.count; i++) {
        if (!only_words && strncmp(call.words[i], "--", 2) != 0)
            abort();
        only_words = only_words || strcmp(call.words[i], "--") == 0;
    }
    (void)http_call_stdin(&call, &length);
    (void)http_call_file(&call, "a.pub", &length);
    http_call_clear(&call);
    return 0;
}
