/*
 * tenon_hub_publish: a folder as a new commit of a file: hub.
 *
 * Contents go into .tenon/blobs under their hash, the list of them into .tenon/commits, and then the branch is moved: that
 * rename is the moment at which the commit exists. The plain files are brought in line afterwards; a crash in between is
 * mended by the next publication.
 */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "file.h"
#include "folder.h"
#include "hash.h"
#include "json.h"
#include "operation.h"
#include "path.h"
#include "pattern.h"

enum { SLICE = 1024 * 1024, LOCK_POLL_MS = 50 };

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
    char old_commit[41];      /* "" for none */
    char commit[41];
    size_t index;
    struct text source;
    struct text incoming;     /* a blob before it has its name */
    struct hash hash;
    int64_t hashed;
    int input, output;
};

/* ---- storing content ---- */

static void blob_path(const struct publish *publish, const char *name, struct text *out)
{
    tn_text_format(out, "%s/blobs/%s", tn_text(&publish->history), name);
}

static tenon_status open_blob(struct publish *publish, const char *folder, const char *path)
{
    struct tenon_task *task = &publish->base.task;
    char chance[17];
    tenon_status status;

    tn_random_hex(task->handle.context, chance, 16);
    tn_text_reset(&publish->source);
    tn_text_format(&publish->source, "%s/%s", folder, path);
    tn_text_reset(&publish->incoming);
    blob_path(publish, chance, &publish->incoming);
    tn_text_add(&publish->incoming, ".tenon.incomplete");
    if (publish->source.failed || publish->incoming.failed)
        return tn_fail_memory(&task->failure);
    publish->input = tn_file_open(tn_text(&publish->source), FILE_READ, &task->failure);
    publish->output = publish->input >= 0 ? tn_file_open(tn_text(&publish->incoming), FILE_WRITE_NEW, &task->failure) : -1;
    status = publish->output >= 0 ? tn_hash_start(&publish->hash, HASH_SHA256, 0, &task->failure) : task->failure.status;
    publish->hashed = 0;
    return status;
}

/* TENON_AGAIN while there is more. */
static tenon_status copy_slice(struct publish *publish)
{
    struct tenon_task *task = &publish->base.task;
    char *slice = tn_alloc(&task->handle.context->memory, SLICE);
    size_t got = 0;
    tenon_status status = slice != NULL ? TENON_OK : tn_fail_memory(&task->failure);

    if (status == TENON_OK)
        status = tn_file_read_at(publish->input, slice, SLICE, publish->hashed, &got, tn_text(&publish->source), &task->failure);
    if (status == TENON_OK)
        status = tn_file_write(publish->output, slice, got, tn_text(&publish->incoming), &task->failure);
    if (status == TENON_OK) {
        tn_hash_add(&publish->hash, slice, got);
        publish->hashed += (int64_t)got;
        task->progress.bytes += (int64_t)got;
        status = got == SLICE ? TENON_AGAIN : TENON_OK;
    }
    tn_release(&task->handle.context->memory, slice);
    return status;
}

/* The file now has an id; its content its name, unless it is there already. */
static tenon_status close_blob(struct publish *publish, struct tree *tree, struct tree_file *file)
{
    struct tenon_task *task = &publish->base.task;
    char hex[TN_HEX_MOST + 1];
    struct text blob;
    tenon_status status = tn_hash_end(&publish->hash, hex, &task->failure);

    tn_text_init(&blob, &task->handle.context->memory, PATH_MAX);
    blob_path(publish, hex, &blob);
    file->bytes = publish->hashed;
    file->etag = tn_arena_copy(&tree->arena, hex);
    if (status == TENON_OK && (blob.failed || file->etag == NULL))
        status = tn_fail_memory(&task->failure);
    if (status == TENON_OK && tn_file_exists(tn_text(&blob)))
        status = tn_file_remove(tn_text(&publish->incoming), &task->failure);
    else if (status == TENON_OK) {
        status = tn_file_sync(publish->output, tn_text(&publish->incoming), &task->failure);
        if (status == TENON_OK)
            status = tn_file_rename(tn_text(&publish->incoming), tn_text(&blob), &task->failure);
    }
    tn_file_close(&publish->input);
    tn_file_close(&publish->output);
    if (status == TENON_OK)
        tn_text_reset(&publish->incoming);
    tn_text_clear(&blob);
    return status;
}

