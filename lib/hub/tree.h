/*
 * What files a commit has. Three sources: pages of the hub's API, the listing that a download left in the cache, and a
 * folder (folder.h). A listing is checked before anybody sees it: paths are safe and different, sizes sane, ids hex.
 */
#ifndef TN_TREE_H
#define TN_TREE_H

#include "cache.h"
#include "hub.h"

struct tree_file {
    const char *path;
    const char *etag;    /* content id: SHA-256 of large files, git's SHA-1 of others */
    const char *blob_id; /* git's id of what stands in the repository */
    const char *xet;     /* NULL: not in Xet */
    int64_t bytes;
    bool large;          /* its content is not in git itself */
};

struct tree {
    const struct memory *memory;
    struct arena arena;
    struct tree_file *files; /* by path, once it is sorted */
    size_t count;
    size_t room;
};

void tn_tree_init(struct tree *tree, const struct memory *memory);
void tn_tree_clear(struct tree *tree);
/* Adds a copy of a file. */
tenon_status tn_tree_add(struct tree *tree, const struct tree_file *file, struct failure *failure);
/* Sorts by path; two of the same path, and a file that is a folder too, are a failure. */
tenon_status tn_tree_sort(struct tree *tree, struct failure *failure);
const struct tree_file *tn_tree_find(const struct tree *tree, const char *path);

/* The sum of two sizes; what is more than can be counted stays at the most. */
int64_t tn_sum_of_sizes(int64_t a, int64_t b);

/* The file that one item of the hub's JSON describes; its texts live in the JSON. False for a folder. */
tenon_status tn_tree_item(const json_t *item, struct tree_file *file, bool *is_file, struct failure *failure);

/* The listing of a commit in the cache (or below a local folder); false when there is none that can be believed. */
bool tn_tree_read(struct tree *tree, const char *folder, const char *commit);
/* Best effort. */
void tn_tree_write(const struct tree *tree, struct tenon_context *context, const char *folder, const char *commit);
tenon_status tn_tree_parse(struct tree *tree, const char *text, size_t length, struct failure *failure);

/* The pages of a listing, one at a time: start, then AWAIT, look at `page`, and again until `ended`. */
struct pages {
    struct co co;
    struct failure failure;
    struct request request;
    tenon_hub *hub;
    json_t *page;       /* an array; NULL before the first and after the last */
    bool ended;
    int32_t count;
    int64_t *retry_count; /* for a task's progress; may be NULL */
    struct text next;
    struct text mark;   /* a page that was asked for before */
};

void tn_pages_init(struct pages *pages, tenon_hub *hub);
void tn_pages_clear(struct pages *pages);
/* Asks for the first page: a folder of the commit, "" for all of it. */
void tn_pages_start(struct pages *pages, const struct repository *repository, const char *commit, const char *folder,
                    bool recursive, struct co *waiter);
/* Asks for the next one. */
void tn_pages_next(struct pages *pages, struct co *waiter);

#endif
