/*
 * tenon_hub_publish: a folder as a new commit of a file: hub.
 *
 * Contents go into .tenon/blobs under their hash, the list of them into .tenon/commits, and then the branch is moved: that
 * rename is the moment at which the commit exists. Plain files that had no history become its first commit. A branch that
 * is new begins at main. The plain files are brought in line afterwards.
 */
#include <limits.h>
#include <string.h>

#include "file.h"
#include "folder.h"
#include "hash.h"
#include "history.h"
#include "incoming.h"
#include "operation.h"
#include "path.h"
#include "view.h"

enum { LOCK_POLL_MS = 50 };

struct publish {
    struct hub_task base;
    const char *folder;
    const char *message;
    const char *branch;
    const char *parent;  /* condition; NULL: none */
    const char *const *allow;
    const char *const *ignore;
    struct text repository;   /* the repository's folder */
    struct history history;
    struct lock lock;
    struct timer timer;
    int64_t deadline_ms;
    struct tree old;          /* files of the parent */
    struct tree files;        /* files of the folder; their ids come as they are stored */
    char old_commit[41];      /* "" for none */
    char commit[41];
    bool plain;               /* the parent has no history yet */
    bool new_branch;
    size_t index;
    struct incoming incoming; /* a content that is stored */
    struct hash hash;
    struct view view;
};

/* ---- storing content ---- */

/* Opens a file, which is hashed while it is copied. */
static tenon_status open_blob(struct publish *publish, const char *folder, const char *path)
{
    struct incoming *incoming = &publish->incoming;
    tenon_status status = tn_hash_start(&publish->hash, HASH_SHA256, 0, &publish->base.task.failure);

    tn_text_reset(&incoming->source);
    tn_text_format(&incoming->source, "%s/%s", folder, path);
    return status == TENON_OK ? tn_incoming_start(incoming, &publish->history, &publish->hash) : status;
}

/* The file now has an id; its content its name, unless it is there already. */
static tenon_status close_blob(struct publish *publish, struct tree *tree, struct tree_file *file)
{
    struct failure *failure = &publish->base.task.failure;
    char hex[TN_HEX_MOST + 1];
    struct text blob;
    tenon_status status = tn_hash_end(&publish->hash, hex, failure);

    tn_text_init(&blob, &publish->base.task.handle.context->memory, PATH_MAX);
    if (status == TENON_OK)
        status = tn_history_path(&publish->history, "blobs/", hex, "", &blob);
    file->bytes = publish->incoming.copy.bytes;
    file->etag = status == TENON_OK ? tn_arena_copy(&tree->arena, hex) : "";
    if (file->etag == NULL) {
        file->etag = "";
        status = tn_fail_memory(failure);
    }
    if (status == TENON_OK)
        status = tn_incoming_finish(&publish->incoming, tn_file_exists(tn_text(&blob)) ? NULL : tn_text(&blob), failure);
    tn_text_clear(&blob);
    return status;
}

/* The next file of a tree whose content is not stored yet; NULL when there is none. */
static struct tree_file *next_unstored(struct publish *publish, struct tree *tree)
{
    while (publish->index < tree->count && *tree->files[publish->index].etag != '\0')
        publish->index++;
    return publish->index < tree->count ? &tree->files[publish->index] : NULL;
}

/* A slice of the next file below a folder: TENON_AGAIN until the content of all is stored. */
static tenon_status store_slice(struct publish *publish, const char *folder, struct tree *tree)
{
    tenon_progress *progress = &publish->base.task.progress;
    struct tree_file *file = next_unstored(publish, tree);
    const int64_t *bytes = &publish->incoming.copy.bytes;
    tenon_status status = TENON_OK;
    int64_t before;

    if (file == NULL)
        return TENON_OK;
    if (!tn_incoming_running(&publish->incoming))
        status = open_blob(publish, folder, file->path);
    before = *bytes;
    if (status == TENON_OK)
        status = tn_incoming_slice(&publish->incoming, &publish->base.task.failure);
    progress->bytes += *bytes - before;
    if (status == TENON_OK) {
        status = close_blob(publish, tree, file);
        progress->items++;
        status = status == TENON_OK ? TENON_AGAIN : status;
    }
    return status;
}

/* ---- before ---- */

