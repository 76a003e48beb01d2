/* Blobs that go, also those that are links into the official client's cache-wide store. */
#define _GNU_SOURCE
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "store.h"

#define HASH "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
#define PAYLOAD "blobs/ab/" HASH
#define LINK "../../" PAYLOAD
#define BLOB "models--a--b/blobs/etag"
#define SECOND "datasets--c--d/blobs/etag"

static tenon_context *context;
static struct failure failure;
static struct text out;
static char *root;

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

static bool is_there(const char *name)
{
    struct file_facts facts;

    assert_int_equal(tn_file_look_at_link(at(name), &facts, &failure), TENON_OK);
    return facts.exists;
}

static void link_blob(const char *blob, const char *to)
{
    unlink(at(blob));
    assert_int_equal(symlink(to, at(blob)), 0);
}

/* A store with one payload, a repository that links to it, and what is said of who does. */
static void make_store(const char *refs)
{
    static const char *const folders[] = { "blobs/ab", "models--a--b/blobs", "datasets--c--d/blobs" };

    for (size_t i = 0; i < COUNT(folders); i++)
        assert_int_equal(tn_folder_make(at(folders[i]), 0777, &failure), TENON_OK);
    test_write(at("blobs/.huggingface-shared-blobs"), "1\n");
    unlink(at(PAYLOAD));
    test_write(at(PAYLOAD), "hello");
    assert_int_equal(chmod(at(PAYLOAD), 0400), 0);
    test_write(at(PAYLOAD ".refs"), refs);
    link_blob(BLOB, LINK);
    unlink(at(SECOND));
}

static int set_up(void **state)
{
    (void)state;
    context = test_open(NULL);
    tn_failure_init(&failure, &context->memory, NULL);
    tn_text_init(&out, &context->memory, 10000);
    root = test_folder_make();
    make_store(BLOB "\n");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tn_text_clear(&out);
    tn_failure_clear(&failure);
    tenon_context_free(context);
    test_folder_remove(root);
    return 0;
}

/* Removes a blob; how many bytes that gave back. */
static int64_t remove_blob(const char *blob)
{
    int64_t freed = 1000;

    if (tn_store_remove_blob(context, root, at(blob), &freed, &failure) != TENON_OK)
        fail_msg("%s", failure.message);
    assert_false(is_there(blob));
    return freed - 1000;
}

static void plain_blobs(void **state)
{
    (void)state;
    assert_int_equal(unlink(at(BLOB)), 0);
    assert_int_equal(remove_blob(BLOB), 0);
    test_write(at(BLOB), "12345678");
    assert_int_equal(remove_blob(BLOB), 8);
    assert_true(is_there(PAYLOAD));
}

static void the_last_one_takes_the_payload_along(void **state)
{
    (void)state;
    assert_int_equal(remove_blob(BLOB), 5);
    assert_false(is_there(PAYLOAD));
    assert_false(is_there(PAYLOAD ".refs"));
    assert_true(is_there("blobs/.huggingface-shared-blobs"));
}

