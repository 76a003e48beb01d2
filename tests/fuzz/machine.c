/*
 * What a machine says of itself in /proc and /sys: files of kernels and drivers that we have not met. They stand in the
 * input, each behind a line "==== PATH".
 */
#include "fuzz.h"

#include <limits.h>
#include <string.h>

#include "file.h"
#include "path.h"

static void put(const char *root, const char *name, const char *content)
{
    struct failure failure;
    struct file_facts facts = { .exists = true };
    char path[PATH_MAX];

    tn_failure_init(&failure, fuzz_memory(), NULL);
    snprintf(path, sizeof path, "%s/%s", root, name);
    /* A name may be that of a folder which is there already, or go through a file: then it is left out. */
    if (tn_path_is_safe(name, NULL) && strlen(name) < 512 && tn_folder_make_above(path, &failure) == TENON_OK &&
        tn_file_look(path, &facts, &failure) == TENON_OK && !facts.exists)
        tn_file_replace(path, content, strlen(content), 0644, false, &failure);
    tn_failure_clear(&failure);
}

static void check_machine(const tenon_machine *machine)
{
    HOLDS(fuzz_is_clean(machine->name) && fuzz_is_utf8(machine->json));
    HOLDS(machine->chips >= -1 && machine->memory_bytes >= -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char root[PATH_MAX], *text, *at;
    tenon_machine machine = { .struct_size = sizeof machine };
    tenon_context *context;
    tenon_task *task = NULL;
    tenon_status status;

    if (size < 5 || memcmp(bytes, "==== ", 5) != 0)
        return -1;
    fuzz_empty_folder();
    snprintf(root, sizeof root, "%s/root", fuzz_folder());
    text = at = fuzz_text(bytes + 5, size - 5);
    while (*at != '\0') {
        char *next = fuzz_cut(at, "\n==== "), *content = fuzz_cut(at, "\n");

        put(root, at, content);
        at = next;
    }
    free(text);
    context = fuzz_context();
    HOLDS(tenon_context_set(context, "accelerator.root", root) == TENON_OK);
    status = tenon_accelerator_list(context, NULL, &task);
    while (fuzz_goes_on(status)) {
        status = tenon_task_next_machine(task, 0, &machine);
        if (status == TENON_OK)
            check_machine(&machine);
    }
    fuzz_finish(task);
    tenon_context_free(context);
    return 0;
}
