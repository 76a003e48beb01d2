/*
 * Work beside the loop: hashing and writing, done by the context's worker threads where its owner asked for some, and at once
 * where not. One worker does what it is given in order. Work touches nothing but what it was given: no context, no memory that
 * is allocated or given back, no failure; an errno it leaves where its owner finds it.
 */
#ifndef TN_WORK_H
#define TN_WORK_H

#include "context.h"

struct worker;

struct work {
    struct worker *worker;          /* who has it to do; NULL: it is idle, or has been done */
    struct co *waiter;
    void (*run)(struct work *work);
    struct link link;
    bool done;
};

/* The worker with the fewest users, who is now one of them; NULL where the context has none to give. */
struct worker *tn_worker_take(struct tenon_context *context);
/* NULL is no failure. Nothing that was started runs any more. */
void tn_worker_give(struct worker *worker);

/* Does it: later, and the waiter is woken, or with no worker at once. */
void tn_work_start(struct work *work, struct worker *worker, void (*run)(struct work *work), struct co *waiter);
/* Lets nobody else go on before it is done. In a forked child, where nobody does it, it is given up. */
void tn_work_wait(struct work *work);
/* What was not begun is not done at all; what was is waited for. */
void tn_work_drop(struct work *work);

static inline bool tn_work_running(const struct work *work)
{
    return work->worker != NULL;
}

#endif
