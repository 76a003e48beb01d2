#include "support.h"

#include <string.h>

#include "row.h"

static struct memory memory;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    return 0;
}

static const tenon_file sample = { .struct_size = sizeof sample, .path = "weights.bin", .commit = "abc", .bytes = 12 };

static void a_row_copies_its_texts(void **state)
{
    char path[] = "changes";
    tenon_file file = { .struct_size = sizeof file, .path = path };
    struct row *row = tn_row_new(&memory, &tn_row_file, &file);
    const tenon_file *copy = row->data;

    (void)state;
    path[0] = 'X';
    assert_string_equal(copy->path, "changes");
    assert_string_equal(copy->etag, "");
    tn_row_free(&memory, row);
    tn_row_free(&memory, NULL);
}

static void a_caller_that_knows_less(void **state)
{
    struct {
        tenon_file file;
        char behind[16];
    } caller;

    (void)state;
    memset(&caller, 0x55, sizeof caller);
    caller.file.struct_size = offsetof(tenon_file, path) + sizeof(const char *) + 3;
    assert_int_equal(tn_row_give(&tn_row_file, &sample, &caller), TENON_OK);
    assert_string_equal(caller.file.path, "weights.bin");
    assert_int_equal(caller.file.struct_size, offsetof(tenon_file, path) + sizeof(const char *) + 3);
    for (size_t i = caller.file.struct_size; i < sizeof caller; i++)
        assert_int_equal(((const unsigned char *)&caller)[i], 0x55);
}

static void a_caller_that_knows_more(void **state)
{
    struct {
        tenon_file file;
        unsigned char newer[40];
        unsigned char behind[8];
    } caller;

    (void)state;
    memset(&caller, 0x55, sizeof caller);
    caller.file.struct_size = sizeof caller.file + sizeof caller.newer;
    assert_int_equal(tn_row_give(&tn_row_file, &sample, &caller), TENON_OK);
    assert_int_equal(caller.file.struct_size, sizeof caller.file);
    assert_string_equal(caller.file.commit, "abc");
    assert_string_equal(caller.file.json, "");
    assert_int_equal(caller.file.bytes, 12);
    for (size_t i = 0; i < sizeof caller.newer; i++)
        assert_int_equal(caller.newer[i], 0);
    assert_int_equal(caller.behind[0], 0x55);
}

static void a_row_without_its_size(void **state)
{
    tenon_file file = { 0 };

    (void)state;
    assert_int_equal(tn_row_give(&tn_row_file, &sample, &file), TENON_ERROR_ARGUMENT);
    file.struct_size = 3;
    assert_int_equal(tn_row_give(&tn_row_file, &sample, &file), TENON_ERROR_ARGUMENT);
    assert_int_equal(tn_row_give(&tn_row_file, &sample, NULL), TENON_ERROR_ARGUMENT);
    file.struct_size = 4;
    assert_int_equal(tn_row_give(&tn_row_file, &sample, &file), TENON_OK);
}

/* Each text of each kind is made visible once, so a text that the table forgets would come out as a null pointer. */
static void every_text_of_every_kind_is_known(void **state)
{
    static const struct row_kind *const kinds[] = {
        &tn_row_error, &tn_row_setting, &tn_row_progress, &tn_row_repository, &tn_row_file, &tn_row_reference, &tn_row_check,
        &tn_row_machine, &tn_row_memory, &tn_row_offer, &tn_row_reason, &tn_row_report, &tn_row_log_line, &tn_row_metric,
        &tn_row_piece, &tn_row_model,
    };
    uint64_t full[128], given[128];

    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        uint32_t size = (uint32_t)kinds[i]->size;

        assert_true(size <= sizeof full && size % 8 == 0);
        memset(full, 0, sizeof full);
        memcpy(given, &size, sizeof size);
        assert_int_equal(tn_row_give(kinds[i], full, given), TENON_OK);
        for (size_t k = 0; k < kinds[i]->text_count; k++) {
            const char *text;

            memcpy(&text, (const char *)given + kinds[i]->texts[k], sizeof text);
            assert_string_equal(text, "");
        }
    }
}

static tenon_status make_family(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    struct row *owner = tn_row_new(&failing, &tn_row_file, &sample);
    struct row *child = owner != NULL ? tn_row_new(&failing, &tn_row_file, &sample) : NULL;

    if (child != NULL)
        tn_list_add(&owner->children, &child->link);
    tn_row_free(&failing, owner);
    return child != NULL ? TENON_OK : TENON_ERROR_MEMORY;
}

static void rows_go_with_their_children(void **state)
{
    (void)state;
    test_every_failure(make_family);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_copies_its_texts),    cmocka_unit_test(a_caller_that_knows_less),
        cmocka_unit_test(a_caller_that_knows_more),  cmocka_unit_test(a_row_without_its_size),
        cmocka_unit_test(every_text_of_every_kind_is_known), cmocka_unit_test(rows_go_with_their_children),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
