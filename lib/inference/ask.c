/* tenon_inference_chat and tenon_inference_complete. */
#include <string.h>
#include <strings.h>

#include "answer.h"
#include "json.h"
#include "question.h"
#include "refusal.h"
#include "target.h"

enum { REPEATS = 2, PATIENCE_MS = 1000 };

struct ask {
    struct tenon_task task;
    struct target target;
    const char *route;   /* "chat/completions" */
    json_t *question;
    struct request request;
    struct answer answer;
    struct timer patience; /* runs when the answer is complete and the line still open */
    char *body;
    bool streams;          /* the answer is a stream of events */
};

/* ---- which model ---- */

static void ask_models(struct ask *ask)
{
    tn_request_url(&ask->request, "%s/models", tn_text(&ask->target.address));
    ask->request.bearer = tn_target_key(&ask->target);
    ask->request.what = "the list of models";
    ask->request.decode = true;
    ask->request.explain = tn_refusal_explain;
    ask->request.retries = REPEATS;
    tn_request_start(&ask->request, &ask->task.co);
}

/* The first model that the server lists. A server that lists none may need no name. */
static tenon_status take_model(struct ask *ask)
{
    json_t *json = NULL;
    const char *id;
    tenon_status status = tn_response_json(&ask->request, &json);

    if (status != TENON_OK)
        return tn_task_fail_from(&ask->task, &ask->request.failure);
    id = tn_json_text(json_array_get(tn_json_member(json, "data"), 0), "id");
    if (id != NULL && !tn_json_set_text(ask->question, "model", id))
        status = tn_fail_memory(&ask->task.failure);
    json_decref(json);
    return status;
}

/* ---- the question ---- */

static tenon_status answer_begun(struct request *request)
{
    static const char wanted[] = "text/event-stream";
    struct ask *ask = request->owner;
    struct text type;
    size_t length;
    bool known;

    tn_text_init(&type, &request->context->memory, 1024);
    tn_response_header(request, "content-type", &type);
    known = !type.failed || type.full;
    length = strcspn(tn_text(&type), "; \t");
    ask->streams = length == strlen(wanted) && strncasecmp(tn_text(&type), wanted, length) == 0;
    tn_text_clear(&type);
    return known ? TENON_OK : tn_fail_memory(&ask->task.failure);
}

static tenon_status take_events(struct ask *ask, const char *bytes, size_t size)
{
    tenon_status status = tn_answer_feed(&ask->answer, bytes, size);

    /* The end of the line is awaited, so that it can be used again; but not for ever. */
    if (status == TENON_OK && ask->answer.ended && !tn_timer_running(&ask->patience))
        tn_timer_set(ask->task.handle.context, &ask->patience, PATIENCE_MS, &ask->task.co);
    return status;
}

static tenon_status keep_part(struct ask *ask, const char *bytes, size_t size)
{
    struct text *whole = &ask->request.answer;

    if (size > ask->request.body_limit - whole->length)
        return tn_fail(&ask->task.failure, TENON_ERROR_PROTOCOL, "the answer is larger than %zu bytes", ask->request.body_limit);
    tn_text_add_n(whole, bytes, size);
    return tn_text_status(whole) == TENON_OK ? TENON_OK : tn_fail_memory(&ask->task.failure);
}

static tenon_status answer_data(struct request *request, const char *bytes, size_t size)
{
    struct ask *ask = request->owner;

    if (!tn_task_has_room(&ask->task))
        return TENON_AGAIN;
    return ask->streams ? take_events(ask, bytes, size) : keep_part(ask, bytes, size);
}

static void reader_made_room(struct tenon_task *task)
{
    tn_request_resume(&TN_CONTAINER(task, struct ask, task)->request);
}

static tenon_status send_question(struct ask *ask)
{
    struct request *request = &ask->request;

    ask->body = tn_json_write(&ask->task.handle.context->memory, ask->question);
    if (ask->body == NULL)
        return tn_fail_memory(&ask->task.failure);
    tn_request_reset(request);
    tn_request_url(request, "%s/%s", tn_text(&ask->target.address), ask->route);
    tn_request_header(request, "Content-Type", "application/json");
    tn_request_header(request, "Accept",
                      json_is_true(tn_json_member(ask->question, "stream")) ? "text/event-stream" : "application/json");
    request->method = "POST";
    request->body = ask->body;
    request->body_size = strlen(ask->body);
    request->bearer = tn_target_key(&ask->target);
    request->what = "the answer";
    request->stream = true;
    request->silence = SETTING_INFERENCE_IDLE_MS;
    /* A question costs time and money: it is not asked again where it may have been heard. */
    request->begs = true;
    request->retries = REPEATS;
    request->retry_count = &ask->task.progress.retries;
    request->owner = ask;
    request->begun = answer_begun;
    request->data = answer_data;
    request->explain = tn_refusal_explain;
    tn_request_start(request, &ask->task.co);
    return TENON_OK;
}

