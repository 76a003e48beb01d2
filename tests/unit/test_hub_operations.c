/*
 * The public operations from end to end, on a file: hub and on one over HTTP, with every allocation failing once and from
 * there on: the status says so, nothing is left, and the same call works afterwards.
 */
#define _GNU_SOURCE
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "web.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define HELLO "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0" /* git's id of "hello" */

static struct web *web;
static char *root;
static bool offline;

static const char *at(const char *name)
{
    static char paths[4][4096];
    static int next;

    next = (next + 1) % 4;
    snprintf(paths[next], sizeof paths[next], "%s/%s", root, name);
    return paths[next];
}

static void write_at(const char *name, const char *text)
{
    struct memory memory = tn_memory(NULL);
    struct failure failure;

    tn_failure_init(&failure, &memory, NULL);
    assert_int_equal(tn_folder_make_above(at(name), &failure), TENON_OK);
    tn_failure_clear(&failure);
    test_write(at(name), text);
}

static void remove_at(const char *name)
{
    struct memory memory = tn_memory(NULL);
    struct failure failure;

    tn_failure_init(&failure, &memory, NULL);
    if (tn_file_exists(at(name)))
        assert_int_equal(tn_folder_remove(at(name), &failure), TENON_OK);
    tn_failure_clear(&failure);
}

