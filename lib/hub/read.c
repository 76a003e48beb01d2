/* tenon_hub_read: bytes of a file without the rest of it. */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "folder.h"
#include "operation.h"

enum { SLICE = 64 * 1024 };

struct reading {
    struct hub_task base;
    const char *path;
    int64_t end;       /* -1: the end of the file */
    int64_t next;      /* the next byte to give */
    int64_t skip;      /* bytes to drop: the server sends the whole file */
    int64_t began;     /* where this request began */
    struct request request;
    int file;          /* a file of this machine */
    struct text local;
};

/* ---- a file of this machine ---- */

/* Finds the file in the folder, or in the cache where that may answer; local stays empty when it does not. */
static tenon_status find_file(struct reading *reading)
{
    struct tenon_task *task = &reading->base.task;
    const struct memory *memory = &task->handle.context->memory;
    const char *revision = reading->base.repository.revision;
    bool offline = tn_hub_is_offline(reading->base.hub, reading->base.policy);
    const struct tree_file *file;
    struct tree tree;
    char commit[41];
    tenon_status status = TENON_OK;

    tn_tree_init(&tree, memory);
    if (reading->base.hub->folder != NULL) {
        status = tn_folder_open_revision(reading->base.hub, &reading->base.repository, commit, &tree, &task->failure);
        file = status == TENON_OK ? tn_tree_find(&tree, reading->path) : NULL;
        if (file != NULL)
            tn_folder_content(reading->base.hub, &reading->base.repository, file, &reading->local);
        else if (status == TENON_OK)
            status = tn_fail(&task->failure, TENON_ERROR_NOT_FOUND, "%s has no file %s at %s", reading->base.repository.id, reading->path, revision);
    } else if (reading->base.policy != TENON_CACHE_FRESH) {
        bool known = tn_is_commit(revision);

        if (known)
            memcpy(commit, revision, sizeof commit);
        else if (offline || reading->base.policy == TENON_CACHE_FIRST)
            known = tn_cache_read_ref(&reading->base.cache, revision, commit);
        if (!known || !tn_cache_has(&reading->base.cache, commit, reading->path, -1, &reading->local))
            tn_text_reset(&reading->local);
        if (offline && reading->local.length == 0)
            status = tn_hub_fail_offline(&task->failure, reading->path);
    }
    tn_tree_clear(&tree);
    return status;
}

/* TENON_AGAIN while there is more, also while nobody takes it. */
static tenon_status give_slice(struct reading *reading)
{
    struct tenon_task *task = &reading->base.task;
    char slice[SLICE];
    size_t want = SLICE, got = 0;
    tenon_status status;

    if (reading->end >= 0 && reading->end - reading->next < SLICE)
        want = (size_t)(reading->end - reading->next);
    if (!tn_task_has_room(task))
        return TENON_AGAIN;
    status = tn_file_read_at(reading->file, slice, want, reading->next, &got, tn_text(&reading->local), &task->failure);
    if (status == TENON_OK)
        status = tn_task_push_bytes(task, slice, got);
    reading->next += (int64_t)got;
    if (status == TENON_OK && got == want && reading->next != reading->end) {
        tn_co_wake(&task->co);
        status = TENON_AGAIN;
    }
    return status;
}

/* ---- over HTTP ---- */

static tenon_status answer_begun(struct request *request)
{
    struct reading *reading = request->owner;
    int64_t first = 0, last = 0, total = -1;
    tenon_status status = TENON_OK;

    if (request->status != 206)
        reading->skip = reading->next;
    else if (!tn_response_range(request, &first, &last, &total) || first != reading->next || (reading->end >= 0 && last >= reading->end))
        status = tn_fail(&request->failure, TENON_ERROR_PROTOCOL, "%s: the server sends another range than it was asked for", reading->path);
    return status;
}

/* TENON_DONE ends the request when the range is complete: a server that sends the whole file need not finish. */
static tenon_status answer_data(struct request *request, const char *bytes, size_t size)
{
    struct reading *reading = request->owner;
    struct tenon_task *task = &reading->base.task;
    tenon_status status;

    if (!tn_task_has_room(task))
        return TENON_AGAIN;
    if (reading->skip > 0) {
        size_t skip = (int64_t)size < reading->skip ? size : (size_t)reading->skip;

        reading->skip -= (int64_t)skip;
        bytes += skip;
        size -= skip;
    }
    if (reading->end >= 0 && (int64_t)size > reading->end - reading->next)
        size = (size_t)(reading->end - reading->next);
    status = tn_task_push_bytes(task, bytes, size);
    reading->next += (int64_t)size;
    return status == TENON_OK && reading->next == reading->end ? TENON_DONE : status;
}

