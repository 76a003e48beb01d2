/* The job handle: opened, asked, followed. */
#include "job.h"

#include <string.h>

#include "place.h"

enum { ENDPOINT_LIMIT = 16 * 1024 };

/* ---- reports ---- */

void tn_report_init(struct report *report, const struct memory *memory)
{
    const tenon_job_report nothing = {
        .struct_size = sizeof nothing, .id = "", .name = "", .model = "", .accelerator = "", .stage = "", .address = "",
        .output = "", .message = "", .hint = "", .last_lines = "", .place_state = "", .json = "", .submitted_ms = -1,
        .started_ms = -1, .ended_ms = -1, .peak_memory_bytes = -1, .exit_code = -1,
    };

    memset(report, 0, sizeof *report);
    report->memory = memory;
    report->row = nothing;
}

void tn_report_clear(struct report *report)
{
    if (report->memory == NULL)
        return;
    json_decref(report->state);
    tn_release(report->memory, report->json);
    tn_report_init(report, report->memory);
}

static uint64_t mix(uint64_t mark, const void *bytes, size_t size)
{
    const unsigned char *byte = bytes;

    for (size_t i = 0; i < size; i++)
        mark = (mark ^ byte[i]) * UINT64_C(1099511628211);
    return mark;
}

static uint64_t mix_text(uint64_t mark, const char *text)
{
    return mix(mark, text, strlen(text) + 1);
}

uint64_t tn_report_mark(const struct report *report)
{
    const tenon_job_report *row = &report->row;
    const int64_t numbers[] = { row->state, row->cause, row->exit_code, row->signal, row->process, row->started_ms, row->ended_ms };
    uint64_t mark = mix(UINT64_C(14695981039346656037), numbers, sizeof numbers);

    mark = mix_text(mark, row->stage);
    mark = mix_text(mark, row->address);
    return mix_text(mark, row->message);
}

bool tn_state_is_final(int32_t state)
{
    return state >= TENON_JOB_SUCCEEDED;
}

/* ---- the handle ---- */

static void job_destroy(struct handle *handle)
{
    struct tenon_job *job = TN_CONTAINER(handle, struct tenon_job, handle);
    const struct memory *memory = &handle->context->memory;

    tn_co_stop(&job->co);
    if (job->inside != NULL)
        job->place->clear(job);
    if (job->report != NULL)
        tn_report_clear(job->report);
    tn_release(memory, job->report);
    tn_release(memory, job->key);
    tn_release(memory, job);
}

tenon_status tn_job_new(struct tenon_context *context, const struct place *place, const char *id, tenon_job **out)
{
    size_t size = strlen(id) + 1;
    struct tenon_job *job = tn_alloc(&context->memory, sizeof *job + size);

    if (job == NULL)
        return tn_fail_memory(&context->failure);
    tn_handle_init(&job->handle, context, job_destroy);
    job->place = place;
    memcpy(job->id, id, size);
    job->co.context = context;
    job->co.status = TENON_OK;
    tn_list_init(&job->followers);
    *out = job;
    return TENON_OK;
}

void tn_job_drop(tenon_job *job)
{
    struct tenon_context *context;

    if (job == NULL || atomic_fetch_sub(&job->handle.references, 1) > 1)
        return;
    /* The caller is inside; its own reference keeps the context. */
    context = job->handle.context;
    job_destroy(&job->handle);
    tn_context_unref(context);
}

/* ---- followers ---- */

void tn_job_begin(tenon_job *job)
{
    if (!tn_co_running(&job->co))
        tn_co_start(&job->co, job->handle.context, job->place->follow, NULL);
}

void tn_job_follow(tenon_job *job, struct follower *follower, struct co *co, bool log)
{
    follower->co = co;
    follower->log = log;
    tn_list_add(&job->followers, &follower->link);
    tn_job_begin(job);
}

void tn_job_unfollow(tenon_job *job, struct follower *follower)
{
    tn_unlink(&follower->link);
    if (tn_list_empty(&job->followers))
        tn_co_wake(&job->co);
}

bool tn_job_is_followed(const tenon_job *job)
{
    return !tn_list_empty(&job->followers);
}

void tn_job_changed(tenon_job *job)
{
    for (struct link *link = job->followers.next; link != &job->followers; link = link->next)
        tn_co_wake(TN_CONTAINER(link, struct follower, link)->co);
}

