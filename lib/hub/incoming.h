/* A file that is copied into a repository of a file: hub: under a name that nobody else has until it is whole. */
#ifndef TN_INCOMING_H
#define TN_INCOMING_H

#include "copy.h"
#include "history.h"

struct incoming {
    struct copy copy;
    struct text source;
    struct text path;  /* "" when there is nothing to be removed */
};

void tn_incoming_init(struct incoming *incoming, struct tenon_context *context, struct co *waiter);
/* Opens the source, which is set, and the file that it is copied to. hash: as tn_copy_start takes it. */
tenon_status tn_incoming_start(struct incoming *incoming, const struct history *history, struct hash *hash);
/* A slice: TENON_AGAIN while there is more. */
tenon_status tn_incoming_slice(struct incoming *incoming, struct failure *failure);
/* It is durable and gets its name; NULL: it is not needed and goes. */
tenon_status tn_incoming_finish(struct incoming *incoming, const char *name, struct failure *failure);
/* Gives back everything; what has no name goes. */
void tn_incoming_clear(struct incoming *incoming);

/* As tn_copy_go_on. */
static inline bool tn_incoming_go_on(const struct incoming *incoming)
{
    return tn_copy_go_on(&incoming->copy);
}

static inline bool tn_incoming_running(const struct incoming *incoming)
{
    return tn_copy_running(&incoming->copy);
}

#endif
