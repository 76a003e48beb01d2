#include "support.h"

#include <string.h>

#include "text.h"

static struct memory memory;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    return 0;
}

static void a_text_grows(void **state)
{
    struct text text;

    (void)state;
    tn_text_init(&text, &memory, 100000);
    assert_string_equal(tn_text(&text), "");
    for (int i = 0; i < 10000; i++) {
        tn_text_add(&text, "ab");
        tn_text_add_char(&text, 'c');
    }
    tn_text_add_integer(&text, INT64_MIN);
    tn_text_format(&text, "<%s %d>", "x", 7);
    assert_int_equal(tn_text_status(&text), TENON_OK);
    assert_int_equal(text.length, 30000 + strlen("-9223372036854775808<x 7>"));
    assert_string_equal(tn_text(&text) + 29997, "abc-9223372036854775808<x 7>");
    tn_text_drop(&text, 30000);
    assert_string_equal(tn_text(&text), "-9223372036854775808<x 7>");
    tn_text_drop(&text, 1000);
    assert_string_equal(tn_text(&text), "");
    tn_text_clear(&text);
    tn_text_clear(&text);
}

static void many_are_added_at_once(void **state)
{
    struct text text;

    (void)state;
    tn_text_init(&text, &memory, 70);
    tn_text_add_all(&text, "", NULL);
    assert_string_equal(tn_text(&text), "");
    tn_text_add_all(&text, "a", "", "bc", "d", NULL);
    assert_string_equal(tn_text(&text), "abcd");
    /* What fits into the room that is there, what has to make more, and what is beyond the bound. */
    tn_text_format(&text, "%s-%d", "e", 5);
    assert_string_equal(tn_text(&text), "abcde-5");
    tn_text_format(&text, "%060d", 0);
    assert_int_equal(text.length, 67);
    assert_string_equal(tn_text(&text) + 60, "0000000");
    tn_text_format(&text, "%s", "1234");
    assert_true(text.full);
    assert_int_equal(text.length, 67);
    assert_string_equal(tn_text(&text) + 60, "0000000");
    text.failed = text.full = false;
    tn_text_add_all(&text, "12", "34", NULL);
    assert_true(text.full);
    assert_int_equal(text.length, 67);
    tn_text_clear(&text);
}

static void the_bound_holds(void **state)
{
    struct text text;

    (void)state;
    tn_text_init(&text, &memory, 5);
    tn_text_add(&text, "12345");
    assert_int_equal(tn_text_status(&text), TENON_OK);
    tn_text_add_char(&text, '6');
    assert_int_equal(tn_text_status(&text), TENON_ERROR_MEMORY);
    assert_true(text.full);
    assert_string_equal(tn_text(&text), "12345");
    tn_text_add(&text, "");
    assert_true(text.failed);
    assert_null(tn_text_take(&text));
    tn_text_init(&text, &memory, 5);
    tn_text_format(&text, "%s", "123456");
    assert_true(text.full);
    tn_text_reset(&text);
    assert_false(text.full);
    tn_text_format(&text, "%s", "12345");
    assert_int_equal(tn_text_status(&text), TENON_OK);
    tn_text_add_n(&text, "x", SIZE_MAX);
    assert_true(text.full);
    tn_text_clear(&text);
}

static void a_text_is_handed_over(void **state)
{
    struct text text;
    char *taken;

    (void)state;
    tn_text_init(&text, &memory, 100);
    taken = tn_text_take(&text);
    assert_string_equal(taken, "");
    tn_release(&memory, taken);
    tn_text_add_n(&text, "a\0b", 3);
    assert_int_equal(text.length, 3);
    taken = tn_text_take(&text);
    assert_memory_equal(taken, "a\0b", 4);
    tn_release(&memory, taken);
    assert_string_equal(tn_text(&text), "");
}

static tenon_status append_much(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    struct text text;
    tenon_status status;

    tn_text_init(&text, &failing, 10000);
    for (int i = 0; i < 100; i++) {
        tn_text_add(&text, "some words ");
        tn_text_format(&text, "%d ", i);
    }
    status = tn_text_status(&text);
    assert_true(status == TENON_OK || !text.full);
    tn_text_clear(&text);
    return status;
}

static void no_memory_is_remembered(void **state)
{
    (void)state;
    test_every_failure(append_much);
}

static void escapes_are_exact(void **state)
{
    struct text text;

    (void)state;
    tn_text_init(&text, &memory, 1000);
    tn_text_add_escaped(&text, "AZaz09-._~ /\xc3\xbc%?#+\x01\xff", "/");
    assert_string_equal(tn_text(&text), "AZaz09-._~%20/%C3%BC%25%3F%23%2B%01%FF");
    tn_text_reset(&text);
    tn_text_add_escaped(&text, "a/b", "");
    assert_string_equal(tn_text(&text), "a%2Fb");
    tn_text_clear(&text);
}

