/*
 * tenon_hub_publish: a folder as a new commit of a file: hub.
 *
 * Contents go into .tenon/blobs under their hash, the list of them into .tenon/commits, and then the branch is moved: that
 * rename is the moment at which the commit exists. Plain files that had no history become its first commit. A branch that
 * is new begins at main. The plain files are brought in line afterwards; .tenon/view says with which commit, so that the
 * next publication mends what a crash left behind.
 *
 * Whatever has not got its name yet lies in .tenon/blobs, where the next publication finds it and removes it.
 */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "copy.h"
#include "file.h"
#include "folder.h"
#include "hash.h"
#include "json.h"
#include "local.h"
#include "operation.h"
#include "path.h"

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
    struct text history;      /* its .tenon */
    struct lock lock;
    struct timer timer;
    int64_t deadline_ms;
    struct tree old;          /* files of the parent */
    struct tree files;        /* files of the folder; their ids come as they are stored */
    struct tree shown;        /* files of the commit that the plain files are brought in line with */
    char old_commit[41];      /* "" for none */
    char commit[41];
    char view[41];            /* what the plain files show; "" where nobody can tell */
    bool plain;               /* the parent has no history yet */
    bool new_branch;
    size_t index;
    struct text source;
    struct text incoming;     /* what is copied, before it has its name */
    struct copy copy;         /* of a file into its blob, later of a blob into the plain file */
    struct hash hash;
};

/* ---- paths ---- */

/* Resets out to a path below .tenon. */
static tenon_status history_path(struct publish *publish, const char *folder, const char *name, const char *ending, struct text *out)
{
    tn_text_reset(out);
    tn_text_format(out, "%s/%s%s%s", tn_text(&publish->history), folder, name, ending);
    return out->failed ? tn_fail_memory(&publish->base.task.failure) : TENON_OK;
}

/* A name that nobody else has, for what gets its own by a rename. */
static tenon_status scratch_path(struct publish *publish, struct text *out)
{
    char chance[17];

    tn_random_hex(publish->base.task.handle.context, chance, 16);
    return history_path(publish, "blobs/", chance, ".tenon.incomplete", out);
}

/* A small file of the history, at one moment and durable. */
static tenon_status put(struct publish *publish, const char *folder, const char *name, const char *ending, const char *text)
{
    struct failure *failure = &publish->base.task.failure;
    struct text path, scratch;
    tenon_status status;

    tn_text_init(&path, &publish->base.task.handle.context->memory, PATH_MAX);
    tn_text_init(&scratch, path.memory, PATH_MAX);
    status = scratch_path(publish, &scratch);
    if (status == TENON_OK)
        status = history_path(publish, folder, name, ending, &path);
    if (status == TENON_OK)
        status = tn_folder_make_above(tn_text(&path), failure);
    if (status == TENON_OK)
        status = tn_file_replace_by(tn_text(&scratch), tn_text(&path), text, strlen(text), 0, true, failure);
    tn_text_clear(&scratch);
    tn_text_clear(&path);
    return status;
}

/* ---- storing content ---- */

/* Opens a file and what is to become of it. */
static tenon_status open_blob(struct publish *publish, const char *folder, const char *path)
{
    struct failure *failure = &publish->base.task.failure;
    tenon_status status = scratch_path(publish, &publish->incoming);

    tn_text_reset(&publish->source);
    tn_text_format(&publish->source, "%s/%s", folder, path);
    if (status == TENON_OK && publish->source.failed)
        status = tn_fail_memory(failure);
    if (status == TENON_OK)
        status = tn_hash_start(&publish->hash, HASH_SHA256, 0, failure);
    if (status == TENON_OK)
        status = tn_copy_start(&publish->copy, tn_text(&publish->source), -1, &publish->hash, failure);
    if (status == TENON_OK) {
        publish->copy.output = tn_file_open(tn_text(&publish->incoming), FILE_WRITE_NEW, failure);
        status = publish->copy.output >= 0 ? TENON_OK : failure->status;
    }
    return status;
}

static void close_copy(struct publish *publish)
{
    tn_copy_stop(&publish->copy);
    tn_file_close(&publish->copy.output);
}

