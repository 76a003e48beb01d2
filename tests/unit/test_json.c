#include "with_memory.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "text.h"

static json_t *read_good(const char *text)
{
    json_t *json = NULL;

    if (tn_json_read(text, strlen(text), "the text", &json, &failure) != TENON_OK)
        fail_msg("%s: %s", text, failure.message);
    return json;
}

static void hostile_documents_are_refused(void **state)
{
    static const char *const texts[] = {
        "", " ", "{", "[1,]", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "nul", "{\"a\":NaN}", "{\"a\":1e999}", "{\"a\":\"\xff\"}",
        "{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\u0000\"}", "{\"a\":1}x", "\"text\"", "[\"\n\"]", "[01]", "[.5]",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        json_t *json = NULL;

        if (tn_json_read(texts[i], strlen(texts[i]), "the answer", &json, &failure) != TENON_ERROR_PROTOCOL)
            fail_msg("accepted: %s", texts[i]);
        assert_null(json);
        assert_non_null(strstr(failure.message, "the answer is not valid JSON"));
    }
    {
        static const char nul[] = "{\"a\":1}\0{}";
        json_t *json = NULL;

        assert_int_equal(tn_json_read(nul, sizeof nul - 1, "x", &json, &failure), TENON_ERROR_PROTOCOL);
    }
}

static char *nested(size_t depth, const char *open, const char *close)
{
    struct text text;

    tn_text_init(&text, &memory, 10000000);
    for (size_t i = 0; i < depth; i++)
        tn_text_add(&text, open);
    tn_text_add(&text, "1");
    for (size_t i = 0; i < depth; i++)
        tn_text_add(&text, close);
    return tn_text_take(&text);
}

static void depth_is_bounded(void **state)
{
    char *deep = nested(100, "[", "]"), *deeper = nested(101, "[", "]"), *abyss = nested(1000000, "{\"a\":[", "");
    json_t *json = NULL;

    (void)state;
    json_decref(read_good(deep));
    assert_int_equal(tn_json_read(deeper, strlen(deeper), "x", &json, &failure), TENON_ERROR_PROTOCOL);
    assert_non_null(strstr(failure.message, "nested more than 100"));
    assert_int_equal(tn_json_read(abyss, strlen(abyss), "x", &json, &failure), TENON_ERROR_PROTOCOL);
    /* Brackets in a text are no depth. */
    {
        struct text text;

        tn_text_init(&text, &memory, 100000);
        tn_text_add(&text, "[\"\\\"\\\\");
        for (int i = 0; i < 1000; i++)
            tn_text_add(&text, "[{\\\"");
        tn_text_add(&text, "\"]");
        json_decref(read_good(tn_text(&text)));
        tn_text_clear(&text);
    }
    tn_release(&memory, deep);
    tn_release(&memory, deeper);
    tn_release(&memory, abyss);
}

static void absent_or_of_another_type(void **state)
{
    json_t *json = read_good("{\"text\":\"x\",\"number\":7,\"real\":3.0,\"half\":2.5,\"huge\":1e300,\"below\":-7,\"yes\":true,"
                             "\"no\":false,\"null\":null,\"list\":[1],\"object\":{}}");
    json_t *list = tn_json_member(json, "list");

    (void)state;
    assert_string_equal(tn_json_text(json, "text"), "x");
    assert_null(tn_json_text(json, "number"));
    assert_null(tn_json_text(json, "null"));
    assert_null(tn_json_text(list, "text"));
    assert_null(tn_json_text(NULL, "text"));
    assert_string_equal(tn_json_text_or(json, "absent", "other"), "other");
    assert_int_equal(tn_json_integer(json, "number", -1), 7);
    assert_int_equal(tn_json_integer(json, "real", -1), 3);
    assert_int_equal(tn_json_integer(json, "half", -1), -1);
    assert_int_equal(tn_json_integer(json, "huge", -1), -1);
    assert_int_equal(tn_json_count(json, "number"), 7);
    assert_int_equal(tn_json_count(json, "below"), -1);
    assert_int_equal(tn_json_count(json, "none"), -1);
    assert_int_equal(tn_json_integer(json, "text", -1), -1);
    assert_int_equal(tn_json_integer(NULL, "text", -1), -1);
    assert_int_equal(tn_json_flag(json, "yes"), 1);
    assert_int_equal(tn_json_flag(json, "no"), 0);
    assert_int_equal(tn_json_flag(json, "number"), -1);
    assert_null(tn_json_member(json, "null"));
    assert_non_null(tn_json_member(json, "object"));
    json_decref(json);
}

/* As in the tokenizer_config.json of many models. */
static void numbers_beyond_64_bits_are_read(void **state)
{
    json_t *json = read_good("{\"model_max_length\":1000000000000000019884624838656,\"layers\":32,\"id\":9007199254740991}");

    (void)state;
    assert_int_equal(tn_json_integer(json, "model_max_length", -1), -1);
    assert_true(json_number_value(tn_json_member(json, "model_max_length")) > 9e29);
    assert_int_equal(tn_json_integer(json, "layers", -1), 32);
    json_decref(json);
    json = read_good("[9223372036854775807]");
    assert_int_equal(json_integer_value(json_array_get(json, 0)), INT64_MAX);
    json_decref(json);
}

static void documents_are_written(void **state)
{
    json_t *json = json_object(), *text = json_string("a \"b\" \xc3\xbc");
    char *written;

    (void)state;
    assert_true(tn_json_set_text(json, "a", "x"));
    assert_true(tn_json_set_text(json, "b", NULL));
    assert_true(tn_json_set_integer(json, "c", INT64_MIN));
    assert_false(tn_json_set_text(json, "d", "\xff"));
    written = tn_json_write(&memory, json);
    assert_string_equal(written, "{\"a\":\"x\",\"c\":-9223372036854775808}");
    tn_release(&memory, written);
    written = tn_json_write(&memory, text);
    assert_string_equal(written, "\"a \\\"b\\\" \xc3\xbc\"");
    tn_release(&memory, written);
    json_decref(text);
    json_decref(json);
}

static tenon_status write_document(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    json_t *json = json_pack("{s:i}", "a", 1);
    char *written = tn_json_write(&failing, json);

    json_decref(json);
    tn_release(&failing, written);
    return written != NULL ? TENON_OK : TENON_ERROR_MEMORY;
}

static void no_memory_for_the_text(void **state)
{
    (void)state;
    test_every_failure(write_document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_documents_are_refused), cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(absent_or_of_another_type),     cmocka_unit_test(numbers_beyond_64_bits_are_read),
        cmocka_unit_test(documents_are_written),         cmocka_unit_test(no_memory_for_the_text),
    };

    return cmocka_run_group_tests(tests, memory_set_up, memory_tear_down);
}
