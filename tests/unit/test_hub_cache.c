/* The official cache: where things lie, and how they get there. */
#define _GNU_SOURCE
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache.h"
#include "names.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define OTHER "ffffffffffffffffffffffffffffffffffffffff"
#define ETAG "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"

static tenon_context *context;
static struct failure failure;
static struct repository repository;
static struct cache cache;
static struct text out;
static char *root;

static int set_up(void **state)
{
    (void)state;
    context = test_open(NULL);
    tn_failure_init(&failure, &context->memory, NULL);
    tn_text_init(&out, &context->memory, 10000);
    root = test_folder_make();
    assert_int_equal(tn_repository_parse(&repository, &context->memory, "datasets/acme/words", NULL, NULL, &failure), TENON_OK);
    tn_cache_init(&cache, context);
    assert_int_equal(tn_cache_open(&cache, root, &repository, &failure), TENON_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tn_cache_clear(&cache);
    tn_cache_clear(&cache);
    tn_repository_clear(&repository);
    tn_text_clear(&out);
    tn_failure_clear(&failure);
    tenon_context_free(context);
    test_folder_remove(root);
    return 0;
}

/* ROOT/name in memory that lasts until the next but three. */
static const char *at(const char *name)
{
    static char paths[4][4096];
    static int next;

    next = (next + 1) % 4;
    snprintf(paths[next], sizeof paths[next], "%s/%s", root, name);
    return paths[next];
}

static const char *content(const char *name)
{
    tn_text_reset(&out);
    if (tn_file_read_whole(at(name), 10000, &out, &failure) != TENON_OK)
        fail_msg("%s", failure.message);
    return tn_text(&out);
}

static const char *link_of(const char *name)
{
    tn_text_reset(&out);
    if (tn_link_read(at(name), &out, &failure) != TENON_OK)
        fail_msg("%s", failure.message);
    return tn_text(&out);
}

static size_t count_in(const char *name)
{
    struct names names;
    size_t count;

    tn_names_init(&names, &context->memory);
    assert_int_equal(tn_names_add_folder(&names, at(name), &failure), TENON_OK);
    count = names.count;
    tn_names_clear(&names);
    return count;
}

#define REPOSITORY "datasets--acme--words"

static void where_things_lie(void **state)
{
    (void)state;
    assert_string_equal(tn_text(&cache.folder), at(REPOSITORY));
    tn_cache_blob_path(&cache, ETAG, &out);
    assert_string_equal(tn_text(&out), at(REPOSITORY "/blobs/" ETAG));
    tn_text_reset(&out);
    tn_cache_snapshot_path(&cache, COMMIT, "a/b c", &out);
    assert_string_equal(tn_text(&out), at(REPOSITORY "/snapshots/" COMMIT "/a/b c"));
    tn_text_reset(&out);
    tn_cache_snapshot_path(&cache, COMMIT, "", &out);
    assert_string_equal(tn_text(&out), at(REPOSITORY "/snapshots/" COMMIT));
    tn_text_reset(&out);
    tn_cache_lock_path(&cache, ETAG, &out);
    assert_string_equal(tn_text(&out), at(".locks/" REPOSITORY "/" ETAG ".lock"));
}

static void made_ready(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tn_cache_prepare(&cache, &failure), TENON_OK);
        assert_true(tn_folder_exists(at(REPOSITORY "/blobs")));
        assert_true(tn_folder_exists(at(".locks/" REPOSITORY)));
        assert_true(tn_starts_with(content("CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n#"));
        assert_int_equal(count_in(""), 3);
    }
    /* A tag that is there stays as it is. */
    test_write(at("CACHEDIR.TAG"), "mine");
    assert_int_equal(tn_cache_prepare(&cache, &failure), TENON_OK);
    assert_string_equal(content("CACHEDIR.TAG"), "mine");
}

static void what_cannot_be_made_ready(void **state)
{
    (void)state;
    test_write(at(REPOSITORY), "in the way");
    assert_int_not_equal(tn_cache_prepare(&cache, &failure), TENON_OK);
    assert_int_not_equal(failure.status, TENON_ERROR_NOT_FOUND);
    assert_non_null(failure.hint);
    assert_int_not_equal(tn_cache_write_ref(&cache, "main", COMMIT, &failure), TENON_OK);
}

