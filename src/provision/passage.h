// Bytes on their way between Incus and a file: written or read, counted, hashed. For http.c only.
#ifndef PROVISION_PASSAGE_H
#define PROVISION_PASSAGE_H

#include "provision/http.h"

struct passage;

// NULL when out of memory. The stream must outlive it.
struct passage *passage_new(struct http_stream *stream);
void passage_free(struct passage *p); // NULL is fine

// All of it into the file; false: it could not be written.
bool passage_write(struct passage *p, const char *data, size_t length);
// The next bytes of the file, at most `size` and not beyond stream->length; -1: it cannot be read, or ends
// early.
long passage_read(struct passage *p, char *data, size_t size);

// The sum into the stream; for a file written to, only once it is on disk. What went wrong before stands in
// *f.
MUST_CHECK enum err passage_end(struct passage *p, struct fault *f);

#endif
