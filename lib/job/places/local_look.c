/* What a job's folder says, and seeing to it that somebody watches over the job. */
#include <string.h>

#include "file.h"
#include "json.h"
#include "local_job.h"

/* ---- who is responsible ---- */

static tenon_status has_file(const char *folder, const char *name, bool *found, struct failure *failure)
{
    char *path = tn_local_path(failure->memory, folder, name);
    tenon_status status = path != NULL ? TENON_OK : tn_fail_memory(failure);

    *found = path != NULL && tn_file_exists(path);
    tn_release(failure->memory, path);
    return status;
}

static tenon_status try_lock(const struct memory *memory, const char *folder, struct lock *lock, struct failure *failure)
{
    char *path = tn_local_path(memory, folder, LOCAL_LOCK);
    tenon_status status = path != NULL ? tn_lock_try(lock, path, failure) : tn_fail_memory(failure);

    tn_release(memory, path);
    return status;
}

/* Is there anything for a supervisor to do? Asked while the lock is held, so that the answer stays true. */
static tenon_status wants_supervisor(const char *folder, bool *wants, struct failure *failure)
{
    json_t *state = NULL;
    tenon_status status = tn_job_read_file(folder, LOCAL_STATE, &state, failure);

    if (status == TENON_OK)
        *wants = strcmp(tn_json_text_or(state, "phase", ""), PHASE_ENDED) != 0;
    else if (status == TENON_ERROR_NOT_FOUND)
        status = has_file(folder, LOCAL_SPEC, wants, failure);
    json_decref(state);
    return status;
}

/*
 * Starts a supervisor where there is none. True when somebody is responsible now: the lock was held, or a supervisor has
 * been started; false when the job was left to itself. Where that cannot be told, without memory, nobody gives it up.
 */
static bool make_sure(struct tenon_context *context, const char *folder)
{
    struct failure failure;
    struct lock lock = { -1 };
    bool sure = true;

    tn_failure_init(&failure, &context->memory, &context->secrets);
    if (try_lock(&context->memory, folder, &lock, &failure) == TENON_OK) {
        bool known = wants_supervisor(folder, &sure, &failure) == TENON_OK;

        sure = sure || !known;
        if (sure && known && tn_local_start(context, folder, &lock, &failure) != TENON_OK)
            tn_log(context, TENON_LOG_WARNING, "job", "nobody watches over %s: %s", folder,
                   failure.message != NULL ? failure.message : "");
        tn_lock_release(&lock);
    }
    tn_failure_clear(&failure);
    return sure;
}

/* ---- what the files say ---- */

/* No supervisor has spoken yet: it is being submitted, or whoever did that is gone. */
static tenon_status look_unstarted(struct tenon_context *context, const char *folder, bool revive, struct report *report,
                                   struct failure *failure)
{
    json_t *job = NULL;
    tenon_status status = tn_job_read_file(folder, LOCAL_JOB, &job, failure);

    if (status != TENON_OK)
        return status;
    report->state = tn_local_state_new(job);
    json_decref(job);
    if (report->state == NULL)
        return tn_fail_memory(failure);
    report->row.state = TENON_JOB_SUBMITTING;
    report->row.stage = "submitting";
    if (revive && !make_sure(context, folder)) {
        bool ended = false;

        /* It may have been started, and have ended, since we looked. */
        status = has_file(folder, LOCAL_STATE, &ended, failure);
        if (status != TENON_OK || ended)
            return status != TENON_OK ? status : TENON_AGAIN;
        report->row.state = TENON_JOB_FAILED;
        report->row.cause = TENON_CAUSE_LOST;
        report->row.retry_helps = 1;
        report->row.stage = "failed";
        report->row.message = "the program that submitted the job ended before it was submitted";
        report->row.hint = "Submit it again; with the same key it becomes the same job.";
    }
    return TENON_OK;
}

static void set_live_state(const char *phase, bool is_ready, struct report *report)
{
    tenon_job_report *row = &report->row;
    bool waits = row->mode == TENON_MODE_SERVE && tn_json_integer(report->state, "port", 0) > 0 && !is_ready;

    row->state = TENON_JOB_STARTING;
    row->stage = "starting";
    if (strcmp(phase, PHASE_STOPPING) == 0) {
        row->state = TENON_JOB_STOPPING;
        row->stage = "stopping";
    } else if (strcmp(phase, PHASE_RUNNING) == 0 && waits)
        row->stage = "loading";
    else if (strcmp(phase, PHASE_RUNNING) == 0) {
        row->state = TENON_JOB_RUNNING;
        row->stage = "running";
    }
    row->process = tn_local_process(report->state, "process").id;
}

static int32_t int32_of(const json_t *state, const char *key, int32_t other)
{
    int64_t number = tn_json_integer(state, key, other);

    return number >= INT32_MIN && number <= INT32_MAX ? (int32_t)number : other;
}

