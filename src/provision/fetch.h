// Public keys off the web: small texts over https, fetched on threads of their own, so that neither the loop
// nor anybody's box waits for somebody else's web server.
//
// https only, also after a redirect (at most FETCH_REDIRECTS); certificates are checked; at most FETCH_MAX
// bytes within FETCH_TIMEOUT_MS. Only public addresses are connected to, so that nobody makes this host read
// what is behind it; [enrol] fetch_allow lists exceptions.
#ifndef PROVISION_FETCH_H
#define PROVISION_FETCH_H

#include <event2/event.h>

#include "base/config.h"
#include "base/fault.h"

#define FETCH_MAX (256u << 10)
#define FETCH_TIMEOUT_MS 10000L
#define FETCH_REDIRECTS 3L
#define FETCH_URL_SIZE 512
#define FETCH_WAITING_MAX 32

// Is it "github:...", "gitlab:..." or a URL, rather than a file?
bool fetch_is_source(const char *source);
// The address behind a source. ERR_INVALID for names these sites cannot have, and for URLs that are not
// https.
MUST_CHECK enum err fetch_url(const char *source, char out[FETCH_URL_SIZE], struct fault *f);
// Is this numeric address one of the public internet's?
bool fetch_is_public(const char *address);

struct fetcher;
// libcurl is ready already (http_global).
MUST_CHECK enum err fetcher_new(struct event_base *base, const struct config *config, struct fetcher **out,
                                struct fault *f);
void fetcher_free(struct fetcher *fs); // callbacks that did not come yet never come; NULL is fine

struct fetch;
// The text is NUL-terminated and valid during the callback; on an error it is "".
typedef void (*fetch_done_fn)(void *arg, enum err code, const struct fault *f, const char *text,
                              size_t length);
// NULL, with the fault filled in: nothing was begun.
struct fetch *fetch_start(struct fetcher *fs, const char *source, fetch_done_fn done, void *arg,
                          struct fault *f);
void fetch_cancel(struct fetch *fetch); // not from inside its callback

#endif
