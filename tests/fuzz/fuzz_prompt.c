// Keys at the console's prompt. Whatever the bytes: it never waits, every call takes something, and no line
// is longer than a line may be.
#include <fcntl.h>
#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/prompt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int open_terminal(void)
{
    static int master = -1; // one for all inputs
    char name[64];
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    setenv("TERM", "none", 1); // as in a connection process, which can read no database of terminals
    if (master < 0)
        master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0 ||
        ptsname_r(master, name, sizeof name) != 0)
        abort();
    return open(name, O_RDWR | O_NOCTTY);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct evbuffer *screen = evbuffer_new();
    struct prompt *p = prompt_new(open_terminal(), screen, "> ", size > 0 && data[0] == 'p');
    char before[256];
    if (p == NULL)
        abort();
    prompt_resize(p, size > 1 ? data[1] : 80, 24);
    prompt_begin(p);
    while (size > 0) {
        size_t used = 0;
        enum prompt_event event = prompt_input(p, (const char *)data, size, &used);
        if (used == 0 || used > size)
            abort();
        data += used;
        size -= used;
        if (event == PROMPT_COMPLETE) {
            prompt_before(p, before, sizeof before);
            prompt_insert(p, before);
            prompt_redraw(p);
        } else if (event != PROMPT_MORE) {
            if (strlen(prompt_line(p)) >= 4096)
                abort();
            prompt_begin(p);
        }
    }
    prompt_free(p);
    evbuffer_free(screen);
    return 0;
}
