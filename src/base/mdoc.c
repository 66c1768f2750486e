// Text as input of mdoc(7).
#include "base/mdoc.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define LINE_MAX_BYTES 78

static bool ends_sentence(const char *word, size_t length, const char *next)
{
    return length > 1 && strchr(".?!", word[length - 1]) != NULL && isupper((unsigned char)*next) != 0;
}

void mdoc_text(const char *text, FILE *out)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word > LINE_MAX_BYTES) {
            fputc('\n', out);
            column = 0;
        } else if (column > 0) {
            fputc(' ', out);
            column++;
        }
        if (column == 0 && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        for (size_t i = 0; i < word; i++)
            fputs(text[i] == '\\' ? "\\e" : (char[]){text[i], '\0'}, out);
        column += word;
        const char *next = text + word + strspn(text + word, " ");
        if (ends_sentence(text, word, next)) {
            fputc('\n', out);
            column = 0;
        }
        text = next;
    }
}
