/*
 * The folder of a local job, as an earlier or later version, a crash or somebody's editor may have left it: its files stand in
 * the input, as fuzz.h says. Whoever looks gets a report that is sound, or an error in words; and what a
 * supervisor reads of it is whole or refused.
 */
#include "fuzz.h"

#include <limits.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "job.h"
#include "local_job.h"
#include "supervisor/spec.h"

static void check_row(const tenon_job_report *row)
{
    const char *const lines[] = { row->id, row->name, row->stage, row->message, row->place_state };

    HOLDS(row->state >= TENON_JOB_UNKNOWN && row->mode >= TENON_MODE_UNKNOWN && row->cause >= TENON_CAUSE_NONE);
    for (size_t i = 0; i < COUNT(lines); i++)
        HOLDS(lines[i] == NULL || fuzz_is_utf8(lines[i]));
}

static void look(tenon_context *context, const char *folder)
{
    struct failure failure;
    struct report report;
    tenon_status status;

    tn_failure_init(&failure, fuzz_memory(), NULL);
    for (int revive = 0; revive < 2; revive++) {
        tn_report_init(&report, fuzz_memory());
        status = tn_local_look(context, folder, revive != 0, &report, &failure);
        if (status == TENON_OK)
            check_row(&report.row);
        else
            HOLDS(status < 0 && fuzz_is_clean(failure.message) && fuzz_is_clean(failure.hint));
        tn_report_clear(&report);
    }
    tn_failure_clear(&failure);
}

static void supervise(const char *folder)
{
    struct failure failure;
    struct spec spec;
    struct arena arena;
    struct environment environment;
    const char *const *command = NULL;

    tn_failure_init(&failure, fuzz_memory(), NULL);
    tn_arena_init(&arena, fuzz_memory());
    if (spec_read(&spec, folder, &failure) == TENON_OK) {
        HOLDS(spec.id != NULL && spec.home != NULL && spec.output != NULL && spec.port >= -1 && spec.port <= 65535);
        if (spec_expand(&spec, 8000, &arena, &command, &environment, &failure) == TENON_OK)
            HOLDS(command[0] != NULL);
        spec_clear(&spec);
    }
    HOLDS(fuzz_is_clean(failure.message));
    tn_arena_clear(&arena);
    tn_failure_clear(&failure);
}

/* As a caller meets it. */
static void ask(tenon_context *context)
{
    tenon_job_report report = { .struct_size = sizeof report };
    tenon_job_report row = { .struct_size = sizeof row };
    tenon_log_line line = { .struct_size = sizeof line };
    tenon_job *job = NULL;
    tenon_task *task = NULL;
    tenon_status status;

    if (tenon_job_open(context, "local:0123456789ab", &job) == TENON_OK) {
        if (tenon_job_status(job, &report) == TENON_OK)
            check_row(&report);
        status = tenon_job_logs(job, NULL, &task);
        while (fuzz_goes_on(status)) {
            status = tenon_task_next_log_line(task, 0, &line);
            if (status == TENON_OK)
                HOLDS(fuzz_is_utf8(line.text));
        }
        fuzz_finish(task);
    }
    tenon_job_free(job);
    task = NULL;
    HOLDS(tenon_job_list(context, NULL, &task) == TENON_OK);
    do {
        status = tenon_task_next_report(task, 0, &row);
        if (status == TENON_OK)
            check_row(&row);
    } while (fuzz_goes_on(status));
    fuzz_finish(task);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char folder[PATH_MAX];
    tenon_context *context;

    fuzz_empty_folder();
    snprintf(folder, sizeof folder, "%s/home/.local/state/tenon/jobs/0123456789ab", fuzz_folder());
    if (!fuzz_lay_out(folder, bytes, size))
        return -1;
    context = fuzz_context();
    look(context, folder);
    supervise(folder);
    ask(context);
    tenon_context_free(context);
    return 0;
}
