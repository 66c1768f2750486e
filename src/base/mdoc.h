// Text of ours as input of mdoc(7), for the parts of manual pages that are made from tables.
#ifndef BASE_MDOC_H
#define BASE_MDOC_H

#include <stdio.h>

// Lines of at most 78 bytes, a new one for each sentence, without the last newline; what mdoc would read as
// a request or an escape is made plain.
void mdoc_text(const char *text, FILE *out);

#endif
