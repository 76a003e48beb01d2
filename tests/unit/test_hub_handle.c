/* The handle of a hub: what it may be opened at, which policy a call has, what its requests carry and how they fail. */
#define _GNU_SOURCE
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "hub.h"
#include "web.h"

static struct web *web;
static tenon_context *context;
static tenon_hub *hub;
static char *root;

static int set_up(void **state)
{
    web = *state;
    web_clear(web);
    context = test_open(NULL);
    root = test_folder_make();
    hub = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tenon_hub_free(hub);
    tenon_context_free(context);
    test_folder_remove(root);
    return 0;
}

static tenon_status open_at(const char *location, const char *cache, int32_t policy)
{
    const tenon_hub_options options = { .struct_size = sizeof options, .cache = cache, .token = "hf_token", .policy = policy };

    tenon_hub_free(hub);
    hub = NULL;
    return tenon_hub_open(context, location, &options, &hub);
}

static void addresses(void **state)
{
    static const struct {
        const char *location, *endpoint; /* NULL: none */
    } rows[] = {
        { "https://hub.co", "https://hub.co" }, { "https://hub.co/", "https://hub.co" }, { "https://hub.co///", "https://hub.co" },
        { "http://hub.co:8080/some/path/", "http://hub.co:8080/some/path" }, { "HTTPS://Hub.co", "HTTPS://Hub.co" },
        { "", NULL }, { "hub.co", NULL }, { "ftp://hub.co", NULL }, { "https://", NULL }, { "https:///x", NULL }, { "http://hub.co:99999", NULL },
        { "file:/tmp", NULL }, { "javascript:1", NULL }, { "https://a b", NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        tenon_status status = open_at(rows[i].location, "/cache", TENON_CACHE_DEFAULT);

        if (status != (rows[i].endpoint != NULL ? TENON_OK : TENON_ERROR_ARGUMENT))
            fail_msg("%s: %s", rows[i].location, tenon_status_name(status));
        if (status == TENON_OK) {
            assert_string_equal(hub->endpoint, rows[i].endpoint);
            assert_null(hub->folder);
        } else
            assert_non_null(context->failure.hint);
    }
    assert_int_equal(open_at(NULL, "/cache", TENON_CACHE_DEFAULT), TENON_OK);
    assert_string_equal(hub->endpoint, "https://huggingface.co");
    for (int32_t policy = -1; policy <= TENON_CACHE_OFFLINE + 1; policy++)
        assert_int_equal(open_at("https://hub.co", "/cache", policy),
                         policy >= TENON_CACHE_DEFAULT && policy <= TENON_CACHE_OFFLINE ? TENON_OK : TENON_ERROR_ARGUMENT);
}

static void folders(void **state)
{
    char url[4200], here[4096], *file = test_join(root, "file");

    (void)state;
    snprintf(url, sizeof url, "file://%s", root);
    assert_int_equal(open_at(url, "/cache", TENON_CACHE_DEFAULT), TENON_OK);
    assert_string_equal(hub->folder, root);
    assert_null(hub->endpoint);
    assert_null(hub->token);
    strcat(url, "///");
    assert_int_equal(open_at(url, "/cache", TENON_CACHE_DEFAULT), TENON_OK);
    assert_string_equal(hub->folder, root);
    assert_int_equal(open_at("file:///", "/cache", TENON_CACHE_DEFAULT), TENON_OK);
    assert_string_equal(hub->folder, "/");
    /* What people write for a relative one. */
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(root), 0);
    assert_int_equal(mkdir("sub", 0777), 0);
    assert_int_equal(open_at("file://sub", "cache/", TENON_CACHE_DEFAULT), TENON_OK);
    snprintf(url, sizeof url, "%s/sub", root);
    assert_string_equal(hub->folder, url);
    snprintf(url, sizeof url, "%s/cache", root);
    assert_string_equal(hub->cache, url);
    assert_int_equal(chdir(here), 0);
    snprintf(url, sizeof url, "file://%s/none", root);
    assert_int_equal(open_at(url, "/cache", TENON_CACHE_DEFAULT), TENON_ERROR_NOT_FOUND);
    test_write(file, "");
    snprintf(url, sizeof url, "file://%s", file);
    assert_int_equal(open_at(url, "/cache", TENON_CACHE_DEFAULT), TENON_ERROR_NOT_FOUND);
    free(file);
}

