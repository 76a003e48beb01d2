/* tenon_hub_snapshot: a repository at one commit, or the part of it that patterns choose. */
#include <limits.h>
#include <string.h>

#include "fetch.h"
#include "folder.h"
#include "metadata.h"
#include "operation.h"
#include "path.h"
#include "pattern.h"
#include "sweep.h"

enum { WAITING = 56 };

/* One of the files that are fetched side by side. */
struct slot {
    struct fetch fetch;
    struct tree_file *file; /* NULL: free */
    struct text source;
};

struct snapshot {
    struct hub_task base;
    const char *folder; /* NULL: the cache */
    const char *const *allow;
    const char *const *ignore;
    bool force;
    struct resolution resolution;
    struct pages pages;
    struct tree tree;
    char commit[41];
    bool stands_in;     /* the hub could not be asked; the cache is all there is */
    bool listed;        /* the tree is known */
    bool tree_is_new;
    bool prepared;      /* the cache's folders are made */
    bool anew;          /* nothing of it was in the cache at first */
    struct slot *slots;
    int32_t slot_count;
    int32_t at_once;    /* how many of them may be coming; more may wait for the disk */
    size_t next;        /* file to start next */
    size_t done;
};

/* ---- what files ---- */

/* Where the listing is kept: in the cache, or with the notes of a folder. */
static void listing_folder(const struct snapshot *snapshot, struct text *out)
{
    if (snapshot->folder != NULL)
        tn_text_format(out, "%s/.cache/huggingface", snapshot->folder);
    else
        tn_text_add(out, tn_text(&snapshot->base.cache.folder));
}

static bool read_listing(struct snapshot *snapshot)
{
    struct text folder;
    bool found;

    tn_text_init(&folder, &snapshot->base.task.handle.context->memory, PATH_MAX);
    listing_folder(snapshot, &folder);
    found = !folder.failed && tn_tree_read(&snapshot->tree, tn_text(&folder), snapshot->commit);
    if (!found && snapshot->folder != NULL)
        found = tn_tree_read(&snapshot->tree, tn_text(&snapshot->base.cache.folder), snapshot->commit);
    tn_text_clear(&folder);
    return found;
}

static void write_listing(struct snapshot *snapshot)
{
    struct text folder;

    tn_text_init(&folder, &snapshot->base.task.handle.context->memory, PATH_MAX);
    listing_folder(snapshot, &folder);
    if (!folder.failed)
        tn_tree_write(&snapshot->tree, snapshot->base.task.handle.context, tn_text(&folder), snapshot->commit);
    tn_text_clear(&folder);
}

static tenon_status take_page(struct snapshot *snapshot)
{
    struct failure *failure = &snapshot->base.task.failure;
    tenon_status status = TENON_OK;
    json_t *item;
    size_t i;

    json_array_foreach(snapshot->pages.page, i, item) {
        struct tree_file file;
        bool is_file = false;

        if (status == TENON_OK)
            status = tn_tree_item(item, &file, &is_file, failure);
        if (status == TENON_OK && is_file)
            status = tn_tree_add(&snapshot->tree, &file, failure);
    }
    return status;
}

/* Keeps the files that are wanted, in front; counts them. */
static void choose(struct snapshot *snapshot)
{
    tenon_progress *progress = &snapshot->base.task.progress;
    size_t kept = 0;

    progress->bytes_total = 0;
    for (size_t i = 0; i < snapshot->tree.count; i++)
        if (tn_patterns_choose(snapshot->allow, snapshot->ignore, snapshot->tree.files[i].path)) {
            snapshot->tree.files[kept++] = snapshot->tree.files[i];
            progress->bytes_total = tn_sum_of_sizes(progress->bytes_total, snapshot->tree.files[i].bytes);
        }
    snapshot->tree.count = kept;
    progress->items_total = (int64_t)kept;
}

/* ---- without the hub ---- */

/* The first chosen file that the cache lacks; NULL when it is complete, or there is no memory to look. */
static const struct tree_file *first_missing(struct snapshot *snapshot)
{
    const struct tree_file *missing = NULL;
    struct text path;

    tn_text_init(&path, &snapshot->base.task.handle.context->memory, PATH_MAX);
    for (size_t i = 0; i < snapshot->tree.count && missing == NULL; i++)
        if (!tn_cache_has(&snapshot->base.cache, snapshot->commit, snapshot->tree.files[i].path, snapshot->tree.files[i].bytes,
                          &path) &&
            !path.failed)
            missing = &snapshot->tree.files[i];
    tn_text_clear(&path);
    return missing;
}