void tn_job_log_changed(tenon_job *job)
{
    for (struct link *link = job->followers.next; link != &job->followers; link = link->next) {
        struct follower *follower = TN_CONTAINER(link, struct follower, link);

        if (follower->log)
            tn_co_wake(follower->co);
    }
}

/* ---- places ---- */

static const struct place *const places[] = { &tn_place_local };

const struct place *tn_place_find(const char *name, size_t length, struct failure *failure)
{
    const struct place *place = NULL;

    for (size_t i = 0; i < sizeof places / sizeof places[0] && place == NULL; i++)
        if (strlen(places[i]->name) == length && strncmp(places[i]->name, name, length) == 0)
            place = places[i];
    if (place == NULL) {
        tn_fail(failure, TENON_ERROR_UNSUPPORTED, "this version of tenon knows no place \"%.*s\"",
                (int)(length < 100 ? length : 100), name);
        tn_hint(failure, "The places it knows are: local.");
    }
    return place;
}

tenon_status tn_job_open(struct tenon_context *context, const char *id, tenon_job **job, struct failure *failure)
{
    const struct place *place;
    tenon_status status;

    if (id == NULL || strchr(id, ':') == NULL) {
        tn_fail(failure, TENON_ERROR_ARGUMENT, "\"%s\" is not the id of a job", id != NULL ? id : "(NULL)");
        return tn_hint(failure, "An id looks like local:0123456789ab; tenon_job_list gives them.");
    }
    place = tn_place_find(id, strcspn(id, ":"), failure);
    status = place != NULL ? place->open(context, id, job) : failure->status;
    if (place != NULL && status != TENON_OK && failure != &context->failure)
        tn_failure_move(failure, &context->failure);
    return status;
}

static tenon_status find_endpoint(tenon_job *job, struct text *address, struct text *key, struct failure *failure)
{
    tenon_status status = job->place->endpoint(job, address, key, failure);

    if (status == TENON_OK && (tn_text_status(address) != TENON_OK || tn_text_status(key) != TENON_OK ||
                               tn_secrets_add(&job->handle.context->secrets, tn_text(key)) != TENON_OK))
        status = tn_fail_memory(failure);
    return status;
}

tenon_status tn_job_endpoint(struct tenon_context *context, const char *id, struct text *address, struct text *key,
                             struct failure *failure)
{
    tenon_job *job = NULL;
    tenon_status status = tn_job_open(context, id, &job, failure);

    if (status == TENON_OK)
        status = find_endpoint(job, address, key, failure);
    tn_job_drop(job);
    return status;
}

/* ---- public calls ---- */

tenon_status tenon_job_open(tenon_context *context, const char *id, tenon_job **job)
{
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    if (job == NULL)
        status = tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "job is NULL");
    else
        status = tn_job_open(context, id, job, &context->failure);
    return tn_leave(context, status);
}

tenon_job *tenon_job_ref(tenon_job *job)
{
    if (job != NULL)
        tn_handle_ref(&job->handle);
    return job;
}

void tenon_job_free(tenon_job *job)
{
    if (job != NULL)
        tn_handle_free(&job->handle);
}

static tenon_status enter_job(tenon_job *job)
{
    return job != NULL ? tn_enter(job->handle.context) : TENON_ERROR_MISUSE;
}

static tenon_status leave_job(tenon_job *job, tenon_status status)
{
    return tn_leave(job->handle.context, status);
}

tenon_status tenon_job_id(tenon_job *job, const char **id)
{
    tenon_status status = enter_job(job);

    if (status != TENON_OK)
        return status;
    if (id == NULL)
        status = tn_fail(&job->handle.context->failure, TENON_ERROR_ARGUMENT, "id is NULL");
    else
        *id = job->id;
    return leave_job(job, status);
}

/* Asks the place for the key, which the handle then keeps. */
static tenon_status renew_key(tenon_job *job)
{
    struct tenon_context *context = job->handle.context;
    struct text address, key;
    tenon_status status;

    tn_text_init(&address, &context->memory, ENDPOINT_LIMIT);
    tn_text_init(&key, &context->memory, ENDPOINT_LIMIT);
    status = find_endpoint(job, &address, &key, &context->failure);
    tn_release(&context->memory, job->key);
    job->key = status == TENON_OK ? tn_copy(&context->memory, tn_text(&key)) : NULL;
    if (status == TENON_OK && job->key == NULL)
        status = tn_fail_memory(&context->failure);
    tn_text_clear(&address);
    tn_text_clear(&key);
    return status;
}

