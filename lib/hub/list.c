/* tenon_hub_list: the files of a revision. */
#include <string.h>

#include "folder.h"
#include "json.h"
#include "metadata.h"
#include "operation.h"
#include "path.h"
#include "pattern.h"

struct list {
    struct hub_task base;
    const char *folder; /* "" for all of it */
    const char *const *allow;
    const char *const *ignore;
    bool flat;
    struct resolution resolution;
    struct pages pages;
    struct tree tree;
    bool from_tree;
    char commit[41];
    size_t index;       /* in the page, or in the tree */
    bool found;         /* something lies in the folder */
};

static tenon_status push_file(struct list *list, const struct tree_file *file, int32_t kind, const json_t *item)
{
    struct tenon_context *context = list->base.task.handle.context;
    tenon_file row = { .struct_size = sizeof row, .kind = kind, .modified_ms = -1 };
    char *json = item != NULL ? tn_json_write(&context->memory, item) : NULL;
    tenon_status status = TENON_OK;

    list->found = true;
    if (kind == TENON_FILE_REGULAR && !tn_patterns_choose(list->allow, list->ignore, file->path))
        goto done;
    if (item != NULL && json == NULL) {
        status = tn_fail_memory(&list->base.task.failure);
        goto done;
    }
    row.path = file->path;
    row.repository = list->base.repository.written;
    row.commit = list->commit;
    row.etag = file->etag;
    row.json = json;
    row.bytes = kind == TENON_FILE_REGULAR ? file->bytes : -1;
    status = tn_task_push(&list->base.task, &row);
done:
    tn_release(&context->memory, json);
    return status;
}

/* Rows of the page, as long as there is room: TENON_AGAIN when more are left. */
static tenon_status push_page(struct list *list)
{
    struct failure *failure = &list->base.task.failure;
    tenon_status status = TENON_OK;
    json_t *item;

    while (status == TENON_OK && (item = json_array_get(list->pages.page, list->index)) != NULL) {
        struct tree_file file;
        bool is_file = false;

        if (!tn_task_has_room(&list->base.task))
            return TENON_AGAIN;
        list->index++;
        status = tn_tree_item(item, &file, &is_file, failure);
        if (status == TENON_OK && (is_file || list->flat))
            status = push_file(list, &file, is_file ? TENON_FILE_REGULAR : TENON_FILE_FOLDER, item);
    }
    return status;
}

/* Where the part of path below the folder begins; NULL when it is not below it. */
static const char *below(const struct list *list, const char *path)
{
    size_t length = strlen(list->folder);

    if (length == 0)
        return path;
    return strncmp(path, list->folder, length) == 0 && path[length] == '/' ? path + length + 1 : NULL;
}

/* Of several files in one folder only the first, which stands for the folder, is shown in a flat list. */
static tenon_status push_entry(struct list *list, const struct tree_file *file, const struct tree_file *before)
{
    const char *rest = below(list, file->path), *slash = rest != NULL ? strchr(rest, '/') : NULL;
    struct tree_file folder = { .etag = "" };
    size_t length;
    char *path;
    tenon_status status;

    if (rest == NULL)
        return TENON_OK;
    if (!list->flat || slash == NULL)
        return push_file(list, file, TENON_FILE_REGULAR, NULL);
    length = (size_t)(slash - file->path);
    if (before != NULL && strncmp(before->path, file->path, length + 1) == 0)
        return TENON_OK;
    path = tn_copy_n(&list->base.task.handle.context->memory, file->path, length);
    folder.path = path;
    status = path != NULL ? push_file(list, &folder, TENON_FILE_FOLDER, NULL) : tn_fail_memory(&list->base.task.failure);
    tn_release(&list->base.task.handle.context->memory, path);
    return status;
}

static tenon_status push_tree(struct list *list)
{
    tenon_status status = TENON_OK;

    while (status == TENON_OK && list->index < list->tree.count) {
        const struct tree_file *file = &list->tree.files[list->index];

        if (!tn_task_has_room(&list->base.task))
            return TENON_AGAIN;
        status = push_entry(list, file, list->index > 0 ? file - 1 : NULL);
        list->index++;
    }
    return status;
}

/* The listing in the cache of the commit that the revision stands for. */
static bool is_here(struct list *list)
{
    list->from_tree = tn_hub_cached_commit(&list->base, list->commit) &&
                      tn_tree_read(&list->tree, tn_text(&list->base.cache.folder), list->commit);
    return list->from_tree;
}

/* What is known without a request: a folder, or what is in the cache where that may answer. */
static tenon_status look_nearby(struct list *list)
{
    struct tenon_task *task = &list->base.task;

    if (list->base.hub->folder != NULL) {
        list->from_tree = true;
        return tn_folder_open_revision(list->base.hub, &list->base.repository, list->commit, &list->tree, &task->failure);
    }
    if (tn_hub_cache_suffices(&list->base) && is_here(list))
        return TENON_OK;
    if (tn_hub_is_offline(list->base.hub, list->base.policy))
        return tn_hub_fail_offline(&task->failure, "the listing of the repository");
    return TENON_OK;
}

