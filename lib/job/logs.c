/* tenon_job_logs and tenon_job_metrics: both read the job's log line by line, now or as it grows. */
#include <string.h>

#include "lines.h"
#include "metrics.h"
#include "place.h"

enum { BLOCK = 16 * 1024, LINES_AT_ONCE = 256 };

struct logs {
    struct tenon_task task;
    tenon_job *job; /* a reference */
    struct follower follower;
    bool metrics;   /* only lines that are measurements */
    bool follow;
    bool ended;     /* the job has: nothing more will be written */
    bool live;      /* what was there at the start has been read: lines come as they are written */
    int64_t last;   /* 0: all */
    struct lines lines;
    int64_t offset; /* of what is read next */
    int64_t number;
    char *block;    /* bytes that were read and not yet taken apart */
    size_t taken;
    size_t got;

    /* Looking backwards for where the last rows begin. */
    int64_t from;      /* everything from here on has been read */
    int64_t line_at;   /* every line that begins here or behind has been counted */
    struct text piece; /* what lies between the two: the end of a line */
    bool piece_is_long;
    int64_t found;
};

static void logs_clear(struct tenon_task *task)
{
    struct logs *logs = TN_CONTAINER(task, struct logs, task);

    if (logs->job == NULL)
        return;
    tn_job_unfollow(logs->job, &logs->follower);
    tn_job_drop(logs->job);
    logs->job = NULL;
    tn_lines_clear(&logs->lines);
    tn_text_clear(&logs->piece);
    tn_release(&task->handle.context->memory, logs->block);
    logs->block = NULL;
}

/* ---- rows ---- */

static tenon_status push_metric(struct logs *logs, const char *line)
{
    const struct memory *memory = &logs->task.handle.context->memory;
    tenon_metric row;
    tenon_status status = tn_metric_read(memory, line, &row);

    if (status == TENON_OK) {
        if (row.time_ms < 0 && logs->live)
            row.time_ms = tn_wall(logs->task.handle.context);
        status = tn_task_push(&logs->task, &row);
        tn_release(memory, (char *)row.json);
    } else if (status == TENON_ERROR_MEMORY)
        status = tn_fail_memory(&logs->task.failure);
    return status == TENON_DONE ? TENON_OK : status;
}

static tenon_status push_line(struct logs *logs)
{
    tenon_log_line row = { .struct_size = sizeof row, .text = tn_text(&logs->lines.line), .time_ms = -1 };

    if (logs->metrics)
        return push_metric(logs, row.text);
    row.number = ++logs->number;
    if (logs->live)
        row.time_ms = tn_wall(logs->task.handle.context);
    return tn_task_push(&logs->task, &row);
}

/* ---- reading forwards ---- */

/* Fills the block; got 0 at the end of what there is. */
static tenon_status read_block(struct logs *logs)
{
    tenon_status status = logs->job->place->read_log(logs->job, logs->offset, logs->block, BLOCK, &logs->got, &logs->task.failure);

    logs->taken = 0;
    if (status == TENON_OK)
        logs->offset += (int64_t)logs->got;
    else
        logs->got = 0;
    return status;
}

/* Lines of the block, as long as there is room for rows. */
static tenon_status take_lines(struct logs *logs)
{
    tenon_status status = TENON_OK;

    for (int i = 0; i < LINES_AT_ONCE && logs->taken < logs->got && status == TENON_OK && tn_task_has_room(&logs->task); i++) {
        logs->taken += tn_lines_take(&logs->lines, logs->block + logs->taken, logs->got - logs->taken);
        if (tn_lines_status(&logs->lines) != TENON_OK)
            status = tn_fail_memory(&logs->task.failure);
        else if (logs->lines.complete)
            status = push_line(logs);
    }
    return status;
}

/*
 * One slice: TENON_OK when everything that the log holds now has been given, TENON_AGAIN when there is more to do, with
 * *waits true when that has to wait for the reader.
 */
static tenon_status read_slice(struct logs *logs, bool *waits)
{
    tenon_status status = logs->taken < logs->got ? TENON_OK : read_block(logs);
    bool at_end = status == TENON_OK && logs->got == 0;

    *waits = false;
    if (status != TENON_OK || at_end)
        return status;
    status = take_lines(logs);
    *waits = !tn_task_has_room(&logs->task);
    return status == TENON_OK ? TENON_AGAIN : status;
}

