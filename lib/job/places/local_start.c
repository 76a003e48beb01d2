/* Starting a supervisor, which then has the job to itself. */
#include <limits.h>
#include <string.h>

#include "file.h"
#include "local_job.h"
#include "path.h"

#define SUPERVISOR "tenon-supervisor"
#ifndef TENON_SUPERVISOR_FROM_LIBRARY
#define TENON_SUPERVISOR_FROM_LIBRARY SUPERVISOR
#endif

/* As seen from this library: beside it in a build, and in libexec of an installed tree, wherever that was moved to. */
static bool near_library(struct text *out)
{
    static const char *const places[] = { SUPERVISOR, TENON_SUPERVISOR_FROM_LIBRARY };
    bool there = false;

    for (size_t i = 0; i < sizeof places / sizeof places[0] && !there; i++) {
        tn_text_reset(out);
        tn_library_folder(out);
        if (out->length > 0) {
            tn_path_join(out, "", places[i]);
            there = tn_file_exists(tn_text(out));
        }
    }
    return there;
}

/* The caller's word counts; else the one that came with this library; else the one that was installed with it. */
bool tn_local_supervisor(const struct tenon_context *context, struct text *out)
{
    const struct settings *settings = &context->settings;
    bool said = settings->values[SETTING_JOB_SUPERVISOR] != NULL || settings->environment[SETTING_JOB_SUPERVISOR] != NULL;
    struct text found;

    tn_text_init(&found, out->memory, PATH_MAX);
    if (said || !near_library(&found)) {
        tn_text_reset(&found);
        tn_setting_path(settings, SETTING_JOB_SUPERVISOR, &found);
    }
    if (found.length > 0)
        tn_path_absolute(out, tn_text(&found));
    out->failed = out->failed || found.failed;
    tn_text_clear(&found);
    return !out->failed && out->length > 0 && tn_file_exists(tn_text(out));
}

static tenon_status no_supervisor(const struct text *path, struct failure *failure)
{
    tn_fail(failure, TENON_ERROR_NOT_FOUND, "the program %s that runs local jobs is not there: %s", SUPERVISOR, tn_text(path));
    return tn_hint(failure, "Install it with tenon, or name it in the setting job.supervisor (TENON_SUPERVISOR).");
}

static int open_log(const char *folder, struct failure *failure)
{
    char *path = tn_local_path(failure->memory, folder, LOCAL_SUPERVISOR_LOG);
    int fd = path != NULL ? tn_file_open(path, FILE_APPEND, failure) : -1;

    if (path == NULL)
        tn_fail_memory(failure);
    tn_release(failure->memory, path);
    return fd;
}

/* It leaves us at once and goes on by itself; what we have started ends, and is waited for, so that the host hears nothing. */
static tenon_status run(const struct tenon_context *context, const char *program, const char *folder, int lock, int log,
                        struct failure *failure)
{
    const char *const arguments[] = { SUPERVISOR, "watch", folder, NULL };
    const struct process_plan plan = { .program = program, .arguments = arguments, .folder = "/", .input = lock, .output = log,
                                       .environment = tn_settings_inherited(&context->settings), .session = true };
    struct process process;
    tenon_status status = tn_process_start(&plan, &process, failure);
    int code = status == TENON_OK ? tn_process_reap(&process) : 0;

    if (code == EXIT_DISK) {
        status = tn_fail(failure, TENON_ERROR_DISK_FULL, "the disk of %s is full, and the job was not started", folder);
        tn_hint(failure, "Free some space, or set job.folder (TENON_JOBS) to a folder on another disk.");
    } else if (code > 0) {
        status = tn_fail(failure, TENON_ERROR_FAILED, "%s ended with exit code %d", program, code);
        tn_hint(failure, "%s/%s may say why.", folder, LOCAL_SUPERVISOR_LOG);
    }
    return status;
}

tenon_status tn_local_start(struct tenon_context *context, const char *folder, struct lock *lock, struct failure *failure)
{
    struct text program;
    tenon_status status = TENON_OK;
    int log = -1;

    tn_text_init(&program, &context->memory, PATH_MAX);
    if (!tn_local_supervisor(context, &program))
        status = program.failed ? tn_fail_memory(failure) : no_supervisor(&program, failure);
    else {
        log = open_log(folder, failure);
        status = log >= 0 ? run(context, tn_text(&program), folder, lock->fd, log, failure) : failure->status;
    }
    if (status == TENON_OK)
        tn_lock_release(lock);
    tn_file_close(&log);
    tn_text_clear(&program);
    return status;
}