/* ---- before ---- */

/* refs/heads says that there is a history: it comes last, with the first branch. */
static tenon_status make_history(struct publish *publish)
{
    static const char *const folders[] = { "blobs", "commits" };
    struct tenon_task *task = &publish->base.task;
    struct text path;
    tenon_status status = TENON_OK;

    tn_text_init(&path, &task->handle.context->memory, PATH_MAX);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0] && status == TENON_OK; i++) {
        tn_text_reset(&path);
        tn_text_format(&path, "%s/%s", tn_text(&publish->history), folders[i]);
        status = path.failed ? tn_fail_memory(&task->failure) : tn_folder_make(tn_text(&path), 0777, &task->failure);
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
    if (status == TENON_AGAIN && tn_now(task->handle.context) >= publish->deadline_ms)
        status = tn_fail(&task->failure, TENON_ERROR_BUSY, "%s: another process has been publishing to it for too long", publish->base.repository.id);
    else if (status == TENON_AGAIN && tn_timer_set(task->handle.context, &publish->timer, LOCK_POLL_MS, &task->co) != TENON_OK)
        status = tn_fail_memory(&task->failure);
    tn_text_clear(&path);
    return status;
}

/* What the branch stands at; a repository that does not exist yet, or not this branch, stands at nothing. */
static tenon_status open_parent(struct publish *publish)
{
    struct tenon_task *task = &publish->base.task;
    struct repository named = publish->base.repository;
    tenon_status status;

    named.revision = (char *)(uintptr_t)publish->branch;
    status = tn_folder_open_revision(publish->base.hub, &named, publish->old_commit, &publish->old, &task->failure);
    if (status == TENON_ERROR_NOT_FOUND) {
        tn_failure_clear(&task->failure);
        publish->old_commit[0] = '\0';
        status = TENON_OK;
    }
    if (status == TENON_OK && publish->parent != NULL && strcmp(publish->parent, publish->old_commit) != 0) {
        status = tn_fail(&task->failure, TENON_ERROR_CONFLICT, "%s: %s stands at %s, not at %s", publish->base.repository.id, publish->branch,
                         publish->old_commit[0] != '\0' ? publish->old_commit : "nothing", publish->parent);
        tn_hint(&task->failure, "Somebody published meanwhile: look at what is there, and publish again.");
    }
    return status;
}

static tenon_status choose_files(struct publish *publish)
{
    struct tenon_task *task = &publish->base.task;
    size_t kept = 0;
    tenon_status status = TENON_OK;

    if (!tn_folder_exists(publish->folder)) {
        status = tn_fail(&task->failure, TENON_ERROR_NOT_FOUND, "there is no folder %s", publish->folder);
        tn_hint(&task->failure, "Give the folder whose files are to be published.");
    } else
        status = tn_folder_walk(publish->folder, false, &publish->files, &task->failure);
    task->progress.bytes_total = 0;
    for (size_t i = 0; i < publish->files.count; i++)
        if (tn_patterns_choose(publish->allow, publish->ignore, publish->files.files[i].path)) {
            publish->files.files[kept++] = publish->files.files[i];
            task->progress.bytes_total += publish->files.files[i].bytes;
        }
    publish->files.count = kept;
    task->progress.items_total = (int64_t)kept;
    return status;
}

/* ---- the commit ---- */

/* The parent's files with those of the folder over them. */
static json_t *merged_files(const struct publish *publish)
{
    json_t *files = json_object();
    bool good = files != NULL;

    for (size_t i = 0; i < publish->old.count && good; i++)
        good = json_object_set_new(files, publish->old.files[i].path, json_pack("{s:I, s:s}", "size", (json_int_t)publish->old.files[i].bytes,
                                                                               "sha256", publish->old.files[i].etag)) == 0;
    for (size_t i = 0; i < publish->files.count && good; i++)
        good = json_object_set_new(files, publish->files.files[i].path, json_pack("{s:I, s:s}", "size", (json_int_t)publish->files.files[i].bytes,
                                                                                  "sha256", publish->files.files[i].etag)) == 0;
    if (!good) {
        json_decref(files);
        files = NULL;
    }
    return files;
}

