/* file: hubs: plain folders and their commit, and the history of those that were published to. */
#define _GNU_SOURCE
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define OTHER "ffffffffffffffffffffffffffffffffffffffff"
#define SHA256 "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define POINTER "d1ca116d6733584c13cb8bb50b21d5b5b81ee28f"

static tenon_context *context;
static tenon_hub *hub;
static struct repository repository;
static struct failure failure;
static struct tree tree;
static char *root;

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
    assert_int_equal(tn_folder_make_above(at(name), &failure), TENON_OK);
    test_write(at(name), text);
}

static void name_revision(const char *revision)
{
    tn_repository_clear(&repository);
    assert_int_equal(tn_repository_parse(&repository, &context->memory, "a/b", revision, NULL, &failure), TENON_OK);
}

static int set_up(void **state)
{
    const tenon_hub_options options = { .struct_size = sizeof options, .cache = "/nowhere" };
    char url[4096];

    (void)state;
    context = test_open(NULL);
    tn_failure_init(&failure, &context->memory, NULL);
    tn_tree_init(&tree, &context->memory);
    root = test_folder_make();
    snprintf(url, sizeof url, "file://%s", root);
    assert_int_equal(tenon_hub_open(context, url, &options, &hub), TENON_OK);
    name_revision(NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tn_tree_clear(&tree);
    tn_repository_clear(&repository);
    tn_failure_clear(&failure);
    tenon_hub_free(hub);
    tenon_context_free(context);
    test_folder_remove(root);
    return 0;
}

/* The commit of a revision, "" for none; the files are in the tree. */
static const char *open_revision(const char *revision)
{
    static char commits[4][41];
    static int next;
    char *commit = commits[next = (next + 1) % 4];

    name_revision(revision);
    tn_tree_clear(&tree);
    strcpy(commit, "");
    if (tn_folder_open_revision(hub, &repository, commit, &tree, &failure) == TENON_OK)
        assert_true(tn_is_commit(commit));
    else
        strcpy(commit, "");
    return commit;
}

static void assert_fails(const char *revision, tenon_status status)
{
    assert_string_equal(open_revision(revision), "");
    assert_int_equal(failure.status, status);
}

static void assert_not_found(const char *revision, const char *code)
{
    assert_fails(revision, TENON_ERROR_NOT_FOUND);
    assert_string_equal(failure.code, code);
    assert_non_null(failure.hint);
}

/* ---- plain files ---- */

static void a_plain_folder(void **state)
{
    struct text path;
    char commit[41], again[41] = "";

    (void)state;
    tn_text_init(&path, &context->memory, 4096);
    assert_not_found(NULL, "RepoNotFound");
    write_at("a/b/one", "hello");
    write_at("a/b/more/two", "");
    strcpy(commit, open_revision(NULL));
    assert_int_equal(tree.count, 2);
    assert_string_equal(tree.files[0].path, "more/two");
    assert_int_equal(tree.files[0].bytes, 0);
    assert_string_equal(tree.files[1].path, "one");
    assert_int_equal(tree.files[1].bytes, 5);
    assert_string_equal(tree.files[1].etag, "");
    tn_folder_content(hub, &repository, &tree.files[1], &path);
    assert_string_equal(tn_text(&path), at("a/b/one"));
    assert_string_equal(open_revision("refs/heads/main"), commit);
    assert_string_equal(open_revision(commit), commit);
    assert_not_found("other", "RevisionNotFound");
    assert_not_found(OTHER, "RevisionNotFound");
    /* Without its files the answer is the same. */
    name_revision(NULL);
    assert_int_equal(tn_folder_open_revision(hub, &repository, again, NULL, &failure), TENON_OK);
    assert_string_equal(again, commit);
    tn_text_clear(&path);
}

static void set_time(const char *name, int64_t nanoseconds)
{
    const struct timespec times[] = { { 1000, 0 }, { 1000 + nanoseconds / 1000000000, nanoseconds % 1000000000 } };

    assert_int_equal(utimensat(AT_FDCWD, at(name), times, 0), 0);
}

/* Every change of a file changes the commit, and one that is undone brings it back. */
static void the_commit_follows_the_files(void **state)
{
    char first[41];

    (void)state;
    write_at("a/b/one", "hello");
    write_at("a/b/more/two", "");
    set_time("a/b/one", 5);
    set_time("a/b/more/two", 5);
    strcpy(first, open_revision(NULL));
    assert_string_equal(open_revision(NULL), first);
    set_time("a/b/one", 6);
    assert_string_not_equal(open_revision(NULL), first);
    assert_not_found(first, "RevisionNotFound");
    write_at("a/b/one", "hallo!");
    set_time("a/b/one", 5);
    assert_string_not_equal(open_revision(NULL), first);
    write_at("a/b/one", "hello");
    set_time("a/b/one", 5);
    assert_string_equal(open_revision(NULL), first);
    write_at("a/b/three", "");
    assert_string_not_equal(open_revision(NULL), first);
    assert_int_equal(rename(at("a/b/three"), at("a/b/more/two")), 0);
    set_time("a/b/more/two", 5);
    assert_string_equal(open_revision(NULL), first);
    assert_int_equal(rename(at("a/b/more/two"), at("a/b/more/to")), 0);
    assert_string_not_equal(open_revision(NULL), first);
    assert_int_equal(unlink(at("a/b/more/to")), 0);
    assert_string_not_equal(open_revision(NULL), first);
    write_at("a/b/more/two", "");
    set_time("a/b/more/two", 5);
    assert_string_equal(open_revision(NULL), first);
    /* What is no part of a model is none of the commit. */
    write_at("a/b/.git/config", "");
    write_at("a/b/more/.git/config", "");
    write_at("a/b/.cache/huggingface/download/x.metadata", "");
    write_at("a/b/two.1234.tenon.incomplete", "");
    assert_int_equal(mkdir(at("a/b/empty"), 0777), 0);
    assert_string_equal(open_revision(NULL), first);
    write_at("a/b/.gitignore", "");
    write_at("a/b/.cache/more", "");
    assert_string_not_equal(open_revision(NULL), first);
    assert_int_equal(tree.count, 4);
}

static void walk(bool all, tenon_status expected)
{
    tn_tree_clear(&tree);
    if (tn_folder_walk(at("a"), all, &tree, &failure) != expected)
        fail_msg("%s: %s", tenon_status_name(failure.status), failure.message);
}

static int64_t bytes_of(const char *path)
{
    const struct tree_file *file = tn_tree_find(&tree, path);

    return file != NULL ? file->bytes : -2;
}

static void what_is_found_on_a_walk(void **state)
{
    (void)state;
    write_at("outside/x", "12345");
    write_at("a/file", "hello");
    write_at("a/.git/x", "");
    write_at("a/.tenon/x", "");
    write_at("a/below/.tenon/x", "");
    assert_int_equal(symlink("../outside/x", at("a/link")), 0);
    assert_int_equal(symlink("../outside", at("a/folder")), 0);
    assert_int_equal(symlink("..", at("a/up")), 0);
    assert_int_equal(symlink("nowhere", at("a/broken")), 0);
    assert_int_equal(mkfifo(at("a/pipe"), 0600), 0);
    walk(false, TENON_OK);
    assert_int_equal(tree.count, 3);
    assert_int_equal(bytes_of("file"), 5);
    assert_int_equal(bytes_of("link"), 5);
    assert_int_equal(bytes_of("below/.tenon/x"), 0);
    walk(true, TENON_OK);
    assert_int_equal(tree.count, 6);
    assert_int_equal(bytes_of("broken"), -1);
    assert_int_equal(bytes_of(".git/x"), 0);
    assert_int_equal(bytes_of(".tenon/x"), 0);
    assert_int_equal(unlink(at("a/broken")), 0);
    assert_int_equal(symlink("broken", at("a/broken")), 0);
    /* A link in a circle is an error of the system's, not a reason to leave a file out in silence. */
    walk(false, TENON_ERROR_IO);
}

static void names_that_no_repository_has(void **state)
{
    static const char *const names[] = { "a/x\ny", "a/b\\c", "a/CON", "a/\xff", "a/C:x" };

    (void)state;
    write_at("a/file", "");
    for (size_t i = 0; i < COUNT(names); i++) {
        write_at(names[i], "");
        walk(false, TENON_ERROR_PROTOCOL);
        assert_non_null(failure.hint);
        walk(true, TENON_OK);
        assert_int_equal(tree.count, strcmp(names[i], "a/\xff") == 0 ? 1 : 2);
        assert_int_equal(unlink(at(names[i])), 0);
    }
    walk(false, TENON_OK);
}

static void folders_without_end(void **state)
{
    char name[1000] = "a";

    (void)state;
    for (int depth = 0; depth < 64; depth++)
        strcat(name, "/d");
    strcat(name, "/f");
    write_at(name, "");
    walk(false, TENON_OK);
    assert_int_equal(tree.count, 1);
    strcpy(name + strlen(name) - 1, "d/f");
    write_at(name, "");
    walk(false, TENON_ERROR_PROTOCOL);
    assert_int_equal(tn_folder_remove(at("a"), &failure), TENON_OK);
    walk(false, TENON_ERROR_NOT_FOUND);
}

/* ---- history ---- */

#define ENTRY(path) "\"" path "\":{\"sha256\":\"" SHA256 "\",\"size\":5}"
#define MANIFEST(files) "{\"format\":1,\"message\":\"m\",\"files\":{" files "}}"

static void a_history(void **state)
{
    struct text path;

    (void)state;
    tn_text_init(&path, &context->memory, 4096);
    write_at("a/b/plain", "");
    write_at("a/b/.tenon/refs/heads/main", COMMIT);
    write_at("a/b/.tenon/refs/heads/feature/x", OTHER);
    write_at("a/b/.tenon/commits/" COMMIT ".json", MANIFEST(ENTRY("b") "," ENTRY("a/c")));
    assert_string_equal(open_revision(NULL), COMMIT);
    assert_int_equal(tree.count, 2);
    assert_string_equal(tree.files[0].path, "a/c");
    assert_string_equal(tree.files[0].etag, SHA256);
    assert_string_equal(tree.files[0].blob_id, POINTER);
    assert_true(tree.files[0].large && tree.files[0].bytes == 5);
    tn_folder_content(hub, &repository, &tree.files[0], &path);
    assert_string_equal(tn_text(&path), at("a/b/.tenon/blobs/" SHA256));
    assert_string_equal(open_revision("refs/heads/main"), COMMIT);
    assert_string_equal(open_revision(COMMIT), COMMIT);
    /* A branch whose commit is gone, folders of branches, one that is none, one that there is not. */
    assert_not_found("feature/x", "RevisionNotFound");
    assert_not_found("none", "RevisionNotFound");
    assert_not_found("main/x", "RevisionNotFound");
    assert_not_found(OTHER, "RevisionNotFound");
    assert_not_found("feature", "RevisionNotFound");
    write_at("a/b/.tenon/refs/heads/bad", "../../x");
    assert_fails("bad", TENON_ERROR_PROTOCOL);
    write_at("a/b/.tenon/commits/" COMMIT ".json", "{");
    assert_fails(NULL, TENON_ERROR_PROTOCOL);
    tn_text_clear(&path);
}

/* Nothing but what a publication that never came to its end has left is no repository. */
static void an_abandoned_publication(void **state)
{
    (void)state;
    write_at("a/b/.tenon/blobs/" SHA256, "hello");
    assert_not_found(NULL, "RepoNotFound");
    write_at("a/b/plain", "");
    assert_string_not_equal(open_revision(NULL), "");
}

static void branches(void **state)
{
    static const char *const expected[] = { "feature/x", "feature/y/z", "main", "v1" };
    struct names names;

    (void)state;
    tn_names_init(&names, &context->memory);
    assert_int_equal(tn_folder_branches(hub, &repository, &names, &failure), TENON_OK);
    assert_int_equal(names.count, 0);
    write_at("a/b/.tenon/refs/heads/v1", COMMIT);
    write_at("a/b/.tenon/refs/heads/main", COMMIT);
    write_at("a/b/.tenon/refs/heads/feature/y/z", COMMIT);
    write_at("a/b/.tenon/refs/heads/feature/x", COMMIT);
    assert_int_equal(tn_folder_branches(hub, &repository, &names, &failure), TENON_OK);
    assert_int_equal(names.count, COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++)
        assert_string_equal(names.at[i], expected[i]);
    tn_names_clear(&names);
}

static void manifests(void **state)
{
    static const struct {
        const char *text;
        tenon_status status;
        size_t count;
    } rows[] = {
        { MANIFEST(""), TENON_OK, 0 }, { MANIFEST(ENTRY("a")), TENON_OK, 1 }, { MANIFEST(ENTRY("b") "," ENTRY("a/b")), TENON_OK, 2 },
        { MANIFEST("\"a\":{\"sha256\":\"" SHA256 "\",\"size\":9223372036854775807,\"more\":[]}"), TENON_OK, 1 },
        { "{\"format\":2,\"files\":{}}", TENON_ERROR_UNSUPPORTED, 0 }, { "{\"files\":{}}", TENON_ERROR_UNSUPPORTED, 0 }, { "[]", TENON_ERROR_UNSUPPORTED, 0 },
        { "", TENON_ERROR_PROTOCOL, 0 }, { "{", TENON_ERROR_PROTOCOL, 0 },
        /* Without its files it is damaged, not empty. */
        { "{\"format\":1}", TENON_ERROR_PROTOCOL, 0 }, { "{\"format\":1,\"files\":[]}", TENON_ERROR_PROTOCOL, 0 },
        { "{\"format\":1,\"files\":null}", TENON_ERROR_PROTOCOL, 0 },
        { MANIFEST(ENTRY("a") "," ENTRY("a")), TENON_ERROR_PROTOCOL, 0 }, { MANIFEST(ENTRY("../a")), TENON_ERROR_PROTOCOL, 0 },
        { MANIFEST(ENTRY("")), TENON_ERROR_PROTOCOL, 0 }, { MANIFEST(ENTRY("/a")), TENON_ERROR_PROTOCOL, 0 }, { MANIFEST(ENTRY("a\\\\b")), TENON_ERROR_PROTOCOL, 0 },
        { MANIFEST(ENTRY("a\\nb")), TENON_ERROR_PROTOCOL, 0 }, { MANIFEST(ENTRY("a") ",\"b\":5"), TENON_ERROR_PROTOCOL, 0 },
        { MANIFEST("\"a\":{\"size\":5}"), TENON_ERROR_PROTOCOL, 0 }, { MANIFEST("\"a\":{\"sha256\":\"" SHA256 "\"}"), TENON_ERROR_PROTOCOL, 0 },
        { MANIFEST("\"a\":{\"sha256\":\"" COMMIT "\",\"size\":5}"), TENON_ERROR_PROTOCOL, 0 },
        { MANIFEST("\"a\":{\"sha256\":\"" SHA256 "\",\"size\":-5}"), TENON_ERROR_PROTOCOL, 0 },
        { MANIFEST("\"a\":{\"sha256\":\"" SHA256 "\",\"size\":\"5\"}"), TENON_ERROR_PROTOCOL, 0 },
        { MANIFEST(ENTRY("a") "," ENTRY("a/b")), TENON_ERROR_PROTOCOL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        tenon_status status = tn_folder_parse_commit(rows[i].text, strlen(rows[i].text), &tree, &failure);

        if (status != rows[i].status || (status == TENON_OK && tree.count != rows[i].count))
            fail_msg("%s gives %s and %zu files", rows[i].text, tenon_status_name(status), tree.count);
        tn_tree_clear(&tree);
    }
    for (size_t length = 0; length < strlen(rows[2].text); length++) {
        char *cut = strndup(rows[2].text, length);

        assert_int_not_equal(tn_folder_parse_commit(cut, length, &tree, &failure), TENON_OK);
        tn_tree_clear(&tree);
        free(cut);
    }
}

static void pointers(void **state)
{
    char hex[65];

    (void)state;
    assert_int_equal(tn_pointer_id(SHA256, 5, hex, &failure), TENON_OK);
    assert_string_equal(hex, POINTER);
    assert_int_equal(tn_pointer_id(SHA256, INT64_MAX, hex, &failure), TENON_OK);
    assert_true(tn_is_commit(hex));
}

/* ---- without memory ---- */

static tenon_status open_both(struct test_memory *counts)
{
    const tenon_hub_options options = { .struct_size = sizeof options, .cache = "/nowhere" };
    static const char *const repositories[] = { "a/b", "c/d" };
    tenon_context *opened = NULL;
    tenon_hub *some = NULL;
    struct failure fault;
    char url[4096];
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts }, &opened);

    if (status != TENON_OK)
        return status;
    tn_failure_init(&fault, &opened->memory, NULL);
    snprintf(url, sizeof url, "file://%s", root);
    status = tenon_hub_open(opened, url, &options, &some);
    for (size_t i = 0; i < COUNT(repositories) && status == TENON_OK; i++) {
        struct repository name;
        struct tree files;
        char commit[41];

        tn_tree_init(&files, &opened->memory);
        status = tn_repository_parse(&name, &opened->memory, repositories[i], NULL, NULL, &fault);
        if (status == TENON_OK)
            status = tn_folder_open_revision(some, &name, commit, &files, &fault);
        if (status == TENON_OK)
            assert_int_equal(files.count, 2);
        tn_tree_clear(&files);
        tn_repository_clear(&name);
    }
    tenon_hub_free(some);
    tn_failure_clear(&fault);
    tenon_context_free(opened);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    write_at("a/b/one", "hello");
    write_at("a/b/more/two", "");
    write_at("c/d/.tenon/refs/heads/main", COMMIT);
    write_at("c/d/.tenon/refs/heads/feature/x", COMMIT);
    write_at("c/d/.tenon/commits/" COMMIT ".json", MANIFEST(ENTRY("b") "," ENTRY("a/c")));
    test_every_failure(open_both);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_plain_folder),      TEST(the_commit_follows_the_files), TEST(what_is_found_on_a_walk), TEST(names_that_no_repository_has),
        TEST(folders_without_end), TEST(a_history),                    TEST(an_abandoned_publication), TEST(branches),
        TEST(manifests),           TEST(pointers),                     TEST(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
