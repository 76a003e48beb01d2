/* tenon_inference_models: what a server has. */
#include "json.h"
#include "refusal.h"
#include "target.h"
#include "task.h"

struct models {
    struct tenon_task task;
    struct target target;
    struct request request;
    json_t *json;
    size_t index;
};

/* llama-server says n_ctx in meta, vLLM max_model_len. */
static int64_t context_of(const json_t *item)
{
    int64_t tokens = tn_json_count(item, "max_model_len");

    return tokens >= 0 ? tokens : tn_json_count(tn_json_member(item, "meta"), "n_ctx");
}

static tenon_status push_one(struct models *models, const json_t *item)
{
    const struct memory *memory = &models->task.handle.context->memory;
    tenon_model row = { .struct_size = sizeof row };
    char *json = tn_json_write(memory, item);
    tenon_status status;

    if (json == NULL)
        return tn_fail_memory(&models->task.failure);
    row.id = tn_json_text(item, "id");
    row.owner = tn_json_text(item, "owned_by");
    row.json = json;
    row.context_tokens = context_of(item);
    status = tn_task_push(&models->task, &row);
    tn_release(memory, json);
    return status;
}

/* TENON_AGAIN when more are left. */
static tenon_status push_some(struct models *models)
{
    json_t *list = tn_json_member(models->json, "data"), *item;
    tenon_status status = TENON_OK;

    while (status == TENON_OK && (item = json_array_get(list, models->index)) != NULL) {
        if (!tn_task_has_room(&models->task))
            return TENON_AGAIN;
        models->index++;
        status = push_one(models, item);
    }
    return status;
}

static tenon_status take_list(struct models *models)
{
    tenon_status status = models->request.co.status;

    if (status == TENON_OK)
        status = tn_response_json(&models->request, &models->json);
    if (status != TENON_OK)
        return tn_task_fail_from(&models->task, &models->request.failure);
    if (!json_is_array(tn_json_member(models->json, "data")))
        return tn_fail(&models->task.failure, TENON_ERROR_PROTOCOL, "the server's list of models is none");
    return tn_task_set_json(&models->task, models->json);
}

static tenon_status models_step(struct co *co)
{
    struct models *models = TN_CONTAINER(co, struct models, task.co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_request_url(&models->request, "%s/models", tn_text(&models->target.address));
    models->request.bearer = tn_target_key(&models->target);
    models->request.what = "the list of models";
    models->request.decode = true;
    models->request.explain = tn_refusal_explain;
    tn_request_start(&models->request, co);
    AWAIT(co, !tn_co_running(&models->request.co));
    status = take_list(models);
    if (status == TENON_OK)
        AWAIT(co, (status = push_some(models)) != TENON_AGAIN);
    CO_END(co);
    return tn_refusal_advise(status, &models->task.failure);
}

static void models_clear(struct tenon_task *task)
{
    struct models *models = TN_CONTAINER(task, struct models, task);

    tn_request_clear(&models->request);
    tn_target_clear(&models->target);
    json_decref(models->json);
    models->json = NULL;
}

static const struct operation operation = { .name = "listing models", .size = sizeof(struct models), .row = &tn_row_model,
                                            .step = models_step, .clear = models_clear };

static tenon_status models_new(struct tenon_context *context, const char *target, const char *key, struct models **out)
{
    struct models *models = NULL;
    tenon_status status = tn_task_new(context, &operation, &models);

    if (status != TENON_OK)
        return status;
    tn_target_init(&models->target, context);
    tn_request_init(&models->request, context);
    status = tn_target_open(&models->target, context, target, key, &context->failure);
    if (status == TENON_OK)
        *out = models;
    else
        tn_task_drop(&models->task);
    return status;
}

tenon_status tenon_inference_models(tenon_context *context, const char *target, const char *key, tenon_task **task)
{
    struct models *models = NULL;
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    status = models_new(context, target, key, &models);
    if (status == TENON_OK)
        status = tn_task_launch(&models->task, task);
    return tn_leave(context, status);
}
