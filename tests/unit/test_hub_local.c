/* Files in a folder of the user's, and the official client's notes beside them. */
#define _GNU_SOURCE
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "local.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define ETAG "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
#define NOTES ".cache/huggingface/download/"

static struct test_clock hand;
static tenon_context *context;
static struct failure failure;
static struct text out;
static char *folder;

static int set_up(void **state)
{
    (void)state;
    hand = (struct test_clock){ .wall_ms = INT64_C(1800000000123) };
    context = test_open(&(struct test_hooks){ .clock = &hand });
    tn_failure_init(&failure, &context->memory, NULL);
    tn_text_init(&out, &context->memory, 10000);
    folder = test_folder_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tn_text_clear(&out);
    tn_failure_clear(&failure);
    tenon_context_free(context);
    test_folder_remove(folder);
    return 0;
}

static const char *at(const char *name)
{
    static char paths[4][4096];
    static int next;

    next = (next + 1) % 4;
    snprintf(paths[next], sizeof paths[next], "%s/%s", folder, name);
    return paths[next];
}

static const char *content(const char *name)
{
    tn_text_reset(&out);
    if (tn_file_read_whole(at(name), 10000, &out, &failure) != TENON_OK)
        fail_msg("%s", failure.message);
    return tn_text(&out);
}

static void where_things_lie(void **state)
{
    (void)state;
    tn_local_file(folder, "a/b c", &out);
    assert_string_equal(tn_text(&out), at("a/b c"));
    tn_text_reset(&out);
    tn_local_lock(folder, "a/b", &out);
    assert_string_equal(tn_text(&out), at(NOTES "a/b.lock"));
    /* SHA-1 of "b.metadata". */
    tn_text_reset(&out);
    assert_int_equal(tn_local_base(folder, "a/b", ETAG, &out, &failure), TENON_OK);
    assert_string_equal(tn_text(&out), at(NOTES "a/81961cd4a4ce145b8acd4fda9dc605809a8b000b." ETAG));
    tn_text_reset(&out);
    assert_int_equal(tn_local_base(folder, "b", ETAG, &out, &failure), TENON_OK);
    assert_true(tn_starts_with(tn_text(&out), at(NOTES)));
    assert_null(strchr(tn_text(&out) + strlen(at(NOTES)), '/'));
}

static void made_ready(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tn_local_prepare(context, folder, "a/b/c", &failure), TENON_OK);
        assert_true(tn_folder_exists(at("a/b")));
        assert_false(tn_file_exists(at("a/b/c")));
        assert_true(tn_folder_exists(at(NOTES "a/b")));
        assert_string_equal(content(".cache/huggingface/.gitignore"), "*");
    }
    assert_int_equal(tn_local_prepare(context, folder, "c", &failure), TENON_OK);
    test_write(at("file"), "");
    assert_int_not_equal(tn_local_prepare(context, folder, "file/x", &failure), TENON_OK);
    /* A file of the hub's is no note. */
    assert_int_equal(tn_local_prepare(context, folder, NOTES "x.metadata", &failure), TENON_ERROR_PROTOCOL);
    assert_int_equal(tn_local_prepare(context, folder, ".cache/huggingface/x", &failure), TENON_ERROR_PROTOCOL);
    assert_int_equal(tn_local_prepare(context, folder, ".cache/x", &failure), TENON_OK);
}

static void nothing_goes_through_links(void **state)
{
    char *elsewhere = test_folder_make();

    (void)state;
    assert_int_equal(mkdir(at("a"), 0777), 0);
    assert_int_equal(symlink(elsewhere, at("a/link")), 0);
    assert_int_equal(symlink("nowhere", at("broken")), 0);
    for (int i = 0; i < 2; i++) {
        static const char *const paths[] = { "a/link/x", "a/link/x/y", "broken/x" };

        for (size_t k = 0; k < COUNT(paths); k++) {
            tenon_status status = i == 0 ? tn_local_check_links(folder, paths[k], &context->memory, &failure)
                                         : tn_local_prepare(context, folder, paths[k], &failure);

            if (status != TENON_ERROR_IO || strstr(failure.message, "is a link") == NULL)
                fail_msg("%s: %s", paths[k], tenon_status_name(status));
        }
    }
    assert_int_equal(tn_local_check_links(folder, "a/x/y", &context->memory, &failure), TENON_OK);
    /* The file itself is replaced by a rename, whatever it is. */
    assert_int_equal(tn_local_check_links(folder, "a/link", &context->memory, &failure), TENON_OK);
    assert_int_equal(rmdir(elsewhere), 0);
    free(elsewhere);
}

/* ---- notes ---- */

