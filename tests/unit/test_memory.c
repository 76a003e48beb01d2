#include "support.h"

#include <string.h>

#include "memory.h"

static void memory_is_zeroed(void **state)
{
    struct test_memory counts = { 0 };
    struct memory memory = test_memory(&counts);
    unsigned char *block = tn_alloc(&memory, 1000);

    (void)state;
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(block[i], 0);
    tn_release(&memory, block);
    block = tn_alloc(&memory, 0);
    assert_non_null(block);
    tn_release(&memory, block);
    tn_release(&memory, NULL);
    assert_int_equal(counts.live, 0);
}

static void products_do_not_overflow(void **state)
{
    struct test_memory counts = { 0 };
    struct memory memory = test_memory(&counts);
    void *block;

    (void)state;
    assert_null(tn_alloc_array(&memory, SIZE_MAX / 2, 3));
    assert_null(tn_alloc_array(&memory, 3, SIZE_MAX / 2));
    assert_null(tn_copy_n(&memory, "x", SIZE_MAX));
    assert_int_equal(counts.asked, 0);
    block = tn_alloc_array(&memory, 0, 8);
    assert_non_null(block);
    tn_release(&memory, block);
}

static void texts_are_copied(void **state)
{
    struct test_memory counts = { 0 };
    struct memory memory = test_memory(&counts);
    char *copy = tn_copy(&memory, "a text"), *part = tn_copy_n(&memory, "a text", 1), *none = tn_copy(&memory, "");

    (void)state;
    assert_string_equal(copy, "a text");
    assert_string_equal(part, "a");
    assert_string_equal(none, "");
    tn_release(&memory, copy);
    tn_release(&memory, part);
    tn_release(&memory, none);
    assert_int_equal(counts.live, 0);
}

static void arena_pieces_are_apart_and_aligned(void **state)
{
    struct test_memory counts = { 0 };
    struct memory memory = test_memory(&counts);
    struct arena arena;
    unsigned char *pieces[200];

    (void)state;
    tn_arena_init(&arena, &memory);
    for (size_t i = 0; i < COUNT(pieces); i++) {
        size_t size = i * 7 % 900;

        pieces[i] = tn_arena_alloc(&arena, size);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        for (size_t k = 0; k < size; k++)
            assert_int_equal(pieces[i][k], 0);
        memset(pieces[i], (int)i, size);
    }
    for (size_t i = 0; i < COUNT(pieces); i++)
        for (size_t k = 0; k < i * 7 % 900; k++)
            assert_int_equal(pieces[i][k], (unsigned char)i);
    assert_true(counts.live < COUNT(pieces));
    assert_null(tn_arena_alloc(&arena, SIZE_MAX));
    assert_null(tn_arena_alloc(&arena, SIZE_MAX - 8));
    tn_arena_clear(&arena);
    tn_arena_clear(&arena);
    assert_int_equal(counts.live, 0);
}

static tenon_status copy_lists(struct test_memory *counts)
{
    static const char *const list[] = { "one", "", "three", NULL }, *const empty[] = { NULL };
    struct memory memory = test_memory(counts);
    const char *const *copy = NULL, *const *none = list, *const *nothing = NULL;
    struct arena arena;
    tenon_status status;

    tn_arena_init(&arena, &memory);
    status = tn_arena_copy_list(&arena, list, &copy);
    if (status == TENON_OK) {
        assert_string_equal(copy[0], "one");
        assert_string_equal(copy[1], "");
        assert_string_equal(copy[2], "three");
        assert_null(copy[3]);
        assert_true(copy[0] != list[0]);
        status = tn_arena_copy_list(&arena, NULL, &none);
        assert_null(none);
    }
    if (status == TENON_OK) {
        status = tn_arena_copy_list(&arena, empty, &nothing);
        assert_true(status != TENON_OK || nothing[0] == NULL);
    }
    tn_arena_clear(&arena);
    return status;
}

static void lists_are_copied(void **state)
{
    (void)state;
    test_every_failure(copy_lists);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed),
        cmocka_unit_test(products_do_not_overflow),
        cmocka_unit_test(texts_are_copied),
        cmocka_unit_test(arena_pieces_are_apart_and_aligned),
        cmocka_unit_test(lists_are_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