static bool has_snapshot(struct snapshot *snapshot)
{
    struct text path;
    bool has;

    tn_text_init(&path, &snapshot->base.task.handle.context->memory, PATH_MAX);
    tn_cache_snapshot_path(&snapshot->base.cache, snapshot->commit, "", &path);
    has = !path.failed && tn_folder_exists(tn_text(&path));
    tn_text_clear(&path);
    return has;
}

/* No listing was ever kept (another client made the snapshot): its folder is what we know. */
static tenon_status list_folder(struct snapshot *snapshot)
{
    struct tenon_task *task = &snapshot->base.task;
    struct text path;
    tenon_status status;

    tn_text_init(&path, &task->handle.context->memory, PATH_MAX);
    tn_cache_snapshot_path(&snapshot->base.cache, snapshot->commit, "", &path);
    tn_log(task->handle.context, TENON_LOG_WARNING, "hub", "%s: nothing says whether the cached snapshot is complete",
           snapshot->base.repository.id);
    status = path.failed ? tn_fail_memory(&task->failure) : tn_folder_walk(tn_text(&path), false, &snapshot->tree, &task->failure);
    tn_text_clear(&path);
    return status;
}

/* The cache is all there is, and not enough: where the hub was asked, what came of that tells more. */
static tenon_status not_enough(struct snapshot *snapshot, const char *what)
{
    struct tenon_task *task = &snapshot->base.task;

    if (snapshot->resolution.failure.status != TENON_OK)
        return tn_task_fail_from(task, &snapshot->resolution.failure);
    return tn_hub_fail_offline(&task->failure, what);
}

/* The cache is all there is: is it enough? */
static tenon_status make_do(struct snapshot *snapshot)
{
    const struct tree_file *missing;
    tenon_status status = TENON_OK;

    if (!has_snapshot(snapshot) && snapshot->folder == NULL)
        return not_enough(snapshot, snapshot->base.repository.id);
    if (!snapshot->listed && snapshot->folder != NULL)
        return not_enough(snapshot, "the listing of the repository");
    if (!snapshot->listed)
        status = list_folder(snapshot);
    if (status == TENON_OK)
        choose(snapshot);
    missing = status == TENON_OK && snapshot->listed && snapshot->folder == NULL ? first_missing(snapshot) : NULL;
    if (missing != NULL)
        status = not_enough(snapshot, missing->path);
    return status;
}

/* ---- fetching ---- */

/* Two files of the same content one after the other: the second then finds it. */
static bool is_under_way(const struct snapshot *snapshot, const struct tree_file *file)
{
    bool under_way = false;

    for (int32_t i = 0; i < snapshot->slot_count && *file->etag != '\0' && !under_way; i++)
        under_way = snapshot->slots[i].file != NULL && strcmp(snapshot->slots[i].file->etag, file->etag) == 0;
    return under_way;
}

static tenon_status start_slot(struct snapshot *snapshot, struct slot *slot, struct tree_file *file)
{
    struct fetch *fetch = &slot->fetch;

    slot->file = file;
    tn_fetch_init(fetch, snapshot->base.hub, &snapshot->base.task);
    tn_text_init(&slot->source, &snapshot->base.task.handle.context->memory, PATH_MAX);
    fetch->repository = &snapshot->base.repository;
    fetch->cache = &snapshot->base.cache;
    fetch->folder = snapshot->folder;
    fetch->path = file->path;
    fetch->bytes = file->bytes;
    fetch->force = snapshot->force;
    fetch->offline = snapshot->stands_in;
    fetch->prepared = &snapshot->prepared;
    fetch->anew = snapshot->anew;
    memcpy(fetch->commit, snapshot->commit, sizeof fetch->commit);
    memcpy(fetch->etag, file->etag, strlen(file->etag) + 1);
    if (snapshot->base.hub->folder != NULL) {
        tn_folder_content(snapshot->base.hub, &snapshot->base.repository, file, &slot->source);
        fetch->source = tn_text(&slot->source);
        if (slot->source.failed)
            return tn_fail_memory(&snapshot->base.task.failure);
    }
    tn_fetch_start(fetch, &snapshot->base.task.co);
    return TENON_OK;
}

static void free_slot(struct slot *slot)
{
    tn_fetch_clear(&slot->fetch);
    tn_text_clear(&slot->source);
    slot->file = NULL;
}

static tenon_status push_row(struct snapshot *snapshot, const struct tree_file *file, const char *etag, const char *place)
{
    tenon_file row = { .struct_size = sizeof row, .kind = TENON_FILE_REGULAR, .content = TENON_CONTENT_PRESENT, .modified_ms = -1 };

    row.path = file->path;
    row.repository = snapshot->base.repository.written;
    row.commit = snapshot->commit;
    row.etag = etag;
    row.local_path = place;
    row.bytes = file->bytes;
    return tn_task_push(&snapshot->base.task, &row);
}

