/*
 * The event loop of a context: coroutines that can go on, timers, and watched descriptors behind one epoll descriptor
 * that a foreign loop can wait on.
 */
#ifndef TN_LOOP_H
#define TN_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "co.h"
#include "memory.h"

/* A timer wakes its coroutine, or calls its function, once. */
struct timer {
    int64_t due_ms;
    struct co *co;
    void (*fire)(struct timer *timer);
    bool set;
    struct timer *child;  /* in the heap: the first that is due later */
    struct timer *next;   /* among its parent's children */
    struct timer *before; /* the child before it, or its parent; NULL on top */
};

enum { TN_READABLE = 1, TN_WRITABLE = 2 };

/* A watched descriptor. ready may unwatch it, or any other. */
struct source {
    int fd;
    bool watched;
    void (*ready)(struct source *source, unsigned events);
};

struct loop {
    const struct memory *memory;
    int epoll;
    int wake;
    bool woken; /* the wake descriptor is readable by our own doing */
    bool stepping;
    struct link ready; /* coroutines that can go on */
    struct link later; /* those that let all others go first */
    struct timer *timers; /* the next one due; NULL for none */
    struct epoll_event *batch; /* events being handled now */
    int batch_count;
};

tenon_status tn_loop_init(struct loop *loop, const struct memory *memory);
void tn_loop_clear(struct loop *loop);

/* One turn; TENON_AGAIN when there was nothing to do within the timeout. */
tenon_status tn_loop_step(struct tenon_context *context, int64_t timeout_ms);
int64_t tn_loop_timeout(struct tenon_context *context);
/* An eventfd that tells of something: says so, from any thread and from a signal handler; and takes that back. */
void tn_signal(int eventfd);
void tn_signal_take(int eventfd);
/* Makes one and watches it; false where there is none to be had. */
bool tn_signal_watch(struct loop *loop, struct source *source);
/* From any thread and from a signal handler. */
void tn_loop_wake(struct loop *loop);
/* Makes the descriptor readable, so that a foreign loop comes round. */
void tn_loop_hint(struct loop *loop);

#define TN_NEVER INT64_MAX

/* The moment that long after now, TN_NEVER at most; what is below 0 counts as 0. */
static inline int64_t tn_later(int64_t now_ms, int64_t after_ms)
{
    if (after_ms < 0)
        after_ms = 0;
    return now_ms > TN_NEVER - after_ms ? TN_NEVER : now_ms + after_ms;
}

/* Sets a timer, or sets it anew; TN_NEVER for one that does not ring. */
void tn_timer_set(struct tenon_context *context, struct timer *timer, int64_t after_ms, struct co *co);
void tn_timer_stop(struct tenon_context *context, struct timer *timer);

static inline bool tn_timer_running(const struct timer *timer)
{
    return timer->set;
}

/* Watches a descriptor for events (TN_READABLE, TN_WRITABLE); again to change them. */
tenon_status tn_source_watch(struct loop *loop, struct source *source, unsigned events);
void tn_source_unwatch(struct loop *loop, struct source *source);

#endif