/* True when the job has ended; whatever it wrote is in the log then. */
static tenon_status has_ended(struct logs *logs, bool *ended)
{
    struct report report;
    tenon_status status;

    tn_report_init(&report, &logs->task.handle.context->memory);
    status = logs->job->place->report(logs->job, &report, &logs->task.failure);
    *ended = tn_state_is_final(report.row.state);
    tn_report_clear(&report);
    return status;
}

/* Reads until everything is read and, when it follows, the job has ended. TENON_AGAIN: it waits, or has more to do. */
static tenon_status go_on(struct logs *logs)
{
    bool waits = false, knew = logs->ended;
    tenon_status status = read_slice(logs, &waits);

    if (status == TENON_OK && logs->follow && !knew) {
        logs->live = true;
        status = has_ended(logs, &logs->ended);
        /* What it wrote between the two looks is still to be read. */
        if (status == TENON_OK)
            status = TENON_AGAIN;
        waits = !logs->ended;
    }
    if (status == TENON_AGAIN && !waits)
        tn_co_go_on(&logs->task.co);
    return status;
}

/* ---- looking backwards for the last rows ---- */

static tenon_status is_measurement(struct logs *logs, const char *line, size_t length, bool *measurement)
{
    const struct memory *memory = &logs->task.handle.context->memory;
    struct lines lines;
    tenon_metric metric;
    tenon_status status = TENON_DONE;

    tn_lines_init(&lines, memory);
    tn_lines_take(&lines, line, length);
    if (lines.complete || tn_lines_end(&lines))
        status = tn_metric_read(memory, tn_text(&lines.line), &metric);
    *measurement = status == TENON_OK;
    if (status == TENON_OK)
        tn_release(memory, (char *)metric.json);
    if (status == TENON_ERROR_MEMORY || tn_lines_status(&lines) != TENON_OK)
        status = tn_fail_memory(&logs->task.failure);
    tn_lines_clear(&lines);
    return status == TENON_ERROR_MEMORY ? status : TENON_OK;
}

/* The line [at, line_at) of the bytes that begin at from. */
static tenon_status count_line(struct logs *logs, const char *bytes, int64_t at)
{
    size_t length = (size_t)(logs->line_at - at);
    bool counts = !logs->metrics;
    tenon_status status = TENON_OK;

    if (logs->metrics && !logs->piece_is_long && length <= LINE_LONGEST)
        status = is_measurement(logs, bytes + (at - logs->from), length, &counts);
    logs->piece_is_long = false;
    logs->found += counts;
    logs->line_at = at;
    return status;
}

/* Counts the lines that begin in the bytes [from, end), last one first, until there are enough. */
static tenon_status count_lines(struct logs *logs, const char *bytes, int64_t end)
{
    tenon_status status = TENON_OK;

    for (int64_t at = end; at >= logs->from && logs->found < logs->last && status == TENON_OK; at--)
        if ((at == 0 || (at > logs->from && bytes[at - 1 - logs->from] == '\n')) && at < logs->line_at)
            status = count_line(logs, bytes, at);
    return status;
}

/* Fills the block with the bytes from offset on, as many as there are. */
static tenon_status read_range(struct logs *logs, int64_t offset, size_t size, size_t *got)
{
    tenon_status status = TENON_OK;
    size_t more = 1;

    for (*got = 0; *got < size && more > 0 && status == TENON_OK; *got += more) {
        more = 0;
        status = logs->job->place->read_log(logs->job, offset + (int64_t)*got, logs->block + *got, size - *got, &more,
                                            &logs->task.failure);
    }
    return status;
}

/* Counts in the block before what has been read, and what is left of it waits for the next one. */
static tenon_status count_block(struct logs *logs, size_t size)
{
    int64_t end = logs->line_at;
    struct text bytes;
    tenon_status status = TENON_OK;

    tn_text_init(&bytes, &logs->task.handle.context->memory, 4 * LINE_LONGEST);
    tn_text_add_n(&bytes, logs->block, size);
    tn_text_add_n(&bytes, tn_text(&logs->piece), logs->piece.length);
    if (logs->piece_is_long)
        end = logs->from;
    logs->from -= (int64_t)size;
    status = bytes.failed ? tn_fail_memory(&logs->task.failure) : count_lines(logs, tn_text(&bytes), end);
    tn_text_reset(&logs->piece);
    logs->piece_is_long = logs->piece_is_long || logs->line_at - logs->from > LINE_LONGEST;
    if (status == TENON_OK && !logs->piece_is_long)
        tn_text_add_n(&logs->piece, tn_text(&bytes), (size_t)(logs->line_at - logs->from));
    if (logs->piece.failed)
        status = tn_fail_memory(&logs->task.failure);
    tn_text_clear(&bytes);
    return status;
}

