#include "cache.h"

#include <limits.h>
#include <string.h>

#include "path.h"

enum { COMMIT_DIGITS = 40 };

static const char tag[] = "Signature: 8a477f597d28d172789f06886806bc55\n"
                          "# This file is a cache directory tag created by tenon.\n"
                          "# For information about cache directory tags, see:\n"
                          "#\thttps://bford.info/cachedir/\n";

void tn_cache_init(struct cache *cache, struct tenon_context *context)
{
    cache->context = context;
    tn_text_init(&cache->root, &context->memory, PATH_MAX);
    tn_text_init(&cache->folder, &context->memory, PATH_MAX);
}

tenon_status tn_cache_open(struct cache *cache, const char *root, const struct repository *repository, struct failure *failure)
{
    tn_text_add(&cache->root, root);
    tn_text_format(&cache->folder, "%s/", root);
    tn_repository_folder(repository, &cache->folder);
    return cache->root.failed || cache->folder.failed ? tn_fail_memory(failure) : TENON_OK;
}

void tn_cache_clear(struct cache *cache)
{
    tn_text_clear(&cache->root);
    tn_text_clear(&cache->folder);
}

/* ---- paths ---- */

void tn_cache_blob_path(const struct cache *cache, const char *etag, struct text *out)
{
    tn_text_add_all(out, tn_text(&cache->folder), "/blobs/", etag, NULL);
}

void tn_cache_snapshot_path(const struct cache *cache, const char *commit, const char *path, struct text *out)
{
    tn_text_add_all(out, tn_text(&cache->folder), "/snapshots/", commit, *path != '\0' ? "/" : "", path, NULL);
}

void tn_cache_lock_path(const struct cache *cache, const char *etag, struct text *out)
{
    tn_text_add_all(out, tn_text(&cache->root), "/.locks/", tn_path_name(tn_text(&cache->folder)), "/", etag, ".lock", NULL);
}

static void ref_path(const struct cache *cache, const char *revision, struct text *out)
{
    tn_text_add_all(out, tn_text(&cache->folder), "/refs/", revision, NULL);
}

static void absent_path(const struct cache *cache, const char *commit, const char *path, struct text *out)
{
    tn_text_add_all(out, tn_text(&cache->folder), "/.no_exist/", commit, "/", path, NULL);
}

/* A name that nobody else has for what is to get its true name by a rename. The official client's prune knows the ending. */
static void scratch_path(const struct cache *cache, struct text *out)
{
    char chance[9];

    tn_random_hex(cache->context, chance, 8);
    tn_text_add_all(out, tn_text(&cache->folder), "/blobs/", chance, ".tenon.incomplete", NULL);
}

/* ---- folders ---- */

/* The tag that keeps backup programs away. A cache that takes none is still a cache. */
static void put_tag(const struct cache *cache)
{
    struct text path, scratch;
    struct failure ignored;

    tn_failure_init(&ignored, &cache->context->memory, NULL);
    tn_text_init(&path, &cache->context->memory, PATH_MAX);
    tn_text_init(&scratch, &cache->context->memory, PATH_MAX);
    tn_text_format(&path, "%s/CACHEDIR.TAG", tn_text(&cache->root));
    if (!path.failed && !tn_file_exists(tn_text(&path)))
        scratch_path(cache, &scratch);
    if (!scratch.failed && scratch.length > 0)
        tn_file_replace_by(tn_text(&scratch), tn_text(&path), tag, sizeof tag - 1, 0, true, &ignored);
    tn_text_clear(&scratch);
    tn_text_clear(&path);
    tn_failure_clear(&ignored);
}

static tenon_status make_folder(const struct text *path, struct failure *failure)
{
    return path->failed ? tn_fail_memory(failure) : tn_folder_make(tn_text(path), 0777, failure);
}

static tenon_status make_folders(const struct cache *cache, struct text *path, struct failure *failure)
{
    tenon_status status;

    tn_text_format(path, "%s/blobs", tn_text(&cache->folder));
    status = make_folder(path, failure);
    if (status == TENON_OK)
        put_tag(cache);
    tn_text_reset(path);
    tn_text_format(path, "%s/.locks/%s", tn_text(&cache->root), tn_path_name(tn_text(&cache->folder)));
    if (status == TENON_OK)
        status = make_folder(path, failure);
    return status;
}

