/* tenon doctor, tenon settings */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tool.h"

/* ---- doctor ---- */

struct doctor {
    struct tool *tool;
    struct json_array array;
    bool unwell;
};

static void print_heading(struct tool *tool, const char *heading, const char *of)
{
    if (tool->arguments.json)
        return;
    printf("%s%s", style(&tool->out, STYLE_BOLD), heading);
    if (of != NULL)
        putchar(' ');
    put_text(stdout, of);
    printf("%s\n", style(&tool->out, STYLE_PLAIN));
}

static void print_check(struct tool *tool, const tenon_check *check)
{
    static const enum style looks[] = { [TENON_CHECK_UNKNOWN] = STYLE_WARN, [TENON_CHECK_YES] = STYLE_GOOD, [TENON_CHECK_NO] = STYLE_BAD };
    bool known = check->answer == TENON_CHECK_YES || check->answer == TENON_CHECK_NO;

    printf("  %s%-4s%s ", style(&tool->out, looks[known ? check->answer : 0]), known ? answer_word(check->answer) : "?", style(&tool->out, STYLE_PLAIN));
    put_column(stdout, check->name, 12);
    fputc(' ', stdout);
    put_text(stdout, check->message);
    fputc('\n', stdout);
    if (*check->fix != '\0') {
        printf("       %-12s %s", "", style(&tool->out, STYLE_WARN));
        put_text(stdout, check->fix);
        printf("%s\n", style(&tool->out, STYLE_PLAIN));
    }
}

static void write_check(struct doctor *doctor, const char *of, const tenon_check *check)
{
    json_array_next(&doctor->array);
    printf("{\"of\": \"%s\", ", of);
    json_members(stdout, check_fields, check);
    putchar('}');
}

static int take_checks(struct doctor *doctor, const char *of, tenon_task *task)
{
    tenon_check check = { .struct_size = sizeof check };
    tenon_status status;

    while ((status = tenon_task_next_check(task, -1, &check)) == TENON_OK) {
        doctor->unwell = doctor->unwell || check.answer == TENON_CHECK_NO;
        if (doctor->tool->arguments.json)
            write_check(doctor, of, &check);
        else
            print_check(doctor->tool, &check);
    }
    return status < 0 ? fail_task(doctor->tool, task) : EXIT_OK;
}

/* The hub's address without the user and the password that may stand in it: what doctor says is shown to others. */
static void print_hub(struct tool *tool, const char *endpoint)
{
    const char *start = strstr(endpoint, "://"), *host = start != NULL ? start + 3 : endpoint, *at = host + strcspn(host, "/?#");
    char shown[1000];

    while (at > host && at[-1] != '@')
        at--;
    snprintf(shown, sizeof shown, "%.*s%s", (int)(host - endpoint), endpoint, at);
    print_heading(tool, "Hub", shown);
}

static int check_hub(struct doctor *doctor)
{
    struct tool *tool = doctor->tool;
    const char *endpoint = "";
    tenon_task *task = NULL;
    int status;

    tenon_context_get(tool->context, "hub.endpoint", &endpoint);
    print_hub(tool, endpoint);
    if (tenon_hub_open(tool->context, NULL, NULL, &tool->hub) != TENON_OK || tenon_hub_check(tool->hub, &task) != TENON_OK)
        return fail_context(tool);
    status = take_checks(doctor, "hub", task);
    tenon_task_free(task);
    return status;
}

static int check_accelerator(struct doctor *doctor)
{
    struct tool *tool = doctor->tool;
    const char *name = tool->arguments.on != NULL ? tool->arguments.on : "local";
    tenon_accelerator *accelerator = NULL;
    tenon_task *task = NULL;
    int status;

    print_heading(tool, "Jobs on", name);
    if (tenon_accelerator_open(tool->context, name, &accelerator) != TENON_OK || tenon_accelerator_check(accelerator, &task) != TENON_OK)
        status = fail_context(tool);
    else
        status = take_checks(doctor, "accelerator", task);
    tenon_task_free(task);
    tenon_accelerator_free(accelerator);
    return status;
}

static void print_machine(const tenon_machine *machine)
{
    fputs("       ", stdout);
    put_column(stdout, machine->name, 12);
    fputc(' ', stdout);
    put_text(stdout, machine->chip);
    printf(", %s", say_memory(machine->memory_bytes).text);
    if (machine->memory_free_bytes >= 0)
        printf(", %s free", say_memory(machine->memory_free_bytes).text);
    if (machine->chips == 0 && machine->cpu_milli >= 0)
        printf(", %.3g processors", (double)machine->cpu_milli / 1000);
    fputc('\n', stdout);
}

