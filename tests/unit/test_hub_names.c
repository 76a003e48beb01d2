/* Sets of names. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "names.h"

static struct memory memory;
static struct failure failure;
static struct names names;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    tn_failure_init(&failure, &memory, NULL);
    tn_names_init(&names, &memory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tn_names_clear(&names);
    tn_failure_clear(&failure);
    return 0;
}

static void assert_names(const char *const *expected, size_t count)
{
    assert_int_equal(names.count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(names.at[i], expected[i]);
}

static void in_order_and_each_once(void **state)
{
    static const char *const given[] = { "b", "a", "", "B", "a/b", "\xc3\xa4", "b", "a", "ab", "a-b" };
    static const char *const expected[] = { "", "B", "a", "a-b", "a/b", "ab", "b", "\xc3\xa4" };

    (void)state;
    assert_false(tn_names_have(&names, "a"));
    tn_names_sort(&names);
    assert_names(NULL, 0);
    for (size_t i = 0; i < COUNT(given); i++)
        assert_int_equal(tn_names_add(&names, given[i], &failure), TENON_OK);
    tn_names_sort(&names);
    tn_names_sort(&names);
    assert_names(expected, COUNT(expected));
    for (size_t i = 0; i < COUNT(given); i++)
        assert_true(tn_names_have(&names, given[i]));
    assert_false(tn_names_have(&names, "A"));
    assert_false(tn_names_have(&names, "a/"));
    assert_false(tn_names_have(&names, "c"));
    tn_names_clear(&names);
    assert_false(tn_names_have(&names, "a"));
    tn_names_clear(&names);
}

static void many(void **state)
{
    char name[16];

    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "%d", i * 7919 % 2500);
        assert_int_equal(tn_names_add(&names, name, &failure), TENON_OK);
    }
    tn_names_sort(&names);
    assert_int_equal(names.count, 2500);
    for (size_t i = 1; i < names.count; i++)
        assert_true(strcmp(names.at[i - 1], names.at[i]) < 0);
    for (int i = 0; i < 2500; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_true(tn_names_have(&names, name));
    }
}

static void of_a_folder(void **state)
{
    static const char *const expected[] = { ".hidden", "a", "below", "z" };
    char *folder = test_folder_make(), *a = test_join(folder, "a"), *hidden = test_join(folder, ".hidden"),
         *below = test_join(folder, "below"), *file = test_join(folder, "below/file"), *none = test_join(folder, "none");

    (void)state;
    test_write(a, "");
    test_write(hidden, "");
    assert_int_equal(tn_folder_make(below, 0777, &failure), TENON_OK);
    test_write(file, "");
    assert_int_equal(tn_names_add(&names, "z", &failure), TENON_OK);
    assert_int_equal(tn_names_add(&names, "a", &failure), TENON_OK);
    assert_int_equal(tn_names_add_folder(&names, folder, &failure), TENON_OK);
    assert_names(expected, COUNT(expected));
    assert_int_equal(tn_names_add_folder(&names, none, &failure), TENON_OK);
    assert_int_equal(tn_names_add_folder(&names, a, &failure), TENON_OK);
    assert_names(expected, COUNT(expected));
    free(a);
    free(hidden);
    free(below);
    free(file);
    free(none);
    test_folder_remove(folder);
}

static char *scene;

static tenon_status add_some(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    struct failure fault;
    struct names some;
    char name[16];
    tenon_status status = TENON_OK;

    tn_failure_init(&fault, &failing, NULL);
    tn_names_init(&some, &failing);
    for (int i = 0; i < 100 && status == TENON_OK; i++) {
        snprintf(name, sizeof name, "%d", i);
        status = tn_names_add(&some, name, &fault);
    }
    if (status == TENON_OK)
        status = tn_names_add_folder(&some, scene, &fault);
    assert_int_equal(status, fault.status);
    tn_names_clear(&some);
    tn_failure_clear(&fault);
    return status;
}

static void without_memory(void **state)
{
    char *file;

    (void)state;
    scene = test_folder_make();
    file = test_join(scene, "file");
    test_write(file, "");
    test_every_failure(add_some);
    free(file);
    test_folder_remove(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(in_order_and_each_once, set_up, tear_down), cmocka_unit_test_setup_teardown(many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_a_folder, set_up, tear_down),            cmocka_unit_test(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