static tenon_status take_whole(struct ask *ask)
{
    json_t *json = NULL;
    tenon_status status = tn_response_json(&ask->request, &json);

    if (status != TENON_OK)
        return tn_task_fail_from(&ask->task, &ask->request.failure);
    status = tn_answer_take(&ask->answer, json);
    json_decref(json);
    return status;
}

/* True when nothing more is to be awaited. */
static bool answer_is_over(const struct ask *ask)
{
    return !tn_co_running(&ask->request.co) || (ask->answer.ended && !tn_timer_running(&ask->patience));
}

/* What the end of the request means. A failure that the answer noted itself stays; of one that is complete no line is missing. */
static tenon_status conclude(struct ask *ask)
{
    tenon_status status = ask->answer.ended ? TENON_OK : ask->request.co.status;

    if (status != TENON_OK && ask->task.failure.status != status)
        tn_task_fail_from(&ask->task, &ask->request.failure);
    if (status != TENON_OK)
        return status;
    return ask->streams ? tn_answer_end(&ask->answer) : take_whole(ask);
}

/* ---- the operation ---- */

static tenon_status ask_step(struct co *co)
{
    struct ask *ask = TN_CONTAINER(co, struct ask, task.co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_task_stage(&ask->task, "asking", tn_text(&ask->target.address));
    if (tn_json_member(ask->question, "model") == NULL) {
        ask_models(ask);
        AWAIT(co, !tn_co_running(&ask->request.co));
        status = ask->request.co.status;
        status = status == TENON_OK ? take_model(ask) : tn_task_fail_from(&ask->task, &ask->request.failure);
    }
    if (status == TENON_OK) {
        tn_task_stage(&ask->task, "answering", tn_text(&ask->target.address));
        status = send_question(ask);
    }
    if (status == TENON_OK) {
        AWAIT(co, answer_is_over(ask));
        status = conclude(ask);
    }
    CO_END(co);
    return tn_refusal_advise(status, &ask->task.failure);
}

static void ask_clear(struct tenon_task *task)
{
    struct ask *ask = TN_CONTAINER(task, struct ask, task);

    tn_timer_stop(task->handle.context, &ask->patience);
    tn_request_clear(&ask->request);
    tn_answer_clear(&ask->answer);
    tn_target_clear(&ask->target);
    tn_release(&task->handle.context->memory, ask->body);
    ask->body = NULL;
    json_decref(ask->question);
    ask->question = NULL;
}

static const struct operation chat = {
    .name = "asking a model", .size = sizeof(struct ask), .row = &tn_row_piece, .step = ask_step, .clear = ask_clear,
    .drained = reader_made_room,
};
static const struct operation complete = {
    .name = "completing a text", .size = sizeof(struct ask), .row = &tn_row_piece, .step = ask_step, .clear = ask_clear,
    .drained = reader_made_room,
};

/* Asks, by a task that is launched. question is taken over, also on failure. */
static tenon_status ask_about(struct tenon_context *context, const struct operation *operation, const char *target,
                              const char *key, const char *model, json_t *question, tenon_task **task)
{
    struct ask *ask = NULL;
    tenon_status status = tn_task_new(context, operation, &ask);

    if (status != TENON_OK) {
        json_decref(question);
        return status;
    }
    ask->question = question;
    ask->route = operation == &chat ? "chat/completions" : "completions";
    tn_target_init(&ask->target, context);
    tn_request_init(&ask->request, context);
    tn_answer_init(&ask->answer, &ask->task);
    status = tn_target_open(&ask->target, context, target, key, &context->failure);
    if (status == TENON_OK && model != NULL && !tn_json_set_text(question, "model", model))
        status = tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "the name of the model is not UTF-8");
    if (status == TENON_OK)
        status = tn_task_launch(&ask->task, task);
    else
        tn_task_drop(&ask->task);
    return status;
}

tenon_status tenon_inference_chat(tenon_context *context, const char *target, const tenon_chat_options *given, tenon_task **task)
{
    tenon_chat_options options;
    json_t *question = NULL;
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    status = tn_options(context, given, &options, sizeof options);
    if (status == TENON_OK)
        status = tn_question_chat(&options, &question, &context->failure);
    if (status == TENON_OK)
        status = ask_about(context, &chat, target, options.key, options.model, question, task);
    return tn_leave(context, status);
}

tenon_status tenon_inference_complete(tenon_context *context, const char *target, const tenon_complete_options *given,
                                      tenon_task **task)
{
    tenon_complete_options options;
    json_t *question = NULL;
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    status = tn_options(context, given, &options, sizeof options);
    if (status == TENON_OK)
        status = tn_question_complete(&options, &question, &context->failure);
    if (status == TENON_OK)
        status = ask_about(context, &complete, target, options.key, options.model, question, task);
    return tn_leave(context, status);
}
