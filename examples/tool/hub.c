/* tenon info, tenon publish */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tool.h"

/* ---- info ---- */

static void print_fact(const char *name, const char *value)
{
    if (value != NULL && *value != '\0') {
        printf("  %-12s ", name);
        put_text(stdout, value);
        fputc('\n', stdout);
    }
}

static void print_numbers(const tenon_repository *row)
{
    if (row->parameters >= 0)
        printf("  %-12s %s\n", "parameters", say_count((double)row->parameters).text);
    if (row->files >= 0)
        printf("  %-12s %" PRId64 ", %s\n", "files", row->files, say_bytes(row->bytes).text);
    if (row->modified_ms >= 0)
        print_fact("modified", say_day(row->modified_ms).text);
    if (row->downloads >= 0)
        printf("  %-12s %s in the last month\n", "downloads", say_count((double)row->downloads).text);
    if (row->likes >= 0)
        printf("  %-12s %s\n", "likes", say_count((double)row->likes).text);
}

static void print_repository(struct tool *tool, const tenon_repository *row)
{
    fputs(style(&tool->out, STYLE_BOLD), stdout);
    put_text(stdout, row->id);
    printf("%s  %s\n", style(&tool->out, STYLE_PLAIN), row->type == TENON_REPOSITORY_UNKNOWN ? "" : type_word(row->type));
    print_fact("revision", row->revision);
    print_fact("commit", row->commit);
    print_fact("purpose", row->purpose);
    print_fact("library", row->library);
    print_fact("license", row->license);
    print_numbers(row);
    if (row->gated == 1)
        print_fact("access", "gated: its licence must be accepted on its page first");
    if (row->restricted == 1)
        print_fact("access", "private");
    fputc('\n', stdout);
}

static void print_file(const tenon_file *file)
{
    printf("%10s  ", say_bytes(file->bytes).text);
    put_text(stdout, file->path);
    fputc('\n', stdout);
}

static int show_repository(struct tool *tool, tenon_task *task)
{
    tenon_repository row = { .struct_size = sizeof row };

    if (tenon_task_next_repository(task, -1, &row) != TENON_OK)
        return fail_task(tool, task);
    if (tool->arguments.json) {
        printf("{\"repository\": ");
        json_row(stdout, repository_fields, &row);
    } else
        print_repository(tool, &row);
    return EXIT_OK;
}

static int show_files(struct tool *tool, tenon_task *task)
{
    tenon_file file = { .struct_size = sizeof file };
    struct json_array array;
    tenon_status status;

    if (tool->arguments.json) {
        printf(", \"files\": ");
        json_array_begin(&array, stdout);
    }
    while ((status = tenon_task_next_file(task, -1, &file)) == TENON_OK) {
        if (tool->arguments.json) {
            json_array_next(&array);
            json_row(stdout, file_fields, &file);
        } else
            print_file(&file);
    }
    if (tool->arguments.json) {
        json_array_end(&array);
        printf("}\n");
    }
    return status < 0 ? fail_task(tool, task) : EXIT_OK;
}

static int show_info(struct tool *tool)
{
    const struct arguments *arguments = &tool->arguments;
    tenon_repository_options options = { .struct_size = sizeof options, .policy = arguments->policy, .revision = arguments->revision };
    tenon_task *task = NULL;
    int status;

    if (tenon_hub_info(tool->hub, arguments->operands[0], &options, &task) != TENON_OK)
        return fail_context(tool);
    status = show_repository(tool, task);
    tenon_task_free(task);
    return status;
}

static int show_list(struct tool *tool)
{
    const struct arguments *arguments = &tool->arguments;
    tenon_list_options options = { .struct_size = sizeof options, .policy = arguments->policy, .revision = arguments->revision };
    tenon_task *task = NULL;
    int status;

    if (tenon_hub_list(tool->hub, arguments->operands[0], &options, &task) != TENON_OK)
        return fail_context(tool);
    status = show_files(tool, task);
    tenon_task_free(task);
    return status;
}

int command_info(struct tool *tool)
{
    int status;

    if (tenon_hub_open(tool->context, NULL, NULL, &tool->hub) != TENON_OK)
        return fail_context(tool);
    status = show_info(tool);
    if (status == EXIT_OK)
        status = show_list(tool);
    return status;
}

/* ---- publish ---- */

static int print_commit(struct tool *tool, tenon_task *task)
{
    const char *commit = "";

    if (tenon_task_text(task, &commit) != TENON_OK)
        return fail_task(tool, task);
    if (tool->arguments.json) {
        printf("{\"commit\": ");
        json_text(stdout, commit);
        printf("}\n");
    } else {
        put_text(stdout, commit);
        fputc('\n', stdout);
    }
    return EXIT_OK;
}

int command_publish(struct tool *tool)
{
    const struct arguments *arguments = &tool->arguments;
    tenon_publish_options options = { .struct_size = sizeof options, .folder = arguments->operands[1], .message = arguments->message,
                                      .branch = arguments->branch, .parent = arguments->parent };
    tenon_task *task = NULL;
    int status;

    options.allow = arguments->include[0] != NULL ? arguments->include : NULL;
    options.ignore = arguments->exclude[0] != NULL ? arguments->exclude : NULL;
    if (tenon_hub_open(tool->context, NULL, NULL, &tool->hub) != TENON_OK ||
        tenon_hub_publish(tool->hub, arguments->operands[0], &options, &task) != TENON_OK)
        return fail_context(tool);
    interrupts_count();
    status = progress_wait(tool, task) < 0 ? fail_task(tool, task) : print_commit(tool, task);
    tenon_task_free(task);
    return status;
}
