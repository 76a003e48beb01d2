#define _GNU_SOURCE
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"

static struct memory memory;
static struct secrets secrets;
static struct settings settings;
static struct failure failure;

/* Each test begins with an empty environment and settings that were read from it. */
static int set_up(void **state)
{
    const char *form = getenv("CMOCKA_MESSAGE_OUTPUT");
    char *kept = form != NULL ? strdup(form) : NULL;

    (void)state;
    clearenv();
    /* It is not for us but for cmocka, which looks at it before each line. */
    if (kept != NULL)
        setenv("CMOCKA_MESSAGE_OUTPUT", kept, 1);
    free(kept);
    memory = tn_memory(NULL);
    secrets = (struct secrets){ .memory = &memory };
    tn_failure_init(&failure, &memory, &secrets);
    return tn_settings_open(&settings, &memory, &secrets, true) != TENON_OK;
}

static int tear_down(void **state)
{
    (void)state;
    tn_settings_clear(&settings);
    tn_secrets_clear(&secrets);
    tn_failure_clear(&failure);
    return 0;
}

/* Reads the environment anew. */
static void open_again(bool environment)
{
    tn_settings_clear(&settings);
    tn_secrets_clear(&secrets);
    assert_int_equal(tn_settings_open(&settings, &memory, &secrets, environment), TENON_OK);
}

static void set(const char *key, const char *value)
{
    if (tn_settings_set(&settings, key, value, &failure) != TENON_OK)
        fail_msg("%s", failure.message);
}

static void expect(const char *key, const char *value)
{
    struct text text;

    tn_text_init(&text, &memory, 10000);
    assert_int_equal(tn_settings_show(&settings, key, &text, &failure), TENON_OK);
    if (strcmp(tn_text(&text), value) != 0)
        fail_msg("%s is \"%s\" and not \"%s\"", key, tn_text(&text), value);
    tn_text_clear(&text);
}

static void refuse(const char *key, const char *value)
{
    if (tn_settings_set(&settings, key, value, &failure) != TENON_ERROR_ARGUMENT)
        fail_msg("%s accepts \"%s\"", key, value);
    assert_true(strlen(failure.message) > 10);
}

static void the_table_is_sound(void **state)
{
    tenon_setting row = { .struct_size = sizeof row }, other = { .struct_size = sizeof other };
    uint32_t count = 0;

    (void)state;
    for (; tenon_setting_at(count, &row) == TENON_OK; count++) {
        assert_true(strlen(row.description) > 10 && row.description[strlen(row.description) - 1] == '.');
        assert_true(row.type >= TENON_SETTING_TEXT && row.type <= TENON_SETTING_PATH);
        assert_true(row.type == TENON_SETTING_INTEGER ? row.unit[0] != '\0' && row.minimum < row.maximum : row.unit[0] == '\0');
        assert_string_equal(row.since, "0.1");
        for (uint32_t i = 0; i < count; i++) {
            tenon_setting_at(i, &other);
            assert_string_not_equal(other.key, row.key);
        }
        if (row.default_value[0] != '\0' && row.default_value[0] != '{') {
            set(row.key, row.default_value);
            expect(row.key, row.default_value);
        }
    }
    assert_int_equal(count, SETTING_COUNT);
    assert_int_equal(tenon_setting_at(count, &row), TENON_DONE);
    assert_int_equal(tenon_setting_at(UINT32_MAX, NULL), TENON_DONE);
    assert_int_equal(tenon_setting_at(0, NULL), TENON_ERROR_ARGUMENT);
}

static void numbers_have_bounds(void **state)
{
    tenon_setting row = { .struct_size = sizeof row };
    char number[32];

    (void)state;
    for (uint32_t i = 0; tenon_setting_at(i, &row) == TENON_OK; i++) {
        if (row.type != TENON_SETTING_INTEGER)
            continue;
        snprintf(number, sizeof number, "%lld", (long long)row.minimum);
        set(row.key, number);
        snprintf(number, sizeof number, "%lld", (long long)row.maximum);
        set(row.key, number);
        expect(row.key, number);
        if (row.minimum > 0)
            refuse(row.key, "0");
        refuse(row.key, "9223372036854775808");
        refuse(row.key, "-1");
        refuse(row.key, "");
        refuse(row.key, "1.5");
        refuse(row.key, "1 ");
        expect(row.key, number);
        assert_non_null(strstr(failure.message, row.key));
        set(row.key, NULL);
        expect(row.key, row.default_value);
    }
}

