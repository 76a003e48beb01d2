#define _GNU_SOURCE
#include "support.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop.h"
#include "teller.h"

/* ---- opening ---- */

static void defaults(void **state)
{
    tenon_context *context = NULL;
    tenon_error error = { .struct_size = sizeof error };

    (void)state;
    assert_int_equal(tenon_context_open(NULL, &context), TENON_OK);
    assert_int_equal(tenon_context_error(context, &error), TENON_OK);
    assert_int_equal(error.status, TENON_OK);
    assert_string_equal(error.message, "");
    assert_true(tenon_context_descriptor(context) >= 0);
    assert_int_equal(tenon_context_timeout(context), -1);
    assert_int_equal(tenon_context_step(context, 0), TENON_AGAIN);
    assert_true(tenon_context_ref(context) == context);
    tenon_context_free(context);
    tenon_context_free(context);
    tenon_context_free(NULL);
    assert_null(tenon_context_ref(NULL));
}

static void nothing_given(void **state)
{
    tenon_error error = { .struct_size = sizeof error };
    tenon_task *task = NULL;
    const char *value = NULL;

    (void)state;
    assert_int_equal(tenon_context_open(NULL, NULL), TENON_ERROR_ARGUMENT);
    assert_true(tenon_context_step(NULL, 0) < 0);
    assert_true(tenon_context_set(NULL, "home", "x") < 0);
    assert_true(tenon_context_get(NULL, "home", &value) < 0);
    assert_true(tenon_context_next_task(NULL, &task) < 0);
    assert_true(tenon_context_error(NULL, &error) < 0);
    assert_int_equal(tenon_context_descriptor(NULL), -1);
    tenon_context_wake(NULL);
}

static void options_of_other_versions(void **state)
{
    struct {
        tenon_context_options known;
        uint64_t newer;
    } options = { .known = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT } };
    tenon_context *context = NULL;

    (void)state;
    assert_int_equal(tenon_context_open(&options.known, &context), TENON_OK);
    tenon_context_free(context);
    context = NULL;
    options.newer = 1;
    assert_int_equal(tenon_context_open(&options.known, &context), TENON_ERROR_UNSUPPORTED);
    assert_null(context);
    /* An older program does not have the later fields, whatever lies behind its struct. */
    options.known.settings = (const char *const *)(uintptr_t)1;
    options.known.struct_size = offsetof(tenon_context_options, settings);
    assert_int_equal(tenon_context_open(&options.known, &context), TENON_OK);
    tenon_context_free(context);
    options.known.struct_size = 0;
    assert_int_equal(tenon_context_open(&options.known, &context), TENON_ERROR_ARGUMENT);
}

static void hooks_that_lack_a_function(void **state)
{
    struct test_memory counts = { 0 };
    struct test_clock now = { 0 };
    tenon_context_options options = { .struct_size = sizeof options };
    tenon_context *context = NULL;

    (void)state;
    for (int i = 0; i < 8; i++) {
        tenon_allocator allocator = test_allocator(&counts);
        tenon_clock clock = test_clock_hooks(&now);

        options.allocator = i < 4 ? &allocator : NULL;
        options.clock = i < 4 ? NULL : &clock;
        if (i == 0)
            allocator.allocate = NULL;
        else if (i == 1)
            allocator.resize = NULL;
        else if (i == 2)
            allocator.release = NULL;
        else if (i == 3)
            allocator.struct_size = 0;
        else if (i == 4)
            clock.monotonic_ms = NULL;
        else if (i == 5)
            clock.wall_ms = NULL;
        else if (i == 6)
            clock.random = NULL;
        else
            clock.struct_size = offsetof(tenon_clock, random);
        assert_int_equal(tenon_context_open(&options, &context), TENON_ERROR_ARGUMENT);
        assert_null(context);
    }
    assert_int_equal(counts.live, 0);
}

