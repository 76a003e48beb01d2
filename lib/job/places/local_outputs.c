/* tenon_job_outputs on this machine: every file below the job's output folder, sorted. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "local_job.h"
#include "path.h"

enum { DEEPEST = 64, FILES_AT_ONCE = 256 };

struct outputs {
    struct tenon_task task;
    tenon_job *job;     /* a reference */
    const char *folder;
    const char **paths; /* below the folder; in the task's arena */
    size_t count;
    size_t room;
    size_t next;
};

static void outputs_clear(struct tenon_task *task)
{
    struct outputs *outputs = TN_CONTAINER(task, struct outputs, task);

    tn_job_drop(outputs->job);
    outputs->job = NULL;
    tn_release(&task->handle.context->memory, outputs->paths);
    outputs->paths = NULL;
}

static tenon_status add_path(struct outputs *outputs, const char *path)
{
    const struct memory *memory = &outputs->task.handle.context->memory;
    char *copy = tn_arena_copy(&outputs->task.arena, path);

    if (copy != NULL && outputs->count == outputs->room) {
        size_t room = outputs->room == 0 ? 32 : 2 * outputs->room;
        const char **paths = tn_resize(memory, outputs->paths, room * sizeof *paths);

        if (paths != NULL) {
            outputs->paths = paths;
            outputs->room = room;
        } else
            copy = NULL;
    }
    if (copy == NULL)
        return tn_fail_memory(&outputs->task.failure);
    outputs->paths[outputs->count++] = copy;
    return TENON_OK;
}

static tenon_status read_folder(struct outputs *outputs, const char *below, int depth);

/* A file is listed, a folder is entered; a link is listed where it leads to a file, and never entered. */
static tenon_status look_at(struct outputs *outputs, const char *path, int depth)
{
    struct failure *failure = &outputs->task.failure;
    struct file_facts facts, target;
    struct text full;
    tenon_status status;

    tn_text_init(&full, &outputs->task.handle.context->memory, PATH_MAX);
    tn_path_join(&full, outputs->folder, path);
    /* A name that is too long to be opened by its path is left out. */
    if (full.failed && !full.full)
        status = tn_fail_memory(failure);
    else
        status = full.full ? TENON_OK : tn_file_look_at_link(tn_text(&full), &facts, failure);
    if (status == TENON_OK && !full.full && facts.folder)
        status = read_folder(outputs, path, depth + 1);
    else if (status == TENON_OK && !full.full && tn_file_look(tn_text(&full), &target, failure) == TENON_OK && target.regular)
        status = add_path(outputs, path);
    tn_text_clear(&full);
    return status;
}

static tenon_status read_folder(struct outputs *outputs, const char *below, int depth)
{
    struct failure *failure = &outputs->task.failure;
    struct folder folder = { NULL };
    struct text path;
    const char *name;
    tenon_status status;

    if (depth > DEEPEST)
        return TENON_OK;
    tn_text_init(&path, &outputs->task.handle.context->memory, PATH_MAX);
    tn_path_join(&path, outputs->folder, below);
    status = path.failed ? tn_fail_memory(failure) : tn_folder_open(&folder, tn_text(&path), failure);
    while (status == TENON_OK && (name = tn_folder_next(&folder)) != NULL) {
        tn_text_reset(&path);
        tn_path_join(&path, below, name);
        if (path.failed && !path.full)
            status = tn_fail_memory(failure);
        else
            status = path.full ? TENON_OK : look_at(outputs, tn_text(&path), depth);
    }
    tn_folder_close(&folder);
    tn_text_clear(&path);
    return status;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static tenon_status find_files(struct outputs *outputs)
{
    struct failure *failure = &outputs->task.failure;
    struct report report;
    tenon_status status;

    tn_report_init(&report, &outputs->task.handle.context->memory);
    status = tn_local_report(outputs->job, &report, failure);
    if (status == TENON_OK) {
        outputs->folder = tn_arena_copy(&outputs->task.arena, report.row.output);
        status = outputs->folder != NULL ? tn_task_set_text(&outputs->task, outputs->folder) : tn_fail_memory(failure);
    }
    /* There is none before the job is submitted. */
    if (status == TENON_OK && tn_folder_exists(outputs->folder))
        status = read_folder(outputs, "", 0);
    if (outputs->count > 1)
        qsort(outputs->paths, outputs->count, sizeof *outputs->paths, compare);
    tn_report_clear(&report);
    return status;
}

static tenon_status push_file(struct outputs *outputs, const char *path)
{
    tenon_file row = { .struct_size = sizeof row, .kind = TENON_FILE_REGULAR, .path = path, .modified_ms = -1 };
    struct file_facts facts;
    struct text full;
    tenon_status status;

    tn_text_init(&full, &outputs->task.handle.context->memory, PATH_MAX);
    tn_path_join(&full, outputs->folder, path);
    status = full.failed ? tn_fail_memory(&outputs->task.failure) : tn_file_look(tn_text(&full), &facts, &outputs->task.failure);
    if (status == TENON_OK && facts.exists) {
        row.local_path = tn_text(&full);
        row.bytes = facts.bytes;
        row.modified_ms = facts.modified_ms;
        status = tn_task_push(&outputs->task, &row);
    }
    tn_text_clear(&full);
    return status;
}

static tenon_status push_slice(struct outputs *outputs)
{
    tenon_status status = TENON_OK;

    for (int i = 0; i < FILES_AT_ONCE && status == TENON_OK && outputs->next < outputs->count &&
         tn_task_has_room(&outputs->task); i++)
        status = push_file(outputs, outputs->paths[outputs->next++]);
    if (status == TENON_OK && outputs->next < outputs->count) {
        status = TENON_AGAIN;
        if (tn_task_has_room(&outputs->task))
            tn_co_go_on(&outputs->task.co);
    }
    return status;
}

static tenon_status outputs_step(struct co *co)
{
    struct outputs *outputs = TN_CONTAINER(co, struct outputs, task.co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_task_stage(&outputs->task, "listing", NULL);
    status = find_files(outputs);
    if (status == TENON_OK)
        AWAIT(co, (status = push_slice(outputs)) != TENON_AGAIN);
    CO_END(co);
    return status;
}

static const struct operation outputs_operation = {
    .name = "listing what the job keeps", .size = sizeof(struct outputs), .row = &tn_row_file, .step = outputs_step,
    .clear = outputs_clear,
};

tenon_status tn_local_outputs_new(tenon_job *job, tenon_task **task)
{
    struct outputs *outputs = NULL;
    tenon_status status = tn_task_new(job->handle.context, &outputs_operation, &outputs);

    if (status == TENON_OK) {
        outputs->job = tenon_job_ref(job);
        *task = &outputs->task;
    }
    return status;
}
