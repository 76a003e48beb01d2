#define _GNU_SOURCE
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "order.h"

/* Orders are read in a folder of their own, on a machine that has nothing but a processor. */

static char *folder;
static tenon_context *context;

static tenon_status open_context(struct test_memory *counts, tenon_context **out)
{
    char root[200], home[200];
    const char *const settings[] = { root, home, NULL };

    snprintf(root, sizeof root, "accelerator.root=%s/root", folder);
    snprintf(home, sizeof home, "home=%s/home", folder);
    return test_try_open(&(struct test_hooks){ .memory = counts, .settings = settings }, out);
}

static int set_up(void **state)
{
    struct memory memory = tn_memory(NULL);
    struct failure failure;
    char *made;

    (void)state;
    made = test_folder_make();
    /* As the current folder will be named. */
    folder = realpath(made, NULL);
    free(made);
    assert_int_equal(chdir(folder), 0);
    tn_failure_init(&failure, &memory, NULL);
    assert_int_equal(tn_folder_make("root", 0700, &failure), TENON_OK);
    assert_int_equal(tn_folder_make("recipes/data", 0700, &failure), TENON_OK);
    assert_int_equal(tn_folder_make("owner/here", 0700, &failure), TENON_OK);
    test_write("recipes/good.json", "{\"command\": [\"bin/train\", \"x\"], \"inputs\": {\"own\": \"data\", \"far\": \"hf://a/b\"}, \"port\": 0,"
                                    " \"resources\": {\"cpus\": 7, \"memory_bytes\": 100, \"time_ms\": 200}}");
    test_write("recipes/bad.json", "{\"command\": 7}");
    test_write("recipes/missing.json", "{\"command\": [\"x\"], \"inputs\": {\"own\": \"nowhere\"}}");
    test_write("model.gguf", "x");
    return open_context(NULL, &context) == TENON_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    tenon_context_free(context);
    assert_int_equal(chdir("/"), 0);
    test_folder_remove(folder);
    return 0;
}

/* Without the folder of the test before it. */
static const char *below(const char *path)
{
    size_t length = strlen(folder);

    return path == NULL ? "(none)" : strncmp(path, folder, length) == 0 && path[length] == '/' ? path + length + 1 : path;
}