static tenon_status take_lock(struct publish *publish)
{
    struct tenon_task *task = &publish->base.task;
    struct text path;
    tenon_status status;

    tn_text_init(&path, &task->handle.context->memory, PATH_MAX);
    tn_text_format(&path, "%s/lock", tn_text(&publish->history.folder));
    status = path.failed ? tn_fail_memory(&task->failure) : tn_lock_try(&publish->lock, tn_text(&path), &task->failure);
    if (status == TENON_AGAIN && tn_now(task->handle.context) >= publish->deadline_ms) {
        status = tn_fail(&task->failure, TENON_ERROR_BUSY, "%s: another process has been publishing to it for too long",
                         publish->base.repository.id);
        tn_hint(&task->failure, "Wait for it, or end it; the lock is %s.", tn_text(&path));
    } else if (status == TENON_AGAIN)
        tn_timer_set(task->handle.context, &publish->timer, LOCK_POLL_MS, &task->co);
    tn_text_clear(&path);
    return status;
}

/* The files that a branch stands for; a repository or a branch that does not exist yet stands for none. */
static tenon_status open_branch(struct publish *publish, const char *branch)
{
    struct tenon_task *task = &publish->base.task;
    struct repository named = publish->base.repository;
    tenon_status status;

    named.revision = (char *)(uintptr_t)branch;
    status = tn_folder_open_revision(publish->base.hub, &named, publish->old_commit, &publish->old, &task->failure);
    if (status == TENON_ERROR_NOT_FOUND) {
        tn_failure_clear(&task->failure);
        tn_tree_clear(&publish->old);
        publish->old_commit[0] = '\0';
        status = TENON_OK;
    }
    return status;
}

static tenon_status check_parent(struct publish *publish)
{
    const char *stands = publish->new_branch ? "" : publish->old_commit;

    if (publish->parent == NULL || strcmp(publish->parent, stands) == 0)
        return TENON_OK;
    tn_fail(&publish->base.task.failure, TENON_ERROR_CONFLICT, "%s: %s stands at %s, not at %s", publish->base.repository.id,
            publish->branch, *stands != '\0' ? stands : "nothing", publish->parent);
    return tn_hint(&publish->base.task.failure, "Somebody published meanwhile: look at what is there, and publish again.");
}

/* What is to be stored, for the progress. */
static void count_unstored(struct tenon_task *task, const struct tree *tree)
{
    tenon_progress *progress = &task->progress;

    for (size_t i = 0; i < tree->count; i++)
        if (*tree->files[i].etag == '\0') {
            progress->bytes_total = tn_sum_of_sizes(progress->bytes_total, tree->files[i].bytes);
            progress->items_total++;
        }
}

/* What the new commit is to be based on. */
static tenon_status open_parent(struct publish *publish)
{
    struct failure *failure = &publish->base.task.failure;
    struct names branches;
    tenon_status status;

    tn_names_init(&branches, &publish->base.task.handle.context->memory);
    status = tn_folder_branches(publish->base.hub, &publish->base.repository, &branches, failure);
    publish->plain = branches.count == 0;
    publish->new_branch = publish->plain ? strcmp(publish->branch, "main") != 0 : !tn_names_have(&branches, publish->branch);
    if (status == TENON_OK)
        status = open_branch(publish, publish->new_branch ? "main" : publish->branch);
    if (status == TENON_OK)
        status = check_parent(publish);
    count_unstored(&publish->base.task, &publish->old);
    tn_names_clear(&branches);
    return status;
}

static tenon_status choose_files(struct publish *publish)
{
    struct tenon_task *task = &publish->base.task;
    tenon_status status = TENON_OK;

    if (!tn_folder_exists(publish->folder)) {
        status = tn_fail(&task->failure, TENON_ERROR_NOT_FOUND, "there is no folder %s", publish->folder);
        tn_hint(&task->failure, "Give the folder whose files are to be published.");
    } else
        status = tn_folder_choose(publish->folder, publish->allow, publish->ignore, &publish->files, &task->failure);
    task->progress.bytes_total = task->progress.items_total = 0;
    count_unstored(task, &publish->files);
    return status;
}

/* Can the files stand beside those of the parent? Where one is a folder of the other's no reader could make both. */
static tenon_status check_names(struct publish *publish)
{
    struct failure *failure = &publish->base.task.failure;
    struct tree both;
    tenon_status status = TENON_OK;

    tn_tree_init(&both, publish->files.memory);
    for (size_t i = 0; i < publish->files.count && status == TENON_OK; i++)
        status = tn_tree_add(&both, &publish->files.files[i], failure);
    for (size_t i = 0; i < publish->old.count && status == TENON_OK; i++)
        if (tn_tree_find(&publish->files, publish->old.files[i].path) == NULL)
            status = tn_tree_add(&both, &publish->old.files[i], failure);
    if (status == TENON_OK && tn_tree_sort(&both, failure) != TENON_OK) {
        status = tn_fail(failure, TENON_ERROR_ARGUMENT,
                         "%s: something is a file in what is published and a folder in what is there, or the other way round",
                         publish->base.repository.id);
        tn_hint(failure, "Choose another name for it, or leave it out.");
    }
    tn_tree_clear(&both);
    return status;
}