static void settings_at_opening(void **state)
{
    static const char *const good[] = { "hub.files=3", "hub.endpoint=http://a=b", NULL }, *const bad[] = { "hub.files=3", "hub.files=x", NULL };
    static const char *const unknown[] = { "x=y", NULL };
    tenon_context *context = NULL;
    const char *value = NULL;

    (void)state;
    setenv("HF_ENDPOINT", "http://environment", 1);
    assert_int_equal(tenon_context_open(&(tenon_context_options){ .struct_size = sizeof(tenon_context_options), .settings = good }, &context), TENON_OK);
    assert_int_equal(tenon_context_get(context, "hub.endpoint", &value), TENON_OK);
    assert_string_equal(value, "http://a=b");
    assert_int_equal(tenon_context_get(context, "hub.files", &value), TENON_OK);
    assert_string_equal(value, "3");
    tenon_context_free(context);
    context = NULL;
    assert_int_equal(test_try_open(&(struct test_hooks){ .settings = bad }, &context), TENON_ERROR_ARGUMENT);
    assert_int_equal(test_try_open(&(struct test_hooks){ .settings = unknown }, &context), TENON_ERROR_ARGUMENT);
    assert_null(context);
    context = test_open(NULL);
    assert_int_equal(tenon_context_get(context, "hub.endpoint", &value), TENON_OK);
    assert_string_equal(value, "https://huggingface.co");
    tenon_context_free(context);
    unsetenv("HF_ENDPOINT");
}

static void setting_and_getting(void **state)
{
    tenon_context *context = test_open(NULL);
    tenon_error error = { .struct_size = sizeof error };
    const char *value = "untouched";

    (void)state;
    assert_int_equal(tenon_context_set(context, "transport.retries", "9"), TENON_OK);
    assert_int_equal(tenon_context_get(context, "transport.retries", &value), TENON_OK);
    assert_string_equal(value, "9");
    assert_int_equal(tenon_context_set(context, "transport.retries", "-9"), TENON_ERROR_ARGUMENT);
    tenon_context_error(context, &error);
    assert_int_equal(error.status, TENON_ERROR_ARGUMENT);
    assert_string_equal(error.message, "setting transport.retries: \"-9\" is not a whole number from 0 to 100");
    value = "untouched";
    assert_int_equal(tenon_context_get(context, "transport.nothing", &value), TENON_ERROR_ARGUMENT);
    assert_string_equal(value, "untouched");
    error.struct_size = sizeof error;
    tenon_context_error(context, &error);
    assert_string_equal(error.message, "there is no setting \"transport.nothing\"");
    assert_true(strlen(error.hint) > 10);
    assert_int_equal(tenon_context_get(context, "transport.retries", NULL), TENON_ERROR_ARGUMENT);
    assert_int_equal(tenon_context_get(context, NULL, &value), TENON_ERROR_ARGUMENT);
    assert_int_equal(tenon_context_error(context, NULL), TENON_ERROR_ARGUMENT);
    tenon_context_free(context);
}

/* ---- memory ---- */

static tenon_status open_and_set(struct test_memory *counts)
{
    static const char *const rows[] = { "hub.token=hf_abcdef", "hub.home=/x", NULL };
    static struct test_log log;
    tenon_context *context = NULL;
    const char *value;
    tenon_status status;

    log = (struct test_log){ .length = 0 };
    status = test_try_open(&(struct test_hooks){ .memory = counts, .settings = rows, .log = &log }, &context);

    if (status == TENON_OK)
        status = tenon_context_set(context, "hub.token", "hf_ghijkl");
    if (status == TENON_OK)
        status = tenon_context_get(context, "hub.cache", &value);
    if (status == TENON_OK) {
        assert_string_equal(value, "/x/hub");
        tn_log(context, TENON_LOG_ERROR, "test", "%s %s", "the token hf_ghijkl and some words to make it grow", value);
        assert_true(log.count == 0 || strstr(log.text, "the token ********* and") != NULL);
        assert_int_equal(tenon_context_set(context, "hub.nothing", "x"), TENON_ERROR_ARGUMENT);
    } else if (context != NULL) {
        tenon_error error = { .struct_size = sizeof error };

        tenon_context_error(context, &error);
        assert_int_equal(error.status, TENON_ERROR_MEMORY);
        assert_string_equal(error.message, "out of memory");
    }
    tenon_context_free(context);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    test_every_failure(open_and_set);
}

