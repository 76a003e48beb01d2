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
    int64_t total;     /* size of the file; -1 unknown */
    bool decode;       /* the server compresses although not asked */
    bool again;        /* ask anew, in another way */
    struct request request;
    struct text location; /* where the first answer came from: later ones are of the same content */
    int file;          /* a file of this machine */
    struct text local;
};

/* ---- a file of this machine ---- */

static tenon_status find_in_folder(struct reading *reading)
{
    struct tenon_task *task = &reading->base.task;
    const struct tree_file *file;
    struct tree tree;
    char commit[41];
    tenon_status status;

    tn_tree_init(&tree, &task->handle.context->memory);
    status = tn_folder_open_revision(reading->base.hub, &reading->base.repository, commit, &tree, &task->failure);
    file = status == TENON_OK ? tn_tree_find(&tree, reading->path) : NULL;
    if (file != NULL)
        tn_folder_content(reading->base.hub, &reading->base.repository, file, &reading->local);
    else if (status == TENON_OK) {
        status = tn_fail(&task->failure, TENON_ERROR_NOT_FOUND, "%s has no file %s at %s", reading->base.repository.id,
                         reading->path, reading->base.repository.revision);
        tn_hint(&task->failure, "Check the path; names of files are case-sensitive.");
        tn_failure_set_code(&task->failure, "EntryNotFound");
    }
    tn_tree_clear(&tree);
    return status;
}

/* The file in the cache; local stays empty when it is not there. */
static bool is_here(struct reading *reading)
{
    char commit[41];

    if (!tn_hub_cached_commit(&reading->base, commit) ||
        !tn_cache_has(&reading->base.cache, commit, reading->path, -1, &reading->local))
        tn_text_reset(&reading->local);
    return reading->local.length > 0;
}

/* Finds the file in the folder, or in the cache where that may answer. */
static tenon_status find_file(struct reading *reading)
{
    struct tenon_task *task = &reading->base.task;
    tenon_status status = TENON_OK;

    if (reading->base.hub->folder != NULL)
        status = find_in_folder(reading);
    else if (!(tn_hub_cache_suffices(&reading->base) && is_here(reading)) &&
             tn_hub_is_offline(reading->base.hub, reading->base.policy))
        status = tn_hub_fail_offline(&task->failure, reading->path);
    /* A path that did not come together is not "ask the hub". */
    if (status == TENON_OK && reading->local.failed)
        status = tn_fail_memory(&task->failure);
    return status;
}

