#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recipe.h"
#include "text.h"

static struct memory memory;
static struct arena arena;
static struct failure failure;
static struct recipe recipe;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    tn_arena_init(&arena, &memory);
    tn_failure_init(&failure, &memory, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tn_arena_clear(&arena);
    tn_failure_clear(&failure);
    return 0;
}

static tenon_status read_text(const char *text)
{
    return tn_recipe_read(&recipe, &arena, text, strlen(text), "the recipe", &failure);
}

static const char whole[] =
    "{\"command\": [\"python3\", \"train.py\", \"--lr\", \"$(LR)\"], \"image\": \"tenon/train:1\","
    " \"environment\": {\"LR\": \"1e-4\", \"_x2\": \"\"}, \"resources\": {\"cpus\": 2.5, \"memory_bytes\": 1073741824, \"time_ms\": 60000},"
    " \"files\": [\"*.json\", \"model-*.safetensors\"], \"inputs\": {\"base\": \"hf://a/b\", \"2nd\": \"data/x\"}, \"outputs\": [\"adapter.safetensors\", \"logs/all.txt\"],"
    " \"port\": 8000, \"health\": \"/v1/health?deep=1\"}";

static void every_field_is_read(void **state)
{
    (void)state;
    assert_int_equal(read_text(whole), TENON_OK);
    assert_string_equal(recipe.command[0], "python3");
    assert_string_equal(recipe.command[3], "$(LR)");
    assert_null(recipe.command[4]);
    assert_string_equal(recipe.image, "tenon/train:1");
    assert_int_equal(recipe.environment_count, 2);
    assert_string_equal(recipe.environment[0].name, "LR");
    assert_string_equal(recipe.environment[0].value, "1e-4");
    assert_string_equal(recipe.environment[1].name, "_x2");
    assert_string_equal(recipe.environment[1].value, "");
    assert_int_equal(recipe.threads, 3);
    assert_int_equal(recipe.memory_bytes, 1073741824);
    assert_int_equal(recipe.time_ms, 60000);
    assert_string_equal(recipe.files[0], "*.json");
    assert_string_equal(recipe.files[1], "model-*.safetensors");
    assert_null(recipe.files[2]);
    assert_int_equal(recipe.input_count, 2);
    assert_string_equal(recipe.inputs[0].name, "base");
    assert_string_equal(recipe.inputs[1].name, "2nd");
    assert_string_equal(recipe.inputs[1].value, "data/x");
    assert_string_equal(recipe.outputs[1], "logs/all.txt");
    assert_null(recipe.outputs[2]);
    assert_int_equal(recipe.port, 8000);
    assert_string_equal(recipe.health, "/v1/health?deep=1");
}

static void what_is_not_said_is_absent(void **state)
{
    (void)state;
    assert_int_equal(read_text("{\"command\": [\"true\"]}"), TENON_OK);
    assert_string_equal(recipe.command[0], "true");
    assert_null(recipe.command[1]);
    assert_null(recipe.image);
    assert_int_equal(recipe.environment_count, 0);
    assert_null(recipe.files);
    assert_int_equal(recipe.input_count, 0);
    assert_null(recipe.outputs);
    assert_int_equal(recipe.threads, 0);
    assert_int_equal(recipe.memory_bytes, 0);
    assert_int_equal(recipe.time_ms, 0);
    assert_int_equal(recipe.port, -1);
    assert_null(recipe.health);
    assert_int_equal(read_text("{\"command\": [\"true\", \"\"], \"environment\": {}, \"resources\": {}, \"inputs\": {}, \"outputs\": [], \"port\": 0}"), TENON_OK);
    assert_string_equal(recipe.command[1], "");
    assert_null(recipe.outputs[0]);
    assert_int_equal(recipe.port, 0);
}

