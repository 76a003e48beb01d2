/* tenon ps, logs, metrics, stop, rm; and what train and serve share */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "tool.h"

/* ---- which job ---- */

/* The jobs that a word may mean: those that run, and all of them. */
struct match {
    const char *word;
    int alive;
    int count;
    char alive_id[64];
    char id[64];
    char ids[256]; /* of all, for people */
};

/* An id is a place, a colon and digits; a person may leave out the place and all but the first digits. */
static bool is_beginning(const char *word, const char *id)
{
    const char *digits = strchr(id, ':');
    size_t length = strlen(word);

    return strncmp(id, word, length) == 0 || (digits != NULL && length >= 2 && strncmp(digits + 1, word, length) == 0);
}

static void try_job(struct match *match, const tenon_job_report *report)
{
    size_t used = strlen(match->ids);

    if (!is_beginning(match->word, report->id) && strcmp(match->word, report->name) != 0)
        return;
    if (report->state < TENON_JOB_SUCCEEDED && match->alive++ == 0)
        snprintf(match->alive_id, sizeof match->alive_id, "%s", report->id);
    if (match->count++ == 0)
        snprintf(match->id, sizeof match->id, "%s", report->id);
    snprintf(match->ids + used, sizeof match->ids - used, "%s%s", used > 0 ? ", " : "", report->id);
}

/* Of several, the one that runs is meant. NULL when that does not help. */
static const char *chosen(const struct match *match)
{
    return match->count == 1 ? match->id : match->alive == 1 ? match->alive_id : NULL;
}

static int fail_match(struct tool *tool, const struct match *match)
{
    tenon_error error = { .struct_size = sizeof error, .code = "", .request_id = "", .retry_after_ms = -1 };
    char message[256];

    error.status = match->count == 0 ? TENON_ERROR_NOT_FOUND : TENON_ERROR_AMBIGUOUS;
    snprintf(message, sizeof message, match->count == 0 ? "there is no job \"%s\"" : "\"%s\" stands for several jobs", match->word);
    error.message = message;
    error.hint = match->count == 0 ? "`tenon ps --all` lists them." : match->ids;
    return fail_error(tool, &error);
}

static int match_job(struct tool *tool, struct match *match)
{
    tenon_job_report report = { .struct_size = sizeof report };
    tenon_task *task = NULL;
    tenon_status status;
    int exit = EXIT_OK;

    if (tenon_job_list(tool->context, NULL, &task) != TENON_OK)
        return fail_context(tool);
    while ((status = tenon_task_next_report(task, -1, &report)) == TENON_OK) {
        try_job(match, &report);
    }
    if (status < 0)
        exit = fail_task(tool, task);
    else if (chosen(match) == NULL)
        exit = fail_match(tool, match);
    tenon_task_free(task);
    return exit;
}

int job_find(struct tool *tool, const char *word, tenon_job **job)
{
    struct match match = { .word = word };
    int status = EXIT_OK;

    if (tenon_job_open(tool->context, word, job) == TENON_OK)
        return EXIT_OK;
    status = match_job(tool, &match);
    if (status == EXIT_OK && tenon_job_open(tool->context, chosen(&match), job) != TENON_OK)
        status = fail_context(tool);
    return status;
}

/* ---- what train and serve share ---- */

int job_print(struct tool *tool, tenon_job *job)
{
    tenon_job_report report = { .struct_size = sizeof report };

    if (tenon_job_status(job, &report) != TENON_OK)
        return fail_context(tool);
    json_row(stdout, report_fields, &report);
    putchar('\n');
    return EXIT_OK;
}

int fail_job(struct tool *tool, const tenon_job_report *report)
{
    tenon_error error = { .struct_size = sizeof error, .status = TENON_ERROR_FAILED, .message = report->message, .hint = report->hint,
                          .code = cause_word(report->cause), .request_id = "", .retry_after_ms = -1 };

    screen_erase(&tool->err);
    if (!tool->arguments.json && !tool->arguments.quiet && *report->last_lines != '\0') {
        fputs(style(&tool->err, STYLE_DIM), tool->err.file);
        put_lines(tool->err.file, report->last_lines);
        fprintf(tool->err.file, "%s%s", style(&tool->err, STYLE_PLAIN), report->last_lines[strlen(report->last_lines) - 1] == '\n' ? "" : "\n");
    }
    return fail_error(tool, &error);
}

