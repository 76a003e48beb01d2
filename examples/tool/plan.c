/* tenon plan */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tool.h"

/* What it takes is drawn against what there is, or against itself where that is more. */
struct scale {
    int64_t have;
    int64_t full;
    int columns;
};

static struct scale make_scale(struct tool *tool, int64_t have, int64_t need)
{
    int columns = screen_width(&tool->out) - 46;

    return (struct scale){ have, have > need ? have : need, columns > 40 ? 40 : columns < 10 ? 10 : columns };
}

static double share(const struct scale *scale, int64_t bytes)
{
    return scale->full > 0 ? (double)bytes / (double)scale->full : 0;
}

static void print_memory(struct tool *tool, const struct scale *scale, const tenon_memory *memory)
{
    bool total = strcmp(memory->item, "total") == 0;
    enum style look = !total ? STYLE_PLAIN : memory->high_bytes > scale->have ? STYLE_BAD : STYLE_GOOD;

    printf("     ");
    put_column(stdout, memory->item, 12);
    fputs(style(&tool->out, look), stdout);
    put_bar(&tool->out, stdout, share(scale, memory->low_bytes), share(scale, memory->high_bytes), scale->columns);
    fputs(style(&tool->out, STYLE_PLAIN), stdout);
    if (memory->low_bytes == memory->high_bytes)
        printf("  %s", say_memory(memory->high_bytes).text);
    else
        printf("  %s to %s", say_memory(memory->low_bytes).text, say_memory(memory->high_bytes).text);
    if (total)
        printf(" of %s", say_memory(scale->have).text);
    fputc('\n', stdout);
}

/* ---- every accelerator ---- */

static enum style verdict_style(int32_t verdict)
{
    return verdict == TENON_VERDICT_FITS ? STYLE_GOOD : verdict == TENON_VERDICT_TIGHT ? STYLE_WARN : verdict == TENON_VERDICT_NO ? STYLE_BAD : STYLE_DIM;
}

static void print_reasons(struct tool *tool, tenon_task *task)
{
    tenon_reason reason = { .struct_size = sizeof reason };

    for (uint32_t i = 0; tenon_task_offer_reason(task, i, &reason) == TENON_OK; i++) {
        printf("     %s", style(&tool->out, STYLE_DIM));
        put_text(stdout, reason.message);
        if (*reason.change != '\0') {
            fputs("; ", stdout);
            put_text(stdout, reason.change);
        }
        printf("%s\n", style(&tool->out, STYLE_PLAIN));
    }
}

static void print_offer(struct tool *tool, tenon_task *task, const tenon_offer *offer, int number)
{
    struct scale scale = make_scale(tool, offer->have_bytes, offer->need_bytes);
    tenon_memory memory = { .struct_size = sizeof memory };

    printf("%2d.  %s", number, style(&tool->out, STYLE_BOLD));
    put_text(stdout, offer->accelerator);
    printf("%s  ", style(&tool->out, STYLE_PLAIN));
    put_text(stdout, offer->chip);
    printf("\n     %s", style(&tool->out, verdict_style(offer->verdict)));
    put_text(stdout, offer->summary);
    printf("%s\n", style(&tool->out, STYLE_PLAIN));
    for (uint32_t i = 0; tenon_task_offer_memory(task, i, &memory) == TENON_OK; i++)
        print_memory(tool, &scale, &memory);
    print_reasons(tool, task);
    fputc('\n', stdout);
}

static void write_reasons(tenon_task *task)
{
    tenon_reason reason = { .struct_size = sizeof reason };
    struct json_array array;

    fputs(", \"reasons\": ", stdout);
    json_array_begin(&array, stdout);
    for (uint32_t i = 0; tenon_task_offer_reason(task, i, &reason) == TENON_OK; i++) {
        json_array_next(&array);
        json_row(stdout, reason_fields, &reason);
    }
    json_array_end(&array);
}

static void write_memory(tenon_task *task)
{
    tenon_memory memory = { .struct_size = sizeof memory };
    struct json_array array;

    fputs(", \"memory\": ", stdout);
    json_array_begin(&array, stdout);
    for (uint32_t i = 0; tenon_task_offer_memory(task, i, &memory) == TENON_OK; i++) {
        json_array_next(&array);
        json_row(stdout, memory_fields, &memory);
    }
    json_array_end(&array);
}

static void write_offer(tenon_task *task, const tenon_offer *offer)
{
    putchar('{');
    json_members(stdout, offer_fields, offer);
    write_reasons(task);
    write_memory(task);
    putchar('}');
}

/* The facts come last, because they are there when the task has ended. */
static void write_facts(tenon_task *task)
{
    const char *facts = "";

    tenon_task_json(task, &facts);
    fputs(", \"facts\": ", stdout);
    json_raw(stdout, facts);
    fputs("}\n", stdout);
}

