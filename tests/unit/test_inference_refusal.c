#include "support.h"

#include <string.h>

#include "json.h"
#include "refusal.h"

static struct memory memory;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    return 0;
}

/* An error as a server writes it in a stream or in its answer; code NULL: there is none that is no number. */
static const struct {
    const char *json;
    bool is;
    const char *words, *code;
} rows[] = {
    /* OpenAI */
    { "{\"error\": {\"message\": \"Incorrect API key\", \"type\": \"invalid_request_error\", \"param\": null, \"code\": \"invalid_api_key\"}}", true,
      "Incorrect API key", "invalid_api_key" },
    { "{\"error\": {\"message\": \"slow down\", \"type\": \"requests\", \"code\": null}}", true, "slow down", "requests" },
    /* llama-server */
    { "{\"error\": {\"code\": 503, \"message\": \"Loading model\", \"type\": \"unavailable_error\"}}", true, "Loading model", "unavailable_error" },
    /* vLLM, before and after it took over OpenAI's way */
    { "{\"object\": \"error\", \"message\": \"The model `x` does not exist.\", \"type\": \"NotFoundError\", \"param\": null, \"code\": 404}", true,
      "The model `x` does not exist.", "NotFoundError" },
    { "{\"error\": {\"message\": \"too long\", \"type\": \"BadRequestError\", \"param\": null, \"code\": 400}}", true, "too long", "BadRequestError" },
    /* TGI and the hub's inference */
    { "{\"error\": \"Input validation error\", \"error_type\": \"validation\"}", true, "Input validation error", "validation" },
    { "{\"error\": \"Model is overloaded\"}", true, "Model is overloaded", NULL },
    /* Answers, and absurd ones */
    { "{\"choices\": []}", false, "it gives no reason", NULL },
    { "{\"error\": null, \"choices\": []}", false, "it gives no reason", NULL },
    { "{\"error\": {}}", false, "it gives no reason", NULL },
    { "{\"error\": \"\"}", false, "", NULL },
    { "{\"error\": 7}", false, "it gives no reason", NULL },
    { "{\"error\": [\"x\"]}", false, "it gives no reason", NULL },
    { "{\"error\": {\"message\": 7, \"code\": [], \"type\": {}}}", true, "it gives no reason", NULL },
    { "{\"error\": {\"message\": {\"error\": \"x\"}}}", true, "it gives no reason", NULL },
    { "{\"object\": \"error\"}", true, "it gives no reason", NULL },
    { "{\"object\": {\"error\": 1}}", false, "it gives no reason", NULL },
    { "[]", false, "it gives no reason", NULL },
};

static void errors_are_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct failure failure;
        json_t *json = json_loads(rows[i].json, 0, NULL);

        tn_failure_init(&failure, &memory, NULL);
        assert_non_null(json);
        assert_int_equal(tn_refusal_is(json), rows[i].is);
        assert_string_equal(tn_refusal_words(json), rows[i].words);
        tn_fail(&failure, TENON_ERROR_FAILED, "x");
        tn_refusal_note_code(json, &failure);
        if (rows[i].code != NULL)
            assert_string_equal(failure.code, rows[i].code);
        else
            assert_null(failure.code);
        tn_failure_clear(&failure);
        json_decref(json);
    }
}

#define TOO_LONG "Say less, or serve the model with more context: context_tokens when the job is started."

