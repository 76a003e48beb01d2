#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "text.h"

static struct memory memory;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    return 0;
}

static void a_failure_is_one_clean_line(void **state)
{
    struct failure failure;

    (void)state;
    tn_failure_init(&failure, &memory, NULL);
    assert_int_equal(tn_fail(&failure, TENON_ERROR_NOT_FOUND, "no file %s", "a\nb\tc\r\x01\x7f\xff\xc2\x85\xc3\xbc"), TENON_ERROR_NOT_FOUND);
    assert_string_equal(failure.message, "no file a b c ?" "?" "?" "?" "?" "\xc3\xbc");
    assert_int_equal(tn_hint(&failure, "Look\nelsewhere."), TENON_ERROR_NOT_FOUND);
    assert_string_equal(failure.hint, "Look elsewhere.");
    tn_failure_set_code(&failure, "Gated\r\nRepo");
    assert_string_equal(failure.code, "Gated  Repo");
    tn_failure_clear(&failure);
    assert_null(failure.message);
    assert_int_equal(failure.status, TENON_OK);
}

static void long_messages_are_cut_not_lost(void **state)
{
    struct failure failure;
    char *words = malloc(100001);
    size_t length;

    (void)state;
    for (int i = 0; i < 50000; i++)
        memcpy(words + 2 * i, "\xc3\xbc", 2);
    words[100000] = '\0';
    tn_failure_init(&failure, &memory, NULL);
    tn_fail(&failure, TENON_ERROR_FAILED, "x%s", words);
    assert_non_null(failure.message);
    length = strlen(failure.message);
    assert_true(length > 3900 && length <= 4000);
    assert_true(tn_utf8_length((const unsigned char *)failure.message + length - 2, 2) == 2);
    tn_failure_set_request_id(&failure, words);
    assert_int_equal(strlen(failure.request_id), 200);
    tn_failure_clear(&failure);
    free(words);
}

static void a_message_may_quote_the_one_before(void **state)
{
    struct failure failure;

    (void)state;
    tn_failure_init(&failure, &memory, NULL);
    tn_fail(&failure, TENON_ERROR_FAILED, "inner");
    tn_hint(&failure, "first");
    tn_fail(&failure, failure.status, "outer: %s", failure.message);
    assert_string_equal(failure.message, "outer: inner");
    assert_null(failure.hint);
    tn_hint(&failure, "one");
    tn_hint(&failure, "%s, two", failure.hint);
    assert_string_equal(failure.hint, "one, two");
    tn_failure_clear(&failure);
}

static void secrets_are_masked(void **state)
{
    struct secrets secrets = { .memory = &memory };
    struct failure failure;
    char text[] = "hf_secret hf_secret_longer hf_secret";
    char *words = malloc(4100);

    (void)state;
    assert_int_equal(tn_secrets_add(&secrets, "short"), TENON_OK);
    assert_int_equal(secrets.count, 0);
    assert_int_equal(tn_secrets_add(&secrets, "hf_secret"), TENON_OK);
    assert_int_equal(tn_secrets_add(&secrets, "hf_secret"), TENON_OK);
    assert_int_equal(secrets.count, 1);
    assert_int_equal(tn_secrets_add(&secrets, "hf_secret_longer"), TENON_OK);
    tn_secrets_mask(&secrets, text);
    assert_string_equal(text, "********* **************** *********");

    /* A secret that lies across the cut, or is broken by a line end only afterwards, is masked all the same. */
    memset(words, 'x', 4099);
    memcpy(words + 3990, "hf_secret_longer", 16);
    words[4099] = '\0';
    tn_failure_init(&failure, &memory, &secrets);
    tn_fail(&failure, TENON_ERROR_FAILED, "%s", words);
    assert_null(strstr(failure.message, "hf_"));
    tn_failure_set_code(&failure, "code of hf_secret");
    assert_string_equal(failure.code, "code of *********");
    tn_hint(&failure, "%s", "hf_secret");
    assert_string_equal(failure.hint, "*********");
    tn_failure_clear(&failure);
    tn_secrets_clear(&secrets);
    free(words);
}

static void system_errors_have_a_meaning(void **state)
{
    static const struct {
        int error;
        tenon_status status;
        bool hint;
    } rows[] = {
        { ENOSPC, TENON_ERROR_DISK_FULL, true }, { EDQUOT, TENON_ERROR_DISK_FULL, true }, { EACCES, TENON_ERROR_IO, true },
        { ENOENT, TENON_ERROR_NOT_FOUND, false }, { ENOMEM, TENON_ERROR_MEMORY, true }, { EMFILE, TENON_ERROR_IO, true },
        { EXDEV, TENON_ERROR_IO, false },
    };
    struct failure failure;

    (void)state;
    tn_failure_init(&failure, &memory, NULL);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(tn_fail_system(&failure, rows[i].error, "%s cannot be opened", "/x"), rows[i].status);
        assert_true(strstr(failure.message, "/x cannot be opened: ") == failure.message);
        assert_true(strlen(failure.message) > strlen("/x cannot be opened: "));
        assert_int_equal(failure.system_error, rows[i].error);
        assert_int_equal(failure.hint != NULL, rows[i].hint);
    }
    tn_failure_clear(&failure);
}

