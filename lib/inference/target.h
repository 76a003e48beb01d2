/* What a target of inference stands for. */
#ifndef TN_TARGET_H
#define TN_TARGET_H

#include "context.h"

struct target {
    struct text address; /* without a slash at its end */
    struct text key;     /* "" for none */
};

void tn_target_init(struct target *target, struct tenon_context *context);
/* name is a job's id or an address; key wins over the job's own, NULL for none. */
tenon_status tn_target_open(struct target *target, struct tenon_context *context, const char *name, const char *key,
                            struct failure *failure);
void tn_target_clear(struct target *target);
/* The key to send; NULL for none. */
const char *tn_target_key(const struct target *target);

#endif
