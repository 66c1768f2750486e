// Owns the threads, their two queues and the eventfd to the loop. Knows nothing of what jobs do.
#include "provision/job.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct queue {
    struct job *head, **tail;
};

struct thread {
    pthread_t id;
    struct job_pool *pool;
    void *worker;
};

struct job_pool {
    pthread_mutex_t lock; // guards everything up to `notes_tail`
    pthread_cond_t wake;
    struct queue quick, slow;
    unsigned waiting, running, slow_running;
    bool stopping;
    struct job_note *notes, **notes_tail;

    int fd; // eventfd: notes are there
    struct event *event;
    struct job_hooks hooks;
    unsigned slow_max, thread_count;
    struct thread threads[];
};

static void queue_init(struct queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static struct job *queue_take(struct queue *q)
{
    struct job *job = q->head;
    q->head = job->next;
    if (q->head == NULL)
        q->tail = &q->head;
    job->next = NULL;
    return job;
}

// Called with the lock held; waits. NULL when the pool stops.
static struct job *next_job(struct job_pool *p)
{
    for (;;) {
        if (p->stopping)
            return NULL;
        if (p->quick.head != NULL)
            return queue_take(&p->quick);
        if (p->slow.head != NULL && p->slow_running < p->slow_max)
            return queue_take(&p->slow);
        pthread_cond_wait(&p->wake, &p->lock);
    }
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    struct job_pool *p = t->pool;
    struct job *job;
    pthread_mutex_lock(&p->lock);
    while ((job = next_job(p)) != NULL) {
        bool slow = job->slow;
        p->waiting--;
        p->running++;
        p->slow_running += slow;
        pthread_mutex_unlock(&p->lock);
        job->run(job, t->worker); // job may be gone after this
        pthread_mutex_lock(&p->lock);
        p->running--;
        p->slow_running -= slow;
        if (slow && p->slow.head != NULL)
            pthread_cond_signal(&p->wake);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void on_notes(evutil_socket_t fd, short what, void *arg)
{
    struct job_pool *p = arg;
    uint64_t count;
    (void)what;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n; // nothing to read is fine: the queue tells
    pthread_mutex_lock(&p->lock);
    struct job_note *notes = p->notes;
    p->notes = NULL;
    p->notes_tail = &p->notes;
    pthread_mutex_unlock(&p->lock);
    while (notes != NULL) {
        struct job_note *note = notes;
        notes = note->next;
        note->deliver(note, false);
    }
}

void job_submit(struct job_pool *p, struct job *job)
{
    struct queue *q = job->slow ? &p->slow : &p->quick;
    pthread_mutex_lock(&p->lock);
    job->next = NULL;
    *q->tail = job;
    q->tail = &job->next;
    p->waiting++;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

void job_post(struct job_pool *p, struct job_note *note)
{
    const uint64_t one = 1;
    pthread_mutex_lock(&p->lock);
    bool first = p->notes == NULL;
    note->next = NULL;
    *p->notes_tail = note;
    p->notes_tail = &note->next;
    pthread_mutex_unlock(&p->lock);
    if (!first)
        return;
    while (write(p->fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

void job_pool_count(struct job_pool *p, unsigned *waiting, unsigned *running)
{
    pthread_mutex_lock(&p->lock);
    *waiting = p->waiting;
    *running = p->running;
    pthread_mutex_unlock(&p->lock);
}

// Signals belong to the loop's thread.
static enum err start_threads(struct job_pool *p, unsigned threads, struct fault *f)
{
    sigset_t all, old;
    enum err e = ERR_NONE;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (unsigned k = 0; k < threads && e == ERR_NONE; k++) {
        struct thread *t = &p->threads[k];
        t->pool = p;
        t->worker = p->hooks.worker_new(p->hooks.arg);
        if (t->worker == NULL) {
            e = fault_set(f, ERR_MEMORY, "out of memory");
        } else if ((errno = pthread_create(&t->id, NULL, thread_main, t)) != 0) {
            e = fault_errno(f, ERR_IO, "cannot start a job thread");
            p->hooks.worker_free(t->worker);
        } else {
            p->thread_count++;
        }
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return e;
}

enum err job_pool_new(struct event_base *base, unsigned threads, const struct job_hooks *hooks,
                      struct job_pool **out, struct fault *f)
{
    enum err e = ERR_NONE;
    *out = NULL;
    struct job_pool *p = calloc(1, sizeof *p + threads * sizeof p->threads[0]);
    if (p == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    queue_init(&p->quick);
    queue_init(&p->slow);
    p->notes_tail = &p->notes;
    p->hooks = *hooks;
    // A quarter of the threads, at least one, is kept for the quick ones. With one thread there is no choice.
    unsigned kept = threads < 2 ? 0 : threads < 8 ? 1 : threads / 4;
    p->slow_max = threads - kept;
    p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (p->fd < 0) {
        e = fault_errno(f, ERR_IO, "cannot make an eventfd");
        goto out;
    }
    p->event = event_new(base, p->fd, EV_READ | EV_PERSIST, on_notes, p);
    if (p->event == NULL || event_add(p->event, NULL) != 0) {
        e = fault_set(f, ERR_MEMORY, "cannot add an event");
        goto out;
    }
    e = start_threads(p, threads, f);
out:
    if (e != ERR_NONE) {
        job_pool_free(p);
        return e;
    }
    *out = p;
    return ERR_NONE;
}

void job_pool_free(struct job_pool *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (unsigned k = 0; k < p->thread_count; k++) {
        pthread_join(p->threads[k].id, NULL);
        p->hooks.worker_free(p->threads[k].worker);
    }
    while (p->notes != NULL) {
        struct job_note *note = p->notes;
        p->notes = note->next;
        note->deliver(note, true);
    }
    if (p->event != NULL)
        event_free(p->event);
    if (p->fd >= 0)
        close(p->fd);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
