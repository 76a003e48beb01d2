#include "answer.h"

#include <string.h>

#include "json.h"
#include "refusal.h"

enum {
    EVENT_LIMIT = 16 * 1024 * 1024,
    PIECES_LIMIT = 128 * 1024 * 1024 /* of one JSON: each of its pieces carries all of it */
};

/* The piece carries the JSON that the task has got last. */
static tenon_status push(struct answer *answer, tenon_piece *piece)
{
    struct tenon_task *task = answer->task;

    if (task->row_bytes > PIECES_LIMIT)
        return tn_fail(&task->failure, TENON_ERROR_PROTOCOL, "one JSON of the answer makes more than %d bytes of pieces",
                       (int)PIECES_LIMIT);
    answer->pieces++;
    piece->struct_size = sizeof *piece;
    piece->json = task->json;
    return tn_task_push(task, piece);
}

static tenon_piece piece_of(int32_t kind, int32_t choice)
{
    tenon_piece piece = { .kind = kind, .choice = choice, .prompt_tokens = -1, .completion_tokens = -1 };

    return piece;
}

/* Which choice or tool call it is; -1 where the server gives no number that makes sense. */
static int32_t index_of(const json_t *json, size_t other)
{
    int64_t index = tn_json_integer(json, "index", (int64_t)other);

    return index >= 0 && index <= INT32_MAX ? (int32_t)index : -1;
}

static bool says_something(const char *text)
{
    return text != NULL && *text != '\0';
}

/* ---- the parts of one choice ---- */

static tenon_status take_text(struct answer *answer, const char *text, int32_t choice)
{
    struct tenon_task *task = answer->task;
    tenon_piece piece = piece_of(TENON_PIECE_TEXT, choice);

    if (!says_something(text))
        return TENON_OK;
    piece.text = text;
    if (choice == 0)
        tn_text_add(&task->text, text);
    if (task->text.full)
        return tn_fail(&task->failure, TENON_ERROR_PROTOCOL, "the answer's text is larger than %zu bytes", task->text.limit);
    if (task->text.failed)
        return tn_fail_memory(&task->failure);
    return push(answer, &piece);
}

static tenon_status take_reasoning(struct answer *answer, const json_t *delta, int32_t choice)
{
    tenon_piece piece = piece_of(TENON_PIECE_REASONING, choice);
    const char *text = tn_json_text(delta, "reasoning_content");

    if (text == NULL)
        text = tn_json_text(delta, "reasoning");
    if (!says_something(text))
        return TENON_OK;
    piece.reasoning = text;
    return push(answer, &piece);
}

static tenon_status take_tools(struct answer *answer, const json_t *delta, int32_t choice)
{
    json_t *calls = tn_json_member(delta, "tool_calls"), *call;
    tenon_status status = TENON_OK;
    size_t i;

    json_array_foreach(calls, i, call) {
        json_t *function = tn_json_member(call, "function");
        tenon_piece piece = piece_of(TENON_PIECE_TOOL, choice);

        piece.tool = index_of(call, i);
        piece.tool_id = tn_json_text(call, "id");
        piece.tool_name = tn_json_text(function, "name");
        piece.tool_arguments = tn_json_text(function, "arguments");
        if (status == TENON_OK)
            status = push(answer, &piece);
    }
    return status;
}

/* What is said in a way that is not known here, such as a refusal or sound. */
static tenon_status take_unknown(struct answer *answer, json_t *delta, int32_t choice)
{
    tenon_piece piece = piece_of(TENON_PIECE_UNKNOWN, choice);
    const char *key;
    json_t *value;
    bool found = false;

    json_object_foreach(delta, key, value)
        found = found || (strcmp(key, "role") != 0 &&
                          (json_string_length(value) > 0 || json_array_size(value) > 0 || json_object_size(value) > 0));
    return found ? push(answer, &piece) : TENON_OK;
}

static tenon_status take_stop(struct answer *answer, const json_t *choice, int32_t index)
{
    tenon_piece piece = piece_of(TENON_PIECE_STOP, index);
    const char *reason = tn_json_text(choice, "finish_reason");

    if (!says_something(reason))
        return TENON_OK;
    answer->stopped = true;
    piece.stop_reason = reason;
    return push(answer, &piece);
}

/* "delta" of a chunk, "message" of a whole answer, "text" of a completion. */
static tenon_status take_choice(struct answer *answer, const json_t *choice)
{
    int32_t index = index_of(choice, 0);
    size_t pieces = answer->pieces;
    json_t *delta = tn_json_member(choice, "delta");
    const char *text = tn_json_text(choice, "text");
    tenon_status status;

    if (delta == NULL)
        delta = tn_json_member(choice, "message");
    if (text == NULL)
        text = tn_json_text(delta, "content");
    status = take_reasoning(answer, delta, index);
    if (status == TENON_OK)
        status = take_text(answer, text, index);
    if (status == TENON_OK)
        status = take_tools(answer, delta, index);
    if (status == TENON_OK && answer->pieces == pieces)
        status = take_unknown(answer, delta, index);
    return status == TENON_OK ? take_stop(answer, choice, index) : status;
}