void job_options(const struct tool *tool, tenon_job_options *options)
{
    const struct arguments *arguments = &tool->arguments;

    *options = (tenon_job_options){ .struct_size = sizeof *options };
    options->threads = (int32_t)arguments->threads;
    options->revision = arguments->revision;
    options->accelerator = arguments->on;
    options->data = arguments->data;
    options->output = arguments->output;
    options->name = arguments->name;
    options->key = arguments->key;
    options->labels = arguments->labels[0] != NULL ? arguments->labels : NULL;
    options->environment = arguments->environment[0] != NULL ? arguments->environment : NULL;
    options->expiry_ms = arguments->time_limit;
    options->memory_bytes = arguments->memory_limit;
    options->port = (int32_t)arguments->port;
    options->file = arguments->file;
    options->context_tokens = arguments->context;
    options->sequences = arguments->sequences;
}

/* ---- ps ---- */

/* Since when, by a clock that may have been set back meanwhile. */
static int64_t age(int64_t since_ms)
{
    struct timespec now;
    int64_t ms;

    timespec_get(&now, TIME_UTC);
    ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - since_ms;
    return ms > 0 ? ms : 0;
}

static void print_job(struct tool *tool, const tenon_job_report *report)
{
    static const enum style looks[] = { STYLE_PLAIN, STYLE_WARN, STYLE_GOOD, STYLE_DIM, STYLE_BAD };
    int look = report->state == TENON_JOB_RUNNING ? 2 : report->state < TENON_JOB_RUNNING ? 1 : report->state == TENON_JOB_FAILED ? 4 : 3;

    put_column(stdout, report->id, 18);
    fputs("  ", stdout);
    put_column(stdout, report->name, 18);
    printf("  %-5s  %s%-10s%s  ", mode_word(report->mode), style(&tool->out, looks[look]), state_word(report->state), style(&tool->out, STYLE_PLAIN));
    put_column(stdout, say_duration(age(report->submitted_ms)).text, 12);
    fputs("  ", stdout);
    if (report->state == TENON_JOB_FAILED)
        put_text(stdout, report->message);
    else if (report->state < TENON_JOB_SUCCEEDED)
        put_text(stdout, *report->address != '\0' ? report->address : report->stage);
    else
        put_text(stdout, report->output);
    fputc('\n', stdout);
}

static int list_jobs(struct tool *tool, tenon_task *task)
{
    tenon_job_report report = { .struct_size = sizeof report };
    struct json_array array = { stdout, 0 };
    tenon_status status = tenon_task_next_report(task, -1, &report);

    if (status < 0)
        return fail_task(tool, task);
    if (tool->arguments.json)
        json_array_begin(&array, stdout);
    else if (status == TENON_OK)
        printf("%s%-18s  %-18s  %-5s  %-10s  %-12s  %s%s\n", style(&tool->out, STYLE_DIM), "ID", "NAME", "MODE", "STATE", "AGE", "ADDRESS, OUTPUT OR REASON",
               style(&tool->out, STYLE_PLAIN));
    else
        remark(tool, tool->arguments.all ? "there are no jobs" : "no job runs; `tenon ps --all` lists those that have ended");
    for (; status == TENON_OK; status = tenon_task_next_report(task, -1, &report)) {
        if (tool->arguments.json) {
            json_array_next(&array);
            json_row(stdout, report_fields, &report);
        } else
            print_job(tool, &report);
    }
    if (tool->arguments.json) {
        json_array_end(&array);
        putchar('\n');
    }
    return status < 0 ? fail_task(tool, task) : EXIT_OK;
}

int command_ps(struct tool *tool)
{
    const struct arguments *arguments = &tool->arguments;
    tenon_job_list_options options = { .struct_size = sizeof options, .alive = !arguments->all, .label = arguments->labels[0] };
    tenon_task *task = NULL;
    int status;

    if (tenon_job_list(tool->context, &options, &task) != TENON_OK)
        return fail_context(tool);
    status = list_jobs(tool, task);
    tenon_task_free(task);
    return status;
}

/* ---- logs ---- */

static void print_line(struct tool *tool, const tenon_log_line *line)
{
    if (tool->arguments.json)
        json_row(stdout, log_line_fields, line);
    else
        put_lines(stdout, line->text);
    putchar('\n');
}

/* Lines are flushed when no more come at the moment. */
static tenon_status print_log(struct tool *tool, tenon_task *task)
{
    tenon_log_line line = { .struct_size = sizeof line };
    tenon_status status = TENON_OK;

    while ((status == TENON_OK || status == TENON_AGAIN) && interrupts_seen() == 0) {
        status = tenon_task_next_log_line(task, TURN_MS, &line);
        if (status == TENON_OK)
            print_line(tool, &line);
        else
            fflush(stdout);
    }
    return status;
}

