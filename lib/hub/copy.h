/*
 * A file of this machine read slice by slice, so that others come in between: hashed, copied, or both; by a worker of the
 * context where it has some. What is copied is made durable meanwhile, and is never further ahead of that than hub.part_bytes
 * twice: the disk shall not have to take all of it at the end.
 */
#ifndef TN_COPY_H
#define TN_COPY_H

#include "durable.h"
#include "hash.h"
#include "work.h"

struct copy {
    struct tenon_context *context;
    struct co *waiter;
    struct hash *hash;      /* NULL: none is made */
    int input;              /* -1: none is under way */
    int output;
    int64_t bytes;          /* read so far */
    bool ended;             /* that is all */
    bool waits;             /* for a worker or the disk */

    /* The slice that is being read, or was. */
    struct work work;
    struct worker *worker;
    char *slice;
    size_t got;
    bool read;              /* it is to be looked at */
    int error;              /* as errno has it */
    bool unread;            /* that is of reading */

    struct durable durable;
    int64_t ordered;        /* bytes that are durable once that has ended */
    bool behind;            /* the disk, and no more is written for now */
};

void tn_copy_init(struct copy *copy, struct tenon_context *context, struct co *waiter);
/*
 * Opens the source. The output (-1: it is only read) and the hash, which runs already, stay the caller's, who must not give
 * them up before the copy is stopped.
 */
tenon_status tn_copy_start(struct copy *copy, const char *source, int output, struct hash *hash, struct failure *failure);
/* A slice: TENON_AGAIN while there is more. Its last bytes are durable only when the caller has seen to it. */
tenon_status tn_copy_slice(struct copy *copy, const char *source, const char *target, struct failure *failure);
/* After TENON_AGAIN: the waiter goes on in the next turn, or when there is something new. Always false, for AWAIT. */
bool tn_copy_go_on(const struct copy *copy);
/* Closes the source, and waits for what is under way. Safe at any moment, also twice. */
void tn_copy_stop(struct copy *copy);

static inline bool tn_copy_running(const struct copy *copy)
{
    return copy->input >= 0;
}

#endif
