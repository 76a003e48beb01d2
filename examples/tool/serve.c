/* tenon serve */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tool.h"

struct serving {
    struct tool *tool;
    tenon_job *job;
    tenon_task *watch;
    tenon_task *log;         /* NULL with --detach, and until the job is submitted */
    tenon_job_report report; /* its texts live until the next one is taken */
    bool announced;
    int64_t began_ms;
};

static void announce(struct serving *serving)
{
    struct tool *tool = serving->tool;

    screen_erase(&tool->err);
    serving->announced = true;
    if (tool->arguments.json)
        json_row(stdout, report_fields, &serving->report);
    else {
        put_text(stdout, serving->report.id);
        putchar(' ');
        put_text(stdout, serving->report.address);
    }
    putchar('\n');
    fflush(stdout);
    remark(tool, "ready; `tenon chat %s` talks to it%s", serving->report.id, tool->arguments.detach ? "" : ", Ctrl-C stops it");
}

static void draw_wait(struct serving *serving)
{
    const tenon_job_report *report = &serving->report;
    char line[512];

    if (serving->announced || report->id == NULL || serving->tool->arguments.quiet)
        return;
    snprintf(line, sizeof line, "%s  %s, %s  %s\n", report->id, state_word(report->state), report->stage,
             say_duration(now_ms() - serving->began_ms).text);
    screen_draw(&serving->tool->err, line);
}

static tenon_status start_log(struct serving *serving)
{
    tenon_follow_options options = { .struct_size = sizeof options, .follow = 1 };

    return tenon_job_logs(serving->job, &options, &serving->log);
}

/* The server's log goes to standard error: standard output has the address alone. */
static void take_log(struct serving *serving)
{
    struct screen *err = &serving->tool->err;
    tenon_log_line line = { .struct_size = sizeof line };

    while (tenon_task_next_log_line(serving->log, 0, &line) == TENON_OK) {
        screen_erase(err);
        put_lines(err->file, line.text);
        fputc('\n', err->file);
    }
}

static tenon_status take_report(struct serving *serving)
{
    tenon_status status = tenon_task_next_report(serving->watch, TURN_MS, &serving->report);

    if (status == TENON_OK && serving->report.state == TENON_JOB_RUNNING && !serving->announced)
        announce(serving);
    return status;
}

/* Until the server is ready and may be left alone, or its job has ended, or Ctrl-C. */
static tenon_status follow(struct serving *serving)
{
    const struct arguments *arguments = &serving->tool->arguments;
    tenon_status status = TENON_OK;

    while ((status == TENON_OK || status == TENON_AGAIN) && interrupts_seen() == 0 && !(serving->announced && arguments->detach)) {
        status = take_report(serving);
        if (serving->log == NULL && serving->report.state > TENON_JOB_SUBMITTING && !arguments->detach && !arguments->quiet)
            start_log(serving);
        if (serving->log != NULL)
            take_log(serving);
        draw_wait(serving);
    }
    return status;
}

/* Ctrl-C once asks it to end, twice ends it. */
static int stop(struct serving *serving)
{
    struct tool *tool = serving->tool;
    tenon_stop_options options = { .struct_size = sizeof options };
    tenon_task *task = NULL;
    tenon_status status = tenon_job_stop(serving->job, NULL, &task);
    int exit = EXIT_OK;

    if (status != TENON_OK)
        return fail_context(tool);
    remark(tool, "stopping; Ctrl-C again ends it at once");
    while ((status = tenon_task_wait(task, TURN_MS)) == TENON_AGAIN && interrupts_seen() < 2)
        ;
    if (status == TENON_AGAIN) {
        tenon_task_free(task);
        task = NULL;
        options.force = 1;
        status = tenon_job_stop(serving->job, &options, &task) == TENON_OK ? tenon_task_wait(task, -1) : TENON_ERROR_FAILED;
    }
    if (status < 0)
        exit = task != NULL ? fail_task(tool, task) : fail_context(tool);
    else
        remark(tool, "stopped");
    tenon_task_free(task);
    return exit;
}

static int end(struct serving *serving, tenon_status status)
{
    struct tool *tool = serving->tool;
    int exit = EXIT_OK;

    screen_erase(&tool->err);
    if (interrupts_seen() > 0 && status >= 0)
        exit = stop(serving);
    else if (status < 0)
        exit = fail_task(tool, serving->watch);
    else if (serving->report.state == TENON_JOB_FAILED)
        exit = fail_job(tool, &serving->report);
    else if (status == TENON_DONE)
        remark(tool, "the server has ended");
    return exit;
}

int command_serve(struct tool *tool)
{
    struct serving serving = { .tool = tool, .report = { .struct_size = sizeof serving.report }, .began_ms = now_ms() };
    tenon_job_options options;
    int status;

    job_options(tool, &options);
    options.model = tool->arguments.operand_count > 0 ? tool->arguments.operands[0] : NULL;
    options.recipe = tool->arguments.recipe;
    interrupts_count();
    if (tenon_job_serve(tool->context, &options, &serving.job) != TENON_OK || tenon_job_watch(serving.job, &serving.watch) != TENON_OK)
        status = fail_context(tool);
    else
        status = end(&serving, follow(&serving));
    tenon_task_free(serving.log);
    tenon_task_free(serving.watch);
    tenon_job_free(serving.job);
    return status;
}