static void flags_have_many_words(void **state)
{
    static const char *const yes[] = { "1", "on", "YES", "True" }, *const no[] = { "0", "off", "No", "FALSE", "" };

    (void)state;
    for (size_t i = 0; i < COUNT(yes); i++) {
        set("hub.offline", yes[i]);
        assert_true(tn_setting_flag(&settings, SETTING_HUB_OFFLINE));
    }
    for (size_t i = 0; i < COUNT(no); i++) {
        set("hub.offline", no[i]);
        assert_false(tn_setting_flag(&settings, SETTING_HUB_OFFLINE));
    }
    refuse("hub.offline", "maybe");
    refuse("hub.offline", "2");
}

static void what_does_not_exist(void **state)
{
    (void)state;
    refuse("hub.nothing", "x");
    refuse("", "x");
    refuse(NULL, "x");
    assert_int_equal(tn_settings_assign(&settings, "hub.endpoint", &failure), TENON_ERROR_ARGUMENT);
    assert_int_equal(tn_settings_assign(&settings, "=x", &failure), TENON_ERROR_ARGUMENT);
    assert_int_equal(tn_settings_assign(&settings, "nothing=x", &failure), TENON_ERROR_ARGUMENT);
    assert_int_equal(tn_settings_assign(&settings, "hub.endpoint=http://x/?a=b", &failure), TENON_OK);
    expect("hub.endpoint", "http://x/?a=b");
    refuse("hub.endpoint", "http://x/\r\nEvil: 1");
    expect("hub.endpoint", "http://x/?a=b");
}

static void the_environment_is_read_when_opening(void **state)
{
    (void)state;
    setenv("HF_ENDPOINT", "https://mirror", 1);
    setenv("HF_HUB_OFFLINE", "yes", 1);
    expect("hub.endpoint", "https://huggingface.co");
    open_again(true);
    expect("hub.endpoint", "https://mirror");
    assert_true(tn_setting_flag(&settings, SETTING_HUB_OFFLINE));
    setenv("HF_ENDPOINT", "https://later", 1);
    expect("hub.endpoint", "https://mirror");
    set("hub.endpoint", "https://mine");
    expect("hub.endpoint", "https://mine");
    set("hub.endpoint", NULL);
    expect("hub.endpoint", "https://mirror");
    open_again(false);
    expect("hub.endpoint", "https://huggingface.co");
}

static void the_first_variable_that_is_not_empty_counts(void **state)
{
    (void)state;
    setenv("https_proxy", "http://second", 1);
    setenv("ALL_PROXY", "http://third", 1);
    open_again(true);
    expect("transport.https_proxy", "http://second");
    expect("transport.http_proxy", "http://third");
    setenv("HTTPS_PROXY", "", 1);
    open_again(true);
    expect("transport.https_proxy", "http://second");
    setenv("HTTPS_PROXY", "http://first", 1);
    /* A web server hands the client's header Proxy: to its programs under this name. */
    setenv("HTTP_PROXY", "http://evil", 1);
    open_again(true);
    expect("transport.https_proxy", "http://first");
    expect("transport.http_proxy", "http://third");
}

static void a_variable_that_makes_no_sense_is_none(void **state)
{
    (void)state;
    setenv("HF_ENDPOINT", "https://a\nb", 1);
    setenv("HF_HUB_OFFLINE", "perhaps", 1);
    open_again(true);
    expect("hub.endpoint", "https://huggingface.co");
    assert_false(tn_setting_flag(&settings, SETTING_HUB_OFFLINE));
}

