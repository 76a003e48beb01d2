#include "question.h"

#include <string.h>

#include "json.h"

/* Parses an option that is JSON; what it must be is said when it is not. */
static tenon_status read_option(const char *text, const char *name, bool array, json_t **json, struct failure *failure)
{
    tenon_status status = tn_json_read(text, strlen(text), name, json, failure);

    if (status == TENON_ERROR_PROTOCOL)
        failure->status = status = TENON_ERROR_ARGUMENT;
    if (status == TENON_OK && (array ? !json_is_array(*json) : !json_is_object(*json))) {
        json_decref(*json);
        *json = NULL;
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "%s is no JSON %s", name, array ? "array" : "object");
    }
    return status;
}

static tenon_status add_message(json_t *messages, bool first, const char *role, const char *content, struct failure *failure)
{
    json_t *message;

    if (content == NULL)
        return TENON_OK;
    message = json_pack("{s:s, s:s}", "role", role, "content", content);
    if (message == NULL)
        return tn_fail(failure, TENON_ERROR_ARGUMENT, "the %s text is not UTF-8", role);
    if ((first ? json_array_insert_new(messages, 0, message) : json_array_append_new(messages, message)) != 0)
        return tn_fail_memory(failure);
    return TENON_OK;
}

static tenon_status make_messages(const tenon_chat_options *options, json_t **messages, struct failure *failure)
{
    tenon_status status = TENON_OK;

    *messages = NULL;
    if (options->prompt == NULL && options->messages == NULL)
        return tn_fail(failure, TENON_ERROR_ARGUMENT, "there is nothing to answer: neither prompt nor messages is given");
    if (options->messages != NULL)
        status = read_option(options->messages, "messages", true, messages, failure);
    else if ((*messages = json_array()) == NULL)
        status = tn_fail_memory(failure);
    if (status == TENON_OK)
        status = add_message(*messages, true, "system", options->system, failure);
    if (status == TENON_OK)
        status = add_message(*messages, false, "user", options->prompt, failure);
    return status;
}

/* Only a stream may have options, or OpenAI refuses the question. */
static bool ask_for_usage(json_t *json)
{
    return !json_is_true(json_object_get(json, "stream")) || json_object_get(json, "stream_options") != NULL ||
           json_object_set_new(json, "stream_options", json_pack("{s:b}", "include_usage", 1)) == 0;
}

/* What every question has. */
static tenon_status finish(json_t *json, uint32_t flags, int64_t max_tokens, const char *parameters, struct failure *failure)
{
    json_t *more = NULL;
    tenon_status status = TENON_OK;
    bool good = json != NULL && (max_tokens == 0 || tn_json_set_integer(json, "max_tokens", max_tokens)) &&
                ((flags & TENON_CHAT_WHOLE) != 0 || json_object_set_new(json, "stream", json_true()) == 0);

    if (max_tokens < 0)
        return tn_fail(failure, TENON_ERROR_ARGUMENT, "max_tokens is negative");
    if (parameters != NULL)
        status = read_option(parameters, "parameters", false, &more, failure);
    if (status == TENON_OK && (!good || (more != NULL && json_object_update(json, more) != 0) || !ask_for_usage(json)))
        status = tn_fail_memory(failure);
    json_decref(more);
    return status;
}

tenon_status tn_question_chat(const tenon_chat_options *options, json_t **out, struct failure *failure)
{
    json_t *messages, *json = NULL;
    tenon_status status = make_messages(options, &messages, failure);

    if (status == TENON_OK) {
        json = json_pack("{s:O}", "messages", messages);
        status = finish(json, options->flags, options->max_tokens, options->parameters, failure);
    }
    json_decref(messages);
    if (status == TENON_OK)
        *out = json;
    else
        json_decref(json);
    return status;
}

tenon_status tn_question_complete(const tenon_complete_options *options, json_t **out, struct failure *failure)
{
    json_t *json;
    tenon_status status;

    if (options->prompt == NULL)
        return tn_fail(failure, TENON_ERROR_ARGUMENT, "there is nothing to continue: prompt is not given");
    json = json_pack("{s:s}", "prompt", options->prompt);
    if (json == NULL)
        return tn_fail(failure, TENON_ERROR_ARGUMENT, "prompt is not UTF-8");
    status = finish(json, options->flags, options->max_tokens, options->parameters, failure);
    if (status == TENON_OK)
        *out = json;
    else
        json_decref(json);
    return status;
}
