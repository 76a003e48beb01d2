#include "refusal.h"

#include <string.h>

#include "json.h"

/* The object that describes the error: a member, or at older servers the whole. */
static const json_t *error_of(const json_t *json)
{
    const json_t *error = tn_json_member(json, "error");

    return json_is_object(error) ? error : json;
}

bool tn_refusal_is(const json_t *json)
{
    const json_t *error = tn_json_member(json, "error");

    return json_object_size(error) > 0 || json_string_length(error) > 0 ||
           strcmp(tn_json_text_or(json, "object", ""), "error") == 0;
}

const char *tn_refusal_words(const json_t *json)
{
    return tn_json_text_or(error_of(json), "message", tn_json_text_or(json, "error", "it gives no reason"));
}

void tn_refusal_note_code(const json_t *json, struct failure *failure)
{
    static const char *const keys[] = { "code", "type", "error_type" };
    const json_t *error = error_of(json);
    const char *code = NULL;

    /* A code that is a number only repeats the status. */
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && code == NULL; i++)
        code = tn_json_text(error, keys[i]);
    if (code != NULL)
        tn_failure_set_code(failure, code);
}

tenon_status tn_refusal_advise(tenon_status status, struct failure *failure)
{
    if (status == TENON_ERROR_PROTOCOL && failure->hint == NULL)
        tn_hint(failure, "Check that a server with the calls of OpenAI answers there, and that the address ends with its version, "
                         "as http://127.0.0.1:8000/v1 does.");
    return status;
}

/* llama-server and OpenAI have a code for it, vLLM only words. */
static bool is_too_long(const json_t *json, const struct failure *failure)
{
    const char *code = failure->code != NULL ? failure->code : "";

    return strcmp(code, "exceed_context_size_error") == 0 || strcmp(code, "context_length_exceeded") == 0 ||
           strstr(tn_refusal_words(json), "maximum context length") != NULL;
}

void tn_refusal_explain(struct request *request)
{
    struct failure *failure = &request->failure, ignored;
    json_t *json = NULL;

    tn_failure_init(&ignored, failure->memory, NULL);
    if (tn_json_read(tn_text(&request->answer), request->answer.length, "", &json, &ignored) == TENON_OK)
        tn_refusal_note_code(json, failure);
    if (request->status == 401)
        tn_hint(failure, "%s", request->bearer != NULL ? "Check the key." : "The server wants a key; give it with the question.");
    else if (request->status == 404)
        tn_hint(failure, "Check the model's name, and that the address ends with its version, as http://127.0.0.1:8000/v1 does.");
    else if (request->status == 400 && is_too_long(json, failure))
        tn_hint(failure, "Say less, or serve the model with more context: context_tokens when the job is started.");
    json_decref(json);
    tn_failure_clear(&ignored);
}