tenon_status tn_cache_prepare(const struct cache *cache, struct failure *failure)
{
    struct text path;
    tenon_status status;

    tn_text_init(&path, &cache->context->memory, PATH_MAX);
    status = make_folders(cache, &path, failure);
    if (status != TENON_OK && status != TENON_ERROR_MEMORY && failure->hint == NULL)
        tn_hint(failure, "Choose another cache folder with HF_HUB_CACHE or the setting hub.cache.");
    tn_text_clear(&path);
    return status;
}

/* ---- references ---- */

bool tn_cache_read_ref(const struct cache *cache, const char *revision, char *commit)
{
    struct text path, value;
    struct failure ignored;
    bool found = false;

    tn_text_init(&path, &cache->context->memory, PATH_MAX);
    tn_text_init(&value, &cache->context->memory, 256);
    tn_failure_init(&ignored, &cache->context->memory, NULL);
    ref_path(cache, revision, &path);
    if (!path.failed && tn_file_read_whole(tn_text(&path), 128, &value, &ignored) == TENON_OK) {
        /* Some writers leave a line end behind it; an empty one was caught while it was written. */
        while (value.length > 0 && strchr(" \r\n\t", value.data[value.length - 1]) != NULL)
            value.data[--value.length] = '\0';
        found = tn_is_commit(tn_text(&value));
    }
    if (found)
        memcpy(commit, tn_text(&value), COMMIT_DIGITS + 1);
    tn_failure_clear(&ignored);
    tn_text_clear(&value);
    tn_text_clear(&path);
    return found;
}

tenon_status tn_cache_write_ref(const struct cache *cache, const char *revision, const char *commit, struct failure *failure)
{
    char known[COMMIT_DIGITS + 1];
    struct text path, scratch, snapshot;
    tenon_status status;

    if (tn_is_commit(revision) || (tn_cache_read_ref(cache, revision, known) && strcmp(known, commit) == 0))
        return TENON_OK;
    tn_text_init(&path, &cache->context->memory, PATH_MAX);
    tn_text_init(&scratch, &cache->context->memory, PATH_MAX);
    tn_text_init(&snapshot, &cache->context->memory, PATH_MAX);
    ref_path(cache, revision, &path);
    scratch_path(cache, &scratch);
    status = path.failed || scratch.failed ? tn_fail_memory(failure) : tn_cache_prepare(cache, failure);
    if (status == TENON_OK)
        status = tn_folder_make_above(tn_text(&path), failure);
    /* A reference to a commit without a folder would make the repository a broken one for the official client. */
    tn_cache_snapshot_path(cache, commit, "", &snapshot);
    if (status == TENON_OK)
        status = snapshot.failed ? tn_fail_memory(failure) : tn_folder_make(tn_text(&snapshot), 0777, failure);
    /*
     * Exactly the digits: the official client reads them untrimmed, also where a power cut has left none. Whatever lies in
     * refs is a reference for it.
     */
    if (status == TENON_OK)
        status = tn_file_replace_by(tn_text(&scratch), tn_text(&path), commit, COMMIT_DIGITS, 0, true, failure);
    tn_text_clear(&snapshot);
    tn_text_clear(&scratch);
    tn_text_clear(&path);
    return status;
}

void tn_cache_note_absent(const struct cache *cache, const char *commit, const char *path)
{
    struct text marker;
    struct failure ignored;

    tn_text_init(&marker, &cache->context->memory, PATH_MAX);
    tn_failure_init(&ignored, &cache->context->memory, NULL);
    absent_path(cache, commit, path, &marker);
    if (!marker.failed && tn_folder_make_above(tn_text(&marker), &ignored) == TENON_OK) {
        int fd = tn_file_open(tn_text(&marker), FILE_WRITE, &ignored);

        tn_file_close(&fd);
    }
    tn_failure_clear(&ignored);
    tn_text_clear(&marker);
}

bool tn_cache_knows_absent(const struct cache *cache, const char *commit, const char *path)
{
    struct text marker;
    bool known;

    tn_text_init(&marker, &cache->context->memory, PATH_MAX);
    absent_path(cache, commit, path, &marker);
    known = !marker.failed && tn_file_exists(tn_text(&marker));
    tn_text_clear(&marker);
    return known;
}

/* ---- content ---- */

static bool is_file_of(const struct text *path, int64_t bytes)
{
    struct file_facts facts = { 0 };
    struct failure ignored;
    bool good;

    tn_failure_init(&ignored, path->memory, NULL);
    good = !path->failed && tn_file_look(tn_text(path), &facts, &ignored) == TENON_OK && facts.regular &&
           (bytes < 0 || facts.bytes == bytes);
    tn_failure_clear(&ignored);
    return good;
}