static void who_still_links(void **state)
{
    static const struct {
        const char *refs, *second; /* where the other repository's blob leads; NULL: it has none */
        const char *left;          /* of the references; NULL: the payload goes */
    } rows[] = {
        { BLOB "\n" SECOND "\n", LINK, SECOND "\n" }, { SECOND "\n" BLOB, LINK, SECOND "\n" }, { BLOB "\n\n\n" SECOND, LINK, SECOND "\n" },
        { SECOND "\n" BLOB "\n" SECOND "\n", LINK, SECOND "\n" SECOND "\n" },
        { BLOB "\n" SECOND "\n", NULL, NULL }, { BLOB "\n" SECOND "\n", "../../blobs/ab/elsewhere", NULL }, { BLOB "\n" SECOND "\n", "/nowhere", NULL },
        { "", NULL, NULL }, { "\n", NULL, NULL },
        /* Lines that lead out of the cache, or to nothing. */
        { BLOB "\n../x\n/etc/passwd\n" BLOB "/x\nblobs\n" PAYLOAD "\n./" SECOND "\nmodels--a--b/../" SECOND "\n\x01\n", LINK, NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        make_store(rows[i].refs);
        if (rows[i].second != NULL)
            link_blob(SECOND, rows[i].second);
        if (remove_blob(BLOB) != (rows[i].left != NULL ? 0 : 5) || is_there(PAYLOAD) != (rows[i].left != NULL))
            fail_msg("row %zu: the payload is %s", i, is_there(PAYLOAD) ? "there" : "gone");
        assert_int_equal(is_there(PAYLOAD ".refs"), rows[i].left != NULL);
        if (rows[i].left != NULL)
            assert_string_equal(content(PAYLOAD ".refs"), rows[i].left);
    }
}

static void what_is_no_store(void **state)
{
    static const char *const markers[] = { "", "1", "2\n", "1\n\n", "a marker of somebody else's" };

    (void)state;
    for (size_t i = 0; i <= COUNT(markers); i++) {
        make_store(BLOB "\n");
        if (i < COUNT(markers))
            test_write(at("blobs/.huggingface-shared-blobs"), markers[i]);
        else
            assert_int_equal(unlink(at("blobs/.huggingface-shared-blobs")), 0);
        remove_blob(BLOB);
        assert_true(is_there(PAYLOAD));
        assert_string_equal(content(PAYLOAD ".refs"), BLOB "\n");
    }
}

static void links_to_elsewhere(void **state)
{
    static const char *const links[] = { "../../blobs/ab/" HASH "x", "../../blobs/cd/" HASH, "../../blobs/../" PAYLOAD, "../blobs/ab/" HASH, "/" PAYLOAD,
                                         "../../blobs/ab/ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef0123456789", "../../blobs/ab", "x" };

    (void)state;
    assert_int_equal(mkdir(at("blobs/cd"), 0777), 0);
    test_write(at("blobs/cd/" HASH), "hello");
    test_write(at("blobs/cd/" HASH ".refs"), "");
    for (size_t i = 0; i < COUNT(links); i++) {
        link_blob(BLOB, links[i]);
        assert_int_equal(remove_blob(BLOB), 0);
        assert_true(is_there(PAYLOAD));
        assert_true(is_there(PAYLOAD ".refs"));
        assert_true(is_there("blobs/cd/" HASH));
    }
}

/* Without a list of who links to it, or while somebody else is at it, a payload stays. */
static void payloads_that_stay(void **state)
{
    struct lock lock = { -1 };

    (void)state;
    assert_int_equal(unlink(at(PAYLOAD ".refs")), 0);
    assert_int_equal(remove_blob(BLOB), 0);
    assert_true(is_there(PAYLOAD));
    make_store(BLOB "\n");
    assert_int_equal(unlink(at(PAYLOAD ".refs")), 0);
    assert_int_equal(mkdir(at(PAYLOAD ".refs"), 0700), 0);
    assert_int_equal(remove_blob(BLOB), 0);
    assert_true(is_there(PAYLOAD));
    assert_int_equal(rmdir(at(PAYLOAD ".refs")), 0);
    make_store(BLOB "\n");
    assert_int_equal(tn_lock_try(&lock, at(PAYLOAD ".lock"), &failure), TENON_OK);
    assert_int_equal(remove_blob(BLOB), 0);
    assert_true(is_there(PAYLOAD));
    assert_string_equal(content(PAYLOAD ".refs"), BLOB "\n");
    tn_lock_release(&lock);
}

static tenon_status remove_one(struct test_memory *counts)
{
    tenon_context *opened = NULL;
    struct failure fault;
    int64_t freed = 0;
    tenon_status status;

    make_store(BLOB "\n" SECOND "\n");
    link_blob(SECOND, LINK);
    status = test_try_open(&(struct test_hooks){ .memory = counts }, &opened);
    if (status != TENON_OK)
        return status;
    tn_failure_init(&fault, &opened->memory, NULL);
    status = tn_store_remove_blob(opened, root, at(BLOB), &freed, &fault);
    tn_failure_clear(&fault);
    tenon_context_free(opened);
    /* Whatever failed: the other repository has its content. */
    assert_string_equal(content(SECOND), "hello");
    assert_non_null(strstr(content(PAYLOAD ".refs"), SECOND "\n"));
    assert_int_equal(freed, 0);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    test_every_failure(remove_one);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(plain_blobs),        TEST(the_last_one_takes_the_payload_along), TEST(who_still_links), TEST(what_is_no_store),
        TEST(links_to_elsewhere), TEST(payloads_that_stay),                   TEST(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
