/*
 * Whole operations of a hub whose answers are the input. The first byte says which operation, the second line is the path of
 * a file; then come the answers, as fuzz.h describes. Whatever they are: nothing is written outside of the home folder, every
 * blob has the content that it is named for, and every link of a snapshot leads to one.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "hash.h"
#include "hub.h"
#include "path.h"

/* ---- what is left in the folder ---- */

static void check_blob(const char *path, const char *name)
{
    struct failure failure;
    struct text content;
    struct hash hash = { NULL };
    enum hash_kind kind;
    char hex[TN_HEX_MOST + 1];

    if (!tn_hash_of_etag(name, &kind))
        return;
    tn_failure_init(&failure, fuzz_memory(), NULL);
    tn_text_init(&content, fuzz_memory(), 64 << 20);
    HOLDS(tn_file_read_whole(path, 64 << 20, &content, &failure) == TENON_OK);
    HOLDS(tn_hash_start(&hash, kind, (int64_t)content.length, &failure) == TENON_OK);
    tn_hash_add(&hash, tn_text(&content), content.length);
    HOLDS(tn_hash_end(&hash, hex, &failure) == TENON_OK);
    HOLDS(strcmp(hex, name) == 0);
    tn_text_clear(&content);
    tn_failure_clear(&failure);
}

static int look_at(const char *path, const struct stat *facts, int type, struct FTW *where)
{
    const char *home = path + strlen(fuzz_folder()), *name = path + where->base;

    HOLDS(*home == '\0' || strncmp(home, "/home", 5) == 0);
    if (type == FTW_F && strstr(path, "/blobs/") != NULL)
        check_blob(path, name);
    if (type == FTW_SL || type == FTW_SLN) {
        char *target = realpath(path, NULL);

        HOLDS(strstr(path, "/snapshots/") != NULL && target != NULL && strstr(target, "/blobs/") != NULL &&
              strncmp(target, fuzz_folder(), strlen(fuzz_folder())) == 0);
        free(target);
    }
    (void)facts;
    return 0;
}

/* ---- the operations ---- */

static tenon_status info(tenon_hub *hub, const char *path, tenon_task **task)
{
    (void)path;
    return tenon_hub_info(hub, "acme/small", NULL, task);
}

static tenon_status list(tenon_hub *hub, const char *path, tenon_task **task)
{
    tenon_list_options options = { .struct_size = sizeof options, .folder = *path != '\0' ? path : NULL };
    tenon_file file = { .struct_size = sizeof file };
    tenon_status status = tenon_hub_list(hub, "acme/small", &options, task);

    while (fuzz_goes_on(status)) {
        status = tenon_task_next_file(*task, 0, &file);
        if (status == TENON_OK)
            HOLDS(tn_path_is_safe(file.path, NULL) && file.bytes >= -1);
    }
    return TENON_OK;
}

static tenon_status references(tenon_hub *hub, const char *path, tenon_task **task)
{
    tenon_reference reference = { .struct_size = sizeof reference };
    tenon_status status = tenon_hub_references(hub, "acme/small", NULL, task);

    (void)path;
    while (fuzz_goes_on(status)) {
        status = tenon_task_next_reference(*task, 0, &reference);
        if (status == TENON_OK)
            HOLDS(reference.name != NULL && fuzz_is_utf8(reference.name));
    }
    return TENON_OK;
}

static tenon_status exists(tenon_hub *hub, const char *path, tenon_task **task)
{
    return tenon_hub_exists(hub, "acme/small", path, NULL, task);
}

static tenon_status download(tenon_hub *hub, const char *path, tenon_task **task)
{
    return tenon_hub_download(hub, "acme/small", path, NULL, task);
}

static tenon_status snapshot(tenon_hub *hub, const char *path, tenon_task **task)
{
    (void)path;
    return tenon_hub_snapshot(hub, "acme/small", NULL, task);
}

static tenon_status snapshot_into(tenon_hub *hub, const char *path, tenon_task **task)
{
    char folder[PATH_MAX];
    tenon_download_options options = { .struct_size = sizeof options, .folder = folder };

    (void)path;
    snprintf(folder, sizeof folder, "%s/home/here", fuzz_folder());
    return tenon_hub_snapshot(hub, "acme/small", &options, task);
}

static tenon_status read_file(tenon_hub *hub, const char *path, tenon_task **task)
{
    char buffer[4096];
    size_t got;
    tenon_status status = tenon_hub_read(hub, "acme/small", path, NULL, task);

    while (fuzz_goes_on(status))
        status = tenon_task_read(*task, 0, buffer, sizeof buffer, &got);
    return TENON_OK;
}

static tenon_status plan(tenon_hub *hub, const char *path, tenon_task **task)
{
    tenon_plan_options options = { .struct_size = sizeof options, .hub = hub };
    tenon_offer offer = { .struct_size = sizeof offer };
    tenon_status status = tenon_accelerator_plan(hub->handle.context, "acme/small", &options, task);

    (void)path;
    while (fuzz_goes_on(status)) {
        status = tenon_task_next_offer(*task, 0, &offer);
        if (status == TENON_OK)
            HOLDS(fuzz_is_utf8(offer.accelerator));
    }
    return TENON_OK;
}

static tenon_status (*const operations[])(tenon_hub *hub, const char *path, tenon_task **task) = {
    info, list, references, exists, download, snapshot, snapshot_into, read_file, plan
};
static const char letters[] = "ilredshfp"; /* as above; h: into a folder "here", f: the bytes of a file */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const uint8_t *first = size > 0 ? memchr(bytes, '\n', size) : NULL;
    const uint8_t *second = first != NULL ? memchr(first + 1, '\n', size - (size_t)(first + 1 - bytes)) : NULL;
    const char *letter = size > 0 && bytes[0] != '\0' ? strchr(letters, bytes[0]) : NULL;
    tenon_context *context;
    tenon_hub *hub = NULL;
    tenon_task *task = NULL;
    struct canned *canned;
    char *path;

    if (second == NULL || letter == NULL)
        return -1;
    fuzz_empty_folder();
    context = fuzz_context();
    canned = fuzz_answers(context, second + 1, size - (size_t)(second + 1 - bytes));
    path = fuzz_text(first + 1, (size_t)(second - first - 1));
    HOLDS(tenon_hub_open(context, NULL, NULL, &hub) == TENON_OK);
    operations[letter - letters](hub, path, &task);
    fuzz_finish(task);
    tenon_hub_free(hub);
    tenon_context_free(context);
    fuzz_answers_free(canned);
    HOLDS(nftw(fuzz_folder(), look_at, 16, FTW_PHYS) == 0);
    free(path);
    return 0;
}
