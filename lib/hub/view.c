#include "view.h"

#include <limits.h>
#include <string.h>

#include "file.h"
#include "folder.h"
#include "local.h"
#include "path.h"

void tn_view_init(struct view *view, const struct history *history, struct co *waiter)
{
    view->history = history;
    tn_tree_init(&view->files, &history->context->memory);
    tn_incoming_init(&view->incoming, history->context, waiter);
}

void tn_view_clear(struct view *view)
{
    tn_incoming_clear(&view->incoming);
    tn_tree_clear(&view->files);
}

tenon_status tn_view_open(struct view *view, const tenon_hub *hub, const struct repository *repository, const char *folder,
                          const char *commit)
{
    const struct history *history = view->history;
    struct failure ignored;
    struct text path, shows;
    tenon_status status;

    view->folder = folder;
    memcpy(view->commit, commit, sizeof view->commit);
    tn_text_init(&path, &history->context->memory, PATH_MAX);
    tn_text_init(&shows, path.memory, 64);
    tn_failure_init(&ignored, path.memory, NULL);
    status = tn_history_path(history, "view", "", "", &path);
    if (status == TENON_OK && tn_file_read_whole(tn_text(&path), 64, &shows, &ignored) == TENON_OK && tn_is_commit(tn_text(&shows)))
        memcpy(view->shows, tn_text(&shows), sizeof view->shows);
    if (status == TENON_OK && strcmp(view->shows, commit) != 0)
        status = tn_folder_open_commit(hub, repository, commit, &view->files, history->failure);
    tn_failure_clear(&ignored);
    tn_text_clear(&shows);
    tn_text_clear(&path);
    return status;
}

/* True when the plain file is known to be that of the commit: it was so in the parent, and the plain files showed that. */
static bool is_shown(const struct view *view, const struct tree_file *file, const struct tree *before, const char *parent,
                     const char *place)
{
    const struct tree_file *old = tn_tree_find(before, file->path);

    return old != NULL && strcmp(old->etag, file->etag) == 0 && strcmp(view->shows, parent) == 0 && tn_file_exists(place);
}

/* Opens the content of a file and what is to become the plain file. */
static tenon_status begin_file(struct view *view, const struct tree_file *file)
{
    const struct history *history = view->history;
    struct incoming *incoming = &view->incoming;
    tenon_status status = tn_local_check_links(view->folder, file->path, &history->context->memory, history->failure);

    if (status == TENON_OK)
        status = tn_history_path(history, "blobs/", file->etag, "", &incoming->source);
    return status == TENON_OK ? tn_incoming_start(incoming, history, NULL) : status;
}

/* The plain file at one moment. */
static tenon_status end_file(struct view *view, const char *place)
{
    struct failure *failure = view->history->failure;
    tenon_status status = tn_folder_make_above_durable(place, failure);

    return status == TENON_OK ? tn_incoming_finish(&view->incoming, place, failure) : status;
}

/* A slice of a plain file: TENON_AGAIN while there is more. Where the file system can, it shares the content. */
static tenon_status show_slice(struct view *view, const struct tree_file *file, const char *place)
{
    struct copy *copy = &view->incoming.copy;
    bool begins = !tn_copy_running(copy), shared;
    tenon_status status = begins ? begin_file(view, file) : TENON_OK;

    shared = begins && status == TENON_OK && tn_file_share(copy->input, copy->output);
    if (status == TENON_OK && !shared)
        status = tn_incoming_slice(&view->incoming, view->history->failure);
    return status == TENON_OK ? end_file(view, place) : status;
}

/* What is said to be shown is so after a power cut, too. Files of one folder stand together. */
static tenon_status note_shown(struct view *view)
{
    const struct tree *files = &view->files;
    struct text place;
    size_t length, before = 0;
    tenon_status status = TENON_OK;

    tn_text_init(&place, &view->history->context->memory, PATH_MAX);
    for (size_t i = 0; i < files->count && status == TENON_OK; i++, before = length) {
        const char *path = files->files[i].path;

        length = (size_t)(tn_path_name(path) - path);
        if (i > 0 && length == before && strncmp(path, files->files[i - 1].path, length) == 0)
            continue;
        tn_text_reset(&place);
        tn_text_format(&place, "%s/%s", view->folder, path);
        status = place.failed ? tn_fail_memory(view->history->failure) : tn_file_sync_name(tn_text(&place), view->history->failure);
    }
    tn_text_clear(&place);
    return status == TENON_OK ? tn_history_put(view->history, "view", "", "", view->commit) : status;
}

tenon_status tn_view_next(struct view *view, const struct tree *before, const char *parent)
{
    const struct tree_file *file;
    struct text place;
    tenon_status status = TENON_OK;

    if (view->next >= view->files.count)
        return view->files.count > 0 ? note_shown(view) : TENON_OK;
    file = &view->files.files[view->next];
    tn_text_init(&place, &view->history->context->memory, PATH_MAX);
    tn_text_format(&place, "%s/%s", view->folder, file->path);
    if (place.failed)
        status = tn_fail_memory(view->history->failure);
    else if (tn_incoming_running(&view->incoming) || !is_shown(view, file, before, parent, tn_text(&place)))
        status = show_slice(view, file, tn_text(&place));
    view->next += status == TENON_OK;
    tn_text_clear(&place);
    return status == TENON_OK ? TENON_AGAIN : status;
}