/* Without HOME and settings there is no place for a cache. */
static void no_cache(void **state)
{
    (void)state;
    assert_int_equal(open_at("https://hub.co", NULL, TENON_CACHE_DEFAULT), TENON_ERROR_ARGUMENT);
    assert_non_null(strstr(context->failure.message, "cache"));
    assert_int_equal(tenon_context_set(context, "hub.cache", "/some/cache//"), TENON_OK);
    assert_int_equal(open_at("https://hub.co", NULL, TENON_CACHE_DEFAULT), TENON_OK);
    assert_string_equal(hub->cache, "/some/cache");
}

static void policies(void **state)
{
    static const struct {
        int32_t of_hub, asked, policy, with_offline_set;
    } rows[] = {
        { TENON_CACHE_DEFAULT, TENON_CACHE_DEFAULT, TENON_CACHE_PINNED, TENON_CACHE_OFFLINE },
        { TENON_CACHE_FIRST, TENON_CACHE_DEFAULT, TENON_CACHE_FIRST, TENON_CACHE_OFFLINE },
        { TENON_CACHE_FIRST, TENON_CACHE_FRESH, TENON_CACHE_FRESH, TENON_CACHE_OFFLINE },
        { TENON_CACHE_OFFLINE, TENON_CACHE_DEFAULT, TENON_CACHE_OFFLINE, TENON_CACHE_OFFLINE },
        { TENON_CACHE_OFFLINE, TENON_CACHE_PINNED, TENON_CACHE_PINNED, TENON_CACHE_OFFLINE },
    };
    char url[4200];

    (void)state;
    for (int offline = 0; offline <= 1; offline++) {
        assert_int_equal(tenon_context_set(context, "hub.offline", offline ? "1" : "0"), TENON_OK);
        for (size_t i = 0; i < COUNT(rows); i++) {
            int32_t policy = offline ? rows[i].with_offline_set : rows[i].policy;

            assert_int_equal(open_at("https://hub.co", "/cache", rows[i].of_hub), TENON_OK);
            assert_int_equal(tn_hub_policy(hub, rows[i].asked), policy);
            assert_int_equal(tn_hub_is_offline(hub, tn_hub_policy(hub, rows[i].asked)), policy == TENON_CACHE_OFFLINE);
        }
    }
    /* A folder needs no network. */
    snprintf(url, sizeof url, "file://%s", root);
    assert_int_equal(open_at(url, "/cache", TENON_CACHE_DEFAULT), TENON_OK);
    assert_int_equal(tn_hub_policy(hub, TENON_CACHE_DEFAULT), TENON_CACHE_PINNED);
    assert_false(tn_hub_is_offline(hub, TENON_CACHE_PINNED));
}

static void routes(void **state)
{
    struct repository repository;
    struct text out;

    (void)state;
    tn_text_init(&out, &context->memory, 1000);
    assert_int_equal(open_at("https://hub.co/sub/", "/cache", TENON_CACHE_DEFAULT), TENON_OK);
    assert_int_equal(tn_repository_parse(&repository, &context->memory, "acme/small", NULL, NULL, &context->failure), TENON_OK);
    tn_hub_api(hub, &repository, &out);
    assert_string_equal(tn_text(&out), "https://hub.co/sub/api/models/acme/small");
    tn_text_reset(&out);
    tn_hub_resolve(hub, &repository, "refs/pr/1", "a b/\xc3\xa4?#%", &out);
    assert_string_equal(tn_text(&out), "https://hub.co/sub/acme/small/resolve/refs%2Fpr%2F1/a%20b/%C3%A4%3F%23%25");
    tn_repository_clear(&repository);
    assert_int_equal(tn_repository_parse(&repository, &context->memory, "datasets/squad", NULL, NULL, &context->failure), TENON_OK);
    tn_text_reset(&out);
    tn_hub_api(hub, &repository, &out);
    assert_string_equal(tn_text(&out), "https://hub.co/sub/api/datasets/squad");
    tn_text_reset(&out);
    tn_hub_resolve(hub, &repository, "main", "x", &out);
    assert_string_equal(tn_text(&out), "https://hub.co/sub/datasets/squad/resolve/main/x");
    tn_repository_clear(&repository);
    tn_text_clear(&out);
}

/* The token goes where it was given for. */
static void whose_token_it_is(void **state)
{
    static const struct {
        const char *url;
        bool goes;
    } rows[] = {
        { "https://hub.co/api", true }, { "https://HUB.co:443/x", true }, { "http://hub.co/api", false }, { "https://hub.co:8443/", false },
        { "https://hub.co.evil/", false }, { "https://evil.co/https://hub.co/", false }, { "https://hub.co@evil.co/", false }, { "", false },
    };

    (void)state;
    assert_int_equal(open_at("https://hub.co", "/cache", TENON_CACHE_DEFAULT), TENON_OK);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request request;

        tn_request_init(&request, context);
        tn_text_add(&request.url, rows[i].url);
        tn_hub_request(hub, &request, "it");
        if ((request.bearer != NULL) != rows[i].goes)
            fail_msg("%s", rows[i].url);
        tn_request_clear(&request);
    }
}

