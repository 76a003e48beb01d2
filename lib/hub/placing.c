#include "placing.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "local.h"
#include "path.h"

/* ---- is it there already? ---- */

bool tn_placing_in_cache(struct fetch *fetch)
{
    return !fetch->force && !fetch->anew && tn_cache_has(fetch->cache, fetch->commit, fetch->path, fetch->bytes, &fetch->place);
}

bool tn_placing_in_folder(struct fetch *fetch)
{
    struct local_note note;

    tn_text_reset(&fetch->place);
    tn_local_file(fetch->folder, fetch->path, &fetch->place);
    return !fetch->force && tn_local_read(fetch->co.context, fetch->folder, fetch->path, &note) &&
           (strcmp(note.etag, fetch->etag) == 0 || (*fetch->etag == '\0' && strcmp(note.commit, fetch->commit) == 0));
}

static tenon_status note_folder(struct fetch *fetch)
{
    struct local_note note;

    memcpy(note.commit, fetch->commit, sizeof note.commit);
    memcpy(note.etag, fetch->etag, sizeof note.etag);
    return tn_local_write(fetch->co.context, fetch->folder, fetch->path, &note, &fetch->failure);
}

/* ---- paths ---- */

/* What stands for the content before its id is known: the same for everybody who fetches the same. */
static tenon_status key_of(struct fetch *fetch, char *key)
{
    struct text name;
    tenon_status status = TENON_OK;

    if (*fetch->etag != '\0') {
        memcpy(key, fetch->etag, sizeof fetch->etag);
        return TENON_OK;
    }
    tn_text_init(&name, &fetch->co.context->memory, PATH_MAX);
    tn_text_format(&name, "%s/%s", fetch->commit, fetch->path);
    status = name.failed ? tn_fail_memory(&fetch->failure)
                         : tn_hash_bytes(HASH_SHA1, tn_text(&name), name.length, key, &fetch->failure);
    tn_text_clear(&name);
    return status;
}

static tenon_status prepare_cache(struct fetch *fetch)
{
    char key[sizeof fetch->etag];
    tenon_status status = key_of(fetch, key);

    if (status == TENON_OK) {
        tn_cache_lock_path(fetch->cache, key, &fetch->lock_path);
        tn_cache_blob_path(fetch->cache, key, &fetch->base);
        tn_cache_blob_path(fetch->cache, key, &fetch->target);
        if (fetch->prepared == NULL || !*fetch->prepared)
            status = tn_cache_prepare(fetch->cache, &fetch->failure);
        if (fetch->prepared != NULL)
            *fetch->prepared = status == TENON_OK;
    }
    return status;
}

static tenon_status prepare_folder(struct fetch *fetch)
{
    tn_local_lock(fetch->folder, fetch->path, &fetch->lock_path);
    tn_local_file(fetch->folder, fetch->path, &fetch->target);
    /* What the cache has need not come from the hub again. */
    if (fetch->source == NULL && !fetch->force &&
        tn_cache_has(fetch->cache, fetch->commit, fetch->path, fetch->bytes, &fetch->cached))
        fetch->source = tn_text(&fetch->cached);
    if (tn_local_prepare(fetch->co.context, fetch->folder, fetch->path, &fetch->failure) != TENON_OK)
        return fetch->failure.status;
    return tn_local_base(fetch->folder, fetch->path, *fetch->etag != '\0' ? fetch->etag : "unknown", &fetch->base, &fetch->failure);
}

tenon_status tn_placing_prepare(struct fetch *fetch)
{
    tenon_status status = fetch->folder != NULL ? prepare_folder(fetch) : prepare_cache(fetch);

    if (status == TENON_OK && (fetch->base.failed || fetch->target.failed || fetch->lock_path.failed))
        status = tn_fail_memory(&fetch->failure);
    return status;
}

tenon_status tn_placing_check_room(struct fetch *fetch, int64_t missing)
{
    int64_t room = tn_disk_free(tn_text(&fetch->target));

    if (room < 0 || room >= missing)
        return TENON_OK;
    tn_fail(&fetch->failure, TENON_ERROR_DISK_FULL, "%s needs %" PRId64 " more bytes, %" PRId64 " are free", fetch->path, missing,
            room);
    return tn_hint(&fetch->failure, "Free some space, or choose another folder with HF_HUB_CACHE.");
}

/* ---- what is there ---- */

bool tn_placing_has_content(struct fetch *fetch)
{
    bool there = false;

    if (fetch->folder == NULL && !fetch->force && *fetch->etag != '\0')
        there = tn_cache_has_blob(fetch->cache, fetch->etag, fetch->bytes);
    else if (fetch->folder != NULL)
        there = tn_placing_in_folder(fetch);
    return there;
}

tenon_status tn_placing_settle(struct fetch *fetch, bool fresh)
{
    tenon_status status;

    tn_text_reset(&fetch->place);
    if (fetch->folder != NULL) {
        tn_local_file(fetch->folder, fetch->path, &fetch->place);
        status = note_folder(fetch);
    } else {
        tn_cache_snapshot_path(fetch->cache, fetch->commit, fetch->path, &fetch->place);
        status = tn_cache_link(fetch->cache, fetch->commit, fetch->path, fetch->etag, fresh, &fetch->failure);
    }
    return status == TENON_OK && fetch->place.failed ? tn_fail_memory(&fetch->failure) : status;
}

