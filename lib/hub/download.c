/* tenon_hub_download: one file of a revision. */
#include <limits.h>
#include <string.h>

#include "fetch.h"
#include "folder.h"
#include "local.h"
#include "metadata.h"
#include "operation.h"
#include "path.h"
#include "sweep.h"

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
    bool to_copy;       /* what was found is in the cache and belongs into the folder */
};

/* What the cache has of this revision goes to found. */
static bool look_in_cache(struct download *download)
{
    tn_text_reset(&download->found);
    return tn_hub_cached_commit(&download->base, download->commit) &&
           tn_cache_has(&download->base.cache, download->commit, download->path, -1, &download->found);
}

/* What the folder has of it goes to found: a file with a note, that nobody has changed since; of that commit if one is named. */
static bool look_in_folder(struct download *download)
{
    const char *revision = download->base.repository.revision;
    struct local_note note;

    tn_text_reset(&download->found);
    tn_local_file(download->folder, download->path, &download->found);
    return !download->found.failed && tn_local_read(download->base.task.handle.context, download->folder, download->path, &note) &&
           (!tn_is_commit(revision) || strcmp(note.commit, revision) == 0);
}

/* Of the file in the cache, for a copy of it: what fetch wants to know. False where that cannot be told. */
static bool describe_cached(struct download *download)
{
    struct fetch *fetch = &download->fetch;
    struct file_facts facts = { 0 };
    struct failure ignored;
    struct text target;
    bool good;

    tn_text_init(&target, &download->base.task.handle.context->memory, PATH_MAX);
    tn_failure_init(&ignored, target.memory, NULL);
    good = tn_file_look(tn_text(&download->found), &facts, &ignored) == TENON_OK && facts.regular &&
           tn_link_read(tn_text(&download->found), &target, &ignored) == TENON_OK &&
           tn_etag_normal(tn_path_name(tn_text(&target)), fetch->etag, sizeof fetch->etag);
    memcpy(fetch->commit, download->commit, sizeof fetch->commit);
    fetch->bytes = facts.bytes;
    tn_failure_clear(&ignored);
    tn_text_clear(&target);
    return good;
}

/* Is there anything here that could be the answer? With a folder also a file in the cache that can be copied to it. */
static bool is_here(struct download *download)
{
    bool here = false;

    if (!download->force && download->folder != NULL)
        here = look_in_folder(download);
    download->to_copy = !here && download->folder != NULL;
    if (!download->force && !here)
        here = look_in_cache(download) && (!download->to_copy || describe_cached(download));
    return here;
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
    if (status == TENON_ERROR_IO &&
        tn_cache_has(&download->base.cache, fetch->commit, download->path, fetch->bytes, &download->found)) {
        tn_failure_clear(&task->failure);
        status = TENON_OK;
    }
    if (status == TENON_OK)
        tn_fetch_start(fetch, &task->co);
    return status;
}

/* Answers with what is here; why: what made it necessary, or NULL. What is to be copied to the folder is begun. */
static tenon_status answer_from_here(struct download *download, const char *why)
{
    struct tenon_task *task = &download->base.task;

    if (why != NULL)
        tn_log(task->handle.context, TENON_LOG_WARNING, "hub", "%s: answered from the cache: %s", download->path, why);
    download->fetch.offline = tn_hub_is_offline(download->base.hub, download->base.policy);
    return download->to_copy ? start_fetch(download) : tn_task_set_text(task, tn_text(&download->found));
}

static tenon_status fail_offline(struct download *download)
{
    struct failure *failure = &download->base.task.failure;

    if (download->commit[0] == '\0' || !tn_cache_knows_absent(&download->base.cache, download->commit, download->path))
        return tn_hub_fail_offline(failure, download->path);
    tn_fail(failure, TENON_ERROR_NOT_FOUND, "%s has no file %s at %s", download->base.repository.id, download->path,
            download->base.repository.revision);
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
        status = tn_fail(&task->failure, TENON_ERROR_NOT_FOUND, "%s has no file %s at %s", download->base.repository.id,
                         download->path, download->base.repository.revision);
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

/* What the hub said of the file, or why it did not; without it the cache may stand in. */
static tenon_status judge_metadata(struct download *download)
{
    struct failure *failure = &download->metadata.failure;

    if (download->metadata.co.status == TENON_OK) {
        take_metadata(download);
        return start_fetch(download);
    }
    if (tn_hub_cache_may_stand_in(&download->base, failure) && is_here(download))
        return answer_from_here(download, failure->message != NULL ? failure->message : "");
    note_absence(download);
    return tn_task_fail_from(&download->base.task, failure);
}

static tenon_status take_result(struct download *download)
{
    struct tenon_task *task = &download->base.task;

    if (download->fetch.co.status != TENON_OK)
        return tn_task_fail_from(task, &download->fetch.failure);
    if (download->folder == NULL)
        tn_sweep_cache(&download->base.cache);
    else
        tn_sweep_notes(task->handle.context, download->folder, download->path);
    task->progress.items = 1;
    return tn_task_set_text(task, tn_text(&download->fetch.place));
}

static tenon_status download_step(struct co *co)
{
    struct download *download = TN_CONTAINER(co, struct download, base.task.co);
    struct tenon_task *task = &download->base.task;
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    if (tn_hub_cache_suffices(&download->base) && is_here(download))
        status = answer_from_here(download, NULL);
    else if (download->base.hub->folder != NULL) {
        status = find_in_folder(download);
        if (status == TENON_OK)
            status = start_fetch(download);
    } else if (tn_hub_is_offline(download->base.hub, download->base.policy))
        status = fail_offline(download);
    else {
        tn_task_stage(task, "asking", download->path);
        download->metadata.request.retry_count = &task->progress.retries;
        /* With something to fall back on nobody wants to wait for a hub that does not answer. */
        tn_metadata_start(&download->metadata, &download->base.repository, download->path,
                          download->base.policy != TENON_CACHE_FRESH && is_here(download) ? 0 : -1, co);
        AWAIT(co, !tn_co_running(&download->metadata.co));
        status = judge_metadata(download);
    }
    if (status == TENON_OK && task->text.length == 0) {
        AWAIT(co, !tn_co_running(&download->fetch.co));
        status = take_result(download);
    }
    CO_END(co);
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

tenon_status tn_hub_download_new(tenon_hub *hub, const char *repository, const char *path, const tenon_download_options *given,
                                 tenon_task **task)
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

tenon_status tenon_hub_download(tenon_hub *hub, const char *repository, const char *path, const tenon_download_options *options,
                                tenon_task **task)
{
    TN_HUB_CALL(hub, tn_hub_download_new(hub, repository, path, options, &made), task);
}
