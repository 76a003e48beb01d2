#include "origin.h"

#include <string.h>

#include "file.h"
#include "path.h"

enum { FILES_MOST = 100000, PATH_LIMIT = 64 * 1024, READ_MOST = 72 << 20 };

/* ---- which files ---- */

static bool is_model_file(const char *path)
{
    const char *name = tn_path_name(path);

    return strcmp(name, "config.json") == 0 || tn_ends_with(name, ".safetensors") ||
           tn_ends_with(name, ".safetensors.index.json") || tn_ends_with(name, ".gguf");
}

static tenon_status add_file(struct origin *origin, const char *path, int64_t bytes, struct failure *failure)
{
    if (origin->count == FILES_MOST)
        return tn_fail(failure, TENON_ERROR_PROTOCOL, "the model has more than %d files", (int)FILES_MOST);
    if (origin->count == origin->room) {
        size_t room = origin->room == 0 ? 16 : 2 * origin->room;
        struct model_file *files = tn_resize(&origin->context->memory, origin->files, room * sizeof *files);

        if (files == NULL)
            return tn_fail_memory(failure);
        origin->files = files;
        origin->room = room;
    }
    path = tn_arena_copy(&origin->arena, path);
    if (path == NULL)
        return tn_fail_memory(failure);
    origin->files[origin->count++] = (struct model_file){ path, bytes };
    return TENON_OK;
}

const struct model_file *tn_origin_find(const struct origin *origin, const char *path)
{
    const struct model_file *found = NULL;

    for (size_t i = 0; i < origin->count && found == NULL; i++)
        if (strcmp(origin->files[i].path, path) == 0)
            found = &origin->files[i];
    return found;
}

/* ---- what is named ---- */

static bool looks_like_path(const char *model)
{
    return *model == '/' || tn_starts_with(model, "./") || tn_starts_with(model, "../") || strcmp(model, ".") == 0 ||
           strcmp(model, "..") == 0;
}

/* A file stands for the folder that it is in, and for itself there. */
static tenon_status open_file(struct origin *origin, const char *path)
{
    const char *name = tn_path_name(path);
    char *folder = tn_arena_copy(&origin->arena, path);

    if (folder == NULL)
        return tn_fail_memory(&origin->context->failure);
    if (name == path)
        strcpy(folder, ".");
    else if (name == path + 1)
        strcpy(folder, "/");
    else
        folder[name - path - 1] = '\0';
    origin->folder = folder;
    origin->file = tn_arena_copy(&origin->arena, name);
    if (origin->file == NULL)
        return tn_fail_memory(&origin->context->failure);
    if (!is_model_file(origin->file) && !tn_ends_with(origin->file, ".json")) {
        tn_fail(&origin->context->failure, TENON_ERROR_NOT_FOUND, "%s is not a file that a model can be sized from", path);
        return tn_hint(&origin->context->failure, "Give a folder, a .gguf file, a .safetensors file or a config.json.");
    }
    return TENON_OK;
}

static tenon_status open_repository(struct origin *origin, tenon_hub *hub, const char *model, const char *revision)
{
    struct failure *failure = &origin->context->failure;
    struct repository repository;
    tenon_status status = tn_hub_or_default(origin->context, hub, &origin->hub);

    if (status != TENON_OK)
        return status;
    status = tn_repository_parse(&repository, &origin->context->memory, model, revision, origin->hub->endpoint, failure);
    tn_repository_clear(&repository);
    if (status != TENON_OK)
        return status;
    origin->repository = tn_arena_copy(&origin->arena, model);
    origin->revision = revision != NULL ? tn_arena_copy(&origin->arena, revision) : NULL;
    return origin->repository != NULL && (revision == NULL || origin->revision != NULL) ? TENON_OK : tn_fail_memory(failure);
}

tenon_status tn_origin_open(struct origin *origin, struct tenon_context *context, tenon_hub *hub, const char *model,
                            const char *revision, const char *file)
{
    struct failure *failure = &context->failure;
    struct file_facts facts;
    tenon_status status = TENON_OK;

    memset(origin, 0, sizeof *origin);
    origin->context = context;
    tn_arena_init(&origin->arena, &context->memory);
    if (model == NULL || *model == '\0')
        return tn_fail(failure, TENON_ERROR_ARGUMENT, "no model is named");
    if (tn_file_look(model, &facts, failure) != TENON_OK)
        return failure->status;
    if (file != NULL) {
        origin->file = tn_arena_copy(&origin->arena, file);
        if (origin->file == NULL)
            return tn_fail_memory(failure);
        if (!tn_path_is_safe(file, NULL))
            return tn_fail(failure, TENON_ERROR_ARGUMENT, "\"%s\" cannot be a file of a model", file);
    }
    if (facts.exists && !facts.folder)
        status = facts.regular ? open_file(origin, model)
                               : tn_fail(failure, TENON_ERROR_NOT_FOUND, "%s is neither a file nor a folder", model);
    else if (facts.exists) {
        origin->folder = tn_arena_copy(&origin->arena, model);
        if (origin->folder == NULL)
            status = tn_fail_memory(failure);
    } else if (looks_like_path(model))
        status = tn_fail(failure, TENON_ERROR_NOT_FOUND, "there is nothing at %s", model);
    else
        status = open_repository(origin, hub, model, revision);
    return status;
}