static bool nothing_changed(const struct publish *publish, bool had_history)
{
    bool same = had_history && publish->old_commit[0] != '\0';

    for (size_t i = 0; i < publish->files.count && same; i++) {
        const struct tree_file *old = tn_tree_find(&publish->old, publish->files.files[i].path);

        same = old != NULL && strcmp(old->etag, publish->files.files[i].etag) == 0;
    }
    return same;
}

/* Writes the list; its hash is the commit's id. */
static tenon_status write_commit(struct publish *publish)
{
    struct tenon_task *task = &publish->base.task;
    const struct memory *memory = &task->handle.context->memory;
    json_t *files = merged_files(publish);
    json_t *json = files != NULL ? json_pack("{s:i, s:s, s:s, s:I, s:o}", "format", 1, "parent", publish->old_commit, "message", publish->message,
                                             "created_ms", (json_int_t)tn_wall(task->handle.context), "files", files)
                                 : NULL;
    char *text = json != NULL ? tn_json_write(memory, json) : NULL;
    char hex[TN_HEX_MOST + 1];
    struct text path;
    tenon_status status = text != NULL ? tn_hash_bytes(HASH_SHA1, text, strlen(text), hex, &task->failure) : tn_fail_memory(&task->failure);

    tn_text_init(&path, memory, PATH_MAX);
    if (status == TENON_OK) {
        memcpy(publish->commit, hex, sizeof publish->commit);
        tn_text_format(&path, "%s/commits/%s.json", tn_text(&publish->history), hex);
        status = path.failed ? tn_fail_memory(&task->failure) : tn_file_replace(tn_text(&path), text, strlen(text), 0, true, &task->failure);
    }
    tn_text_clear(&path);
    tn_release(memory, text);
    json_decref(json);
    return status;
}

/* The moment at which the commit exists. */
static tenon_status move_branch(struct publish *publish)
{
    struct tenon_task *task = &publish->base.task;
    struct text path;
    tenon_status status;

    tn_text_init(&path, &task->handle.context->memory, PATH_MAX);
    tn_text_format(&path, "%s/commits", tn_text(&publish->history));
    status = path.failed ? tn_fail_memory(&task->failure) : tn_folder_sync(tn_text(&path), &task->failure);
    tn_text_reset(&path);
    tn_text_format(&path, "%s/blobs", tn_text(&publish->history));
    if (status == TENON_OK)
        status = tn_folder_sync(tn_text(&path), &task->failure);
    tn_text_reset(&path);
    tn_text_format(&path, "%s/refs/heads/%s", tn_text(&publish->history), publish->branch);
    if (status == TENON_OK)
        status = tn_folder_make_above(tn_text(&path), &task->failure);
    if (status == TENON_OK)
        status = tn_file_replace(tn_text(&path), publish->commit, 40, 0, true, &task->failure);
    tn_text_clear(&path);
    return status;
}

/* ---- the plain files ---- */

static tenon_status show_file(struct publish *publish, const struct tree_file *file)
{
    struct tenon_task *task = &publish->base.task;
    struct text blob, place, name;
    char chance[9];
    tenon_status status;

    tn_text_init(&blob, &task->handle.context->memory, PATH_MAX);
    tn_text_init(&place, &task->handle.context->memory, PATH_MAX);
    tn_text_init(&name, &task->handle.context->memory, PATH_MAX);
    blob_path(publish, file->etag, &blob);
    tn_text_format(&place, "%s/%s", tn_text(&publish->repository), file->path);
    tn_random_hex(task->handle.context, chance, 8);
    tn_text_format(&name, "%s.%s.tenon.incomplete", tn_text(&place), chance);
    status = blob.failed || name.failed ? tn_fail_memory(&task->failure) : tn_folder_make_above(tn_text(&place), &task->failure);
    if (status == TENON_OK)
        status = tn_file_copy(tn_text(&blob), tn_text(&name), &task->failure);
    if (status == TENON_OK)
        status = tn_file_rename(tn_text(&name), tn_text(&place), &task->failure);
    tn_text_clear(&blob);
    tn_text_clear(&place);
    tn_text_clear(&name);
    return status;
}