/* Which commit the hub said that it is, or why it did not; without it the cache may stand in. */
static tenon_status judge_resolution(struct list *list)
{
    struct failure *failure = &list->resolution.failure;
    tenon_status status = list->resolution.co.status;

    if (status == TENON_OK)
        memcpy(list->commit, list->resolution.commit, sizeof list->commit);
    else if (tn_hub_cache_may_stand_in(&list->base, failure) && is_here(list)) {
        tn_log(list->base.task.handle.context, TENON_LOG_WARNING, "hub", "%s: listed from the cache: %s", list->base.repository.id,
               failure->message != NULL ? failure->message : "");
        status = TENON_OK;
    } else
        status = tn_task_fail_from(&list->base.task, failure);
    return status;
}

static tenon_status no_folder(struct list *list)
{
    struct failure *failure = &list->base.task.failure;

    tn_fail(failure, TENON_ERROR_NOT_FOUND, "%s has no folder %s", list->base.repository.id, list->folder);
    tn_hint(failure, "Check the path; names of files are case-sensitive.");
    tn_failure_set_code(failure, "EntryNotFound");
    return failure->status;
}

static tenon_status list_step(struct co *co)
{
    struct list *list = TN_CONTAINER(co, struct list, base.task.co);
    struct tenon_task *task = &list->base.task;
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_task_stage(task, "listing", list->base.repository.id);
    status = look_nearby(list);
    if (status == TENON_OK && !list->from_tree && tn_is_commit(list->base.repository.revision))
        memcpy(list->commit, list->base.repository.revision, sizeof list->commit);
    else if (status == TENON_OK && !list->from_tree) {
        tn_resolution_start(&list->resolution, &list->base.repository, false, co);
        AWAIT(co, !tn_co_running(&list->resolution.co));
        status = judge_resolution(list);
    }
    if (status == TENON_OK && list->from_tree) {
        AWAIT(co, (status = push_tree(list)) != TENON_AGAIN);
    } else if (status == TENON_OK) {
        tn_pages_start(&list->pages, &list->base.repository, list->commit, list->folder, !list->flat, co);
        while (status == TENON_OK) {
            AWAIT(co, !tn_co_running(&list->pages.co));
            status = list->pages.co.status;
            if (status != TENON_OK) {
                status = tn_task_fail_from(task, &list->pages.failure);
                break;
            }
            list->index = 0;
            AWAIT(co, (status = push_page(list)) != TENON_AGAIN);
            if (status != TENON_OK || list->pages.ended)
                break;
            tn_pages_next(&list->pages, co);
        }
    }
    if (status == TENON_OK && *list->folder != '\0' && !list->found)
        status = no_folder(list);
    if (status == TENON_OK)
        status = tn_task_set_text(task, list->commit);
    CO_END(co);
    return status;
}

static void list_clear(struct tenon_task *task)
{
    struct list *list = TN_CONTAINER(task, struct list, base.task);

    tn_resolution_clear(&list->resolution);
    tn_pages_clear(&list->pages);
    tn_tree_clear(&list->tree);
    tn_hub_task_clear(&list->base);
}

static const struct operation operation = { .name = "listing a repository", .size = sizeof(struct list),
                                            .row = &tn_row_file, .step = list_step, .clear = list_clear };

static tenon_status fill(struct list *list, const tenon_list_options *options)
{
    struct tenon_task *task = &list->base.task;
    const char *folder = options->folder != NULL ? options->folder : "";
    size_t length = strlen(folder);
    tenon_status status;

    tn_resolution_init(&list->resolution, list->base.hub);
    tn_pages_init(&list->pages, list->base.hub);
    list->pages.retry_count = &list->base.task.progress.retries;
    tn_tree_init(&list->tree, &task->handle.context->memory);
    list->flat = (options->flags & TENON_LIST_FLAT) != 0;
    while (length > 0 && folder[length - 1] == '/')
        length--;
    list->folder = tn_arena_copy(&task->arena, folder);
    if (list->folder == NULL)
        return tn_fail_memory(&task->handle.context->failure);
    ((char *)(uintptr_t)list->folder)[length] = '\0';
    status = length > 0 ? tn_hub_check_path(task->handle.context, list->folder) : TENON_OK;
    if (status == TENON_OK && (tn_arena_copy_list(&task->arena, options->allow, &list->allow) != TENON_OK ||
                               tn_arena_copy_list(&task->arena, options->ignore, &list->ignore) != TENON_OK))
        status = tn_fail_memory(&task->handle.context->failure);
    return status;
}

tenon_status tn_hub_list_new(tenon_hub *hub, const char *repository, const tenon_list_options *given, tenon_task **task)
{
    tenon_list_options options;
    struct list *list = NULL;
    tenon_status status = tn_options(hub->handle.context, given, &options, sizeof options);

    if (status == TENON_OK)
        status = tn_hub_task_new(hub, &operation, repository, options.revision, options.policy, &list);
    if (status != TENON_OK)
        return status;
    status = fill(list, &options);
    if (status == TENON_OK)
        *task = &list->base.task;
    else
        tn_task_drop(&list->base.task);
    return status;
}

tenon_status tenon_hub_list(tenon_hub *hub, const char *repository, const tenon_list_options *options, tenon_task **task)
{
    TN_HUB_CALL(hub, tn_hub_list_new(hub, repository, options, &made), task);
}
