/* tenon_hub_forget: a repository, or one revision of it, out of the cache. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "folder.h"
#include "names.h"
#include "operation.h"
#include "path.h"
#include "store.h"

struct forget {
    struct hub_task base;
    bool all;            /* every revision */
    struct names commits;
    int64_t freed;
};

static void path_below(const struct forget *forget, const char *below, struct text *out)
{
    tn_text_reset(out);
    tn_text_format(out, "%s/%s", tn_text(&forget->base.cache.folder), below);
}

/* Adds the names of the blobs that a snapshot's links lead to. */
static tenon_status add_blobs(struct forget *forget, const char *commit, struct names *blobs)
{
    struct tenon_task *task = &forget->base.task;
    const struct memory *memory = &task->handle.context->memory;
    struct text path, target;
    struct tree tree;
    tenon_status status;

    tn_text_init(&path, memory, PATH_MAX);
    tn_text_init(&target, memory, PATH_MAX);
    tn_tree_init(&tree, memory);
    tn_cache_snapshot_path(&forget->base.cache, commit, "", &path);
    status = path.failed ? tn_fail_memory(&task->failure) : TENON_OK;
    if (status == TENON_OK && tn_folder_exists(tn_text(&path)))
        status = tn_folder_walk(tn_text(&path), true, &tree, &task->failure);
    for (size_t i = 0; status == TENON_OK && i < tree.count; i++) {
        struct file_facts facts = { 0 };

        tn_text_reset(&path);
        tn_text_reset(&target);
        tn_cache_snapshot_path(&forget->base.cache, commit, tree.files[i].path, &path);
        status = tn_file_look_at_link(tn_text(&path), &facts, &task->failure);
        if (status == TENON_OK && facts.link)
            status = tn_link_read(tn_text(&path), &target, &task->failure);
        if (status == TENON_OK && facts.link)
            status = tn_names_add(blobs, tn_path_name(tn_text(&target)), &task->failure);
    }
    tn_names_sort(blobs);
    tn_tree_clear(&tree);
    tn_text_clear(&target);
    tn_text_clear(&path);
    return status;
}

/* Counts the plain files below a folder as bytes that are given back. */
static tenon_status count_files(struct forget *forget, const char *folder)
{
    struct failure *failure = &forget->base.task.failure;
    struct text file;
    struct tree tree;
    tenon_status status;

    tn_text_init(&file, &forget->base.task.handle.context->memory, PATH_MAX);
    tn_tree_init(&tree, file.memory);
    status = tn_folder_walk(folder, true, &tree, failure);
    for (size_t i = 0; i < tree.count && status == TENON_OK; i++) {
        struct file_facts facts = { 0 };

        tn_text_reset(&file);
        tn_text_format(&file, "%s/%s", folder, tree.files[i].path);
        status = file.failed ? tn_fail_memory(failure) : tn_file_look_at_link(tn_text(&file), &facts, failure);
        forget->freed += facts.regular ? facts.bytes : 0;
    }
    tn_tree_clear(&tree);
    tn_text_clear(&file);
    return status;
}

/* Removes what lies at a path below the repository's folder. */
static tenon_status remove_below(struct forget *forget, const char *below)
{
    struct failure *failure = &forget->base.task.failure;
    struct text path;
    tenon_status status = TENON_OK;

    tn_text_init(&path, &forget->base.task.handle.context->memory, PATH_MAX);
    path_below(forget, below, &path);
    if (path.failed)
        status = tn_fail_memory(failure);
    else if (tn_starts_with(below, "snapshots") && tn_folder_exists(tn_text(&path)))
        status = count_files(forget, tn_text(&path));
    if (status == TENON_OK)
        status = tn_folder_remove(tn_text(&path), failure);
    tn_text_clear(&path);
    return status;
}

static tenon_status remove_blobs(struct forget *forget, const struct names *blobs, const struct names *kept)
{
    struct tenon_task *task = &forget->base.task;
    struct text path;
    tenon_status status = TENON_OK;

    tn_text_init(&path, &task->handle.context->memory, PATH_MAX);
    for (size_t i = 0; i < blobs->count && status == TENON_OK; i++) {
        if (kept != NULL && tn_names_have(kept, blobs->at[i]))
            continue;
        tn_text_reset(&path);
        tn_cache_blob_path(&forget->base.cache, blobs->at[i], &path);
        status = path.failed ? tn_fail_memory(&task->failure)
                             : tn_store_remove_blob(task->handle.context, tn_text(&forget->base.cache.root), tn_text(&path),
                                                    &forget->freed, &task->failure);
    }
    tn_text_clear(&path);
    return status;
}

/* References that name the commit. */
static tenon_status remove_refs(struct forget *forget, const char *commit)
{
    struct tenon_task *task = &forget->base.task;
    struct text folder, path;
    struct tree refs;
    tenon_status status = TENON_OK;

    tn_text_init(&folder, &task->handle.context->memory, PATH_MAX);
    tn_text_init(&path, &task->handle.context->memory, PATH_MAX);
    tn_tree_init(&refs, &task->handle.context->memory);
    path_below(forget, "refs", &folder);
    if (folder.failed)
        status = tn_fail_memory(&task->failure);
    else if (tn_folder_exists(tn_text(&folder)))
        status = tn_folder_walk(tn_text(&folder), true, &refs, &task->failure);
    for (size_t i = 0; i < refs.count && status == TENON_OK; i++) {
        char named[41];

        tn_text_reset(&path);
        tn_text_format(&path, "%s/%s", tn_text(&folder), refs.files[i].path);
        if (tn_cache_read_ref(&forget->base.cache, refs.files[i].path, named) && strcmp(named, commit) == 0)
            status = path.failed ? tn_fail_memory(&task->failure) : tn_file_remove(tn_text(&path), &task->failure);
    }
    tn_tree_clear(&refs);
    tn_text_clear(&path);
    tn_text_clear(&folder);
    return status;
}

