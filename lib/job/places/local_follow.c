/* The coroutine of a local job's handle: it notices what changes in the folder, and finds out when a server is ready. */
#include <string.h>

#include "file.h"
#include "json.h"
#include "local_job.h"

enum {
    LOOK_MS = 2000, /* the system tells of changes at once; this is for what it does not tell */
    PROBE_FIRST_MS = 50,
    PROBE_LONGEST_MS = 1000,
    YOUNG_MS = 100
};

/* Somebody wants to know; or it is still to be submitted or to become ready, which nobody else may be there to see to. */
static bool goes_on(const tenon_job *job)
{
    const struct local_job *local = job->inside;

    return !local->over && (tn_job_is_followed(job) || local->submission != NULL || local->must_probe);
}

/*
 * True where state.json may be another one than at the last look. The time of a file is coarse: one that was young then is
 * not trusted to be the same now.
 */
static bool has_new_state(struct local_job *local, const struct tenon_context *context)
{
    const struct memory *memory = &context->memory;
    char *path = tn_local_path(memory, local->folder, LOCAL_STATE);
    struct file_facts facts = { .exists = false };
    struct failure ignored;
    bool is_new = true;

    tn_failure_init(&ignored, memory, NULL);
    if (path != NULL && tn_file_look(path, &facts, &ignored) == TENON_OK) {
        int64_t age = tn_wall(context) - facts.modified_ms;

        is_new = local->was_young || facts.inode != local->file_id || facts.modified_ns != local->file_time;
        local->was_young = facts.exists && age < YOUNG_MS && age > -YOUNG_MS;
        local->file_id = facts.inode;
        local->file_time = facts.modified_ns;
    }
    tn_failure_clear(&ignored);
    tn_release(memory, path);
    return is_new;
}

/* ---- becoming ready ---- */

/* A server that has had its time is asked to end. */
static void give_up_waiting(tenon_job *job, const struct report *report, struct failure *failure)
{
    const struct local_job *local = job->inside;
    int64_t most = tn_json_integer(report->state, "ready_ms", 0), since = report->row.started_ms;

    if (most > 0 && since > 0 && tn_wall(job->handle.context) - since > most)
        tn_local_ask_to_stop(local->folder, "health", local->said, -1, failure);
}

/* Asks the server when it is time to, at growing intervals. */
static void see_to_probe(tenon_job *job, const struct report *report, struct failure *failure)
{
    struct local_job *local = job->inside;
    int64_t now = tn_now(job->handle.context);

    local->must_probe = report->row.state == TENON_JOB_STARTING && strcmp(report->row.stage, "loading") == 0;
    if (!local->must_probe || local->probe != NULL || now < local->probe_due_ms)
        return;
    give_up_waiting(job, report, failure);
    if (local->probe_pause_ms == 0)
        local->probe_pause_ms = PROBE_FIRST_MS;
    local->probe_due_ms = now + local->probe_pause_ms;
    local->probe_pause_ms = 2 * local->probe_pause_ms < PROBE_LONGEST_MS ? 2 * local->probe_pause_ms : PROBE_LONGEST_MS;
    tn_probe_start(job, report);
}

/* ---- looking ---- */

/* Reads the folder, and tells those who follow when something is new. */
static void look(tenon_job *job, bool revive)
{
    struct local_job *local = job->inside;
    struct tenon_context *context = job->handle.context;
    struct failure failure;
    struct report report;
    tenon_status status;
    uint64_t mark;

    tn_failure_init(&failure, &context->memory, &context->secrets);
    tn_report_init(&report, &context->memory);
    status = tn_local_look(context, local->folder, revive, &report, &failure);
    if (status == TENON_OK)
        see_to_probe(job, &report, &failure);
    /* Without memory, or descriptors, there is another look to come; a job that was removed is over. */
    local->over = status == TENON_ERROR_NOT_FOUND || (status == TENON_OK && tn_state_is_final(report.row.state)) ||
                  local->cause != 0;
    local->supervisor = tn_local_process(report.state, "supervisor");
    mark = tn_report_mark(&report);
    if (mark != local->mark || local->over)
        tn_job_changed(job);
    local->mark = mark;
    tn_report_clear(&report);
    tn_failure_clear(&failure);
}

/* What there is to do each time that somebody wakes us: a change in the folder, the timer, the submission, the probe. */
static void look_around(tenon_job *job)
{
    struct local_job *local = job->inside;
    struct tenon_context *context = job->handle.context;
    int64_t now = tn_now(context);
    bool due = now >= local->look_due_ms, orphan = false, fresh;

    if (local->submission != NULL && !tn_co_running(tn_submission_co(local->submission)))
        tn_submission_end(job, false);
    fresh = tn_probe_take(job) || local->must_probe || local->cause != 0;
    fresh = has_new_state(local, context) || fresh;
    if (due) {
        local->look_due_ms = now + LOOK_MS;
        orphan = local->submission == NULL && !tn_process_alive(&local->supervisor);
    }
    if (fresh || orphan)
        look(job, orphan);
    tn_job_log_changed(job);
}

static void rest(tenon_job *job)
{
    struct local_job *local = job->inside;
    struct tenon_context *context = job->handle.context;
    int64_t due = local->look_due_ms;

    if (local->must_probe && local->probe == NULL && local->probe_due_ms < due)
        due = local->probe_due_ms;
    local->rounds = 0;
    tn_timer_set(context, &local->timer, due - tn_now(context), &job->co);
}

tenon_status tn_local_follow(struct co *co)
{
    struct tenon_job *job = TN_CONTAINER(co, struct tenon_job, co);
    struct local_job *local = job->inside;

    CO_BEGIN(co);
    tn_watch_folder(&local->watch, co->context, local->folder, co);
    local->look_due_ms = 0;
    local->over = false;
    look_around(job);
    while (goes_on(job)) {
        rest(job);
        /* Whoever wakes us has a reason to; so the first step after this one goes on. */
        AWAIT(co, local->rounds++ > 0);
        look_around(job);
    }
    tn_watch_stop(&local->watch);
    tn_timer_stop(co->context, &local->timer);
    tn_job_changed(job);
    CO_END(co);
    return TENON_OK;
}
