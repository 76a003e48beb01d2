/* tenon_job_stop and tenon_job_remove on this machine. */
#include <limits.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "local_job.h"
#include "path.h"

enum { UNLOCK_MS = 20, UNLOCK_ROUNDS = 250 };

/* ---- stopping ---- */

tenon_status tn_local_ask_to_stop(const char *folder, const char *reason, const char *detail, int64_t grace_ms,
                                  struct failure *failure)
{
    json_t *stop = json_object();
    bool whole = stop != NULL && tn_json_set_text(stop, "reason", reason) && tn_json_set_text(stop, "detail", detail);
    tenon_status status;

    if (grace_ms >= 0)
        whole = whole && tn_json_set_integer(stop, "grace_ms", grace_ms);
    status = whole ? tn_job_write_file(folder, LOCAL_STOP, stop, false, failure) : tn_fail_memory(failure);
    json_decref(stop);
    return status;
}

struct stop {
    struct tenon_task task;
    tenon_job *job; /* a reference */
    struct follower follower;
    int64_t grace_ms;
    bool asked;
};

static void stop_clear(struct tenon_task *task)
{
    struct stop *stop = TN_CONTAINER(task, struct stop, task);

    if (stop->job != NULL) {
        tn_job_unfollow(stop->job, &stop->follower);
        tn_job_drop(stop->job);
        stop->job = NULL;
    }
}

/* Asks once, and is TENON_AGAIN until the job has ended. */
static tenon_status look_and_ask(struct stop *stop)
{
    const struct local_job *local = stop->job->inside;
    struct report report;
    tenon_status status;

    tn_report_init(&report, &stop->task.handle.context->memory);
    status = tn_local_report(stop->job, &report, &stop->task.failure);
    if (status == TENON_OK && !tn_state_is_final(report.row.state)) {
        if (!stop->asked)
            status = tn_local_ask_to_stop(local->folder, "stop", NULL, stop->grace_ms, &stop->task.failure);
        stop->asked = true;
        if (status == TENON_OK)
            status = TENON_AGAIN;
    }
    tn_report_clear(&report);
    return status;
}

static tenon_status stop_step(struct co *co)
{
    struct stop *stop = TN_CONTAINER(co, struct stop, task.co);
    const struct local_job *local = stop->job->inside;
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_task_stage(&stop->task, "stopping", stop->job->id);
    if (local->submission != NULL && tn_co_running(tn_submission_co(local->submission)))
        tn_submission_end(stop->job, true);
    tn_job_follow(stop->job, &stop->follower, co, false);
    AWAIT(co, (status = look_and_ask(stop)) != TENON_AGAIN);
    CO_END(co);
    return status;
}

static const struct operation stop_operation = {
    .name = "stopping the job", .size = sizeof(struct stop), .step = stop_step, .clear = stop_clear,
};

tenon_status tn_local_stop_new(tenon_job *job, const tenon_stop_options *options, tenon_task **task)
{
    struct tenon_context *context = job->handle.context;
    struct stop *stop = NULL;
    tenon_status status = tn_task_new(context, &stop_operation, &stop);

    if (status == TENON_OK) {
        stop->job = tenon_job_ref(job);
        stop->grace_ms = tn_setting_integer(&context->settings, SETTING_JOB_GRACE_MS);
        if (options->force != 0)
            stop->grace_ms = 0;
        else if (options->grace_ms > 0)
            stop->grace_ms = options->grace_ms;
        *task = &stop->task;
    }
    return status;
}

/* ---- removing ---- */

struct removal {
    struct tenon_task task;
    tenon_job *job; /* a reference */
    struct lock lock;
    struct timer timer;
    int32_t rounds;
};

static void removal_clear(struct tenon_task *task)
{
    struct removal *removal = TN_CONTAINER(task, struct removal, task);

    if (removal->job != NULL) {
        tn_timer_stop(task->handle.context, &removal->timer);
        tn_lock_release(&removal->lock);
        tn_job_drop(removal->job);
        removal->job = NULL;
    }
}

