/* Patterns: Python's fnmatch.fnmatchcase on the whole path, as the official client has it. */
#define _GNU_SOURCE
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"

static void what_matches(void **state)
{
    static const struct {
        const char *pattern, *path;
        bool matches;
    } rows[] = {
        { "", "", true }, { "", "a", false }, { "a", "", false }, { "a", "a", true }, { "a", "A", false }, { "a", "ab", false },
        { "b", "ab", false },
        /* A star takes anything, also slashes and dots in front. */
        { "*", "", true }, { "*", "a/b/.c", true }, { "**", "a/b", true }, { "*.json", "a/b.json", true },
        { "*.json", "a/b.jsonl", false }, { "a*c", "a/b/c", true }, { "a*c", "ac", true }, { "a*b*c", "aXbXbYc", true },
        { "a*b*c", "aXcXb", false }, { "*a", "aaab", false }, { "*ab*ab", "abab", true }, { "*ab*ab", "aab", false },
        { "a*/b", "a/x/b", true }, { "*/*", "a", false }, { "**/x", "x", false },
        /* A question mark is one character, not one byte. */
        { "?", "a", true }, { "?", "/", true }, { "?", "", false }, { "?", "ab", false }, { "?", "\xc3\xa4", true },
        { "??", "\xc3\xa4", false }, { "?", "\xf0\x9f\x98\x80", true }, { "*?", "\xe2\x82\xac", true },
        /* A byte that is no UTF-8 is not the character of that number. */
        { "\xc2\xbc", "\xbc", false }, { "\xbc", "\xbc", true }, { "?", "\xbc", true },
        /* Sets. */
        { "[abc]", "b", true }, { "[abc]", "d", false }, { "[!abc]", "d", true }, { "[!abc]", "a", false }, { "[!a]", "", false },
        { "[a-c]", "b", true }, { "[a-c]", "-", false }, { "[z-a]", "m", false }, { "[z-a]", "z", false }, { "[!z-a]", "m", true },
        { "[^a]", "^", true }, { "[^a]", "a", true }, { "[^a]", "b", false }, { "[]a]", "]", true }, { "[!]a]", "]", false },
        { "[!]a]", "x", true }, { "[a-]", "-", true }, { "[-a]", "-", true }, { "[--0]", ".", true }, { "[a-c-e]", "d", false },
        { "[a-c-e]", "-", true }, { "[a-c-e]", "e", true }, { "[a", "[a", true }, { "[", "[", true }, { "[!", "[!", true },
        { "[]", "[]", true }, { "[!]", "[!]", true }, { "[]", "]", false }, { "[*]", "*", true }, { "[*]", "a", false },
        { "[?]", "?", true }, { "[/]", "/", true }, { "[\xc3\xa4-\xc3\xbc]", "\xc3\xb6", true }, { "[\xc3\xa4]", "\xc3\xb6", false },
        { "[!a]", "\xc3\xa4", true }, { "[!!]", "!", false }, { "[[]", "[", true }, { "x[0-9]*y", "x7zzy", true },
        /* There is no escape: a backslash is a slash. At its end it means all below. */
        { "\\*", "*", false }, { "\\*", "/abc", true }, { "a\\b", "a/b", true }, { "[\\]", "/", true }, { "a/", "a/b/c", true },
        { "a/", "a", false }, { "a/", "a/", true }, { "a/", "xa/b", false }, { "a\\", "a/b", true }, { "*/", "x/y", true },
        { "[/", "[/x", true }, { "/", "a", false }, { "/", "/a", true },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (tn_pattern_matches(rows[i].pattern, rows[i].path) != rows[i].matches)
            fail_msg("\"%s\" and \"%s\": not %d", rows[i].pattern, rows[i].path, rows[i].matches);
}

/* Random patterns, and paths that are made of the same few characters; each as 'x' and hex digits, then what Python says. */
static const char program[] =
    "import fnmatch, random\n"
    "random.seed(7)\n"
    "def some(letters, most): return ''.join(random.choice(letters) for _ in range(random.randrange(most)))\n"
    "for _ in range(10000):\n"
    "    pattern, path = some('ab-]![[****?^/.\\u00e4\\u20ac', 9), some('ab-]![*^/.\\u00e4\\u20ac', 5)\n"
    "    below = '*' if pattern.endswith('/') else ''\n"
    "    print('x' + pattern.encode().hex(), 'x' + path.encode().hex(), int(fnmatch.fnmatchcase(path, pattern + below)))\n";

static void of_hex(const char *hex, char *out)
{
    unsigned byte;

    for (hex++; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        *out++ = (char)byte;
    *out = '\0';
}

static void as_python_has_it(void **state)
{
    char *command = NULL, pattern[64], path[64], pattern_hex[128], path_hex[128];
    int said, count = 0, matching = 0;
    FILE *python;

    (void)state;
    assert_true(asprintf(&command, "/usr/bin/python3 -c \"%s\"", program) > 0);
    python = popen(command, "r");
    assert_non_null(python);
    for (; fscanf(python, "%127s %127s %d", pattern_hex, path_hex, &said) == 3; count++) {
        of_hex(pattern_hex, pattern);
        of_hex(path_hex, path);
        matching += said;
        if (tn_pattern_matches(pattern, path) != said)
            fail_msg("\"%s\" and \"%s\": Python says %d", pattern, path, said);
    }
    assert_int_equal(pclose(python), 0);
    assert_int_equal(count, 10000);
    assert_true(matching > 500);
    free(command);
}

static void what_is_chosen(void **state)
{
    static const char *const none[] = { NULL }, *const json[] = { "*.json", NULL }, *const below[] = { "data/", NULL },
                             *const backslash[] = { "data\\*.json", NULL }, *const folder[] = { "data\\", NULL },
                             *const two[] = { "*.bin", "*.json", NULL }, *const empty[] = { "", NULL }, *const slash[] = { "/", NULL };
    static const struct {
        const char *const *allow, *const *ignore;
        const char *path;
        bool chosen;
    } rows[] = {
        { NULL, NULL, "a", true }, { none, NULL, "a", false }, { NULL, none, "a", true }, { json, NULL, "a/b.json", true },
        { json, NULL, "a/b.bin", false }, { two, NULL, "a/b.json", true }, { NULL, json, "a.json", false },
        { NULL, json, "a.bin", true }, { json, json, "a.json", false }, { two, json, "a.bin", true },
        { below, NULL, "data/a/b", true }, { below, NULL, "data", false }, { below, NULL, "more/data/a", false },
        { NULL, below, "data/x", false }, { backslash, NULL, "data/a.json", true }, { folder, NULL, "data/x", true },
        { empty, NULL, "a", false }, { NULL, empty, "a", true }, { slash, NULL, "a", false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (tn_patterns_choose(rows[i].allow, rows[i].ignore, rows[i].path) != rows[i].chosen)
            fail_msg("row %zu: %s", i, rows[i].path);
}

/* A pattern may be as long as a path, and many stars cost no more than their product with it. */
static void long_ones(void **state)
{
    static char path[2001], pattern[4001], stars[2001];
    const char *const one[] = { pattern, NULL }, *const many[] = { stars, NULL };

    (void)state;
    memset(path, 'a', sizeof path - 1);
    memcpy(pattern, path, sizeof path);
    assert_true(tn_patterns_choose(one, NULL, path));
    assert_false(tn_patterns_choose(NULL, one, path));
    pattern[1999] = 'b';
    assert_false(tn_patterns_choose(one, NULL, path));
    memset(pattern, '*', sizeof pattern - 1);
    assert_true(tn_patterns_choose(one, NULL, path));
    for (size_t i = 0; i < sizeof stars - 1; i++)
        stars[i] = "*a"[i % 2];
    stars[sizeof stars - 2] = 'b';
    for (int i = 0; i < 3; i++)
        assert_false(tn_patterns_choose(many, NULL, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_matches), cmocka_unit_test(as_python_has_it), cmocka_unit_test(what_is_chosen),
        cmocka_unit_test(long_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
