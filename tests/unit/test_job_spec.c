#include "support.h"

#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "json.h"
#include "local_job.h"

static tenon_context *context;
static struct failure failure;

static const char *const settings[] = { "job.path=/opt/bin:/bin", "home=/home/me", "job.grace_ms=1234", NULL };

static int set_up(void **state)
{
    (void)state;
    context = test_open(&(struct test_hooks){ .settings = settings });
    tn_failure_init(&failure, &context->memory, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tn_failure_clear(&failure);
    tenon_context_free(context);
    return 0;
}

static const char *const command[] = { "python3", "serve.py", "--port=$(TENON_PORT)", "$(MINE)", NULL };
static const char *const outputs[] = { "adapter.safetensors", NULL };
static const char *const pairs[] = { "OWN=1", "CALLER=$(NOT_EXPANDED)", NULL };
static const char *const inputs[] = { "/data/base" };
static struct pair environment[] = { { "MINE", "$(TENON_OUTPUT)/$(HOME)" }, { "MORE", "$(MINE)$$" } };
static struct supply supplies[] = { { .name = "base", .given = "hf://a/b" } };

static struct order whole_order(tenon_context *owner)
{
    return (struct order){
        .context = owner, .mode = TENON_MODE_SERVE, .model = { .given = "owner/model" }, .home = "/work", .has_recipe = true,
        .recipe = { .command = command, .outputs = outputs, .environment = environment, .environment_count = 2, .health = "/ready", .port = 0 },
        .inputs = supplies, .input_count = 1, .environment = pairs, .visible = { { "CUDA_VISIBLE_DEVICES", "GPU-1" } }, .threads = 3,
        .context_tokens = 2048, .sequences = 2, .time_ms = 60000, .memory_bytes = 1 << 30, .port = 8000,
    };
}

static struct ready_order whole_ready(const struct order *order)
{
    return (struct ready_order){ .order = order, .id = "local:0123456789ab", .output = "/out", .model = "/models/m", .data = "/data",
                                 .inputs = inputs, .key = "secret" };
}

/* The value that a list of "NAME=value" gives; NULL for none, and each name only once. */
static const char *variable(const json_t *spec, const char *list, const char *name)
{
    const char *found = NULL;
    json_t *item;
    size_t i;

    json_array_foreach(tn_json_member(spec, list), i, item) {
        const char *pair = json_string_value(item);

        assert_non_null(strchr(pair, '='));
        if (strncmp(pair, name, strlen(name)) == 0 && pair[strlen(name)] == '=') {
            assert_null(found);
            found = pair + strlen(name) + 1;
        }
    }
    return found;
}

static void expect_member(const json_t *spec, const char *key, const char *expected)
{
    char *text = tn_json_write(&context->memory, tn_json_member(spec, key));

    assert_string_equal(text, expected);
    tn_release(&context->memory, text);
}

static void everything_is_told(void **state)
{
    static const struct {
        const char *name, *value;
    } variables[] = {
        { "PATH", "/opt/bin:/bin" }, { "HOME", "/home/me" }, { "CUDA_VISIBLE_DEVICES", "GPU-1" }, { "TENON_JOB_ID", "local:0123456789ab" },
        { "TENON_MODE", "serve" }, { "TENON_MODEL", "/models/m" }, { "TENON_MODEL_ID", "owner/model" }, { "TENON_DATA", "/data" },
        { "TENON_OUTPUT", "/out" }, { "TENON_HOST", "127.0.0.1" }, { "TENON_API_KEY", "secret" }, { "TENON_THREADS", "3" },
        { "OMP_NUM_THREADS", "3" }, { "TENON_CONTEXT_TOKENS", "2048" }, { "TENON_SEQUENCES", "2" },
        { "TENON_INPUT_base", "/data/base" },
    };
    struct order order = whole_order(context);
    struct ready_order ready = whole_ready(&order);
    json_t *spec = NULL;

    (void)state;
    assert_int_equal(tn_local_spec(&ready, &spec, &failure), TENON_OK);
    expect_member(spec, "format", "1");
    expect_member(spec, "id", "\"local:0123456789ab\"");
    expect_member(spec, "time_ms", "60000");
    expect_member(spec, "memory_bytes", "1073741824");
    expect_member(spec, "grace_ms", "1234");
    expect_member(spec, "port", "8000");
    expect_member(spec, "output", "\"/out\"");
    expect_member(spec, "home", "\"/work\"");
    expect_member(spec, "key", "\"secret\"");
    expect_member(spec, "health", "\"/ready\"");
    expect_member(spec, "outputs", "[\"adapter.safetensors\"]");
    /* What depends on the port is expanded when there is one. */
    expect_member(spec, "command", "[\"python3\",\"serve.py\",\"--port=$(TENON_PORT)\",\"$(MINE)\"]");
    expect_member(spec, "recipe_environment", "[[\"MINE\",\"$(TENON_OUTPUT)/$(HOME)\"],[\"MORE\",\"$(MINE)$$\"]]");
    expect_member(spec, "environment", "[\"OWN=1\",\"CALLER=$(NOT_EXPANDED)\"]");
    for (size_t i = 0; i < COUNT(variables); i++) {
        const char *value = variable(spec, "variables", variables[i].name);

        if (value == NULL || strcmp(value, variables[i].value) != 0)
            fail_msg("%s is %s", variables[i].name, value != NULL ? value : "not there");
    }
    assert_null(variable(spec, "variables", "TENON_PORT"));
    assert_null(variable(spec, "variables", "MINE"));
    json_decref(spec);
}

static void what_is_absent_is_left_out(void **state)
{
    static const char *const plain[] = { "true", NULL };
    struct order order = { .context = context, .mode = TENON_MODE_TRAIN, .recipe = { .command = plain, .port = -1 }, .threads = 1, .port = -1 };
    struct ready_order ready = { .order = &order, .id = "local:0123456789ab", .output = "/out" };
    json_t *spec = NULL;

    (void)state;
    assert_int_equal(tn_local_spec(&ready, &spec, &failure), TENON_OK);
    expect_member(spec, "port", "-1");
    expect_member(spec, "health", "\"/health\"");
    expect_member(spec, "outputs", "[]");
    expect_member(spec, "environment", "[]");
    expect_member(spec, "recipe_environment", "[]");
    /* Without a recipe's folder it runs where its output is. */
    expect_member(spec, "home", "\"/out\"");
    assert_null(tn_json_member(spec, "key"));
    assert_null(variable(spec, "variables", "TENON_MODEL"));
    assert_null(variable(spec, "variables", "TENON_HOST"));
    assert_null(variable(spec, "variables", "TENON_CONTEXT_TOKENS"));
    assert_null(variable(spec, "variables", "TENON_SEQUENCES"));
    assert_null(variable(spec, "variables", "CUDA_VISIBLE_DEVICES"));
    json_decref(spec);
}

static void an_engine_brings_its_command(void **state)
{
    static const char *const files[] = { "m.gguf", "m.safetensors" };

    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        struct order order = { .context = context, .mode = TENON_MODE_SERVE, .model = { .given = "owner/model" },
                               .recipe = { .port = -1 }, .threads = 1, .context_tokens = 2048 };
        struct ready_order ready = { .order = &order, .id = "local:0123456789ab", .output = "/out", .model = "/m", .key = "secret",
                                     .engine = tn_engine_for(files[i]) };
        json_t *spec = NULL;
        const json_t *words;

        assert_int_equal(tn_local_spec(&ready, &spec, &failure), TENON_OK);
        words = tn_json_member(spec, "command");
        assert_string_equal(json_string_value(json_array_get(words, 0)), ready.engine->program);
        assert_string_equal(json_string_value(json_array_get(words, json_array_size(words) - 1)), "2048");
        assert_string_equal(variable(spec, "variables", ready.engine->key_variable), "secret");
        if (i == 0)
            assert_string_equal(variable(spec, "variables", "LLAMA_ARG_CACHE_RAM"), "0");
        json_decref(spec);
    }
}