/* One file that is new or other than in the parent, or is not there: TENON_AGAIN while there may be more. */
static tenon_status show_next(struct publish *publish)
{
    const struct tree_file *file, *old;
    struct text place;
    bool same;

    if (strcmp(publish->branch, "main") != 0 || publish->index >= publish->files.count)
        return TENON_OK;
    file = &publish->files.files[publish->index++];
    old = tn_tree_find(&publish->old, file->path);
    tn_text_init(&place, &publish->base.task.handle.context->memory, PATH_MAX);
    tn_text_format(&place, "%s/%s", tn_text(&publish->repository), file->path);
    same = old != NULL && strcmp(old->etag, file->etag) == 0 && !place.failed && tn_file_exists(tn_text(&place));
    tn_text_clear(&place);
    if (same || show_file(publish, file) == TENON_OK)
        return TENON_AGAIN;
    /* The commit stands; only its view is behind. */
    tn_log(publish->base.task.handle.context, TENON_LOG_WARNING, "hub", "%s: the plain files are behind the commit: %s", publish->base.repository.id,
           publish->base.task.failure.message != NULL ? publish->base.task.failure.message : "");
    tn_failure_clear(&publish->base.task.failure);
    return TENON_OK;
}

/* ---- the operation ---- */

/* The next file of a tree whose content is not stored yet; NULL when there is none. */
static struct tree_file *next_unstored(struct publish *publish, struct tree *tree)
{
    while (publish->index < tree->count && *tree->files[publish->index].etag != '\0')
        publish->index++;
    return publish->index < tree->count ? &tree->files[publish->index] : NULL;
}

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
    return publish->history.failed ? tn_fail_memory(&task->failure) : TENON_OK;
}

static tenon_status publish_step(struct co *co)
{
    struct publish *publish = TN_CONTAINER(co, struct publish, base.task.co);
    struct tenon_task *task = &publish->base.task;
    tenon_status status = TENON_OK;
    struct tree_file *file;

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
        status = open_parent(publish);

    /* The content of the folder; and of a plain repository that becomes one with a history. */
    while (status == TENON_OK && (file = next_unstored(publish, &publish->files)) != NULL) {
        status = open_blob(publish, publish->folder, file->path);
        if (status == TENON_OK)
            AWAIT(co, (status = copy_slice(publish)) != TENON_AGAIN || tn_co_go_on(co));
        if (status == TENON_OK)
            status = close_blob(publish, &publish->files, next_unstored(publish, &publish->files));
        task->progress.items++;
    }
    publish->index = 0;
    while (status == TENON_OK && (file = next_unstored(publish, &publish->old)) != NULL) {
        status = open_blob(publish, tn_text(&publish->repository), file->path);
        if (status == TENON_OK)
            AWAIT(co, (status = copy_slice(publish)) != TENON_AGAIN || tn_co_go_on(co));
        if (status == TENON_OK)
            status = close_blob(publish, &publish->old, next_unstored(publish, &publish->old));
    }

    if (status == TENON_OK && nothing_changed(publish, tn_folder_has_history(publish->base.hub, &publish->base.repository)))
        memcpy(publish->commit, publish->old_commit, sizeof publish->commit);
    else if (status == TENON_OK) {
        status = write_commit(publish);
        if (status == TENON_OK)
            status = move_branch(publish);
    }
    publish->index = 0;
    if (status == TENON_OK)
        AWAIT(co, (status = show_next(publish)) != TENON_AGAIN || tn_co_go_on(co));
    if (status == TENON_OK)
        status = tn_task_set_text(task, publish->commit);
    CO_END(co);
    return status;
}

static void publish_clear(struct tenon_task *task)
{
    struct publish *publish = TN_CONTAINER(task, struct publish, base.task);

    if (publish->repository.memory == NULL)
        return;
    if (publish->output >= 0 && publish->incoming.length > 0 && !tn_forked(task->handle.context)) {
        struct failure ignored;

        tn_failure_init(&ignored, &task->handle.context->memory, NULL);
        tn_file_remove(tn_text(&publish->incoming), &ignored);
        tn_failure_clear(&ignored);
    }
    tn_timer_stop(task->handle.context, &publish->timer);
    tn_file_close(&publish->input);
    tn_file_close(&publish->output);
    tn_lock_release(&publish->lock);
    tn_hash_stop(&publish->hash);
    tn_tree_clear(&publish->old);
    tn_tree_clear(&publish->files);
    tn_text_clear(&publish->repository);
    tn_text_clear(&publish->history);
    tn_text_clear(&publish->source);
    tn_text_clear(&publish->incoming);
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

    publish->input = publish->output = publish->lock.fd = -1;
    tn_tree_init(&publish->old, memory);
    tn_tree_init(&publish->files, memory);
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