static tenon_status take_usage(struct answer *answer, const json_t *json)
{
    json_t *usage = tn_json_member(json, "usage");
    tenon_piece piece = piece_of(TENON_PIECE_USAGE, 0);

    if (!json_is_object(usage))
        return TENON_OK;
    piece.prompt_tokens = tn_json_count(usage, "prompt_tokens");
    piece.completion_tokens = tn_json_count(usage, "completion_tokens");
    return push(answer, &piece);
}

static tenon_status fail_in_the_middle(struct answer *answer, const char *words)
{
    struct failure *failure = &answer->task->failure;

    tn_fail(failure, TENON_ERROR_FAILED, "the server failed in the middle of the answer: %s", words);
    return tn_hint(failure, "What had come until then is in the task's text; try again.");
}

/* A server may fail in the middle of what began well. */
static tenon_status take_error(struct answer *answer, const json_t *json)
{
    fail_in_the_middle(answer, tn_refusal_words(json));
    tn_refusal_note_code(json, &answer->task->failure);
    return TENON_ERROR_FAILED;
}

/* One chunk, or the whole. */
static tenon_status take_json(struct answer *answer, const json_t *json)
{
    json_t *choices = tn_json_member(json, "choices"), *choice;
    size_t i;
    tenon_status status = tn_task_set_json(answer->task, json);

    if (status == TENON_OK && tn_refusal_is(json))
        status = take_error(answer, json);
    json_array_foreach(choices, i, choice)
        if (status == TENON_OK)
            status = take_choice(answer, choice);
    return status == TENON_OK ? take_usage(answer, json) : status;
}

tenon_status tn_answer_take(struct answer *answer, const json_t *json)
{
    tenon_status status = take_json(answer, json);

    if (status == TENON_OK && !json_is_array(tn_json_member(json, "choices")))
        status = tn_fail(&answer->task->failure, TENON_ERROR_PROTOCOL, "the server's answer holds no choices");
    return status;
}

/* ---- events ---- */

static tenon_status read_event(struct answer *answer, const char *data, size_t size, json_t **json)
{
    struct failure *failure = &answer->task->failure;
    tenon_status status = tn_json_read(data, size, "an event of the answer", json, failure);

    if (status == TENON_OK && !json_is_object(*json))
        status = tn_fail(failure, TENON_ERROR_PROTOCOL, "an event of the answer is no JSON object");
    return status;
}

static tenon_status take_event(void *owner, const char *name, const char *data, size_t size)
{
    struct answer *answer = owner;
    bool is_error = strcmp(name, "error") == 0;
    json_t *json = NULL;
    tenon_status status = TENON_OK;

    answer->ended = answer->ended || tn_starts_with(data, "[DONE]");
    if (!answer->ended)
        status = read_event(answer, data, size, &json);
    if (is_error && status == TENON_ERROR_PROTOCOL)
        status = fail_in_the_middle(answer, data);
    else if (is_error && status == TENON_OK && json != NULL)
        status = take_error(answer, json);
    else if (status == TENON_OK && json != NULL)
        status = take_json(answer, json);
    json_decref(json);
    return status;
}

void tn_answer_init(struct answer *answer, struct tenon_task *task)
{
    memset(answer, 0, sizeof *answer);
    answer->task = task;
    tn_events_init(&answer->events, &task->handle.context->memory, EVENT_LIMIT);
    answer->events.event = take_event;
    answer->events.owner = answer;
}

void tn_answer_clear(struct answer *answer)
{
    if (answer->task == NULL)
        return;
    tn_events_clear(&answer->events);
    answer->task = NULL;
}

tenon_status tn_answer_feed(struct answer *answer, const char *bytes, size_t size)
{
    struct failure *failure = &answer->task->failure;
    tenon_status status = tn_events_feed(&answer->events, bytes, size);

    if (answer->events.line.full || answer->events.data.full)
        status = tn_fail(failure, TENON_ERROR_PROTOCOL, "an event of the answer is larger than %d bytes", (int)EVENT_LIMIT);
    else if (status == TENON_ERROR_MEMORY)
        status = tn_fail_memory(failure);
    return status;
}

tenon_status tn_answer_end(struct answer *answer)
{
    if (answer->ended || answer->stopped)
        return TENON_OK;
    tn_fail(&answer->task->failure, TENON_ERROR_NETWORK, "the answer was cut short");
    return tn_hint(&answer->task->failure, "What had come until then is in the task's text; try again.");
}
