#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lines.h"

static struct memory memory;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    return 0;
}

/* Adds every line that the bytes hold, each in brackets, when they arrive in pieces of that size. */
static void split(const char *bytes, size_t size, size_t piece, struct text *out)
{
    struct lines lines;

    tn_lines_init(&lines, &memory);
    for (size_t at = 0; at < size; at += piece) {
        size_t end = at + piece < size ? at + piece : size, taken = at;

        while (taken < end) {
            size_t step = tn_lines_take(&lines, bytes + taken, end - taken);

            assert_true(step > 0 && step <= end - taken);
            taken += step;
            if (lines.complete)
                tn_text_format(out, "[%s]", tn_text(&lines.line));
        }
    }
    while (tn_lines_end(&lines))
        tn_text_format(out, "[%s]", tn_text(&lines.line));
    assert_int_equal(tn_lines_status(&lines), TENON_OK);
    assert_int_equal(tn_text_status(out), TENON_OK);
    tn_lines_clear(&lines);
    tn_lines_clear(&lines);
}

#define BAD "\xef\xbf\xbd"

static void lines_are_told_apart(void **state)
{
    static const struct {
        const char *bytes, *lines;
    } rows[] = {
        { "", "" },
        { "\n", "[]" },
        { "a", "[a]" },
        { "a\n", "[a]" },
        { "a\n\nb\n", "[a][][b]" },
        { "a\r\nb\r\n", "[a][b]" },
        { "a\r\r\nb", "[a][b]" },
        { "10%\r50%\r100%\ndone\n", "[100%][done]" },
        { "10%\r50%\r", "[50%]" },
        { "\r10%\r20%", "[20%]" },
        { "long words\rab\n", "[ab]" },
        { "\r\n\r\n", "[][]" },
        { "\r", "" },
        { "a\rb\r\rc\r\n\rd", "[c][d]" },
        { "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\n", "[\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80]" },
        { "a\xff" "b\xc3\n\xbc\n", "[a" BAD "b" BAD "][" BAD "]" },
        { "\xe2\x82\r\xe2\x82\xac\n", "[\xe2\x82\xac]" },
        { "tab\tbell\x07" "\x1b[1mbold\n", "[tab\tbell\x07" "\x1b[1mbold]" },
    };
    struct text out;

    (void)state;
    tn_text_init(&out, &memory, 1000);
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t piece = 1; piece <= strlen(rows[i].bytes); piece++) {
            tn_text_reset(&out);
            split(rows[i].bytes, strlen(rows[i].bytes), piece, &out);
            assert_string_equal(tn_text(&out), rows[i].lines);
        }
    tn_text_reset(&out);
    split("a\0b\n", 4, 4, &out);
    assert_string_equal(tn_text(&out), "[a" BAD "b]");
    tn_text_clear(&out);
}

/* By definition: what stands behind the last carriage return that something follows; each odd byte replaced. */
static void lines_by_definition(const char *bytes, size_t size, struct text *out)
{
    for (size_t at = 0; at < size;) {
        const char *feed = memchr(bytes + at, '\n', size - at);
        size_t end = feed != NULL ? (size_t)(feed - bytes) : size, from = at, last = end;

        while (last > at && bytes[last - 1] == '\r')
            last--;
        for (size_t i = at; i < last; i++)
            if (bytes[i] == '\r')
                from = i + 1;
        if (feed != NULL || last > from) {
            tn_text_add(out, "[");
            tn_text_add_utf8(out, bytes + from, last - from);
            tn_text_add(out, "]");
        }
        at = end + 1;
    }
}

