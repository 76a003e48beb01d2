/*
 * What a machine says of itself in /proc and /sys: files of kernels and drivers that we have not met. They stand in the
 * input, as fuzz.h says.
 */
#include "fuzz.h"

#include <limits.h>

static void check_machine(const tenon_machine *machine)
{
    HOLDS(fuzz_is_clean(machine->name) && fuzz_is_utf8(machine->json));
    HOLDS(machine->chips >= -1 && machine->memory_bytes >= -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char root[PATH_MAX];
    tenon_machine machine = { .struct_size = sizeof machine };
    tenon_context *context;
    tenon_task *task = NULL;
    tenon_status status;

    fuzz_empty_folder();
    snprintf(root, sizeof root, "%s/root", fuzz_folder());
    if (!fuzz_lay_out(root, bytes, size))
        return -1;
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
