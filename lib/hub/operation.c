#include "operation.h"

#include <string.h>

#include "path.h"

void tn_hub_task_clear(struct hub_task *task)
{
    tn_repository_clear(&task->repository);
    tn_cache_clear(&task->cache);
    tn_hub_drop(task->hub);
    task->hub = NULL;
}

static tenon_status fill(struct hub_task *task, tenon_hub *hub, const char *repository, const char *revision, int32_t policy)
{
    struct tenon_context *context = hub->handle.context;
    tenon_status status = TENON_OK;

    task->hub = tenon_hub_ref(hub);
    tn_cache_init(&task->cache, context);
    if (policy < TENON_CACHE_DEFAULT || policy > TENON_CACHE_OFFLINE)
        status = tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "policy %d is unknown", (int)policy);
    task->policy = tn_hub_policy(hub, policy);
    if (status == TENON_OK)
        status = tn_repository_parse(&task->repository, &context->memory, repository, revision, hub->endpoint, &context->failure);
    if (status == TENON_OK)
        status = tn_cache_open(&task->cache, hub->cache, &task->repository, &context->failure);
    return status;
}

tenon_status tn_hub_task_new(tenon_hub *hub, const struct operation *operation, const char *repository, const char *revision,
                             int32_t policy, void *out)
{
    struct hub_task *task = NULL;
    tenon_status status = tn_task_new(hub->handle.context, operation, &task);

    if (status == TENON_OK)
        status = fill(task, hub, repository, revision, policy);
    if (status == TENON_OK)
        memcpy(out, &task, sizeof task);
    else if (task != NULL)
        tn_task_drop(&task->task);
    return status;
}

bool tn_hub_cached_commit(const struct hub_task *task, char *commit)
{
    const char *revision = task->repository.revision;

    if (!tn_is_commit(revision))
        return tn_cache_read_ref(&task->cache, revision, commit);
    memcpy(commit, revision, strlen(revision) + 1);
    return true;
}

bool tn_hub_cache_suffices(const struct hub_task *task)
{
    bool pinned = tn_is_commit(task->repository.revision) && task->policy != TENON_CACHE_FRESH;

    return pinned || task->policy == TENON_CACHE_FIRST || tn_hub_is_offline(task->hub, task->policy);
}

bool tn_hub_cache_may_stand_in(const struct hub_task *task, const struct failure *failure)
{
    const char *code = failure->code != NULL ? failure->code : "";
    bool last_word = failure->status == TENON_ERROR_MEMORY || failure->status == TENON_ERROR_CANCELLED ||
                     failure->status == TENON_ERROR_ARGUMENT || strcmp(code, "RevisionNotFound") == 0 ||
                     strcmp(code, "EntryNotFound") == 0;

    return !last_word && task->policy != TENON_CACHE_FRESH;
}

tenon_status tn_hub_check_path(struct tenon_context *context, const char *path)
{
    const char *reason = "there is none";

    if (path != NULL && tn_path_is_safe(path, &reason))
        return TENON_OK;
    tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "\"%s\" is not the path of a file: %s", path != NULL ? path : "", reason);
    return tn_hint(&context->failure, "Give the path inside the repository, as config.json or folder/file.bin.");
}

tenon_status tn_hub_keep_folder(struct tenon_task *task, const char *folder, const char **kept)
{
    struct text path;
    tenon_status status;

    *kept = NULL;
    if (folder == NULL)
        return TENON_OK;
    tn_text_init(&path, &task->handle.context->memory, 4096);
    tn_path_absolute(&path, folder);
    while (path.length > 1 && path.data[path.length - 1] == '/')
        path.data[--path.length] = '\0';
    status = path.failed ? tn_fail_memory(&task->handle.context->failure) : tn_task_keep(task, tn_text(&path), kept);
    tn_text_clear(&path);
    return status;
}
