/* tenon_accelerator_check on this machine: can a job run here? */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "engine.h"
#include "file.h"
#include "local_group.h"
#include "local_job.h"
#include "path.h"

enum { LITTLE_ROOM = 1 << 28 };

struct check {
    struct tenon_task task;
    tenon_accelerator *accelerator; /* a reference */
};

static void check_clear(struct tenon_task *task)
{
    struct check *check = TN_CONTAINER(task, struct check, task);

    tn_accelerator_drop(check->accelerator);
    check->accelerator = NULL;
}

static tenon_status push(struct check *check, const char *name, int32_t answer, const struct text *message, const char *fix)
{
    tenon_check row = { .struct_size = sizeof row, .answer = answer, .name = name, .message = tn_text(message),
                        .fix = answer == TENON_CHECK_YES ? "" : fix };

    return message->failed ? tn_fail_memory(&check->task.failure) : tn_task_push(&check->task, &row);
}

static tenon_status check_supervisor(struct check *check, struct text *words)
{
    bool found = tn_local_supervisor(check->task.handle.context, words);

    if (words->length == 0)
        tn_text_add(words, "tenon-supervisor is not found");
    return push(check, "supervisor", found ? TENON_CHECK_YES : TENON_CHECK_NO, words,
                "Install tenon-supervisor with tenon, or name it in the setting job.supervisor (TENON_SUPERVISOR).");
}

static tenon_status check_folder(struct check *check, struct text *words)
{
    bool writable;

    tn_local_jobs(check->task.handle.context, words);
    writable = words->length > 0 && tn_folder_writable(tn_text(words));
    if (words->length == 0)
        tn_text_add(words, "no folder is set");
    return push(check, "jobs folder", writable ? TENON_CHECK_YES : TENON_CHECK_NO, words,
                "Name a folder that can be written in the setting job.folder (TENON_JOBS).");
}

static void add_size(struct text *words, int64_t bytes, const char *what)
{
    tn_text_format(words, "%" PRId64 ".%" PRId64 " GiB %s", bytes >> 30, (bytes % (INT64_C(1) << 30)) * 10 >> 30, what);
}

static tenon_status check_room(struct check *check, struct text *words)
{
    struct text folder;
    int64_t bytes;
    int32_t answer = TENON_CHECK_UNKNOWN;

    tn_text_init(&folder, words->memory, PATH_MAX);
    tn_local_jobs(check->task.handle.context, &folder);
    bytes = folder.length > 0 ? tn_disk_free(tn_text(&folder)) : -1;
    if (bytes < 0)
        tn_text_add(words, "it cannot be told how much room there is");
    else {
        add_size(words, bytes, "free where jobs are kept");
        answer = bytes >= LITTLE_ROOM ? TENON_CHECK_YES : TENON_CHECK_NO;
    }
    tn_text_clear(&folder);
    return push(check, "room", answer, words, "Free some space, or name another folder in the setting job.folder (TENON_JOBS).");
}

static tenon_status check_memory(struct check *check, struct text *words)
{
    const struct machine *cpu = &check->accelerator->inventory.machines[0], *machine = check->accelerator->machine;
    int32_t answer = TENON_CHECK_UNKNOWN;

    if (machine->row.memory_free_bytes >= 0) {
        add_size(words, machine->row.memory_free_bytes, "free on ");
        tn_text_add(words, machine->row.name);
        answer = TENON_CHECK_YES;
    }
    if (machine != cpu && cpu->row.memory_free_bytes >= 0)
        add_size(words, cpu->row.memory_free_bytes, words->length > 0 ? ", and of the host" : "free on the host");
    if (words->length == 0)
        tn_text_add(words, "it cannot be told how much memory is free");
    return push(check, "memory", answer, words, "");
}

static tenon_status check_limits(struct check *check, struct text *words)
{
    if (tn_group_possible("", words->memory))
        tn_text_add(words, "memory limits are kept by a control group");
    else
        tn_text_add(words, "memory limits are kept by looking at what a job uses; no control group can be made here");
    return push(check, "limits", TENON_CHECK_YES, words, "");
}

static tenon_status check_driver(struct check *check, struct text *words)
{
    const struct machine *machine = check->accelerator->machine;
    bool known = machine->row.driver != NULL && *machine->row.driver != '\0';

    if (machine->kind == MACHINE_CPU)
        return TENON_OK;
    tn_text_format(words, "%s, %s%s", machine->row.chip != NULL ? machine->row.chip : "",
                   known ? "driver " : "its driver is not known", known ? machine->row.driver : "");
    return push(check, "driver", known ? TENON_CHECK_YES : TENON_CHECK_UNKNOWN, words, "Install the driver of the accelerator.");
}

/* Engines serve models without a recipe; nothing else needs them, so that one is absent is not wrong. */
static tenon_status check_engine(struct check *check, const char *suffix, struct text *words)
{
    struct tenon_context *context = check->task.handle.context;
    const struct serving_engine *engine = tn_engine_for(suffix);
    const char *path = tn_setting_text(&context->settings, SETTING_JOB_PATH);
    bool found = path != NULL && tn_program_find(engine->program, path, words);
    struct text fix;
    tenon_status status;

    if (!found) {
        tn_text_reset(words);
        tn_text_format(words, "%s is not installed", engine->program);
    }
    tn_text_init(&fix, words->memory, 400);
    tn_text_format(&fix, "Install %s to serve %s models without a recipe; with a recipe it is not needed.", engine->program,
                   engine->format);
    status = push(check, engine->program, found ? TENON_CHECK_YES : TENON_CHECK_UNKNOWN, words, tn_text(&fix));
    tn_text_clear(&fix);
    return status;
}

static tenon_status check_llama(struct check *check, struct text *words)
{
    return check_engine(check, ".gguf", words);
}

static tenon_status check_vllm(struct check *check, struct text *words)
{
    return check_engine(check, ".safetensors", words);
}

static tenon_status check_step(struct co *co)
{
    static tenon_status (*const checks[])(struct check *, struct text *) = {
        check_supervisor, check_folder, check_room, check_memory, check_limits, check_driver, check_llama, check_vllm,
    };
    struct check *check = TN_CONTAINER(co, struct check, task.co);
    struct text words;
    tenon_status status = TENON_OK;

    tn_task_stage(&check->task, "checking", NULL);
    tn_text_init(&words, &co->context->memory, 2 * PATH_MAX);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0] && status == TENON_OK; i++) {
        tn_text_reset(&words);
        status = checks[i](check, &words);
    }
    tn_text_clear(&words);
    return status;
}

static const struct operation check_operation = {
    .name = "checking the accelerator", .size = sizeof(struct check), .row = &tn_row_check, .step = check_step,
    .clear = check_clear,
};

tenon_status tn_local_check_new(tenon_accelerator *accelerator, tenon_task **task)
{
    struct check *check = NULL;
    tenon_status status = tn_task_new(accelerator->handle.context, &check_operation, &check);

    if (status == TENON_OK) {
        check->accelerator = tenon_accelerator_ref(accelerator);
        *task = &check->task;
    }
    return status;
}