static int list_machines(struct tool *tool)
{
    tenon_machine machine = { .struct_size = sizeof machine };
    struct json_array array = { stdout, 0 };
    tenon_task *task = NULL;
    tenon_status status;
    int exit = EXIT_OK;

    print_heading(tool, "Accelerators", NULL);
    if (tenon_accelerator_list(tool->context, NULL, &task) != TENON_OK)
        return fail_context(tool);
    while ((status = tenon_task_next_machine(task, -1, &machine)) == TENON_OK) {
        if (tool->arguments.json) {
            json_array_next(&array);
            json_row(stdout, machine_fields, &machine);
        } else
            print_machine(&machine);
    }
    if (status < 0)
        exit = fail_task(tool, task);
    tenon_task_free(task);
    return exit;
}

static int check_all(struct doctor *doctor)
{
    int status = check_hub(doctor);

    return status == EXIT_OK ? check_accelerator(doctor) : status;
}

/* What was found is shown whole, also when something could not be asked. */
int command_doctor(struct tool *tool)
{
    struct doctor doctor = { .tool = tool, .array = { stdout, 0 } };
    int status, list_status;

    if (tool->arguments.json)
        printf("{\"checks\": [");
    status = check_all(&doctor);
    if (tool->arguments.json) {
        json_array_end(&doctor.array);
        printf(", \"accelerators\": [");
    }
    list_status = list_machines(tool);
    if (tool->arguments.json)
        printf("\n]}\n");
    if (status == EXIT_OK)
        status = list_status;
    return status == EXIT_OK && doctor.unwell ? EXIT_FAILED : status;
}

/* ---- settings ---- */

static const char *value_of(struct tool *tool, const char *key)
{
    const char *value = "";

    return tenon_context_get(tool->context, key, &value) == TENON_OK ? value : "";
}

static void write_setting(struct tool *tool, const tenon_setting *setting)
{
    putchar('{');
    json_members(stdout, setting_fields, setting);
    fputs(", \"value\": ", stdout);
    json_text(stdout, value_of(tool, setting->key));
    putchar('}');
}

/* A vertical bar would end the column. */
static void put_cell(const char *text)
{
    for (; *text != '\0'; text++)
        printf("%s%c", *text == '|' ? "\\" : "", *text);
}

static void print_markdown(const tenon_setting *setting)
{
    printf("| `%s` | ", setting->key);
    if (*setting->default_value != '\0')
        printf("`%s`", setting->default_value);
    printf(" | ");
    for (const char *name = setting->environment; *name != '\0';) {
        int length = (int)strcspn(name, " ");

        printf("`%.*s`%s", length, name, name[length] != '\0' ? ", " : "");
        name += length + (name[length] != '\0');
    }
    printf(" | ");
    put_cell(setting->description);
    printf("%s%s%s |\n", *setting->unit != '\0' ? " In " : "", setting->unit, *setting->unit != '\0' ? "." : "");
}

static void print_setting(struct tool *tool, const tenon_setting *setting)
{
    printf("%s%s%s = ", style(&tool->out, STYLE_BOLD), setting->key, style(&tool->out, STYLE_PLAIN));
    put_text(stdout, value_of(tool, setting->key));
    printf("%s%s\n    %s%s", *setting->unit != '\0' ? " " : "", setting->unit, style(&tool->out, STYLE_DIM), setting->description);
    if (*setting->environment != '\0')
        printf(" From %s.", setting->environment);
    printf("%s\n", style(&tool->out, STYLE_PLAIN));
}

static int list_settings(struct tool *tool)
{
    const struct arguments *arguments = &tool->arguments;
    tenon_setting setting = { .struct_size = sizeof setting };
    struct json_array array = { stdout, 0 };

    if (arguments->json)
        json_array_begin(&array, stdout);
    else if (arguments->markdown)
        printf("| setting | default | environment | what it does |\n|---|---|---|---|\n");
    for (uint32_t i = 0; tenon_setting_at(i, &setting) == TENON_OK; i++) {
        if (arguments->json) {
            json_array_next(&array);
            write_setting(tool, &setting);
        } else if (arguments->markdown)
            print_markdown(&setting);
        else
            print_setting(tool, &setting);
    }
    if (arguments->json) {
        json_array_end(&array);
        putchar('\n');
    }
    return EXIT_OK;
}

static int print_value(struct tool *tool, const char *key)
{
    const char *value = "";

    if (tenon_context_get(tool->context, key, &value) != TENON_OK)
        return fail_context(tool);
    if (tool->arguments.json)
        json_text(stdout, value);
    else
        put_text(stdout, value);
    putchar('\n');
    return EXIT_OK;
}

int command_settings(struct tool *tool)
{
    return tool->arguments.operand_count > 0 ? print_value(tool, tool->arguments.operands[0]) : list_settings(tool);
}