/* What a file from a folder was found to be when it was read. */
static tenon_status learn(struct snapshot *snapshot, struct slot *slot)
{
    struct failure *failure = &snapshot->base.task.failure;
    char pointer[TN_HEX_MOST + 1];
    tenon_status status;

    if (*slot->file->etag != '\0')
        return TENON_OK;
    if (slot->fetch.present && *slot->fetch.etag == '\0') {
        snapshot->tree_is_new = false;
        return TENON_OK;
    }
    status = tn_pointer_id(slot->fetch.etag, slot->file->bytes, pointer, failure);
    slot->file->large = true;
    slot->file->etag = tn_arena_copy(&snapshot->tree.arena, slot->fetch.etag);
    slot->file->blob_id = status == TENON_OK ? tn_arena_copy(&snapshot->tree.arena, pointer) : NULL;
    return slot->file->etag != NULL && slot->file->blob_id != NULL ? status : tn_fail_memory(failure);
}

static tenon_status end_slot(struct snapshot *snapshot, struct slot *slot)
{
    struct tenon_task *task = &snapshot->base.task;
    tenon_status status = slot->fetch.co.status;

    if (status == TENON_ERROR_OFFLINE)
        return not_enough(snapshot, slot->file->path);
    if (status != TENON_OK)
        return tn_task_fail_from(task, &slot->fetch.failure);
    status = learn(snapshot, slot);
    if (status == TENON_OK)
        status = push_row(snapshot, slot->file, slot->fetch.etag, tn_text(&slot->fetch.place));
    snapshot->done++;
    task->progress.items++;
    tn_task_stage(task, "downloading", slot->file->path);
    free_slot(slot);
    return status;
}

/* One look at all: TENON_AGAIN while files are missing. */
static tenon_status pump(struct snapshot *snapshot)
{
    tenon_status status = TENON_OK;
    int32_t coming = 0;

    for (int32_t i = 0; i < snapshot->slot_count && status == TENON_OK; i++) {
        struct slot *slot = &snapshot->slots[i];

        if (slot->file != NULL && !tn_co_running(&slot->fetch.co))
            status = end_slot(snapshot, slot);
        coming += slot->file != NULL && !slot->fetch.arrived;
    }
    for (int32_t i = 0; i < snapshot->slot_count && coming < snapshot->at_once && status == TENON_OK; i++) {
        struct tree_file *file = snapshot->next < snapshot->tree.count ? &snapshot->tree.files[snapshot->next] : NULL;

        if (snapshot->slots[i].file == NULL && file != NULL && tn_task_has_room(&snapshot->base.task) &&
            !is_under_way(snapshot, file)) {
            status = start_slot(snapshot, &snapshot->slots[i], file);
            snapshot->next++;
            coming++;
        }
    }
    return status == TENON_OK && snapshot->done < snapshot->tree.count ? TENON_AGAIN : status;
}

static tenon_status make_slots(struct snapshot *snapshot)
{
    struct tenon_context *context = snapshot->base.task.handle.context;

    snapshot->at_once = (int32_t)tn_setting_integer(&context->settings, SETTING_HUB_FILES);
    snapshot->slot_count = snapshot->at_once + WAITING;
    snapshot->slots = tn_alloc_array(&context->memory, (size_t)snapshot->slot_count, sizeof *snapshot->slots);
    if (snapshot->slots == NULL)
        snapshot->slot_count = 0;
    return snapshot->slots != NULL ? TENON_OK : tn_fail_memory(&snapshot->base.task.failure);
}

/* ---- the operation ---- */

static tenon_status set_result(struct snapshot *snapshot)
{
    struct tenon_task *task = &snapshot->base.task;
    struct text path;
    tenon_status status;

    tn_text_init(&path, &task->handle.context->memory, PATH_MAX);
    if (snapshot->folder != NULL)
        tn_text_add(&path, snapshot->folder);
    else
        tn_cache_snapshot_path(&snapshot->base.cache, snapshot->commit, "", &path);
    status = path.failed ? tn_fail_memory(&task->failure) : tn_task_set_text(task, tn_text(&path));
    /* A repository without files, or patterns that choose none, still have a folder. */
    if (status == TENON_OK)
        status = tn_folder_make(tn_text(&path), 0777, &task->failure);
    tn_text_clear(&path);
    return status;
}