/* What was copied is durable and gets its name. */
static tenon_status name_copy(struct publish *publish, const char *name)
{
    struct failure *failure = &publish->base.task.failure;
    tenon_status status = tn_file_sync(publish->copy.output, tn_text(&publish->incoming), failure);

    if (status == TENON_OK)
        status = tn_file_rename(tn_text(&publish->incoming), name, failure);
    return status;
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
        status = history_path(publish, "blobs/", hex, "", &blob);
    file->bytes = publish->copy.bytes;
    file->etag = status == TENON_OK ? tn_arena_copy(&tree->arena, hex) : "";
    if (file->etag == NULL) {
        file->etag = "";
        status = tn_fail_memory(failure);
    }
    if (status == TENON_OK && tn_file_exists(tn_text(&blob)))
        status = tn_file_remove(tn_text(&publish->incoming), failure);
    else if (status == TENON_OK)
        status = name_copy(publish, tn_text(&blob));
    close_copy(publish);
    if (status == TENON_OK)
        tn_text_reset(&publish->incoming);
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
    struct tenon_task *task = &publish->base.task;
    struct tree_file *file = next_unstored(publish, tree);
    tenon_status status = TENON_OK;
    int64_t before;

    if (file == NULL)
        return TENON_OK;
    if (!tn_copy_running(&publish->copy))
        status = open_blob(publish, folder, file->path);
    before = publish->copy.bytes;
    if (status == TENON_OK)
        status = tn_copy_slice(&publish->copy, tn_text(&publish->source), tn_text(&publish->incoming), &task->failure);
    task->progress.bytes += publish->copy.bytes - before;
    if (status == TENON_OK) {
        status = close_blob(publish, tree, file);
        task->progress.items++;
        status = status == TENON_OK ? TENON_AGAIN : status;
    }
    return status;
}

/* ---- before ---- */

/* Without the folder of the branches: a branch is what makes a history. Nothing is written through a link. */
static tenon_status make_history(struct publish *publish)
{
    static const char *const folders[] = { "blobs", "commits" };
    struct failure *failure = &publish->base.task.failure;
    struct file_facts facts = { 0 };
    struct text path;
    tenon_status status = tn_file_look_at_link(tn_text(&publish->history), &facts, failure);

    if (status == TENON_OK && facts.link)
        status = tn_fail(failure, TENON_ERROR_IO, "%s is a link; no history is kept behind one", tn_text(&publish->history));
    tn_text_init(&path, &publish->base.task.handle.context->memory, PATH_MAX);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0] && status == TENON_OK; i++) {
        status = history_path(publish, folders[i], "", "", &path);
        if (status == TENON_OK)
            status = tn_folder_make(tn_text(&path), 0777, failure);
    }
    tn_text_clear(&path);
    return status;
}

static tenon_status take_lock(struct publish *publish)
{
    struct tenon_task *task = &publish->base.task;
    struct text path;
    tenon_status status;

    tn_text_init(&path, &task->handle.context->memory, PATH_MAX);
    tn_text_format(&path, "%s/lock", tn_text(&publish->history));
    status = path.failed ? tn_fail_memory(&task->failure) : tn_lock_try(&publish->lock, tn_text(&path), &task->failure);
    if (status == TENON_AGAIN && tn_now(task->handle.context) >= publish->deadline_ms) {
        status = tn_fail(&task->failure, TENON_ERROR_BUSY, "%s: another process has been publishing to it for too long", publish->base.repository.id);
        tn_hint(&task->failure, "Wait for it, or end it; the lock is %s.", tn_text(&path));
    } else if (status == TENON_AGAIN && tn_timer_set(task->handle.context, &publish->timer, LOCK_POLL_MS, &task->co) != TENON_OK)
        status = tn_fail_memory(&task->failure);
    tn_text_clear(&path);
    return status;
}

