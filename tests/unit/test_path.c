#include "support.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "path.h"

static struct memory memory;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    return 0;
}

static void good_paths(void **state)
{
    static const char *const paths[] = {
        "config.json", "a/b/c.txt", ".gitattributes", "...", "a..b", ".hidden/x", "model-00001-of-00002.safetensors",
        "a b/\xc3\xbc [1]^|%.txt", "CONSOLE", "com0", "com10", "nullable", "COMx", "lpt", "ab:c", "1:x", "x/-rf", "~", "$HOME", "a\xe2\x80\xae" "b",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(paths); i++) {
        const char *reason = NULL;

        if (!tn_path_is_safe(paths[i], &reason))
            fail_msg("%s: %s", paths[i], reason);
        assert_string_equal(reason, "");
    }
}

static void hostile_paths(void **state)
{
    static const char *const paths[] = {
        "", "/", "/etc/passwd", "..", ".", "../x", "a/..", "a/../b", "a/./b", "./a", "a//b", "a/", "a\\b", "..\\x", "C:", "c:x", "C:/x",
        "a/z:/b", "con", "CON", "Nul.txt", "aux.tar.gz", "a/prn/b", "com1", "COM9.x", "lpt1", "a\nb", "a\x7f" "b", "\x01",
    };
    char part[257], path[PATH_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(paths); i++) {
        const char *reason = NULL;

        if (tn_path_is_safe(paths[i], &reason))
            fail_msg("accepted: %s", paths[i]);
        assert_true(strlen(reason) > 5);
        assert_false(tn_revision_is_safe(paths[i]));
    }
    memset(part, 'x', sizeof part);
    part[255] = '\0';
    assert_true(tn_path_is_safe(part, NULL));
    part[255] = 'x';
    part[256] = '\0';
    assert_false(tn_path_is_safe(part, NULL));
    for (size_t i = 0; i < sizeof path; i++)
        path[i] = i % 2 == 0 ? 'x' : '/';
    path[sizeof path - 1] = '\0';
    assert_false(tn_path_is_safe(path, NULL));
    path[101] = '\0';
    assert_true(tn_path_is_safe(path, NULL));
}

static void etags(void **state)
{
    static const char *const good[] = { "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "abc-123_X.y", "W-1" };
    static const char *const bad[] = { "", ".", "..", "a/b", "../../x", ".hidden", "a b", "a\nb", "\xc3\xbc", "nul", "COM1.x", "a:b" };
    char etag[130];

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(tn_etag_is_safe(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(tn_etag_is_safe(bad[i]));
    memset(etag, 'a', sizeof etag);
    etag[128] = '\0';
    assert_true(tn_etag_is_safe(etag));
    etag[128] = 'a';
    etag[129] = '\0';
    assert_false(tn_etag_is_safe(etag));
}

static void revisions(void **state)
{
    (void)state;
    assert_true(tn_revision_is_safe("main"));
    assert_true(tn_revision_is_safe("refs/pr/3"));
    assert_true(tn_revision_is_safe("v1.0"));
}

static void joining(void **state)
{
    static const struct {
        const char *folder, *name, *joined;
    } rows[] = { { "/a", "b", "/a/b" }, { "/a/", "b", "/a/b" }, { "/", "b", "/b" }, { "", "b", "b" } };
    struct text text;
    char here[PATH_MAX];

    (void)state;
    tn_text_init(&text, &memory, PATH_MAX);
    for (size_t i = 0; i < COUNT(rows); i++) {
        tn_text_reset(&text);
        tn_path_join(&text, rows[i].folder, rows[i].name);
        assert_string_equal(tn_text(&text), rows[i].joined);
    }
    tn_text_reset(&text);
    tn_path_absolute(&text, "/x/y");
    assert_string_equal(tn_text(&text), "/x/y");
    tn_text_reset(&text);
    tn_path_absolute(&text, "y");
    assert_non_null(getcwd(here, sizeof here));
    assert_true(tn_starts_with(tn_text(&text), here) && tn_ends_with(tn_text(&text), "/y"));
    assert_string_equal(tn_path_name("/a/b.c"), "b.c");
    assert_string_equal(tn_path_name("b.c"), "b.c");
    assert_string_equal(tn_path_name("a/"), "");
    tn_text_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_paths), cmocka_unit_test(hostile_paths), cmocka_unit_test(etags),
        cmocka_unit_test(revisions),  cmocka_unit_test(joining),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