static tenon_status look_back(struct logs *logs)
{
    size_t size = logs->from < BLOCK ? (size_t)logs->from : BLOCK, got = 0;
    tenon_status status = read_range(logs, logs->from - (int64_t)size, size, &got);

    if (status == TENON_OK && got < size) {
        /* The log has become shorter meanwhile, and what was counted is gone. */
        logs->from = logs->line_at = logs->from - (int64_t)(size - got);
        logs->found = 0;
        logs->piece_is_long = false;
        tn_text_reset(&logs->piece);
    } else if (status == TENON_OK)
        status = count_block(logs, size);
    return status;
}

/* Finds where to begin; TENON_AGAIN while there is more to look at. */
static tenon_status find_start(struct logs *logs)
{
    tenon_status status = TENON_OK;

    if (logs->from > 0 && logs->found < logs->last) {
        status = look_back(logs);
        if (status == TENON_OK)
            status = TENON_AGAIN;
    } else
        logs->offset = logs->line_at;
    if (status == TENON_AGAIN)
        tn_co_go_on(&logs->task.co);
    return status;
}

static tenon_status begin(struct logs *logs)
{
    const struct memory *memory = &logs->task.handle.context->memory;
    tenon_status status = TENON_OK;

    tn_lines_init(&logs->lines, memory);
    tn_text_init(&logs->piece, memory, 2 * LINE_LONGEST);
    logs->block = tn_alloc(memory, BLOCK);
    if (logs->block == NULL)
        status = tn_fail_memory(&logs->task.failure);
    if (status == TENON_OK && logs->last > 0)
        status = logs->job->place->log_size(logs->job, &logs->from, &logs->task.failure);
    logs->line_at = logs->from;
    if (logs->follow)
        tn_job_follow(logs->job, &logs->follower, &logs->task.co, true);
    return status;
}

static tenon_status logs_step(struct co *co)
{
    struct logs *logs = TN_CONTAINER(co, struct logs, task.co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_task_stage(&logs->task, "reading", NULL);
    status = begin(logs);
    if (status == TENON_OK && logs->last > 0)
        AWAIT(co, (status = find_start(logs)) != TENON_AGAIN);
    if (status == TENON_OK)
        AWAIT(co, (status = go_on(logs)) != TENON_AGAIN);
    if (status == TENON_OK && tn_lines_end(&logs->lines))
        status = push_line(logs);
    if (status == TENON_OK && tn_lines_status(&logs->lines) != TENON_OK)
        status = tn_fail_memory(&logs->task.failure);
    CO_END(co);
    return status;
}

static const struct operation logs_operation = {
    .name = "reading the log", .size = sizeof(struct logs), .row = &tn_row_log_line, .step = logs_step, .clear = logs_clear,
};

static const struct operation metrics_operation = {
    .name = "reading the metrics", .size = sizeof(struct logs), .row = &tn_row_metric, .step = logs_step, .clear = logs_clear,
};

static tenon_status start(tenon_job *job, const tenon_follow_options *given, const struct operation *operation, tenon_task **task)
{
    tenon_follow_options options;
    struct logs *logs = NULL;
    tenon_status status = job != NULL ? tn_enter(job->handle.context) : TENON_ERROR_MISUSE;

    if (status != TENON_OK)
        return status;
    status = tn_options(job->handle.context, given, &options, sizeof options);
    if (status == TENON_OK)
        status = tn_task_new(job->handle.context, operation, &logs);
    if (status == TENON_OK) {
        logs->job = tenon_job_ref(job);
        logs->metrics = operation == &metrics_operation;
        logs->follow = options.follow != 0;
        logs->last = options.last > 0 ? options.last : 0;
        status = tn_task_launch(&logs->task, task);
    }
    return tn_leave(job->handle.context, status);
}

tenon_status tenon_job_logs(tenon_job *job, const tenon_follow_options *options, tenon_task **task)
{
    return start(job, options, &logs_operation, task);
}

tenon_status tenon_job_metrics(tenon_job *job, const tenon_follow_options *options, tenon_task **task)
{
    return start(job, options, &metrics_operation, task);
}