static void a_failure_moves(void **state)
{
    struct failure from, to;

    (void)state;
    tn_failure_init(&from, &memory, NULL);
    tn_failure_init(&to, &memory, NULL);
    tn_fail(&to, TENON_ERROR_IO, "old");
    tn_fail(&from, TENON_ERROR_GATED, "new");
    from.http_status = 403;
    from.retry_after_ms = 7;
    assert_int_equal(tn_failure_move(&to, &from), TENON_ERROR_GATED);
    assert_string_equal(to.message, "new");
    assert_int_equal(to.http_status, 403);
    assert_int_equal(from.status, TENON_OK);
    assert_null(from.message);
    assert_int_equal(tn_failure_move(&to, &to), TENON_ERROR_GATED);
    assert_string_equal(to.message, "new");
    tn_failure_clear(&to);
    tn_failure_clear(&from);
}

static void a_row_is_filled(void **state)
{
    tenon_error row = { .struct_size = sizeof row };
    struct failure failure;

    (void)state;
    tn_failure_init(&failure, &memory, NULL);
    assert_int_equal(tn_failure_row(&failure, &row), TENON_OK);
    assert_int_equal(row.status, TENON_OK);
    assert_string_equal(row.message, "");
    assert_string_equal(row.hint, "");
    assert_int_equal(row.retry_after_ms, -1);
    tn_fail_memory(&failure);
    tn_failure_row(&failure, &row);
    assert_string_equal(row.message, "out of memory");
    failure.status = TENON_ERROR_QUOTA;
    tn_failure_row(&failure, &row);
    assert_string_equal(row.message, "TENON_ERROR_QUOTA");
    assert_int_equal(tn_failure_row(&failure, NULL), TENON_ERROR_ARGUMENT);
    tn_failure_clear(&failure);
}

static tenon_status fail_in_every_way(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    struct secrets secrets = { .memory = &failing };
    struct failure failure, other;
    tenon_error row = { .struct_size = sizeof row };
    tenon_status status = tn_secrets_add(&secrets, "a secret");

    if (status == TENON_OK)
        status = tn_secrets_add(&secrets, "another secret");
    tn_failure_init(&failure, &failing, &secrets);
    tn_failure_init(&other, &failing, &secrets);
    assert_int_equal(tn_fail(&failure, TENON_ERROR_BUSY, "it has %s", "a secret"), TENON_ERROR_BUSY);
    assert_int_equal(tn_hint(&failure, "Wait."), TENON_ERROR_BUSY);
    tn_failure_set_code(&failure, "code");
    assert_int_equal(tn_failure_move(&other, &failure), TENON_ERROR_BUSY);
    assert_int_equal(tn_fail_system(&failure, ENOSPC, "x"), TENON_ERROR_DISK_FULL);
    assert_int_equal(tn_failure_row(&other, &row), TENON_OK);
    assert_int_equal(row.status, TENON_ERROR_BUSY);
    assert_true(row.message[0] != '\0');
    tn_failure_clear(&failure);
    tn_failure_clear(&other);
    tn_secrets_clear(&secrets);
    return status;
}

static void without_memory_the_status_stands_alone(void **state)
{
    (void)state;
    test_every_failure(fail_in_every_way);
}

static void every_status_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(tenon_status_name(TENON_OK), "TENON_OK");
    assert_string_equal(tenon_status_name(TENON_AGAIN), "TENON_AGAIN");
    assert_string_equal(tenon_status_name(TENON_DONE), "TENON_DONE");
    assert_string_equal(tenon_status_name(3), "TENON_OK");
    assert_string_equal(tenon_status_name(INT32_MAX), "TENON_OK");
    assert_string_equal(tenon_status_name(TENON_ERROR_ARGUMENT), "TENON_ERROR_ARGUMENT");
    assert_string_equal(tenon_status_name(TENON_ERROR_INTEGRITY), "TENON_ERROR_INTEGRITY");
    assert_string_equal(tenon_status_name(TENON_ERROR_UNAVAILABLE), "TENON_ERROR_UNAVAILABLE");
    assert_string_equal(tenon_status_name(TENON_ERROR_UNAVAILABLE - 1), "TENON_ERROR");
    assert_string_equal(tenon_status_name(INT32_MIN), "TENON_ERROR");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_one_clean_line),
        cmocka_unit_test(long_messages_are_cut_not_lost),
        cmocka_unit_test(a_message_may_quote_the_one_before),
        cmocka_unit_test(secrets_are_masked),
        cmocka_unit_test(system_errors_have_a_meaning),
        cmocka_unit_test(a_failure_moves),
        cmocka_unit_test(a_row_is_filled),
        cmocka_unit_test(without_memory_the_status_stands_alone),
        cmocka_unit_test(every_status_has_a_name),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