/* Under the lock: what publications that were killed have left. */
static tenon_status sweep(struct publish *publish)
{
    struct failure *failure = &publish->base.task.failure;
    struct text path;
    struct names names;
    tenon_status status;

    tn_text_init(&path, &publish->base.task.handle.context->memory, PATH_MAX);
    tn_names_init(&names, path.memory);
    status = history_path(publish, "blobs", "", "", &path);
    if (status == TENON_OK)
        status = tn_names_add_folder(&names, tn_text(&path), failure);
    for (size_t i = 0; i < names.count && status == TENON_OK; i++)
        if (tn_ends_with(names.at[i], ".tenon.incomplete")) {
            status = history_path(publish, "blobs/", names.at[i], "", &path);
            if (status == TENON_OK)
                status = tn_file_remove(tn_text(&path), failure);
        }
    tn_names_clear(&names);
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
    tn_fail(&publish->base.task.failure, TENON_ERROR_CONFLICT, "%s: %s stands at %s, not at %s", publish->base.repository.id, publish->branch,
            *stands != '\0' ? stands : "nothing", publish->parent);
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
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "%s: something is a file in what is published and a folder in what is there, or the other way round",
                         publish->base.repository.id);
        tn_hint(failure, "Choose another name for it, or leave it out.");
    }
    tn_tree_clear(&both);
    return status;
}

/* ---- the commit ---- */

static bool add_files(json_t *files, const struct tree *tree)
{
    bool good = true;

    for (size_t i = 0; i < tree->count && good; i++)
        good = json_object_set_new(files, tree->files[i].path, json_pack("{s:I, s:s}", "size", (json_int_t)tree->files[i].bytes, "sha256",
                                                                        tree->files[i].etag)) == 0;
    return good;
}

/* Writes the list of the parent's files with those of the folder (NULL: none) over them; its hash is the commit's id. */
static tenon_status write_commit(struct publish *publish, const struct tree *over, const char *parent, const char *message, char *commit)
{
    struct tenon_task *task = &publish->base.task;
    const struct memory *memory = &task->handle.context->memory;
    json_t *files = json_object();
    bool good = files != NULL && add_files(files, &publish->old) && (over == NULL || add_files(files, over));
    json_t *json = json_pack("{s:i, s:s, s:s, s:I, s:o}", "format", 1, "parent", parent, "message", message, "created_ms",
                             (json_int_t)tn_wall(task->handle.context), "files", files);
    char *text = good && json != NULL ? tn_json_write(memory, json) : NULL;
    char hex[TN_HEX_MOST + 1];
    tenon_status status = text != NULL ? tn_hash_bytes(HASH_SHA1, text, strlen(text), hex, &task->failure) : tn_fail_memory(&task->failure);

    if (status == TENON_OK)
        status = put(publish, "commits/", hex, ".json", text);
    if (status == TENON_OK)
        memcpy(commit, hex, 41);
    tn_release(memory, text);
    json_decref(json);
    return status;
}

static tenon_status sync_folder(struct publish *publish, const char *name)
{
    struct text path;
    tenon_status status;

    tn_text_init(&path, &publish->base.task.handle.context->memory, PATH_MAX);
    status = history_path(publish, name, "", "", &path);
    if (status == TENON_OK)
        status = tn_folder_sync(tn_text(&path), &publish->base.task.failure);
    tn_text_clear(&path);
    return status;
}

/* The moment at which the commit exists. */
static tenon_status move_branch(struct publish *publish, const char *branch, const char *commit)
{
    tenon_status status = sync_folder(publish, "blobs");

    if (status == TENON_OK)
        status = sync_folder(publish, "commits");
    if (status == TENON_OK)
        status = put(publish, "refs/heads/", branch, "", commit);
    return status == TENON_OK ? sync_folder(publish, "refs/heads") : status;
}

/* Plain files that had no history become its first commit, on main. */
static tenon_status adopt(struct publish *publish)
{
    tenon_status status = write_commit(publish, NULL, "", "Files that were here before", publish->old_commit);

    if (status == TENON_OK)
        status = move_branch(publish, "main", publish->old_commit);
    if (status == TENON_OK)
        status = put(publish, "view", "", "", publish->old_commit);
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
        status = write_commit(publish, &publish->files, publish->old_commit, publish->message, publish->commit);
    if (status == TENON_OK && (!same || publish->new_branch))
        status = move_branch(publish, publish->branch, publish->commit);
    return status;
}

