/* tenon_hub_exists: is there such a repository, revision, file? */
#include <limits.h>
#include <string.h>

#include "folder.h"
#include "metadata.h"
#include "operation.h"

struct exists {
    struct hub_task base;
    const char *path; /* NULL: the repository and its revision */
    struct resolution resolution;
    struct metadata metadata;
};

static tenon_status no_such_file(struct exists *exists, struct failure *failure)
{
    tn_fail(failure, TENON_ERROR_NOT_FOUND, "%s has no file %s at %s", exists->base.repository.id, exists->path,
            exists->base.repository.revision);
    tn_failure_set_code(failure, "EntryNotFound");
    return failure->status;
}

static tenon_status look_in_folder(struct exists *exists)
{
    struct tenon_task *task = &exists->base.task;
    struct tree tree;
    char commit[41];
    tenon_status status;

    tn_tree_init(&tree, &task->handle.context->memory);
    status = tn_folder_open_revision(exists->base.hub, &exists->base.repository, commit, &tree, &task->failure);
    if (status == TENON_OK && exists->path != NULL && tn_tree_find(&tree, exists->path) == NULL)
        status = no_such_file(exists, &task->failure);
    if (status == TENON_OK)
        status = tn_task_set_text(task, commit);
    tn_tree_clear(&tree);
    return status;
}

/* What the cache knows: TENON_OK or the failure, which is OFFLINE when it does not know. */
static tenon_status look_in_cache(struct exists *exists, struct failure *failure)
{
    struct tenon_task *task = &exists->base.task;
    const struct cache *cache = &exists->base.cache;
    struct text path;
    char commit[41];
    tenon_status status = TENON_OK;
    bool known = tn_hub_cached_commit(&exists->base, commit);

    tn_text_init(&path, &task->handle.context->memory, PATH_MAX);
    tn_cache_snapshot_path(cache, known ? commit : "", "", &path);
    /* A commit that somebody made up is known to nobody. */
    if (!known || (exists->path == NULL && tn_is_commit(exists->base.repository.revision) && !tn_folder_exists(tn_text(&path))))
        status = tn_hub_fail_offline(failure, exists->base.repository.id);
    else if (exists->path != NULL && !tn_cache_has(cache, commit, exists->path, -1, &path))
        status = tn_cache_knows_absent(cache, commit, exists->path) ? no_such_file(exists, failure)
                                                                    : tn_hub_fail_offline(failure, exists->path);
    if (status == TENON_OK)
        status = tn_task_set_text(task, commit);
    tn_text_clear(&path);
    return status;
}

/* True when the cache may answer, and knows: then status is the answer. */
static bool cache_answers(struct exists *exists, tenon_status *status)
{
    struct failure failure;
    bool offline = tn_hub_is_offline(exists->base.hub, exists->base.policy), answers = false;

    tn_failure_init(&failure, &exists->base.task.handle.context->memory, NULL);
    if (tn_hub_cache_suffices(&exists->base)) {
        *status = look_in_cache(exists, &failure);
        answers = offline || *status != TENON_ERROR_OFFLINE;
    }
    if (answers && *status != TENON_OK)
        *status = tn_task_fail_from(&exists->base.task, &failure);
    tn_failure_clear(&failure);
    return answers;
}

/* Did the hub itself say that there is no such thing, or not for us? */
static bool is_answer(tenon_status status)
{
    return status == TENON_ERROR_NOT_FOUND || status == TENON_ERROR_GATED || status == TENON_ERROR_UNAUTHORIZED ||
           status == TENON_ERROR_FORBIDDEN;
}

/* What the hub said; when it could not be asked, what the cache knows. */
static tenon_status judge(struct exists *exists, tenon_status status, struct failure *failure, const char *commit)
{
    struct failure other;

    if (status == TENON_OK)
        return tn_task_set_text(&exists->base.task, commit);
    tn_failure_init(&other, failure->memory, NULL);
    if (!is_answer(status) && tn_hub_cache_may_stand_in(&exists->base, failure) && look_in_cache(exists, &other) == TENON_OK)
        status = TENON_OK;
    else
        status = tn_task_fail_from(&exists->base.task, failure);
    tn_failure_clear(&other);
    return status;
}

static tenon_status exists_step(struct co *co)
{
    struct exists *exists = TN_CONTAINER(co, struct exists, base.task.co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    if (exists->base.hub->folder != NULL)
        status = look_in_folder(exists);
    else if (cache_answers(exists, &status))
        goto done;
    else if (exists->path == NULL) {
        tn_resolution_start(&exists->resolution, &exists->base.repository, false, co);
        AWAIT(co, !tn_co_running(&exists->resolution.co));
        status = judge(exists, exists->resolution.co.status, &exists->resolution.failure, exists->resolution.commit);
    } else {
        tn_metadata_start(&exists->metadata, &exists->base.repository, exists->path, -1, co);
        AWAIT(co, !tn_co_running(&exists->metadata.co));
        status = judge(exists, exists->metadata.co.status, &exists->metadata.failure, exists->metadata.commit);
    }
    CO_END(co);
done:
    return status;
}

static void exists_clear(struct tenon_task *task)
{
    struct exists *exists = TN_CONTAINER(task, struct exists, base.task);

    tn_resolution_clear(&exists->resolution);
    tn_metadata_clear(&exists->metadata);
    tn_hub_task_clear(&exists->base);
}

static const struct operation operation = { .name = "asking whether something exists", .size = sizeof(struct exists),
                                            .step = exists_step, .clear = exists_clear };

static tenon_status exists_new(tenon_hub *hub, const char *repository, const char *path, const tenon_repository_options *given,
                               tenon_task **task)
{
    tenon_repository_options options;
    struct exists *exists = NULL;
    tenon_status status = tn_options(hub->handle.context, given, &options, sizeof options);

    if (status == TENON_OK && path != NULL)
        status = tn_hub_check_path(hub->handle.context, path);
    if (status == TENON_OK)
        status = tn_hub_task_new(hub, &operation, repository, options.revision, options.policy, &exists);
    if (status != TENON_OK)
        return status;
    tn_resolution_init(&exists->resolution, hub);
    tn_metadata_init(&exists->metadata, hub);
    status = tn_task_keep(&exists->base.task, path, &exists->path);
    if (status == TENON_OK)
        *task = &exists->base.task;
    else
        tn_task_drop(&exists->base.task);
    return status;
}

tenon_status tenon_hub_exists(tenon_hub *hub, const char *repository, const char *path, const tenon_repository_options *options,
                              tenon_task **task)
{
    TN_HUB_CALL(hub, exists_new(hub, repository, path, options, &made), task);
}