static void secrets_are_kept_secret(void **state)
{
    char text[] = "the token is hf_abcdef";

    (void)state;
    expect("hub.token", "");
    setenv("HF_TOKEN", "  hf_abcdef\r\n", 1);
    open_again(true);
    expect("hub.token", "(set)");
    assert_string_equal(tn_setting_text(&settings, SETTING_HUB_TOKEN), "hf_abcdef");
    tn_secrets_mask(&secrets, text);
    assert_string_equal(text, "the token is *********");
    set("hub.token", "hf_ghijkl");
    assert_string_equal(tn_setting_text(&settings, SETTING_HUB_TOKEN), "hf_ghijkl");
    refuse("hub.token", "hf_a\nhf_b");
    assert_null(strstr(failure.message, "hf_a"));
    set("hub.endpoint", "https://me:pass@word@hub.example/a@b");
    expect("hub.endpoint", "https://(set)@hub.example/a@b");
    set("transport.https_proxy", "me:password@proxy:3128");
    expect("transport.https_proxy", "(set)@proxy:3128");
    set("transport.user_agent", "me@home");
    expect("transport.user_agent", "me@home");
    set("hub.token", "");
    expect("hub.token", "");
    assert_null(tn_setting_text(&settings, SETTING_HUB_TOKEN));
}

static void paths_are_made_of_other_paths(void **state)
{
    (void)state;
    expect("home", "");
    expect("hub.home", "");
    expect("hub.cache", "");
    expect("job.folder", "");
    setenv("HOME", "/home/me", 1);
    open_again(true);
    expect("hub.home", "/home/me/.cache/huggingface");
    expect("hub.cache", "/home/me/.cache/huggingface/hub");
    expect("hub.token_path", "/home/me/.cache/huggingface/token");
    expect("job.folder", "/home/me/.local/state/tenon/jobs");
    set("hub.home", "~/elsewhere");
    expect("hub.cache", "/home/me/elsewhere/hub");
    set("hub.cache", "~");
    expect("hub.cache", "/home/me");
    set("hub.cache", "~other/x");
    expect("hub.cache", "~other/x");
    set("hub.cache", "{home}/x");
    expect("hub.cache", "{home}/x");
    setenv("XDG_CACHE_HOME", "/cache", 1);
    setenv("XDG_STATE_HOME", "/state", 1);
    open_again(true);
    expect("hub.home", "/cache/huggingface");
    expect("job.folder", "/state/tenon/jobs");
    setenv("HF_HOME", "/hf", 1);
    open_again(true);
    expect("hub.cache", "/hf/hub");
    setenv("HF_HUB_CACHE", "/hub", 1);
    open_again(true);
    expect("hub.cache", "/hub");
    expect("hub.token_path", "/hf/token");
}

static void a_home_that_names_itself(void **state)
{
    (void)state;
    set("home", "~");
    expect("home", "~");
    expect("hub.cache", "~/.cache/huggingface/hub");
    set("home", "~/x");
    expect("home", "~/x");
    set("home", "");
    set("hub.cache", "~/x");
    expect("hub.cache", "");
}

static tenon_status use_settings(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    struct secrets own = { .memory = &failing };
    struct settings some;
    struct failure ignored;
    struct text text;
    tenon_status status = tn_settings_open(&some, &failing, &own, true);

    tn_failure_init(&ignored, &failing, &own);
    tn_text_init(&text, &failing, 1000);
    if (status == TENON_OK)
        status = tn_settings_set(&some, "hub.token", "another token", &ignored);
    if (status == TENON_OK)
        status = tn_settings_assign(&some, "hub.cache=/somewhere", &ignored);
    if (status == TENON_OK)
        status = tn_settings_set(&some, "hub.cache", NULL, &ignored);
    if (status == TENON_OK)
        status = tn_settings_show(&some, "hub.cache", &text, &ignored);
    if (status == TENON_OK)
        assert_string_equal(tn_text(&text), "/cache/huggingface/hub");
    tn_text_clear(&text);
    tn_settings_clear(&some);
    tn_secrets_clear(&own);
    tn_failure_clear(&ignored);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    setenv("HF_TOKEN", "hf_abcdef", 1);
    setenv("HOME", "/home/me", 1);
    setenv("XDG_CACHE_HOME", "/cache", 1);
    setenv("HF_HUB_OFFLINE", "1", 1);
    test_every_failure(use_settings);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_table_is_sound),
        TEST(numbers_have_bounds),
        TEST(flags_have_many_words),
        TEST(what_does_not_exist),
        TEST(the_environment_is_read_when_opening),
        TEST(the_first_variable_that_is_not_empty_counts),
        TEST(a_variable_that_makes_no_sense_is_none),
        TEST(secrets_are_kept_secret),
        TEST(paths_are_made_of_other_paths),
        TEST(a_home_that_names_itself),
        TEST(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