/* For each field, values that it does not take, separated by blanks. The failure must name the field. */
static void a_value_of_another_kind_is_refused_by_name(void **state)
{
    static const struct {
        const char *field, *values;
    } rows[] = {
        { "command", "null true 1 \"train.py\" {} [] [\"\"] [1] [null] [\"sh\",[]]" },
        { "image", "null false 7 [] {} \"\"" },
        { "environment", "null 1 \"A=1\" [\"A=1\"] {\"A\":1} {\"A\":null} {\"A\":{}} {\"\":\"x\"} {\"1A\":\"x\"} {\"A-B\":\"x\"} {\"A=B\":\"x\"} "
                         "{\"TENON_MODEL\":\"x\"} {\"A\":\"x\",\"B\":[]} {\"\\u00c4\":\"x\"}" },
        { "files", "null 1 \"*\" {} [] [1] [null] [\"\"] [\"a\",\"\"]" },
        { "inputs", "null 1 \"x\" [] {\"a\":1} {\"\":\"x\"} {\"a-b\":\"x\"} {\"a/b\":\"x\"}" },
        { "outputs", "null 1 \"x\" {} [1] [null] [\"\"] [\"/etc/passwd\"] [\"../x\"] [\"a/../b\"] [\"a\",\"/b\"]" },
        { "port", "null true \"80\" 80.0 -1 65536 99999999999 1e3 []" },
        { "health", "null 1 \"\" \"health\" \"http://x/\" \"/a#b\" \"/a\\nb\" \"/\\u00e4\"" },
        { "resources", "null 1 \"x\" []" },
        { "resources.cpus", "null true \"2\" 0 -1 0.0 65537 1e300 []" },
        { "resources.memory_bytes", "null \"1\" 0 -1 1.5 1e9 9223372036854775807 99999999999999999999 {}" },
        { "resources.time_ms", "null \"1\" 0 -1 0.5 9223372036854775807" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (const char *value = rows[i].values; *value != '\0'; value += strcspn(value, " "), value += *value == ' ') {
            const char *dot = strchr(rows[i].field, '.');
            char text[300], named[64];

            snprintf(text, sizeof text, dot != NULL ? "{\"command\":[\"x\"],\"resources\":{\"%s\":%.*s}}" : "{\"%s\":%.*s}",
                     dot != NULL ? dot + 1 : rows[i].field, (int)strcspn(value, " "), value);
            snprintf(named, sizeof named, "the recipe: \"%s\" is not ", rows[i].field);
            if (read_text(text) != TENON_ERROR_ARGUMENT || strncmp(failure.message, named, strlen(named)) != 0)
                fail_msg("%s: %s", text, failure.message != NULL ? failure.message : "taken");
        }
}

static void what_is_unknown_is_named(void **state)
{
    static const struct {
        const char *text, *message, *hint;
    } rows[] = {
        { "{\"command\": [\"x\"], \"comand\": 1}", "the recipe has an unknown field \"comand\"",
          "The fields of a recipe are: command, image, environment, resources, files, inputs, outputs, port, health." },
        { "{\"command\": [\"x\"], \"resources\": {\"gpus\": 1}}", "the recipe has an unknown field \"resources.gpus\"",
          "The fields of a recipe are: resources.cpus, resources.memory_bytes, resources.time_ms." },
        { "{\"Command\": [\"x\"]}", "the recipe has an unknown field \"Command\"", NULL },
        { "{\"\": 1}", "the recipe has an unknown field \"\"", NULL },
        { "{\"image\": \"x\"}", "the recipe has no \"command\"", "Name the program and its arguments: {\"command\": [\"python3\", \"train.py\"]}." },
        { "{}", "the recipe has no \"command\"", NULL },
        { "[]", "the recipe is not a JSON object", NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(read_text(rows[i].text), TENON_ERROR_ARGUMENT);
        assert_string_equal(failure.message, rows[i].message);
        if (rows[i].hint != NULL)
            assert_string_equal(failure.hint, rows[i].hint);
    }
}

static void what_is_no_json_is_refused(void **state)
{
    static const char *const texts[] = {
        "", " ", "command: [x]", "{\"command\": [\"x\"]", "{\"command\": [\"x\"]} x", "{\"command\": [\"x\"], \"command\": [\"y\"]}",
        "{\"command\": [\"\xff\"]}", "{\"command\": [\"a\\u0000b\"]}", "{\"comm\xc3\": 1}", "\"text\"", "7", "null", "{\"resources\": {\"cpus\": NaN}}",
        "{\"resources\": {\"cpus\": 1e999}}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        if (read_text(texts[i]) != TENON_ERROR_ARGUMENT || strncmp(failure.message, "the recipe ", 11) != 0)
            fail_msg("%s: %s", texts[i], failure.message != NULL ? failure.message : "taken");
    /* A file that was cut anywhere is no recipe. */
    for (size_t length = 0; length < strlen(whole); length++)
        assert_int_equal(tn_recipe_read(&recipe, &arena, whole, length, "the recipe", &failure), TENON_ERROR_ARGUMENT);
}

static void absurd_sizes_are_taken_or_refused(void **state)
{
    struct text text;

    (void)state;
    tn_text_init(&text, &memory, 16 << 20);
    tn_text_add(&text, "{\"command\": [\"x\"");
    for (int i = 0; i < 20000; i++)
        tn_text_format(&text, ", \"argument %d\"", i);
    tn_text_add(&text, "], \"environment\": {\"A0\": \"\"");
    for (int i = 1; i < 20000; i++)
        tn_text_format(&text, ", \"A%d\": \"value %d\"", i, i);
    tn_text_add(&text, "}}");
    assert_int_equal(tn_recipe_read(&recipe, &arena, tn_text(&text), text.length, "the recipe", &failure), TENON_OK);
    assert_string_equal(recipe.command[20000], "argument 19999");
    assert_null(recipe.command[20001]);
    assert_int_equal(recipe.environment_count, 20000);
    assert_string_equal(recipe.environment[19999].value, "value 19999");

    tn_text_reset(&text);
    for (int i = 0; i < 100000; i++)
        tn_text_add(&text, "{\"command\":[");
    assert_int_equal(tn_recipe_read(&recipe, &arena, tn_text(&text), text.length, "the recipe", &failure), TENON_ERROR_ARGUMENT);
    assert_string_equal(failure.message, "the recipe is nested more than 100 levels deep");

    /* A message stays short, whatever is in it. */
    tn_text_reset(&text);
    tn_text_add(&text, "{\"");
    for (int i = 0; i < 100000; i++)
        tn_text_add(&text, "long name");
    tn_text_add(&text, "\\n\": 1}");
    assert_int_equal(tn_recipe_read(&recipe, &arena, tn_text(&text), text.length, "the recipe", &failure), TENON_ERROR_ARGUMENT);
    assert_true(strlen(failure.message) < 1000);
    tn_text_clear(&text);
}

static void names_of_variables(void **state)
{
    static const struct {
        const char *name;
        bool good;
    } rows[] = {
        { "A", true }, { "_", true }, { "a1_B", true }, { "", false }, { "1", false }, { "A-", false }, { "A B", false }, { "A=", false }, { "\xc3\xa4", false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(tn_is_variable(rows[i].name, strlen(rows[i].name)), rows[i].good);
    assert_true(tn_is_variable("NAME=value", 4));
}

static tenon_status read_with(struct test_memory *counts, const char *text)
{
    struct memory failing = test_memory(counts);
    struct failure why;
    struct arena own;
    struct recipe read;
    tenon_status status;

    tn_arena_init(&own, &failing);
    tn_failure_init(&why, &failing, NULL);
    status = tn_recipe_read(&read, &own, text, strlen(text), "the recipe", &why);
    assert_int_equal(why.status, status);
    tn_failure_clear(&why);
    tn_arena_clear(&own);
    return status;
}

static tenon_status read_whole(struct test_memory *counts)
{
    return read_with(counts, whole);
}

static tenon_status refuse(struct test_memory *counts)
{
    tenon_status status = read_with(counts, "{\"command\": [\"x\"], \"resources\": {\"gpus\": 1}}");

    assert_true(status == TENON_ERROR_ARGUMENT || status == TENON_ERROR_MEMORY);
    return status == TENON_ERROR_ARGUMENT ? TENON_OK : status;
}

static void no_memory_is_told(void **state)
{
    (void)state;
    test_every_failure(read_whole);
    test_every_failure(refuse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(what_is_not_said_is_absent),
        cmocka_unit_test(a_value_of_another_kind_is_refused_by_name),
        cmocka_unit_test(what_is_unknown_is_named),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(absurd_sizes_are_taken_or_refused),
        cmocka_unit_test(names_of_variables),
        cmocka_unit_test(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