static void set_end(struct report *report)
{
    tenon_job_report *row = &report->row;
    const json_t *state = report->state;

    row->state = tn_result_number(tn_json_text(state, "result"));
    row->stage = tn_result_word(row->state);
    row->cause = tn_cause_number(tn_json_text(state, "cause"));
    row->message = tn_json_text_or(state, "message", "");
    row->hint = tn_json_text_or(state, "hint", "");
    row->last_lines = tn_json_text_or(state, "last_lines", "");
    row->retry_helps = int32_of(state, "retry_helps", 0);
    /* A file that was damaged, or a later version's: nobody must wait for an end that was. */
    if (!tn_state_is_final(row->state)) {
        row->state = TENON_JOB_FAILED;
        row->stage = "failed";
        row->cause = TENON_CAUSE_LOST;
        row->message = "the job has ended, and it is not known how";
    }
}

/* What does not depend on how far it is. */
static tenon_status set_facts(struct report *report, struct failure *failure)
{
    tenon_job_report *row = &report->row;
    const json_t *state = report->state;

    row->id = tn_json_text_or(state, "id", "");
    row->name = tn_json_text_or(state, "name", "");
    row->model = tn_json_text_or(state, "model", "");
    row->accelerator = tn_json_text_or(state, "accelerator", "");
    row->address = tn_json_text_or(state, "address", "");
    row->output = tn_json_text_or(state, "output", "");
    row->place_state = tn_json_text_or(state, "phase", "");
    row->submitted_ms = tn_json_integer(state, "submitted_ms", -1);
    row->started_ms = tn_json_integer(state, "started_ms", -1);
    row->ended_ms = tn_json_integer(state, "ended_ms", -1);
    row->peak_memory_bytes = tn_json_integer(state, "peak_memory_bytes", -1);
    row->exit_code = int32_of(state, "exit_code", -1);
    row->signal = int32_of(state, "signal", 0);
    row->mode = tn_mode_number(tn_json_text(state, "mode"));
    report->json = tn_json_write(report->memory, state);
    row->json = report->json;
    return report->json != NULL ? TENON_OK : tn_fail_memory(failure);
}

static tenon_status look_once(struct tenon_context *context, const char *folder, bool revive, struct report *report,
                              struct failure *failure)
{
    tenon_status status = tn_job_read_file(folder, LOCAL_STATE, &report->state, failure);
    bool started = status == TENON_OK, is_ready = false;
    struct process supervisor;
    const char *phase;

    if (status == TENON_ERROR_NOT_FOUND) {
        /* Whoever asks for the error of a task that goes on must not hear of it. */
        tn_failure_clear(failure);
        status = look_unstarted(context, folder, revive, report, failure);
    }
    if (status == TENON_OK)
        status = set_facts(report, failure);
    if (status != TENON_OK || !started)
        return status;
    phase = tn_json_text_or(report->state, "phase", "");
    if (strcmp(phase, PHASE_ENDED) == 0) {
        set_end(report);
        return TENON_OK;
    }
    status = has_file(folder, LOCAL_READY, &is_ready, failure);
    if (status != TENON_OK)
        return status;
    set_live_state(phase, is_ready, report);
    supervisor = tn_local_process(report->state, "supervisor");
    /* Its own word is cheap; the lock decides, also for one in another container or on another machine. */
    if (revive && !tn_process_alive(&supervisor) && !make_sure(context, folder))
        return TENON_AGAIN;
    return TENON_OK;
}

tenon_status tn_local_look(struct tenon_context *context, const char *folder, bool revive, struct report *report,
                           struct failure *failure)
{
    tenon_status status = look_once(context, folder, revive, report, failure);

    /* It changed while we looked; a job ends only once. */
    if (status == TENON_AGAIN) {
        tn_report_clear(report);
        status = look_once(context, folder, false, report, failure);
    }
    if (status == TENON_ERROR_NOT_FOUND) {
        tn_fail(failure, TENON_ERROR_NOT_FOUND, "there is no job local:%s", strrchr(folder, '/') + 1);
        tn_hint(failure, "It may have been removed; tenon_job_list gives those that there are.");
    }
    return status;
}

/* ---- a handle that submits it ---- */

static void set_submission(const struct local_job *local, struct report *report)
{
    report->row.state = TENON_JOB_SUBMITTING;
    report->row.stage = tn_submission_stage(local->submission);
}

static void set_failed_submission(const struct local_job *local, struct report *report)
{
    report->row.state = TENON_JOB_FAILED;
    report->row.stage = "failed";
    report->row.cause = local->cause;
    report->row.message = local->message != NULL ? local->message : "the job could not be submitted";
    report->row.hint = local->hint != NULL ? local->hint : "";
}

tenon_status tn_local_report(tenon_job *job, struct report *report, struct failure *failure)
{
    const struct local_job *local = job->inside;
    tenon_status status = tn_local_look(job->handle.context, local->folder, local->submission == NULL, report, failure);

    /* What this handle remembers of its submission counts as long as the folder says nothing. */
    if (status == TENON_OK && local->submission != NULL)
        set_submission(local, report);
    else if (status == TENON_OK && local->cause != TENON_CAUSE_NONE && *report->row.place_state == '\0')
        set_failed_submission(local, report);
    return status;
}