static void what_failures_mean(void **state)
{
    static const struct {
        const char *path, *headers;
        int http_status;
        bool anonymous;
        tenon_status status;
        const char *hint; /* a part of it */
    } rows[] = {
        { "/api/models/a/b/revision/x", "\"X-Error-Code\":\"RevisionNotFound\"", 404, false, TENON_ERROR_NOT_FOUND, "/a/b lists the branches" },
        { "/api/datasets/a/b/tree/x", "\"X-Error-Code\":\"EntryNotFound\"", 404, false, TENON_ERROR_NOT_FOUND, "/datasets/a/b lists them" },
        { "/spaces/a/b/resolve/x/y", "\"X-Error-Code\":\"EntryNotFound\"", 404, false, TENON_ERROR_NOT_FOUND, "/spaces/a/b lists them" },
        { "/a/b/resolve/x/y", "\"X-Error-Code\":\"GatedRepo\"", 403, false, TENON_ERROR_GATED, "/a/b with the account whose token you use" },
        { "/a/b/resolve/x/y", "\"X-Error-Code\":\"GatedRepo\"", 401, true, TENON_ERROR_GATED, "/a/b, then set HF_TOKEN" },
        { "/api/models/a/b", "\"X-Error-Code\":\"RepoNotFound\"", 404, false, TENON_ERROR_NOT_FOUND, "a token that reaches it" },
        /* Who is nobody is told 401 for what does not exist. */
        { "/api/models/a/b", "", 401, true, TENON_ERROR_NOT_FOUND, "(set HF_TOKEN)" }, { "/api/models/a/b", "", 401, false, TENON_ERROR_UNAUTHORIZED, "" },
        { "/api/models/a/b", "", 403, false, TENON_ERROR_FORBIDDEN, "" }, { "/api/models/a/b", "", 404, false, TENON_ERROR_NOT_FOUND, "" },
        { "/api/models/a/b", "\"X-Error-Code\":\"SomethingNew\"", 403, false, TENON_ERROR_FORBIDDEN, "" },
    };
    char fault[500];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const tenon_hub_options options = { .struct_size = sizeof options, .cache = "/cache", .token = rows[i].anonymous ? "" : "hf_token" };
        struct request request;

        snprintf(fault, sizeof fault, "{\"status\":%d,\"headers\":{%s},\"body\":\"{}\"}", rows[i].http_status, rows[i].headers);
        web_fault(web, fault);
        tenon_hub_free(hub);
        assert_int_equal(tenon_hub_open(context, web->url, &options, &hub), TENON_OK);
        tn_request_init(&request, context);
        tn_request_url(&request, "%s%s", web->url, rows[i].path);
        tn_hub_request(hub, &request, "it");
        tn_request_start(&request, NULL);
        while (tn_co_running(&request.co))
            tn_loop_step(context, -1);
        if (request.co.status != rows[i].status || strstr(request.failure.hint != NULL ? request.failure.hint : "", rows[i].hint) == NULL)
            fail_msg("row %zu: %s, %s: %s", i, tenon_status_name(request.co.status), request.failure.message, request.failure.hint);
        assert_int_equal(request.failure.http_status, rows[i].http_status);
        tn_request_clear(&request);
        web_clear(web);
    }
}

/* ---- without memory ---- */

static tenon_status open_two(struct test_memory *counts)
{
    tenon_context *opened = NULL;
    const tenon_hub_options options = { .struct_size = sizeof options, .cache = "some/cache", .token = "hf_token" };
    tenon_hub *first = NULL, *second = NULL;
    char url[4200];
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts }, &opened);

    snprintf(url, sizeof url, "file://%s", root);
    if (status == TENON_OK)
        status = tenon_hub_open(opened, url, &options, &first);
    if (status == TENON_OK)
        status = tenon_hub_open(opened, NULL, &options, &second);
    if (status == TENON_OK)
        assert_string_equal(second->token, "hf_token");
    tenon_hub_free(first);
    tenon_hub_free(second);
    tenon_context_free(opened);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    test_every_failure(open_two);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(addresses), TEST(folders),           TEST(no_cache),           TEST(policies),
        TEST(routes),    TEST(whose_token_it_is), TEST(what_failures_mean), TEST(without_memory),
    };

    return cmocka_run_group_tests(tests, web_start, web_stop);
}
