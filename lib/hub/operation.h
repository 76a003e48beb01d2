/* What the public operations of this folder have in common. */
#ifndef TN_OPERATION_H
#define TN_OPERATION_H

#include "cache.h"
#include "hub.h"
#include "tree.h"

/* An operation about one repository; its own members follow. */
struct hub_task {
    struct tenon_task task;
    tenon_hub *hub; /* with a reference */
    struct repository repository;
    struct cache cache;
    int32_t policy;
};

/* Makes one: names checked, cache folder known. revision may be NULL. */
tenon_status tn_hub_task_new(tenon_hub *hub, const struct operation *operation, const char *repository, const char *revision,
                             int32_t policy, void *out);
/* Gives back what tn_hub_task_new filled in; for the operations' clear. */
void tn_hub_task_clear(struct hub_task *task);

/* The commit that the task's revision stands for as far as the cache knows; false when it does not. commit has room for 41. */
bool tn_hub_cached_commit(const struct hub_task *task, char *commit);
/* May what the cache has of the revision be the answer without a request? */
bool tn_hub_cache_suffices(const struct hub_task *task);
/* May it stand in for the hub after a request that failed so? */
bool tn_hub_cache_may_stand_in(const struct hub_task *task, const struct failure *failure);

/* Fails unless path may be a file of a repository. */
tenon_status tn_hub_check_path(struct tenon_context *context, const char *path);

/* Keeps the absolute path of a folder of the user's; NULL stays NULL. */
tenon_status tn_hub_keep_folder(struct tenon_task *task, const char *folder, const char **kept);

/* A public call: enters, makes, and launches. */
#define TN_HUB_CALL(hub, make, out)                                                              \
    tenon_status status = (hub) != NULL ? tn_enter((hub)->handle.context) : TENON_ERROR_MISUSE;  \
    struct tenon_task *made = NULL;                                                              \
                                                                                                 \
    if (status != TENON_OK)                                                                      \
        return status;                                                                           \
    status = (make);                                                                             \
    if (status == TENON_OK)                                                                      \
        status = tn_task_launch(made, out);                                                      \
    return tn_leave((hub)->handle.context, status)

#endif
