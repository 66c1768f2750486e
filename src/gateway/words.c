// The splitter makes one pass, writing unquoted bytes over a copy of the line.
#include "gateway/words.h"

#include <stdlib.h>
#include <string.h>

// Copies one quoted part; returns what follows the closing quote, NULL if there is none.
static const char *copy_quoted(const char *p, char **to)
{
    char quote = *p++;
    while (*p != '\0' && *p != quote) {
        if (quote == '"' && *p == '\\' && (p[1] == '"' || p[1] == '\\'))
            p++;
        *(*to)++ = *p++;
    }
    return *p == quote ? p + 1 : NULL;
}

char *words_split(const char *line, char *words[WORDS_MAX], size_t *count, struct fault *f)
{
    char *storage = malloc(strlen(line) * 2 + 2); // every word gets a NUL, which takes the place of a blank
    char *to = storage;
    *count = 0;
    if (storage == NULL) {
        fault_set(f, ERR_MEMORY, "out of memory");
        return NULL;
    }
    for (const char *p = line;;) {
        p += strspn(p, " \t\n");
        if (*p == '\0')
            return storage;
        if (*count == WORDS_MAX) {
            fault_set(f, ERR_INVALID, "more than %d words in one command", WORDS_MAX);
            break;
        }
        words[(*count)++] = to;
        while (p != NULL && *p != '\0' && strchr(" \t\n", *p) == NULL) {
            if (*p == '\'' || *p == '"') {
                p = copy_quoted(p, &to);
                continue;
            }
            if (*p == '\\' && p[1] != '\0')
                p++;
            *to++ = *p++;
        }
        if (p == NULL) {
            fault_set(f, ERR_INVALID, "a quote is not closed");
            break;
        }
        *to++ = '\0';
    }
    free(storage);
    return NULL;
}

// In single quotes; a quote within becomes '\''.
static char *add_quoted(char *to, const char *text)
{
    *to++ = '\'';
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            memcpy(to, "'\\''", 4);
            to += 4;
        } else {
            *to++ = *text;
        }
    }
    *to++ = '\'';
    return to;
}

char *words_forced(const char *forced, const char *original)
{
    static const char before[] = "env SSH_ORIGINAL_COMMAND=", between[] = " \"$SHELL\" -c ";
    if (original[0] == '\0')
        return strdup(forced);
    char *line = malloc(sizeof before + sizeof between + 4 * (strlen(forced) + strlen(original)) + 8);
    if (line == NULL)
        return NULL;
    char *to = stpcpy(line, before);
    to = add_quoted(to, original);
    to = stpcpy(to, between);
    to = add_quoted(to, forced);
    *to = '\0';
    return line;
}
