#include "tree.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "path.h"
#include "url.h"

enum { MOST_FILES = 2000000, MOST_PAGES = 100000, TREE_LIMIT = 512 * 1024 * 1024 };

/* ---- the listing ---- */

void tn_tree_init(struct tree *tree, const struct memory *memory)
{
    memset(tree, 0, sizeof *tree);
    tree->memory = memory;
    tn_arena_init(&tree->arena, memory);
}

void tn_tree_clear(struct tree *tree)
{
    if (tree->memory == NULL)
        return;
    tn_release(tree->memory, tree->files);
    tn_arena_clear(&tree->arena);
    tn_tree_init(tree, tree->memory);
}

static tenon_status grow(struct tree *tree, struct failure *failure)
{
    size_t room = tree->room == 0 ? 64 : 2 * tree->room;
    struct tree_file *files;

    if (tree->count < tree->room)
        return TENON_OK;
    if (tree->count >= MOST_FILES)
        return tn_fail(failure, TENON_ERROR_PROTOCOL, "the listing has more than %d files", (int)MOST_FILES);
    files = tn_resize(tree->memory, tree->files, room * sizeof *files);
    if (files == NULL)
        return tn_fail_memory(failure);
    tree->files = files;
    tree->room = room;
    return TENON_OK;
}

tenon_status tn_tree_add(struct tree *tree, const struct tree_file *file, struct failure *failure)
{
    struct tree_file copy = *file;
    tenon_status status = grow(tree, failure);

    if (status != TENON_OK)
        return status;
    copy.path = tn_arena_copy(&tree->arena, file->path);
    copy.etag = tn_arena_copy(&tree->arena, file->etag);
    copy.blob_id = tn_arena_copy(&tree->arena, file->blob_id);
    copy.xet = file->xet != NULL ? tn_arena_copy(&tree->arena, file->xet) : NULL;
    if (copy.path == NULL || copy.etag == NULL || copy.blob_id == NULL || (file->xet != NULL && copy.xet == NULL))
        return tn_fail_memory(failure);
    tree->files[tree->count++] = copy;
    return TENON_OK;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct tree_file *)a)->path, ((const struct tree_file *)b)->path);
}

/* Compares the first length bytes of a path with the whole of another one. */
struct prefix {
    const char *path;
    size_t length;
};

static int by_prefix(const void *key, const void *file)
{
    const struct prefix *prefix = key;
    const char *path = ((const struct tree_file *)file)->path;
    int order = strncmp(prefix->path, path, prefix->length);

    return order == 0 && path[prefix->length] != '\0' ? -1 : order;
}

/* Is one of the folders above path a file? */
static bool is_below_a_file(const struct tree *tree, const char *path)
{
    bool below = false;

    for (const char *slash = path; !below && (slash = strchr(slash, '/')) != NULL; slash++) {
        struct prefix prefix = { path, (size_t)(slash - path) };

        below = bsearch(&prefix, tree->files, tree->count, sizeof *tree->files, by_prefix) != NULL;
    }
    return below;
}

tenon_status tn_tree_sort(struct tree *tree, struct failure *failure)
{
    if (tree->count > 0)
        qsort(tree->files, tree->count, sizeof *tree->files, by_path);
    for (size_t i = 1; i < tree->count; i++) {
        if (strcmp(tree->files[i - 1].path, tree->files[i].path) == 0)
            return tn_fail(failure, TENON_ERROR_PROTOCOL, "the listing has %s twice", tree->files[i].path);
        if (is_below_a_file(tree, tree->files[i].path))
            return tn_fail(failure, TENON_ERROR_PROTOCOL, "the listing has %s below what is a file too", tree->files[i].path);
    }
    return TENON_OK;
}

const struct tree_file *tn_tree_find(const struct tree *tree, const char *path)
{
    struct tree_file key = { .path = path };

    return tree->count > 0 ? bsearch(&key, tree->files, tree->count, sizeof key, by_path) : NULL;
}