/* The snapshot first and the blobs last: a kill in between leaves no link that leads nowhere. */
static tenon_status forget_commit(struct forget *forget, const char *commit)
{
    struct tenon_task *task = &forget->base.task;
    struct names mine, others;
    char below[80];
    tenon_status status;

    tn_names_init(&mine, &task->handle.context->memory);
    tn_names_init(&others, &task->handle.context->memory);
    status = add_blobs(forget, commit, &mine);
    for (size_t i = 0; i < forget->commits.count && status == TENON_OK; i++)
        if (strcmp(forget->commits.at[i], commit) != 0)
            status = add_blobs(forget, forget->commits.at[i], &others);
    snprintf(below, sizeof below, "snapshots/%s", commit);
    if (status == TENON_OK)
        status = remove_below(forget, below);
    if (status == TENON_OK)
        status = remove_refs(forget, commit);
    if (status == TENON_OK)
        status = remove_blobs(forget, &mine, &others);
    snprintf(below, sizeof below, ".no_exist/%s", commit);
    if (status == TENON_OK)
        status = remove_below(forget, below);
    snprintf(below, sizeof below, "trees/%s.json", commit);
    if (status == TENON_OK)
        status = remove_below(forget, below);
    tn_names_clear(&mine);
    tn_names_clear(&others);
    return status;
}

/* The blobs one by one, because some are the store's; then everything else. */
static tenon_status forget_all(struct forget *forget)
{
    struct tenon_task *task = &forget->base.task;
    struct names blobs;
    struct text folder;
    tenon_status status;

    tn_names_init(&blobs, &task->handle.context->memory);
    tn_text_init(&folder, &task->handle.context->memory, PATH_MAX);
    status = remove_below(forget, "snapshots");
    path_below(forget, "blobs", &folder);
    if (status == TENON_OK)
        status = folder.failed ? tn_fail_memory(&task->failure) : tn_names_add_folder(&blobs, tn_text(&folder), &task->failure);
    if (status == TENON_OK)
        status = remove_blobs(forget, &blobs, NULL);
    if (status == TENON_OK)
        status = tn_folder_remove(tn_text(&forget->base.cache.folder), &task->failure);
    tn_names_clear(&blobs);
    tn_text_clear(&folder);
    return status;
}

static tenon_status find_commits(struct forget *forget)
{
    struct tenon_task *task = &forget->base.task;
    struct text folder;
    tenon_status status;

    tn_text_init(&folder, &task->handle.context->memory, PATH_MAX);
    path_below(forget, "snapshots", &folder);
    status = folder.failed ? tn_fail_memory(&task->failure)
                           : tn_names_add_folder(&forget->commits, tn_text(&folder), &task->failure);
    tn_text_clear(&folder);
    return status;
}

static tenon_status fail_absent(struct forget *forget)
{
    const struct repository *repository = &forget->base.repository;

    return tn_fail(&forget->base.task.failure, TENON_ERROR_NOT_FOUND, "%s%s%s is not in the cache", repository->id,
                   forget->all ? "" : "@", forget->all ? "" : repository->revision);
}

static tenon_status forget_step(struct co *co)
{
    struct forget *forget = TN_CONTAINER(co, struct forget, base.task.co);
    struct tenon_task *task = &forget->base.task;
    char commit[41] = "", digits[24];
    tenon_status status = find_commits(forget);

    if (tn_is_commit(forget->base.repository.revision))
        memcpy(commit, forget->base.repository.revision, sizeof commit);
    else
        tn_cache_read_ref(&forget->base.cache, forget->base.repository.revision, commit);
    if (status == TENON_OK &&
        (!tn_folder_exists(tn_text(&forget->base.cache.folder)) || (!forget->all && !tn_names_have(&forget->commits, commit))))
        status = fail_absent(forget);
    else if (status == TENON_OK)
        status = forget->all || forget->commits.count == 1 ? forget_all(forget) : forget_commit(forget, commit);
    snprintf(digits, sizeof digits, "%" PRId64, forget->freed);
    return status == TENON_OK ? tn_task_set_text(task, digits) : status;
}

static void forget_clear(struct tenon_task *task)
{
    struct forget *forget = TN_CONTAINER(task, struct forget, base.task);

    tn_names_clear(&forget->commits);
    tn_hub_task_clear(&forget->base);
}

static const struct operation operation = { .name = "removing from the cache", .size = sizeof(struct forget),
                                            .step = forget_step, .clear = forget_clear };

static tenon_status forget_new(tenon_hub *hub, const char *repository, const tenon_repository_options *given, tenon_task **task)
{
    tenon_repository_options options;
    struct forget *forget = NULL;
    tenon_status status = tn_options(hub->handle.context, given, &options, sizeof options);

    if (status == TENON_OK)
        status = tn_hub_task_new(hub, &operation, repository, options.revision, options.policy, &forget);
    if (status == TENON_OK) {
        tn_names_init(&forget->commits, &hub->handle.context->memory);
        forget->all = options.revision == NULL && strchr(repository, '@') == NULL;
        *task = &forget->base.task;
    }
    return status;
}

tenon_status tenon_hub_forget(tenon_hub *hub, const char *repository, const tenon_repository_options *options, tenon_task **task)
{
    TN_HUB_CALL(hub, forget_new(hub, repository, options, &made), task);
}