void tn_placing_clear_away(struct fetch *fetch)
{
    if (!fetch->in_memory)
        tn_partial_clear_away(fetch->co.context, tn_text(&fetch->base));
}

/* ---- into its place ---- */

static void name_scratch(struct fetch *fetch)
{
    char chance[9];

    tn_random_hex(fetch->co.context, chance, 8);
    tn_text_reset(&fetch->scratch);
    tn_text_add_all(&fetch->scratch, tn_text(&fetch->base), ".", chance, ".tenon.incomplete", NULL);
}

tenon_status tn_placing_write(struct fetch *fetch)
{
    tenon_status status = TENON_OK;

    name_scratch(fetch);
    if (fetch->scratch.failed)
        return tn_fail_memory(&fetch->failure);
    fetch->small = tn_file_open(tn_text(&fetch->scratch), FILE_WRITE_NEW, &fetch->failure);
    if (fetch->small < 0)
        return fetch->failure.status;
    status = tn_file_write(fetch->small, tn_text(&fetch->memory), fetch->memory.length, fetch->path, &fetch->failure);
    tn_text_clear(&fetch->memory);
    return status;
}

void tn_placing_forget(struct fetch *fetch)
{
    struct failure ignored;

    if (fetch->small < 0)
        return;
    tn_failure_init(&ignored, &fetch->co.context->memory, NULL);
    if (!tn_forked(fetch->co.context))
        tn_file_remove(tn_text(&fetch->scratch), &ignored);
    tn_file_close(&fetch->small);
    tn_failure_clear(&ignored);
}

static tenon_status name_small(struct fetch *fetch)
{
    tenon_status status = tn_file_rename(tn_text(&fetch->scratch), tn_text(&fetch->target), &fetch->failure);

    if (status == TENON_OK)
        tn_file_close(&fetch->small);
    return status;
}

/* Gives a small file its name; one that somebody took for what a killed process had left is written again. */
static tenon_status finish_small(struct fetch *fetch)
{
    tenon_status status = name_small(fetch);

    if (status == TENON_ERROR_NOT_FOUND && !tn_placing_has_content(fetch)) {
        tn_failure_clear(&fetch->failure);
        name_scratch(fetch);
        status = fetch->scratch.failed ? tn_fail_memory(&fetch->failure)
                                       : tn_file_copy_open(fetch->small, fetch->path, tn_text(&fetch->scratch), &fetch->failure);
        if (status == TENON_OK)
            status = name_small(fetch);
    }
    return status;
}

/* Gives a large file its name. */
static tenon_status finish(struct fetch *fetch)
{
    tenon_status status = tn_partial_finish(&fetch->partial, tn_text(&fetch->target), &fetch->failure);

    if (status == TENON_ERROR_NOT_FOUND && !tn_placing_has_content(fetch)) {
        tn_log(fetch->co.context, TENON_LOG_WARNING, "hub", "%s: somebody removed what was being written; it is copied",
               fetch->path);
        status = tn_partial_rescue(&fetch->partial, &fetch->failure);
        if (status == TENON_OK)
            status = tn_partial_finish(&fetch->partial, tn_text(&fetch->target), &fetch->failure);
    }
    return status;
}

tenon_status tn_placing_place(struct fetch *fetch)
{
    bool there = tn_placing_has_content(fetch);
    tenon_status status = TENON_OK;

    if (fetch->folder == NULL) {
        tn_text_reset(&fetch->target);
        tn_cache_blob_path(fetch->cache, fetch->etag, &fetch->target);
    }
    if (there)
        tn_partial_discard(&fetch->partial);
    else if (fetch->target.failed)
        status = tn_fail_memory(&fetch->failure);
    else
        status = fetch->in_memory ? finish_small(fetch) : finish(fetch);
    if (status == TENON_ERROR_NOT_FOUND && tn_placing_has_content(fetch)) {
        /* The lock lied: somebody was quicker, and took what we wrote for what a killed process had left. */
        tn_failure_clear(&fetch->failure);
        tn_partial_discard(&fetch->partial);
        there = true;
        status = TENON_OK;
    }
    if (status == TENON_OK)
        status = tn_placing_settle(fetch, !there);
    tn_placing_forget(fetch);
    tn_lock_release(&fetch->lock);
    return status;
}

/* Is the folder that holds the file at path still there? */
static bool has_folder(const struct text *path)
{
    struct text folder;
    bool has;

    tn_text_init(&folder, path->memory, PATH_MAX);
    tn_text_add_n(&folder, tn_text(path), (size_t)(tn_path_name(tn_text(path)) - tn_text(path)));
    has = folder.failed || tn_folder_exists(tn_text(&folder));
    tn_text_clear(&folder);
    return has;
}

tenon_status tn_placing_explain(struct fetch *fetch, tenon_status status)
{
    bool by_disk = (status == TENON_ERROR_NOT_FOUND || status == TENON_ERROR_IO) && fetch->failure.http_status == 0;

    if (!by_disk || (has_folder(&fetch->base) && has_folder(&fetch->target)))
        return status;
    tn_failure_clear(&fetch->failure);
    if (fetch->folder != NULL)
        tn_fail(&fetch->failure, TENON_ERROR_IO, "%s was removed while %s was downloaded into it", fetch->folder, fetch->path);
    else
        tn_fail(&fetch->failure, TENON_ERROR_IO, "%s was removed from the cache while %s was downloaded", fetch->repository->id,
                fetch->path);
    return tn_hint(&fetch->failure, "Download it again.");
}