int64_t tn_sum_of_sizes(int64_t a, int64_t b)
{
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

/* ---- checking what others wrote ---- */

static tenon_status check_file(const struct tree_file *file, struct failure *failure)
{
    const char *reason;

    if (!tn_path_is_safe(file->path, &reason)) {
        tn_fail(failure, TENON_ERROR_PROTOCOL, "the hub names a file \"%s\" that no file may be named: %s", file->path, reason);
        return tn_hint(failure, "Do not use this repository, or leave such files out by a newer revision.");
    }
    if (!tn_is_hex(file->blob_id, 40) || (file->large && !tn_is_hex(file->etag, 64)))
        return tn_fail(failure, TENON_ERROR_PROTOCOL, "the hub gives %s a content id that is none", file->path);
    if (file->bytes < 0)
        return tn_fail(failure, TENON_ERROR_PROTOCOL, "the hub gives %s no size", file->path);
    return TENON_OK;
}

/* 64 hex digits, in either case; the hub blanks the value with stars for whom it does not concern. */
static const char *xet_of(const json_t *item, const char *key)
{
    const char *xet = tn_json_text(item, key);

    return xet != NULL && strlen(xet) == 64 && strspn(xet, "0123456789abcdefABCDEF") == 64 ? xet : NULL;
}

tenon_status tn_tree_item(const json_t *item, struct tree_file *file, bool *is_file, struct failure *failure)
{
    const char *type = tn_json_text_or(item, "type", "");
    json_t *lfs = tn_json_member(item, "lfs");

    memset(file, 0, sizeof *file);
    *is_file = strcmp(type, "file") == 0;
    file->path = tn_json_text_or(item, "path", "");
    if (!*is_file && strcmp(type, "directory") == 0) {
        const char *reason;

        if (!tn_path_is_safe(file->path, &reason))
            return tn_fail(failure, TENON_ERROR_PROTOCOL, "the hub names a folder \"%s\" that no folder may be named: %s",
                           file->path, reason);
        return TENON_OK;
    }
    if (!*is_file)
        return TENON_OK;
    file->large = lfs != NULL;
    file->blob_id = tn_json_text_or(item, "oid", "");
    file->etag = lfs != NULL ? tn_json_text_or(lfs, "oid", "") : file->blob_id;
    file->bytes = tn_json_integer(lfs != NULL ? lfs : item, "size", -1);
    file->xet = xet_of(item, "xetHash");
    return check_file(file, failure);
}

/* ---- the listing in the cache ---- */

static void listing_path(struct text *path, const char *folder, const char *commit)
{
    tn_text_format(path, "%s/trees/%s.json", folder, commit);
}

static tenon_status take_cached(struct tree *tree, const char *path, const json_t *value, struct failure *failure)
{
    struct tree_file file = { .path = path };
    const char *sha256 = tn_json_text(value, "lfs_sha256");
    tenon_status status;

    file.large = sha256 != NULL;
    file.blob_id = tn_json_text_or(value, "blob_id", "");
    file.etag = sha256 != NULL ? sha256 : file.blob_id;
    file.bytes = tn_json_integer(value, "size", -1);
    if (sha256 != NULL)
        file.bytes = tn_json_integer(value, "lfs_size", file.bytes);
    file.xet = xet_of(value, "xet_hash");
    if (tn_json_member(value, "xet_hash") != NULL && file.xet == NULL)
        return tn_fail(failure, TENON_ERROR_PROTOCOL, "a cached listing has a Xet hash that is none");
    status = check_file(&file, failure);
    return status == TENON_OK ? tn_tree_add(tree, &file, failure) : status;
}

tenon_status tn_tree_parse(struct tree *tree, const char *text, size_t length, struct failure *failure)
{
    json_t *json = NULL, *files, *value;
    const char *path;
    tenon_status status = tn_json_read(text, length, "a cached listing", &json, failure);

    if (status == TENON_OK && tn_json_integer(json, "format_version", 0) != 1)
        status = tn_fail(failure, TENON_ERROR_UNSUPPORTED, "a cached listing has another format");
    files = status == TENON_OK ? tn_json_member(json, "files") : NULL;
    if (status == TENON_OK && !json_is_object(files))
        status = tn_fail(failure, TENON_ERROR_PROTOCOL, "a cached listing has no files");
    json_object_foreach(files, path, value)
        if (status == TENON_OK)
            status = take_cached(tree, path, value, failure);
    json_decref(json);
    return status == TENON_OK ? tn_tree_sort(tree, failure) : status;
}

bool tn_tree_read(struct tree *tree, const char *folder, const char *commit)
{
    struct text path, text;
    struct failure ignored;
    bool good;

    tn_text_init(&path, tree->memory, PATH_MAX);
    tn_text_init(&text, tree->memory, TREE_LIMIT);
    tn_failure_init(&ignored, tree->memory, NULL);
    listing_path(&path, folder, commit);
    good = !path.failed && tn_file_read_whole(tn_text(&path), TREE_LIMIT, &text, &ignored) == TENON_OK &&
           tn_tree_parse(tree, tn_text(&text), text.length, &ignored) == TENON_OK;
    if (!good)
        tn_tree_clear(tree);
    tn_failure_clear(&ignored);
    tn_text_clear(&text);
    tn_text_clear(&path);
    return good;
}

/* Keys in the order of the alphabet, as the paths of a tree are: nobody needs to sort them. */
static bool add_cached(json_t *files, const struct tree_file *file)
{
    json_t *value = json_object();
    bool good = value != NULL && tn_json_set_text(value, "blob_id", file->blob_id);

    if (good && file->large)
        good = tn_json_set_text(value, "lfs_sha256", file->etag) && tn_json_set_integer(value, "lfs_size", file->bytes);
    good = good && tn_json_set_integer(value, "size", file->bytes) && tn_json_set_text(value, "xet_hash", file->xet);
    return json_object_set_new(files, file->path, value) == 0 && good;
}

void tn_tree_write(const struct tree *tree, struct tenon_context *context, const char *folder, const char *commit)
{
    json_t *json = json_object(), *files = json_object();
    struct text path;
    struct failure ignored;
    char *text = NULL;
    bool good = json != NULL && json_object_set(json, "files", files) == 0 && tn_json_set_integer(json, "format_version", 1);

    tn_text_init(&path, &context->memory, PATH_MAX);
    tn_failure_init(&ignored, &context->memory, NULL);
    for (size_t i = 0; i < tree->count && good; i++)
        good = add_cached(files, &tree->files[i]);
    listing_path(&path, folder, commit);
    if (good)
        text = json_dumps(json, JSON_INDENT(1));
    if (text != NULL && !path.failed && tn_folder_make_above(tn_text(&path), &ignored) == TENON_OK)
        tn_file_replace(tn_text(&path), text, strlen(text), 0, true, &ignored);
    free(text);
    json_decref(files);
    json_decref(json);
    tn_failure_clear(&ignored);
    tn_text_clear(&path);
}

/* ---- the hub's pages ---- */

void tn_pages_init(struct pages *pages, tenon_hub *hub)
{
    struct tenon_context *context = hub->handle.context;

    memset(pages, 0, sizeof *pages);
    pages->hub = hub;
    pages->co.context = context;
    pages->co.status = TENON_OK;
    tn_failure_init(&pages->failure, &context->memory, &context->secrets);
    tn_request_init(&pages->request, context);
    tn_text_init(&pages->next, &context->memory, 16 * 1024);
    tn_text_init(&pages->mark, &context->memory, 16 * 1024);
}

void tn_pages_clear(struct pages *pages)
{
    if (pages->hub == NULL)
        return;
    tn_co_stop(&pages->co);
    tn_request_clear(&pages->request);
    tn_failure_clear(&pages->failure);
    tn_text_clear(&pages->next);
    tn_text_clear(&pages->mark);
    json_decref(pages->page);
    pages->page = NULL;
    pages->hub = NULL;
}

/* Does the address come again? It is compared with one page of those before, at ever longer distances: a circle closes. */
static bool goes_in_circles(struct pages *pages)
{
    bool again = strcmp(tn_text(&pages->next), tn_text(&pages->mark)) == 0;

    if ((pages->count & (pages->count - 1)) == 0) {
        tn_text_reset(&pages->mark);
        tn_text_add(&pages->mark, tn_text(&pages->next));
    }
    return again;
}

/*
 * The link to the next page, seen from this one. Pages without an end are a server that plays games; a link that cannot be
 * kept is not the end either, or half a listing would pass for all of it.
 */
static tenon_status find_next(struct pages *pages)
{
    struct text link;
    tenon_status status = TENON_OK;

    tn_text_init(&link, &pages->co.context->memory, 16 * 1024);
    pages->ended = !tn_response_link(&pages->request, "next", &link) && !link.failed;
    tn_text_reset(&pages->next);
    if (link.failed && !link.full)
        status = tn_fail_memory(&pages->failure);
    else if (!pages->ended) {
        if (link.full || !tn_url_resolve(tn_text(&pages->request.final_url), tn_text(&link), &pages->next))
            status = pages->next.failed && !pages->next.full
                         ? tn_fail_memory(&pages->failure)
                         : tn_fail(&pages->failure, TENON_ERROR_PROTOCOL, "the hub's link to the next page is no address");
        else if (strcmp(tn_text(&pages->next), tn_text(&pages->request.url)) == 0 || ++pages->count > MOST_PAGES ||
                 goes_in_circles(pages))
            status = tn_fail(&pages->failure, TENON_ERROR_PROTOCOL, "the hub's pages have no end");
    }
    tn_text_clear(&link);
    return status;
}

static tenon_status pages_step(struct co *co)
{
    struct pages *pages = TN_CONTAINER(co, struct pages, co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_request_start(&pages->request, co);
    AWAIT(co, !tn_co_running(&pages->request.co));
    json_decref(pages->page);
    pages->page = NULL;
    status = pages->request.co.status;
    if (status == TENON_OK)
        status = tn_response_json(&pages->request, &pages->page);
    if (status != TENON_OK)
        status = tn_failure_move(&pages->failure, &pages->request.failure);
    else if (!json_is_array(pages->page))
        status = tn_fail(&pages->failure, TENON_ERROR_PROTOCOL, "the hub's listing is no list");
    else
        status = find_next(pages);
    CO_END(co);
    return status;
}

static void ask(struct pages *pages, struct co *waiter)
{
    pages->request.decode = true;
    pages->request.retry_count = pages->retry_count;
    tn_hub_request(pages->hub, &pages->request, "the listing of the repository");
    tn_co_start(&pages->co, pages->co.context, pages_step, waiter);
}

void tn_pages_start(struct pages *pages, const struct repository *repository, const char *commit, const char *folder,
                    bool recursive, struct co *waiter)
{
    struct text *url = &pages->request.url;

    tn_request_reset(&pages->request);
    pages->count = 0;
    tn_hub_api(pages->hub, repository, url);
    tn_text_add(url, "/tree/");
    tn_text_add_escaped(url, commit, "");
    if (*folder != '\0') {
        tn_text_add_char(url, '/');
        tn_text_add_escaped(url, folder, "");
    }
    tn_text_format(url, "?recursive=%s&expand=false", recursive ? "true" : "false");
    ask(pages, waiter);
}

void tn_pages_next(struct pages *pages, struct co *waiter)
{
    tn_request_reset(&pages->request);
    tn_text_add(&pages->request.url, tn_text(&pages->next));
    ask(pages, waiter);
}