/* ---- references ---- */

static void references(void **state)
{
    static const char *const names[] = { "main", "v1.0", "refs/pr/3", "refs/convert/parquet", "feature/a b/\xc3\xa4", "0123456" };
    char commit[41], name[200];

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_false(tn_cache_read_ref(&cache, names[i], commit));
        assert_int_equal(tn_cache_write_ref(&cache, names[i], OTHER, &failure), TENON_OK);
        assert_int_equal(tn_cache_write_ref(&cache, names[i], COMMIT, &failure), TENON_OK);
        assert_true(tn_cache_read_ref(&cache, names[i], commit));
        assert_string_equal(commit, COMMIT);
        /* Exactly the digits. */
        snprintf(name, sizeof name, REPOSITORY "/refs/%s", names[i]);
        assert_string_equal(content(name), COMMIT);
    }
    /* What was made on the way is gone. */
    assert_int_equal(count_in(REPOSITORY "/blobs"), 0);
    assert_int_equal(count_in(REPOSITORY "/refs/refs/pr"), 1);
    /* A commit needs no reference. */
    assert_int_equal(tn_cache_write_ref(&cache, COMMIT, COMMIT, &failure), TENON_OK);
    assert_false(tn_file_exists(at(REPOSITORY "/refs/" COMMIT)));
    /* One that says so already is not written again. */
    assert_int_equal(chmod(at(REPOSITORY "/refs/main"), 0444), 0);
    assert_int_equal(tn_cache_write_ref(&cache, "main", COMMIT, &failure), TENON_OK);
    {
        struct file_facts before, after;

        assert_int_equal(tn_file_look(at(REPOSITORY "/refs/main"), &before, &failure), TENON_OK);
        assert_int_equal(tn_cache_write_ref(&cache, "main", COMMIT, &failure), TENON_OK);
        assert_int_equal(tn_file_look(at(REPOSITORY "/refs/main"), &after, &failure), TENON_OK);
        assert_true(before.inode == after.inode);
    }
    /* A branch whose name is a folder of another's cannot be kept, and says so. */
    assert_int_not_equal(tn_cache_write_ref(&cache, "main/x", COMMIT, &failure), TENON_OK);
    assert_int_not_equal(tn_cache_write_ref(&cache, "refs/pr", COMMIT, &failure), TENON_OK);
    assert_int_equal(count_in(REPOSITORY "/blobs"), 0);
}

static void references_of_others(void **state)
{
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        { COMMIT, true }, { COMMIT "\n", true }, { COMMIT " \r\n\t", true }, { "", false }, { "\n", false }, { "0123", false }, { COMMIT "0", false },
        { "0123456789ABCDEF0123456789ABCDEF01234567", false }, { "\n" COMMIT, false }, { COMMIT "\n" COMMIT, false }, { "../../../../../etc/xxxxxxxxxxxxxxxxxxxxxxx", false },
        { "ref: refs/heads/main", false },
    };
    char commit[41] = "untouched", *huge = calloc(1, 300);

    (void)state;
    assert_int_equal(tn_folder_make(at(REPOSITORY "/refs/folder"), 0777, &failure), TENON_OK);
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool good;

        strcpy(commit, "untouched");
        test_write(at(REPOSITORY "/refs/main"), rows[i].text);
        good = tn_cache_read_ref(&cache, "main", commit);
        if (good != rows[i].good || strcmp(commit, good ? COMMIT : "untouched") != 0)
            fail_msg("\"%s\" is taken for %s", rows[i].text, commit);
    }
    memset(huge, 'a', 299);
    test_write(at(REPOSITORY "/refs/main"), huge);
    assert_false(tn_cache_read_ref(&cache, "main", commit));
    assert_false(tn_cache_read_ref(&cache, "folder", commit));
    free(huge);
}

