// Owns the timer and the text of the line.
#include "gateway/wait_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

#define FIRST_MS 250   // when something is being done
#define SILENT_MS 1000 // when nobody said what takes so long
#define EVERY_MS 200
#define CONNECTING "Connecting to your box"

struct wait_line {
    struct chan *chan;
    struct event *timer;
    void (*wake)(void *arg);
    void *arg;
    char text[120];
    uint64_t began;
    unsigned frame;
    bool told; // what is being done
    bool shown;
};

static void show(struct wait_line *w)
{
    static const char spinner[] = "|/-\\";
    char line[200];
    uint64_t ms = monotonic_ms() - w->began;
    int n = snprintf(line, sizeof line, "\r\033[K%c %s ... %llu.%llus", spinner[w->frame++ % 4], w->text,
                     (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000 / 100));
    if (n > 0 && chan_room(w->chan) >= (size_t)n) {
        (void)chan_write(w->chan, CHAN_STDERR, line, (size_t)n);
        w->shown = true;
    }
    w->wake(w->arg);
}

static void set_timer(struct wait_line *w, unsigned ms)
{
    struct timeval tv = {.tv_usec = (suseconds_t)ms * 1000};
    event_add(w->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct wait_line *w = arg;
    (void)fd;
    (void)what;
    if (w->told || monotonic_ms() - w->began >= SILENT_MS)
        show(w);
    set_timer(w, EVERY_MS);
}

struct wait_line *wait_line_new(struct event_base *base, struct chan *chan, void (*wake)(void *arg),
                                void *arg)
{
    struct wait_line *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->chan = chan;
    w->wake = wake;
    w->arg = arg;
    w->began = monotonic_ms();
    snprintf(w->text, sizeof w->text, CONNECTING);
    w->timer = evtimer_new(base, on_timer, w);
    if (w->timer == NULL) {
        free(w);
        return NULL;
    }
    set_timer(w, FIRST_MS);
    return w;
}

static void say(struct wait_line *w, const char *text, size_t length)
{
    char line[200];
    int n = snprintf(line, sizeof line, "\r\033[K%.*s\r\n", length < 180 ? (int)length : 180, text);
    if (n > 0 && chan_room(w->chan) >= (size_t)n)
        (void)chan_write(w->chan, CHAN_STDERR, line, (size_t)n);
    snprintf(w->text, sizeof w->text, CONNECTING); // the step before is over
    w->shown = false;
    w->wake(w->arg);
}

void wait_line_text(struct wait_line *w, const char *text)
{
    size_t length = strcspn(text, "\n");
    if (w == NULL)
        return;
    if (text[length] == '\n') {
        say(w, text, length);
        return;
    }
    snprintf(w->text, sizeof w->text, "%.110s", text);
    w->told = true;
    if (w->shown)
        show(w);
}

void wait_line_free(struct wait_line *w)
{
    static const char wipe[] = "\r\033[K";
    if (w == NULL)
        return;
    if (w->shown && chan_room(w->chan) >= sizeof wipe - 1)
        (void)chan_write(w->chan, CHAN_STDERR, wipe, sizeof wipe - 1);
    event_free(w->timer);
    free(w);
}
