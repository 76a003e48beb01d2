#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "local_job.h"

static struct memory memory;
static struct failure failure;
static char *jobs, *folder;
static tenon_context *context;

static tenon_status open_context(struct test_memory *counts, tenon_context **out)
{
    char setting[200];
    /* Jobs that nobody watches over stay so. */
    const char *const settings[] = { setting, "job.supervisor=/nowhere/tenon-supervisor", NULL };

    snprintf(setting, sizeof setting, "job.folder=%s", jobs);
    return test_try_open(&(struct test_hooks){ .memory = counts, .settings = settings }, out);
}

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    tn_failure_init(&failure, &memory, NULL);
    jobs = test_folder_make();
    folder = test_join(jobs, "0123456789ab");
    assert_int_equal(mkdir(folder, 0700), 0);
    return open_context(NULL, &context) == TENON_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    tenon_context_free(context);
    tn_failure_clear(&failure);
    free(folder);
    test_folder_remove(jobs);
    return 0;
}

static void put(const char *name, const char *text)
{
    char *path = test_join(folder, name);

    test_write(path, text);
    free(path);
}

static void forget(const char *name)
{
    char *path = test_join(folder, name);

    unlink(path);
    free(path);
}

/* ---- words ---- */

static void words_stand_for_numbers(void **state)
{
    static const int32_t results[] = { TENON_JOB_UNKNOWN, TENON_JOB_SUCCEEDED, TENON_JOB_FAILED, TENON_JOB_CANCELLED };

    (void)state;
    for (int32_t cause = TENON_CAUSE_NONE; cause <= TENON_CAUSE_PREEMPTED; cause++) {
        assert_int_equal(tn_cause_number(tn_cause_word(cause)), cause);
        assert_true(cause == TENON_CAUSE_NONE || strcmp(tn_cause_word(cause), "none") != 0);
    }
    for (size_t i = 0; i < COUNT(results); i++)
        assert_int_equal(tn_result_number(tn_result_word(results[i])), results[i]);
    for (int32_t mode = TENON_MODE_UNKNOWN; mode <= TENON_MODE_SERVE; mode++)
        assert_int_equal(tn_mode_number(tn_mode_word(mode)), mode);
    /* What a later version may say. */
    assert_string_equal(tn_cause_word(12345), "none");
    assert_int_equal(tn_cause_number("aliens"), TENON_CAUSE_NONE);
    assert_int_equal(tn_cause_number(NULL), TENON_CAUSE_NONE);
    assert_int_equal(tn_result_number("SUCCEEDED"), TENON_JOB_UNKNOWN);
    assert_int_equal(tn_result_number(NULL), TENON_JOB_UNKNOWN);
    assert_string_equal(tn_result_word(TENON_JOB_RUNNING), "unknown");
    assert_int_equal(tn_mode_number(""), TENON_MODE_UNKNOWN);
}

/* ---- files ---- */

static void files_are_written_and_read(void **state)
{
    json_t *json = json_pack("{s:s, s:[i, n], s:f}", "text", "\xc3\xbc\n", "list", 1, "number", 0.5), *read = NULL;
    char *path = test_join(folder, "x.json");
    struct stat facts;

    (void)state;
    for (int durable = 0; durable < 2; durable++) {
        assert_int_equal(tn_job_write_file(folder, "x.json", json, durable, &failure), TENON_OK);
        assert_int_equal(tn_job_read_file(folder, "x.json", &read, &failure), TENON_OK);
        assert_true(json_equal(json, read));
        json_decref(read);
        json_object_set_new(json, "more", json_true());
    }
    /* It may hold a key. */
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_int_equal(tn_job_read_file(folder, "y.json", &read, &failure), TENON_ERROR_NOT_FOUND);
    assert_int_equal(tn_job_write_file("/nowhere", "x.json", json, false, &failure), TENON_ERROR_IO);
    free(path);
    json_decref(json);
}

static void damaged_files_are_refused(void **state)
{
    static const char whole[] = "{\"phase\":\"ended\",\"list\":[1,{\"a\":\"b\"}],\"text\":\"\\u00fc\"}";
    static const char *const others[] = { "", "[]", "\"x\"", "7", "null", "{} x", "{\"a\":1,\"a\":2}", "{\"a\":\"\xff\"}" };
    char half[sizeof whole];
    json_t *json = NULL;

    (void)state;
    for (size_t length = 0; length < strlen(whole); length++) {
        memcpy(half, whole, length);
        half[length] = '\0';
        put("x.json", half);
        assert_int_equal(tn_job_read_file(folder, "x.json", &json, &failure), TENON_ERROR_PROTOCOL);
        assert_non_null(strstr(failure.message, "x.json"));
        assert_null(json);
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        put("x.json", others[i]);
        assert_int_equal(tn_job_read_file(folder, "x.json", &json, &failure), TENON_ERROR_PROTOCOL);
        assert_null(json);
    }
}