bool tn_cache_has(const struct cache *cache, const char *commit, const char *path, int64_t bytes, struct text *out)
{
    tn_text_reset(out);
    tn_cache_snapshot_path(cache, commit, path, out);
    return is_file_of(out, bytes);
}

bool tn_cache_has_blob(const struct cache *cache, const char *etag, int64_t bytes)
{
    struct text path;
    bool has;

    tn_text_init(&path, &cache->context->memory, PATH_MAX);
    tn_cache_blob_path(cache, etag, &path);
    has = is_file_of(&path, bytes);
    tn_text_clear(&path);
    return has;
}

/* "../../blobs/ETAG", one more ".." for each folder of path. */
static void link_text(const char *path, const char *etag, struct text *out)
{
    for (const char *slash = path; (slash = strchr(slash, '/')) != NULL; slash++)
        tn_text_add(out, "../");
    tn_text_add_all(out, "../../blobs/", etag, NULL);
}

/* Gives what was made under another name its own; what cannot have it is of no use. */
static tenon_status put(const struct text *scratch, const char *place, struct failure *failure)
{
    struct failure ignored;
    tenon_status status = tn_file_rename(tn_text(scratch), place, failure);

    tn_failure_init(&ignored, scratch->memory, NULL);
    if (status != TENON_OK)
        tn_file_remove(tn_text(scratch), &ignored);
    tn_failure_clear(&ignored);
    return status;
}

/* The link; one that is there already is replaced at one moment. Most come to a folder that is there. */
static tenon_status put_link(const struct cache *cache, const char *target, const char *place, struct failure *failure)
{
    struct text scratch;
    tenon_status status = tn_link_make(target, place, failure);

    if (status == TENON_ERROR_NOT_FOUND) {
        tn_failure_clear(failure);
        status = tn_folder_make_above(place, failure);
        if (status == TENON_OK)
            status = tn_link_make(target, place, failure);
    }
    tn_text_init(&scratch, &cache->context->memory, PATH_MAX);
    if (status == TENON_ERROR_CONFLICT) {
        scratch_path(cache, &scratch);
        status = scratch.failed ? tn_fail_memory(failure) : tn_link_make(target, tn_text(&scratch), failure);
        if (status == TENON_OK)
            status = put(&scratch, place, failure);
    }
    tn_text_clear(&scratch);
    return status;
}

/* Where links are not to be had: the blob itself when it has just come; a copy of one that others may have links to. */
static tenon_status put_file(const struct cache *cache, const char *etag, bool fresh, const char *place, struct failure *failure)
{
    struct text blob, scratch;
    tenon_status status = tn_folder_make_above(place, failure);

    tn_text_init(&blob, &cache->context->memory, PATH_MAX);
    tn_text_init(&scratch, &cache->context->memory, PATH_MAX);
    tn_cache_blob_path(cache, etag, &blob);
    scratch_path(cache, &scratch);
    if (status == TENON_OK && (blob.failed || scratch.failed))
        status = tn_fail_memory(failure);
    else if (status == TENON_OK && fresh)
        status = tn_file_rename(tn_text(&blob), place, failure);
    else if (status == TENON_OK) {
        status = tn_file_copy(tn_text(&blob), tn_text(&scratch), failure);
        if (status == TENON_OK)
            status = put(&scratch, place, failure);
    }
    tn_text_clear(&scratch);
    tn_text_clear(&blob);
    return status;
}

tenon_status tn_cache_link(const struct cache *cache, const char *commit, const char *path, const char *etag, bool fresh,
                           struct failure *failure)
{
    bool links = !tn_setting_flag(&cache->context->settings, SETTING_HUB_NO_LINKS);
    struct text place, target;
    tenon_status status;

    tn_text_init(&place, &cache->context->memory, PATH_MAX);
    tn_text_init(&target, &cache->context->memory, PATH_MAX);
    tn_cache_snapshot_path(cache, commit, path, &place);
    link_text(path, etag, &target);
    status = place.failed || target.failed ? tn_fail_memory(failure) : TENON_OK;
    if (status == TENON_OK && links) {
        status = put_link(cache, tn_text(&target), tn_text(&place), failure);
        links = status != TENON_ERROR_IO;
    }
    if (!links && (status == TENON_OK || status == TENON_ERROR_IO))
        status = put_file(cache, etag, fresh, tn_text(&place), failure);
    if (status == TENON_OK)
        tn_failure_clear(failure);
    tn_text_clear(&target);
    tn_text_clear(&place);
    return status;
}
