#define _GNU_SOURCE
#include "loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "context.h"
#include "process.h"

enum { BATCH = 64, ROUNDS = 16 };

tenon_status tn_loop_init(struct loop *loop, const struct memory *memory)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };

    memset(loop, 0, sizeof *loop);
    loop->memory = memory;
    tn_list_init(&loop->ready);
    tn_list_init(&loop->later);
    loop->wake = -1;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll >= 0)
        loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event) != 0) {
        tn_loop_clear(loop);
        return TENON_ERROR_IO;
    }
    return TENON_OK;
}

void tn_loop_clear(struct loop *loop)
{
    /* Closing is all: in a forked child epoll_ctl and a read of the eventfd would reach into the parent. */
    if (loop->wake >= 0)
        close(loop->wake);
    if (loop->epoll >= 0)
        close(loop->epoll);
    loop->wake = -1;
    loop->epoll = -1;
}

/* ---- coroutines ---- */

void tn_co_start(struct co *co, struct tenon_context *context, tenon_status (*step)(struct co *co), struct co *waiter)
{
    memset(co, 0, sizeof *co);
    co->context = context;
    co->step = step;
    co->waiter = waiter;
    co->status = TENON_AGAIN;
    tn_co_wake(co);
}

void tn_co_wake(struct co *co)
{
    if (tn_co_running(co) && !tn_linked(&co->link)) {
        tn_list_add(&co->context->loop.ready, &co->link);
        tn_loop_hint(&co->context->loop);
    }
}

bool tn_co_go_on(struct co *co)
{
    if (tn_co_running(co) && !tn_linked(&co->link))
        tn_list_add(&co->context->loop.later, &co->link);
    return false;
}

void tn_co_stop(struct co *co)
{
    tn_unlink(&co->link);
    if (tn_co_running(co))
        co->status = TENON_ERROR_CANCELLED;
    co->waiter = NULL;
}

static void co_run(struct co *co)
{
    tenon_status status = co->step(co);

    if (status != TENON_AGAIN) {
        struct co *waiter = co->waiter;

        tn_unlink(&co->link);
        co->status = status;
        co->waiter = NULL;
        if (waiter != NULL)
            tn_co_wake(waiter);
    }
}

/*
 * Runs those that can go on, and those that they wake, for some rounds: a turn of the loop costs more than most steps. Work that is
 * done in slices goes on in the next turn, so that descriptors and the host get theirs.
 */
static int run_ready(struct loop *loop)
{
    struct link now, *link;
    int count = 0;

    for (int round = 0; round < ROUNDS && !tn_list_empty(&loop->ready); round++) {
        tn_list_init(&now);
        tn_list_move(&now, &loop->ready);
        while ((link = tn_list_take(&now)) != NULL) {
            co_run(TN_CONTAINER(link, struct co, link));
            count++;
        }
    }
    while ((link = tn_list_take(&loop->later)) != NULL)
        tn_list_add(&loop->ready, link);
    return count;
}

/* ---- timers: a pairing heap, the next one due on top; nothing needs memory ---- */

/* Of two heaps one: the later one becomes the first child of the other. */
static struct timer *meld(struct timer *a, struct timer *b)
{
    struct timer *first = b, *second = a;

    if (a != NULL && (b == NULL || a->due_ms <= b->due_ms)) {
        first = a;
        second = b;
    }
    if (second != NULL) {
        second->before = first;
        second->next = first->child;
        if (first->child != NULL)
            first->child->before = second;
        first->child = second;
    }
    return first;
}

static struct timer *take_apart(struct timer *timer)
{
    struct timer *next = timer != NULL ? timer->next : NULL;

    if (timer != NULL)
        timer->next = timer->before = NULL;
    return next;
}

/* Of a row of children one heap: by twos, and then all of these, which is what makes it quick. */
static struct timer *meld_all(struct timer *first)
{
    struct timer *twos = NULL, *all = NULL;

    while (first != NULL) {
        struct timer *second = take_apart(first), *rest = take_apart(second), *two = meld(first, second);

        two->next = twos;
        twos = two;
        first = rest;
    }
    while (twos != NULL) {
        struct timer *rest = take_apart(twos);

        all = meld(all, twos);
        twos = rest;
    }
    return all;
}

void tn_timer_set(struct tenon_context *context, struct timer *timer, int64_t after_ms, struct co *co)
{
    struct loop *loop = &context->loop;

    tn_timer_stop(context, timer);
    timer->due_ms = tn_later(tn_now(context), after_ms);
    timer->co = co;
    timer->set = true;
    loop->timers = meld(loop->timers, timer);
    if (loop->timers == timer)
        tn_loop_hint(loop);
}

void tn_timer_stop(struct tenon_context *context, struct timer *timer)
{
    struct loop *loop = &context->loop;
    struct timer *children = timer->child, *before = timer->before;

    if (!timer->set)
        return;
    if (before == NULL)
        loop->timers = NULL;
    else if (before->child == timer)
        before->child = timer->next;
    else
        before->next = timer->next;
    if (timer->next != NULL)
        timer->next->before = before;
    timer->set = false;
    timer->child = timer->next = timer->before = NULL;
    loop->timers = meld(loop->timers, meld_all(children));
}

