#define _GNU_SOURCE
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop.h"
#include "watch.h"

enum { TRIES = 1200, TRY_US = 50 * 1000 };

/* Looks at its folder each time it is woken. */
struct looker {
    struct co co;
    struct watch watch;
    int looks;
};

static tenon_context *context;
static char *folder;

static int set_up(void **state)
{
    (void)state;
    context = test_open(NULL);
    folder = test_folder_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tenon_context_free(context);
    test_folder_remove(folder);
    return 0;
}

static tenon_status look(struct co *co)
{
    TN_CONTAINER(co, struct looker, co)->looks++;
    return TENON_AGAIN;
}

/* A user has 128 instances of inotify, and the jobs of tests beside this one may have them all for a while. */
static bool watch_soon(struct looker *looker, const char *path)
{
    bool watched = tn_watch_folder(&looker->watch, context, path, &looker->co);

    for (int i = 0; i < TRIES && !watched; i++) {
        usleep(TRY_US);
        watched = tn_watch_folder(&looker->watch, context, path, &looker->co);
    }
    return watched;
}

static void start(struct looker *looker, const char *path)
{
    memset(looker, 0, sizeof *looker);
    tn_co_start(&looker->co, context, look, NULL);
    assert_true(watch_soon(looker, path));
}

static void stop(struct looker *looker)
{
    tn_watch_stop(&looker->watch);
    tn_co_stop(&looker->co);
}

/* Turns the loop until there is nothing left to hear. inotify tells of what the same process did before it returns. */
static void settle(void)
{
    while (tn_loop_step(context, 0) == TENON_OK)
        ;
}

static void every_change_is_heard(void **state)
{
    char *a = test_join(folder, "a"), *b = test_join(folder, "b");
    struct looker looker;
    int before;

    (void)state;
    start(&looker, folder);
    settle();
    assert_int_equal(looker.looks, 1);
    for (int change = 0; change < 5; change++) {
        before = looker.looks;
        if (change == 0)
            test_write(a, "x");
        else if (change == 1)
            test_write(a, "more");
        else if (change == 2)
            assert_int_equal(rename(a, b), 0);
        else if (change == 3)
            assert_int_equal(truncate(b, 1), 0);
        else
            assert_int_equal(unlink(b), 0);
        settle();
        assert_true(looker.looks > before);
    }
    stop(&looker);
    before = looker.looks;
    test_write(a, "x");
    settle();
    assert_int_equal(looker.looks, before);
    free(a);
    free(b);
}

static void two_watch_the_same_folder(void **state)
{
    char *a = test_join(folder, "a"), *b = test_join(folder, "b");
    struct looker first, second;

    (void)state;
    start(&first, folder);
    start(&second, folder);
    settle();
    test_write(a, "x");
    settle();
    assert_true(first.looks > 1 && second.looks > 1);
    stop(&first);
    second.looks = 0;
    test_write(b, "x");
    settle();
    assert_true(second.looks > 0);
    stop(&second);
    stop(&second);
    free(a);
    free(b);
}

static void one_watch_changes_its_folder(void **state)
{
    char *other = test_folder_make(), *here = test_join(folder, "a"), *there = test_join(other, "a");
    struct looker looker;

    (void)state;
    start(&looker, folder);
    assert_true(tn_watch_folder(&looker.watch, context, other, &looker.co));
    settle();
    looker.looks = 0;
    test_write(here, "x");
    settle();
    assert_int_equal(looker.looks, 0);
    test_write(there, "x");
    settle();
    assert_true(looker.looks > 0);
    stop(&looker);
    free(here);
    free(there);
    test_folder_remove(other);
}

static void the_folder_goes_away(void **state)
{
    char *inner = test_folder_make();
    struct looker looker;

    (void)state;
    start(&looker, inner);
    settle();
    test_folder_remove(inner);
    settle();
    assert_true(looker.looks > 1);
    stop(&looker);
}

static void what_cannot_be_watched(void **state)
{
    char *file = test_join(folder, "file");
    struct looker looker;

    (void)state;
    test_write(file, "x");
    memset(&looker, 0, sizeof looker);
    assert_false(tn_watch_folder(&looker.watch, context, "/no/such/folder", &looker.co));
    assert_false(tn_watch_folder(&looker.watch, context, file, &looker.co));
    tn_watch_stop(&looker.watch);
    free(file);
}

static tenon_status watch_once(struct test_memory *counts)
{
    struct looker looker;
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts }, &context);
    bool watched;

    if (status != TENON_OK)
        return status;
    memset(&looker, 0, sizeof looker);
    tn_co_start(&looker.co, context, look, NULL);
    watched = tn_watch_folder(&looker.watch, context, folder, &looker.co);
    settle();
    assert_int_equal(looker.looks, 1);
    stop(&looker);
    tenon_context_free(context);
    return watched ? TENON_OK : TENON_ERROR_MEMORY;
}

static void without_memory(void **state)
{
    tenon_context *kept = context;

    (void)state;
    test_every_failure(watch_once);
    context = kept;
}

static void free_in_child(void *user)
{
    stop(user);
    tenon_context_free(context);
}

static void a_forked_child_does_not_end_the_parents_watch(void **state)
{
    char *a = test_join(folder, "a");
    struct looker looker;

    (void)state;
    start(&looker, folder);
    settle();
    assert_int_equal(test_in_child(free_in_child, &looker), 0);
    looker.looks = 0;
    test_write(a, "x");
    settle();
    assert_true(looker.looks > 0);
    stop(&looker);
    free(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_change_is_heard),
        TEST(two_watch_the_same_folder),
        TEST(one_watch_changes_its_folder),
        TEST(the_folder_goes_away),
        TEST(what_cannot_be_watched),
        TEST(without_memory),
        TEST(a_forked_child_does_not_end_the_parents_watch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
