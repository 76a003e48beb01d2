#define _GNU_SOURCE
#include "work.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { STACK = 512 * 1024 };

struct worker {
    struct workers *owner;
    int32_t users;         /* the loop's thread counts them */
    bool started;
    bool leaves;           /* from here on under the mutex */
    pthread_t thread;
    pthread_cond_t called;
    struct link queue;
};

struct workers {
    struct tenon_context *context;
    struct source source;  /* readable when something is done */
    pthread_mutex_t mutex;
    pthread_cond_t finished;
    struct link done;      /* and not seen yet by the loop */
    int32_t count;
    struct worker workers[];
};

/* ---- on a worker ---- */

static void finish(struct workers *workers, struct work *work)
{
    bool told = !tn_list_empty(&workers->done);

    work->done = true;
    tn_list_add(&workers->done, &work->link);
    pthread_cond_broadcast(&workers->finished);
    if (!told)
        tn_signal(workers->source.fd);
}

static void *work_on(void *object)
{
    struct worker *worker = object;
    struct workers *workers = worker->owner;

    pthread_mutex_lock(&workers->mutex);
    while (!worker->leaves || !tn_list_empty(&worker->queue)) {
        struct link *link = tn_list_take(&worker->queue);

        if (link != NULL) {
            struct work *work = TN_CONTAINER(link, struct work, link);

            pthread_mutex_unlock(&workers->mutex);
            work->run(work);
            pthread_mutex_lock(&workers->mutex);
            finish(workers, work);
        } else
            pthread_cond_wait(&worker->called, &workers->mutex);
    }
    pthread_mutex_unlock(&workers->mutex);
    return NULL;
}

/* ---- on the loop's thread ---- */

static void work_done(struct source *source, unsigned events)
{
    struct workers *workers = TN_CONTAINER(source, struct workers, source);
    struct link done, *link;

    (void)events;
    tn_signal_take(source->fd);
    tn_list_init(&done);
    pthread_mutex_lock(&workers->mutex);
    tn_list_move(&done, &workers->done);
    pthread_mutex_unlock(&workers->mutex);
    while ((link = tn_list_take(&done)) != NULL) {
        struct work *work = TN_CONTAINER(link, struct work, link);

        work->worker = NULL;
        tn_co_wake(work->waiter);
    }
}

static void send_home(struct worker *worker)
{
    if (worker->started) {
        pthread_mutex_lock(&worker->owner->mutex);
        worker->leaves = true;
        pthread_cond_signal(&worker->called);
        pthread_mutex_unlock(&worker->owner->mutex);
        pthread_join(worker->thread, NULL);
    }
    pthread_cond_destroy(&worker->called);
}

static void workers_destroy(void *object)
{
    struct workers *workers = object;
    struct tenon_context *context = workers->context;

    /* In a forked child nobody works, and whether the mutex is free nobody knows. */
    if (!tn_forked(context)) {
        for (int32_t i = 0; i < workers->count; i++)
            send_home(&workers->workers[i]);
        tn_source_unwatch(&context->loop, &workers->source);
        pthread_cond_destroy(&workers->finished);
        pthread_mutex_destroy(&workers->mutex);
    }
    close(workers->source.fd);
    tn_release(&context->memory, workers);
}

static bool workers_open(struct workers *workers, struct tenon_context *context)
{
    workers->context = context;
    workers->source.ready = work_done;
    tn_list_init(&workers->done);
    if (!tn_signal_watch(&context->loop, &workers->source))
        return false;
    pthread_mutex_init(&workers->mutex, NULL);
    pthread_cond_init(&workers->finished, NULL);
    for (workers->count = 0; workers->count < context->workers; workers->count++) {
        struct worker *worker = &workers->workers[workers->count];

        worker->owner = workers;
        tn_list_init(&worker->queue);
        pthread_cond_init(&worker->called, NULL);
    }
    return true;
}

/* The context's workers, made when they are first needed; NULL where there are none to be had. */
static struct workers *workers_of(struct tenon_context *context)
{
    struct attachment *attachment = &context->attachments[ATTACH_WORKERS];
    struct workers *workers = attachment->object;

    if (workers != NULL || context->workers == 0)
        return workers;
    workers = tn_alloc(&context->memory, sizeof *workers + (size_t)context->workers * sizeof workers->workers[0]);
    if (workers == NULL || !workers_open(workers, context)) {
        tn_release(&context->memory, workers);
        return NULL;
    }
    attachment->object = workers;
    attachment->destroy = workers_destroy;
    return workers;
}

/* Signals are for the host's own threads, but for those that a thread brings upon itself. */
static bool start_thread(struct worker *worker)
{
    static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
    pthread_attr_t attributes;
    sigset_t all, before;

    sigfillset(&all);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        sigdelset(&all, own[i]);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    worker->started = pthread_create(&worker->thread, &attributes, work_on, worker) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (worker->started)
        pthread_setname_np(worker->thread, "tenon-worker");
    return worker->started;
}

/* The one with the fewest users, of those that work already or of all. */
static struct worker *least_used(struct workers *workers, bool started)
{
    struct worker *found = NULL;

    for (int32_t i = 0; i < workers->count; i++) {
        struct worker *worker = &workers->workers[i];

        if ((worker->started || !started) && (found == NULL || worker->users < found->users))
            found = worker;
    }
    return found;
}

struct worker *tn_worker_take(struct tenon_context *context)
{
    struct workers *workers = workers_of(context);
    struct worker *worker = workers != NULL ? least_used(workers, false) : NULL;

    /* Where no more threads are to be had, there may be some. */
    if (worker != NULL && !worker->started && !start_thread(worker))
        worker = least_used(workers, true);
    if (worker != NULL)
        worker->users++;
    return worker;
}

void tn_worker_give(struct worker *worker)
{
    if (worker != NULL)
        worker->users--;
}

void tn_work_start(struct work *work, struct worker *worker, void (*run)(struct work *work), struct co *waiter)
{
    work->worker = worker;
    work->waiter = waiter;
    work->run = run;
    work->done = false;
    if (worker == NULL) {
        run(work);
        return;
    }
    pthread_mutex_lock(&worker->owner->mutex);
    tn_list_add(&worker->queue, &work->link);
    pthread_cond_signal(&worker->called);
    pthread_mutex_unlock(&worker->owner->mutex);
}

void tn_work_wait(struct work *work)
{
    struct workers *workers = work->worker != NULL ? work->worker->owner : NULL;

    if (workers != NULL && !tn_forked(workers->context)) {
        pthread_mutex_lock(&workers->mutex);
        while (!work->done)
            pthread_cond_wait(&workers->finished, &workers->mutex);
        tn_unlink(&work->link);
        pthread_mutex_unlock(&workers->mutex);
    }
    work->worker = NULL;
}

void tn_work_drop(struct work *work)
{
    struct workers *workers = work->worker != NULL ? work->worker->owner : NULL;

    if (workers != NULL && !tn_forked(workers->context)) {
        pthread_mutex_lock(&workers->mutex);
        /* It stands in line, or is done. */
        work->done = work->done || tn_linked(&work->link);
        pthread_mutex_unlock(&workers->mutex);
    }
    tn_work_wait(work);
}
