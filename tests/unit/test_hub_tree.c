/* Listings: items of the hub's pages, the listing in the cache, and pages one after the other. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "json.h"
#include "tree.h"
#include "web.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA1 "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
#define STARS "****************************************************************"

static struct memory memory;
static struct failure failure;
static struct tree tree;
static struct web *web;

static int set_up(void **state)
{
    web = *state;
    memory = tn_memory(NULL);
    tn_failure_init(&failure, &memory, NULL);
    tn_tree_init(&tree, &memory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tn_tree_clear(&tree);
    tn_failure_clear(&failure);
    return 0;
}

/* ---- items ---- */

#define ITEM(more) "{\"type\":\"file\",\"path\":\"a/b\",\"oid\":\"" SHA1 "\",\"size\":7" more "}"
#define LFS(more) ITEM(",\"lfs\":{\"oid\":\"" SHA256 "\",\"pointerSize\":130" more "}")

static void items(void **state)
{
    static const struct {
        const char *item;
        tenon_status status;
        bool is_file, large;
        const char *etag;
        int64_t bytes;
        const char *xet;
    } rows[] = {
        { ITEM(""), TENON_OK, true, false, SHA1, 7, NULL },
        { ITEM(",\"lastCommit\":{\"id\":5},\"lfs\":null"), TENON_OK, true, false, SHA1, 7, NULL },
        { LFS(",\"size\":500000000000"), TENON_OK, true, true, SHA256, INT64_C(500000000000), NULL },
        { LFS(",\"size\":3.0"), TENON_OK, true, true, SHA256, 3, NULL },
        { LFS(",\"size\":9223372036854775807"), TENON_OK, true, true, SHA256, INT64_MAX, NULL },
        { ITEM(",\"xetHash\":\"" SHA256 "\""), TENON_OK, true, false, SHA1, 7, SHA256 },
        { ITEM(",\"xetHash\":\"" STARS "\""), TENON_OK, true, false, SHA1, 7, NULL },
        { ITEM(",\"xetHash\":\"" SHA256 "0\""), TENON_OK, true, false, SHA1, 7, NULL },
        { ITEM(",\"xetHash\":\"" SHA256 "g\""), TENON_OK, true, false, SHA1, 7, NULL },
        { ITEM(",\"xetHash\":[]"), TENON_OK, true, false, SHA1, 7, NULL },
        { "{\"type\":\"file\",\"path\":\"a\",\"oid\":\"" SHA1 "\",\"size\":0}", TENON_OK, true, false, SHA1, 0, NULL },
        /* No files. */
        { "{\"type\":\"directory\",\"path\":\"a/b\",\"oid\":\"x\",\"size\":0}", TENON_OK, false, false, NULL, 0, NULL },
        { "{\"type\":\"submodule\",\"path\":\"..\"}", TENON_OK, false, false, NULL, 0, NULL },
        { "{\"type\":5}", TENON_OK, false, false, NULL, 0, NULL }, { "{}", TENON_OK, false, false, NULL, 0, NULL },
        { "[]", TENON_OK, false, false, NULL, 0, NULL },
        { "{\"type\":\"directory\",\"path\":\"../b\"}", TENON_ERROR_PROTOCOL, false, false, NULL, 0, NULL },
        { "{\"type\":\"directory\"}", TENON_ERROR_PROTOCOL, false, false, NULL, 0, NULL },
        /* What is no file although it says so. */
        { "{\"type\":\"file\"}", TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { "{\"type\":\"file\",\"path\":[\"a\"],\"oid\":\"" SHA1 "\",\"size\":7}", TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { "{\"type\":\"file\",\"path\":\"a\",\"oid\":\"" SHA1 "\"}", TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { "{\"type\":\"file\",\"path\":\"a\",\"oid\":\"" SHA1 "\",\"size\":-1}", TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { "{\"type\":\"file\",\"path\":\"a\",\"oid\":\"" SHA1 "\",\"size\":\"7\"}", TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { "{\"type\":\"file\",\"path\":\"a\",\"oid\":\"" SHA1 "\",\"size\":7.5}", TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { "{\"type\":\"file\",\"path\":\"a\",\"oid\":\"" SHA1 "\",\"size\":1e300}", TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { "{\"type\":\"file\",\"path\":\"a\",\"oid\":\"" SHA1 "\",\"size\":99999999999999999999}", TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { "{\"type\":\"file\",\"path\":\"a\",\"oid\":\"x\",\"size\":7}", TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { "{\"type\":\"file\",\"path\":\"a\",\"oid\":\"" SHA256 "\",\"size\":7}", TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { "{\"type\":\"file\",\"path\":\"a\",\"size\":7}", TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { ITEM(",\"lfs\":{\"oid\":\"" SHA1 "\",\"size\":7}"), TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { ITEM(",\"lfs\":{\"oid\":\"../../x\",\"size\":7}"), TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { ITEM(",\"lfs\":{\"size\":7}"), TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { ITEM(",\"lfs\":{\"oid\":\"" SHA256 "\"}"), TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { ITEM(",\"lfs\":true"), TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
        { ITEM(",\"lfs\":[]"), TENON_ERROR_PROTOCOL, true, false, NULL, 0, NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tree_file file;
        json_t *item = NULL;
        bool is_file;
        tenon_status status;

        assert_int_equal(tn_json_read(rows[i].item, strlen(rows[i].item), "an item", &item, &failure), TENON_OK);
        status = tn_tree_item(item, &file, &is_file, &failure);
        if (status != rows[i].status || is_file != rows[i].is_file)
            fail_msg("%s gives %s", rows[i].item, tenon_status_name(status));
        if (status == TENON_OK && is_file) {
            assert_string_equal(file.etag, rows[i].etag);
            assert_string_equal(file.blob_id, SHA1);
            assert_int_equal(file.large, rows[i].large);
            if (file.bytes != rows[i].bytes || (file.xet != NULL) != (rows[i].xet != NULL))
                fail_msg("%s has %lld bytes", rows[i].item, (long long)file.bytes);
            if (file.xet != NULL)
                assert_string_equal(file.xet, rows[i].xet);
        }
        json_decref(item);
    }
}

/* Names that no file may have, wherever they come from: as item, as folder, in the cached listing. */
static void hostile_names(void **state)
{
    static const char *const names[] = {
        "", ".", "..", "../a", "a/..", "a/../b", "/a", "/", "//a", "a//b", "a/", "./a", "a/./b", "\\a", "a\\b", "..\\a", "C:x", "C:\\\\x", "a/C:x",
        "\\\\host\\share", "\\\\?\\x", "con", "NUL.txt", "a/COM1", "lpt9.x", "a\x01", "a\nb", "\x7f",
    };
    char huge[300], path[700];

    (void)state;
    memset(huge, 'a', sizeof huge - 1);
    huge[256] = '\0';
    for (size_t i = 0; i <= COUNT(names); i++) {
        json_t *item = json_object(), *files = json_object(), *listing = json_object();
        const char *name = i < COUNT(names) ? names[i] : huge;
        struct tree_file file;
        char *text;
        bool is_file;

        snprintf(path, sizeof path, "%s", name);
        json_object_set_new(item, "path", json_string(path));
        json_object_set_new(item, "oid", json_string(SHA1));
        json_object_set_new(item, "size", json_integer(7));
        json_object_set_new(item, "type", json_string("file"));
        if (tn_tree_item(item, &file, &is_file, &failure) != TENON_ERROR_PROTOCOL)
            fail_msg("\"%s\" may be the name of a file", path);
        json_object_set_new(item, "type", json_string("directory"));
        if (tn_tree_item(item, &file, &is_file, &failure) != TENON_ERROR_PROTOCOL)
            fail_msg("\"%s\" may be the name of a folder", path);
        json_object_set_new(item, "blob_id", json_string(SHA1));
        json_object_set_new(files, path, item);
        json_object_set_new(listing, "files", files);
        json_object_set_new(listing, "format_version", json_integer(1));
        text = json_dumps(listing, 0);
        if (tn_tree_parse(&tree, text, strlen(text), &failure) != TENON_ERROR_PROTOCOL)
            fail_msg("\"%s\" may be in a listing", path);
        free(text);
        json_decref(listing);
        tn_tree_clear(&tree);
    }
}

/* ---- the listing itself ---- */

static tenon_status add(const char *path, int64_t bytes)
{
    struct tree_file file = { .path = path, .etag = SHA1, .blob_id = SHA1, .bytes = bytes };

    return tn_tree_add(&tree, &file, &failure);
}

static void sorted_and_found(void **state)
{
    static const char *const paths[] = { "b", "a/b", "ab", "a-b", "B", "\xc3\xa4", "a/a" };
    static const char *const sorted[] = { "B", "a-b", "a/a", "a/b", "ab", "b", "\xc3\xa4" };

    (void)state;
    assert_null(tn_tree_find(&tree, "a"));
    assert_int_equal(tn_tree_sort(&tree, &failure), TENON_OK);
    for (size_t i = 0; i < COUNT(paths); i++)
        assert_int_equal(add(paths[i], (int64_t)i), TENON_OK);
    assert_int_equal(tn_tree_sort(&tree, &failure), TENON_OK);
    assert_int_equal(tree.count, COUNT(sorted));
    for (size_t i = 0; i < COUNT(sorted); i++)
        assert_string_equal(tree.files[i].path, sorted[i]);
    for (size_t i = 0; i < COUNT(paths); i++)
        assert_int_equal(tn_tree_find(&tree, paths[i])->bytes, i);
    assert_null(tn_tree_find(&tree, "A"));
    assert_null(tn_tree_find(&tree, "a"));
    assert_null(tn_tree_find(&tree, ""));
}

/* What no folder can hold: a name twice, and a file that is a folder too, with others between them in the order. */
static void what_no_folder_can_hold(void **state)
{
    static const char *const pairs[][2] = { { "a", "a" }, { "a", "a/b" }, { "a/b/c/d", "a" }, { "a/b", "a/b/c" } };

    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        assert_int_equal(add("a-b", 1), TENON_OK);
        assert_int_equal(add("a.b", 1), TENON_OK);
        assert_int_equal(add(pairs[i][0], 1), TENON_OK);
        assert_int_equal(tn_tree_sort(&tree, &failure), TENON_OK);
        assert_int_equal(add(pairs[i][1], 1), TENON_OK);
        if (tn_tree_sort(&tree, &failure) != TENON_ERROR_PROTOCOL)
            fail_msg("%s beside %s", pairs[i][0], pairs[i][1]);
        tn_tree_clear(&tree);
    }
}

static void sums_of_sizes(void **state)
{
    (void)state;
    assert_true(tn_sum_of_sizes(2, 3) == 5);
    assert_true(tn_sum_of_sizes(0, INT64_MAX) == INT64_MAX);
    assert_true(tn_sum_of_sizes(INT64_MAX, INT64_MAX) == INT64_MAX);
    assert_true(tn_sum_of_sizes(INT64_MAX - 5, 5) == INT64_MAX);
    assert_true(tn_sum_of_sizes(INT64_MAX - 5, 6) == INT64_MAX);
}

#define LISTING(files) "{\"format_version\":1,\"files\":{" files "}}"
#define ENTRY(name) "\"" name "\":{\"size\":7,\"blob_id\":\"" SHA1 "\"}"

static void cached_listings(void **state)
{
    static const struct {
        const char *text;
        tenon_status status;
        size_t count;
    } rows[] = {
        { LISTING(""), TENON_OK, 0 }, { LISTING(ENTRY("a")), TENON_OK, 1 }, { LISTING(ENTRY("b") "," ENTRY("a")), TENON_OK, 2 },
        { LISTING("\"a\":{\"size\":130,\"blob_id\":\"" SHA1 "\",\"lfs_sha256\":\"" SHA256 "\",\"lfs_size\":7,\"xet_hash\":\"" SHA256 "\"}"), TENON_OK, 1 },
        { LISTING("\"a\":{\"size\":7,\"blob_id\":\"" SHA1 "\",\"more\":[],\"xet_hash\":null}"), TENON_OK, 1 },
        /* The same path twice: which one is meant? */
        { LISTING(ENTRY("a") "," ENTRY("a")), TENON_ERROR_PROTOCOL, 0 }, { LISTING(ENTRY("a") "," ENTRY("\\u0061")), TENON_ERROR_PROTOCOL, 0 },
        { LISTING(ENTRY("a") "," ENTRY("a/b")), TENON_ERROR_PROTOCOL, 0 },
        { "{\"format_version\":2,\"files\":{}}", TENON_ERROR_UNSUPPORTED, 0 }, { "{\"files\":{}}", TENON_ERROR_UNSUPPORTED, 0 },
        { "{\"format_version\":\"1\",\"files\":{}}", TENON_ERROR_UNSUPPORTED, 0 }, { "[]", TENON_ERROR_UNSUPPORTED, 0 },
        { "{\"format_version\":1}", TENON_ERROR_PROTOCOL, 0 }, { "{\"format_version\":1,\"files\":[]}", TENON_ERROR_PROTOCOL, 0 },
        { "{\"format_version\":1,\"files\":null}", TENON_ERROR_PROTOCOL, 0 }, { "", TENON_ERROR_PROTOCOL, 0 }, { "{", TENON_ERROR_PROTOCOL, 0 },
        { LISTING("\"a\":5"), TENON_ERROR_PROTOCOL, 0 }, { LISTING("\"a\":null"), TENON_ERROR_PROTOCOL, 0 },
        { LISTING("\"a\":{\"blob_id\":\"" SHA1 "\"}"), TENON_ERROR_PROTOCOL, 0 }, { LISTING("\"a\":{\"size\":7}"), TENON_ERROR_PROTOCOL, 0 },
        { LISTING("\"a\":{\"size\":-7,\"blob_id\":\"" SHA1 "\"}"), TENON_ERROR_PROTOCOL, 0 },
        { LISTING("\"a\":{\"size\":7,\"blob_id\":\"../x\"}"), TENON_ERROR_PROTOCOL, 0 },
        { LISTING("\"a\":{\"size\":7,\"blob_id\":\"" SHA1 "\",\"lfs_sha256\":\"" SHA1 "\"}"), TENON_ERROR_PROTOCOL, 0 },
        { LISTING("\"a\":{\"size\":7,\"blob_id\":\"" SHA1 "\",\"xet_hash\":\"" STARS "\"}"), TENON_ERROR_PROTOCOL, 0 },
        { LISTING("\"a\":{\"size\":7,\"blob_id\":\"" SHA1 "\",\"xet_hash\":5}"), TENON_ERROR_PROTOCOL, 0 },
        { LISTING(ENTRY("a") ",\"b\":{}"), TENON_ERROR_PROTOCOL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        tenon_status status = tn_tree_parse(&tree, rows[i].text, strlen(rows[i].text), &failure);

        if (status != rows[i].status || (status == TENON_OK && tree.count != rows[i].count))
            fail_msg("%s gives %s and %zu files", rows[i].text, tenon_status_name(status), tree.count);
        tn_tree_clear(&tree);
    }
    /* One that is cut off anywhere is none. */
    for (size_t length = 0; length < strlen(rows[3].text); length++) {
        char *cut = strndup(rows[3].text, length);

        if (tn_tree_parse(&tree, cut, length, &failure) == TENON_OK)
            fail_msg("%s is a listing", cut);
        tn_tree_clear(&tree);
        free(cut);
    }
}

static void too_deep(void **state)
{
    enum { DEEP = 100000 };
    char *text = malloc(2 * DEEP + 100);
    size_t length = (size_t)sprintf(text, "{\"format_version\":1,\"files\":");

    (void)state;
    memset(text + length, '[', DEEP);
    memset(text + length + DEEP, ']', DEEP);
    strcpy(text + length + 2 * DEEP, "}");
    assert_int_equal(tn_tree_parse(&tree, text, strlen(text), &failure), TENON_ERROR_PROTOCOL);
    free(text);
}

static void written_and_read_back(void **state)
{
    struct tree_file large = { .path = "b/\xc3\xa4 \"x\"", .etag = SHA256, .blob_id = SHA1, .xet = SHA256, .bytes = INT64_C(500000000000), .large = true };
    char *folder = test_folder_make(), *path = test_join(folder, "trees/" COMMIT ".json");
    tenon_context *context = test_open(NULL);
    const struct tree_file *found;
    struct text text;
    struct tree back;

    (void)state;
    tn_text_init(&text, &memory, 10000);
    tn_tree_init(&back, &memory);
    assert_false(tn_tree_read(&back, folder, COMMIT));
    assert_int_equal(add("z", 0), TENON_OK);
    assert_int_equal(tn_tree_add(&tree, &large, &failure), TENON_OK);
    assert_int_equal(tn_tree_sort(&tree, &failure), TENON_OK);
    tn_tree_write(&tree, context, folder, COMMIT);
    /* As the official client writes it. */
    assert_int_equal(tn_file_read_whole(path, 10000, &text, &failure), TENON_OK);
    assert_string_equal(tn_text(&text), "{\n \"files\": {\n  \"b/\xc3\xa4 \\\"x\\\"\": {\n   \"blob_id\": \"" SHA1 "\",\n   \"lfs_sha256\": \"" SHA256
                        "\",\n   \"lfs_size\": 500000000000,\n   \"size\": 500000000000,\n   \"xet_hash\": \"" SHA256
                        "\"\n  },\n  \"z\": {\n   \"blob_id\": \"" SHA1 "\",\n   \"size\": 0\n  }\n },\n \"format_version\": 1\n}");
    assert_true(tn_tree_read(&back, folder, COMMIT));
    assert_int_equal(back.count, 2);
    found = tn_tree_find(&back, large.path);
    assert_non_null(found);
    assert_string_equal(found->etag, SHA256);
    assert_string_equal(found->xet, SHA256);
    assert_true(found->large && found->bytes == large.bytes);
    assert_int_equal(tn_tree_find(&back, "z")->bytes, 0);
    assert_null(tn_tree_find(&back, "z")->xet);
    tn_tree_clear(&back);
    /* What cannot be believed is not there, and leaves nothing. */
    test_write(path, "{\"format_version\": 1, \"files\": {\"a\": {\"size\": 1, \"blob_id\": \"" SHA1 "\"}, \"../b\": {}}}");
    assert_false(tn_tree_read(&back, folder, COMMIT));
    assert_int_equal(back.count, 0);
    tn_text_clear(&text);
    tenon_context_free(context);
    free(path);
    test_folder_remove(folder);
}

/* ---- pages ---- */

struct asked {
    tenon_context *context;
    tenon_hub *hub;
    struct repository repository;
    struct pages pages;
};

static tenon_status open_hub(struct asked *asked, struct test_memory *counts, const char *url)
{
    const tenon_hub_options options = { .struct_size = sizeof options, .cache = "/nowhere", .token = "" };
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts }, &asked->context);

    if (status == TENON_OK)
        status = tenon_context_set(asked->context, "transport.retries", "0");
    if (status == TENON_OK)
        status = tenon_hub_open(asked->context, url, &options, &asked->hub);
    if (status == TENON_OK)
        status = tn_repository_parse(&asked->repository, &asked->context->memory, "acme/small", "main", NULL, &asked->context->failure);
    if (status == TENON_OK)
        tn_pages_init(&asked->pages, asked->hub);
    return status;
}

static tenon_status open_asked(struct asked *asked, struct test_memory *counts, const char *bytes)
{
    char *url = web_says(web, bytes);
    tenon_status status = open_hub(asked, counts, url);

    free(url);
    return status;
}

static void close_asked(struct asked *asked)
{
    tn_pages_clear(&asked->pages);
    tn_pages_clear(&asked->pages);
    tn_repository_clear(&asked->repository);
    tenon_hub_free(asked->hub);
    tenon_context_free(asked->context);
}

/* Reads all pages; how many items there were in them. */
static tenon_status read_all(struct asked *asked, size_t *items)
{
    struct pages *pages = &asked->pages;

    *items = 0;
    tn_pages_start(pages, &asked->repository, COMMIT, "a/b c", true, NULL);
    do {
        while (tn_co_running(&pages->co))
            tn_loop_step(asked->context, -1);
        *items += pages->co.status == TENON_OK ? json_array_size(pages->page) : 0;
        if (pages->co.status == TENON_OK && !pages->ended)
            tn_pages_next(pages, NULL);
    } while (tn_co_running(&pages->co));
    return pages->co.status;
}

static char *page(const char *link, const char *body)
{
    static char text[16000];

    snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%s%s%s\r\n%s", link != NULL ? "Link: <" : "",
             link != NULL ? link : "", link != NULL ? ">; rel=\"next\"\r\n" : "", body);
    return text;
}

static void one_page(void **state)
{
    static const struct {
        const char *link, *body;
        tenon_status status;
        size_t items;
    } rows[] = {
        { NULL, "[]", TENON_OK, 0 }, { NULL, "[1,2]", TENON_OK, 2 }, { NULL, "{}", TENON_ERROR_PROTOCOL, 0 },
        { NULL, "null", TENON_ERROR_PROTOCOL, 0 }, { NULL, "[1", TENON_ERROR_PROTOCOL, 0 }, { NULL, "", TENON_ERROR_PROTOCOL, 0 },
        { "file:///etc/passwd", "[1]", TENON_ERROR_PROTOCOL, 1 }, { "ftp://x/y", "[1]", TENON_ERROR_PROTOCOL, 1 },
        { "http://", "[1]", TENON_ERROR_PROTOCOL, 1 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct asked asked = { NULL };
        size_t items;
        tenon_status status;

        assert_int_equal(open_asked(&asked, NULL, page(rows[i].link, rows[i].body)), TENON_OK);
        status = read_all(&asked, &items);
        if (status != rows[i].status || (status == TENON_OK && items != rows[i].items))
            fail_msg("%s gives %s and %zu items", rows[i].body, tenon_status_name(status), items);
        close_asked(&asked);
    }
}

/* A link that is too long to be kept is not the end of the listing. */
static void a_link_that_is_too_long(void **state)
{
    struct asked asked = { NULL };
    char *fault = malloc(40000);
    size_t items;

    (void)state;
    sprintf(fault, "{\"path\":\"^/long\",\"status\":200,\"body\":\"[1]\",\"headers\":{\"Link\":\"<http://hub.co/%020000d>; rel=next\"}}", 0);
    web_fault(web, fault);
    sprintf(fault, "%s/long", web->url);
    assert_int_equal(open_hub(&asked, NULL, fault), TENON_OK);
    assert_int_equal(read_all(&asked, &items), TENON_ERROR_PROTOCOL);
    assert_false(asked.pages.ended);
    close_asked(&asked);
    web_clear(web);
    free(fault);
}

static void several_pages(void **state)
{
    char *third = web_says(web, page(NULL, "[6]")), *second = web_says(web, page(third, "[4,5]"));
    struct asked asked = { NULL };
    size_t items;

    (void)state;
    assert_int_equal(open_asked(&asked, NULL, page(second, "[1,2,3]")), TENON_OK);
    assert_int_equal(read_all(&asked, &items), TENON_OK);
    assert_int_equal(items, 6);
    /* And the same once more from the start. */
    assert_int_equal(read_all(&asked, &items), TENON_OK);
    assert_int_equal(items, 6);
    close_asked(&asked);
    /* One that is broken ends it. */
    free(second);
    second = web_says(web, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    memset(&asked, 0, sizeof asked);
    assert_int_equal(open_asked(&asked, NULL, page(second, "[1]")), TENON_OK);
    assert_int_equal(read_all(&asked, &items), TENON_ERROR_UNAVAILABLE);
    assert_null(asked.pages.page);
    close_asked(&asked);
    free(second);
    free(third);
}

/* A page that leads to itself, and circles of several pages, with the first in it or before it. */
static void pages_in_a_circle(void **state)
{
    static const struct {
        const char *first, *second, *third; /* where each page leads */
    } rows[] = { { "?", "/none", "/none" }, { "/second", "/second", "/none" }, { "/second", "/third", "/second" }, { "/second", "/third", "/third" } };
    char text[400];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *const pages[][2] = { { "^/first", rows[i].first }, { "^/second", rows[i].second }, { "^/third", rows[i].third } };
        struct asked asked = { NULL };
        size_t items;

        for (size_t k = 0; k < COUNT(pages); k++) {
            snprintf(text, sizeof text, "{\"path\":\"%s\",\"status\":200,\"body\":\"[1]\",\"headers\":{\"Link\":\"<%s>; rel=\\\"next\\\"\"}}",
                     pages[k][0], pages[k][1]);
            web_fault(web, text);
        }
        snprintf(text, sizeof text, "%s/first", web->url);
        assert_int_equal(open_hub(&asked, NULL, text), TENON_OK);
        if (read_all(&asked, &items) != TENON_ERROR_PROTOCOL || strstr(asked.pages.failure.message, "no end") == NULL)
            fail_msg("circle %zu: %s", i, asked.pages.failure.message);
        assert_true(items < 20);
        close_asked(&asked);
        web_clear(web);
    }
}

static void what_is_asked(void **state)
{
    struct asked asked = { NULL };

    (void)state;
    assert_int_equal(open_asked(&asked, NULL, page(NULL, "[]")), TENON_OK);
    tn_pages_start(&asked.pages, &asked.repository, COMMIT, "a/b c", true, NULL);
    assert_true(tn_ends_with(tn_text(&asked.pages.request.url), "?/api/models/acme/small/tree/" COMMIT "/a%2Fb%20c?recursive=true&expand=false"));
    tn_co_stop(&asked.pages.co);
    tn_pages_start(&asked.pages, &asked.repository, "refs/pr/1", "", false, NULL);
    assert_true(tn_ends_with(tn_text(&asked.pages.request.url), "?/api/models/acme/small/tree/refs%2Fpr%2F1?recursive=false&expand=false"));
    close_asked(&asked);
}

/* ---- without memory ---- */

static tenon_status parse_listing(struct test_memory *counts)
{
    static const char text[] = LISTING(ENTRY("a") "," ENTRY("b"));
    struct memory failing = test_memory(counts);
    struct failure fault;
    struct tree some;
    tenon_status status;

    tn_failure_init(&fault, &failing, NULL);
    tn_tree_init(&some, &failing);
    status = tn_tree_parse(&some, text, strlen(text), &fault);
    assert_int_equal(status, fault.status);
    tn_tree_clear(&some);
    tn_failure_clear(&fault);
    return status;
}

static char *second_page;

static tenon_status read_pages(struct test_memory *counts)
{
    struct asked asked = { NULL };
    size_t items = 0;
    tenon_status status = open_asked(&asked, counts, page(second_page, "[1]"));

    if (status == TENON_OK)
        status = read_all(&asked, &items);
    if (status == TENON_OK)
        assert_int_equal(items, 3);
    close_asked(&asked);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    test_every_failure(parse_listing);
    second_page = web_says(web, page(NULL, "[2,3]"));
    test_every_failure(read_pages);
    free(second_page);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(items),         TEST(hostile_names),         TEST(sorted_and_found), TEST(what_no_folder_can_hold), TEST(sums_of_sizes), TEST(cached_listings),
        TEST(too_deep),      TEST(written_and_read_back), TEST(one_page),         TEST(several_pages), TEST(pages_in_a_circle),
        TEST(what_is_asked), TEST(a_link_that_is_too_long), TEST(without_memory),
    };

    return cmocka_run_group_tests(tests, web_start, web_stop);
}