static int show_log(struct tool *tool, tenon_job *job)
{
    const struct arguments *arguments = &tool->arguments;
    tenon_follow_options options = { .struct_size = sizeof options, .follow = arguments->follow, .last = arguments->lines };
    tenon_task *task = NULL;
    tenon_status status;
    int exit = EXIT_OK;

    if (tenon_job_logs(job, &options, &task) != TENON_OK)
        return fail_context(tool);
    status = print_log(tool, task);
    if (status < 0)
        exit = fail_task(tool, task);
    else if (status != TENON_DONE)
        exit = EXIT_INTERRUPTED;
    tenon_task_free(task);
    return exit;
}

int command_logs(struct tool *tool)
{
    tenon_job *job = NULL;
    int status = job_find(tool, tool->arguments.operands[0], &job);

    interrupts_count();
    if (status == EXIT_OK)
        status = show_log(tool, job);
    tenon_job_free(job);
    return status;
}

/* ---- metrics ---- */

static int show_metrics(struct tool *tool, struct training *training, tenon_task *task)
{
    tenon_metric metric = { .struct_size = sizeof metric };
    tenon_status status = TENON_OK;

    while ((status == TENON_OK || status == TENON_AGAIN) && interrupts_seen() == 0) {
        status = tenon_task_next_metric(task, TURN_MS, &metric);
        if (status == TENON_OK)
            training_add(training, &metric);
        training_draw(training, NULL, false);
    }
    training_draw(training, NULL, true);
    return status < 0 ? fail_task(tool, task) : status == TENON_DONE ? EXIT_OK : EXIT_INTERRUPTED;
}

static int read_metrics(struct tool *tool, tenon_job *job)
{
    const struct arguments *arguments = &tool->arguments;
    tenon_follow_options options = { .struct_size = sizeof options, .follow = arguments->follow, .last = arguments->lines };
    struct training *training = training_new(tool);
    tenon_task *task = NULL;
    int status;

    if (training == NULL)
        status = fail_memory(tool);
    else if (tenon_job_metrics(job, &options, &task) != TENON_OK)
        status = fail_context(tool);
    else
        status = show_metrics(tool, training, task);
    tenon_task_free(task);
    training_free(training);
    return status;
}

int command_metrics(struct tool *tool)
{
    tenon_job *job = NULL;
    int status = job_find(tool, tool->arguments.operands[0], &job);

    interrupts_count();
    if (status == EXIT_OK)
        status = read_metrics(tool, job);
    tenon_job_free(job);
    return status;
}

/* ---- stop, rm ---- */

static tenon_status start_stop(struct tool *tool, tenon_job *job, tenon_task **task)
{
    tenon_stop_options options = { .struct_size = sizeof options, .force = tool->arguments.now };

    return tenon_job_stop(job, &options, task);
}

static tenon_status start_remove(struct tool *tool, tenon_job *job, tenon_task **task)
{
    (void)tool;
    return tenon_job_remove(job, task);
}

static int wait_for(struct tool *tool, tenon_task *task, const char *word, const char *done)
{
    if (progress_wait(tool, task) < 0)
        return fail_task(tool, task);
    remark(tool, "%s: %s", word, done);
    return EXIT_OK;
}

/* Does the same to every job that is named, and goes on after a failure; the first failure is the exit status. */
static int for_each_job(struct tool *tool, tenon_status (*start)(struct tool *, tenon_job *, tenon_task **), const char *done)
{
    const struct arguments *arguments = &tool->arguments;
    int first = EXIT_OK;

    interrupts_count();
    for (int i = 0; i < arguments->operand_count && interrupts_seen() == 0; i++) {
        tenon_job *job = NULL;
        tenon_task *task = NULL;
        int status = job_find(tool, arguments->operands[i], &job);

        if (status == EXIT_OK)
            status = start(tool, job, &task) != TENON_OK ? fail_context(tool) : wait_for(tool, task, arguments->operands[i], done);
        tenon_task_free(task);
        tenon_job_free(job);
        first = first == EXIT_OK ? status : first;
    }
    return first;
}

int command_stop(struct tool *tool)
{
    return for_each_job(tool, start_stop, "stopped");
}

int command_rm(struct tool *tool)
{
    return for_each_job(tool, start_remove, "removed");
}

/* ---- key ---- */

int command_key(struct tool *tool)
{
    tenon_job *job = NULL;
    const char *key = NULL;
    int status = job_find(tool, tool->arguments.operands[0], &job);

    if (status == EXIT_OK && tenon_job_api_key(job, &key) != TENON_OK)
        status = fail_context(tool);
    if (status == EXIT_OK) {
        if (tool->arguments.json)
            json_text(stdout, key);
        else
            put_text(stdout, key);
        putchar('\n');
    }
    tenon_job_free(job);
    return status;
}
