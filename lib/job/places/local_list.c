/* tenon_job_list on this machine: the folders of jobs, newest first. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "local_job.h"
#include "path.h"

enum { JOBS_AT_ONCE = 32 };

struct entry {
    int64_t time; /* when it was submitted, in ns */
    char name[LOCAL_HEX + 1];
};

struct list {
    struct tenon_task task;
    int32_t mode;
    bool alive;
    const char *label; /* NULL: any */
    char *jobs;        /* folder of all jobs */
    struct entry *entries;
    size_t count;
    size_t room;
    size_t next;
};

static void list_clear(struct tenon_task *task)
{
    struct list *list = TN_CONTAINER(task, struct list, task);
    const struct memory *memory = &task->handle.context->memory;

    tn_release(memory, list->jobs);
    tn_release(memory, list->entries);
    list->jobs = NULL;
    list->entries = NULL;
}

/* ---- which there are ---- */

static tenon_status add_entry(struct list *list, const char *name, int64_t time)
{
    const struct memory *memory = &list->task.handle.context->memory;

    if (list->count == list->room) {
        size_t room = list->room == 0 ? 64 : 2 * list->room;
        struct entry *entries = tn_resize(memory, list->entries, room * sizeof *entries);

        if (entries == NULL)
            return tn_fail_memory(&list->task.failure);
        list->entries = entries;
        list->room = room;
    }
    list->entries[list->count].time = time;
    memcpy(list->entries[list->count].name, name, LOCAL_HEX + 1);
    list->count++;
    return TENON_OK;
}

/* job.json is written once, so its time is that of the job. */
static tenon_status look_at_entry(struct list *list, const char *name)
{
    struct failure *failure = &list->task.failure;
    struct file_facts facts;
    struct text path;
    tenon_status status;

    if (!tn_local_is_name(name))
        return TENON_OK;
    tn_text_init(&path, &list->task.handle.context->memory, PATH_MAX);
    tn_text_format(&path, "%s/%s/%s", list->jobs, name, LOCAL_JOB);
    status = path.failed ? tn_fail_memory(failure) : tn_file_look(tn_text(&path), &facts, failure);
    if (status == TENON_OK && facts.exists)
        status = add_entry(list, name, facts.modified_ns);
    tn_text_clear(&path);
    return status;
}

static int compare(const void *a, const void *b)
{
    const struct entry *first = a, *second = b;

    if (first->time != second->time)
        return first->time > second->time ? -1 : 1;
    return strcmp(first->name, second->name);
}

static tenon_status read_jobs(struct list *list)
{
    struct failure *failure = &list->task.failure;
    struct folder folder = { NULL };
    const char *name;
    tenon_status status = TENON_OK;

    /* No job was ever submitted here. */
    if (!tn_file_exists(list->jobs))
        return TENON_OK;
    status = tn_folder_open(&folder, list->jobs, failure);
    while (status == TENON_OK && (name = tn_folder_next(&folder)) != NULL)
        status = look_at_entry(list, name);
    tn_folder_close(&folder);
    if (list->count > 1)
        qsort(list->entries, list->count, sizeof *list->entries, compare);
    return status;
}

/* ---- which are wanted ---- */

static bool has_label(const json_t *state, const char *label)
{
    const json_t *labels = tn_json_member(state, "labels");
    bool found = false;

    for (size_t i = 0; i < json_array_size(labels) && !found; i++) {
        const char *text = json_string_value(json_array_get(labels, i));

        found = text != NULL && strcmp(text, label) == 0;
    }
    return found;
}

static bool is_wanted(const struct list *list, const struct report *report)
{
    return (list->mode == TENON_MODE_UNKNOWN || list->mode == report->row.mode) &&
           (!list->alive || !tn_state_is_final(report->row.state)) &&
           (list->label == NULL || has_label(report->state, list->label));
}

static tenon_status push_next(struct list *list)
{
    struct tenon_context *context = list->task.handle.context;
    struct failure *failure = &list->task.failure;
    struct report report;
    struct text folder;
    tenon_status status;

    tn_report_init(&report, &context->memory);
    tn_text_init(&folder, &context->memory, PATH_MAX);
    tn_text_format(&folder, "%s/%s", list->jobs, list->entries[list->next].name);
    status = folder.failed ? tn_fail_memory(failure) : tn_local_look(context, tn_text(&folder), true, &report, failure);
    if (status == TENON_OK && is_wanted(list, &report))
        status = tn_task_push(&list->task, &report.row);
    else if (status == TENON_ERROR_NOT_FOUND || status == TENON_ERROR_PROTOCOL || status == TENON_ERROR_IO) {
        /* Removed while we listed, damaged, or not ours to read: the others are listed all the same. */
        tn_log(context, TENON_LOG_WARNING, "job", "a job is not listed: %s", failure->message != NULL ? failure->message : "");
        tn_failure_clear(failure);
        status = TENON_OK;
    }
    list->next++;
    tn_text_clear(&folder);
    tn_report_clear(&report);
    return status;
}

/* One slice; TENON_AGAIN while there are more. */
static tenon_status push_slice(struct list *list)
{
    tenon_status status = TENON_OK;

    for (int i = 0; i < JOBS_AT_ONCE && status == TENON_OK && list->next < list->count && tn_task_has_room(&list->task); i++)
        status = push_next(list);
    if (status == TENON_OK && list->next < list->count) {
        status = TENON_AGAIN;
        if (tn_task_has_room(&list->task))
            tn_co_go_on(&list->task.co);
    }
    return status;
}

static tenon_status list_step(struct co *co)
{
    struct list *list = TN_CONTAINER(co, struct list, task.co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_task_stage(&list->task, "listing", NULL);
    status = read_jobs(list);
    if (status == TENON_OK)
        AWAIT(co, (status = push_slice(list)) != TENON_AGAIN);
    CO_END(co);
    return status;
}

static const struct operation list_operation = {
    .name = "listing jobs", .size = sizeof(struct list), .row = &tn_row_report, .step = list_step, .clear = list_clear,
};

tenon_status tn_local_list_new(struct tenon_context *context, const tenon_job_list_options *options, tenon_task **task)
{
    struct list *list = NULL;
    struct text jobs, full;
    tenon_status status = tn_task_new(context, &list_operation, &list);

    if (status != TENON_OK)
        return status;
    tn_text_init(&jobs, &context->memory, PATH_MAX);
    tn_text_init(&full, &context->memory, PATH_MAX);
    tn_local_jobs(context, &jobs);
    tn_path_absolute(&full, jobs.length > 0 ? tn_text(&jobs) : "/nonexistent");
    list->jobs = tn_text_take(&full);
    list->mode = options->mode;
    list->alive = options->alive != 0;
    status = list->jobs == NULL || jobs.failed ? tn_fail_memory(&context->failure)
                                               : tn_task_keep(&list->task, options->label, &list->label);
    tn_text_clear(&jobs);
    if (status == TENON_OK)
        *task = &list->task;
    else
        tn_task_drop(&list->task);
    return status;
}