static int show_offers(struct tool *tool, tenon_task *task)
{
    tenon_offer offer = { .struct_size = sizeof offer };
    struct json_array array;
    tenon_status status = tenon_task_next_offer(task, -1, &offer);
    bool fits = false;

    if (status < 0)
        return fail_task(tool, task);
    if (tool->arguments.json) {
        printf("{\"offers\": ");
        json_array_begin(&array, stdout);
    }
    for (int number = 1; status == TENON_OK; number++) {
        fits = fits || offer.verdict == TENON_VERDICT_FITS || offer.verdict == TENON_VERDICT_TIGHT;
        if (tool->arguments.json) {
            json_array_next(&array);
            write_offer(task, &offer);
        } else
            print_offer(tool, task, &offer, number);
        status = tenon_task_next_offer(task, -1, &offer);
    }
    if (tool->arguments.json) {
        json_array_end(&array);
        write_facts(task);
    }
    return status < 0 ? fail_task(tool, task) : fits ? EXIT_OK : EXIT_DOES_NOT_FIT;
}

static int plan_all(struct tool *tool, const tenon_plan_options *options)
{
    tenon_task *task = NULL;
    int status;

    if (tenon_accelerator_plan(tool->context, tool->arguments.operands[0], options, &task) != TENON_OK)
        return fail_context(tool);
    status = show_offers(tool, task);
    tenon_task_free(task);
    return status;
}

/* ---- one accelerator ---- */

static int64_t budget(const tenon_machine *machine)
{
    return machine->memory_free_bytes >= 0 ? machine->memory_free_bytes : machine->memory_bytes;
}

static void begin_fit(struct tool *tool, const tenon_machine *machine, struct json_array *array)
{
    if (tool->arguments.json) {
        printf("{\"accelerator\": ");
        json_row(stdout, machine_fields, machine);
        printf(", \"memory\": ");
        json_array_begin(array, stdout);
    } else {
        fputs(style(&tool->out, STYLE_BOLD), stdout);
        put_text(stdout, machine->name);
        printf("%s  ", style(&tool->out, STYLE_PLAIN));
        put_text(stdout, machine->chip);
        fputc('\n', stdout);
    }
}

/* The verdict: of a model that does not fit, the failure says it. */
static void end_fit(struct tool *tool, tenon_task *task, tenon_status status, struct json_array *array)
{
    tenon_error error = { .struct_size = sizeof error };
    const char *summary = "";
    bool fits = status >= 0;

    tenon_task_text(task, &summary);
    if (!fits && *summary == '\0' && tenon_task_error(task, &error) == TENON_OK)
        summary = error.message;
    if (tool->arguments.json) {
        json_array_end(array);
        printf(", \"fits\": %s, \"summary\": ", fits ? "true" : "false");
        json_text(stdout, summary);
        write_facts(task);
    } else {
        printf("     %s", style(&tool->out, fits ? STYLE_GOOD : STYLE_BAD));
        put_text(stdout, summary);
        printf("%s\n", style(&tool->out, STYLE_PLAIN));
    }
}

static int show_fit(struct tool *tool, const tenon_machine *machine, tenon_task *task)
{
    tenon_memory memory = { .struct_size = sizeof memory };
    struct scale scale = make_scale(tool, budget(machine), 0);
    struct json_array array = { stdout, 0 };
    tenon_status status = tenon_task_next_memory(task, -1, &memory);

    if (status < 0 && status != TENON_ERROR_DOES_NOT_FIT)
        return fail_task(tool, task);
    begin_fit(tool, machine, &array);
    while (status == TENON_OK) {
        if (tool->arguments.json) {
            json_array_next(&array);
            json_row(stdout, memory_fields, &memory);
        } else
            print_memory(tool, &scale, &memory);
        status = tenon_task_next_memory(task, -1, &memory);
    }
    end_fit(tool, task, status, &array);
    if (status < 0 && status != TENON_ERROR_DOES_NOT_FIT)
        return fail_task(tool, task);
    return status < 0 ? EXIT_DOES_NOT_FIT : EXIT_OK;
}

static int plan_one(struct tool *tool, const tenon_plan_options *options)
{
    tenon_accelerator *accelerator = NULL;
    tenon_machine machine = { .struct_size = sizeof machine };
    tenon_task *task = NULL;
    int status;

    if (tenon_accelerator_open(tool->context, tool->arguments.on, &accelerator) != TENON_OK)
        return fail_context(tool);
    if (tenon_accelerator_facts(accelerator, &machine) != TENON_OK ||
        tenon_accelerator_fit(accelerator, tool->arguments.operands[0], options, &task) != TENON_OK)
        status = fail_context(tool);
    else
        status = show_fit(tool, &machine, task);
    tenon_task_free(task);
    tenon_accelerator_free(accelerator);
    return status;
}

int command_plan(struct tool *tool)
{
    const struct arguments *arguments = &tool->arguments;
    tenon_plan_options options = { .struct_size = sizeof options, .purpose = arguments->purpose, .revision = arguments->revision,
                                   .file = arguments->file, .context_tokens = arguments->context, .sequences = arguments->sequences };

    return arguments->on != NULL ? plan_one(tool, &options) : plan_all(tool, &options);
}
