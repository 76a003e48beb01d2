#include "accelerator.h"

#include "locator.h"
#include "probe.h"
#include "task.h"

/* Where accelerators come from. A catalogue of others' machines is another row of this table. */
static const struct place {
    const char *name;
    tenon_status (*list)(struct tenon_context *context, struct inventory *inventory);
} places[] = {
    { "local", tn_probe },
};

static tenon_status list_place(struct tenon_context *context, const char *place, struct inventory *inventory)
{
    tenon_status status = TENON_OK;

    for (size_t i = 0; i < sizeof places / sizeof places[0] && status == TENON_OK; i++)
        if (place == NULL || tn_compare_case(place, places[i].name) == 0)
            status = places[i].list(context, inventory);
    return status;
}

static bool is_place(const char *name)
{
    bool found = name == NULL;

    for (size_t i = 0; i < sizeof places / sizeof places[0] && !found; i++)
        found = tn_compare_case(name, places[i].name) == 0;
    return found;
}

tenon_status tn_accelerators(struct tenon_context *context, struct inventory *inventory)
{
    return list_place(context, NULL, inventory);
}

/* ---- the handle ---- */

static void accelerator_destroy(struct handle *handle)
{
    struct tenon_accelerator *accelerator = TN_CONTAINER(handle, struct tenon_accelerator, handle);

    tn_inventory_clear(&accelerator->inventory);
    tn_release(&handle->context->memory, accelerator);
}

tenon_status tn_accelerator_open(struct tenon_context *context, const char *name, tenon_accelerator **out)
{
    struct locator locator;
    struct tenon_accelerator *accelerator = NULL;
    tenon_status status = tn_locator_parse(name, &locator, &context->failure);

    if (status != TENON_OK)
        return status;
    accelerator = tn_alloc(&context->memory, sizeof *accelerator);
    if (accelerator == NULL)
        return tn_fail_memory(&context->failure);
    tn_handle_init(&accelerator->handle, context, accelerator_destroy);
    tn_inventory_init(&accelerator->inventory, &context->memory);
    status = tn_accelerators(context, &accelerator->inventory);
    if (status != TENON_OK)
        tn_fail_memory(&context->failure);
    else
        status = tn_locator_resolve(&locator, &accelerator->inventory, &accelerator->machine, &context->failure);
    if (status == TENON_OK)
        *out = accelerator;
    else
        tn_accelerator_drop(accelerator);
    return status;
}

void tn_accelerator_drop(tenon_accelerator *accelerator)
{
    struct tenon_context *context;

    if (accelerator == NULL || atomic_fetch_sub(&accelerator->handle.references, 1) > 1)
        return;
    /* The caller is inside; its own reference keeps the context. */
    context = accelerator->handle.context;
    accelerator_destroy(&accelerator->handle);
    tn_context_unref(context);
}

/* ---- public calls ---- */

tenon_status tenon_accelerator_open(tenon_context *context, const char *name, tenon_accelerator **accelerator)
{
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    if (accelerator == NULL)
        status = tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "accelerator is NULL");
    else
        status = tn_accelerator_open(context, name, accelerator);
    return tn_leave(context, status);
}

tenon_accelerator *tenon_accelerator_ref(tenon_accelerator *accelerator)
{
    if (accelerator != NULL)
        tn_handle_ref(&accelerator->handle);
    return accelerator;
}

void tenon_accelerator_free(tenon_accelerator *accelerator)
{
    if (accelerator != NULL)
        tn_handle_free(&accelerator->handle);
}

tenon_status tenon_accelerator_facts(tenon_accelerator *accelerator, tenon_machine *machine)
{
    tenon_status status = accelerator != NULL ? tn_enter(accelerator->handle.context) : TENON_ERROR_MISUSE;

    if (status != TENON_OK)
        return status;
    status = tn_row_give(&tn_row_machine, &accelerator->machine->row, machine);
    if (status != TENON_OK)
        tn_fail(&accelerator->handle.context->failure, status, "machine is NULL or its struct_size is not set");
    return tn_leave(accelerator->handle.context, status);
}

/* ---- the list ---- */

struct list {
    struct tenon_task task;
    const char *place;
    struct inventory inventory;
    size_t next;
};

static void list_clear(struct tenon_task *task)
{
    tn_inventory_clear(&((struct list *)task)->inventory);
}

static tenon_status list_step(struct co *co)
{
    struct list *list = TN_CONTAINER(co, struct list, task.co);

    CO_BEGIN(co);
    tn_task_stage(&list->task, "probing", list->place);
    if (list_place(co->context, list->place, &list->inventory) != TENON_OK)
        return tn_fail_memory(&list->task.failure);
    for (; list->next < list->inventory.count; list->next++) {
        AWAIT(co, tn_task_has_room(&list->task));
        if (tn_task_push(&list->task, &list->inventory.machines[list->next].row) != TENON_OK)
            return TENON_ERROR_MEMORY;
    }
    CO_END(co);
    return TENON_OK;
}

static const struct operation list_operation = {
    .name = "listing accelerators", .size = sizeof(struct list), .row = &tn_row_machine, .step = list_step, .clear = list_clear,
};

static tenon_status list_new(struct tenon_context *context, const char *place, struct list **out)
{
    struct list *list = NULL;
    tenon_status status;

    if (!is_place(place)) {
        tn_fail(&context->failure, TENON_ERROR_UNSUPPORTED, "tenon %s does not know the place \"%s\"", tenon_version(), place);
        return tn_hint(&context->failure, "It knows: local.");
    }
    status = tn_task_new(context, &list_operation, &list);
    if (status != TENON_OK)
        return status;
    tn_inventory_init(&list->inventory, &context->memory);
    status = tn_task_keep(&list->task, place, &list->place);
    if (status == TENON_OK)
        *out = list;
    else
        tn_task_drop(&list->task);
    return status;
}

tenon_status tenon_accelerator_list(tenon_context *context, const char *place, tenon_task **task)
{
    struct list *list = NULL;
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    status = list_new(context, place, &list);
    if (status == TENON_OK)
        status = tn_task_launch(&list->task, task);
    return tn_leave(context, status);
}