tenon_status tenon_job_api_key(tenon_job *job, const char **key)
{
    tenon_status status = enter_job(job);

    if (status != TENON_OK)
        return status;
    if (key == NULL)
        status = tn_fail(&job->handle.context->failure, TENON_ERROR_ARGUMENT, "key is NULL");
    else
        status = renew_key(job);
    if (status == TENON_OK)
        *key = job->key;
    return leave_job(job, status);
}

/* The report that the texts of the caller's row will live in. */
static tenon_status renew_report(tenon_job *job)
{
    struct tenon_context *context = job->handle.context;

    if (job->report == NULL) {
        job->report = tn_alloc(&context->memory, sizeof *job->report);
        if (job->report == NULL)
            return tn_fail_memory(&context->failure);
        tn_report_init(job->report, &context->memory);
    }
    tn_report_clear(job->report);
    return job->place->report(job, job->report, &context->failure);
}

tenon_status tenon_job_status(tenon_job *job, tenon_job_report *report)
{
    tenon_status status = enter_job(job);

    if (status != TENON_OK)
        return status;
    status = renew_report(job);
    if (status == TENON_ERROR_NOT_FOUND) {
        job->report->row.id = job->id;
        job->report->row.message = "the job was removed";
        status = TENON_OK;
    }
    /* A program that only asks again and again shall see a server become ready too. */
    if (status == TENON_OK && job->report->row.state == TENON_JOB_STARTING)
        tn_job_begin(job);
    if (status == TENON_OK) {
        status = tn_row_give(&tn_row_report, &job->report->row, report);
        if (status != TENON_OK)
            tn_fail(&job->handle.context->failure, status, "report is NULL or its struct_size is not set");
    }
    return leave_job(job, status);
}

/* ---- operations of the place ---- */

static tenon_status launch(tenon_status status, tenon_task *made, tenon_task **task)
{
    return status == TENON_OK ? tn_task_launch(made, task) : status;
}

tenon_status tenon_job_stop(tenon_job *job, const tenon_stop_options *given, tenon_task **task)
{
    tenon_stop_options options;
    tenon_task *made = NULL;
    tenon_status status = enter_job(job);

    if (status != TENON_OK)
        return status;
    status = tn_options(job->handle.context, given, &options, sizeof options);
    if (status == TENON_OK)
        status = job->place->stop_new(job, &options, &made);
    return leave_job(job, launch(status, made, task));
}

tenon_status tenon_job_remove(tenon_job *job, tenon_task **task)
{
    tenon_task *made = NULL;
    tenon_status status = enter_job(job);

    if (status != TENON_OK)
        return status;
    status = job->place->remove_new(job, &made);
    return leave_job(job, launch(status, made, task));
}

tenon_status tenon_job_outputs(tenon_job *job, tenon_task **task)
{
    tenon_task *made = NULL;
    tenon_status status = enter_job(job);

    if (status != TENON_OK)
        return status;
    status = job->place->outputs_new(job, &made);
    return leave_job(job, launch(status, made, task));
}

tenon_status tenon_job_list(tenon_context *context, const tenon_job_list_options *given, tenon_task **task)
{
    tenon_job_list_options options;
    const struct place *place = &tn_place_local;
    tenon_task *made = NULL;
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    status = tn_options(context, given, &options, sizeof options);
    if (status == TENON_OK && options.place != NULL)
        place = tn_place_find(options.place, strlen(options.place), &context->failure);
    if (place == NULL)
        status = context->failure.status;
    if (status == TENON_OK)
        status = place->list_new(context, &options, &made);
    return tn_leave(context, launch(status, made, task));
}

tenon_status tenon_accelerator_check(tenon_accelerator *accelerator, tenon_task **task)
{
    struct tenon_context *context = accelerator != NULL ? accelerator->handle.context : NULL;
    tenon_task *made = NULL;
    const struct place *place;
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    place = tn_place_find(accelerator->machine->row.place, strlen(accelerator->machine->row.place), &context->failure);
    status = place != NULL ? place->check_new(accelerator, &made) : context->failure.status;
    return tn_leave(context, launch(status, made, task));
}
