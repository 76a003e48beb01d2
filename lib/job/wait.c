/* tenon_job_wait and tenon_job_watch. */
#include <string.h>

#include "place.h"

struct wait {
    struct tenon_task task;
    tenon_job *job; /* a reference */
    struct follower follower;
    int32_t until;
    bool given;
    uint64_t mark;  /* of the report that was given last */
};

static void wait_clear(struct tenon_task *task)
{
    struct wait *wait = TN_CONTAINER(task, struct wait, task);

    if (wait->job != NULL) {
        tn_job_unfollow(wait->job, &wait->follower);
        tn_job_drop(wait->job);
        wait->job = NULL;
    }
}

/* A job that is stopping will not reach anything but its end. */
static bool has_reached(const struct wait *wait, int32_t state)
{
    return state >= wait->until && (state != TENON_JOB_STOPPING || wait->until == TENON_JOB_STOPPING);
}

/* What the state that it came to means for who waits. */
static tenon_status conclude(struct wait *wait, const tenon_job_report *row)
{
    struct failure *failure = &wait->task.failure;
    tenon_status status = TENON_OK;

    if (row->state == TENON_JOB_FAILED)
        status = tn_fail(failure, TENON_ERROR_FAILED, "%s", row->message);
    else if (row->state == TENON_JOB_CANCELLED)
        status = tn_fail(failure, TENON_ERROR_CANCELLED, "%s", row->message);
    else
        status = tn_task_set_text(&wait->task, row->address);
    if (status != TENON_OK && *row->hint != '\0')
        tn_hint(failure, "%s", row->hint);
    return status;
}

/* Looks once: TENON_AGAIN when it is not yet time. */
static tenon_status look_and_wait(struct wait *wait)
{
    struct report report;
    tenon_status status;

    tn_report_init(&report, &wait->task.handle.context->memory);
    status = wait->job->place->report(wait->job, &report, &wait->task.failure);
    if (status == TENON_OK) {
        tn_task_stage(&wait->task, "waiting", report.row.stage);
        if (has_reached(wait, report.row.state) || tn_state_is_final(report.row.state))
            status = conclude(wait, &report.row);
        else
            status = TENON_AGAIN;
    }
    tn_report_clear(&report);
    return status;
}

static tenon_status wait_step(struct co *co)
{
    struct wait *wait = TN_CONTAINER(co, struct wait, task.co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_job_follow(wait->job, &wait->follower, co, false);
    AWAIT(co, (status = look_and_wait(wait)) != TENON_AGAIN);
    CO_END(co);
    return status;
}

static const struct operation wait_operation = {
    .name = "waiting for the job", .size = sizeof(struct wait), .step = wait_step, .clear = wait_clear,
};

/* Gives a row when there is something new; TENON_AGAIN until the end, and while there is no room. */
static tenon_status look_and_tell(struct wait *wait)
{
    struct report report;
    tenon_status status;

    if (!tn_task_has_room(&wait->task))
        return TENON_AGAIN;
    tn_report_init(&report, &wait->task.handle.context->memory);
    status = wait->job->place->report(wait->job, &report, &wait->task.failure);
    if (status == TENON_OK && (!wait->given || tn_report_mark(&report) != wait->mark)) {
        wait->given = true;
        wait->mark = tn_report_mark(&report);
        status = tn_task_push(&wait->task, &report.row);
    }
    if (status == TENON_OK && !tn_state_is_final(report.row.state))
        status = TENON_AGAIN;
    tn_report_clear(&report);
    return status;
}

static tenon_status watch_step(struct co *co)
{
    struct wait *wait = TN_CONTAINER(co, struct wait, task.co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_job_follow(wait->job, &wait->follower, co, false);
    AWAIT(co, (status = look_and_tell(wait)) != TENON_AGAIN);
    CO_END(co);
    return status;
}

static const struct operation watch_operation = {
    .name = "watching the job", .size = sizeof(struct wait), .row = &tn_row_report, .step = watch_step, .clear = wait_clear,
};

static tenon_status make(tenon_job *job, const struct operation *operation, int32_t until, tenon_task **task)
{
    struct wait *wait = NULL;
    tenon_status status = tn_task_new(job->handle.context, operation, &wait);

    if (status == TENON_OK) {
        wait->job = tenon_job_ref(job);
        wait->until = until;
        *task = &wait->task;
    }
    return status;
}

static bool is_state(int32_t state)
{
    return state >= TENON_JOB_SUBMITTING && state <= TENON_JOB_CANCELLED && state % 10 == 0;
}

tenon_status tn_job_wait_new(tenon_job *job, int32_t until, tenon_task **task)
{
    struct failure *failure = &job->handle.context->failure;

    if (!is_state(until)) {
        tn_fail(failure, TENON_ERROR_ARGUMENT, "%d is no state of a job", (int)until);
        return tn_hint(failure, "Use one of TENON_JOB_SUBMITTING ... TENON_JOB_SUCCEEDED.");
    }
    return make(job, &wait_operation, until, task);
}

tenon_status tenon_job_wait(tenon_job *job, int32_t until, tenon_task **task)
{
    tenon_task *made = NULL;
    tenon_status status = job != NULL ? tn_enter(job->handle.context) : TENON_ERROR_MISUSE;

    if (status != TENON_OK)
        return status;
    status = tn_job_wait_new(job, until, &made);
    if (status == TENON_OK)
        status = tn_task_launch(made, task);
    return tn_leave(job->handle.context, status);
}

tenon_status tenon_job_watch(tenon_job *job, tenon_task **task)
{
    tenon_task *made = NULL;
    tenon_status status = job != NULL ? tn_enter(job->handle.context) : TENON_ERROR_MISUSE;

    if (status != TENON_OK)
        return status;
    status = make(job, &watch_operation, 0, &made);
    if (status == TENON_OK)
        status = tn_task_launch(made, task);
    return tn_leave(job->handle.context, status);
}
