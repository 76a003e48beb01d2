#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"

static struct memory memory;
static struct arena arena;
static struct environment environment;
static struct failure failure;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    tn_arena_init(&arena, &memory);
    tn_failure_init(&failure, &memory, NULL);
    tn_environment_init(&environment, &arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tn_arena_clear(&arena);
    tn_failure_clear(&failure);
    return 0;
}

static const char *get(const char *name)
{
    return tn_environment_get(&environment, name, strlen(name));
}

static void each_name_stands_once(void **state)
{
    (void)state;
    assert_null(get("A"));
    tn_environment_set(&environment, "A", "1");
    tn_environment_put(&environment, "AB=2=3");
    tn_environment_set(&environment, "B", NULL);
    tn_environment_put(&environment, "A=other");
    tn_environment_set(&environment, "AB", "");
    assert_int_equal(tn_environment_status(&environment), TENON_OK);
    assert_int_equal(environment.count, 2);
    assert_string_equal(environment.pairs[0], "A=other");
    assert_string_equal(environment.pairs[1], "AB=");
    assert_null(environment.pairs[2]);
    assert_string_equal(get("A"), "other");
    assert_string_equal(get("AB"), "");
    assert_null(get("B"));
    assert_null(get(""));
    assert_null(get("A=other"));
    assert_string_equal(tn_environment_get(&environment, "A) and more", 1), "other");
}

static void there_is_room_for_many(void **state)
{
    char name[16], value[16];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "N%d", i);
        snprintf(value, sizeof value, "%d", 7 * i);
        tn_environment_set(&environment, name, value);
        assert_null(environment.pairs[environment.count]);
    }
    assert_int_equal(environment.count, 1000);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "N%d", i);
        assert_int_equal(atoi(get(name)), 7 * i);
    }
}

static void names_are_expanded(void **state)
{
    static const struct {
        const char *text, *expanded; /* NULL: refused */
    } rows[] = {
        { "", "" }, { "plain", "plain" }, { "$(A)", "one" }, { "<$(A)$(EMPTY)$(B)>", "<one$(A)>" }, { "$$(A)", "$(A)" },
        { "$$", "$" }, { "$$$$", "$$" }, { "$$$(A)", "$one" }, { "$", "$" }, { "$A ${A} $1", "$A ${A} $1" }, { "end$", "end$" },
        { "$(A", NULL }, { "$(", NULL }, { "$()", NULL }, { "$(C)", NULL }, { "$( A)", NULL }, { "$(a)", NULL }, { "$($(A))", NULL },
        { "(A)", "(A)" }, { "\xc3\xbc$(A)\n", "\xc3\xbcone\n" },
    };
    struct text out;

    (void)state;
    tn_environment_set(&environment, "A", "one");
    tn_environment_set(&environment, "B", "$(A)");
    tn_environment_set(&environment, "EMPTY", "");
    tn_text_init(&out, &memory, 1 << 22);
    for (size_t i = 0; i < COUNT(rows); i++) {
        tenon_status status;

        tn_text_reset(&out);
        status = tn_expand(rows[i].text, &environment, &out, &failure);
        assert_int_equal(status, rows[i].expanded != NULL ? TENON_OK : TENON_ERROR_ARGUMENT);
        if (rows[i].expanded != NULL)
            assert_string_equal(tn_text(&out), rows[i].expanded);
        else
            assert_non_null(failure.hint);
    }
    assert_int_equal(tn_expand("a $(NO_SUCH) b", &environment, &out, &failure), TENON_ERROR_ARGUMENT);
    assert_string_equal(failure.message, "$(NO_SUCH) is no variable of this job");
    assert_int_equal(tn_expand("a $(A b", &environment, &out, &failure), TENON_ERROR_ARGUMENT);
    assert_string_equal(failure.message, "\"$(A b\" has no closing bracket");
    tn_text_clear(&out);
}