/* ---- the commit ---- */

/* Plain files that had no history become its first commit, on main. */
static tenon_status adopt(struct publish *publish)
{
    tenon_status status = tn_history_commit(&publish->history, &publish->old, NULL, "", "Files that were here before",
                                            publish->old_commit);

    if (status == TENON_OK)
        status = tn_history_move_branch(&publish->history, "main", publish->old_commit);
    if (status == TENON_OK)
        status = tn_history_put(&publish->history, "view", "", "", publish->old_commit);
    return status;
}

static bool nothing_changed(const struct publish *publish)
{
    bool same = publish->old_commit[0] != '\0';

    for (size_t i = 0; i < publish->files.count && same; i++) {
        const struct tree_file *old = tn_tree_find(&publish->old, publish->files.files[i].path);

        same = old != NULL && strcmp(old->etag, publish->files.files[i].etag) == 0;
    }
    return same;
}

/* With all content stored. */
static tenon_status commit(struct publish *publish)
{
    tenon_status status = publish->plain && publish->old.count > 0 ? adopt(publish) : TENON_OK;
    bool same = status == TENON_OK && nothing_changed(publish);

    if (same)
        memcpy(publish->commit, publish->old_commit, sizeof publish->commit);
    else if (status == TENON_OK)
        status = tn_history_commit(&publish->history, &publish->old, &publish->files, publish->old_commit, publish->message,
                                   publish->commit);
    if (status == TENON_OK && (!same || publish->new_branch))
        status = tn_history_move_branch(&publish->history, publish->branch, publish->commit);
    return status;
}

/* ---- the plain files ---- */

/* Other branches than main are not to be seen there. */
static tenon_status open_view(struct publish *publish)
{
    tenon_status status = TENON_OK;

    if (strcmp(publish->branch, "main") == 0)
        status = tn_view_open(&publish->view, publish->base.hub, &publish->base.repository, tn_text(&publish->repository),
                              publish->commit);
    return status;
}

/* The commit stands, whatever became of its view. */
static void forgive(struct publish *publish)
{
    struct failure *failure = &publish->base.task.failure;

    tn_log(publish->base.task.handle.context, TENON_LOG_WARNING, "hub", "%s: the plain files are behind the commit: %s",
           publish->base.repository.id, failure->message != NULL ? failure->message : "out of memory");
    tn_failure_clear(failure);
}

/* ---- the operation ---- */

static tenon_status set_paths(struct publish *publish)
{
    struct tenon_task *task = &publish->base.task;
    tenon_status status = TENON_OK;

    if (publish->base.hub->folder == NULL) {
        status = tn_fail(&task->failure, TENON_ERROR_UNSUPPORTED, "this version publishes to file: hubs only, not to %s",
                         publish->base.hub->endpoint);
        tn_hint(&task->failure, "Open a hub file:///folder; or use another client for this one.");
        return status;
    }
    tn_folder_path(publish->base.hub, &publish->base.repository, &publish->repository);
    tn_text_format(&publish->history.folder, "%s/.tenon", tn_text(&publish->repository));
    publish->deadline_ms = tn_now(task->handle.context) + tn_setting_integer(&task->handle.context->settings, SETTING_HUB_LOCK_MS);
    return publish->repository.failed || publish->history.folder.failed ? tn_fail_memory(&task->failure) : TENON_OK;
}