static void a_recipe_is_a_file_or_its_text(void **state)
{
    static const struct {
        const char *recipe, *home, *program;
    } rows[] = {
        { "recipes/good.json", "recipes", "bin/train" },
        { "./recipes/good.json", "./recipes", "bin/train" },
        { "{\"command\": [\"x\"]}", NULL, "x" },
        { " \n\t{\"command\": [\"x\"]}", NULL, "x" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const tenon_job_options options = { .recipe = rows[i].recipe };
        struct order order;

        assert_int_equal(tn_order_read(&order, context, &options, TENON_MODE_TRAIN), TENON_OK);
        assert_true(order.has_recipe);
        assert_string_equal(order.recipe.command[0], rows[i].program);
        assert_string_equal(below(order.home), rows[i].home != NULL ? rows[i].home : folder);
        tn_order_clear(&order);
        tn_order_clear(&order);
    }
}

static void names_become_paths_or_repositories(void **state)
{
    static const struct {
        const char *model, *data;
        const char *path, *repository, *data_path, *data_repository; /* "(none)" for none */
    } rows[] = {
        { NULL, NULL, "(none)", "(none)", "(none)", "(none)" },
        { "model.gguf", "recipes/", "model.gguf", "(none)", "recipes", "(none)" },
        { "owner/here", "hf://datasets/a/b", "owner/here", "(none)", "(none)", "hf://datasets/a/b" },
        { "owner/there", NULL, "(none)", "owner/there", "(none)", "(none)" },
        { "hf://owner/here", NULL, "(none)", "hf://owner/here", "(none)", "(none)" },
        { "gpt2", NULL, "(none)", "gpt2", "(none)", "(none)" },
        { "/", NULL, "/", "(none)", "(none)", "(none)" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const tenon_job_options options = { .recipe = "{\"command\": [\"x\"]}", .model = rows[i].model, .data = rows[i].data };
        struct order order;

        if (tn_order_read(&order, context, &options, TENON_MODE_TRAIN) != TENON_OK)
            fail_msg("row %zu: %s", i, context->failure.message);
        assert_string_equal(below(order.model.path), rows[i].path);
        assert_string_equal(order.model.repository != NULL ? order.model.repository : "(none)", rows[i].repository);
        assert_string_equal(below(order.data.path), rows[i].data_path);
        assert_string_equal(order.data.repository != NULL ? order.data.repository : "(none)", rows[i].data_repository);
        assert_int_equal(order.hub != NULL, order.model.repository != NULL || order.data.repository != NULL);
        tn_order_clear(&order);
    }
}

static void inputs_count_from_the_recipe(void **state)
{
    const tenon_job_options options = { .recipe = "recipes/good.json" };
    struct order order, moved;

    (void)state;
    assert_int_equal(tn_order_read(&order, context, &options, TENON_MODE_TRAIN), TENON_OK);
    tn_order_move(&moved, &order);
    tn_order_clear(&order);
    assert_int_equal(moved.input_count, 2);
    assert_string_equal(moved.inputs[0].name, "own");
    assert_string_equal(below(moved.inputs[0].path), "recipes/data");
    assert_string_equal(moved.inputs[1].repository, "hf://a/b");
    assert_non_null(moved.hub);
    tn_order_clear(&moved);
}

static void numbers_have_an_order(void **state)
{
    static const struct {
        const char *recipe;
        int32_t mode, given_port, threads;
        int32_t port;
        int64_t given, limit, time;
    } rows[] = {
        { "recipes/good.json", TENON_MODE_TRAIN, 0, 7, -1, 0, 100, 200 },
        { "recipes/good.json", TENON_MODE_SERVE, 0, 7, 0, 0, 100, 200 },
        { "recipes/good.json", TENON_MODE_SERVE, 8000, 5, 8000, 5, 5, 5 },
        { "recipes/good.json", TENON_MODE_TRAIN, 8000, 5, -1, 5, 5, 5 },
        { "{\"command\": [\"x\"], \"port\": 81}", TENON_MODE_SERVE, 0, 5, 81, 5, 5, 5 },
        { "{\"command\": [\"x\"]}", TENON_MODE_SERVE, 0, 0, -1, 0, 0, 0 },
        { NULL, TENON_MODE_SERVE, 0, 0, 0, 0, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const tenon_job_options options = { .recipe = rows[i].recipe, .model = "model.gguf", .port = rows[i].given_port,
                                            .threads = (int32_t)rows[i].given, .memory_bytes = rows[i].given, .expiry_ms = rows[i].given };
        struct order order;

        assert_int_equal(tn_order_read(&order, context, &options, rows[i].mode), TENON_OK);
        assert_int_equal(order.port, rows[i].port);
        assert_int_equal(order.memory_bytes, rows[i].limit);
        assert_int_equal(order.time_ms, rows[i].time);
        if (rows[i].threads > 0)
            assert_int_equal(order.threads, rows[i].threads);
        else
            assert_true(order.threads >= 1);
        assert_string_equal(order.accelerator, "local:cpu");
        assert_null(order.visible[0].name);
        tn_order_clear(&order);
    }
}

static void a_job_has_a_name(void **state)
{
    static const struct {
        const char *name, *model, *recipe, *expected;
    } rows[] = {
        { "mine", "owner/x", "{\"command\": [\"x\"]}", "mine" },
        { "a@b", NULL, "{\"command\": [\"x\"]}", "a@b" },
        { "", NULL, "{\"command\": [\"/bin/x\"]}", "x" },
        { NULL, "owner/x@main", "{\"command\": [\"x\"]}", "x" },
        { NULL, "model.gguf", NULL, "model.gguf" },
        { NULL, NULL, "{\"command\": [\"/usr/bin/python3\", \"x\"]}", "python3" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const tenon_job_options options = { .name = rows[i].name, .model = rows[i].model, .recipe = rows[i].recipe };
        struct order order;

        if (tn_order_read(&order, context, &options, TENON_MODE_SERVE) != TENON_OK)
            fail_msg("row %zu: %s", i, context->failure.message);
        assert_string_equal(order.name, rows[i].expected);
        tn_order_clear(&order);
    }
}

static const char *const bad_label[] = { "a=b", "label", NULL };
static const char *const empty_label[] = { "=b", NULL };
static const char *const odd_label[] = { "a=\xff", NULL };
static const char *const contract_variable[] = { "TENON_MODEL=x", NULL };
static const char *const no_variable[] = { "1A=x", NULL };
static const char *const bare_variable[] = { "HOME", NULL };

static void what_is_wrong_is_named(void **state)
{
#define GOOD .recipe = "{\"command\": [\"x\"]}"
    static const struct {
        tenon_job_options options;
        tenon_status status;
        const char *message; /* a part of it */
    } rows[] = {
        { { .model = "model.gguf" }, TENON_ERROR_ARGUMENT, "training needs a recipe" },
        { { GOOD, .threads = -1 }, TENON_ERROR_ARGUMENT, "threads is below 0" },
        { { GOOD, .expiry_ms = -1 }, TENON_ERROR_ARGUMENT, "expiry_ms or memory_bytes is below 0" },
        { { GOOD, .memory_bytes = INT64_MIN }, TENON_ERROR_ARGUMENT, "expiry_ms or memory_bytes is below 0" },
        { { GOOD, .context_tokens = -1 }, TENON_ERROR_ARGUMENT, "context_tokens or sequences is below 0" },
        { { GOOD, .sequences = -1 }, TENON_ERROR_ARGUMENT, "context_tokens or sequences is below 0" },
        { { GOOD, .context_tokens = INT64_MAX, .sequences = INT64_MAX }, TENON_ERROR_ARGUMENT, "is above 2147483647" },
        { { GOOD, .context_tokens = 1 << 16, .sequences = 1 << 15 }, TENON_ERROR_ARGUMENT, "is above 2147483647" },
        { { GOOD, .port = -1 }, TENON_ERROR_ARGUMENT, "port is not from 0 to 65535" },
        { { GOOD, .port = 65536 }, TENON_ERROR_ARGUMENT, "port is not from 0 to 65535" },
        { { GOOD, .key = "" }, TENON_ERROR_ARGUMENT, "key is empty" },
        { { GOOD, .key = "\xff" }, TENON_ERROR_ARGUMENT, "key is not UTF-8" },
        { { GOOD, .file = "m.gguf" }, TENON_ERROR_ARGUMENT, "file is given, and a recipe" },
        { { GOOD, .file = "\xff" }, TENON_ERROR_ARGUMENT, "file is not UTF-8" },
        { { GOOD, .name = "\xff" }, TENON_ERROR_ARGUMENT, "name is not UTF-8" },
        { { GOOD, .revision = "\xff" }, TENON_ERROR_ARGUMENT, "revision is not UTF-8" },
        { { GOOD, .model = "\xff" }, TENON_ERROR_ARGUMENT, "is not UTF-8" },
        { { GOOD, .output = "a\xff" }, TENON_ERROR_ARGUMENT, "is not UTF-8" },
        { { GOOD, .labels = bad_label }, TENON_ERROR_ARGUMENT, "the label \"label\" is not valid" },
        { { GOOD, .labels = empty_label }, TENON_ERROR_ARGUMENT, "the label \"=b\" is not valid" },
        { { GOOD, .labels = odd_label }, TENON_ERROR_ARGUMENT, "the label" },
        { { GOOD, .environment = contract_variable }, TENON_ERROR_ARGUMENT, "the variable \"TENON_MODEL=x\" is not valid" },
        { { GOOD, .environment = no_variable }, TENON_ERROR_ARGUMENT, "the variable \"1A=x\" is not valid" },
        { { GOOD, .environment = bare_variable }, TENON_ERROR_ARGUMENT, "the variable \"HOME\" is not valid" },
        { { .recipe = "recipes/nowhere.json" }, TENON_ERROR_NOT_FOUND, "there is no recipe " },
        { { .recipe = "" }, TENON_ERROR_IO, "" },
        { { .recipe = "recipes" }, TENON_ERROR_IO, "recipes" },
        { { .recipe = "recipes/bad.json" }, TENON_ERROR_ARGUMENT, "recipes/bad.json: \"command\" is not a list of texts" },
        { { .recipe = "recipes/missing.json" }, TENON_ERROR_NOT_FOUND, "recipes/nowhere does not exist" },
        { { .recipe = "{\"command\": [\"x\"]" }, TENON_ERROR_ARGUMENT, "the recipe is not valid JSON" },
        { { GOOD, .model = "./nowhere" }, TENON_ERROR_NOT_FOUND, "nowhere does not exist" },
        { { GOOD, .model = "/nowhere" }, TENON_ERROR_NOT_FOUND, "/nowhere does not exist" },
        { { GOOD, .model = "a/b/c/d" }, TENON_ERROR_ARGUMENT, "a/b/c/d" },
        { { GOOD, .data = "owner/there" }, TENON_ERROR_NOT_FOUND, "owner/there does not exist" },
        { { GOOD, .data = "s3://bucket/x" }, TENON_ERROR_ARGUMENT, "s3://bucket/x" },
        { { GOOD, .accelerator = "local:cuda:0" }, TENON_ERROR_NOT_FOUND, "cuda" },
        { { GOOD, .accelerator = "moon:tpu" }, TENON_ERROR_UNSUPPORTED, "moon" },
    };
    static char long_key[1002];
    const tenon_job_options keyed = { GOOD, .key = long_key }, nothing = { .threads = 0 };
    struct order order;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        tenon_status status = tn_order_read(&order, context, &rows[i].options, TENON_MODE_TRAIN);

        if (status != rows[i].status || strstr(context->failure.message, rows[i].message) == NULL)
            fail_msg("row %zu: %s, %s", i, tenon_status_name(status), context->failure.message);
        tn_order_clear(&order);
    }
    memset(long_key, 'k', sizeof long_key - 1);
    assert_int_equal(tn_order_read(&order, context, &keyed, TENON_MODE_TRAIN), TENON_ERROR_ARGUMENT);
    assert_int_equal(tn_order_read(&order, context, &nothing, TENON_MODE_SERVE), TENON_ERROR_ARGUMENT);
    assert_string_equal(context->failure.message, "serving needs a model or a recipe");
}

/* Two orders are the same when everything that was said is the same, and else they are not. */
static void an_order_has_its_fingerprint(void **state)
{
    static const char *const label[] = { "a=b", NULL }, *const variable[] = { "A=b", NULL };
    const tenon_job_options rows[] = {
        { GOOD },
        { GOOD, .model = "model.gguf" },
        { GOOD, .model = "./model.gguf" },
        { GOOD, .model = "hf://model.gguf" },
        { GOOD, .data = "model.gguf" },
        { GOOD, .output = "out" },
        { GOOD, .revision = "main" },
        { GOOD, .name = "mine" },
        { GOOD, .accelerator = "local:cpu" },
        { GOOD, .labels = label },
        { GOOD, .environment = variable },
        { GOOD, .threads = 1 },
        { GOOD, .expiry_ms = 1 },
        { GOOD, .memory_bytes = 1 },
        { GOOD, .port = 1 },
        { GOOD, .context_tokens = 1 },
        { GOOD, .sequences = 1 },
        { .model = "model.gguf" },
        { .model = "model.gguf", .file = "a.gguf" },
        { .model = "model.gguf", .file = "b.gguf" },
        { .recipe = "{\"command\": [\"y\"]}" },
        { .recipe = "recipes/good.json" },
    };
    char seen[COUNT(rows)][65];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct order order, again;

        if (tn_order_read(&order, context, &rows[i], TENON_MODE_SERVE) != TENON_OK)
            fail_msg("row %zu: %s", i, context->failure.message);
        assert_int_equal(tn_order_read(&again, context, &rows[i], TENON_MODE_SERVE), TENON_OK);
        assert_string_equal(order.fingerprint, again.fingerprint);
        assert_int_equal(strlen(order.fingerprint), 64);
        memcpy(seen[i], order.fingerprint, sizeof seen[i]);
        for (size_t other = 0; other < i; other++)
            if (strcmp(seen[i], seen[other]) == 0)
                fail_msg("row %zu is as row %zu", i, other);
        tn_order_clear(&again);
        tn_order_clear(&order);
    }
}

static tenon_status read_with(struct test_memory *counts)
{
    static const char *const label[] = { "a=b", NULL }, *const variable[] = { "A=b", NULL };
    const tenon_job_options options = { .recipe = "recipes/good.json", .model = "model.gguf", .output = "out", .labels = label, .environment = variable };
    tenon_context *own = NULL;
    struct order order;
    tenon_status status = open_context(counts, &own);

    if (status == TENON_OK) {
        status = tn_order_read(&order, own, &options, TENON_MODE_TRAIN);
        assert_true(status == TENON_OK || own->failure.status == status);
        tn_order_clear(&order);
    }
    tenon_context_free(own);
    return status;
}

static void no_memory_is_told(void **state)
{
    (void)state;
    test_every_failure(read_with);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(a_recipe_is_a_file_or_its_text), EACH(names_become_paths_or_repositories), EACH(inputs_count_from_the_recipe),
        EACH(numbers_have_an_order),          EACH(a_job_has_a_name),                   EACH(what_is_wrong_is_named),
        EACH(an_order_has_its_fingerprint),   EACH(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
