/*
 * Coroutines without stacks: an operation is a struct and a step function whose body reads top to bottom and gives way at
 * AWAIT. The struct saves the line at which it waits; the step function jumps back there when somebody wakes it.
 *
 *     static tenon_status fetch_step(struct co *co)
 *     {
 *         struct fetch *fetch = TN_CONTAINER(co, struct fetch, co);
 *
 *         CO_BEGIN(co);
 *         tn_request_start(&fetch->request, ...);
 *         AWAIT(co, !tn_co_running(&fetch->request.co));
 *         fetch->status = ...;
 *         CO_END(co);
 *         return fetch->status;
 *     }
 *
 * Rules:
 *   - What must survive an AWAIT lives in the struct. A local variable is lost there; declare them above CO_BEGIN and do
 *     not read one that was written before the last AWAIT.
 *   - No AWAIT inside a switch of your own. Inside loops and ifs is fine.
 *   - A step may be run without its condition having come true; AWAIT tests it again.
 *   - Whoever can make the condition true wakes the coroutine: a child that ends wakes its waiter, a timer and a watched
 *     descriptor wake theirs. tn_co_wake may be called at any time, also twice.
 *   - Long work is done in slices: AWAIT(co, (status = slice(x)) != TENON_AGAIN || tn_co_go_on(co)) lets others in between.
 *   - The step returns TENON_AGAIN while it waits, else its outcome, and is then not run again.
 *   - Cancelling is giving back what the struct holds (tn_co_stop and a clear function): no step runs for it. So a struct
 *     must at every AWAIT be in a state that its clear function understands.
 */
#ifndef TN_CO_H
#define TN_CO_H

#include <stdbool.h>

#include "list.h"
#include "tenon.h"

struct co {
    struct link link; /* in the loop's list of those that can go on */
    struct tenon_context *context;
    struct co *waiter;
    tenon_status (*step)(struct co *co);
    tenon_status status; /* TENON_AGAIN while it runs */
    int32_t line;
};

#define CO_BEGIN(co)          \
    switch ((co)->line) {     \
    default:

#define AWAIT(co, condition)                                          \
    do {                                                              \
        (co)->line = __LINE__;                                        \
        __attribute__((fallthrough));                                 \
    case __LINE__:                                                    \
        if (!(condition))                                             \
            return TENON_AGAIN;                                       \
    } while (0)

#define CO_END(co) }              \
    (co)->line = -1

/* Starts a coroutine; its first step runs in the next turn of the loop. The waiter may be NULL. */
void tn_co_start(struct co *co, struct tenon_context *context, tenon_status (*step)(struct co *co), struct co *waiter);
/* Lets it be stepped in this turn of the loop or the next. Nothing happens to one that does not run. */
void tn_co_wake(struct co *co);
/* Wakes it and is false: "not yet, but look again after the others", for work that is done in slices. */
bool tn_co_go_on(struct co *co);
/* Takes it out of the loop; one that still ran ends with TENON_ERROR_CANCELLED and wakes nobody. */
void tn_co_stop(struct co *co);

static inline bool tn_co_running(const struct co *co)
{
    return co->status == TENON_AGAIN;
}

#endif