static int run_timers(struct tenon_context *context)
{
    struct loop *loop = &context->loop;
    int64_t now = tn_now(context);
    int count = 0;

    while (loop->timers != NULL && loop->timers->due_ms <= now) {
        struct timer *timer = loop->timers;

        tn_timer_stop(context, timer);
        if (timer->fire != NULL)
            timer->fire(timer);
        else if (timer->co != NULL)
            tn_co_wake(timer->co);
        count++;
    }
    return count;
}

/* ---- descriptors ---- */

void tn_signal(int eventfd)
{
    uint64_t one = 1;
    ssize_t result;

    /* A full counter is as good as a written one. */
    do
        result = write(eventfd, &one, sizeof one);
    while (result < 0 && errno == EINTR);
}

void tn_signal_take(int eventfd)
{
    uint64_t count;
    ssize_t got;

    do
        got = read(eventfd, &count, sizeof count);
    while (got < 0 && errno == EINTR);
}

tenon_status tn_source_watch(struct loop *loop, struct source *source, unsigned events)
{
    struct epoll_event event = { .data.ptr = source };
    int result;

    if (events & TN_READABLE)
        event.events |= EPOLLIN;
    if (events & TN_WRITABLE)
        event.events |= EPOLLOUT;
    result = epoll_ctl(loop->epoll, source->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, source->fd, &event);
    /* The number may have been closed and opened anew behind our back. */
    if (result != 0 && errno == ENOENT) {
        source->watched = false;
        result = epoll_ctl(loop->epoll, EPOLL_CTL_ADD, source->fd, &event);
    } else if (result != 0 && errno == EEXIST) {
        source->watched = true;
        result = epoll_ctl(loop->epoll, EPOLL_CTL_MOD, source->fd, &event);
    }
    /* One that could not be changed is watched as before, unless it is closed. */
    source->watched = result == 0 || (source->watched && errno != EBADF);
    return result == 0 ? TENON_OK : TENON_ERROR_IO;
}

void tn_source_unwatch(struct loop *loop, struct source *source)
{
    struct epoll_event event = { 0 };

    if (!source->watched)
        return;
    if (loop->epoll >= 0)
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, &event);
    source->watched = false;
    for (int i = 0; i < loop->batch_count; i++)
        if (loop->batch[i].data.ptr == source)
            loop->batch[i].events = 0;
}

bool tn_signal_watch(struct loop *loop, struct source *source)
{
    bool watched;

    source->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    watched = source->fd >= 0 && tn_source_watch(loop, source, TN_READABLE) == TENON_OK;
    if (source->fd >= 0 && !watched)
        close(source->fd);
    return watched;
}

static void drain_wake(struct loop *loop)
{
    loop->woken = false;
    tn_signal_take(loop->wake);
}

static void handle_batch(struct loop *loop)
{
    for (int i = 0; i < loop->batch_count; i++) {
        struct epoll_event *event = &loop->batch[i];
        struct source *source = event->data.ptr;
        unsigned events = 0;

        if (source == NULL) {
            drain_wake(loop);
            continue;
        }
        if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
            events |= TN_READABLE;
        if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            events |= TN_WRITABLE;
        if (event->events != 0)
            source->ready(source, events);
    }
}

static int wait_length(struct tenon_context *context, int64_t timeout_ms)
{
    int64_t own = tn_loop_timeout(context);

    if (own >= 0 && (timeout_ms < 0 || own < timeout_ms))
        timeout_ms = own;
    if (timeout_ms > INT32_MAX)
        timeout_ms = INT32_MAX;
    return timeout_ms < 0 ? -1 : (int)timeout_ms;
}

tenon_status tn_loop_step(struct tenon_context *context, int64_t timeout_ms)
{
    struct loop *loop = &context->loop;
    struct epoll_event batch[BATCH];
    struct pipe_guard guard;
    int done = 0, count;

    count = epoll_wait(loop->epoll, batch, BATCH, wait_length(context, timeout_ms));
    if (count < 0 && errno != EINTR)
        return TENON_ERROR_IO;
    tn_pipe_block(&guard);
    loop->stepping = true;
    if (count > 0) {
        done = count;
        loop->batch = batch;
        loop->batch_count = count;
        handle_batch(loop);
        loop->batch = NULL;
        loop->batch_count = 0;
    }
    done += run_timers(context);
    done += run_ready(loop);
    loop->stepping = false;
    tn_pipe_restore(&guard);
    if (!tn_list_empty(&loop->ready))
        tn_loop_hint(loop);
    return done > 0 ? TENON_OK : TENON_AGAIN;
}

int64_t tn_loop_timeout(struct tenon_context *context)
{
    struct loop *loop = &context->loop;
    int64_t timeout = -1;

    if (!tn_list_empty(&loop->ready))
        timeout = 0;
    else if (loop->timers != NULL && loop->timers->due_ms < TN_NEVER) {
        timeout = loop->timers->due_ms - tn_now(context);
        if (timeout < 0)
            timeout = 0;
    }
    return timeout;
}

void tn_loop_wake(struct loop *loop)
{
    tn_signal(loop->wake);
}

void tn_loop_hint(struct loop *loop)
{
    if (!loop->woken && !loop->stepping) {
        loop->woken = true;
        tn_loop_wake(loop);
    }
}
