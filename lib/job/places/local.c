/* The place "local": its table, and where its jobs are. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "local_job.h"
#include "path.h"

void tn_local_jobs(const struct tenon_context *context, struct text *out)
{
    tn_setting_path(&context->settings, SETTING_JOB_FOLDER, out);
}

/* Adds a job's folder; name is the part of its id behind the colon. */
static void add_folder(const struct tenon_context *context, const char *name, struct text *out)
{
    struct text jobs;

    tn_text_init(&jobs, out->memory, PATH_MAX);
    tn_local_jobs(context, &jobs);
    tn_path_absolute(out, tn_text(&jobs));
    tn_text_format(out, "/%s", name);
    out->failed = out->failed || jobs.failed;
    tn_text_clear(&jobs);
}

bool tn_local_is_name(const char *name)
{
    return tn_is_hex(name, LOCAL_HEX);
}

char *tn_local_path(const struct memory *memory, const char *folder, const char *name)
{
    struct text path;

    tn_text_init(&path, memory, PATH_MAX);
    tn_path_join(&path, folder, name);
    return tn_text_take(&path);
}

tenon_status tn_local_handle(struct tenon_context *context, const char *name, tenon_job **out)
{
    const struct memory *memory = &context->memory;
    struct local_job *local = NULL;
    char id[sizeof "local:" + LOCAL_HEX];
    struct text folder;
    tenon_status status;

    tn_text_init(&folder, memory, PATH_MAX);
    snprintf(id, sizeof id, "local:%s", name);
    add_folder(context, name, &folder);
    if (!folder.failed)
        local = tn_alloc(memory, sizeof *local + folder.length + 1);
    status = local != NULL ? tn_job_new(context, &tn_place_local, id, out) : tn_fail_memory(&context->failure);
    if (status == TENON_OK) {
        memcpy(local->folder, tn_text(&folder), folder.length + 1);
        (*out)->inside = local;
    } else
        tn_release(memory, local);
    tn_text_clear(&folder);
    return status;
}

static tenon_status local_open(struct tenon_context *context, const char *id, tenon_job **out)
{
    const char *name = id + strlen("local:");
    tenon_job *job = NULL;
    struct report report;
    tenon_status status;

    if (!tn_local_is_name(name)) {
        tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "\"%s\" is not the id of a job", id);
        return tn_hint(&context->failure, "An id looks like local:0123456789ab; tenon_job_list gives them.");
    }
    status = tn_local_handle(context, name, &job);
    if (status != TENON_OK)
        return status;
    tn_report_init(&report, &context->memory);
    status = tn_local_report(job, &report, &context->failure);
    tn_report_clear(&report);
    if (status == TENON_OK)
        *out = job;
    else
        tn_job_drop(job);
    return status;
}

static void local_clear(tenon_job *job)
{
    struct tenon_context *context = job->handle.context;
    const struct memory *memory = &context->memory;
    struct local_job *local = job->inside;

    tn_submission_end(job, false);
    tn_probe_clear(job);
    tn_watch_stop(&local->watch);
    tn_timer_stop(context, &local->timer);
    tn_release(memory, local->said);
    tn_release(memory, local->message);
    tn_release(memory, local->hint);
    tn_release(memory, local);
    job->inside = NULL;
}

/* ---- the log ---- */

static tenon_status read_log(tenon_job *job, int64_t offset, char *bytes, size_t size, size_t *got, struct failure *failure)
{
    const struct local_job *local = job->inside;
    char *path = tn_local_path(&job->handle.context->memory, local->folder, LOCAL_LOG);
    struct file_facts facts = { 0 };
    tenon_status status = TENON_OK;
    int fd = -1;

    *got = 0;
    if (path == NULL)
        return tn_fail_memory(failure);
    if (tn_file_exists(path)) {
        fd = tn_file_open(path, FILE_READ, failure);
        status = fd >= 0 ? tn_file_read_at(fd, bytes, size, offset, got, path, failure) : failure->status;
        tn_file_close(&fd);
    } else {
        status = tn_file_look(local->folder, &facts, failure);
        if (status == TENON_OK && !facts.folder)
            status = tn_fail(failure, TENON_ERROR_NOT_FOUND, "the job %s was removed", job->id);
    }
    tn_release(&job->handle.context->memory, path);
    return status;
}

static tenon_status log_size(tenon_job *job, int64_t *size, struct failure *failure)
{
    const struct local_job *local = job->inside;
    char *path = tn_local_path(&job->handle.context->memory, local->folder, LOCAL_LOG);
    struct file_facts facts;
    tenon_status status = path != NULL ? tn_file_look(path, &facts, failure) : tn_fail_memory(failure);

    if (status == TENON_OK)
        *size = facts.exists ? facts.bytes : 0;
    tn_release(&job->handle.context->memory, path);
    return status;
}

/* ---- where it serves ---- */

static tenon_status not_ready(const tenon_job *job, const tenon_job_report *row, struct failure *failure)
{
    tenon_status status;

    if (row->mode != TENON_MODE_SERVE || (row->state == TENON_JOB_RUNNING && *row->address == '\0')) {
        status = tn_fail(failure, TENON_ERROR_BUSY, "the job %s serves at no address", job->id);
        tn_hint(failure, "Only a job that was started to serve, with a port, can be talked to.");
    } else if (tn_state_is_final(row->state)) {
        status = tn_fail(failure, TENON_ERROR_BUSY, "the job %s has ended%s%s", job->id, *row->message != '\0' ? ": " : "",
                         row->message);
        tn_hint(failure, "Serve the model again.");
    } else {
        status = tn_fail(failure, TENON_ERROR_BUSY, "the job %s is not ready: %s", job->id, row->stage);
        tn_hint(failure, "Wait for it: tenon_job_wait with TENON_JOB_RUNNING.");
    }
    return status;
}

static tenon_status read_key(const struct local_job *local, struct text *key, struct failure *failure)
{
    json_t *spec = NULL;
    tenon_status status = tn_job_read_file(local->folder, LOCAL_SPEC, &spec, failure);

    if (status == TENON_OK)
        tn_text_add(key, tn_json_text_or(spec, "key", ""));
    json_decref(spec);
    return status;
}

static tenon_status endpoint(tenon_job *job, struct text *address, struct text *key, struct failure *failure)
{
    struct report report;
    tenon_status status;

    tn_report_init(&report, &job->handle.context->memory);
    status = tn_local_report(job, &report, failure);
    if (status == TENON_OK && (report.row.state != TENON_JOB_RUNNING || *report.row.address == '\0'))
        status = not_ready(job, &report.row, failure);
    if (status == TENON_OK) {
        tn_text_add(address, report.row.address);
        status = read_key(job->inside, key, failure);
    }
    tn_report_clear(&report);
    return status;
}

const struct place tn_place_local = {
    .name = "local",
    .submit = tn_local_submit,
    .open = local_open,
    .clear = local_clear,
    .report = tn_local_report,
    .follow = tn_local_follow,
    .read_log = read_log,
    .log_size = log_size,
    .endpoint = endpoint,
    .stop_new = tn_local_stop_new,
    .remove_new = tn_local_remove_new,
    .outputs_new = tn_local_outputs_new,
    .list_new = tn_local_list_new,
    .check_new = tn_local_check_new,
};