static void a_file_is_bounded(void **state)
{
    char *much = malloc(LOCAL_FILE_LIMIT + 2);
    json_t *json = NULL;

    (void)state;
    memset(much, ' ', LOCAL_FILE_LIMIT + 1);
    memcpy(much, "{}", 2);
    much[LOCAL_FILE_LIMIT] = '\0';
    put("x.json", much);
    assert_int_equal(tn_job_read_file(folder, "x.json", &json, &failure), TENON_OK);
    json_decref(json);
    json = NULL;
    much[LOCAL_FILE_LIMIT] = ' ';
    much[LOCAL_FILE_LIMIT + 1] = '\0';
    put("x.json", much);
    assert_int_not_equal(tn_job_read_file(folder, "x.json", &json, &failure), TENON_OK);
    assert_null(json);
    free(much);
}

/* ---- states ---- */

static void a_state_says_what_the_job_says(void **state)
{
    json_t *job = json_pack("{s:s, s:s, s:n, s:[s], s:i, s:s, s:s}", "id", "local:0123456789ab", "mode", "train", "model", "labels", "a=b",
                            "submitted_ms", 5, "key", "secret", "phase", "made up");
    json_t *made = tn_local_state_new(job);
    char *text;

    (void)state;
    assert_true(tn_local_state_end(made, TENON_JOB_FAILED, TENON_CAUSE_USER_CODE, "it broke", NULL));
    text = tn_json_write(&memory, made);
    assert_string_equal(text, "{\"format\":1,\"id\":\"local:0123456789ab\",\"mode\":\"train\",\"labels\":[\"a=b\"],\"submitted_ms\":5,\"phase\":\"ended\","
                              "\"result\":\"failed\",\"cause\":\"user code\",\"message\":\"it broke\"}");
    tn_release(&memory, text);
    json_decref(made);
    json_decref(job);
    made = tn_local_state_new(NULL);
    assert_int_equal(json_object_size(made), 1);
    json_decref(made);
}

static void processes_are_noted(void **state)
{
    static const struct {
        const char *json;
        int32_t id;
        int64_t start;
    } rows[] = {
        { "{\"p\": {\"id\": 7, \"start\": 12}}", 7, 12 },
        { "{\"p\": {\"id\": 2147483647, \"start\": 9223372036854775807}}", INT32_MAX, INT64_MAX },
        { "{\"p\": {\"id\": 7}}", 7, 0 },
        { "{\"p\": {\"id\": 0, \"start\": 5}}", 0, 0 },
        { "{\"p\": {\"id\": -1, \"start\": 5}}", 0, 0 },
        { "{\"p\": {\"id\": 2147483648, \"start\": 5}}", 0, 0 },
        { "{\"p\": {\"id\": 4294967297, \"start\": 5}}", 0, 0 },
        { "{\"p\": {\"id\": 1e300, \"start\": 5}}", 0, 0 },
        { "{\"p\": {\"id\": 1.5, \"start\": 5}}", 0, 0 },
        { "{\"p\": {\"id\": \"7\", \"start\": 5}}", 0, 0 },
        { "{\"p\": {\"id\": 7, \"start\": \"5\"}}", 7, 0 },
        { "{\"p\": [7, 5]}", 0, 0 },
        { "{\"p\": 7}", 0, 0 },
        { "{\"p\": null}", 0, 0 },
        { "{}", 0, 0 },
    };
    const struct process given = { 17, INT64_C(1) << 40 };
    json_t *json = json_object();
    struct process process;

    (void)state;
    assert_true(tn_local_set_process(json, "p", &given));
    process = tn_local_process(json, "p");
    assert_int_equal(process.id, given.id);
    assert_int_equal(process.start, given.start);
    json_decref(json);
    for (size_t i = 0; i < COUNT(rows); i++) {
        json = json_loads(rows[i].json, 0, NULL);
        process = tn_local_process(json, "p");
        assert_int_equal(process.id, rows[i].id);
        assert_int_equal(process.start, rows[i].start);
        json_decref(json);
    }
}

