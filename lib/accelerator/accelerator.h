/* The accelerator handle, as other folders use it. */
#ifndef TN_ACCELERATOR_H
#define TN_ACCELERATOR_H

#include "context.h"
#include "machine.h"

struct tenon_accelerator {
    struct handle handle;
    struct inventory inventory;    /* all that its place had when it was opened */
    const struct machine *machine; /* the one that it is */
};

/* tenon_accelerator_open for a caller that is inside the context; a failure is in the context's. */
tenon_status tn_accelerator_open(struct tenon_context *context, const char *name, tenon_accelerator **accelerator);
/* Gives a reference back; the caller is inside the context. NULL is fine. */
void tn_accelerator_drop(tenon_accelerator *accelerator);
/* Adds to the inventory what every place has that this version knows. */
tenon_status tn_accelerators(struct tenon_context *context, struct inventory *inventory);

#endif