/* What was here at first, or came, may have been removed from the cache since. */
static tenon_status check_complete(struct snapshot *snapshot)
{
    struct failure *failure = &snapshot->base.task.failure;
    const struct tree_file *missing = snapshot->folder == NULL ? first_missing(snapshot) : NULL;

    if (missing == NULL)
        return TENON_OK;
    tn_fail(failure, TENON_ERROR_IO, "%s was removed from the cache while it was downloaded: %s is gone",
            snapshot->base.repository.id, missing->path);
    return tn_hint(failure, "Download it again.");
}

/* In the user's folder the notes lie in as many folders as the files do: each is looked at once, where its files stand together. */
static void sweep(struct snapshot *snapshot)
{
    const struct tree *tree = &snapshot->tree;
    size_t length, before = 0;

    if (snapshot->folder == NULL)
        tn_sweep_cache(&snapshot->base.cache);
    for (size_t i = 0; i < tree->count && snapshot->folder != NULL; i++, before = length) {
        const char *path = tree->files[i].path;

        length = (size_t)(tn_path_name(path) - path);
        if (i == 0 || length != before || strncmp(path, tree->files[i - 1].path, length) != 0)
            tn_sweep_notes(snapshot->base.task.handle.context, snapshot->folder, path);
    }
}

static tenon_status write_ref(struct snapshot *snapshot)
{
    struct tenon_task *task = &snapshot->base.task;
    tenon_status status = tn_cache_write_ref(&snapshot->base.cache, snapshot->base.repository.revision, snapshot->commit,
                                             &task->failure);

    /* A cache that cannot be written may still have everything. */
    if (status == TENON_ERROR_IO && first_missing(snapshot) == NULL) {
        tn_failure_clear(&task->failure);
        status = TENON_OK;
    }
    return status;
}

/* Whether something is here that could stand in for the hub. */
static bool is_here(struct snapshot *snapshot)
{
    return !snapshot->force && tn_hub_cached_commit(&snapshot->base, snapshot->commit) &&
           (snapshot->folder != NULL || has_snapshot(snapshot));
}

/* Is the commit known without a request? */
static bool knows_commit(struct snapshot *snapshot)
{
    return tn_hub_cache_suffices(&snapshot->base) && tn_hub_cached_commit(&snapshot->base, snapshot->commit);
}

static void ask_for_commit(struct snapshot *snapshot, struct co *co)
{
    /* With something to fall back on nobody wants to wait for a hub that does not answer. */
    if (snapshot->base.policy != TENON_CACHE_FRESH && is_here(snapshot))
        snapshot->resolution.request.retries = 0;
    snapshot->resolution.request.retry_count = &snapshot->base.task.progress.retries;
    tn_resolution_start(&snapshot->resolution, &snapshot->base.repository, false, co);
}

static tenon_status judge_resolution(struct snapshot *snapshot)
{
    struct tenon_task *task = &snapshot->base.task;
    struct failure *failure = &snapshot->resolution.failure;
    tenon_status status = snapshot->resolution.co.status;

    if (status == TENON_OK)
        memcpy(snapshot->commit, snapshot->resolution.commit, sizeof snapshot->commit);
    else if (tn_hub_cache_may_stand_in(&snapshot->base, failure) && is_here(snapshot)) {
        tn_log(task->handle.context, TENON_LOG_WARNING, "hub", "%s: answered from the cache: %s", snapshot->base.repository.id,
               failure->message != NULL ? failure->message : "");
        snapshot->stands_in = true;
        status = TENON_OK;
    } else
        status = tn_task_fail_from(task, failure);
    return status;
}

/* With the listing: which files, and which commit the revision stands for. */
static tenon_status choose_and_note(struct snapshot *snapshot)
{
    if (snapshot->stands_in)
        return make_do(snapshot);
    choose(snapshot);
    snapshot->anew = snapshot->folder == NULL && !has_snapshot(snapshot);
    return write_ref(snapshot);
}