void tn_origin_clear(struct origin *origin)
{
    if (origin->context == NULL)
        return;
    tn_hub_drop(origin->hub);
    origin->hub = NULL;
    tn_release(&origin->context->memory, origin->files);
    tn_arena_clear(&origin->arena);
    memset(origin, 0, sizeof *origin);
}

/* ---- ranges ---- */

static tenon_status read_folder(struct reading *reading)
{
    struct origin *origin = reading->origin;
    struct text path;
    char *room = tn_alloc(&origin->context->memory, (size_t)reading->length);
    size_t got = 0;
    int fd = -1;
    tenon_status status = TENON_OK;

    tn_text_init(&path, &origin->context->memory, PATH_LIMIT);
    tn_path_join(&path, origin->folder, reading->path);
    if (room == NULL || tn_text_status(&path) != TENON_OK) {
        status = tn_fail_memory(&reading->failure);
        goto done;
    }
    fd = tn_file_open(tn_text(&path), FILE_READ, &reading->failure);
    status = fd >= 0
                 ? tn_file_read_at(fd, room, (size_t)reading->length, reading->offset, &got, tn_text(&path), &reading->failure)
                 : reading->failure.status;
    if (status == TENON_OK)
        tn_text_add_n(&reading->bytes, room, got);
    origin->bytes += (int64_t)got;
done:
    tn_file_close(&fd);
    tn_text_clear(&path);
    tn_release(&origin->context->memory, room);
    return status;
}

/* Makes the hub's task for the range. */
static tenon_status ask(struct reading *reading)
{
    struct origin *origin = reading->origin;
    const tenon_read_options options = {
        .struct_size = sizeof options, .revision = origin->revision, .offset = reading->offset, .length = reading->length,
    };
    tenon_status status = tn_hub_read_new(origin->hub, origin->repository, reading->path, &options, &reading->part);

    if (status != TENON_OK)
        return tn_failure_move(&reading->failure, &origin->context->failure);
    origin->calls++;
    reading->part->unread->room = (size_t)reading->length + 1;
    tn_task_begin(reading->part, &reading->co);
    return TENON_OK;
}

static tenon_status take_answer(struct reading *reading)
{
    struct tenon_task *part = reading->part;
    const struct text *bytes = &part->unread->bytes;
    tenon_status status = part->co.status;

    if (status != TENON_OK)
        status = tn_failure_move(&reading->failure, &part->failure);
    else if (bytes->length > (size_t)reading->length)
        status = tn_fail(&reading->failure, TENON_ERROR_PROTOCOL, "%s: more was sent than was asked for", reading->path);
    else {
        tn_text_add_n(&reading->bytes, tn_text(bytes), bytes->length);
        reading->origin->bytes += (int64_t)bytes->length;
    }
    tn_task_drop(part);
    reading->part = NULL;
    return status;
}

static tenon_status reading_step(struct co *co)
{
    struct reading *reading = TN_CONTAINER(co, struct reading, co);
    tenon_status status;

    CO_BEGIN(co);
    if (reading->origin->hub == NULL)
        status = read_folder(reading);
    else {
        status = ask(reading);
        if (status != TENON_OK)
            return status;
        AWAIT(co, !tn_co_running(&reading->part->co));
        status = take_answer(reading);
    }
    if (status == TENON_OK && tn_text_status(&reading->bytes) != TENON_OK)
        status = tn_fail_memory(&reading->failure);
    CO_END(co);
    return status;
}

void tn_reading_start(struct reading *reading, struct origin *origin, const char *path, int64_t offset, int64_t length,
                      struct co *waiter)
{
    const struct memory *memory = &origin->context->memory;

    if (reading->bytes.memory == NULL) {
        tn_text_init(&reading->bytes, memory, READ_MOST);
        tn_failure_init(&reading->failure, memory, &origin->context->secrets);
    }
    tn_failure_clear(&reading->failure);
    reading->origin = origin;
    reading->path = path;
    reading->offset = offset;
    reading->length = length;
    tn_co_start(&reading->co, origin->context, reading_step, waiter);
}

void tn_reading_clear(struct reading *reading)
{
    tn_co_stop(&reading->co);
    tn_task_drop(reading->part);
    reading->part = NULL;
    tn_text_clear(&reading->bytes);
    tn_failure_clear(&reading->failure);
}

/* ---- the list ---- */

