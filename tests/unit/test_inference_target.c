#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "target.h"

static char *jobs;

static int set_up(void **state)
{
    (void)state;
    jobs = test_folder_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_folder_remove(jobs);
    return 0;
}

static tenon_context *open_context(struct test_memory *counts)
{
    char folder[200];
    /* Jobs that nobody watches over stay so. */
    const char *const settings[] = { folder, "job.supervisor=/nowhere/tenon-supervisor", NULL };
    tenon_context *context = NULL;

    snprintf(folder, sizeof folder, "job.folder=%s", jobs);
    test_try_open(&(struct test_hooks){ .memory = counts, .settings = settings }, &context);
    return context;
}

static void write_job(const char *name, const char *file, const char *text)
{
    char *folder = test_join(jobs, name), *path = test_join(folder, file);
    struct memory memory = tn_memory(NULL);
    struct failure failure;

    tn_failure_init(&failure, &memory, NULL);
    assert_int_equal(tn_folder_make(folder, 0700, &failure), TENON_OK);
    test_write(path, text);
    free(path);
    free(folder);
}

struct expected {
    const char *name, *key;
    tenon_status status;
    const char *told; /* the address, or how the message begins */
    const char *sent; /* the key; NULL: none */
};

static void expect(const struct expected *expected)
{
    tenon_context *context = open_context(NULL);
    struct memory memory = tn_memory(NULL);
    struct failure failure;
    struct target target;
    tenon_status status;

    assert_non_null(context);
    tn_failure_init(&failure, &memory, NULL);
    tn_target_init(&target, context);
    status = tn_target_open(&target, context, expected->name, expected->key, &failure);
    if (status != expected->status)
        fail_msg("%s: %s (%s)", expected->name, tenon_status_name(status), failure.message != NULL ? failure.message : "");
    if (status == TENON_OK) {
        assert_string_equal(tn_text(&target.address), expected->told);
        assert_int_equal(target.address.length, strlen(expected->told));
        assert_string_equal(tn_target_key(&target) != NULL ? tn_target_key(&target) : "(none)", expected->sent != NULL ? expected->sent : "(none)");
    } else {
        assert_int_equal(strncmp(failure.message, expected->told, strlen(expected->told)), 0);
        assert_non_null(failure.message);
    }
    /* No message may hold the key from now on. */
    if (tn_target_key(&target) != NULL && strlen(tn_target_key(&target)) >= 6) {
        tn_fail(&context->failure, TENON_ERROR_FAILED, "<%s>", tn_target_key(&target));
        assert_null(strstr(context->failure.message, tn_target_key(&target)));
    }
    tn_target_clear(&target);
    tn_target_clear(&target);
    tn_failure_clear(&failure);
    tenon_context_free(context);
}

static void addresses(void **state)
{
    static const struct expected rows[] = {
        { "http://127.0.0.1:8000/v1", NULL, TENON_OK, "http://127.0.0.1:8000/v1", NULL },
        { "http://127.0.0.1:8000/v1/", NULL, TENON_OK, "http://127.0.0.1:8000/v1", NULL },
        { "http://127.0.0.1:8000/v1///", "secret-key", TENON_OK, "http://127.0.0.1:8000/v1", "secret-key" },
        { "https://api.example.com", "", TENON_OK, "https://api.example.com", NULL },
        { "https://api.example.com/", NULL, TENON_OK, "https://api.example.com", NULL },
        { "http://[::1]:80/v1", NULL, TENON_OK, "http://[::1]:80/v1", NULL },
        { "http://", NULL, TENON_ERROR_ARGUMENT, "\"http://\" is neither a job's id nor the address of a server", NULL },
        { "http:///v1", NULL, TENON_ERROR_ARGUMENT, "\"http:///v1\" is neither", NULL },
        { "http://host:99999/v1", NULL, TENON_ERROR_ARGUMENT, "\"http://host:99999/v1\" is neither", NULL },
        { "http://host:port/", NULL, TENON_ERROR_ARGUMENT, "\"http://host:port/\" is neither", NULL },
        { "http://a b/", NULL, TENON_ERROR_ARGUMENT, "\"http://a b/\" is neither", NULL },
        { "http://host/v1?x=1", NULL, TENON_ERROR_ARGUMENT, "the address \"http://host/v1?x=1\" does not end with its path", NULL },
        { "http://host/v1#x", NULL, TENON_ERROR_ARGUMENT, "the address \"http://host/v1#x\" does not end with its path", NULL },
        { "ftp://host/v1", NULL, TENON_ERROR_ARGUMENT, "\"ftp://host/v1\" is neither a job's id nor the address of a server", NULL },
        { "127.0.0.1:8000/v1", NULL, TENON_ERROR_ARGUMENT, "\"127.0.0.1:8000/v1\" is neither", NULL },
        { "vertex:1", NULL, TENON_ERROR_UNSUPPORTED, "this version of tenon knows no place \"vertex\"", NULL },
        { "127.0.0.1:8000", NULL, TENON_ERROR_UNSUPPORTED, "this version of tenon knows no place \"127.0.0.1\"", NULL },
        { "localhost", NULL, TENON_ERROR_ARGUMENT, "\"localhost\" is not the id of a job", NULL },
        { "", NULL, TENON_ERROR_ARGUMENT, "\"\" is not the id of a job", NULL },
        { NULL, NULL, TENON_ERROR_ARGUMENT, "no target is given", NULL },
        { ":", NULL, TENON_ERROR_UNSUPPORTED, "this version of tenon knows no place \"\"", NULL },
    };

    static char much[20000];
    const struct expected endless = { much, NULL, TENON_ERROR_ARGUMENT, "\"http://host/xxx", NULL };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect(&rows[i]);
    memset(much, 'x', sizeof much - 1);
    memcpy(much, "http://host/", strlen("http://host/"));
    expect(&endless);
}