static void any_bytes_in_any_pieces(void **state)
{
    static const char alphabet[] = "ab\n\r\xc3\xbc\xe2\x82\xac\xf0\xff";
    struct text expected, out;
    unsigned chance = 1;
    char bytes[24];

    (void)state;
    tn_text_init(&expected, &memory, 1000);
    tn_text_init(&out, &memory, 1000);
    for (int round = 0; round < 20000; round++) {
        size_t size = (size_t)round % sizeof bytes;

        for (size_t i = 0; i < size; i++) {
            chance = chance * 1103515245u + 12345;
            bytes[i] = alphabet[(chance >> 16) % (sizeof alphabet - 1)];
        }
        tn_text_reset(&expected);
        lines_by_definition(bytes, size, &expected);
        for (size_t piece = 1; piece <= 3; piece++) {
            tn_text_reset(&out);
            split(bytes, size, piece, &out);
            assert_string_equal(tn_text(&out), tn_text(&expected));
        }
    }
    tn_text_clear(&expected);
    tn_text_clear(&out);
}

/* A line without end comes in pieces, and nothing of it is lost: no character is cut, no line is added. */
static void long_lines_come_in_pieces(void **state)
{
    static const char *const fillings[] = { "x", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
    static const int around[] = { -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, LINE_LONGEST - 1, LINE_LONGEST, LINE_LONGEST + 7 };
    static const size_t reads[] = { 4096, 65536, 1 << 20 };

    (void)state;
    for (size_t filling = 0; filling < COUNT(fillings); filling++)
        for (size_t shift = 0; shift < 2; shift++)
            for (size_t i = 0; i < COUNT(around); i++) {
                size_t width = strlen(fillings[filling]);
                struct text bytes, out, joined;

                tn_text_init(&bytes, &memory, 1 << 20);
                tn_text_init(&out, &memory, 1 << 20);
                tn_text_init(&joined, &memory, 1 << 20);
                if (shift == 1)
                    tn_text_add_char(&bytes, 'y');
                while (bytes.length + width <= (size_t)(LINE_LONGEST + around[i]))
                    tn_text_add(&bytes, fillings[filling]);
                tn_text_add(&bytes, "\nnext\n");
                split(tn_text(&bytes), bytes.length, reads[i % COUNT(reads)], &out);
                for (const char *at = tn_text(&out); *at != '\0'; at++) {
                    const char *end = strchr(at, ']');

                    assert_true(end != NULL && end - at - 1 <= LINE_LONGEST);
                    tn_text_add_n(&joined, at + 1, (size_t)(end - at) - 1);
                    at = end;
                }
                assert_int_equal(joined.length, bytes.length - 2);
                assert_memory_equal(tn_text(&joined), tn_text(&bytes), bytes.length - strlen("\nnext\n"));
                assert_true(tn_ends_with(tn_text(&out), "][next]") && !tn_ends_with(tn_text(&out), "[][next]"));
                tn_text_clear(&bytes);
                tn_text_clear(&out);
                tn_text_clear(&joined);
            }
}

/* ---- the tail ---- */

static void expect_tail(const char *path, size_t count, const char *expected)
{
    struct failure failure;
    struct text out;

    tn_text_init(&out, &memory, 1 << 20);
    tn_failure_init(&failure, &memory, NULL);
    assert_int_equal(tn_lines_tail(path, count, &out, &failure), TENON_OK);
    assert_string_equal(tn_text(&out), expected);
    tn_text_clear(&out);
    tn_failure_clear(&failure);
}

static void the_last_lines(void **state)
{
    static const struct {
        const char *log;
        size_t count;
        const char *tail;
    } rows[] = {
        { "", 5, "" },
        { "a", 5, "a\n" },
        { "a\nb\nc\n", 2, "b\nc\n" },
        { "a\nb\nc", 2, "b\nc\n" },
        { "a\nb\nc", 3, "a\nb\nc\n" },
        { "a\nb\nc", 0, "" },
        { "\n\n\n", 2, "\n\n" },
        { "1%\r2%\r3%\nok\r\n", 9, "3%\nok\n" },
        { "a\xff\n", 1, "a" BAD "\n" },
    };
    char *folder = test_folder_make(), *path = test_join(folder, "log");

    (void)state;
    expect_tail(path, 5, "");
    for (size_t i = 0; i < COUNT(rows); i++) {
        test_write(path, rows[i].log);
        expect_tail(path, rows[i].count, rows[i].tail);
    }
    free(path);
    test_folder_remove(folder);
}

static void the_tail_of_much(void **state)
{
    char *folder = test_folder_make(), *path = test_join(folder, "log");
    struct text log, expected;

    (void)state;
    tn_text_init(&log, &memory, 1 << 20);
    tn_text_init(&expected, &memory, 1 << 20);
    for (int i = 0; i < 20000; i++) {
        tn_text_format(&log, "line %d\n", i);
        if (i >= 19990)
            tn_text_format(&expected, "line %d\n", i);
    }
    test_write(path, tn_text(&log));
    expect_tail(path, 10, tn_text(&expected));

    /* A line that nobody reads to its end is cut, at a character. */
    for (size_t shift = 0; shift < 3; shift++) {
        tn_text_reset(&log);
        tn_text_reset(&expected);
        tn_text_add(&log, "first\n");
        tn_text_add_n(&log, "xyz", shift);
        tn_text_add_n(&expected, "xyz", shift);
        for (int i = 0; i < 1000; i++) {
            tn_text_add(&log, "\xe2\x82\xac");
            if (expected.length + 3 <= 1000)
                tn_text_add(&expected, "\xe2\x82\xac");
        }
        tn_text_add_char(&expected, '\n');
        test_write(path, tn_text(&log));
        expect_tail(path, 1, tn_text(&expected));
    }

    /* The last line alone is longer than what is read: its end is better than nothing. */
    for (int ended = 0; ended < 2; ended++) {
        tn_text_reset(&log);
        tn_text_reset(&expected);
        for (int i = 0; i < 40000; i++)
            tn_text_add_char(&log, 'x');
        for (int i = 0; i < 1000; i++)
            tn_text_add_char(&expected, 'x');
        tn_text_add_char(&expected, '\n');
        tn_text_add(&log, ended ? "\n" : "");
        test_write(path, tn_text(&log));
        expect_tail(path, 3, tn_text(&expected));
    }
    tn_text_clear(&log);
    tn_text_clear(&expected);
    free(path);
    test_folder_remove(folder);
}

static void a_tail_that_cannot_be_read(void **state)
{
    char *folder = test_folder_make();
    struct failure failure;
    struct text out;

    (void)state;
    tn_text_init(&out, &memory, 100);
    tn_failure_init(&failure, &memory, NULL);
    assert_int_equal(tn_lines_tail(folder, 3, &out, &failure), TENON_ERROR_IO);
    assert_non_null(strstr(failure.message, folder));
    tn_failure_clear(&failure);
    tn_text_clear(&out);
    test_folder_remove(folder);
}

/* ---- memory ---- */

static char *log_path;

static tenon_status take_lines(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    const char bytes[] = "one\ntwo\xff\r\nthree";
    struct lines lines;
    tenon_status status;
    size_t taken = 0;

    tn_lines_init(&lines, &failing);
    while (taken < strlen(bytes) && tn_lines_status(&lines) == TENON_OK)
        taken += tn_lines_take(&lines, bytes + taken, strlen(bytes) - taken);
    tn_lines_end(&lines);
    status = tn_lines_status(&lines);
    tn_lines_clear(&lines);
    return status;
}

static tenon_status take_tail(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    struct failure failure;
    struct text out;
    tenon_status status;

    tn_failure_init(&failure, &failing, NULL);
    tn_text_init(&out, &failing, 1 << 20);
    status = tn_lines_tail(log_path, 2, &out, &failure);
    if (status == TENON_OK)
        assert_string_equal(tn_text(&out), "b\nc\n");
    tn_text_clear(&out);
    tn_failure_clear(&failure);
    return status;
}

static void no_memory_is_told(void **state)
{
    char *folder = test_folder_make();

    (void)state;
    log_path = test_join(folder, "log");
    test_write(log_path, "a\nb\nc\n");
    test_every_failure(take_lines);
    test_every_failure(take_tail);
    free(log_path);
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_told_apart),  cmocka_unit_test(any_bytes_in_any_pieces),   cmocka_unit_test(long_lines_come_in_pieces),
        cmocka_unit_test(the_last_lines),        cmocka_unit_test(the_tail_of_much),          cmocka_unit_test(a_tail_that_cannot_be_read),
        cmocka_unit_test(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