static void an_answer_is_explained(void **state)
{
    static const struct {
        int32_t status;
        const char *bearer, *answer, *code, *hint;
    } answers[] = {
        { 401, NULL, "{\"error\": {\"code\": \"invalid_api_key\"}}", "invalid_api_key", "The server wants a key; give it with the question." },
        { 401, "key", "", NULL, "Check the key." },
        { 404, NULL, "{\"detail\": \"Not Found\"}", NULL, "Check the model's name, and that the address ends with its version, as http://127.0.0.1:8000/v1 does." },
        { 404, NULL, "<html>not found</html>", NULL, "Check the model's name, and that the address ends with its version, as http://127.0.0.1:8000/v1 does." },
        { 400, NULL, "{\"error\": {\"code\": 400, \"message\": \"request (9 tokens) exceeds the available context size (8 tokens)\", "
                     "\"type\": \"exceed_context_size_error\", \"n_prompt_tokens\": 9, \"n_ctx\": 8}}", "exceed_context_size_error", TOO_LONG },
        { 400, NULL, "{\"error\": {\"message\": \"This model's maximum context length is 8 tokens.\", \"code\": \"context_length_exceeded\"}}",
          "context_length_exceeded", TOO_LONG },
        { 400, NULL, "{\"object\": \"error\", \"message\": \"This model's maximum context length is 8 tokens.\", \"code\": 400}", NULL, TOO_LONG },
        { 400, NULL, "{\"error\": {\"message\": \"no\"}}", NULL, NULL },
        { 400, NULL, "no", NULL, NULL },
        { 422, NULL, "{\"detail\": [{\"loc\": [\"body\"], \"msg\": \"field required\", \"type\": \"missing\"}]}", NULL, NULL },
        { 500, NULL, "{\"error\": {\"type\": \"server_error\"}}", "server_error", NULL },
        { 503, NULL, "[[[[", NULL, NULL },
    };
    tenon_context *context = test_open(NULL);

    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        struct request request;

        tn_request_init(&request, context);
        request.status = answers[i].status;
        request.bearer = answers[i].bearer;
        tn_text_add(&request.answer, answers[i].answer);
        tn_fail(&request.failure, TENON_ERROR_FAILED, "the answer: HTTP %d", (int)request.status);
        tn_refusal_explain(&request);
        assert_int_equal(request.failure.status, TENON_ERROR_FAILED);
        assert_string_equal(request.failure.code != NULL ? request.failure.code : "", answers[i].code != NULL ? answers[i].code : "");
        assert_string_equal(request.failure.hint != NULL ? request.failure.hint : "", answers[i].hint != NULL ? answers[i].hint : "");
        tn_request_clear(&request);
    }
    tenon_context_free(context);
}

static void nonsense_comes_with_advice(void **state)
{
    struct failure failure;

    (void)state;
    tn_failure_init(&failure, &memory, NULL);
    tn_fail(&failure, TENON_ERROR_PROTOCOL, "x");
    assert_int_equal(tn_refusal_advise(failure.status, &failure), TENON_ERROR_PROTOCOL);
    assert_non_null(strstr(failure.hint, "/v1"));
    tn_fail(&failure, TENON_ERROR_PROTOCOL, "x");
    tn_hint(&failure, "what somebody knows better");
    tn_refusal_advise(failure.status, &failure);
    assert_string_equal(failure.hint, "what somebody knows better");
    tn_fail(&failure, TENON_ERROR_NETWORK, "x");
    assert_int_equal(tn_refusal_advise(failure.status, &failure), TENON_ERROR_NETWORK);
    assert_null(failure.hint);
    assert_int_equal(tn_refusal_advise(TENON_OK, &failure), TENON_OK);
    tn_failure_clear(&failure);
}

static tenon_status explain(struct test_memory *counts)
{
    tenon_context *context = NULL;
    struct request request;
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts }, &context);

    if (status != TENON_OK)
        return status;
    tn_request_init(&request, context);
    request.status = 401;
    tn_text_add(&request.answer, rows[0].json);
    tn_fail(&request.failure, TENON_ERROR_UNAUTHORIZED, "the answer: HTTP 401");
    tn_refusal_explain(&request);
    assert_int_equal(request.failure.status, TENON_ERROR_UNAUTHORIZED);
    tn_request_clear(&request);
    tenon_context_free(context);
    return TENON_OK;
}

static void no_memory_leaves_the_status(void **state)
{
    (void)state;
    test_every_failure(explain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_understood), cmocka_unit_test(an_answer_is_explained), cmocka_unit_test(nonsense_comes_with_advice),
        cmocka_unit_test(no_memory_leaves_the_status),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