/* Doubling a text again and again must end somewhere. */
static void what_is_expanded_is_bounded(void **state)
{
    char *much = malloc((1 << 20) + 1);
    struct text out;

    (void)state;
    memset(much, 'x', 1 << 20);
    much[1 << 20] = '\0';
    tn_environment_set(&environment, "A", much);
    tn_text_init(&out, &memory, 4 << 20);
    assert_int_equal(tn_expand("$(A)", &environment, &out, &failure), TENON_OK);
    tn_text_reset(&out);
    assert_int_equal(tn_expand("$(A)x", &environment, &out, &failure), TENON_ERROR_ARGUMENT);
    tn_text_reset(&out);
    assert_int_equal(tn_expand("$(A)$(A)$(A)$(A)$(A)$(A)", &environment, &out, &failure), TENON_ERROR_ARGUMENT);
    /* A message stays short, whatever is in it. */
    memcpy(much, "$(", 2);
    assert_int_equal(tn_expand(much, &environment, &out, &failure), TENON_ERROR_ARGUMENT);
    assert_true(strlen(failure.message) < 1000);
    tn_text_clear(&out);
    free(much);
}

static void the_contract_is_told(void **state)
{
    static const char *const expected[] = {
        "TENON_JOB_ID=local:0123456789ab", "TENON_MODE=serve", "TENON_MODEL=/m/x.gguf", "TENON_MODEL_ID=owner/x", "TENON_DATA=/d",
        "TENON_OUTPUT=/o", "TENON_HOST=127.0.0.1", "TENON_API_KEY=secret", "TENON_THREADS=3", "OMP_NUM_THREADS=3",
        "OPENBLAS_NUM_THREADS=3", "MKL_NUM_THREADS=3", "PYTHONUNBUFFERED=1", NULL,
    };
    const struct contract contract = {
        .id = "local:0123456789ab", .mode = "serve", .model = "/m/x.gguf", .model_id = "owner/x", .data = "/d", .output = "/o",
        .host = "127.0.0.1", .key = "secret", .threads = 3,
    };
    const struct contract little = { .id = "local:0123456789ab", .mode = "train", .threads = 1 };

    (void)state;
    /* What the user's own environment says of the contract does not count. */
    tn_environment_set(&environment, "TENON_JOB_ID", "a lie");
    tn_environment_set(&environment, "OMP_NUM_THREADS", "64");
    tn_contract_fill(&contract, &environment);
    assert_int_equal(environment.count, COUNT(expected) - 1);
    for (size_t i = 0; expected[i] != NULL; i++) {
        size_t length = strcspn(expected[i], "=");
        const char *value = tn_environment_get(&environment, expected[i], length);

        assert_non_null(value);
        assert_string_equal(value, expected[i] + length + 1);
    }
    tn_environment_init(&environment, &arena);
    tn_contract_fill(&little, &environment);
    assert_null(get("TENON_MODEL"));
    assert_null(get("TENON_DATA"));
    assert_null(get("TENON_HOST"));
    assert_null(get("TENON_API_KEY"));
    assert_null(get("TENON_PORT"));
    assert_string_equal(get("TENON_MODE"), "train");
}

static tenon_status fill_and_expand(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    const struct contract contract = { .id = "x", .mode = "train", .output = "/o", .threads = 1 };
    struct environment own;
    struct failure why;
    struct arena place;
    struct text out;
    char name[16];
    tenon_status status;

    tn_arena_init(&place, &failing);
    tn_failure_init(&why, &failing, NULL);
    tn_environment_init(&own, &place);
    for (int i = 0; i < 70; i++) {
        snprintf(name, sizeof name, "A%d=1", i);
        tn_environment_put(&own, name);
    }
    tn_contract_fill(&contract, &own);
    status = tn_environment_status(&own);
    tn_text_init(&out, &failing, 1 << 20);
    if (status == TENON_OK) {
        assert_int_equal(own.count, 70 + 8);
        status = tn_expand("some words $(TENON_OUTPUT) $$", &own, &out, &why);
    }
    if (status == TENON_OK)
        assert_string_equal(tn_text(&out), "some words /o $");
    tn_text_clear(&out);
    tn_failure_clear(&why);
    tn_arena_clear(&place);
    return status;
}

static void no_memory_is_told(void **state)
{
    (void)state;
    test_every_failure(fill_and_expand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_name_stands_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(there_is_room_for_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_are_expanded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_expanded_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_contract_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_memory_is_told, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