static tenon_status open_file(struct reading *reading)
{
    struct tenon_task *task = &reading->base.task;

    reading->file = tn_file_open(tn_text(&reading->local), FILE_READ, &task->failure);
    return reading->file >= 0 ? TENON_OK : task->failure.status;
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

/* A part of a compressed file is of no use: the whole of it is asked for. */
static tenon_status ask_for_all(struct reading *reading)
{
    reading->decode = reading->again = true;
    return tn_fail(&reading->request.failure, TENON_ERROR_PROTOCOL, "%s: the server compresses although it was asked not to",
                   reading->path);
}

/* The answer to a range must be that range of a file that has not changed its size. */
static tenon_status check_range(struct reading *reading)
{
    int64_t first = 0, last = 0, total = -1;
    bool good = tn_response_range(&reading->request, &first, &last, &total) && first == reading->next &&
                (reading->end < 0 || last < reading->end);

    if (!good || (reading->total >= 0 && total >= 0 && total != reading->total))
        return tn_fail(&reading->request.failure, TENON_ERROR_PROTOCOL, "%s: the server sends another range than it was asked for",
                       reading->path);
    reading->total = total >= 0 ? total : reading->total;
    return TENON_OK;
}

/* Where the rest is asked for if the line is cut: of the same commit, also when the branch moves meanwhile. */
static void note_location(struct reading *reading)
{
    const struct request *request = &reading->request;
    struct text value;
    const char *commit;

    tn_text_init(&value, &request->context->memory, 256);
    commit = tn_response_header(request, "x-repo-commit", &value);
    if (commit != NULL && tn_is_commit(commit))
        tn_hub_resolve(reading->base.hub, &reading->base.repository, commit, reading->path, &reading->location);
    else
        tn_text_add(&reading->location, tn_text(&request->final_url));
    tn_text_clear(&value);
}

static tenon_status answer_begun(struct request *request)
{
    struct reading *reading = request->owner;
    tenon_status status = TENON_OK;

    reading->skip = 0;
    if (!reading->decode && tn_hub_is_encoded(request))
        status = ask_for_all(reading);
    else if (request->status == 206)
        status = check_range(reading);
    else {
        reading->skip = reading->next;
        reading->total = reading->decode ? -1 : tn_response_integer(request, "content-length", -1);
    }
    if (status == TENON_OK && reading->location.length == 0)
        note_location(reading);
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

    tn_request_reset(request);
    if (reading->location.length > 0)
        tn_text_add(&request->url, tn_text(&reading->location));
    else
        tn_hub_resolve(reading->base.hub, &reading->base.repository, reading->base.repository.revision, reading->path,
                       &request->url);
    tn_hub_request(reading->base.hub, request, reading->path);
    if (!reading->decode && (reading->next > 0 || reading->end >= 0))
        tn_request_range(request, reading->next, reading->end >= 0 ? reading->end - 1 : -1);
    request->decode = reading->decode;
    request->stream = true;
    request->large = true;
    request->owner = reading;
    request->begun = answer_begun;
    request->data = answer_data;
    request->retry_count = &reading->base.task.progress.retries;
    reading->began = reading->next;
    reading->again = false;
    tn_request_start(request, &reading->base.task.co);
}

/* Is there more to come than what has come? */
static bool is_short(const struct reading *reading)
{
    int64_t end = reading->end;

    if (reading->total >= 0 && (end < 0 || end > reading->total))
        end = reading->total;
    return end >= 0 && reading->next < end && reading->total >= 0;
}

/* What the end of a request means: TENON_AGAIN when the rest is to be asked for. */
static tenon_status judge(struct reading *reading)
{
    struct tenon_task *task = &reading->base.task;
    struct request *request = &reading->request;
    tenon_status status = request->co.status;
    bool passing = status == TENON_ERROR_NETWORK || status == TENON_ERROR_TIMEOUT || status == TENON_ERROR_UNAVAILABLE;
    bool moved = reading->next > reading->began, begun = reading->location.length > 0;

    if (status == TENON_DONE || request->status == 416)
        status = TENON_OK;
    else if (reading->again || (moved && (passing || (status == TENON_OK && is_short(reading)))))
        status = TENON_AGAIN;
    else if (status == TENON_OK && is_short(reading))
        status = tn_fail(&task->failure, TENON_ERROR_NETWORK, "%s: the line was cut", reading->path);
    else if (status != TENON_OK && !begun && tn_hub_cache_may_stand_in(&reading->base, &request->failure) && is_here(reading)) {
        tn_log(task->handle.context, TENON_LOG_WARNING, "hub", "%s: read from the cache: %s", reading->path,
               request->failure.message != NULL ? request->failure.message : "");
        status = TENON_OK;
    } else if (status != TENON_OK)
        status = tn_task_fail_from(task, &request->failure);
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
    if (status == TENON_OK && reading->local.length == 0)
        do {
            ask(reading);
            AWAIT(co, !tn_co_running(&reading->request.co));
            status = judge(reading);
        } while (status == TENON_AGAIN);
    if (status == TENON_OK && reading->local.length > 0) {
        status = open_file(reading);
        if (status == TENON_OK)
            AWAIT(co, (status = give_slice(reading)) != TENON_AGAIN);
    }
    CO_END(co);
    return status;
}

static void reading_clear(struct tenon_task *task)
{
    struct reading *reading = TN_CONTAINER(task, struct reading, base.task);

    tn_request_clear(&reading->request);
    tn_text_clear(&reading->location);
    if (reading->local.memory != NULL)
        tn_file_close(&reading->file);
    tn_text_clear(&reading->local);
    tn_hub_task_clear(&reading->base);
}

static const struct operation operation = { .name = "reading a file", .size = sizeof(struct reading), .yields_bytes = true,
                                            .step = reading_step, .clear = reading_clear, .drained = reader_made_room };

tenon_status tn_hub_read_new(tenon_hub *hub, const char *repository, const char *path, const tenon_read_options *given,
                             tenon_task **task)
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
    tn_text_init(&reading->location, &context->memory, 16 * 1024);
    reading->total = -1;
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

tenon_status tenon_hub_read(tenon_hub *hub, const char *repository, const char *path, const tenon_read_options *options,
                            tenon_task **task)
{
    TN_HUB_CALL(hub, tn_hub_read_new(hub, repository, path, options, &made), task);
}
