// Owns one conversation with the command table.
#include "gateway/console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "gateway/console_parts.h"
#include "gateway/words.h"

#define OUTPUT_MAX (1u << 20) // waiting for the client before the control plane is told to wait

#define SUBSYSTEM_ERROR                                                                                      \
    "containarium: ctl has no such subsystem, and no files; what it has: ssh ctl@GATEWAY help\n"

void console_show(struct console *c, struct evbuffer *to, const char *data, size_t length)
{
    if (!c->tty) {
        evbuffer_add(to, data, length);
    } else { // a terminal in raw mode needs its carriage returns
        for (size_t i = 0; i < length; i++) {
            if (data[i] == '\n')
                evbuffer_add(to, "\r", 1);
            evbuffer_add(to, data + i, 1);
        }
    }
    if (evbuffer_get_length(c->output.out) + evbuffer_get_length(c->output.error) > OUTPUT_MAX)
        link_set_reading(c->link, false);
}

void console_finish(struct console *c, int status)
{
    c->exited = true;
    c->status = status;
}

void console_send(struct console *c, char type, const char *data, size_t length)
{
    char packet[1 + FRAME_PAYLOAD_MAX];
    packet[0] = type;
    if (length > FRAME_PAYLOAD_MAX)
        length = 0;
    memcpy(packet + 1, data, length);
    if (link_send(c->link, packet, 1 + length, NULL, 0) != ERR_NONE)
        console_finish(c, 1);
}

// There is no file of the caller to read or write on this side: say what works instead.
void console_refuse_file(struct console *c, char type)
{
    static const char no[] =
        "E"
        "this file is on your own machine: pass its content on stdin and give `-` as its name";
    char answer[sizeof no + 1];
    answer[0] = FRAME_FILE;
    memcpy(answer + 1, no, sizeof no - 1);
    if (type != FRAME_SAVE && type != FRAME_SYNC &&
        link_send(c->link, answer, sizeof no, NULL, 0) != ERR_NONE)
        console_finish(c, 1);
}

static bool drain(struct console *c, struct evbuffer *from, enum chan_stream stream)
{
    bool moved = false;
    for (;;) {
        size_t length = evbuffer_get_contiguous_space(from);
        size_t room = chan_room(c->chan);
        if (length == 0 || room == 0)
            return moved;
        int n = chan_write(c->chan, stream, evbuffer_pullup(from, (ev_ssize_t)length),
                           length < room ? length : room);
        if (n <= 0)
            return moved;
        evbuffer_drain(from, (size_t)n);
        moved = true;
    }
}

// A program's two streams are kept apart, and still shown in their order; a terminal has but one.
static void show_stream(struct console *c, bool error, const char *data, size_t length)
{
    struct evbuffer *to = error && !c->tty ? c->output.error : c->output.out;
    if (to == c->output.error)
        (void)drain(c, c->output.out, CHAN_STDOUT);
    else
        (void)drain(c, c->output.error, CHAN_STDERR);
    console_show(c, to, data, length);
}

static void pass_frame(struct console *c, const char *data, size_t length)
{
    unsigned char head[FRAME_HEAD];
    frame_head_write(head, length);
    console_show(c, c->output.out, (const char *)head, sizeof head);
    console_show(c, c->output.out, data, length);
}

int console_exit_status(const char *data, size_t length)
{
    char number[12];
    snprintf(number, sizeof number, "%.*s", length - 1 > 10 ? 10 : (int)(length - 1), data + 1);
    return (int)strtol(number, NULL, 10);
}

