/* The official cache on disk: where things lie, and how they get there. Facts: the layout of huggingface_hub. */
#ifndef TN_CACHE_H
#define TN_CACHE_H

#include "context.h"
#include "file.h"
#include "repository.h"

/* One repository's part of a cache. */
struct cache {
    struct tenon_context *context;
    struct text root;       /* the cache folder */
    struct text folder;     /* ROOT/models--owner--name */
};

void tn_cache_init(struct cache *cache, struct tenon_context *context);
tenon_status tn_cache_open(struct cache *cache, const char *root, const struct repository *repository, struct failure *failure);
void tn_cache_clear(struct cache *cache);

void tn_cache_blob_path(const struct cache *cache, const char *etag, struct text *out);
void tn_cache_snapshot_path(const struct cache *cache, const char *commit, const char *path, struct text *out);
void tn_cache_lock_path(const struct cache *cache, const char *etag, struct text *out);

/* Makes the folders that a download needs, and the tag that keeps backup programs away. */
tenon_status tn_cache_prepare(const struct cache *cache, struct failure *failure);

/* The commit that a revision stood for when somebody last asked; false when nobody did. commit has room for 41. */
bool tn_cache_read_ref(const struct cache *cache, const char *revision, char *commit);
tenon_status tn_cache_write_ref(const struct cache *cache, const char *revision, const char *commit, struct failure *failure);
/* Notes that a commit has no such file; best effort. */
void tn_cache_note_absent(const struct cache *cache, const char *commit, const char *path);
bool tn_cache_knows_absent(const struct cache *cache, const char *commit, const char *path);

/* True when the file of that commit is there with that size (-1: any). Adds its path to out. */
bool tn_cache_has(const struct cache *cache, const char *commit, const char *path, int64_t bytes, struct text *out);
/* True when the content is there with that size (-1: any); the blob may be a link into the cache-wide store. */
bool tn_cache_has_blob(const struct cache *cache, const char *etag, int64_t bytes);
/*
 * Makes the blob appear in a snapshot: a relative link, or where links are not to be had the file itself. fresh: the blob
 * has only just come, so nobody has a link to it yet.
 */
tenon_status tn_cache_link(const struct cache *cache, const char *commit, const char *path, const char *etag, bool fresh,
                           struct failure *failure);

#endif
