/* What the files of the command-line tool share. It uses nothing but tenon.h and the C library. */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>

#include "arguments.h"
#include "terminal.h"
#include "tenon.h"

/* Exit statuses, as `tenon --help` lists them. */
enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_NOT_ALLOWED = 4,
    EXIT_UNREACHABLE = 5,
    EXIT_DOES_NOT_FIT = 6,
    EXIT_DAMAGED = 7,
    EXIT_INTERRUPTED = 130
};

struct tool {
    const struct command *command;
    struct arguments arguments;
    struct screen out; /* standard output: what was asked for */
    struct screen err; /* standard error: progress, remarks, errors */
    tenon_context *context;
    tenon_hub *hub;
};

/* ---- failing: each says what is wrong on standard error and gives the exit status ---- */

int fail_error(struct tool *tool, const tenon_error *error);
int fail_context(struct tool *tool);
int fail_task(struct tool *tool, tenon_task *task);
int fail_memory(struct tool *tool);
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
int fail_usage(struct tool *tool, const char *hint, const char *format, ...);
/* A remark for people on standard error; silent with --quiet. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void remark(struct tool *tool, const char *format, ...);

/* ---- waiting ---- */

/* From here on Ctrl-C is counted instead of ending the program. */
void interrupts_count(void);
int interrupts_seen(void);
/* Waits for a line on standard input; false when an interrupt came first, counted from `since` on. */
bool input_waits(int since);

/* How a task is shown while it runs. */
struct progress {
    int64_t shown_ms; /* when it was shown last, in ms since the task was started */
};

/* Shows how far a task is: often on a terminal, now and then elsewhere, not at all with --quiet. */
void progress_show(struct tool *tool, struct progress *shown, tenon_task *task);
/* Writes one line about it: a bar with bytes, rate and time left. */
void progress_line(struct tool *tool, FILE *file, const tenon_progress *progress);
/* Waits for the end and shows how far it is. TENON_ERROR_CANCELLED after Ctrl-C. */
tenon_status progress_wait(struct tool *tool, tenon_task *task);

/* How long a loop that shows something waits for the next row. */
enum { TURN_MS = 100 };

/* ---- jobs ---- */

/* Opens the job that a person means: its id, a beginning of it, or its name. */
int job_find(struct tool *tool, const char *word, tenon_job **job);
/* The report of a job on standard output, as JSON. */
int job_print(struct tool *tool, tenon_job *job);
/* Says why a job failed, with the end of its log. */
int fail_job(struct tool *tool, const tenon_job_report *report);
/* Fills the options that train and serve share. */
void job_options(const struct tool *tool, tenon_job_options *options);

/* The view of a job that trains: its curve and where it is. */
struct training;

struct training *training_new(struct tool *tool);
void training_free(struct training *training);
/* Takes a measurement: printed, drawn, or both. */
void training_add(struct training *training, const tenon_metric *metric);
/* Draws, if it is time; report may be NULL. */
void training_draw(struct training *training, const tenon_job_report *report, bool last);
/* "400 steps, loss 5.61 -> 1.82"; "" before the first measurement. */
struct words training_summary(const struct training *training);

/* ---- commands ---- */

int command_download(struct tool *tool);
int command_info(struct tool *tool);
int command_publish(struct tool *tool);
int command_cache(struct tool *tool);
int command_plan(struct tool *tool);
int command_doctor(struct tool *tool);
int command_settings(struct tool *tool);
int command_train(struct tool *tool);
int command_serve(struct tool *tool);
int command_ps(struct tool *tool);
int command_logs(struct tool *tool);
int command_metrics(struct tool *tool);
int command_stop(struct tool *tool);
int command_rm(struct tool *tool);
int command_chat(struct tool *tool);
int command_key(struct tool *tool);

#endif