/* ---- the plain files ---- */

/* What the plain files show, and what they should. Other branches than main are not to be seen there. */
static tenon_status open_view(struct publish *publish)
{
    struct failure ignored;
    struct text path, view;
    tenon_status status;

    if (strcmp(publish->branch, "main") != 0)
        return TENON_OK;
    tn_text_init(&path, &publish->base.task.handle.context->memory, PATH_MAX);
    tn_text_init(&view, path.memory, 64);
    tn_failure_init(&ignored, path.memory, NULL);
    status = history_path(publish, "view", "", "", &path);
    if (status == TENON_OK && tn_file_read_whole(tn_text(&path), 64, &view, &ignored) == TENON_OK && tn_is_commit(tn_text(&view)))
        memcpy(publish->view, tn_text(&view), sizeof publish->view);
    if (status == TENON_OK && strcmp(publish->view, publish->commit) != 0)
        status = tn_folder_open_commit(publish->base.hub, &publish->base.repository, publish->commit, &publish->shown, &publish->base.task.failure);
    tn_failure_clear(&ignored);
    tn_text_clear(&view);
    tn_text_clear(&path);
    return status;
}

/* Opens the content of a file and what is to become the plain file. */
static tenon_status open_plain(struct publish *publish, const struct tree_file *file)
{
    struct failure *failure = &publish->base.task.failure;
    tenon_status status = tn_local_check_links(tn_text(&publish->repository), file->path, publish->source.memory, failure);

    if (status == TENON_OK)
        status = history_path(publish, "blobs/", file->etag, "", &publish->source);
    if (status == TENON_OK)
        status = scratch_path(publish, &publish->incoming);
    if (status == TENON_OK)
        status = tn_copy_start(&publish->copy, tn_text(&publish->source), -1, NULL, failure);
    if (status == TENON_OK) {
        publish->copy.output = tn_file_open(tn_text(&publish->incoming), FILE_WRITE_NEW, failure);
        status = publish->copy.output >= 0 ? TENON_OK : failure->status;
    }
    return status;
}

/* The plain file at one moment. */
static tenon_status close_plain(struct publish *publish, const char *place)
{
    tenon_status status = tn_folder_make_above(place, &publish->base.task.failure);

    if (status == TENON_OK)
        status = name_copy(publish, place);
    close_copy(publish);
    if (status == TENON_OK)
        tn_text_reset(&publish->incoming);
    return status;
}

/* A slice of a plain file: TENON_AGAIN while there is more. Where the file system can, it shares the content. */
static tenon_status show_slice(struct publish *publish, const struct tree_file *file, const char *place)
{
    bool begins = !tn_copy_running(&publish->copy), shared;
    tenon_status status = begins ? open_plain(publish, file) : TENON_OK;

    shared = begins && status == TENON_OK && tn_file_share(publish->copy.input, publish->copy.output);
    if (status == TENON_OK && !shared)
        status = tn_copy_slice(&publish->copy, tn_text(&publish->source), tn_text(&publish->incoming), &publish->base.task.failure);
    return status == TENON_OK ? close_plain(publish, place) : status;
}

/* True when the plain file is known to be that of the commit: it was so in the parent, and the plain files showed that. */
static bool is_shown(const struct publish *publish, const struct tree_file *file, const char *place)
{
    const struct tree_file *old = tn_tree_find(&publish->old, file->path);

    return old != NULL && strcmp(old->etag, file->etag) == 0 && strcmp(publish->view, publish->old_commit) == 0 && tn_file_exists(place);
}

/* A slice of the next file of the commit: TENON_AGAIN while there may be more. */
static tenon_status show_next(struct publish *publish)
{
    struct tenon_task *task = &publish->base.task;
    const struct tree_file *file;
    struct text place;
    tenon_status status = TENON_OK;

    if (publish->index >= publish->shown.count)
        return publish->shown.count > 0 ? put(publish, "view", "", "", publish->commit) : TENON_OK;
    file = &publish->shown.files[publish->index];
    tn_text_init(&place, &task->handle.context->memory, PATH_MAX);
    tn_text_format(&place, "%s/%s", tn_text(&publish->repository), file->path);
    if (place.failed)
        status = tn_fail_memory(&task->failure);
    else if (tn_copy_running(&publish->copy) || !is_shown(publish, file, tn_text(&place)))
        status = show_slice(publish, file, tn_text(&place));
    publish->index += status == TENON_OK;
    tn_text_clear(&place);
    return status == TENON_OK ? TENON_AGAIN : status;
}

