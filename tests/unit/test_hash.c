#include "with_memory.h"

#include <string.h>

#include "hash.h"

/* From FIPS 180-4's examples, and `git hash-object --stdin`. */
static void known_values(void **state)
{
    static const struct {
        enum hash_kind kind;
        const char *text, *hex;
    } rows[] = {
        { HASH_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { HASH_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { HASH_SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
        { HASH_GIT_BLOB, "", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391" },
        { HASH_GIT_BLOB, "hello\n", "ce013625030ba8dba906f756967f9e9ca394464a" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char hex[TN_HEX_MOST + 1];

        assert_int_equal(tn_hash_bytes(rows[i].kind, rows[i].text, strlen(rows[i].text), hex, &failure), TENON_OK);
        assert_string_equal(hex, rows[i].hex);
    }
}

static void pieces_make_the_whole(void **state)
{
    struct hash hash = { NULL };
    char hex[TN_HEX_MOST + 1];

    (void)state;
    assert_int_equal(tn_hash_start(&hash, HASH_GIT_BLOB, 6, &failure), TENON_OK);
    assert_true(tn_hash_running(&hash));
    for (const char *c = "hello\n"; *c != '\0'; c++)
        tn_hash_add(&hash, c, 1);
    tn_hash_add(&hash, NULL, 0);
    assert_int_equal(tn_hash_end(&hash, hex, &failure), TENON_OK);
    assert_string_equal(hex, "ce013625030ba8dba906f756967f9e9ca394464a");
    assert_false(tn_hash_running(&hash));
    assert_int_equal(tn_hash_end(&hash, hex, &failure), TENON_ERROR_INTERNAL);
}

static void stopping_and_starting_anew(void **state)
{
    struct hash hash = { NULL };
    char hex[TN_HEX_MOST + 1];

    (void)state;
    assert_int_equal(tn_hash_start(&hash, HASH_SHA1, 0, &failure), TENON_OK);
    tn_hash_add(&hash, "something else", 14);
    assert_int_equal(tn_hash_start(&hash, HASH_SHA256, 0, &failure), TENON_OK);
    tn_hash_add(&hash, "abc", 3);
    assert_int_equal(tn_hash_end(&hash, hex, &failure), TENON_OK);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    tn_hash_start(&hash, HASH_SHA1, 0, &failure);
    tn_hash_stop(&hash);
    tn_hash_stop(&hash);
    tn_hash_add(&hash, "x", 1);
}

static void the_kind_behind_an_etag(void **state)
{
    enum hash_kind kind = HASH_SHA1;

    (void)state;
    assert_true(tn_hash_of_etag("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", &kind));
    assert_int_equal(kind, HASH_SHA256);
    assert_true(tn_hash_of_etag("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", &kind));
    assert_int_equal(kind, HASH_GIT_BLOB);
    assert_false(tn_hash_of_etag("e69de29bb2d1d6434b8b29ae775ad8c2e48c539", &kind));
    assert_false(tn_hash_of_etag("E69DE29BB2D1D6434B8B29AE775AD8C2E48C5391", &kind));
    assert_false(tn_hash_of_etag("", &kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(pieces_make_the_whole),
        cmocka_unit_test(stopping_and_starting_anew),
        cmocka_unit_test(the_kind_behind_an_etag),
    };

    return cmocka_run_group_tests(tests, memory_set_up, memory_tear_down);
}