static void on_packet(void *arg, const char *data, size_t length, const int *fds, size_t fd_count)
{
    struct console *c = arg;
    c->wake(c->arg);
    if (c->interactive) {
        console_shell_packet(c, data, length, fds, fd_count);
        return;
    }
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
    if (c->framed)
        pass_frame(c, data, length);
    switch (data[0]) {
    case FRAME_OUT:
        if (!c->framed)
            show_stream(c, false, data + 1, length - 1);
        return;
    case FRAME_ERR:
        if (!c->framed)
            show_stream(c, true, data + 1, length - 1);
        return;
    case FRAME_WANT:
        c->wants_input = true;
        return;
    case FRAME_READ:
    case FRAME_SAVE:
    case FRAME_PASS:
    case FRAME_SYNC:
        if (!c->framed)
            console_refuse_file(c, data[0]);
        return;
    case FRAME_EXIT:
        console_finish(c, console_exit_status(data, length));
        return;
    default:
        return;
    }
}

static void on_end(void *arg, const char *reason)
{
    struct console *c = arg;
    (void)reason;
    if (!c->exited) {
        static const char lost[] = "containarium: the control plane ended before the command did\n";
        console_show(c, c->output.error, lost, sizeof lost - 1);
        console_finish(c, 1);
    }
    c->wake(c->arg);
}

// Input was held back while the control plane had not read; nothing else would bring us back to it.
static void on_drained(void *arg)
{
    struct console *c = arg;
    c->wake(c->arg);
}

static bool send_run(struct console *c, const char *line)
{
    char *words[WORDS_MAX];
    size_t count = 0;
    struct fault f;
    char *storage = words_split(line, words, &count, &f);
    if (storage == NULL) {
        console_show(c, c->output.error, f.text, strlen(f.text));
        console_show(c, c->output.error, "\n", 1);
        console_finish(c, 2);
        return true;
    }
    json_t *argv = json_array();
    for (size_t i = 0; i < count; i++) // not UTF-8: json_string gives NULL, which append refuses
        json_array_append_new(argv, json_string(words[i]));
    bool utf8 = json_array_size(argv) == count;
    json_t *root = json_pack("{s:o, s:b, s:b, s:b, s:i, s:b}", "argv", argv, "tty_in", c->tty, "tty_out",
                             c->tty, "tty_err", c->tty, "columns", (int)c->columns, "colours", c->colours);
    char *text = root == NULL ? NULL : json_dumps(root, JSON_COMPACT);
    size_t length = text == NULL ? 0 : strlen(text);
    char *packet = length == 0 || length > FRAME_PAYLOAD_MAX ? NULL : malloc(length + 1);
    bool ok = false;
    if (packet != NULL && utf8) {
        packet[0] = FRAME_RUN;
        memcpy(packet + 1, text, length);
        ok = link_send(c->link, packet, length + 1, NULL, 0) == ERR_NONE;
    } else {
        console_show(c, c->output.error, "the command line is too long or not UTF-8\n", 42);
        console_finish(c, 2);
        ok = true;
    }
    free(packet);
    free(text);
    json_decref(root);
    free(storage);
    return ok;
}

// What the client asks for decides how its bytes are read. False when out of memory.
static bool begin(struct console *c, const struct ask_view *start, const char *forced)
{
    if (forced[0] != '\0')
        return send_run(c, forced);
    c->interactive = start->kind == ASK_SHELL && c->tty;
    if (c->interactive) {
        console_send(c, FRAME_TERMINAL, "", 0); // goes on when the answer has come
        return true;
    }
    if (start->kind != ASK_SUBSYSTEM)
        return send_run(c, start->kind == ASK_EXEC && start->command != NULL ? start->command : "");
    c->tty = false;
    c->framed = start->command != NULL && strcmp(start->command, FRAME_SUBSYSTEM) == 0;
    if (!c->framed) {
        console_show(c, c->output.error, SUBSYSTEM_ERROR, sizeof SUBSYSTEM_ERROR - 1);
        console_finish(c, 2);
    }
    return true;
}

