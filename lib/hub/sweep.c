#include "sweep.h"

#include <limits.h>
#include <string.h>

#include "local.h"
#include "names.h"
#include "partial.h"
#include "path.h"

enum { STALE_MS = 3600 * 1000, TEMPORARY_DIGITS = 12 };

/*
 * A name that something has before it gets its own: "KEY.SOMETHING.tenon.incomplete", "SOMETHING.tenon.incomplete", and the
 * ".XXXXXXXXXXXX.tmp" of tn_file_replace. key is what stands before that.
 */
static bool is_scratch(const char *name, struct text *key)
{
    const char *ending = strstr(name, ".tenon.incomplete"), *dot;
    size_t length = strlen(name);

    if (ending == NULL && tn_ends_with(name, ".tmp"))
        ending = name + length - strlen(".tmp");
    dot = ending;
    while (dot != NULL && dot > name && dot[-1] != '.')
        dot--;
    if (ending != NULL && strcmp(ending, ".tmp") == 0 && strspn(dot, "0123456789abcdef") != TEMPORARY_DIGITS)
        ending = NULL;
    tn_text_reset(key);
    if (ending != NULL && dot > name)
        tn_text_add_n(key, name, (size_t)(dot - 1 - name));
    return ending != NULL && !key->failed;
}

/* Is there a journal of a download of that? Then somebody will go on with it. */
static bool has_journal(const struct names *names, const char *key)
{
    bool has = false;

    for (size_t i = 0; i < names->count && !has; i++)
        has = tn_journal_generation(key, names->at[i]) > 0;
    return has;
}

/* Removes what nobody has touched for so long that whoever made it is gone. */
static void remove_stale(struct tenon_context *context, const char *folder, const char *name)
{
    struct file_facts facts = { 0 };
    struct failure ignored;
    struct text path;

    tn_failure_init(&ignored, &context->memory, NULL);
    tn_text_init(&path, &context->memory, PATH_MAX);
    tn_text_format(&path, "%s/%s", folder, name);
    if (!path.failed && tn_file_look_at_link(tn_text(&path), &facts, &ignored) == TENON_OK && facts.exists &&
        tn_wall(context) - facts.modified_ms > STALE_MS)
        tn_file_remove(tn_text(&path), &ignored);
    tn_text_clear(&path);
    tn_failure_clear(&ignored);
}

/*
 * What was left of a content that has its name. A small file is written and named under its lock, and a large one is
 * claimed under it: while we hold that, and nobody who lives has claimed it, all of it is nobody's.
 */
static void sweep_content(const struct cache *cache, const char *etag)
{
    struct lock lock = { -1 };
    struct failure ignored;
    struct text base, lock_path;

    tn_failure_init(&ignored, &cache->context->memory, NULL);
    tn_text_init(&base, &cache->context->memory, PATH_MAX);
    tn_text_init(&lock_path, &cache->context->memory, PATH_MAX);
    tn_cache_blob_path(cache, etag, &base);
    tn_cache_lock_path(cache, etag, &lock_path);
    if (!base.failed && !lock_path.failed && tn_lock_try(&lock, tn_text(&lock_path), &ignored) == TENON_OK)
        tn_partial_clear_away(cache->context, tn_text(&base));
    tn_lock_release(&lock);
    tn_text_clear(&lock_path);
    tn_text_clear(&base);
    tn_failure_clear(&ignored);
}

/* One folder. cache: it is the one of the blobs. */
static void sweep_folder(struct tenon_context *context, const char *folder, const struct cache *cache)
{
    struct failure ignored;
    struct names names;
    struct text key;

    tn_failure_init(&ignored, &context->memory, NULL);
    tn_names_init(&names, &context->memory);
    tn_text_init(&key, &context->memory, PATH_MAX);
    if (tn_names_add_folder(&names, folder, &ignored) != TENON_OK)
        tn_names_clear(&names);
    for (size_t i = 0; i < names.count; i++) {
        if (!is_scratch(names.at[i], &key))
            continue;
        if (cache != NULL && key.length > 0 && tn_cache_has_blob(cache, tn_text(&key), -1))
            sweep_content(cache, tn_text(&key));
        else if (key.length == 0 || !has_journal(&names, tn_text(&key)))
            remove_stale(context, folder, names.at[i]);
    }
    tn_text_clear(&key);
    tn_names_clear(&names);
    tn_failure_clear(&ignored);
}

void tn_sweep_cache(const struct cache *cache)
{
    struct text folder;

    tn_text_init(&folder, &cache->context->memory, PATH_MAX);
    tn_text_format(&folder, "%s/blobs", tn_text(&cache->folder));
    if (!folder.failed)
        sweep_folder(cache->context, tn_text(&folder), cache);
    tn_text_reset(&folder);
    tn_text_format(&folder, "%s/trees", tn_text(&cache->folder));
    if (!folder.failed)
        sweep_folder(cache->context, tn_text(&folder), NULL);
    tn_text_clear(&folder);
}

void tn_sweep_notes(struct tenon_context *context, const char *folder, const char *path)
{
    struct text notes;

    tn_text_init(&notes, &context->memory, PATH_MAX);
    tn_local_lock(folder, path, &notes);
    if (!notes.failed && notes.length > 0) {
        notes.length = (size_t)(tn_path_name(tn_text(&notes)) - notes.data) - 1;
        notes.data[notes.length] = '\0';
        sweep_folder(context, tn_text(&notes), NULL);
    }
    tn_text_clear(&notes);
}
