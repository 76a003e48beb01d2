#include "tool.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

#include "json.h"

/* ---- failing ---- */

static int exit_status(tenon_status status)
{
    int exit = EXIT_FAILED;

    switch (status) {
    case TENON_ERROR_ARGUMENT:
        exit = EXIT_USAGE;
        break;
    case TENON_ERROR_NOT_FOUND:
    case TENON_ERROR_AMBIGUOUS:
        exit = EXIT_NOT_FOUND;
        break;
    case TENON_ERROR_UNAUTHORIZED:
    case TENON_ERROR_FORBIDDEN:
    case TENON_ERROR_GATED:
        exit = EXIT_NOT_ALLOWED;
        break;
    case TENON_ERROR_NETWORK:
    case TENON_ERROR_TLS:
    case TENON_ERROR_TIMEOUT:
    case TENON_ERROR_OFFLINE:
    case TENON_ERROR_RATE_LIMITED:
    case TENON_ERROR_UNAVAILABLE:
        exit = EXIT_UNREACHABLE;
        break;
    case TENON_ERROR_DOES_NOT_FIT:
        exit = EXIT_DOES_NOT_FIT;
        break;
    case TENON_ERROR_INTEGRITY:
        exit = EXIT_DAMAGED;
        break;
    case TENON_ERROR_CANCELLED:
        exit = EXIT_INTERRUPTED;
        break;
    }
    return exit;
}

static void print_error(struct tool *tool, const tenon_error *error)
{
    struct screen *err = &tool->err;

    fprintf(err->file, "%serror:%s ", style(err, STYLE_BAD), style(err, STYLE_PLAIN));
    put_text(err->file, *error->message != '\0' ? error->message : tenon_status_name(error->status));
    fputc('\n', err->file);
    if (*error->hint != '\0') {
        fprintf(err->file, "%shint:%s  ", style(err, STYLE_WARN), style(err, STYLE_PLAIN));
        put_text(err->file, error->hint);
        fputc('\n', err->file);
    }
}

int fail_error(struct tool *tool, const tenon_error *error)
{
    fflush(stdout);
    screen_erase(&tool->err);
    if (tool->arguments.json) {
        json_row(tool->err.file, error_fields, error);
        fputc('\n', tool->err.file);
    } else
        print_error(tool, error);
    return exit_status(error->status);
}

static tenon_error make_error(tenon_status status, const char *message, const char *hint)
{
    return (tenon_error){ .struct_size = sizeof(tenon_error), .status = status, .message = message, .hint = hint, .code = "",
                          .request_id = "", .retry_after_ms = -1 };
}

int fail_context(struct tool *tool)
{
    tenon_error error = make_error(TENON_ERROR_INTERNAL, "", "");

    tenon_context_error(tool->context, &error);
    return fail_error(tool, &error);
}

int fail_task(struct tool *tool, tenon_task *task)
{
    tenon_error error = make_error(TENON_ERROR_INTERNAL, "", "");

    tenon_task_error(task, &error);
    return fail_error(tool, &error);
}

int fail_memory(struct tool *tool)
{
    tenon_error error = make_error(TENON_ERROR_MEMORY, "out of memory", "");

    return fail_error(tool, &error);
}

int fail_usage(struct tool *tool, const char *hint, const char *format, ...)
{
    tenon_error error;
    va_list arguments;
    char message[512];

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    error = make_error(TENON_ERROR_ARGUMENT, message, hint);
    return fail_error(tool, &error);
}

void remark(struct tool *tool, const char *format, ...)
{
    va_list arguments;
    char text[4096 + 512];

    if (tool->arguments.quiet)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    screen_erase(&tool->err);
    put_text(tool->err.file, text);
    fputc('\n', tool->err.file);
}

/* ---- waiting ---- */

static volatile sig_atomic_t interrupts;

static void count_interrupt(int number)
{
    (void)number;
    interrupts++;
}

void interrupts_count(void)
{
    struct sigaction action = { .sa_handler = count_interrupt };

    sigaction(SIGINT, &action, NULL);
}

int interrupts_seen(void)
{
    return interrupts;
}

bool input_waits(int since)
{
    sigset_t interrupt, before;
    fd_set input;
    int ready = -1;

    /* Held back until we sleep: one that came a moment earlier would be counted, and then slept through. */
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, &before);
    FD_ZERO(&input);
    FD_SET(STDIN_FILENO, &input);
    if (interrupts == since)
        ready = pselect(STDIN_FILENO + 1, &input, NULL, NULL, NULL, &before);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return ready > 0;
}

static double share_done(const tenon_progress *progress)
{
    return progress->bytes < progress->bytes_total ? (double)progress->bytes / (double)progress->bytes_total : 1;
}

static void put_amount(FILE *file, const tenon_progress *progress)
{
    if (progress->bytes_total > 0)
        fprintf(file, "%3d%%  %s of %s", (int)(100 * share_done(progress)), say_bytes(progress->bytes).text,
                say_bytes(progress->bytes_total).text);
    else if (progress->bytes > 0)
        fputs(say_bytes(progress->bytes).text, file);
    if (progress->items_total > 1)
        fprintf(file, "  %" PRId64 "/%" PRId64 " files", progress->items, progress->items_total);
    if (progress->bytes_per_second > 0)
        fprintf(file, "  %s/s", say_bytes(progress->bytes_per_second).text);
    if (progress->left_ms > 0)
        fprintf(file, "  %s left", say_duration(progress->left_ms).text);
    if (progress->retries > 0)
        fprintf(file, "  %" PRId64 " retries", progress->retries);
}

void progress_line(struct tool *tool, FILE *file, const tenon_progress *progress)
{
    struct screen *err = &tool->err;

    put_text(file, progress->stage);
    fputs("  ", file);
    if (err->live && progress->bytes_total > 0 && screen_width(err) >= 80) {
        fputs(style(err, STYLE_GOOD), file);
        put_bar(err, file, share_done(progress), 0, 20);
        fprintf(file, "%s  ", style(err, STYLE_PLAIN));
    }
    put_amount(file, progress);
    fprintf(file, "%s  ", style(err, STYLE_DIM));
    put_text(file, progress->item);
    fprintf(file, "%s\n", style(err, STYLE_PLAIN));
}

void progress_show(struct tool *tool, struct progress *shown, tenon_task *task)
{
    enum { OFTEN_MS = 100, RARELY_MS = 5000 };
    tenon_progress progress = { .struct_size = sizeof progress };
    char *text = NULL;
    size_t size;
    FILE *line;

    if (tool->arguments.quiet || tenon_task_progress(task, &progress) != TENON_OK ||
        progress.elapsed_ms - shown->shown_ms < (tool->err.live ? OFTEN_MS : RARELY_MS))
        return;
    shown->shown_ms = progress.elapsed_ms;
    line = open_memstream(&text, &size);
    if (line == NULL)
        return;
    progress_line(tool, line, &progress);
    if (fclose(line) == 0 && tool->err.live)
        screen_draw(&tool->err, text);
    else if (text != NULL)
        fputs(text, tool->err.file);
    free(text);
}

tenon_status progress_wait(struct tool *tool, tenon_task *task)
{
    struct progress shown = { 0 };
    tenon_status status = TENON_AGAIN;

    while (status == TENON_AGAIN && interrupts_seen() == 0) {
        status = tenon_task_wait(task, TURN_MS);
        progress_show(tool, &shown, task);
    }
    if (status == TENON_AGAIN) {
        tenon_task_cancel(task);
        status = tenon_task_state(task);
    }
    screen_erase(&tool->err);
    return status;
}