/* The definition, written another way: decode, then refuse what is too long, a surrogate, or beyond the last code point. */
static size_t utf8_by_definition(const unsigned char *bytes, size_t left)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t length = bytes[0] < 0x80 ? 1 : bytes[0] >> 5 == 6 ? 2 : bytes[0] >> 4 == 14 ? 3 : bytes[0] >> 3 == 30 ? 4 : 0;
    uint32_t code = length == 1 ? bytes[0] : bytes[0] & (0x7fu >> length);

    if (length == 0 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if (bytes[i] >> 6 != 2)
            return 0;
        code = code << 6 | (bytes[i] & 0x3f);
    }
    return code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0 : length;
}

static void utf8_is_checked(void **state)
{
    static const unsigned char tails[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff };

    (void)state;
    for (unsigned first = 0; first < 256; first++)
        for (unsigned second = 0; second < 256; second++)
            for (size_t i = 0; i < COUNT(tails) * COUNT(tails); i++) {
                unsigned char bytes[4] = { (unsigned char)first, (unsigned char)second, tails[i % COUNT(tails)], tails[i / COUNT(tails)] };

                for (size_t left = 1; left <= 4; left++)
                    if (tn_utf8_length(bytes, left) != utf8_by_definition(bytes, left))
                        fail_msg("%02x %02x %02x %02x (%zu)", bytes[0], bytes[1], bytes[2], bytes[3], left);
            }
    assert_int_equal(tn_utf8_length((const unsigned char *)"", 0), 0);
}

static void bytes_become_utf8(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *text;
    } rows[] = {
        { "plain", 5, "plain" },
        { "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "a\xff" "b", 3, "a\xef\xbf\xbd" "b" },
        { "a\0b", 3, "a\xef\xbf\xbd" "b" },
        { "\xe2\x82", 2, "\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xc0\x80", 2, "\xef\xbf\xbd\xef\xbf\xbd" },
        { "", 0, "" },
    };
    struct text text;

    (void)state;
    tn_text_init(&text, &memory, 1000);
    for (size_t i = 0; i < COUNT(rows); i++) {
        tn_text_reset(&text);
        tn_text_add_utf8(&text, rows[i].bytes, rows[i].size);
        assert_string_equal(tn_text(&text), rows[i].text);
    }
    tn_text_clear(&text);
}

static void integers_are_parsed(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t number;
    } rows[] = {
        { "0", true, 0 }, { "007", true, 7 }, { "9223372036854775807", true, INT64_MAX }, { "9223372036854775808", false, 0 },
        { "99999999999999999999", false, 0 }, { "", false, 0 }, { "-1", false, 0 }, { "+1", false, 0 }, { " 1", false, 0 },
        { "1 ", false, 0 }, { "1e3", false, 0 }, { "0x10", false, 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t number = -5;

        assert_int_equal(tn_parse_integer(rows[i].text, &number), rows[i].good);
        assert_int_equal(number, rows[i].good ? rows[i].number : -5);
    }
}

static void comparing(void **state)
{
    (void)state;
    assert_true(tn_starts_with("hub.co", "hub"));
    assert_true(tn_starts_with("hub", ""));
    assert_false(tn_starts_with("hu", "hub"));
    assert_true(tn_ends_with("a.json", ".json"));
    assert_false(tn_ends_with("json", ".json"));
    assert_int_equal(tn_compare_case("ContenT", "cONTENt"), 0);
    assert_true(tn_compare_case("a", "b") < 0);
    assert_true(tn_compare_case("aa", "a") > 0);
    assert_true(tn_compare_case("\xc3\x84", "\xc3\xa4") != 0);
    assert_true(tn_is_hex("0123456789abcdef", 16));
    assert_false(tn_is_hex("0123456789abcdef", 15));
    assert_false(tn_is_hex("0123456789ABCDEF", 16));
    assert_false(tn_is_hex("", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_grows),        cmocka_unit_test(the_bound_holds),   cmocka_unit_test(a_text_is_handed_over),
        cmocka_unit_test(no_memory_is_remembered), cmocka_unit_test(escapes_are_exact), cmocka_unit_test(utf8_is_checked),
        cmocka_unit_test(bytes_become_utf8),   cmocka_unit_test(integers_are_parsed), cmocka_unit_test(comparing),
        cmocka_unit_test(many_are_added_at_once),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