/* The files of a folder of this machine; not those in folders below it. */
static tenon_status list_folder(struct origin *origin, struct failure *failure)
{
    struct folder folder;
    struct file_facts facts;
    struct text path;
    const char *name;
    tenon_status status = tn_folder_open(&folder, origin->folder, failure);

    if (status != TENON_OK)
        return status;
    tn_text_init(&path, &origin->context->memory, PATH_LIMIT);
    while (status == TENON_OK && (name = tn_folder_next(&folder)) != NULL) {
        if (!is_model_file(name) && (origin->file == NULL || strcmp(name, origin->file) != 0))
            continue;
        tn_text_reset(&path);
        tn_path_join(&path, origin->folder, name);
        status = tn_text_status(&path) == TENON_OK ? tn_file_look(tn_text(&path), &facts, failure) : tn_fail_memory(failure);
        if (status == TENON_OK && facts.regular)
            status = add_file(origin, name, facts.bytes, failure);
    }
    tn_text_clear(&path);
    tn_folder_close(&folder);
    return status;
}

static tenon_status ask_list(struct listing *listing)
{
    static const char *const allow[] = { "config.json", "*.safetensors", "*.safetensors.index.json", "*.gguf", NULL };
    struct origin *origin = listing->origin;
    const tenon_list_options options = { .struct_size = sizeof options, .revision = origin->revision, .allow = allow };
    tenon_status status = tn_hub_list_new(origin->hub, origin->repository, &options, &listing->part);

    if (status != TENON_OK)
        return tn_failure_move(&listing->failure, &origin->context->failure);
    origin->calls++;
    tn_task_begin(listing->part, &listing->co);
    /* We are the reader of its rows. */
    listing->part->drops = false;
    return TENON_OK;
}

/* Takes the rows that have come so far, so that more can come. */
static tenon_status take_rows(struct listing *listing)
{
    struct tenon_task *part = listing->part;
    struct link *link;
    tenon_status status = TENON_OK;

    while (status == TENON_OK && (link = tn_list_take(&part->rows)) != NULL) {
        struct row *row = TN_CONTAINER(link, struct row, link);
        const tenon_file *file = row->data;

        if (is_model_file(file->path))
            status = add_file(listing->origin, file->path, file->bytes, &listing->failure);
        part->row_bytes -= row->bytes;
        tn_row_free(&listing->origin->context->memory, row);
    }
    tn_co_wake(&part->co);
    return status;
}

static tenon_status end_list(struct listing *listing)
{
    struct origin *origin = listing->origin;
    tenon_status status = listing->part->co.status;

    if (status != TENON_OK)
        tn_failure_move(&listing->failure, &listing->part->failure);
    else if (tn_is_commit(tn_text(&listing->part->text))) {
        /* All that is read from now on is of the same commit, and may be in the cache under it. */
        origin->revision = tn_arena_copy(&origin->arena, tn_text(&listing->part->text));
        if (origin->revision == NULL)
            status = tn_fail_memory(&listing->failure);
    }
    tn_task_drop(listing->part);
    listing->part = NULL;
    return status;
}

static tenon_status listing_step(struct co *co)
{
    static const char *const usual[] = { "config.json", "model.safetensors.index.json", "model.safetensors" };
    struct listing *listing = TN_CONTAINER(co, struct listing, co);
    struct origin *origin = listing->origin;
    tenon_status status;

    CO_BEGIN(co);
    if (origin->hub == NULL)
        return list_folder(origin, &listing->failure);
    status = ask_list(listing);
    if (status != TENON_OK)
        return status;
    do {
        AWAIT(co, !tn_list_empty(&listing->part->rows) || !tn_co_running(&listing->part->co));
        status = take_rows(listing);
        if (status != TENON_OK)
            return status;
    } while (tn_co_running(&listing->part->co) || !tn_list_empty(&listing->part->rows));
    status = end_list(listing);
    if (status != TENON_ERROR_OFFLINE)
        return status;
    /* Others' caches have no listing: see which of the usual files are there. */
    for (listing->next = 0; listing->next < sizeof usual / sizeof usual[0]; listing->next++) {
        tn_reading_start(&listing->reading, origin, usual[listing->next], 0, 1, &listing->co);
        AWAIT(co, !tn_co_running(&listing->reading.co));
        if (listing->reading.co.status == TENON_OK && add_file(origin, usual[listing->next], -1, &listing->failure) != TENON_OK)
            return listing->failure.status;
    }
    CO_END(co);
    return origin->count > 0 ? TENON_OK : TENON_ERROR_OFFLINE;
}

void tn_listing_start(struct listing *listing, struct origin *origin, struct co *waiter)
{
    listing->origin = origin;
    listing->next = 0;
    tn_failure_init(&listing->failure, &origin->context->memory, &origin->context->secrets);
    tn_co_start(&listing->co, origin->context, listing_step, waiter);
}

void tn_listing_clear(struct listing *listing)
{
    tn_co_stop(&listing->co);
    tn_task_drop(listing->part);
    listing->part = NULL;
    tn_reading_clear(&listing->reading);
    tn_failure_clear(&listing->failure);
}