static void what_is_known_to_be_absent(void **state)
{
    (void)state;
    assert_false(tn_cache_knows_absent(&cache, COMMIT, "a/b"));
    tn_cache_note_absent(&cache, COMMIT, "a/b");
    tn_cache_note_absent(&cache, COMMIT, "a/b");
    assert_true(tn_cache_knows_absent(&cache, COMMIT, "a/b"));
    assert_string_equal(content(REPOSITORY "/.no_exist/" COMMIT "/a/b"), "");
    assert_false(tn_cache_knows_absent(&cache, OTHER, "a/b"));
    assert_false(tn_cache_knows_absent(&cache, COMMIT, "a/c"));
}

/* ---- content ---- */

static void make_blob(const char *text)
{
    assert_int_equal(tn_cache_prepare(&cache, &failure), TENON_OK);
    test_write(at(REPOSITORY "/blobs/" ETAG), text);
}

static void link_to(const char *path, bool fresh)
{
    if (tn_cache_link(&cache, COMMIT, path, ETAG, fresh, &failure) != TENON_OK)
        fail_msg("%s: %s", path, failure.message);
    assert_null(failure.message);
}

static void pointers_are_relative_links(void **state)
{
    static const struct {
        const char *path, *link;
    } rows[] = {
        { "a", "../../blobs/" ETAG }, { "a b", "../../blobs/" ETAG }, { "b/c", "../../../blobs/" ETAG }, { "b/d/e", "../../../../blobs/" ETAG },
    };
    char name[200];

    (void)state;
    make_blob("hello");
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_false(tn_cache_has(&cache, COMMIT, rows[i].path, -1, &out));
        link_to(rows[i].path, i % 2 == 0);
        snprintf(name, sizeof name, REPOSITORY "/snapshots/" COMMIT "/%s", rows[i].path);
        assert_string_equal(link_of(name), rows[i].link);
        assert_true(tn_cache_has(&cache, COMMIT, rows[i].path, 5, &out));
        assert_string_equal(tn_text(&out), at(name));
        assert_true(tn_cache_has(&cache, COMMIT, rows[i].path, -1, &out));
        assert_false(tn_cache_has(&cache, COMMIT, rows[i].path, 6, &out));
        assert_string_equal(content(name), "hello");
    }
    /* What is there already is replaced: the same link, one to elsewhere, one to nowhere, a file. */
    link_to("a", false);
    assert_int_equal(unlink(at(REPOSITORY "/snapshots/" COMMIT "/a")), 0);
    assert_int_equal(symlink("nowhere", at(REPOSITORY "/snapshots/" COMMIT "/a")), 0);
    assert_false(tn_cache_has(&cache, COMMIT, "a", -1, &out));
    link_to("a", false);
    assert_string_equal(content(REPOSITORY "/snapshots/" COMMIT "/a"), "hello");
    assert_int_equal(unlink(at(REPOSITORY "/snapshots/" COMMIT "/a")), 0);
    test_write(at(REPOSITORY "/snapshots/" COMMIT "/a"), "other");
    link_to("a", false);
    assert_string_equal(link_of(REPOSITORY "/snapshots/" COMMIT "/a"), "../../blobs/" ETAG);
    assert_int_equal(count_in(REPOSITORY "/blobs"), 1);
    /* A folder is in the way, or a file where a folder must be. */
    assert_int_not_equal(tn_cache_link(&cache, COMMIT, "b", ETAG, false, &failure), TENON_OK);
    assert_int_not_equal(tn_cache_link(&cache, COMMIT, "a/x", ETAG, false, &failure), TENON_OK);
    assert_int_equal(count_in(REPOSITORY "/blobs"), 1);
    assert_false(tn_cache_has(&cache, COMMIT, "b", -1, &out));
}

