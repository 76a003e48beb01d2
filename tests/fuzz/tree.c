/*
 * Listings: a page of the hub's API, the listing that lies in a cache, a commit of a file: hub. Whatever a listing has, its
 * paths are safe, different, and none is below another; and written into a cache it is read back as it was.
 */
#include "fuzz.h"

#include <string.h>

#include "folder.h"
#include "json.h"
#include "path.h"
#include "tree.h"

static const char commit[] = "0123456789012345678901234567890123456789";
static tenon_context *context;

static void check(const struct tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        const struct tree_file *file = &tree->files[i];
        size_t length = strlen(file->path);

        HOLDS(tn_path_is_safe(file->path, NULL) && tn_etag_is_safe(file->etag) && tn_is_hex(file->blob_id, 40) && file->bytes >= 0);
        HOLDS(!file->large || tn_is_hex(file->etag, 64));
        HOLDS(tn_tree_find(tree, file->path) == file);
        if (i + 1 < tree->count) {
            HOLDS(strcmp(file->path, file[1].path) < 0);
            HOLDS(strncmp(file->path, file[1].path, length) != 0 || file[1].path[length] != '/');
        }
    }
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void write_and_read(const struct tree *tree)
{
    struct tree again;

    tn_tree_init(&again, fuzz_memory());
    tn_tree_write(tree, context, fuzz_folder(), commit);
    HOLDS(tn_tree_read(&again, fuzz_folder(), commit) && again.count == tree->count);
    for (size_t i = 0; i < tree->count; i++) {
        const struct tree_file *a = &tree->files[i], *b = &again.files[i];

        HOLDS(same_text(a->path, b->path) && same_text(a->etag, b->etag) && same_text(a->blob_id, b->blob_id) &&
              same_text(a->xet, b->xet) && a->bytes == b->bytes && a->large == b->large);
    }
    tn_tree_clear(&again);
}

/* The items of a page, as a listing takes them. */
static tenon_status read_page(struct tree *tree, const char *text, size_t size, struct failure *failure)
{
    json_t *page = NULL, *item;
    tenon_status status = tn_json_read(text, size, "a page", &page, failure);
    size_t i;

    json_array_foreach(page, i, item) {
        struct tree_file file;
        bool is_file;

        if (status == TENON_OK)
            status = tn_tree_item(item, &file, &is_file, failure);
        if (status == TENON_OK && is_file)
            status = tn_tree_add(tree, &file, failure);
    }
    json_decref(page);
    return status == TENON_OK ? tn_tree_sort(tree, failure) : status;
}

static tenon_status read_commit(struct tree *tree, const char *text, size_t size, struct failure *failure)
{
    return tn_folder_parse_commit(text, size, tree, failure);
}

static void read_as(tenon_status (*reader)(struct tree *, const char *, size_t, struct failure *), const char *text, size_t size)
{
    struct tree tree;
    struct failure failure;
    tenon_status status;

    tn_tree_init(&tree, fuzz_memory());
    tn_failure_init(&failure, fuzz_memory(), NULL);
    status = reader(&tree, text, size, &failure);
    HOLDS(status == failure.status && fuzz_is_clean(failure.message));
    if (status == TENON_OK) {
        check(&tree);
        write_and_read(&tree);
    }
    tn_failure_clear(&failure);
    tn_tree_clear(&tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *text = (const char *)bytes;

    fuzz_empty_folder();
    context = fuzz_context();
    read_as(read_page, text, size);
    read_as(tn_tree_parse, text, size);
    read_as(read_commit, text, size);
    tenon_context_free(context);
    return 0;
}
