// Owns the questions that wait. A link that breaks before login ends the connection (every question is
// refused); after login it is tried again until the control plane is back, and open questions are asked anew.
#include "gateway/control_link.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"

#define RETRY_MS 200
#define PATIENCE_MS 20000 // how long a question waits for a control plane that is away

struct question {
    TAILQ_ENTRY(question) entry;
    struct message message;
    uint64_t asked;
    bool sent;
    control_answer_fn answer;
    void *arg;
};

struct control_link {
    struct event_base *base;
    char path[108];
    int spares[CONTROL_FD_COUNT]; // sockets not yet connected, -1 once used up
    struct link *link;            // NULL while away
    bool attaching;
    uint64_t next_id;
    char token[44];
    struct event *retry;
    TAILQ_HEAD(, question) questions;
    control_kick_fn kick;
    control_answer_fn welcome;
    void *arg;
};

static void set_retry(struct control_link *l)
{
    struct timeval tv = {.tv_usec = RETRY_MS * 1000};
    event_add(l->retry, &tv);
}

static void question_free(struct control_link *l, struct question *q)
{
    TAILQ_REMOVE(&l->questions, q, entry);
    free(q);
}

static struct question *question_find(struct control_link *l, uint64_t id)
{
    struct question *q;
    TAILQ_FOREACH(q, &l->questions, entry)
    {
        if (q->message.id == id)
            return q;
    }
    return NULL;
}

static void question_refuse(struct control_link *l, struct question *q)
{
    struct message refused = {
        .type = MESSAGE_REFUSED, .id = q->message.id, .code = (uint64_t)-ERR_UNAVAILABLE};
    snprintf(refused.text, sizeof refused.text,
             "the gateway's control plane is not running or is being restarted; try again in a minute");
    control_answer_fn answer = q->answer;
    void *arg = q->arg;
    question_free(l, q);
    answer(arg, &refused, NULL, 0);
}

static void send_question(struct control_link *l, struct question *q)
{
    q->sent = l->link != NULL && !l->attaching && message_send(l->link, &q->message, NULL, 0) == ERR_NONE;
    if (!q->sent)
        set_retry(l);
}

static void on_attached(struct control_link *l, const struct message *m, const int *fds, size_t fd_count)
{
    l->attaching = false;
    if (m->type != MESSAGE_WELCOME) {
        for (size_t i = 0; i < fd_count; i++)
            close(fds[i]);
        l->kick(l->arg, m->text);
        return;
    }
    l->welcome(l->arg, m, fds, fd_count);
    log_event(LOG_LEVEL_INFO, "reattached", "user=%s", m->user);
    struct question *q;
    TAILQ_FOREACH(q, &l->questions, entry)
    {
        if (!q->sent)
            send_question(l, q);
    }
}

static void on_packet(void *arg, const char *data, size_t length, const int *fds, size_t fd_count)
{
    struct control_link *l = arg;
    struct message m;
    struct fault f;
    struct question *q = NULL;
    bool ok = message_decode(data, length, &m, &f) == ERR_NONE;
    if (!ok)
        log_event(LOG_LEVEL_ERROR, "control_message_bad", "error=%s", log_quote(f.text));
    if (ok && m.type == MESSAGE_KICK) {
        l->kick(l->arg, m.text);
    } else if (ok && l->attaching && m.id == 0) {
        on_attached(l, &m, fds, fd_count);
        return;
    } else if (ok && (q = question_find(l, m.id)) != NULL) {
        control_answer_fn answer = q->answer;
        void *answer_arg = q->arg;
        if (m.type != MESSAGE_PROGRESS)
            question_free(l, q);
        answer(answer_arg, &m, fds, fd_count);
        return;
    }
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
}

static void on_end(void *arg, const char *reason)
{
    struct control_link *l = arg;
    log_event(LOG_LEVEL_WARN, "control_link_lost", "reason=%s", log_quote(reason));
    link_free(l->link);
    l->link = NULL;
    l->attaching = false;
    struct question *q;
    TAILQ_FOREACH(q, &l->questions, entry)
    {
        q->sent = false;
    }
    set_retry(l);
}