/* ---- the log ---- */

static void levels(void **state)
{
    static const struct {
        int32_t level;
        int count;
    } rows[] = { { 0, 2 }, { TENON_LOG_ERROR, 1 }, { TENON_LOG_WARNING, 2 }, { TENON_LOG_INFO, 3 }, { TENON_LOG_DEBUG, 4 } };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        static struct test_log log;
        tenon_context *context;

        log = (struct test_log){ .length = 0 };
        context = test_open(&(struct test_hooks){ .log = &log, .level = rows[i].level });
        for (int32_t level = TENON_LOG_ERROR; level <= TENON_LOG_DEBUG; level++) {
            assert_int_equal(tn_logs(context, level), level <= rows[i].count);
            tn_log(context, level, "test", "level %d", (int)level);
        }
        assert_int_equal(log.count, rows[i].count);
        assert_true(strstr(log.text, "1 test level 1\n") == log.text);
        tenon_context_free(context);
    }
}

static void lines_are_clean_and_short(void **state)
{
    static struct test_log log;
    static char words[300000];
    tenon_context *context = test_open(&(struct test_hooks){ .log = &log });

    (void)state;
    tenon_context_set(context, "hub.token", "hf_secret");
    memset(words, 'x', 20000);
    for (size_t i = 1018; i < 10000; i += 9)
        memcpy(words + i, "hf_secret", 9);
    tn_log(context, TENON_LOG_ERROR, "test", "a\nb\x01 %s", words);
    assert_int_equal(log.count, 1);
    assert_true(strstr(log.text, "1 test a b? xxx") == log.text);
    assert_null(strstr(log.text, "hf_"));
    assert_int_equal(log.length, strlen("1 test ") + 1023 + 1);
    /* What is absurd is not worth its memory. */
    memset(words, 'x', sizeof words - 1);
    tn_log(context, TENON_LOG_ERROR, "test", "%s", words);
    assert_int_equal(log.count, 1);
    tenon_context_free(context);
}

/* ---- foreign event loops ---- */

static bool readable(tenon_context *context)
{
    struct pollfd wanted = { .fd = tenon_context_descriptor(context), .events = POLLIN };

    return poll(&wanted, 1, 0) == 1;
}

/* As the header promises: poll the descriptor for at most the timeout, then step; nothing is ever missed. */
static void a_foreign_loop(void **state)
{
    struct test_clock now = { .runs = true };
    tenon_context *context = test_open(&(struct test_hooks){ .clock = &now });
    struct telling telling = { .rows = 20, .pause_ms = 1 };
    tenon_task *tasks[3] = { NULL }, *news;
    int ended = 0, descriptor = tenon_context_descriptor(context);

    (void)state;
    for (size_t i = 0; i < COUNT(tasks); i++) {
        assert_int_equal(test_tell(context, &telling, &tasks[i]), TENON_OK);
        assert_true(readable(context));
    }
    while (ended < (int)COUNT(tasks)) {
        struct pollfd wanted = { .fd = descriptor, .events = POLLIN };
        int64_t timeout = tenon_context_timeout(context);

        assert_true(timeout >= 0);
        poll(&wanted, 1, (int)timeout);
        assert_true(tenon_context_step(context, 0) >= 0);
        while (tenon_context_next_task(context, &news) == TENON_OK)
            ended += tenon_task_state(news) == TENON_OK;
    }
    assert_int_equal(tenon_context_descriptor(context), descriptor);
    assert_int_equal(tenon_context_timeout(context), -1);
    assert_false(readable(context));
    for (size_t i = 0; i < COUNT(tasks); i++)
        tenon_task_free(tasks[i]);
    tenon_context_free(context);
}

