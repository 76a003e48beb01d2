/* tenon download */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tool.h"

struct download {
    struct tool *tool;
    char **patterns; /* of several files: one for each operand; ends with NULL */
    char **paths;    /* where they are */
    struct json_array array;
    FILE *rows;      /* --json: what the task yields */
    char *rows_text;
    size_t rows_size;
};

/* A pattern that means this name alone. */
static char *quote_name(const char *name)
{
    char *pattern = malloc(3 * strlen(name) + 1), *end = pattern;

    for (; pattern != NULL && *name != '\0'; name++) {
        if (strchr("*?[", *name) != NULL) {
            *end++ = '[';
            *end++ = *name;
            *end++ = ']';
        } else
            *end++ = *name;
    }
    if (pattern != NULL)
        *end = '\0';
    return pattern;
}

/* Several files are a snapshot that names them, so that all are of one commit. */
static bool quote_names(struct download *download)
{
    const struct arguments *arguments = &download->tool->arguments;
    size_t count = (size_t)arguments->operand_count - 1;
    bool quoted;

    download->patterns = calloc(count + 1, sizeof *download->patterns);
    download->paths = calloc(count + 1, sizeof *download->paths);
    quoted = download->patterns != NULL && download->paths != NULL;
    for (size_t i = 0; i < count && quoted; i++) {
        download->patterns[i] = quote_name(arguments->operands[i + 1]);
        quoted = download->patterns[i] != NULL;
    }
    return quoted;
}

static void download_clear(struct download *download)
{
    for (char **pattern = download->patterns; pattern != NULL && *pattern != NULL; pattern++)
        free(*pattern);
    for (int i = 0; download->paths != NULL && i < download->tool->arguments.operand_count - 1; i++)
        free(download->paths[i]);
    if (download->rows != NULL)
        fclose(download->rows);
    free(download->rows_text);
    free(download->patterns);
    free(download->paths);
}

static void remember_path(struct download *download, const tenon_file *file)
{
    const struct arguments *arguments = &download->tool->arguments;

    for (int i = 1; i < arguments->operand_count; i++)
        if (strcmp(arguments->operands[i], file->path) == 0 && download->paths[i - 1] == NULL)
            download->paths[i - 1] = strdup(file->local_path);
}

static void take_file(struct download *download, const tenon_file *file)
{
    if (download->paths != NULL)
        remember_path(download, file);
    if (download->rows != NULL) {
        json_array_next(&download->array);
        json_row(download->rows, file_fields, file);
    }
}

static tenon_status wait_for_files(struct download *download, tenon_task *task)
{
    struct progress shown = { 0 };
    tenon_file file = { .struct_size = sizeof file };
    tenon_status status = TENON_AGAIN;

    while ((status == TENON_AGAIN || status == TENON_OK) && interrupts_seen() == 0) {
        status = tenon_task_next_file(task, TURN_MS, &file);
        if (status == TENON_OK)
            take_file(download, &file);
        progress_show(download->tool, &shown, task);
    }
    if (status >= 0 && status != TENON_DONE) {
        tenon_task_cancel(task);
        status = tenon_task_state(task);
    }
    screen_erase(&download->tool->err);
    return status;
}

static void say_result(struct tool *tool, tenon_task *task)
{
    tenon_progress progress = { .struct_size = sizeof progress };
    int64_t fetched;

    if (tenon_task_progress(task, &progress) != TENON_OK)
        return;
    fetched = progress.bytes - progress.bytes_present;
    if (fetched <= 0)
        remark(tool, "it was there already: %s", say_bytes(progress.bytes).text);
    else if (progress.bytes_present > 0)
        remark(tool, "fetched %s in %s; %s were there already", say_bytes(fetched).text, say_duration(progress.elapsed_ms).text,
               say_bytes(progress.bytes_present).text);
    else
        remark(tool, "fetched %s in %s", say_bytes(fetched).text, say_duration(progress.elapsed_ms).text);
}

/* A path is printed as it is, because scripts use it; only a terminal gets a safe one. */
static void print_path(struct tool *tool, const char *path)
{
    if (tool->out.live)
        put_text(stdout, path);
    else
        fputs(path, stdout);
    fputc('\n', stdout);
}