struct console *console_new(struct event_base *base, int fd, struct chan *chan, const struct ask_view *start,
                            const struct console_terminal *terminal, void (*wake)(void *arg), void *arg)
{
    struct console *c = calloc(1, sizeof *c);
    if (c == NULL) {
        close(fd);
        return NULL;
    }
    c->chan = chan;
    c->tty = terminal->there;
    c->colours = terminal->colours;
    c->columns = terminal->columns;
    c->rows = terminal->rows;
    snprintf(c->user, sizeof c->user, "%s", terminal->user);
    snprintf(c->term, sizeof c->term, "%s", terminal->kind);
    c->wake = wake;
    c->arg = arg;
    c->link = link_new(base, fd, on_packet, on_end, c);
    if (c->link != NULL)
        link_on_drained(c->link, on_drained);
    c->output.out = evbuffer_new();
    c->output.error = evbuffer_new();
    c->screen = evbuffer_new();
    if (c->link == NULL || c->output.out == NULL || c->output.error == NULL || c->screen == NULL ||
        !begin(c, start, terminal->command)) {
        console_free(c);
        return NULL;
    }
    return c;
}

void console_free(struct console *c)
{
    if (c == NULL)
        return;
    link_free(c->link);
    shell_free(c->shell);
    if (c->screen != NULL)
        evbuffer_free(c->screen);
    if (c->output.out != NULL)
        evbuffer_free(c->output.out);
    if (c->output.error != NULL)
        evbuffer_free(c->output.error);
    free(c);
}

static bool pass_input(struct console *c)
{
    char packet[1 + 16384];
    bool moved = false;
    while (c->wants_input && !c->input_ended && link_queued(c->link) < FRAME_PAYLOAD_MAX) {
        int n = chan_read(c->chan, CHAN_STDOUT, packet + 1, sizeof packet - 1);
        if (n <= 0 && !chan_at_eof(c->chan))
            break;
        c->input_ended = n <= 0;
        packet[0] = FRAME_INPUT;
        if (link_send(c->link, packet, 1 + (n > 0 ? (size_t)n : 0), NULL, 0) != ERR_NONE)
            break;
        moved = true;
    }
    return moved;
}

// Whole frames go on as packets; what they say is the control plane's to judge.
static bool pass_frames(struct console *c)
{
    bool moved = false;
    while (!c->exited && !c->input_ended && link_queued(c->link) < FRAME_PAYLOAD_MAX) {
        size_t length = c->have < FRAME_HEAD ? 0 : frame_head_read(c->frame);
        size_t wanted = FRAME_HEAD + length;
        int n = chan_read(c->chan, CHAN_STDOUT, c->frame + c->have, wanted - c->have);
        if (n <= 0 && !chan_at_eof(c->chan))
            break;
        moved = true;
        c->input_ended = n <= 0;
        c->have += n > 0 ? (size_t)n : 0;
        bool headed = c->have >= FRAME_HEAD;
        length = headed ? frame_head_read(c->frame) : 0;
        if (c->input_ended || (headed && length == 0)) { // it went away, or speaks something else
            console_finish(c, 1);
        } else if (headed && c->have == FRAME_HEAD + length) {
            c->have = 0;
            if (link_send(c->link, c->frame + FRAME_HEAD, length, NULL, 0) != ERR_NONE)
                console_finish(c, 1);
        }
    }
    return moved;
}

void console_resize(struct console *c, uint32_t columns, uint32_t rows)
{
    c->columns = columns;
    c->rows = rows;
    if (c->shell == NULL)
        return;
    shell_resize(c->shell, columns, rows);
    console_shell_show(c);
}

bool console_step(struct console *c)
{
    bool moved = c->interactive ? console_shell_keys(c) : c->framed ? pass_frames(c) : pass_input(c);
    moved = drain(c, c->output.error, CHAN_STDERR) || moved;
    moved = drain(c, c->output.out, CHAN_STDOUT) || moved;
    if (moved && evbuffer_get_length(c->output.out) < OUTPUT_MAX / 2)
        link_set_reading(c->link, true);
    return moved;
}

bool console_done(const struct console *c)
{
    return c->exited && evbuffer_get_length(c->output.out) == 0 && evbuffer_get_length(c->output.error) == 0;
}

int console_status(const struct console *c)
{
    return c->status;
}
