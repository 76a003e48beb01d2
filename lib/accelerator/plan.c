#include <stdlib.h>
#include <string.h>

#include "accelerator.h"
#include "loading.h"
#include "offer.h"
#include "task.h"

/* What fitting and planning have in common: a model whose headers are read, and a question. */
struct plan {
    struct tenon_task task;
    struct loading loading;
    struct question question;
    const char *model;
    tenon_accelerator *accelerator; /* with a reference; NULL for a plan */
    struct inventory inventory;     /* of a plan */
    struct offer *offers;
    size_t count, next;
};

static void plan_clear(struct tenon_task *task)
{
    struct plan *plan = (struct plan *)task;

    tn_loading_clear(&plan->loading);
    tn_accelerator_drop(plan->accelerator);
    plan->accelerator = NULL;
    tn_inventory_clear(&plan->inventory);
    tn_release(&task->handle.context->memory, plan->offers);
    plan->offers = NULL;
}

/* ---- between the model and the rows ---- */

/* The task's JSON: the facts of the model. */
static tenon_status show_facts(struct plan *plan)
{
    json_t *json = tn_loading_json(&plan->loading, plan->model);
    tenon_status status = json != NULL ? tn_task_set_json(&plan->task, json) : tn_fail_memory(&plan->task.failure);

    json_decref(json);
    return status;
}

static tenon_status take_model(struct plan *plan)
{
    if (plan->loading.co.status != TENON_OK)
        return tn_task_fail_from(&plan->task, &plan->loading.failure);
    plan->task.progress.bytes = plan->loading.origin.bytes;
    tn_question_finish(&plan->question, &plan->loading.facts);
    return show_facts(plan);
}

static tenon_status make_offers(struct plan *plan, const struct machine *machines, size_t count)
{
    tenon_status status = TENON_OK;

    plan->offers = tn_alloc_array(&plan->task.handle.context->memory, count, sizeof *plan->offers);
    if (plan->offers == NULL)
        return tn_fail_memory(&plan->task.failure);
    for (plan->count = 0; plan->count < count && status == TENON_OK; plan->count++)
        status = tn_offer_make(&plan->loading.facts, &machines[plan->count], &plan->question, &plan->task.arena,
                               &plan->offers[plan->count]);
    if (status != TENON_OK)
        return tn_fail_memory(&plan->task.failure);
    qsort(plan->offers, plan->count, sizeof *plan->offers, tn_offer_compare);
    return TENON_OK;
}

/* Begins what both operations begin with; it wakes the task. */
static void read_headers(struct plan *plan)
{
    tn_task_stage(&plan->task, "reading headers", plan->model);
    tn_loading_start(&plan->loading, &plan->task.co);
}

/* ---- fit ---- */

static tenon_status push_items(struct plan *plan)
{
    const struct offer *offer = &plan->offers[0];
    tenon_status status = tn_task_set_text(&plan->task, offer->row.summary);

    for (size_t i = 0; i < offer->sized.count && status == TENON_OK; i++)
        status = tn_task_push(&plan->task, &offer->sized.items[i]);
    if (status == TENON_OK && offer->row.verdict == TENON_VERDICT_NO) {
        tn_fail(&plan->task.failure, TENON_ERROR_DOES_NOT_FIT, "%s", offer->row.summary);
        status = tn_hint(&plan->task.failure, "%s", offer->reasons[0].change);
    }
    return status;
}

static tenon_status fit_step(struct co *co)
{
    struct plan *plan = TN_CONTAINER(co, struct plan, task.co);
    tenon_status status;

    CO_BEGIN(co);
    read_headers(plan);
    AWAIT(co, !tn_co_running(&plan->loading.co));
    status = take_model(plan);
    if (status == TENON_OK)
        status = make_offers(plan, plan->accelerator->machine, 1);
    if (status == TENON_OK)
        status = push_items(plan);
    CO_END(co);
    return status;
}

static const struct operation fit_operation = {
    .name = "sizing a model", .size = sizeof(struct plan), .row = &tn_row_memory, .step = fit_step, .clear = plan_clear,
};

/* ---- plan ---- */

