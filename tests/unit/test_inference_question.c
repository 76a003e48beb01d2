#include "with_memory.h"

#include <string.h>

#include "json.h"
#include "question.h"

/* The text of the question, or where it is refused the message; give it back. */
static char *ask(const tenon_chat_options *chat, const tenon_complete_options *complete)
{
    json_t *json = NULL;
    char *text;
    tenon_status status = chat != NULL ? tn_question_chat(chat, &json, &failure) : tn_question_complete(complete, &json, &failure);

    if (status != TENON_OK) {
        assert_int_equal(status, TENON_ERROR_ARGUMENT);
        assert_int_equal(failure.status, status);
        assert_null(json);
        return tn_copy(&memory, failure.message);
    }
    text = tn_json_write(&memory, json);
    json_decref(json);
    return text;
}

#define STREAM ",\"stream\":true,\"stream_options\":{\"include_usage\":true}"
#define HELLO "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]"

static void a_chat_is_made(void **state)
{
    static const struct {
        tenon_chat_options options;
        const char *json;
    } rows[] = {
        { { .prompt = "hello" }, HELLO STREAM "}" },
        { { .prompt = "hello", .flags = TENON_CHAT_WHOLE }, HELLO "}" },
        { { .prompt = "hello", .max_tokens = 7 }, HELLO ",\"max_tokens\":7" STREAM "}" },
        { { .prompt = "", .flags = TENON_CHAT_WHOLE }, "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}" },
        { { .prompt = "\"\\\n\xc3\xbc", .flags = TENON_CHAT_WHOLE }, "{\"messages\":[{\"role\":\"user\",\"content\":\"\\\"\\\\\\n\xc3\xbc\"}]}" },
        { { .prompt = "hello", .system = "be brief", .flags = TENON_CHAT_WHOLE },
          "{\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},{\"role\":\"user\",\"content\":\"hello\"}]}" },
        { { .messages = "[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]", .flags = TENON_CHAT_WHOLE },
          "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}" },
        { { .messages = "[]", .flags = TENON_CHAT_WHOLE }, "{\"messages\":[]}" },
        { { .messages = "[1, null]", .system = "s", .prompt = "p", .flags = TENON_CHAT_WHOLE },
          "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},1,null,{\"role\":\"user\",\"content\":\"p\"}]}" },
        /* What parameters say wins. */
        { { .prompt = "hello", .max_tokens = 7, .parameters = "{\"max_tokens\": 9, \"temperature\": 0.5}" },
          HELLO ",\"max_tokens\":9,\"stream\":true,\"temperature\":0.5,\"stream_options\":{\"include_usage\":true}}" },
        { { .prompt = "hello", .parameters = "{\"stream_options\": null}" }, HELLO ",\"stream\":true,\"stream_options\":null}" },
        { { .prompt = "hello", .parameters = "{\"stream\": false}" }, HELLO ",\"stream\":false}" },
        { { .prompt = "hello", .parameters = "{\"stream\": true}", .flags = TENON_CHAT_WHOLE }, HELLO STREAM "}" },
        { { .prompt = "hello", .parameters = "{\"messages\": []}", .flags = TENON_CHAT_WHOLE }, "{\"messages\":[]}" },
        { { .prompt = "hello", .parameters = "{}", .flags = TENON_CHAT_WHOLE }, HELLO "}" },
        { { .prompt = "hello", .parameters = "{\"seed\": 99999999999999999999}", .flags = TENON_CHAT_WHOLE }, HELLO ",\"seed\":1e20}" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = ask(&rows[i].options, NULL);

        assert_string_equal(text, rows[i].json);
        tn_release(&memory, text);
    }
}

static void a_completion_is_made(void **state)
{
    static const struct {
        tenon_complete_options options;
        const char *json;
    } rows[] = {
        { { .prompt = "Once" }, "{\"prompt\":\"Once\"" STREAM "}" },
        { { .prompt = "", .flags = TENON_CHAT_WHOLE, .max_tokens = 1 }, "{\"prompt\":\"\",\"max_tokens\":1}" },
        { { .prompt = "Once", .flags = TENON_CHAT_WHOLE, .parameters = "{\"prompt\": [1, 2], \"n\": 2}" }, "{\"prompt\":[1,2],\"n\":2}" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = ask(NULL, &rows[i].options);

        assert_string_equal(text, rows[i].json);
        tn_release(&memory, text);
    }
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        tenon_chat_options options;
        const char *message; /* how it begins */
    } rows[] = {
        { { .flags = 0 }, "there is nothing to answer: neither prompt nor messages is given" },
        { { .system = "s" }, "there is nothing to answer: neither prompt nor messages is given" },
        { { .prompt = "x", .max_tokens = -1 }, "max_tokens is negative" },
        { { .prompt = "\xff" }, "the user text is not UTF-8" },
        { { .prompt = "x", .system = "a\xc3" }, "the system text is not UTF-8" },
        { { .messages = "" }, "messages is not valid JSON: " },
        { { .messages = "[{]" }, "messages is not valid JSON: " },
        { { .messages = "[] x" }, "messages is not valid JSON: " },
        { { .messages = "[\"\xff\"]" }, "messages is not valid JSON: " },
        { { .messages = "{}" }, "messages is no JSON array" },
        { { .messages = "{}", .prompt = "x" }, "messages is no JSON array" },
        { { .messages = "null" }, "messages is not valid JSON: " },
        { { .prompt = "x", .parameters = "" }, "parameters is not valid JSON: " },
        { { .prompt = "x", .parameters = "temperature=1" }, "parameters is not valid JSON: " },
        { { .prompt = "x", .parameters = "[]" }, "parameters is no JSON object" },
        { { .prompt = "x", .parameters = "{\"a\": 1, \"a\": 2}" }, "parameters is not valid JSON: " },
        { { .prompt = "x", .parameters = "{", .flags = TENON_CHAT_WHOLE }, "parameters is not valid JSON: " },
    };
    static const struct {
        tenon_complete_options options;
        const char *message;
    } completions[] = {
        { { .max_tokens = 1 }, "there is nothing to continue: prompt is not given" },
        { { .prompt = "\xff" }, "prompt is not UTF-8" },
        { { .prompt = "x", .max_tokens = INT64_MIN }, "max_tokens is negative" },
        { { .prompt = "x", .parameters = "7" }, "parameters is " },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows) + COUNT(completions); i++) {
        bool chat = i < COUNT(rows);
        char *text = ask(chat ? &rows[i].options : NULL, chat ? NULL : &completions[i - COUNT(rows)].options);
        const char *message = chat ? rows[i].message : completions[i - COUNT(rows)].message;

        if (strncmp(text, message, strlen(message)) != 0)
            fail_msg("%s instead of %s", text, message);
        tn_release(&memory, text);
    }
}

