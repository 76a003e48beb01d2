#include "history.h"

#include <limits.h>
#include <string.h>

#include "file.h"
#include "hash.h"
#include "json.h"
#include "names.h"
#include "path.h"

void tn_history_init(struct history *history, struct tenon_context *context, struct failure *failure)
{
    history->context = context;
    history->failure = failure;
    tn_text_init(&history->folder, &context->memory, PATH_MAX);
}

void tn_history_clear(struct history *history)
{
    tn_text_clear(&history->folder);
}

/* ---- paths ---- */

tenon_status tn_history_path(const struct history *history, const char *folder, const char *name, const char *ending,
                             struct text *out)
{
    tn_text_reset(out);
    tn_text_format(out, "%s/%s%s%s", tn_text(&history->folder), folder, name, ending);
    return out->failed ? tn_fail_memory(history->failure) : TENON_OK;
}

tenon_status tn_history_scratch(const struct history *history, struct text *out)
{
    char chance[17];

    tn_random_hex(history->context, chance, 16);
    return tn_history_path(history, "blobs/", chance, ".tenon.incomplete", out);
}

tenon_status tn_history_put(const struct history *history, const char *folder, const char *name, const char *ending,
                            const char *text)
{
    struct failure *failure = history->failure;
    struct text path, scratch;
    tenon_status status;

    tn_text_init(&path, &history->context->memory, PATH_MAX);
    tn_text_init(&scratch, path.memory, PATH_MAX);
    status = tn_history_scratch(history, &scratch);
    if (status == TENON_OK)
        status = tn_history_path(history, folder, name, ending, &path);
    if (status == TENON_OK)
        status = tn_folder_make_above_durable(tn_text(&path), failure);
    if (status == TENON_OK)
        status = tn_file_replace_by(tn_text(&scratch), tn_text(&path), text, strlen(text), 0, true, failure);
    if (status == TENON_OK)
        status = tn_file_sync_name(tn_text(&path), failure);
    tn_text_clear(&scratch);
    tn_text_clear(&path);
    return status;
}

/* ---- folders ---- */

tenon_status tn_history_make(const struct history *history)
{
    static const char *const folders[] = { "blobs", "commits" };
    struct failure *failure = history->failure;
    struct file_facts facts = { 0 };
    struct text path;
    tenon_status status = tn_file_look_at_link(tn_text(&history->folder), &facts, failure);

    if (status == TENON_OK && facts.link)
        status = tn_fail(failure, TENON_ERROR_IO, "%s is a link; no history is kept behind one", tn_text(&history->folder));
    tn_text_init(&path, &history->context->memory, PATH_MAX);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0] && status == TENON_OK; i++) {
        status = tn_history_path(history, folders[i], "", "", &path);
        if (status == TENON_OK)
            status = tn_folder_make_durable(tn_text(&path), 0777, failure);
    }
    tn_text_clear(&path);
    return status;
}

tenon_status tn_history_sweep(const struct history *history)
{
    struct failure *failure = history->failure;
    struct text path;
    struct names names;
    tenon_status status;

    tn_text_init(&path, &history->context->memory, PATH_MAX);
    tn_names_init(&names, path.memory);
    status = tn_history_path(history, "blobs", "", "", &path);
    if (status == TENON_OK)
        status = tn_names_add_folder(&names, tn_text(&path), failure);
    for (size_t i = 0; i < names.count && status == TENON_OK; i++)
        if (tn_ends_with(names.at[i], ".tenon.incomplete")) {
            status = tn_history_path(history, "blobs/", names.at[i], "", &path);
            if (status == TENON_OK)
                status = tn_file_remove(tn_text(&path), failure);
        }
    tn_names_clear(&names);
    tn_text_clear(&path);
    return status;
}

/* ---- commits ---- */

static bool add_files(json_t *files, const struct tree *tree)
{
    bool good = true;

    for (size_t i = 0; i < tree->count && good; i++)
        good = json_object_set_new(files, tree->files[i].path,
                                   json_pack("{s:I, s:s}", "size", (json_int_t)tree->files[i].bytes, "sha256",
                                             tree->files[i].etag)) == 0;
    return good;
}

tenon_status tn_history_commit(const struct history *history, const struct tree *files, const struct tree *over, const char *parent,
                               const char *message, char *commit)
{
    const struct memory *memory = &history->context->memory;
    json_t *list = json_object();
    bool good = list != NULL && add_files(list, files) && (over == NULL || add_files(list, over));
    json_t *json = json_pack("{s:i, s:s, s:s, s:I, s:o}", "format", 1, "parent", parent, "message", message, "created_ms",
                             (json_int_t)tn_wall(history->context), "files", list);
    char *text = good && json != NULL ? tn_json_write(memory, json) : NULL;
    char hex[TN_HEX_MOST + 1];
    tenon_status status = text != NULL ? tn_hash_bytes(HASH_SHA1, text, strlen(text), hex, history->failure)
                                       : tn_fail_memory(history->failure);

    if (status == TENON_OK)
        status = tn_history_put(history, "commits/", hex, ".json", text);
    if (status == TENON_OK)
        memcpy(commit, hex, 41);
    tn_release(memory, text);
    json_decref(json);
    return status;
}

tenon_status tn_history_move_branch(const struct history *history, const char *branch, const char *commit)
{
    struct text path;
    tenon_status status;

    tn_text_init(&path, &history->context->memory, PATH_MAX);
    status = tn_history_path(history, "blobs", "", "", &path);
    if (status == TENON_OK)
        status = tn_folder_sync(tn_text(&path), history->failure);
    if (status == TENON_OK)
        status = tn_history_put(history, "refs/heads/", branch, "", commit);
    tn_text_clear(&path);
    return status;
}