/* The commit stands, whatever became of its view. */
static void forgive(struct publish *publish)
{
    struct failure *failure = &publish->base.task.failure;

    tn_log(publish->base.task.handle.context, TENON_LOG_WARNING, "hub", "%s: the plain files are behind the commit: %s", publish->base.repository.id,
           failure->message != NULL ? failure->message : "out of memory");
    tn_failure_clear(failure);
}

/* ---- the operation ---- */

static tenon_status set_paths(struct publish *publish)
{
    struct tenon_task *task = &publish->base.task;
    tenon_status status = TENON_OK;

    if (publish->base.hub->folder == NULL) {
        status = tn_fail(&task->failure, TENON_ERROR_UNSUPPORTED, "this version publishes to file: hubs only, not to %s", publish->base.hub->endpoint);
        tn_hint(&task->failure, "Open a hub file:///folder; or use another client for this one.");
        return status;
    }
    tn_folder_path(publish->base.hub, &publish->base.repository, &publish->repository);
    tn_text_format(&publish->history, "%s/.tenon", tn_text(&publish->repository));
    publish->deadline_ms = tn_now(task->handle.context) + tn_setting_integer(&task->handle.context->settings, SETTING_HUB_LOCK_MS);
    return publish->repository.failed || publish->history.failed ? tn_fail_memory(&task->failure) : TENON_OK;
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
        status = make_history(publish);
    if (status == TENON_OK)
        AWAIT(co, !tn_timer_running(&publish->timer) && (status = take_lock(publish)) != TENON_AGAIN);
    if (status == TENON_OK)
        status = sweep(publish);
    if (status == TENON_OK)
        status = open_parent(publish);
    if (status == TENON_OK)
        status = check_names(publish);

    /* The content of the folder; and of a plain repository that becomes one with a history. */
    if (status == TENON_OK)
        AWAIT(co, (status = store_slice(publish, publish->folder, &publish->files)) != TENON_AGAIN || tn_co_go_on(co));
    publish->index = 0;
    if (status == TENON_OK)
        AWAIT(co, (status = store_slice(publish, tn_text(&publish->repository), &publish->old)) != TENON_AGAIN || tn_co_go_on(co));

    if (status == TENON_OK)
        status = commit(publish);
    if (status == TENON_OK) {
        publish->index = 0;
        status = open_view(publish);
        if (status == TENON_OK)
            AWAIT(co, (status = show_next(publish)) != TENON_AGAIN || tn_co_go_on(co));
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

    if (publish->incoming.length > 0 && !tn_forked(task->handle.context)) {
        struct failure ignored;

        tn_failure_init(&ignored, &task->handle.context->memory, NULL);
        tn_file_remove(tn_text(&publish->incoming), &ignored);
        tn_failure_clear(&ignored);
    }
    tn_timer_stop(task->handle.context, &publish->timer);
    close_copy(publish);
    tn_lock_release(&publish->lock);
    tn_hash_stop(&publish->hash);
    tn_tree_clear(&publish->old);
    tn_tree_clear(&publish->files);
    tn_tree_clear(&publish->shown);
    tn_text_clear(&publish->repository);
    tn_text_clear(&publish->history);
    tn_text_clear(&publish->source);
    tn_text_clear(&publish->incoming);
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
    tn_copy_init(&publish->copy, context);
    tn_tree_init(&publish->old, memory);
    tn_tree_init(&publish->files, memory);
    tn_tree_init(&publish->shown, memory);
    tn_text_init(&publish->repository, memory, PATH_MAX);
    tn_text_init(&publish->history, memory, PATH_MAX);
    tn_text_init(&publish->source, memory, PATH_MAX);
    tn_text_init(&publish->incoming, memory, PATH_MAX);
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