static int print_paths(struct download *download)
{
    const struct arguments *arguments = &download->tool->arguments;
    tenon_error error = { .struct_size = sizeof error, .status = TENON_ERROR_NOT_FOUND, .code = "", .request_id = "",
                          .hint = "`tenon info` lists the files of a repository.", .retry_after_ms = -1 };
    char message[512];

    for (int i = 1; i < arguments->operand_count; i++) {
        snprintf(message, sizeof message, "%s has no file \"%s\"", arguments->operands[0], arguments->operands[i]);
        error.message = message;
        if (download->paths[i - 1] == NULL)
            return fail_error(download->tool, &error);
    }
    for (int i = 1; i < arguments->operand_count && !arguments->json; i++)
        print_path(download->tool, download->paths[i - 1]);
    return EXIT_OK;
}

static int print_json(struct download *download, const char *path)
{
    printf("{\"path\": ");
    json_text(stdout, path);
    if (download->rows != NULL) {
        json_array_end(&download->array);
        if (fflush(download->rows) != 0)
            return fail_memory(download->tool);
        printf(", \"files\": %s", download->rows_text);
    }
    printf("}\n");
    return EXIT_OK;
}

static int print_result(struct download *download, tenon_task *task)
{
    struct tool *tool = download->tool;
    const char *path = "";
    int status = EXIT_OK;

    if (tenon_task_text(task, &path) != TENON_OK)
        return fail_task(tool, task);
    if (download->paths != NULL)
        status = print_paths(download);
    if (status == EXIT_OK && tool->arguments.json)
        status = print_json(download, path);
    else if (status == EXIT_OK && download->paths == NULL)
        print_path(tool, path);
    if (status == EXIT_OK)
        say_result(tool, task);
    return status;
}

static int wait_and_print(struct download *download, bool one_file, tenon_task *task)
{
    struct tool *tool = download->tool;
    tenon_status status = one_file ? progress_wait(tool, task) : wait_for_files(download, task);
    int exit;

    if (status == TENON_ERROR_CANCELLED) {
        remark(tool, "interrupted; what is safe on disk stays, and the same command goes on from there");
        exit = EXIT_INTERRUPTED;
    } else if (status < 0)
        exit = fail_task(tool, task);
    else
        exit = print_result(download, task);
    return exit;
}

static tenon_status start(struct download *download, bool one_file, tenon_task **task)
{
    const struct arguments *arguments = &download->tool->arguments;
    tenon_download_options options = { .struct_size = sizeof options, .policy = arguments->policy, .revision = arguments->revision,
                                       .folder = arguments->local_dir, .flags = arguments->force ? TENON_DOWNLOAD_FORCE : 0 };

    if (one_file)
        return tenon_hub_download(download->tool->hub, arguments->operands[0], arguments->operands[1], &options, task);
    if (download->patterns != NULL)
        options.allow = (const char *const *)download->patterns;
    else if (arguments->include[0] != NULL)
        options.allow = arguments->include;
    if (arguments->exclude[0] != NULL)
        options.ignore = arguments->exclude;
    return tenon_hub_snapshot(download->tool->hub, arguments->operands[0], &options, task);
}

static int prepare(struct download *download, bool one_file)
{
    struct tool *tool = download->tool;
    const struct arguments *arguments = &tool->arguments;

    if (arguments->operand_count > 1 && (arguments->include[0] != NULL || arguments->exclude[0] != NULL))
        return fail_usage(tool, "Patterns choose from a whole repository.", "files are named, so --include and --exclude mean nothing");
    if (arguments->operand_count > 2 && !quote_names(download))
        return fail_memory(tool);
    if (arguments->json && !one_file) {
        download->rows = open_memstream(&download->rows_text, &download->rows_size);
        if (download->rows == NULL)
            return fail_memory(tool);
        json_array_begin(&download->array, download->rows);
    }
    if (tenon_hub_open(tool->context, NULL, NULL, &tool->hub) != TENON_OK)
        return fail_context(tool);
    return EXIT_OK;
}

int command_download(struct tool *tool)
{
    struct download download = { .tool = tool };
    bool one_file = tool->arguments.operand_count == 2;
    tenon_task *task = NULL;
    int status = prepare(&download, one_file);

    if (status != EXIT_OK)
        goto done;
    interrupts_count();
    if (start(&download, one_file, &task) != TENON_OK)
        status = fail_context(tool);
    else
        status = wait_and_print(&download, one_file, task);
done:
    tenon_task_free(task);
    download_clear(&download);
    return status;
}
