/* tenon_hub_download: one file of a revision. */
#include <string.h>

#include "fetch.h"
#include "folder.h"
#include "metadata.h"
#include "operation.h"
#include "path.h"

struct download {
    struct hub_task base;
    const char *path;
    const char *folder; /* NULL: the cache */
    bool force;
    struct metadata metadata;
    struct fetch fetch;
    struct text found;  /* what the cache has of it */
    struct text source; /* in a file: hub */
    char commit[41];    /* that the cache knows */
};

/* What the cache has of this revision goes to found. */
static bool look_in_cache(struct download *download)
{
    const char *revision = download->base.repository.revision;
    bool known = tn_is_commit(revision);

    if (known)
        memcpy(download->commit, revision, sizeof download->commit);
    else
        known = tn_cache_read_ref(&download->base.cache, revision, download->commit);
    return known && tn_cache_has(&download->base.cache, download->commit, download->path, -1, &download->found);
}

/* May the cache answer without a request? */
static bool cache_suffices(const struct download *download)
{
    bool pinned = tn_is_commit(download->base.repository.revision) && download->base.policy != TENON_CACHE_FRESH;

    return download->folder == NULL && !download->force &&
           (pinned || download->base.policy == TENON_CACHE_FIRST || tn_hub_is_offline(download->base.hub, download->base.policy));
}

/* May the cache answer after a request that failed that way? */
static bool cache_may_stand_in(const struct download *download, tenon_status status)
{
    bool last_word = status == TENON_ERROR_MEMORY || status == TENON_ERROR_CANCELLED || status == TENON_ERROR_ARGUMENT ||
                     download->metadata.absent || (status == TENON_ERROR_NOT_FOUND && download->metadata.failure.code != NULL &&
                                                   strcmp(download->metadata.failure.code, "RevisionNotFound") == 0);

    return !last_word && !download->force && download->folder == NULL && download->base.policy != TENON_CACHE_FRESH;
}

static tenon_status answer_from_cache(struct download *download, const char *why)
{
    struct tenon_task *task = &download->base.task;

    if (why != NULL)
        tn_log(task->handle.context, TENON_LOG_WARNING, "hub", "%s: answered from the cache: %s", download->path, why);
    return tn_task_set_text(task, tn_text(&download->found));
}

static tenon_status fail_offline(struct download *download)
{
    struct failure *failure = &download->base.task.failure;

    if (download->commit[0] == '\0' || !tn_cache_knows_absent(&download->base.cache, download->commit, download->path))
        return tn_hub_fail_offline(failure, download->path);
    tn_fail(failure, TENON_ERROR_NOT_FOUND, "%s has no file %s at %s", download->base.repository.id, download->path, download->base.repository.revision);
    tn_failure_set_code(failure, "EntryNotFound");
    return failure->status;
}

/* The file in a file: hub, as what fetch wants to know. */
static tenon_status find_in_folder(struct download *download)
{
    struct tenon_task *task = &download->base.task;
    struct fetch *fetch = &download->fetch;
    const struct tree_file *file;
    struct tree tree;
    tenon_status status;

    tn_tree_init(&tree, &task->handle.context->memory);
    status = tn_folder_open_revision(download->base.hub, &download->base.repository, fetch->commit, &tree, &task->failure);
    file = status == TENON_OK ? tn_tree_find(&tree, download->path) : NULL;
    if (status == TENON_OK && file == NULL) {
        status = tn_fail(&task->failure, TENON_ERROR_NOT_FOUND, "%s has no file %s at %s", download->base.repository.id, download->path,
                         download->base.repository.revision);
        tn_hint(&task->failure, "Check the path; names of files are case-sensitive.");
        tn_failure_set_code(&task->failure, "EntryNotFound");
    } else if (file != NULL) {
        tn_folder_content(download->base.hub, &download->base.repository, file, &download->source);
        fetch->source = tn_text(&download->source);
        fetch->bytes = file->bytes;
        memcpy(fetch->etag, file->etag, strlen(file->etag) + 1);
        if (download->source.failed)
            status = tn_fail_memory(&task->failure);
    }
    tn_tree_clear(&tree);
    return status;
}

static void take_metadata(struct download *download)
{
    struct fetch *fetch = &download->fetch;

    memcpy(fetch->commit, download->metadata.commit, sizeof fetch->commit);
    memcpy(fetch->etag, download->metadata.etag, sizeof fetch->etag);
    fetch->bytes = download->metadata.bytes;
}

/* Notes what the hub said of a file that the commit does not have. */
static void note_absence(struct download *download)
{
    struct failure ignored;

    if (!download->metadata.absent || download->metadata.commit[0] == '\0')
        return;
    tn_failure_init(&ignored, &download->base.task.handle.context->memory, NULL);
    tn_cache_note_absent(&download->base.cache, download->metadata.commit, download->path);
    tn_cache_write_ref(&download->base.cache, download->base.repository.revision, download->metadata.commit, &ignored);
    tn_failure_clear(&ignored);
}