static void set_time(const char *path, int64_t seconds)
{
    const struct timespec times[] = { { seconds, 0 }, { seconds, 0 } };

    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void as_the_official_client_writes_them(void **state)
{
    const struct local_note note = { COMMIT, ETAG };
    struct local_note read;

    (void)state;
    assert_false(tn_local_read(context, folder, "a/b", &read));
    assert_int_equal(tn_local_prepare(context, folder, "a/b", &failure), TENON_OK);
    test_write(at("a/b"), "hello");
    set_time(at("a/b"), 1800000000);
    assert_int_equal(tn_local_write(context, folder, "a/b", &note, &failure), TENON_OK);
    assert_string_equal(content(NOTES "a/b.metadata"), COMMIT "\n" ETAG "\n1800000000.123\n");
    assert_true(tn_local_read(context, folder, "a/b", &read));
    assert_string_equal(read.commit, COMMIT);
    assert_string_equal(read.etag, ETAG);
    /* Changed afterwards: more than a second later than the note says. */
    set_time(at("a/b"), 1800000001);
    assert_true(tn_local_read(context, folder, "a/b", &read));
    set_time(at("a/b"), 1800000002);
    assert_false(tn_local_read(context, folder, "a/b", &read));
    /* Gone, or something else. */
    assert_int_equal(unlink(at("a/b")), 0);
    assert_false(tn_local_read(context, folder, "a/b", &read));
    test_write(at("other"), "hello");
    set_time(at("other"), 1700000000);
    assert_int_equal(symlink("../other", at("a/b")), 0);
    assert_false(tn_local_read(context, folder, "a/b", &read));
    assert_int_equal(unlink(at("a/b")), 0);
    assert_int_equal(mkdir(at("a/b"), 0777), 0);
    assert_false(tn_local_read(context, folder, "a/b", &read));
}

static void notes_that_are_none(void **state)
{
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        { COMMIT "\n" ETAG "\n1800000000.5\n", true }, { COMMIT "\n" ETAG "\n1800000000.5", true }, { COMMIT "\n" ETAG "\n1800000000\n", true },
        { COMMIT "\n" ETAG "\n1800000000.1234567\nmore\n", true },
        { COMMIT "\r\n" ETAG "\r\n1800000000.5\r\n", true },
        { "", false }, { "\n\n\n", false }, { COMMIT, false }, { COMMIT "\n" ETAG, false }, { COMMIT "\n" ETAG "\n", false }, { COMMIT "\n" ETAG "\nsoon\n", false },
        { COMMIT "\n\n1800000000\n", false }, { "main\n" ETAG "\n1800000000\n", false }, { COMMIT "0\n" ETAG "\n1800000000\n", false },
        { ETAG "\n1800000000\n", false }, { COMMIT "\n" ETAG "\n-1800000000\n", false }, { COMMIT "\n../../x\n1800000000\n", false },
        { COMMIT "\na/b\n1800000000\n", false }, { COMMIT "\n" ETAG "\n1700000000\n", false }, { COMMIT "\n" ETAG "\nnan\n", false },
        { COMMIT "\n" ETAG "\n99999999999999999999999999999\n", true },
        { "{\"commit\":\"" COMMIT "\"}", false },
    };
    struct local_note note;
    char *huge = malloc(2001);

    (void)state;
    assert_int_equal(tn_local_prepare(context, folder, "a", &failure), TENON_OK);
    test_write(at("a"), "hello");
    set_time(at("a"), 1800000000);
    for (size_t i = 0; i < COUNT(rows); i++) {
        test_write(at(NOTES "a.metadata"), rows[i].text);
        if (tn_local_read(context, folder, "a", &note) != rows[i].good)
            fail_msg("row %zu: \"%s\" is %sa note", i, rows[i].text, rows[i].good ? "not " : "");
        if (rows[i].good)
            assert_string_equal(note.etag, ETAG);
    }
    memset(huge, 'a', 2000);
    huge[2000] = '\0';
    test_write(at(NOTES "a.metadata"), huge);
    assert_false(tn_local_read(context, folder, "a", &note));
    memcpy(huge, COMMIT "\n", 41);
    strcpy(huge + 41 + 129, "\n1800000000\n");
    test_write(at(NOTES "a.metadata"), huge);
    assert_false(tn_local_read(context, folder, "a", &note));
    free(huge);
}

/* ---- without memory ---- */

static tenon_status use_all(struct test_memory *counts)
{
    const struct local_note note = { COMMIT, ETAG };
    tenon_context *opened = NULL;
    struct failure fault;
    struct local_note read;
    struct text path;
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts }, &opened);

    if (status != TENON_OK)
        return status;
    tn_failure_init(&fault, &opened->memory, NULL);
    tn_text_init(&path, &opened->memory, 4096);
    status = tn_local_base(folder, "a/b", ETAG, &path, &fault);
    if (status == TENON_OK)
        status = tn_local_prepare(opened, folder, "a/b", &fault);
    if (status == TENON_OK)
        status = tn_local_write(opened, folder, "a/b", &note, &fault);
    if (status == TENON_OK)
        tn_local_read(opened, folder, "a/b", &read);
    tn_text_clear(&path);
    tn_failure_clear(&fault);
    tenon_context_free(opened);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    test_every_failure(use_all);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(where_things_lie),    TEST(made_ready),     TEST(nothing_goes_through_links), TEST(as_the_official_client_writes_them),
        TEST(notes_that_are_none), TEST(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