static tenon_status publish_step(struct co *co)
{
    struct publish *publish = TN_CONTAINER(co, struct publish, base.task.co);
    struct tenon_task *task = &publish->base.task;
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_task_stage(task, "publishing", publish->base.repository.id);
    status = set_paths(publish);
    if (status == TENON_OK)
        status = choose_files(publish);
    if (status == TENON_OK)
        status = tn_history_make(&publish->history);
    if (status == TENON_OK)
        AWAIT(co, !tn_timer_running(&publish->timer) && (status = take_lock(publish)) != TENON_AGAIN);
    if (status == TENON_OK)
        status = tn_history_sweep(&publish->history);
    if (status == TENON_OK)
        status = open_parent(publish);
    if (status == TENON_OK)
        status = check_names(publish);

    /* The content of the folder; and of a plain repository that becomes one with a history. */
    if (status == TENON_OK)
        AWAIT(co, (status = store_slice(publish, publish->folder, &publish->files)) != TENON_AGAIN ||
                  tn_incoming_go_on(&publish->incoming));
    publish->index = 0;
    if (status == TENON_OK)
        AWAIT(co, (status = store_slice(publish, tn_text(&publish->repository), &publish->old)) != TENON_AGAIN ||
                  tn_incoming_go_on(&publish->incoming));

    if (status == TENON_OK)
        status = commit(publish);
    if (status == TENON_OK) {
        status = open_view(publish);
        if (status == TENON_OK)
            AWAIT(co, (status = tn_view_next(&publish->view, &publish->old, publish->old_commit)) != TENON_AGAIN ||
                      tn_incoming_go_on(&publish->view.incoming));
        if (status != TENON_OK)
            forgive(publish);
        status = tn_task_set_text(task, publish->commit);
    }
    CO_END(co);
    return status;
}

static void clear_own(struct publish *publish)
{
    struct tenon_task *task = &publish->base.task;

    tn_timer_stop(task->handle.context, &publish->timer);
    tn_incoming_clear(&publish->incoming);
    tn_view_clear(&publish->view);
    tn_lock_release(&publish->lock);
    tn_hash_stop(&publish->hash);
    tn_tree_clear(&publish->old);
    tn_tree_clear(&publish->files);
    tn_text_clear(&publish->repository);
    tn_history_clear(&publish->history);
}

static void publish_clear(struct tenon_task *task)
{
    struct publish *publish = TN_CONTAINER(task, struct publish, base.task);

    /* Where the names were refused nothing was filled in. */
    if (publish->repository.memory != NULL)
        clear_own(publish);
    tn_hub_task_clear(&publish->base);
}

static const struct operation operation = { .name = "publishing a folder", .size = sizeof(struct publish),
                                            .step = publish_step, .clear = publish_clear };

static tenon_status fill(struct publish *publish, const tenon_publish_options *options)
{
    struct tenon_task *task = &publish->base.task;
    struct tenon_context *context = task->handle.context;
    const struct memory *memory = &context->memory;
    tenon_status status = TENON_OK;

    publish->lock.fd = -1;
    tn_history_init(&publish->history, context, &task->failure);
    tn_incoming_init(&publish->incoming, context, &publish->base.task.co);
    tn_view_init(&publish->view, &publish->history, &publish->base.task.co);
    tn_tree_init(&publish->old, memory);
    tn_tree_init(&publish->files, memory);
    tn_text_init(&publish->repository, memory, PATH_MAX);
    if (options->folder == NULL)
        status = tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "no folder is given");
    if (status == TENON_OK && options->branch != NULL && !tn_revision_is_safe(options->branch))
        status = tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "\"%s\" is not a branch", options->branch);
    if (status == TENON_OK)
        status = tn_hub_keep_folder(task, options->folder, &publish->folder);
    if (status == TENON_OK)
        status = tn_task_keep(task, options->message != NULL ? options->message : "Upload folder using tenon", &publish->message);
    if (status == TENON_OK)
        status = tn_task_keep(task, options->branch != NULL ? options->branch : "main", &publish->branch);
    if (status == TENON_OK)
        status = tn_task_keep(task, options->parent, &publish->parent);
    if (status == TENON_OK && (tn_arena_copy_list(&task->arena, options->allow, &publish->allow) != TENON_OK ||
                               tn_arena_copy_list(&task->arena, options->ignore, &publish->ignore) != TENON_OK))
        status = tn_fail_memory(&context->failure);
    return status;
}

static tenon_status publish_new(tenon_hub *hub, const char *repository, const tenon_publish_options *given, tenon_task **task)
{
    tenon_publish_options options;
    struct publish *publish = NULL;
    tenon_status status = tn_options(hub->handle.context, given, &options, sizeof options);

    if (status == TENON_OK)
        status = tn_hub_task_new(hub, &operation, repository, NULL, TENON_CACHE_DEFAULT, &publish);
    if (status != TENON_OK)
        return status;
    status = fill(publish, &options);
    if (status == TENON_OK)
        *task = &publish->base.task;
    else
        tn_task_drop(&publish->base.task);
    return status;
}

tenon_status tenon_hub_publish(tenon_hub *hub, const char *repository, const tenon_publish_options *options, tenon_task **task)
{
    TN_HUB_CALL(hub, publish_new(hub, repository, options, &made), task);
}