static tenon_status start_fetch(struct download *download)
{
    struct tenon_task *task = &download->base.task;
    struct fetch *fetch = &download->fetch;
    tenon_status status = TENON_OK;

    fetch->repository = &download->base.repository;
    fetch->cache = &download->base.cache;
    fetch->folder = download->folder;
    fetch->path = download->path;
    fetch->force = download->force;
    task->progress.bytes_total = fetch->bytes;
    task->progress.items_total = 1;
    tn_task_stage(task, "downloading", download->path);
    if (download->folder == NULL)
        status = tn_cache_write_ref(&download->base.cache, download->base.repository.revision, fetch->commit, &task->failure);
    /* A cache that cannot be written may still have the file. */
    if (status == TENON_ERROR_IO && tn_cache_has(&download->base.cache, fetch->commit, download->path, fetch->bytes, &download->found)) {
        tn_failure_clear(&task->failure);
        status = TENON_OK;
    }
    if (status == TENON_OK)
        tn_fetch_start(fetch, &task->co);
    return status;
}

static tenon_status download_step(struct co *co)
{
    struct download *download = TN_CONTAINER(co, struct download, base.task.co);
    struct tenon_task *task = &download->base.task;
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    if (look_in_cache(download) && cache_suffices(download)) {
        status = answer_from_cache(download, NULL);
        goto done;
    }
    if (download->base.hub->folder != NULL)
        status = find_in_folder(download);
    else if (tn_hub_is_offline(download->base.hub, download->base.policy))
        status = fail_offline(download);
    else {
        tn_task_stage(task, "asking", download->path);
        /* With something to fall back on nobody wants to wait for a hub that does not answer. */
        tn_metadata_start(&download->metadata, &download->base.repository, download->path,
                          download->found.length > 0 && cache_may_stand_in(download, TENON_OK) && tn_file_exists(tn_text(&download->found)) ? 0 : -1, co);
        AWAIT(co, !tn_co_running(&download->metadata.co));
        status = download->metadata.co.status;
        if (status == TENON_OK)
            take_metadata(download);
        else if (cache_may_stand_in(download, status) && look_in_cache(download)) {
            status = answer_from_cache(download, download->metadata.failure.message);
            goto done;
        } else {
            note_absence(download);
            status = tn_task_fail_from(task, &download->metadata.failure);
        }
    }
    if (status == TENON_OK)
        status = start_fetch(download);
    if (status == TENON_OK) {
        AWAIT(co, !tn_co_running(&download->fetch.co));
        status = download->fetch.co.status;
        if (status != TENON_OK)
            status = tn_task_fail_from(task, &download->fetch.failure);
        else {
            task->progress.items = 1;
            status = tn_task_set_text(task, tn_text(&download->fetch.place));
        }
    }
    CO_END(co);
done:
    return status;
}

static void download_clear(struct tenon_task *task)
{
    struct download *download = TN_CONTAINER(task, struct download, base.task);

    tn_fetch_clear(&download->fetch);
    tn_metadata_clear(&download->metadata);
    tn_text_clear(&download->found);
    tn_text_clear(&download->source);
    tn_hub_task_clear(&download->base);
}

static const struct operation operation = { .name = "downloading a file", .size = sizeof(struct download),
                                            .step = download_step, .clear = download_clear };

static tenon_status fill(struct download *download, const char *path, const tenon_download_options *options)
{
    struct tenon_context *context = download->base.task.handle.context;
    tenon_status status;

    tn_metadata_init(&download->metadata, download->base.hub);
    tn_fetch_init(&download->fetch, download->base.hub, &download->base.task);
    tn_text_init(&download->found, &context->memory, 8192);
    tn_text_init(&download->source, &context->memory, 8192);
    download->force = (options->flags & TENON_DOWNLOAD_FORCE) != 0;
    status = tn_task_keep(&download->base.task, path, &download->path);
    if (status == TENON_OK)
        status = tn_hub_keep_folder(&download->base.task, options->folder, &download->folder);
    return status;
}

tenon_status tn_hub_download_new(tenon_hub *hub, const char *repository, const char *path, const tenon_download_options *given, tenon_task **task)
{
    tenon_download_options options;
    struct download *download = NULL;
    tenon_status status = tn_options(hub->handle.context, given, &options, sizeof options);

    if (status == TENON_OK)
        status = tn_hub_check_path(hub->handle.context, path);
    if (status == TENON_OK)
        status = tn_hub_task_new(hub, &operation, repository, options.revision, options.policy, &download);
    if (status != TENON_OK)
        return status;
    status = fill(download, path, &options);
    if (status == TENON_OK)
        *task = &download->base.task;
    else
        tn_task_drop(&download->base.task);
    return status;
}

tenon_status tenon_hub_download(tenon_hub *hub, const char *repository, const char *path, const tenon_download_options *options, tenon_task **task)
{
    TN_HUB_CALL(hub, tn_hub_download_new(hub, repository, path, options, &made), task);
}