static tenon_status snapshot_step(struct co *co)
{
    struct snapshot *snapshot = TN_CONTAINER(co, struct snapshot, base.task.co);
    struct tenon_task *task = &snapshot->base.task;
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_task_stage(task, "asking", snapshot->base.repository.id);
    if (snapshot->base.hub->folder != NULL) {
        status = tn_folder_open_revision(snapshot->base.hub, &snapshot->base.repository, snapshot->commit, &snapshot->tree,
                                         &task->failure);
        snapshot->listed = snapshot->tree_is_new = true;
    } else {
        snapshot->stands_in = tn_hub_is_offline(snapshot->base.hub, snapshot->base.policy);
        if (!knows_commit(snapshot)) {
            if (snapshot->stands_in)
                status = tn_hub_fail_offline(&task->failure, snapshot->base.repository.id);
            else {
                ask_for_commit(snapshot, co);
                AWAIT(co, !tn_co_running(&snapshot->resolution.co));
                status = judge_resolution(snapshot);
            }
        }
    }
    if (status == TENON_OK && !snapshot->listed)
        snapshot->listed = read_listing(snapshot);
    if (status == TENON_OK && !snapshot->listed && !snapshot->stands_in) {
        tn_task_stage(task, "listing", snapshot->base.repository.id);
        tn_pages_start(&snapshot->pages, &snapshot->base.repository, snapshot->commit, "", true, co);
        AWAIT(co, !tn_co_running(&snapshot->pages.co));
        while (snapshot->pages.co.status == TENON_OK && (status = take_page(snapshot)) == TENON_OK && !snapshot->pages.ended) {
            tn_pages_next(&snapshot->pages, co);
            AWAIT(co, !tn_co_running(&snapshot->pages.co));
        }
        if (snapshot->pages.co.status != TENON_OK)
            status = tn_task_fail_from(task, &snapshot->pages.failure);
        if (status == TENON_OK)
            status = tn_tree_sort(&snapshot->tree, &task->failure);
        if (status == TENON_OK)
            write_listing(snapshot);
    }
    if (status == TENON_OK)
        status = choose_and_note(snapshot);
    if (status == TENON_OK)
        status = make_slots(snapshot);
    if (status == TENON_OK)
        AWAIT(co, (status = pump(snapshot)) != TENON_AGAIN);
    if (status == TENON_OK)
        status = check_complete(snapshot);
    if (status == TENON_OK && snapshot->tree_is_new && snapshot->allow == NULL && snapshot->ignore == NULL)
        write_listing(snapshot);
    if (status == TENON_OK)
        status = set_result(snapshot);
    if (status == TENON_OK)
        sweep(snapshot);
    CO_END(co);
    return status;
}

static void snapshot_clear(struct tenon_task *task)
{
    struct snapshot *snapshot = TN_CONTAINER(task, struct snapshot, base.task);

    for (int32_t i = 0; i < snapshot->slot_count; i++)
        free_slot(&snapshot->slots[i]);
    tn_release(&task->handle.context->memory, snapshot->slots);
    snapshot->slots = NULL;
    snapshot->slot_count = 0;
    tn_resolution_clear(&snapshot->resolution);
    tn_pages_clear(&snapshot->pages);
    tn_tree_clear(&snapshot->tree);
    tn_hub_task_clear(&snapshot->base);
}

static const struct operation operation = { .name = "downloading a repository", .size = sizeof(struct snapshot),
                                            .row = &tn_row_file, .step = snapshot_step, .clear = snapshot_clear };

static tenon_status fill(struct snapshot *snapshot, const tenon_download_options *options)
{
    struct tenon_task *task = &snapshot->base.task;
    tenon_status status;

    tn_resolution_init(&snapshot->resolution, snapshot->base.hub);
    tn_pages_init(&snapshot->pages, snapshot->base.hub);
    snapshot->pages.retry_count = &task->progress.retries;
    tn_tree_init(&snapshot->tree, &task->handle.context->memory);
    snapshot->force = (options->flags & TENON_DOWNLOAD_FORCE) != 0;
    status = tn_arena_copy_list(&task->arena, options->allow, &snapshot->allow);
    if (status == TENON_OK)
        status = tn_arena_copy_list(&task->arena, options->ignore, &snapshot->ignore);
    if (status != TENON_OK)
        return tn_fail_memory(&task->handle.context->failure);
    return tn_hub_keep_folder(task, options->folder, &snapshot->folder);
}

tenon_status tn_hub_snapshot_new(tenon_hub *hub, const char *repository, const tenon_download_options *given, tenon_task **task)
{
    tenon_download_options options;
    struct snapshot *snapshot = NULL;
    tenon_status status = tn_options(hub->handle.context, given, &options, sizeof options);

    if (status == TENON_OK)
        status = tn_hub_task_new(hub, &operation, repository, options.revision, options.policy, &snapshot);
    if (status != TENON_OK)
        return status;
    status = fill(snapshot, &options);
    if (status == TENON_OK)
        *task = &snapshot->base.task;
    else
        tn_task_drop(&snapshot->base.task);
    return status;
}

tenon_status tenon_hub_snapshot(tenon_hub *hub, const char *repository, const tenon_download_options *options, tenon_task **task)
{
    TN_HUB_CALL(hub, tn_hub_snapshot_new(hub, repository, options, &made), task);
}