static void a_name_that_stands_for_nothing_is_refused(void **state)
{
    static const struct {
        const char *argument, *value, *pair, *name; /* NULL: all is well */
    } rows[] = {
        { "$(NO_SUCH)", "", "A=1", "NO_SUCH" },
        { "$(A)", "", "A=1", NULL },
        { "$(V)", "$(A)", "A=1", "A" }, /* the caller's come later than the recipe's */
        { "$(TENON_PORT)", "$(TENON_PORT)", "A=1", NULL },
        { "$(TENON_DATA)", "", "A=1", "TENON_DATA" },
        { "$$(NO_SUCH)", "$$(NO_SUCH)", "A=1", NULL },
        { "x", "$(V)", "A=1", "V" },
        { "x", "$(PATH)", "A=$(NO_SUCH)", NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *const words[] = { "x", rows[i].argument, NULL }, *const own[] = { rows[i].pair, NULL };
        struct pair given[] = { { "V", rows[i].value } };
        struct order order = { .context = context, .mode = TENON_MODE_SERVE, .environment = own, .threads = 1,
                               .recipe = { .command = words, .environment = given, .environment_count = 1 } };
        struct ready_order ready = { .order = &order, .id = "local:0123456789ab", .output = "/out" };
        json_t *spec = NULL;
        char message[100];

        assert_int_equal(tn_local_spec(&ready, &spec, &failure), rows[i].name != NULL ? TENON_ERROR_ARGUMENT : TENON_OK);
        if (rows[i].name != NULL) {
            snprintf(message, sizeof message, "$(%s) is no variable of this job", rows[i].name);
            assert_string_equal(failure.message, message);
            assert_null(spec);
        }
        json_decref(spec);
    }
    /* Without a port there is no variable for it. */
    struct order order = whole_order(context);
    struct ready_order ready = whole_ready(&order);
    json_t *spec = NULL;

    order.port = -1;
    assert_int_equal(tn_local_spec(&ready, &spec, &failure), TENON_ERROR_ARGUMENT);
    assert_string_equal(failure.message, "$(TENON_PORT) is no variable of this job");
}

static tenon_status make_with(struct test_memory *counts)
{
    tenon_context *own = NULL;
    json_t *spec = NULL;
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts, .settings = settings }, &own);

    if (status == TENON_OK) {
        struct order order = whole_order(own);
        struct ready_order ready = whole_ready(&order);

        status = tn_local_spec(&ready, &spec, &own->failure);
        assert_int_equal(own->failure.status, status);
        assert_int_equal(spec != NULL, status == TENON_OK);
        json_decref(spec);
    }
    tenon_context_free(own);
    return status;
}

static void no_memory_is_told(void **state)
{
    (void)state;
    test_every_failure(make_with);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_told),
        cmocka_unit_test(what_is_absent_is_left_out),
        cmocka_unit_test(an_engine_brings_its_command),
        cmocka_unit_test(a_name_that_stands_for_nothing_is_refused),
        cmocka_unit_test(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