static void absurd_depth_is_refused(void **state)
{
    static char deep[200001];
    const tenon_chat_options options = { .messages = deep };
    char *text;

    (void)state;
    memset(deep, '[', sizeof deep - 1);
    text = ask(&options, NULL);
    assert_string_equal(text, "messages is nested more than 100 levels deep");
    tn_release(&memory, text);
}

/* The parser has memory of its own; messages are what takes ours. */
static tenon_status refuse(struct test_memory *counts)
{
    const tenon_chat_options options = { .prompt = "x", .parameters = "[]" };
    struct memory failing = test_memory(counts);
    struct failure why;
    json_t *json = NULL;
    tenon_status status;

    tn_failure_init(&why, &failing, NULL);
    status = tn_question_chat(&options, &json, &why);
    assert_int_equal(why.status, status);
    tn_failure_clear(&why);
    return status == TENON_ERROR_ARGUMENT ? TENON_OK : status;
}

static void no_memory_leaves_the_status(void **state)
{
    (void)state;
    test_every_failure(refuse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chat_is_made),          cmocka_unit_test(a_completion_is_made),        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(absurd_depth_is_refused), cmocka_unit_test(no_memory_leaves_the_status),
    };

    return cmocka_run_group_tests(tests, memory_set_up, memory_tear_down);
}