static void blobs(void **state)
{
    (void)state;
    assert_false(tn_cache_has_blob(&cache, ETAG, -1));
    make_blob("hello");
    assert_true(tn_cache_has_blob(&cache, ETAG, -1));
    assert_true(tn_cache_has_blob(&cache, ETAG, 5));
    assert_false(tn_cache_has_blob(&cache, ETAG, 4));
    assert_int_equal(unlink(at(REPOSITORY "/blobs/" ETAG)), 0);
    assert_int_equal(mkdir(at(REPOSITORY "/blobs/" ETAG), 0777), 0);
    assert_false(tn_cache_has_blob(&cache, ETAG, -1));
    assert_int_equal(rmdir(at(REPOSITORY "/blobs/" ETAG)), 0);
    /* A link into the cache-wide store counts by what it leads to. */
    assert_int_equal(symlink("../../payload", at(REPOSITORY "/blobs/" ETAG)), 0);
    assert_false(tn_cache_has_blob(&cache, ETAG, -1));
    test_write(at("payload"), "hello");
    assert_true(tn_cache_has_blob(&cache, ETAG, 5));
}

static void without_links(void **state)
{
    struct file_facts facts;

    (void)state;
    assert_int_equal(tenon_context_set(context, "hub.no_links", "1"), TENON_OK);
    make_blob("hello");
    /* Others may have links to it: a copy. */
    link_to("b/c", false);
    assert_int_equal(tn_file_look_at_link(at(REPOSITORY "/snapshots/" COMMIT "/b/c"), &facts, &failure), TENON_OK);
    assert_true(facts.regular && facts.bytes == 5);
    assert_true(tn_cache_has_blob(&cache, ETAG, 5));
    link_to("b/c", false);
    /* It has just come: the file itself. */
    link_to("a", true);
    assert_false(tn_cache_has_blob(&cache, ETAG, -1));
    assert_string_equal(content(REPOSITORY "/snapshots/" COMMIT "/a"), "hello");
    assert_int_equal(count_in(REPOSITORY "/blobs"), 0);
    assert_int_not_equal(tn_cache_link(&cache, COMMIT, "c", ETAG, false, &failure), TENON_OK);
    assert_false(tn_cache_has(&cache, COMMIT, "c", -1, &out));
}

/* ---- without memory ---- */

static tenon_status use_all(struct test_memory *counts)
{
    tenon_context *opened = NULL;
    struct failure fault;
    struct repository name = { NULL };
    struct cache some;
    struct text path;
    static int calls;
    char commit[41];
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts }, &opened);

    if (status != TENON_OK)
        return status;
    tn_failure_init(&fault, &opened->memory, NULL);
    tn_text_init(&path, &opened->memory, 4096);
    tn_cache_init(&some, opened);
    status = tn_repository_parse(&name, &opened->memory, "datasets/acme/words", NULL, NULL, &fault);
    if (status == TENON_OK)
        status = tn_cache_open(&some, root, &name, &fault);
    if (status == TENON_OK)
        status = tn_cache_write_ref(&some, "refs/pr/3", calls++ % 2 == 0 ? COMMIT : OTHER, &fault);
    for (int i = 0; i < 3 && status == TENON_OK; i++)
        status = tn_cache_link(&some, COMMIT, "a/b", ETAG, false, &fault);
    if (status == TENON_OK) {
        tn_cache_note_absent(&some, COMMIT, "none");
        tn_cache_read_ref(&some, "refs/pr/3", commit);
        tn_cache_knows_absent(&some, COMMIT, "none");
        tn_cache_has_blob(&some, ETAG, -1);
        tn_cache_has(&some, COMMIT, "a/b", 5, &path);
    }
    tn_text_clear(&path);
    tn_cache_clear(&some);
    tn_repository_clear(&name);
    tn_failure_clear(&fault);
    tenon_context_free(opened);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    make_blob("hello");
    test_every_failure(use_all);
    assert_true(tn_cache_has(&cache, COMMIT, "a/b", 5, &out));
    assert_int_equal(count_in(REPOSITORY "/blobs"), 1);
    assert_int_equal(count_in(REPOSITORY "/snapshots/" COMMIT "/a"), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(where_things_lie),      TEST(made_ready),                 TEST(what_cannot_be_made_ready),   TEST(references),
        TEST(references_of_others),  TEST(what_is_known_to_be_absent), TEST(pointers_are_relative_links), TEST(blobs),
        TEST(without_links),         TEST(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