static tenon_status push_offer(struct plan *plan, const struct offer *offer)
{
    tenon_status status = tn_task_push(&plan->task, &offer->row);

    for (size_t i = 0; i < offer->reason_count && status == TENON_OK; i++)
        status = tn_task_push_child(&plan->task, &tn_row_reason, &offer->reasons[i]);
    for (size_t i = 0; i < offer->sized.count && status == TENON_OK; i++)
        status = tn_task_push_child(&plan->task, &tn_row_memory, &offer->sized.items[i]);
    return status;
}

/* Looks at every accelerator within reach. */
static tenon_status look_around(struct plan *plan)
{
    if (tn_accelerators(plan->task.handle.context, &plan->inventory) != TENON_OK)
        return tn_fail_memory(&plan->task.failure);
    return make_offers(plan, plan->inventory.machines, plan->inventory.count);
}

static tenon_status plan_step(struct co *co)
{
    struct plan *plan = TN_CONTAINER(co, struct plan, task.co);
    tenon_status status;

    CO_BEGIN(co);
    read_headers(plan);
    AWAIT(co, !tn_co_running(&plan->loading.co));
    status = take_model(plan);
    if (status == TENON_OK)
        status = look_around(plan);
    if (status != TENON_OK)
        return status;
    for (plan->next = 0; plan->next < plan->count; plan->next++) {
        AWAIT(co, tn_task_has_room(&plan->task));
        status = push_offer(plan, &plan->offers[plan->next]);
        if (status != TENON_OK)
            return status;
    }
    CO_END(co);
    return TENON_OK;
}

static const struct operation plan_operation = {
    .name = "planning", .size = sizeof(struct plan), .row = &tn_row_offer, .step = plan_step, .clear = plan_clear,
};

/* ---- public calls ---- */

static tenon_status check_options(struct tenon_context *context, const tenon_plan_options *options)
{
    struct failure *failure = &context->failure;

    if (options->purpose < TENON_PURPOSE_SERVE || options->purpose > TENON_PURPOSE_LORA)
        return tn_fail(failure, TENON_ERROR_ARGUMENT, "%d is not a purpose that this version of tenon knows",
                       (int)options->purpose);
    if (options->context_tokens < 0 || options->sequences < 0 || options->lora_rank < 0)
        return tn_fail(failure, TENON_ERROR_ARGUMENT, "tokens of context, sequences and rank cannot be negative");
    return TENON_OK;
}

static tenon_status plan_new(struct tenon_context *context, const struct operation *operation, const char *model,
                             const tenon_plan_options *given, struct plan **out)
{
    struct plan *plan = NULL;
    tenon_plan_options options;
    tenon_status status = tn_options(context, given, &options, sizeof options);

    if (status == TENON_OK)
        status = check_options(context, &options);
    if (status == TENON_OK)
        status = tn_task_new(context, operation, &plan);
    if (status != TENON_OK)
        return status;
    plan->question = (struct question){
        .purpose = options.purpose, .context = options.context_tokens, .sequences = options.sequences, .rank = options.lora_rank,
    };
    tn_inventory_init(&plan->inventory, &context->memory);
    status = tn_loading_open(&plan->loading, context, options.hub, model, options.revision, options.file);
    if (status == TENON_OK)
        status = tn_task_keep(&plan->task, model, &plan->model);
    if (status == TENON_OK)
        *out = plan;
    else
        tn_task_drop(&plan->task);
    return status;
}

tenon_status tenon_accelerator_fit(tenon_accelerator *accelerator, const char *model, const tenon_plan_options *options,
                                   tenon_task **task)
{
    struct tenon_context *context = accelerator != NULL ? accelerator->handle.context : NULL;
    struct plan *plan = NULL;
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    status = plan_new(context, &fit_operation, model, options, &plan);
    if (status == TENON_OK) {
        plan->accelerator = tenon_accelerator_ref(accelerator);
        status = tn_task_launch(&plan->task, task);
    }
    return tn_leave(context, status);
}

tenon_status tenon_accelerator_plan(tenon_context *context, const char *model, const tenon_plan_options *options,
                                    tenon_task **task)
{
    struct plan *plan = NULL;
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    status = plan_new(context, &plan_operation, model, options, &plan);
    if (status == TENON_OK)
        status = tn_task_launch(&plan->task, task);
    return tn_leave(context, status);
}