static tenon_status check_ended(struct removal *removal)
{
    struct failure *failure = &removal->task.failure;
    struct report report;
    tenon_status status;

    tn_report_init(&report, &removal->task.handle.context->memory);
    status = tn_local_report(removal->job, &report, failure);
    if (status == TENON_OK && !tn_state_is_final(report.row.state)) {
        status = tn_fail(failure, TENON_ERROR_BUSY, "the job %s has not ended", removal->job->id);
        tn_hint(failure, "Stop it first.");
    }
    tn_report_clear(&report);
    return status;
}

/* Its supervisor may still be on its way out; AGAIN until it is gone. */
static tenon_status take_lock(struct removal *removal)
{
    const struct local_job *local = removal->job->inside;
    struct failure *failure = &removal->task.failure;
    char *path = tn_local_path(failure->memory, local->folder, LOCAL_LOCK);
    tenon_status status = path != NULL ? tn_lock_try(&removal->lock, path, failure) : tn_fail_memory(failure);

    if (status == TENON_AGAIN && removal->rounds++ >= UNLOCK_ROUNDS)
        status = tn_fail(failure, TENON_ERROR_BUSY, "somebody else holds the job %s", removal->job->id);
    if (status == TENON_AGAIN)
        tn_timer_set(removal->task.handle.context, &removal->timer, UNLOCK_MS, &removal->task.co);
    tn_release(failure->memory, path);
    return status;
}

/* The key is free again, if it is this job that has it. */
static tenon_status give_key(const struct local_job *local, struct failure *failure)
{
    json_t *job = NULL;
    struct text path, name;
    tenon_status status = tn_job_read_file(local->folder, LOCAL_JOB, &job, failure);
    const char *key = tn_json_text_or(job, "key", ""), *own = strrchr(local->folder, '/') + 1;

    tn_text_init(&path, failure->memory, PATH_MAX);
    tn_text_init(&name, failure->memory, PATH_MAX);
    tn_text_format(&path, "%.*s/keys/%s", (int)(own - 1 - local->folder), local->folder, key);
    if (status == TENON_OK && path.failed)
        status = tn_fail_memory(failure);
    if (status == TENON_OK && tn_is_hex(key, 64) && tn_file_exists(tn_text(&path))) {
        status = tn_file_read_whole(tn_text(&path), PATH_MAX, &name, failure);
        if (status == TENON_OK && strcmp(tn_text(&name), own) == 0)
            status = tn_file_remove(tn_text(&path), failure);
    }
    tn_text_clear(&path);
    tn_text_clear(&name);
    json_decref(job);
    return status;
}

/* First out of sight, at one moment; then away. */
static tenon_status take_away(const struct local_job *local, struct failure *failure)
{
    const char *own = strrchr(local->folder, '/') + 1;
    struct text hidden;
    tenon_status status = give_key(local, failure);

    tn_text_init(&hidden, failure->memory, PATH_MAX);
    tn_text_format(&hidden, "%.*s.%s", (int)(own - local->folder), local->folder, own);
    if (status == TENON_OK && hidden.failed)
        status = tn_fail_memory(failure);
    if (status == TENON_OK)
        status = tn_file_rename(local->folder, tn_text(&hidden), failure);
    if (status == TENON_OK)
        status = tn_folder_remove(tn_text(&hidden), failure);
    tn_text_clear(&hidden);
    return status;
}

static tenon_status removal_step(struct co *co)
{
    struct removal *removal = TN_CONTAINER(co, struct removal, task.co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_task_stage(&removal->task, "removing", removal->job->id);
    status = check_ended(removal);
    if (status == TENON_OK)
        AWAIT(co, (status = take_lock(removal)) != TENON_AGAIN);
    if (status == TENON_OK)
        status = take_away(removal->job->inside, &removal->task.failure);
    tn_job_changed(removal->job);
    CO_END(co);
    return status;
}

static const struct operation removal_operation = {
    .name = "removing the job", .size = sizeof(struct removal), .step = removal_step, .clear = removal_clear,
};

tenon_status tn_local_remove_new(tenon_job *job, tenon_task **task)
{
    struct removal *removal = NULL;
    tenon_status status = tn_task_new(job->handle.context, &removal_operation, &removal);

    if (status == TENON_OK) {
        removal->job = tenon_job_ref(job);
        removal->lock.fd = -1;
        *task = &removal->task;
    }
    return status;
}