#define SERVES "{\"mode\": \"serve\", \"phase\": \"running\", \"port\": 8001, \"address\": \"http://127.0.0.1:8001/v1\"}"

static void jobs_that_serve_and_others(void **state)
{
    static const struct expected rows[] = {
        { "local:0123456789ab", NULL, TENON_OK, "http://127.0.0.1:8001/v1", "the job's own" },
        { "local:0123456789ab", "mine instead", TENON_OK, "http://127.0.0.1:8001/v1", "mine instead" },
        { "local:0123456789ac", NULL, TENON_ERROR_BUSY, "the job local:0123456789ac is not ready: loading", NULL },
        { "local:0123456789ad", NULL, TENON_ERROR_BUSY, "the job local:0123456789ad has ended: the job was stopped", NULL },
        { "local:0123456789ae", NULL, TENON_ERROR_BUSY, "the job local:0123456789ae serves at no address", NULL },
        { "local:0123456789af", NULL, TENON_ERROR_NOT_FOUND, "there is no job local:0123456789af", NULL },
        { "local:0123456789AB", NULL, TENON_ERROR_ARGUMENT, "\"local:0123456789AB\" is not the id of a job", NULL },
        { "local:..", NULL, TENON_ERROR_ARGUMENT, "\"local:..\" is not the id of a job", NULL },
        { "local:../0123456789ab", NULL, TENON_ERROR_ARGUMENT, "\"local:../0123456789ab\" is neither", NULL },
        { "local:", NULL, TENON_ERROR_ARGUMENT, "\"local:\" is not the id of a job", NULL },
        { "Local:0123456789ab", NULL, TENON_ERROR_UNSUPPORTED, "this version of tenon knows no place \"Local\"", NULL },
    };

    (void)state;
    write_job("0123456789ab", "state.json", SERVES);
    write_job("0123456789ab", "ready.json", "{}");
    write_job("0123456789ab", "spec.json", "{\"key\": \"the job's own\"}");
    write_job("0123456789ac", "state.json", SERVES);
    write_job("0123456789ad", "state.json", "{\"mode\": \"serve\", \"phase\": \"ended\", \"result\": \"cancelled\", \"message\": \"the job was stopped\"}");
    write_job("0123456789ae", "state.json", "{\"mode\": \"train\", \"phase\": \"running\"}");
    for (size_t i = 0; i < COUNT(rows); i++)
        expect(&rows[i]);
}

static tenon_status open_with(struct test_memory *counts, const char *name)
{
    tenon_context *context = open_context(counts);
    struct target target;
    tenon_status status = TENON_ERROR_MEMORY;

    if (context != NULL) {
        tn_target_init(&target, context);
        status = tn_target_open(&target, context, name, "secret-key", &context->failure);
        tn_target_clear(&target);
        tenon_context_free(context);
    }
    return status;
}

static tenon_status open_address(struct test_memory *counts)
{
    return open_with(counts, "http://127.0.0.1:8000/v1/");
}

static tenon_status open_job(struct test_memory *counts)
{
    return open_with(counts, "local:0123456789ab");
}

static void no_memory_is_told(void **state)
{
    (void)state;
    test_every_failure(open_address);
    test_every_failure(open_job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses), cmocka_unit_test(jobs_that_serve_and_others), cmocka_unit_test(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
