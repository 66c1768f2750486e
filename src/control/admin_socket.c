// Owns conversations: control.sock's and those the door hands over. Each carries one command. What a client
// may do is not decided here; who it is, on control.sock, is (the kernel's word).
#include "control/admin_socket.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "control/command.h"
#include "control/peer.h"
#include "control/terminal.h"
#include "wire/frame.h"
#include "wire/link.h"

#define CONVERSATIONS_MAX 256
#define FIRST_FRAME_SECONDS 30 // to say RUN
#define LAST_FRAME_SECONDS 30  // to read what is still queued at the end, and to close
#define CANCELLED 130          // exit status, as after Ctrl-C in a shell
#define QUEUE_SOFT (1u << 20)  // bytes unread from which a run is asked to wait

// A conversation with more than one command goes from RUNNING to NEXT, where its last run is freed, and waits
// there for as long as its person likes.
enum stage { TALK_NEW, TALK_RUNNING, TALK_NEXT, TALK_ENDING, TALK_GONE };

struct conversation {
    struct conversation *next, **prev;
    struct control *control;
    struct identity who;
    enum stage stage;
    struct link *link; // NULL once the client is gone
    struct command_run *run;
    struct event *timer; // first and last frame; and, at once, the end
    struct event *next_run;
    struct event *lost; // the client was lost while it was written to
    bool more;          // after this command another may come
    char refusal[400];  // why this client may not use the socket; "" if it may
};

struct admin_server {
    struct control *control;
    int fd;
    struct event *event;
    struct conversation *head;
    unsigned count;
};