static void assert_content(const char *path, const char *content)
{
    char bytes[100] = "";
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    bytes[fread(bytes, 1, sizeof bytes - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(bytes, content);
}

/* A small hub: a repository acme/small with the file a/x, of one commit. */
static void put_hub(void)
{
    web_clear(web);
    web_fault(web, "{\"path\":\"/revision/\",\"status\":200,\"headers\":{\"Content-Type\":\"application/json\"},"
                   "\"body\":\"{\\\"sha\\\":\\\"" COMMIT "\\\",\\\"id\\\":\\\"acme/small\\\"}\"}");
    web_fault(web, "{\"path\":\"/tree/\",\"status\":200,\"headers\":{\"Content-Type\":\"application/json\"},\"body\":\"[{\\\"type\\\":\\\"file\\\","
                   "\\\"path\\\":\\\"a/x\\\",\\\"size\\\":5,\\\"oid\\\":\\\"" HELLO "\\\"}]\"}");
    web_fault(web, "{\"path\":\"/refs$\",\"status\":200,\"headers\":{\"Content-Type\":\"application/json\"},\"body\":\"{\\\"branches\\\":[{\\\"name\\\":"
                   "\\\"main\\\",\\\"ref\\\":\\\"refs/heads/main\\\",\\\"targetCommit\\\":\\\"" COMMIT "\\\"}]}\"}");
    web_fault(web, "{\"path\":\"/resolve/\",\"status\":200,\"headers\":{\"ETag\":\"\\\"" HELLO "\\\"\",\"X-Repo-Commit\":\"" COMMIT "\"},\"body\":\"hello\"}");
}

static int set_up(void **state)
{
    web = *state;
    root = test_folder_make();
    write_at("hub/acme/small/a/x", "hello");
    offline = false;
    put_hub();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_folder_remove(root);
    return 0;
}

static const char *named = "acme/small";

/* What is called, and whether its answer was right. */
struct call {
    const char *name;
    tenon_status (*run)(tenon_hub *hub);
    bool writes;
};

static tenon_status end_of(tenon_task *task, tenon_status status)
{
    if (status == TENON_OK)
        status = tenon_task_wait(task, -1);
    tenon_task_free(task);
    return status;
}

static tenon_status run_info(tenon_hub *hub)
{
    tenon_repository row = { .struct_size = sizeof row };
    tenon_task *task = NULL;
    tenon_status status = tenon_hub_info(hub, named, NULL, &task);

    if (status == TENON_OK)
        status = tenon_task_next_repository(task, -1, &row);
    if (status == TENON_OK)
        assert_string_equal(row.id, "acme/small");
    return end_of(task, status);
}

static tenon_status run_list(tenon_hub *hub)
{
    const char *const allow[] = { "*x", NULL };
    const tenon_list_options options = { .struct_size = sizeof options, .allow = allow };
    tenon_file row = { .struct_size = sizeof row };
    tenon_task *task = NULL;
    tenon_status status = tenon_hub_list(hub, named, &options, &task);

    if (status == TENON_OK)
        status = tenon_task_next_file(task, -1, &row);
    if (status == TENON_OK) {
        assert_string_equal(row.path, "a/x");
        assert_int_equal(row.bytes, 5);
    }
    return end_of(task, status);
}

static tenon_status run_references(tenon_hub *hub)
{
    tenon_reference row = { .struct_size = sizeof row };
    tenon_task *task = NULL;
    tenon_status status = tenon_hub_references(hub, named, NULL, &task);

    if (status == TENON_OK)
        status = tenon_task_next_reference(task, -1, &row);
    if (status == TENON_OK)
        assert_string_equal(row.name, "main");
    return end_of(task, status);
}

static tenon_status run_exists(tenon_hub *hub)
{
    return tenon_hub_exists(hub, named, "a/x", NULL, NULL);
}

static tenon_status run_download(tenon_hub *hub)
{
    tenon_task *task = NULL;
    const char *path = "";
    tenon_status status = tenon_hub_download(hub, named, "a/x", NULL, &task);

    if (status == TENON_OK)
        status = tenon_task_wait(task, -1);
    if (status == TENON_OK) {
        assert_int_equal(tenon_task_text(task, &path), TENON_OK);
        assert_content(path, "hello");
    }
    tenon_task_free(task);
    return status;
}

static tenon_status run_snapshot(tenon_hub *hub)
{
    return tenon_hub_snapshot(hub, named, NULL, NULL);
}

static tenon_status run_local(tenon_hub *hub)
{
    const tenon_download_options options = { .struct_size = sizeof options, .folder = at("local") };
    tenon_status status = tenon_hub_snapshot(hub, named, &options, NULL);

    if (status == TENON_OK)
        assert_content(at("local/a/x"), "hello");
    return status;
}

static tenon_status run_read(tenon_hub *hub)
{
    return tenon_hub_read(hub, named, "a/x", NULL, NULL);
}

static tenon_status run_cached(tenon_hub *hub)
{
    return tenon_hub_cached(hub, NULL, NULL, NULL);
}

static tenon_status run_verify(tenon_hub *hub)
{
    return tenon_hub_verify(hub, named, NULL, NULL);
}

static tenon_status run_forget(tenon_hub *hub)
{
    return tenon_hub_forget(hub, named, NULL, NULL);
}

static tenon_status run_check(tenon_hub *hub)
{
    return tenon_hub_check(hub, NULL);
}

static tenon_status run_publish(tenon_hub *hub)
{
    const tenon_publish_options options = { .struct_size = sizeof options, .folder = at("work"), .branch = "other" };

    return tenon_hub_publish(hub, named, &options, NULL);
}

/* ---- each of them ---- */

static const struct call *call;
static bool over_http, keeps_cache;

static tenon_status run_on_hub(struct test_memory *counts)
{
    const tenon_hub_options options = { .struct_size = sizeof options, .cache = at("cache"), .token = "" };
    tenon_context *context = NULL;
    tenon_hub *hub = NULL;
    char url[4200];
    tenon_status status;

    if (!keeps_cache) {
        remove_at("cache");
        remove_at("local");
        remove_at("hub/acme/small/.tenon");
    }
    snprintf(url, sizeof url, "file://%s", at("hub"));
    status = test_try_open(&(struct test_hooks){ .memory = counts }, &context);
    if (status == TENON_OK)
        status = tenon_context_set(context, "transport.retries", "0");
    if (status == TENON_OK && offline)
        status = tenon_context_set(context, "hub.offline", "1");
    if (status == TENON_OK)
        status = tenon_hub_open(context, over_http ? web->url : url, &options, &hub);
    if (status == TENON_OK)
        status = call->run(hub);
    /* What cannot be looked up in the cache for want of memory counts as not there. */
    if (offline && counts->fail_at > 0 && status == TENON_ERROR_OFFLINE)
        status = TENON_ERROR_MEMORY;
    if (status != TENON_OK && status != TENON_ERROR_MEMORY && status != TENON_ERROR_ARGUMENT)
        print_error("%s: %s\n", call->name, context->failure.message);
    tenon_hub_free(hub);
    tenon_context_free(context);
    return status;
}

/* The same without a failure. */
static void run_well(const struct call *one)
{
    struct test_memory counts = { 0 };
    const struct call *before = call;
    tenon_status status;

    call = one;
    status = run_on_hub(&counts);
    if (status != TENON_OK || counts.live != 0)
        fail_msg("%s: %s, %zu blocks", one->name, tenon_status_name(status), counts.live);
    call = before;
}

/* After each failure the same call works with what that has left, where it leaves something. */
static tenon_status run_and_repeat(struct test_memory *counts)
{
    bool keeps = keeps_cache;
    tenon_status status = run_on_hub(counts);

    keeps_cache = true;
    if (call->writes)
        run_well(call);
    keeps_cache = keeps;
    return status;
}

static void fail_everywhere(const struct call *some, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        print_message("%s\n", some[i].name);
        call = &some[i];
        test_every_failure(run_and_repeat);
    }
}

static const struct call calls[] = {
    { "info", run_info, false },             { "list", run_list, false },        { "references", run_references, false },
    { "exists", run_exists, false },         { "read", run_read, false },        { "download", run_download, true },
    { "snapshot", run_snapshot, true },      { "to a folder", run_local, true }, { "publish", run_publish, true },
    { "verify", run_verify, false },         { "forget", run_forget, true },
};

static void a_file_hub(void **state)
{
    (void)state;
    over_http = false;
    keeps_cache = false;
    write_at("work/one", "1");
    write_at("work/below/two", "2");
    fail_everywhere(calls, 9);
}

static void a_hub_over_http(void **state)
{
    (void)state;
    over_http = true;
    keeps_cache = false;
    fail_everywhere(calls, 8);
}

/* A name that is none is refused by each of them, and nothing is left of the call. */
static void names_that_make_no_sense(void **state)
{
    (void)state;
    named = "../x";
    keeps_cache = true;
    for (size_t i = 0; i < 2 * COUNT(calls); i++) {
        struct test_memory counts = { 0 };

        over_http = i % 2 == 1;
        call = &calls[i / 2];
        assert_int_equal(run_on_hub(&counts), TENON_ERROR_ARGUMENT);
        assert_int_equal(counts.live, 0);
    }
    named = "acme/small";
}

static void a_cache_that_is_filled(void **state)
{
    static const struct call fill = { "download", run_download, true };
    static const struct call of_cache[] = { { "cached", run_cached, false }, { "verify", run_verify, false },
                                              { "download", run_download, true }, { "check", run_check, false } };

    (void)state;
    over_http = true;
    keeps_cache = true;
    run_well(&fill);
    fail_everywhere(of_cache, COUNT(of_cache));
}

static void a_cache_without_a_hub(void **state)
{
    static const struct call fill = { "snapshot", run_snapshot, true };

    (void)state;
    over_http = true;
    keeps_cache = true;
    run_well(&fill);
    offline = true;
    fail_everywhere(calls + 1, 1);
    fail_everywhere(calls + 3, 5);
}

static const struct call forget = { "forget", run_forget, true }, fill = { "download", run_download, true };

static tenon_status fill_and_forget(struct test_memory *counts)
{
    tenon_status status;

    run_well(&fill);
    status = run_on_hub(counts);
    if (status == TENON_OK)
        assert_false(tn_file_exists(at("cache/models--acme--small/blobs/" HELLO)));
    return status;
}

static void forgetting(void **state)
{
    (void)state;
    over_http = true;
    keeps_cache = true;
    call = &forget;
    test_every_failure(fill_and_forget);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = { TEST(a_file_hub), TEST(a_hub_over_http), TEST(a_cache_that_is_filled), TEST(a_cache_without_a_hub), TEST(forgetting),
                                        TEST(names_that_make_no_sense) };

    /* Thousands of files are made durable here: where that costs nothing, it is done there. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TENON_TMP", "/dev/shm", 0);
    return cmocka_run_group_tests(tests, web_start, web_stop);
}
