/*
 * A file of this machine read slice by slice, so that others come in between: hashed, copied, or both. What is copied is made
 * durable every hub.part_bytes, so that no turn of the loop waits for the disk to take all of it.
 */
#ifndef TN_COPY_H
#define TN_COPY_H

#include "context.h"
#include "hash.h"

struct copy {
    struct tenon_context *context;
    struct hash *hash;  /* NULL: none is made */
    int input;          /* -1: none is under way */
    int output;
    int64_t bytes;      /* read so far */
    int64_t durable;    /* of what was written, as far as is known */
};

void tn_copy_init(struct copy *copy, struct tenon_context *context);
/* Opens the source. The output (-1: it is only read) and the hash, which runs already, stay the caller's. */
tenon_status tn_copy_start(struct copy *copy, const char *source, int output, struct hash *hash, struct failure *failure);
/* A slice: TENON_AGAIN while there is more. Its last bytes are durable only when the caller has seen to it. */
tenon_status tn_copy_slice(struct copy *copy, const char *source, const char *target, struct failure *failure);
/* Closes the source. Safe at any moment, also twice. */
void tn_copy_stop(struct copy *copy);

static inline bool tn_copy_running(const struct copy *copy)
{
    return copy->input >= 0;
}

#endif