static void conversation_free(struct conversation *t)
{
    if (t->next != NULL)
        t->next->prev = t->prev;
    *t->prev = t->next;
    if (t->control->admin != NULL)
        t->control->admin->count--;
    command_free(t->run);
    link_free(t->link);
    struct event *events[] = {t->timer, t->lost, t->next_run};
    for (size_t i = 0; i < 3; i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    free(t);
}

// The only place that writes the stage. GONE frees from the loop.
static void set_stage(struct conversation *t, enum stage stage)
{
    struct timeval wait = {.tv_sec = stage == TALK_NEW ? FIRST_FRAME_SECONDS : LAST_FRAME_SECONDS};
    t->stage = stage;
    switch (stage) {
    case TALK_NEXT:
        event_active(t->next_run, EV_TIMEOUT, 0);
        return;
    case TALK_NEW:
    case TALK_ENDING:
        event_add(t->timer, &wait);
        return;
    case TALK_RUNNING:
        event_del(t->timer);
        return;
    case TALK_GONE:
        event_del(t->timer);
        event_active(t->timer, EV_TIMEOUT, 0);
        return;
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    conversation_free(arg);
}

static void free_last_run(struct conversation *t)
{
    event_del(t->next_run);
    command_free(t->run);
    t->run = NULL;
}

static void on_next_run(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    free_last_run(arg);
}

static void drop_client(struct conversation *t)
{
    link_free(t->link);
    t->link = NULL;
    if (t->stage == TALK_GONE)
        return;
    if (t->stage != TALK_RUNNING || t->run == NULL)
        set_stage(t, TALK_GONE);
    else
        command_detach(t->run); // ends it, or lets it go on without us; then sink_exit
}

static void on_lost(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    drop_client(arg);
}

// ---- frames out

static void send_frame(struct conversation *t, char type, const char *data, size_t length)
{
    char frame[FRAME_PAYLOAD_MAX + 1];
    if (t->link == NULL)
        return;
    frame[0] = type;
    memcpy(frame + 1, data, length);
    if (link_send(t->link, frame, length + 1, NULL, 0) != ERR_NONE) { // it does not read, or is gone
        link_free(t->link);
        t->link = NULL;
        event_active(t->lost, EV_TIMEOUT, 0); // the run is told from the loop, not under its own feet
    }
}

static void send_bytes(struct conversation *t, char type, const char *data, size_t length)
{
    while (length > 0) {
        size_t n = length > FRAME_PAYLOAD_MAX ? FRAME_PAYLOAD_MAX : length;
        send_frame(t, type, data, n);
        data += n;
        length -= n;
    }
}

static void sink_out(void *arg, const char *data, size_t length)
{
    send_bytes(arg, FRAME_OUT, data, length);
}

static void sink_err(void *arg, const char *data, size_t length)
{
    send_bytes(arg, FRAME_ERR, data, length);
}

static void sink_want(void *arg)
{
    send_frame(arg, FRAME_WANT, "", 0);
}

static void sink_read(void *arg, const char *path)
{
    send_frame(arg, FRAME_READ, path, strlen(path));
}

static void sink_save(void *arg, const char *path, const char *data, size_t length)
{
    char frame[FRAME_PAYLOAD_MAX];
    size_t head = strlen(path) + 1;
    if (head > sizeof frame / 2)
        return;
    memcpy(frame, path, head);
    do {
        size_t n = length > sizeof frame - head ? sizeof frame - head : length;
        memcpy(frame + head, data, n);
        send_frame(arg, FRAME_SAVE, frame, head + n);
        data += n;
        length -= n;
    } while (length > 0);
}

static void sink_pass(void *arg, const char *path, bool write)
{
    char frame[FRAME_PAYLOAD_MAX];
    int n = snprintf(frame, sizeof frame, "%c%s", write ? 'w' : 'r', path);
    if (n > 0 && (size_t)n < sizeof frame)
        send_frame(arg, FRAME_PASS, frame, (size_t)n);
}

static bool sink_congested(void *arg)
{
    struct conversation *t = arg;
    return t->link != NULL && link_queued(t->link) > QUEUE_SOFT;
}

static void sink_exit(void *arg, int status)
{
    struct conversation *t = arg;
    char text[16];
    int n = snprintf(text, sizeof text, "%d", status);
    send_frame(t, FRAME_EXIT, text, (size_t)n);
    // The client closes first: closing with something of its unread would cost it our last words (unix(7),
    // ECONNRESET).
    set_stage(t, t->link == NULL ? TALK_GONE : t->more ? TALK_NEXT : TALK_ENDING);
}

static void sink_sync(void *arg)
{
    send_frame(arg, FRAME_SYNC, "", 0);
}

static const struct command_sink sink = {
    .out = sink_out,
    .err = sink_err,
    .want = sink_want,
    .read = sink_read,
    .save = sink_save,
    .pass = sink_pass,
    .congested = sink_congested,
    .exit = sink_exit,
    .sync = sink_sync,
};

// ---- frames in

static bool json_flag(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

static bool start_run(struct conversation *t, const json_t *object)
{
    const char *argv[512];
    size_t argc = 0;
    json_t *list = json_object_get(object, "argv"), *word;
    size_t i;
    if (!json_is_array(list) || json_array_size(list) > sizeof argv / sizeof *argv)
        return false;
    json_array_foreach(list, i, word)
    {
        if (!json_is_string(word) || strlen(json_string_value(word)) != json_string_length(word))
            return false;
        argv[argc++] = json_string_value(word);
    }
    struct command_request request = {.argv = argv,
                                      .argc = argc,
                                      .tty_in = json_flag(object, "tty_in"),
                                      .tty_out = json_flag(object, "tty_out"),
                                      .tty_err = json_flag(object, "tty_err"),
                                      .columns = json_integer_value(json_object_get(object, "columns")),
                                      .colours = json_flag(object, "colours"),
                                      .cli = json_flag(object, "cli"),
                                      .console = json_flag(object, "console")};
    t->more = json_flag(object, "more");
    set_stage(t, TALK_RUNNING);
    t->run = command_start(t->control, &t->who, &request, &sink, t);
    return t->run != NULL;
}

static void refuse(struct conversation *t)
{
    log_event(LOG_LEVEL_WARN, "control_refused", "who=%s", log_quote(t->who.actor));
    sink_err(t, "containarium: ", 14);
    sink_err(t, t->refusal, strlen(t->refusal));
    sink_err(t, "\n", 1);
    sink_exit(t, err_exit_status(ERR_DENIED));
}

static void on_run_frame(struct conversation *t, const char *data, size_t length)
{
    if (t->refusal[0] != '\0') {
        refuse(t);
        return;
    }
    json_t *object = json_loadb(data, length, JSON_REJECT_DUPLICATES, NULL);
    if (object == NULL || !start_run(t, object))
        drop_client(t);
    json_decref(object);
}

static void on_file_frame(struct conversation *t, const char *data, size_t length)
{
    if (length > 0 && data[0] == 'O') {
        command_file(t->run, data + 1, length - 1);
    } else {
        char why[256];
        snprintf(why, sizeof why, "%.*s", length > 1 ? (int)(length - 1) : 0, data + 1);
        command_file_failed(t->run, why[0] == '\0' ? "the file cannot be read" : why);
    }
}

static void on_saved_frame(struct conversation *t, const char *data, size_t length)
{
    char why[256];
    snprintf(why, sizeof why, "%.*s", length < sizeof why ? (int)length : (int)sizeof why - 1, data);
    command_saved(t->run, why[0] == '\0' ? NULL : why);
}

static void on_cancel_frame(struct conversation *t);

static void on_terminal_frame(struct conversation *t)
{
    static const char frame[] = {FRAME_TERMINAL};
    int fds[2] = {-1, -1};
    bool sent = terminal_open(fds) && link_send(t->link, frame, sizeof frame, fds, 2) == ERR_NONE;
    if (!sent)
        log_event(LOG_LEVEL_WARN, "no_terminal", "who=%s errno=%d", log_quote(t->who.actor), errno);
    for (size_t i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    if (!sent)
        drop_client(t);
}

static void on_packet(void *arg, const char *data, size_t length, const int *fds, size_t fd_count)
{
    struct conversation *t = arg;
    bool descriptor = fd_count == 1 && t->stage == TALK_RUNNING && length > 0 && data[0] == FRAME_FILE;
    for (size_t i = 0; i < fd_count && !descriptor; i++)
        close(fds[i]);
    if (length == 0 || length > FRAME_PAYLOAD_MAX * 2)
        return;
    if (t->stage == TALK_NEXT)
        free_last_run(t);
    if (descriptor)
        command_descriptor(t->run, fds[0]);
    else if ((t->stage == TALK_NEW || t->stage == TALK_NEXT) && data[0] == FRAME_RUN)
        on_run_frame(t, data + 1, length - 1);
    else if (t->stage == TALK_NEW && data[0] == FRAME_TERMINAL)
        on_terminal_frame(t);
    else if (t->stage == TALK_RUNNING && data[0] == FRAME_CANCEL)
        on_cancel_frame(t);
    else if (t->stage == TALK_RUNNING && data[0] == FRAME_INPUT)
        command_input(t->run, data + 1, length - 1);
    else if (t->stage == TALK_RUNNING && data[0] == FRAME_FILE)
        on_file_frame(t, data + 1, length - 1);
    else if (t->stage == TALK_RUNNING && data[0] == FRAME_SAVED)
        on_saved_frame(t, data + 1, length - 1);
    else if (t->stage == TALK_NEW ||
             t->stage == TALK_RUNNING) // in NEXT: for the command before, which was over
        drop_client(t);                // not our protocol
}

static void on_end(void *arg, const char *reason)
{
    (void)reason;
    drop_client(arg);
}

static void on_drained(void *arg)
{
    struct conversation *t = arg;
    if (t->stage == TALK_RUNNING && t->run != NULL)
        command_resume(t->run);
}

// ---- beginnings

// Without a client yet. NULL: too many, or no memory.
static struct conversation *conversation_alloc(struct control *c, const struct identity *who)
{
    struct admin_server *a = c->admin;
    if (a == NULL || a->count >= CONVERSATIONS_MAX)
        return NULL;
    struct conversation *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->control = c;
    t->who = *who;
    t->next = a->head;
    if (t->next != NULL)
        t->next->prev = &t->next;
    t->prev = &a->head;
    a->head = t;
    a->count++;
    t->timer = event_new(c->base, -1, 0, on_timer, t);
    t->lost = event_new(c->base, -1, 0, on_lost, t);
    t->next_run = event_new(c->base, -1, 0, on_next_run, t);
    if (t->timer != NULL && t->lost != NULL && t->next_run != NULL)
        return t;
    conversation_free(t);
    return NULL;
}

// The client does not want to wait for its command any more. One that waits for the client ends; one that is
// being carried out goes on to its end, in a conversation of its own that has no client.
static void on_cancel_frame(struct conversation *t)
{
    command_detach(t->run);
    struct conversation *rest = t->stage == TALK_RUNNING ? conversation_alloc(t->control, &t->who) : NULL;
    if (rest == NULL)
        return;
    rest->run = t->run;
    rest->stage = TALK_RUNNING;
    command_move(rest->run, rest);
    t->run = NULL;
    sink_exit(t, CANCELLED);
}

static struct conversation *conversation_new(struct control *c, int fd, const struct identity *who)
{
    struct conversation *t = conversation_alloc(c, who);
    if (t == NULL) {
        close(fd);
        return NULL;
    }
    t->link = link_new(c->base, fd, on_packet, on_end, t);
    if (t->link == NULL) {
        conversation_free(t);
        return NULL;
    }
    link_on_drained(t->link, on_drained);
    set_stage(t, TALK_NEW);
    return t;
}

void admin_serve(struct control *c, int fd, const struct identity *who)
{
    if (conversation_new(c, fd, who) == NULL)
        log_event(LOG_LEVEL_WARN, "control_full", "who=%s", log_quote(who->actor));
}

// ---- control.sock

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    struct admin_server *a = arg;
    struct identity who;
    char refusal[400] = "";
    (void)what;
    int peer = accept4((int)fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (peer < 0)
        return; // gone again, or no descriptors left: the next readiness tries again
    peer_identify(a->control, peer, &who, refusal, sizeof refusal);
    struct conversation *t = conversation_new(a->control, peer, &who);
    if (t == NULL)
        log_event(LOG_LEVEL_WARN, "control_full", "who=%s", log_quote(who.actor));
    else
        snprintf(t->refusal, sizeof t->refusal, "%s", refusal);
}

enum err admin_server_new(struct control *c, struct admin_server **out, struct fault *f)
{
    char path[CONFIG_TEXT + 32];
    struct admin_server *a = calloc(1, sizeof *a);
    *out = NULL;
    if (a == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    a->control = c;
    snprintf(path, sizeof path, "%s/control.sock", c->config->run_dir);
    a->fd = link_listen(path, 0666); // anybody may knock, so that a refusal can say what to do
    if (a->fd < 0) {
        enum err e = fault_errno(f, ERR_IO, "cannot listen on %s", path);
        free(a);
        return e;
    }
    a->event = event_new(c->base, a->fd, EV_READ | EV_PERSIST, on_acceptable, a);
    if (a->event == NULL || event_add(a->event, NULL) != 0) {
        admin_server_free(a);
        return fault_set(f, ERR_MEMORY, "out of memory");
    }
    *out = a;
    return ERR_NONE;
}

void admin_server_free(struct admin_server *a)
{
    if (a == NULL)
        return;
    while (a->head != NULL)
        conversation_free(a->head);
    if (a->event != NULL)
        event_free(a->event);
    close(a->fd);
    if (a->control->admin == a)
        a->control->admin = NULL;
    free(a);
}