static void reconnect(struct control_link *l)
{
    struct message attach = {.type = MESSAGE_ATTACH, .version = MESSAGE_VERSION};
    int spare = 0;
    while (spare < CONTROL_FD_COUNT && l->spares[spare] < 0)
        spare++;
    if (spare == CONTROL_FD_COUNT || link_connect_on(l->spares[spare], l->path) != 0)
        return;
    int fd = l->spares[spare];
    l->spares[spare] = -1;
    l->link = link_new(l->base, fd, on_packet, on_end, l);
    if (l->link == NULL)
        return;
    snprintf(attach.token, sizeof attach.token, "%s", l->token);
    l->attaching = true;
    if (message_send(l->link, &attach, NULL, 0) != ERR_NONE) {
        link_free(l->link);
        l->link = NULL;
        l->attaching = false;
    }
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct control_link *l = arg;
    (void)fd;
    (void)what;
    if (l->link == NULL && l->token[0] != '\0')
        reconnect(l);
    uint64_t now = monotonic_ms();
    struct question *q = TAILQ_FIRST(&l->questions);
    while (q != NULL) {
        struct question *next = TAILQ_NEXT(q, entry);
        if (!q->sent && (l->token[0] == '\0' || now - q->asked > PATIENCE_MS)) {
            question_refuse(l, q);
            next = TAILQ_FIRST(&l->questions); // the callee may have changed the list
        } else if (!q->sent && l->link != NULL && !l->attaching) {
            send_question(l, q);
        }
        q = next;
    }
    if (l->link == NULL)
        set_retry(l);
}

static bool make_spares(struct control_link *l)
{
    for (int i = 0; i < CONTROL_FD_COUNT; i++) {
        int fd = link_socket();
        l->spares[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, CONTROL_FD_FIRST + i);
        if (fd >= 0)
            close(fd);
        if (l->spares[i] != CONTROL_FD_FIRST + i)
            return false;
    }
    return true;
}

struct control_link *control_link_new(struct event_base *base, const char *path, control_kick_fn kick,
                                      control_answer_fn welcome, void *arg)
{
    int fd = link_connect(path);
    struct control_link *l = fd < 0 ? NULL : calloc(1, sizeof *l);
    if (l == NULL) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    l->base = base;
    l->kick = kick;
    l->welcome = welcome;
    l->arg = arg;
    snprintf(l->path, sizeof l->path, "%s", path);
    TAILQ_INIT(&l->questions);
    l->retry = evtimer_new(base, on_retry, l);
    l->link = link_new(base, fd, on_packet, on_end, l);
    if (l->retry == NULL || l->link == NULL || !make_spares(l)) {
        control_link_free(l);
        return NULL;
    }
    return l;
}

void control_link_free(struct control_link *l)
{
    if (l == NULL)
        return;
    while (!TAILQ_EMPTY(&l->questions))
        question_free(l, TAILQ_FIRST(&l->questions));
    if (l->retry != NULL)
        event_free(l->retry);
    link_free(l->link);
    for (int i = 0; i < CONTROL_FD_COUNT; i++) {
        if (l->spares[i] > 0)
            close(l->spares[i]);
    }
    free(l);
}

uint64_t control_link_ask(struct control_link *l, struct message *message, control_answer_fn answer,
                          void *arg)
{
    struct question *q = calloc(1, sizeof *q);
    if (q == NULL) {
        log_event(LOG_LEVEL_ERROR, "out_of_memory", "where=control_link");
        _exit(1); // this process is one connection; without a question it can do nothing for it
    }
    message->id = ++l->next_id;
    *q = (struct question){.message = *message, .asked = monotonic_ms(), .answer = answer, .arg = arg};
    TAILQ_INSERT_TAIL(&l->questions, q, entry);
    send_question(l, q);
    return message->id;
}

void control_link_forget(struct control_link *l, uint64_t id)
{
    struct question *q = question_find(l, id);
    if (q == NULL)
        return;
    if (q->message.type == MESSAGE_OPEN && q->sent) {
        struct message cancel = {.type = MESSAGE_CANCEL, .id = id};
        control_link_tell(l, &cancel);
    }
    question_free(l, q);
}

void control_link_tell(struct control_link *l, const struct message *statement)
{
    if (l->link == NULL || l->attaching || message_send(l->link, statement, NULL, 0) != ERR_NONE)
        log_event(LOG_LEVEL_WARN, "control_not_told", "type=%s", message_name(statement->type));
}

void control_link_set_token(struct control_link *l, const char *token)
{
    snprintf(l->token, sizeof l->token, "%s", token);
}