static void a_step_waits_no_longer_than_told(void **state)
{
    struct test_clock now = { .runs = true };
    tenon_context *context = test_open(&(struct test_hooks){ .clock = &now });

    (void)state;
    assert_int_equal(tenon_context_step(context, 1), TENON_AGAIN);
    tenon_context_wake(context);
    assert_true(readable(context));
    assert_int_equal(tenon_context_step(context, -1), TENON_OK);
    tenon_context_wake(context);
    assert_int_equal(tenon_context_step(context, INT64_MAX), TENON_OK);
    tenon_context_free(context);
}

/* ---- threads ---- */

static void *open_many(void *user)
{
    (void)user;
    for (int i = 0; i < 200; i++) {
        tenon_context *context = NULL;

        if (tenon_context_open(NULL, &context) == TENON_OK)
            tenon_context_step(context, 0);
        tenon_context_free(context);
    }
    return NULL;
}

static void contexts_share_nothing(void **state)
{
    pthread_t threads[3];

    (void)state;
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_many, NULL), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
}

static void *free_while_inside(void *user)
{
    tenon_context *context = user;

    while (atomic_load(&context->inside) == 0)
        ;
    tenon_context_wake(context);
    tenon_context_free(context);
    return NULL;
}

static void the_last_reference_goes_while_one_steps(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        tenon_context *context = test_open(NULL);
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, free_while_inside, context), 0);
        assert_int_equal(tenon_context_step(context, -1), TENON_OK);
        pthread_join(thread, NULL);
    }
}

/* ---- a forked child ---- */

static void open_in_child(void *user)
{
    tenon_context *parents = user, *own = NULL;

    if (tenon_context_step(parents, 0) != TENON_ERROR_MISUSE || tenon_context_timeout(parents) != 0)
        _exit(1);
    tenon_context_free(parents);
    if (tenon_context_open(NULL, &own) != TENON_OK || tenon_context_step(own, 0) != TENON_AGAIN)
        _exit(2);
    tenon_context_free(own);
}

static void a_forked_child_opens_its_own(void **state)
{
    tenon_context *context = test_open(NULL);

    (void)state;
    tenon_context_wake(context);
    assert_int_equal(test_in_child(open_in_child, context), 0);
    /* What made the parent's descriptor readable is still there. */
    assert_true(readable(context));
    assert_int_equal(tenon_context_step(context, -1), TENON_OK);
    tenon_context_free(context);
}

/* ---- small things ---- */

static void names_and_chance(void **state)
{
    tenon_context *context = NULL;
    char a[33], b[33];

    (void)state;
    assert_int_equal(tenon_context_open(NULL, &context), TENON_OK);
    tn_random_hex(context, a, 32);
    tn_random_hex(context, b, 32);
    assert_true(tn_is_hex(a, 32) && tn_is_hex(b, 32));
    assert_string_not_equal(a, b);
    assert_true(tn_wall(context) > INT64_C(1700000000000));
    tenon_context_free(context);
    assert_string_equal(tenon_version(), "0.1.0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(nothing_given),
        cmocka_unit_test(options_of_other_versions),
        cmocka_unit_test(hooks_that_lack_a_function),
        cmocka_unit_test(settings_at_opening),
        cmocka_unit_test(setting_and_getting),
        cmocka_unit_test(without_memory),
        cmocka_unit_test(levels),
        cmocka_unit_test(lines_are_clean_and_short),
        cmocka_unit_test(a_foreign_loop),
        cmocka_unit_test(a_step_waits_no_longer_than_told),
        cmocka_unit_test(contexts_share_nothing),
        cmocka_unit_test(the_last_reference_goes_while_one_steps),
        cmocka_unit_test(a_forked_child_opens_its_own),
        cmocka_unit_test(names_and_chance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
