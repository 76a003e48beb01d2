/* How a repository is written: every spelling that is one, and those that are none. */
#include "with_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repository.h"

enum { MODEL = TENON_REPOSITORY_MODEL, DATASET = TENON_REPOSITORY_DATASET, SPACE = TENON_REPOSITORY_SPACE };

#define HUB "https://huggingface.co/"
#define MIRROR "https://mirror.example:8443/hub"

static void spellings(void **state)
{
    static const struct {
        const char *text;
        int32_t type;
        const char *id, *revision;
    } rows[] = {
        { "acme/small", MODEL, "acme/small", "main" }, { "gpt2", MODEL, "gpt2", "main" }, { "models/acme/small", MODEL, "acme/small", "main" },
        { "datasets/acme/words", DATASET, "acme/words", "main" }, { "datasets/squad", DATASET, "squad", "main" },
        { "spaces/acme/demo", SPACE, "acme/demo", "main" }, { "a/b", MODEL, "a/b", "main" }, { "_a_/b_", MODEL, "_a_/b_", "main" },
        { "A.b-c_d/E.f-g", MODEL, "A.b-c_d/E.f-g", "main" }, { "acme/x.github", MODEL, "acme/x.github", "main" },
        { "acme/git", MODEL, "acme/git", "main" },
        /* With a revision. */
        { "acme/small@v1.0", MODEL, "acme/small", "v1.0" }, { "gpt2@refs/pr/3", MODEL, "gpt2", "refs/pr/3" },
        { "acme/small@feature/x", MODEL, "acme/small", "feature/x" }, { "acme/small@a@b", MODEL, "acme/small", "a@b" },
        { "acme/small@v%2F1", MODEL, "acme/small", "v%2F1" },
        { "datasets/acme/words@0123456789abcdef0123456789abcdef01234567", DATASET, "acme/words", "0123456789abcdef0123456789abcdef01234567" },
        /* hf:// addresses. A slash in a revision is written %2F there. */
        { "hf://acme/small", MODEL, "acme/small", "main" }, { "hf://models/acme/small@v1", MODEL, "acme/small", "v1" },
        { "hf://datasets/acme/words", DATASET, "acme/words", "main" }, { "hf://spaces/acme/demo@x", SPACE, "acme/demo", "x" },
        { "hf://acme/small@refs/pr/3", MODEL, "acme/small", "refs/pr/3" }, { "hf://acme/small@feature%2Fx", MODEL, "acme/small", "feature/x" },
        { "hf://datasets/acme/words@refs/convert/parquet", DATASET, "acme/words", "refs/convert/parquet" },
        { "hf://acme/small@v%001%zz%4", MODEL, "acme/small", "v%001%zz%4" }, { "hf://acme/small@%C3%a4", MODEL, "acme/small", "\xc3\xa4" },
        /* Pasted from a browser. */
        { HUB "acme/small", MODEL, "acme/small", "main" }, { HUB "acme/small/", MODEL, "acme/small", "main" },
        { HUB "datasets/acme/words", DATASET, "acme/words", "main" }, { HUB "spaces/acme/demo", SPACE, "acme/demo", "main" },
        { HUB "gpt2", MODEL, "gpt2", "main" }, { "http://huggingface.co/acme/small", MODEL, "acme/small", "main" },
        { "https://hf.co/acme/small", MODEL, "acme/small", "main" }, { "huggingface.co/acme/small", MODEL, "acme/small", "main" },
        { "hf.co/acme/small", MODEL, "acme/small", "main" }, { HUB "acme/small?library=x", MODEL, "acme/small", "main" },
        { HUB "acme/small#usage", MODEL, "acme/small", "main" }, { HUB "acme/small/discussions/3", MODEL, "acme/small", "main" },
        { HUB "acme/small@v1", MODEL, "acme/small", "v1" }, { HUB "acme/small/tree/v1", MODEL, "acme/small", "v1" },
        { HUB "acme/small/tree/main/", MODEL, "acme/small", "main" }, { HUB "acme/small/tree/main/data/more", MODEL, "acme/small", "main" },
        { HUB "acme/small/tree/refs%2Fpr%2F3", MODEL, "acme/small", "refs/pr/3" }, { HUB "acme/small/tree/refs/pr/3", MODEL, "acme/small", "refs/pr/3" },
        { HUB "acme/small/tree/refs/pr/3/data", MODEL, "acme/small", "refs/pr/3" }, { HUB "acme/small/tree/feature%2Fx", MODEL, "acme/small", "feature/x" },
        { HUB "acme/small/blob/v1/config.json", MODEL, "acme/small", "v1" }, { HUB "acme/small/blob/v1/a/b.json#L3", MODEL, "acme/small", "v1" },
        { HUB "acme/small/resolve/v1/a.bin?download=true", MODEL, "acme/small", "v1" }, { HUB "acme/small/raw/v1/a", MODEL, "acme/small", "v1" },
        { HUB "acme/small/commits/v1", MODEL, "acme/small", "v1" }, { HUB "acme/small/blame/v1/a", MODEL, "acme/small", "v1" },
        { HUB "datasets/acme/words/tree/v2", DATASET, "acme/words", "v2" }, { HUB "gpt2/tree/v1", MODEL, "gpt2", "v1" },
        { HUB "gpt2/blob/v1/config.json", MODEL, "gpt2", "v1" }, { HUB "datasets/squad/tree/v1", DATASET, "squad", "v1" },
        { HUB "acme/tree/tree/v1", MODEL, "acme/tree", "v1" }, { HUB "acme/small/tree", MODEL, "acme/small", "main" },
        /* An @ behind the route is part of a revision or of a file's name. */
        { HUB "acme/small/tree/v1@2", MODEL, "acme/small", "v1@2" }, { HUB "acme/small/blob/v1/a@b.json", MODEL, "acme/small", "v1" },
        { HUB "acme/small/discussions/@me", MODEL, "acme/small", "main" }, { HUB "gpt2/tree/v1@2", MODEL, "gpt2", "v1@2" },
        /* The hub in use. */
        { MIRROR "/acme/small", MODEL, "acme/small", "main" }, { MIRROR "/datasets/acme/words/tree/v1", DATASET, "acme/words", "v1" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct repository repository;

        if (tn_repository_parse(&repository, &memory, rows[i].text, NULL, MIRROR, &failure) != TENON_OK)
            fail_msg("%s: %s", rows[i].text, failure.message);
        if (repository.type != rows[i].type || strcmp(repository.id, rows[i].id) != 0 || strcmp(repository.revision, rows[i].revision) != 0)
            fail_msg("%s is %s%s at %s", rows[i].text, tn_repository_prefix(&repository), repository.id, repository.revision);
        tn_repository_clear(&repository);
    }
}

static void what_is_none(void **state)
{
    static const char *const rows[] = {
        "", "/", "a/", "/a", "a//b", "a/b/c", "a/b/", "../b", "a/..", ".a/b", "a./b", "-a/b", "a/b-", "a/.b", "a/b.", "a b/c", "a/b c",
        "a--b/c", "a/b--c", "a..b/c", "a/b..c", "a/b.git", "b.git", "a/b\n", "a\\b", "a/b%2Fc", "a:b/c", "\xc3\xa4/b", "a/\xc3\xa4",
        "a/b\x01", "~/b", "a/*", "datasets/", "spaces/", "models/", "datasets//a", "datasets/a/b/c",
        /* Owners that a hub's routes could not tell from a kind. */
        "models/datasets/a", "hf://models/datasets/a", "models/spaces/a", "models/models/a", "datasets/models/a", "spaces/spaces/a",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/b",
        "a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        /* Revisions that are none. */
        "a/b@", "@v1", "a/b@/v1", "a/b@v1/", "a/b@../x", "a/b@x/../y", "a/b@.", "a/b@a\\b", "a/b@a//b", "a/b@a\nb", "a/b@C:x",
        "hf://a/b@..%2Fx", "hf://a/b@%2Fx", "hf://a/b@a%0Ab", "a/b@\xff",
        /* hf:// with a file, with nothing, or of a kind that is not known. */
        "hf://", "hf:///a/b", "hf://a/b/config.json", "hf://a/b@v1/config.json", "hf://a/b@refs/pr/3/config.json", "hf://a/b@", "hf:/a/b",
        "hf://kernels/a/b", "hf://buckets/a/b", "HF://a/b",
        /* Other addresses. */
        HUB, "https://huggingface.co", "https://example.com/a/b", "https://huggingface.co.example/a/b", "ftp://huggingface.co/a/b",
        "https://me@huggingface.co/a/b", MIRROR, MIRROR "/", MIRROR "2/a/b", HUB "a/b/tree/..", HUB "a/b/tree/..%2Fx", HUB "a/b@",
        HUB "?a/b", HUB "datasets/", "file:///a/b",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct repository repository;

        if (tn_repository_parse(&repository, &memory, rows[i], NULL, MIRROR, &failure) != TENON_ERROR_ARGUMENT)
            fail_msg("%s is taken for %s at %s", rows[i], repository.id, repository.revision);
        assert_null(repository.id);
        assert_non_null(failure.hint);
        tn_repository_clear(&repository);
    }
}

static void the_callers_revision_wins(void **state)
{
    static const char *const bad[] = { "", "..", "a/../b", "/x", "a\\b", "a\n" };
    struct repository repository;
    char huge[1100];

    (void)state;
    assert_int_equal(tn_repository_parse(&repository, &memory, "datasets/a/b@v1", "refs/pr/7", NULL, &failure), TENON_OK);
    assert_string_equal(repository.revision, "refs/pr/7");
    assert_string_equal(repository.written, "datasets/a/b");
    tn_repository_clear(&repository);
    tn_repository_clear(&repository);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(tn_repository_parse(&repository, &memory, "a/b", bad[i], NULL, &failure), TENON_ERROR_ARGUMENT);
    assert_int_equal(tn_repository_parse(&repository, &memory, NULL, NULL, NULL, &failure), TENON_ERROR_ARGUMENT);
    memset(huge, 'a', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    assert_int_equal(tn_repository_parse(&repository, &memory, huge, NULL, NULL, &failure), TENON_ERROR_ARGUMENT);
    /* Without an endpoint its addresses mean nothing. */
    assert_int_equal(tn_repository_parse(&repository, &memory, MIRROR "/a/b", NULL, NULL, &failure), TENON_ERROR_ARGUMENT);
}

static void folders_of_the_cache(void **state)
{
    static const struct {
        const char *name, *folder, *back;
    } rows[] = {
        { "acme/small", "models--acme--small", "acme/small" }, { "gpt2", "models--gpt2", "gpt2" },
        { "datasets/acme/words", "datasets--acme--words", "datasets/acme/words" }, { "spaces/a/b-c", "spaces--a--b-c", "spaces/a/b-c" },
        { "A-b/C", "models--A-b--C", "A-b/C" },
    };
    static const char *const others[] = { "", "models", "models-", "models--", "blobs", ".locks", "kernels--a--b", "model--a--b",
                                          "Models--a--b", "xmodels--a--b", "CACHEDIR.TAG", "models--a--", "models----b", "models----",
                                          "models--..--b", "models--a--..", "models--a b--c", "models--a--b\n", "models--datasets--a",
                                          "datasets--models--a" };
    struct text text;

    (void)state;
    tn_text_init(&text, &memory, 1000);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct repository repository;

        assert_int_equal(tn_repository_parse(&repository, &memory, rows[i].name, NULL, NULL, &failure), TENON_OK);
        tn_text_reset(&text);
        tn_repository_folder(&repository, &text);
        assert_string_equal(tn_text(&text), rows[i].folder);
        tn_text_reset(&text);
        assert_true(tn_repository_of_folder(rows[i].folder, &text));
        assert_string_equal(tn_text(&text), rows[i].back);
        tn_repository_clear(&repository);
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        tn_text_reset(&text);
        if (tn_repository_of_folder(others[i], &text))
            fail_msg("%s is taken for %s", others[i], tn_text(&text));
    }
    tn_text_clear(&text);
}

static void commits(void **state)
{
    (void)state;
    assert_true(tn_is_commit("0123456789abcdef0123456789abcdef01234567"));
    assert_false(tn_is_commit("0123456789abcdef0123456789abcdef0123456"));
    assert_false(tn_is_commit("0123456789ABCDEF0123456789abcdef01234567"));
    assert_false(tn_is_commit("0123456789abcdef0123456789abcdef01234567\n"));
    assert_false(tn_is_commit(""));
    assert_false(tn_is_commit("main"));
}

static tenon_status parse_one(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    struct failure fault;
    struct repository repository;
    tenon_status status;

    tn_failure_init(&fault, &failing, NULL);
    status = tn_repository_parse(&repository, &failing, HUB "datasets/acme/words/tree/v1", NULL, NULL, &fault);
    tn_repository_clear(&repository);
    tn_failure_clear(&fault);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    test_every_failure(parse_one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spellings),            cmocka_unit_test(what_is_none), cmocka_unit_test(the_callers_revision_wins),
        cmocka_unit_test(folders_of_the_cache), cmocka_unit_test(commits),      cmocka_unit_test(without_memory),
    };

    return cmocka_run_group_tests(tests, memory_set_up, memory_tear_down);
}