/* ---- what a folder says ---- */

struct seen {
    const char *file; /* state.json */
    bool ready;
    int32_t state, cause, exit_code;
    const char *stage, *message;
};

static void a_state_is_reported(void **state)
{
    static const struct seen rows[] = {
        { "{\"phase\":\"starting\"}", false, TENON_JOB_STARTING, 0, -1, "starting", "" },
        { "{\"phase\":\"launching\"}", false, TENON_JOB_STARTING, 0, -1, "starting", "" },
        { "{\"phase\":\"running\"}", false, TENON_JOB_RUNNING, 0, -1, "running", "" },
        { "{\"phase\":\"running\",\"mode\":\"train\",\"port\":80}", false, TENON_JOB_RUNNING, 0, -1, "running", "" },
        { "{\"phase\":\"running\",\"mode\":\"serve\",\"port\":80}", false, TENON_JOB_STARTING, 0, -1, "loading", "" },
        { "{\"phase\":\"running\",\"mode\":\"serve\",\"port\":80}", true, TENON_JOB_RUNNING, 0, -1, "running", "" },
        { "{\"phase\":\"running\",\"mode\":\"serve\",\"port\":0}", false, TENON_JOB_RUNNING, 0, -1, "running", "" },
        { "{\"phase\":\"stopping\",\"message\":\"no\"}", false, TENON_JOB_STOPPING, 0, -1, "stopping", "" },
        { "{\"phase\":\"ended\",\"result\":\"succeeded\",\"exit_code\":0}", false, TENON_JOB_SUCCEEDED, 0, 0, "succeeded", "" },
        { "{\"phase\":\"ended\",\"result\":\"failed\",\"cause\":\"memory\",\"message\":\"m\",\"exit_code\":3}", false, TENON_JOB_FAILED,
          TENON_CAUSE_MEMORY, 3, "failed", "m" },
        { "{\"phase\":\"ended\",\"result\":\"cancelled\",\"cause\":\"none\"}", true, TENON_JOB_CANCELLED, 0, -1, "cancelled", "" },
        /* Hostile or of a later version: whatever it was, a job that has ended is not waited for. */
        { "{\"phase\":\"ended\"}", false, TENON_JOB_FAILED, TENON_CAUSE_LOST, -1, "failed", "the job has ended, and it is not known how" },
        { "{\"phase\":\"ended\",\"result\":\"promoted\",\"cause\":\"fame\"}", false, TENON_JOB_FAILED, TENON_CAUSE_LOST, -1, "failed",
          "the job has ended, and it is not known how" },
        { "{\"phase\":\"ended\",\"result\":7,\"cause\":[],\"message\":{},\"exit_code\":\"x\",\"mode\":1}", false, TENON_JOB_FAILED, TENON_CAUSE_LOST,
          -1, "failed", "the job has ended, and it is not known how" },
        { "{\"phase\":\"ended\",\"result\":\"failed\",\"exit_code\":99999999999,\"signal\":-99999999999,\"retry_helps\":1e300}", false,
          TENON_JOB_FAILED, 0, -1, "failed", "" },
        { "{}", false, TENON_JOB_STARTING, 0, -1, "starting", "" },
        { "{\"phase\":7,\"id\":[],\"labels\":\"x\",\"submitted_ms\":\"y\",\"process\":\"z\"}", false, TENON_JOB_STARTING, 0, -1, "starting", "" },
        { "{\"phase\":\"dancing\"}", false, TENON_JOB_STARTING, 0, -1, "starting", "" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct report report;

        put("state.json", rows[i].file);
        forget("ready.json");
        if (rows[i].ready)
            put("ready.json", "{}");
        tn_report_init(&report, &memory);
        assert_int_equal(tn_local_look(context, folder, false, &report, &failure), TENON_OK);
        if (report.row.state != rows[i].state || report.row.cause != rows[i].cause || report.row.exit_code != rows[i].exit_code)
            fail_msg("%s: %d %d %d", rows[i].file, (int)report.row.state, (int)report.row.cause, (int)report.row.exit_code);
        assert_string_equal(report.row.stage, rows[i].stage);
        assert_string_equal(report.row.message, rows[i].message);
        tn_report_clear(&report);
    }
}

/* Every text is there whatever byte of the file was changed, and none is read beyond its end. */
static void any_byte_may_be_wrong(void **state)
{
    static const char whole[] = "{\"id\":\"local:x\",\"mode\":\"serve\",\"phase\":\"ended\",\"result\":\"failed\",\"exit_code\":1,\"process\":{\"id\":7,\"start\":9}}";
    static const char bytes[] = { '\0', '"', '9', (char)0xff };
    char *path = test_join(folder, "state.json");
    char copy[sizeof whole];

    (void)state;
    for (size_t at = 0; at < strlen(whole); at++)
        for (size_t i = 0; i < COUNT(bytes); i++) {
            struct report report;
            FILE *file = fopen(path, "w");
            tenon_status status;

            memcpy(copy, whole, sizeof whole);
            copy[at] = bytes[i];
            fwrite(copy, 1, strlen(whole), file);
            fclose(file);
            tn_report_init(&report, &memory);
            status = tn_local_look(context, folder, false, &report, &failure);
            assert_true(status == TENON_OK || status == TENON_ERROR_PROTOCOL);
            assert_true(strlen(report.row.id) + strlen(report.row.stage) + strlen(report.row.message) + strlen(report.row.json) < 1000);
            tn_report_clear(&report);
        }
    free(path);
}

static void a_job_that_nobody_submits_is_lost(void **state)
{
    struct lock lock = { -1 };
    char *path = test_join(folder, "lock");
    struct report report;

    (void)state;
    tn_report_init(&report, &memory);
    assert_int_equal(tn_local_look(context, folder, true, &report, &failure), TENON_ERROR_NOT_FOUND);
    assert_string_equal(failure.message, "there is no job local:0123456789ab");
    put("job.json", "{\"id\":\"local:0123456789ab\",\"mode\":\"train\",\"name\":\"n\"}");
    /* While somebody holds its lock it is under way. */
    assert_int_equal(tn_lock_try(&lock, path, &failure), TENON_OK);
    assert_int_equal(tn_local_look(context, folder, true, &report, &failure), TENON_OK);
    assert_int_equal(report.row.state, TENON_JOB_SUBMITTING);
    assert_string_equal(report.row.name, "n");
    tn_report_clear(&report);
    tn_lock_release(&lock);
    assert_int_equal(tn_local_look(context, folder, false, &report, &failure), TENON_OK);
    assert_int_equal(report.row.state, TENON_JOB_SUBMITTING);
    tn_report_clear(&report);
    assert_int_equal(tn_local_look(context, folder, true, &report, &failure), TENON_OK);
    assert_int_equal(report.row.state, TENON_JOB_FAILED);
    assert_int_equal(report.row.cause, TENON_CAUSE_LOST);
    tn_report_clear(&report);
    /* One that can run is not lost, even where no supervisor can be started now. */
    put("spec.json", "{}");
    assert_int_equal(tn_local_look(context, folder, true, &report, &failure), TENON_OK);
    assert_int_equal(report.row.state, TENON_JOB_SUBMITTING);
    tn_report_clear(&report);
    free(path);
}

static tenon_status look_with(struct test_memory *counts)
{
    tenon_context *own = NULL;
    struct report report;
    tenon_status status = open_context(counts, &own);

    if (status != TENON_OK)
        return status;
    tn_report_init(&report, &own->memory);
    status = tn_local_look(own, folder, true, &report, &own->failure);
    assert_int_equal(own->failure.status, status);
    if (status == TENON_OK)
        assert_int_equal(report.row.state, TENON_JOB_SUBMITTING);
    tn_report_clear(&report);
    tenon_context_free(own);
    return status;
}

static tenon_status write_with(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    json_t *json = json_pack("{s:i}", "a", 1), *read = NULL;
    struct failure why;
    tenon_status status;

    tn_failure_init(&why, &failing, NULL);
    status = tn_job_write_file(folder, "x.json", json, false, &why);
    if (status == TENON_OK)
        status = tn_job_read_file(folder, "x.json", &read, &why);
    json_decref(read);
    json_decref(json);
    tn_failure_clear(&why);
    return status;
}

static void no_memory_is_told(void **state)
{
    (void)state;
    put("job.json", "{\"id\":\"local:0123456789ab\"}");
    put("spec.json", "{}");
    test_every_failure(look_with);
    test_every_failure(write_with);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(words_stand_for_numbers),
        EACH(files_are_written_and_read),
        EACH(damaged_files_are_refused),
        EACH(a_file_is_bounded),
        EACH(a_state_says_what_the_job_says),
        EACH(processes_are_noted),
        EACH(a_state_is_reported),
        EACH(any_byte_may_be_wrong),
        EACH(a_job_that_nobody_submits_is_lost),
        EACH(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
