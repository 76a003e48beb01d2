/* tenon train */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tool.h"

/* A job that is followed: what is known of it, and its measurements. */
struct following {
    struct tool *tool;
    tenon_job *job;
    const char *id;
    struct training *training;
    tenon_task *watch;
    tenon_task *metrics;     /* NULL until the job is submitted: then there is a log */
    tenon_job_report report; /* its texts live until the next one is taken */
};

static bool is_over(tenon_status status)
{
    return status < 0 || status == TENON_DONE;
}

static tenon_status take_report(struct following *following)
{
    return tenon_task_next_report(following->watch, TURN_MS, &following->report);
}

static tenon_status take_metrics(struct following *following)
{
    tenon_metric metric = { .struct_size = sizeof metric };
    tenon_status status;

    while ((status = tenon_task_next_metric(following->metrics, 0, &metric)) == TENON_OK)
        training_add(following->training, &metric);
    return status;
}

static tenon_status start_metrics(struct following *following)
{
    tenon_follow_options options = { .struct_size = sizeof options, .follow = 1 };

    return tenon_job_metrics(following->job, &options, &following->metrics);
}

/* Until the job has ended and its last measurement is read, or Ctrl-C. */
static tenon_status follow(struct following *following)
{
    tenon_status watched = TENON_AGAIN, measured = TENON_DONE;

    while ((!is_over(watched) || !is_over(measured)) && interrupts_seen() == 0) {
        if (is_over(watched))
            tenon_context_step(following->tool->context, TURN_MS);
        else
            watched = take_report(following);
        if (following->metrics == NULL && following->report.state > TENON_JOB_SUBMITTING)
            measured = start_metrics(following);
        if (following->metrics != NULL)
            measured = take_metrics(following);
        if (following->report.id != NULL)
            training_draw(following->training, &following->report, false);
    }
    return is_over(watched) ? watched : TENON_AGAIN;
}

/* Ctrl-C: the job goes on, unless it was not even submitted. */
static int leave(struct following *following)
{
    struct tool *tool = following->tool;

    if (following->report.id != NULL)
        training_draw(following->training, &following->report, true);
    if (following->report.state <= TENON_JOB_SUBMITTING)
        remark(tool, "interrupted before the job was submitted; nothing runs");
    else {
        remark(tool, "the job goes on without this program");
        remark(tool, "  tenon metrics -f %s   watches it", following->id);
        remark(tool, "  tenon stop %s         stops it", following->id);
    }
    return EXIT_INTERRUPTED;
}

static int show_end(struct following *following)
{
    struct tool *tool = following->tool;
    tenon_job_report report = { .struct_size = sizeof report };
    int status = EXIT_OK;

    if (tenon_job_status(following->job, &report) != TENON_OK)
        return fail_context(tool);
    training_draw(following->training, &report, true);
    if (tool->arguments.json) {
        json_row(stdout, report_fields, &report);
        putchar('\n');
    }
    if (report.state == TENON_JOB_SUCCEEDED) {
        remark(tool, "succeeded: %s", training_summary(following->training).text);
        remark(tool, "output: %s", report.output);
    } else
        status = fail_job(tool, &report);
    return status;
}

static int follow_to_the_end(struct following *following)
{
    tenon_status status;

    if (tenon_job_watch(following->job, &following->watch) != TENON_OK)
        return fail_context(following->tool);
    status = follow(following);
    if (status == TENON_AGAIN)
        return leave(following);
    return status < 0 ? fail_task(following->tool, following->watch) : show_end(following);
}

/* The id alone, as soon as the job can do without us. */
static int detach(struct following *following)
{
    struct tool *tool = following->tool;
    tenon_task *task = NULL;
    int status = EXIT_OK;

    if (tenon_job_wait(following->job, TENON_JOB_QUEUED, &task) != TENON_OK)
        return fail_context(tool);
    if (progress_wait(tool, task) < 0)
        status = fail_task(tool, task);
    else if (tool->arguments.json)
        status = job_print(tool, following->job);
    else
        printf("%s\n", following->id);
    tenon_task_free(task);
    return status;
}

int command_train(struct tool *tool)
{
    struct following following = { .tool = tool, .report = { .struct_size = sizeof following.report } };
    tenon_job_options options;
    int status;

    job_options(tool, &options);
    options.recipe = tool->arguments.operands[0];
    options.model = tool->arguments.model;
    following.training = training_new(tool);
    if (following.training == NULL)
        return fail_memory(tool);
    interrupts_count();
    if (tenon_job_train(tool->context, &options, &following.job) != TENON_OK || tenon_job_id(following.job, &following.id) != TENON_OK)
        status = fail_context(tool);
    else
        status = tool->arguments.detach ? detach(&following) : follow_to_the_end(&following);
    tenon_task_free(following.metrics);
    tenon_task_free(following.watch);
    tenon_job_free(following.job);
    training_free(following.training);
    return status;
}
