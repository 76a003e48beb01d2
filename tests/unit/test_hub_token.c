/* Which token goes along: the sources in their order, and what is a token at all. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "token.h"

static char *folder, *file;
static tenon_context *context;
static struct test_log kept;

static int set_up(void **state)
{
    (void)state;
    folder = test_folder_make();
    file = test_join(folder, "token");
    memset(&kept, 0, sizeof kept);
    context = test_open(&(struct test_hooks){ .log = &kept, .level = TENON_LOG_DEBUG });
    assert_int_equal(tenon_context_set(context, "hub.token_path", file), TENON_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tenon_context_free(context);
    free(file);
    test_folder_remove(folder);
    return 0;
}

static void assert_token(const char *given, const char *expected)
{
    char *token = (char *)1;

    if (tn_token_find(context, given, &token) != TENON_OK)
        fail_msg("%s", context->failure.message);
    if (expected == NULL)
        assert_null(token);
    else
        assert_string_equal(token, expected);
    tn_release(&context->memory, token);
}

static void the_order_of_sources(void **state)
{
    (void)state;
    assert_token(NULL, NULL);
    test_write(file, "hf_of_file");
    assert_token(NULL, "hf_of_file");
    assert_int_equal(tenon_context_set(context, "hub.token", "hf_set"), TENON_OK);
    assert_token(NULL, "hf_set");
    assert_token("hf_given", "hf_given");
    assert_token("", NULL);
    /* An empty setting is not set, as it is with the official client. */
    assert_int_equal(tenon_context_set(context, "hub.token", ""), TENON_OK);
    assert_token(NULL, "hf_of_file");
    assert_int_equal(tenon_context_set(context, "hub.token", "hf_set"), TENON_OK);
    /* Only what the caller gave. */
    assert_int_equal(tenon_context_set(context, "hub.no_token", "1"), TENON_OK);
    assert_token(NULL, NULL);
    assert_token("hf_given", "hf_given");
}

static void what_is_cut_off(void **state)
{
    static const struct {
        const char *text, *token;
    } rows[] = {
        { "hf_a\n", "hf_a" }, { "\r\nhf_a\r\n\r\n", "hf_a" }, { "  hf_a \t", "hf_a" }, { "hf_\na", "hf_a" }, { " \n\t", NULL }, { "", NULL },
        { "\n", NULL }, { "hf_jwt_x.y-z_0", "hf_jwt_x.y-z_0" }, { " \r hf_a", "hf_a" }, { "api_org!~", "api_org!~" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        test_write(file, rows[i].text);
        assert_token(NULL, rows[i].token);
        assert_token(rows[i].text, rows[i].token);
    }
}

static void what_no_header_can_hold(void **state)
{
    static const char *const rows[] = { "hf a", "hf\ta", "hf\x01" "a", "hf\x7f", "hf_\xc3\xa4", "\xef\xbb\xbfhf_a", "{\"hf_token\": \"x\"}\x1b" };
    char *token = (char *)1;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (tn_token_find(context, rows[i], &token) != TENON_ERROR_ARGUMENT)
            fail_msg("%s is a token", rows[i]);
        assert_null(token);
        assert_non_null(context->failure.hint);
        assert_null(strstr(context->failure.message, rows[i]));
        test_write(file, rows[i]);
        assert_int_equal(tn_token_find(context, NULL, &token), TENON_ERROR_ARGUMENT);
    }
    assert_null(strstr(kept.text, "hf"));
}

static void bytes_behind_a_nul_count_too(void **state)
{
    FILE *out = fopen(file, "w");
    char *token = NULL;

    (void)state;
    assert_int_equal(fwrite("hf_a\0b", 1, 6, out), 6);
    fclose(out);
    assert_int_equal(tn_token_find(context, NULL, &token), TENON_ERROR_ARGUMENT);
    assert_null(token);
}

/* A file that cannot be read is no token, and the log says so. */
static void files_that_cannot_be_read(void **state)
{
    char *huge = malloc(9001);

    (void)state;
    memset(huge, 'a', 9000);
    huge[9000] = '\0';
    test_write(file, huge);
    assert_token(NULL, NULL);
    assert_int_equal(kept.count, 1);
    assert_non_null(strstr(kept.text, file));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkdir(file, 0700), 0);
    assert_token(NULL, NULL);
    assert_int_equal(kept.count, 2);
    assert_int_equal(rmdir(file), 0);
    assert_int_equal(symlink("nowhere", file), 0);
    assert_token(NULL, NULL);
    assert_int_equal(kept.count, 2);
    assert_int_equal(unlink(file), 0);
    if (geteuid() != 0) {
        test_write(file, "hf_a");
        assert_int_equal(chmod(file, 0), 0);
        assert_token(NULL, NULL);
        assert_int_equal(kept.count, 3);
    }
    huge[8192] = '\0';
    assert_token(huge, huge);
    huge[8192] = 'a';
    {
        char *token = NULL;

        assert_int_equal(tn_token_find(context, huge, &token), TENON_ERROR_ARGUMENT);
        assert_null(token);
    }
    free(huge);
}

static void it_is_a_secret_from_then_on(void **state)
{
    (void)state;
    test_write(file, "hf_very_secret");
    assert_token(NULL, "hf_very_secret");
    tn_log(context, TENON_LOG_INFO, "test", "the token is hf_very_secret");
    assert_null(strstr(kept.text, "hf_very_secret"));
    assert_non_null(strstr(kept.text, "the token is *"));
}

static tenon_status find_one(struct test_memory *counts)
{
    const char *const settings[] = { NULL };
    char *token = NULL;
    tenon_context *opened = NULL;
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts, .settings = settings }, &opened);

    if (status == TENON_OK)
        status = tenon_context_set(opened, "hub.token_path", file);
    if (status == TENON_OK)
        status = tn_token_find(opened, NULL, &token);
    if (status == TENON_OK)
        assert_string_equal(token, "hf_of_file");
    else
        assert_null(token);
    if (opened != NULL)
        tn_release(&opened->memory, token);
    tenon_context_free(opened);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    test_write(file, "hf_of_file\n");
    test_every_failure(find_one);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_order_of_sources),         TEST(what_is_cut_off),           TEST(what_no_header_can_hold),
        TEST(bytes_behind_a_nul_count_too), TEST(files_that_cannot_be_read), TEST(it_is_a_secret_from_then_on),
        TEST(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