static void reader_made_room(struct tenon_task *task)
{
    struct reading *reading = TN_CONTAINER(task, struct reading, base.task);

    tn_request_resume(&reading->request);
    tn_co_wake(&task->co);
}

static void ask(struct reading *reading)
{
    struct request *request = &reading->request;
    int64_t *retries = &reading->base.task.progress.retries;

    tn_request_reset(request);
    tn_hub_resolve(reading->base.hub, &reading->base.repository, reading->base.repository.revision, reading->path, &request->url);
    tn_hub_request(reading->base.hub, request, reading->path);
    if (reading->next > 0 || reading->end >= 0)
        tn_request_range(request, reading->next, reading->end >= 0 ? reading->end - 1 : -1);
    request->stream = true;
    request->owner = reading;
    request->begun = answer_begun;
    request->data = answer_data;
    request->retry_count = retries;
    reading->began = reading->next;
    tn_request_start(request, &reading->base.task.co);
}

/* What the end of a request means: TENON_AGAIN when the rest is to be asked for. */
static tenon_status judge(struct reading *reading)
{
    struct request *request = &reading->request;
    tenon_status status = request->co.status;
    bool passing = status == TENON_ERROR_NETWORK || status == TENON_ERROR_TIMEOUT || status == TENON_ERROR_UNAVAILABLE;

    if (status == TENON_DONE || request->status == 416)
        status = TENON_OK;
    else if (passing && reading->next > reading->began)
        status = TENON_AGAIN;
    else if (status != TENON_OK)
        status = tn_task_fail_from(&reading->base.task, &request->failure);
    return status;
}

/* ---- the operation ---- */

static tenon_status reading_step(struct co *co)
{
    struct reading *reading = TN_CONTAINER(co, struct reading, base.task.co);
    struct tenon_task *task = &reading->base.task;
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_task_stage(task, "reading", reading->path);
    status = find_file(reading);
    if (status == TENON_OK && reading->local.length > 0) {
        reading->file = tn_file_open(tn_text(&reading->local), FILE_READ, &task->failure);
        status = reading->file >= 0 ? TENON_OK : task->failure.status;
        if (status == TENON_OK)
            AWAIT(co, (status = give_slice(reading)) != TENON_AGAIN);
    } else if (status == TENON_OK)
        do {
            ask(reading);
            AWAIT(co, !tn_co_running(&reading->request.co));
            status = judge(reading);
        } while (status == TENON_AGAIN);
    CO_END(co);
    return status;
}

static void reading_clear(struct tenon_task *task)
{
    struct reading *reading = TN_CONTAINER(task, struct reading, base.task);

    tn_request_clear(&reading->request);
    if (reading->local.memory != NULL)
        tn_file_close(&reading->file);
    tn_text_clear(&reading->local);
    tn_hub_task_clear(&reading->base);
}

static const struct operation operation = { .name = "reading a file", .size = sizeof(struct reading), .yields_bytes = true,
                                            .step = reading_step, .clear = reading_clear, .drained = reader_made_room };

tenon_status tn_hub_read_new(tenon_hub *hub, const char *repository, const char *path, const tenon_read_options *given, tenon_task **task)
{
    struct tenon_context *context = hub->handle.context;
    tenon_read_options options;
    struct reading *reading = NULL;
    tenon_status status = tn_options(context, given, &options, sizeof options);

    if (status == TENON_OK && (options.offset < 0 || options.length < 0 || options.offset > INT64_MAX - options.length))
        status = tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "the range of bytes is negative or too large");
    if (status == TENON_OK)
        status = tn_hub_check_path(context, path);
    if (status == TENON_OK)
        status = tn_hub_task_new(hub, &operation, repository, options.revision, options.policy, &reading);
    if (status != TENON_OK)
        return status;
    tn_request_init(&reading->request, context);
    tn_text_init(&reading->local, &context->memory, PATH_MAX);
    reading->file = -1;
    reading->next = options.offset;
    reading->end = options.length > 0 ? options.offset + options.length : -1;
    status = tn_task_keep(&reading->base.task, path, &reading->path);
    if (status == TENON_OK)
        *task = &reading->base.task;
    else
        tn_task_drop(&reading->base.task);
    return status;
}

tenon_status tenon_hub_read(tenon_hub *hub, const char *repository, const char *path, const tenon_read_options *options, tenon_task **task)
{
    TN_HUB_CALL(hub, tn_hub_read_new(hub, repository, path, options, &made), task);
}
