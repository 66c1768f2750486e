// The session of somebody who came without a verb, on a terminal: between the channel, the shell and the
// conversation.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "gateway/console_parts.h"

void console_shell_show(struct console *c)
{
    size_t n = evbuffer_get_length(c->screen);
    if (n > 0)
        console_show(c, c->output.out, (const char *)evbuffer_pullup(c->screen, -1), n);
    evbuffer_drain(c->screen, n);
}

static void shell_on_run(void *arg, json_t *argv, bool shown)
{
    struct console *c = arg;
    json_t *run = json_pack("{s:o, s:b, s:b, s:b, s:b, s:b, s:i, s:b}", "argv", argv, "tty_in", shown,
                            "tty_out", shown, "tty_err", shown, "more", 1, "console", 1, "columns",
                            (int)c->columns, "colours", c->colours);
    char *text = run == NULL ? NULL : json_dumps(run, JSON_COMPACT);
    c->shown = shown;
    if (text != NULL)
        console_send(c, FRAME_RUN, text, strlen(text));
    else
        console_finish(c, 1);
    free(text);
    json_decref(run);
}

static void shell_on_input(void *arg, const char *data, size_t length)
{
    console_send(arg, FRAME_INPUT, data, length);
}

static void shell_on_cancel(void *arg)
{
    static const char text[] = "^C\nWhat was begun goes on to its end.\n";
    struct console *c = arg;
    console_show(c, c->output.out, text, sizeof text - 1);
    console_send(c, FRAME_CANCEL, "", 0);
}

static void shell_on_end(void *arg, int status)
{
    console_finish(arg, status);
}

static const struct shell_owner shell_owner = {shell_on_run, shell_on_input, shell_on_cancel, shell_on_end};

static void on_terminal(struct console *c, const int *fds, size_t fd_count)
{
    if (fd_count == 2 && c->shell == NULL) {
        c->shell = shell_new(fds, c->screen, c->user, c->term, &shell_owner, c);
        if (c->shell != NULL) {
            shell_resize(c->shell, c->columns, c->rows);
            shell_start(c->shell);
            return;
        }
    } else {
        for (size_t i = 0; i < fd_count; i++)
            close(fds[i]);
    }
    console_finish(c, 1);
}

void console_shell_packet(struct console *c, const char *data, size_t length, const int *fds, size_t fd_count)
{
    if (data[0] == FRAME_TERMINAL) {
        on_terminal(c, fds, fd_count);
        console_shell_show(c);
        return;
    }
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
    if (c->shell == NULL)
        return;
    switch (data[0]) {
    case FRAME_OUT:
    case FRAME_ERR:
        if (c->shown)
            console_show(c, c->output.out, data + 1, length - 1);
        else if (data[0] == FRAME_OUT)
            shell_output(c->shell, data + 1, length - 1);
        break;
    case FRAME_WANT:
        shell_wanted(c->shell);
        break;
    case FRAME_READ:
        console_refuse_file(c, data[0]);
        break;
    case FRAME_EXIT:
        shell_done(c->shell, console_exit_status(data, length));
        break;
    default:
        break;
    }
    console_shell_show(c);
}

bool console_shell_keys(struct console *c)
{
    char keys[1024];
    bool moved = false;
    while (c->shell != NULL && !c->exited && link_queued(c->link) < FRAME_PAYLOAD_MAX) {
        int n = chan_read(c->chan, CHAN_STDOUT, keys, sizeof keys);
        if (n <= 0 && chan_at_eof(c->chan))
            console_finish(c, 0);
        if (n <= 0)
            break;
        shell_input(c->shell, keys, (size_t)n);
        console_shell_show(c);
        moved = true;
    }
    return moved;
}
