/*
 * Files are made durable while others go on: Linux does that by itself, many files at once and on one trip to the disk (its aio
 * knows fdatasync; no thread is started), and says when it has. Where that is not to be had, whoever starts it waits.
 *
 * A shim of tests that wants to see each fdatasync lets io_setup fail: tests/hub/faults.c.
 */
#ifndef TN_DURABLE_H
#define TN_DURABLE_H

#include "context.h"

struct flush;

struct durable {
    struct flush *flush; /* under way; NULL when it is not */
    struct co *waiter;
    int error;           /* what became of it, as errno has it */
};

/*
 * What the file has now is to be durable; it stays open until that has ended or is stopped. All that is started in one turn of the
 * loop is ordered at its end, together. One that was under way is no longer waited for.
 */
void tn_durable_start(struct durable *durable, struct tenon_context *context, int fd, struct co *waiter);
/* What became of it, once it does not run any more. */
tenon_status tn_durable_end(const struct durable *durable, const char *path, struct failure *failure);
/* Lets nobody else go on before it has ended. */
void tn_durable_wait(struct durable *durable, struct tenon_context *context);
/* Nobody waits for it any more; what the system has begun it finishes. */
void tn_durable_stop(struct durable *durable);

static inline bool tn_durable_running(const struct durable *durable)
{
    return durable->flush != NULL;
}

#endif
