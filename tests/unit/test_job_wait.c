#include "support.h"

#include <stdio.h>
#include <string.h>

#include "place.h"

/* A place whose job goes through the states that the test names, one with each step of its coroutine. */

struct moment {
    int32_t state;
    const char *stage, *message;
};

static struct {
    const struct moment *moments; /* the last one stays; state 0 ends the list */
    size_t at;
    bool removed;
    int follows; /* how often following began */
} fake;

static struct test_clock now;
static tenon_context *context;
static tenon_job *job;

static tenon_status fake_report(tenon_job *of, struct report *report, struct failure *failure)
{
    const struct moment *moment = &fake.moments[fake.at];

    (void)of;
    if (fake.removed)
        return tn_fail(failure, TENON_ERROR_NOT_FOUND, "there is no job");
    report->row.state = moment->state;
    report->row.stage = moment->stage;
    report->row.message = moment->message;
    report->row.address = moment->state == TENON_JOB_RUNNING ? "http://127.0.0.1:1/v1" : "";
    report->row.hint = moment->state == TENON_JOB_FAILED ? "read its log" : "";
    return TENON_OK;
}

static tenon_status fake_follow(struct co *co)
{
    tenon_job *of = TN_CONTAINER(co, tenon_job, co);

    if (co->line == 0) {
        co->line = 1;
        fake.follows++;
    }
    if (!tn_job_is_followed(of))
        return TENON_OK;
    if (fake.moments[fake.at + 1].state != 0) {
        fake.at++;
        tn_job_changed(of);
    }
    tn_co_go_on(co);
    return TENON_AGAIN;
}

static tenon_status fake_new(tenon_job *of, tenon_task **task)
{
    (void)task;
    return tn_fail(&of->handle.context->failure, TENON_ERROR_UNSUPPORTED, "no");
}

static tenon_status fake_stop(tenon_job *of, const tenon_stop_options *options, tenon_task **task)
{
    (void)options;
    return fake_new(of, task);
}

static const struct place place = { .name = "fake", .report = fake_report, .follow = fake_follow, .stop_new = fake_stop, .remove_new = fake_new,
                                    .outputs_new = fake_new };

static tenon_status open_job(tenon_context *owner, tenon_job **out)
{
    return tn_job_new(owner, &place, "fake:1", out);
}

static int set_up(void **state)
{
    (void)state;
    now = (struct test_clock){ .now_ms = 1000, .runs = true };
    context = test_open(&(struct test_hooks){ .clock = &now });
    memset(&fake, 0, sizeof fake);
    return open_job(context, &job) == TENON_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    tenon_job_free(job);
    tenon_context_free(context);
    return 0;
}

static const struct moment succeeds[] = {
    { TENON_JOB_SUBMITTING, "fetching", "" }, { TENON_JOB_SUBMITTING, "fetching", "" }, { TENON_JOB_STARTING, "starting", "" },
    { TENON_JOB_STARTING, "loading", "" },    { TENON_JOB_RUNNING, "running", "" },     { TENON_JOB_SUCCEEDED, "succeeded", "" },
    { 0, NULL, NULL },
};

static const struct moment fails[] = {
    { TENON_JOB_STARTING, "starting", "" }, { TENON_JOB_FAILED, "failed", "it broke" }, { 0, NULL, NULL },
};

static const struct moment is_stopped[] = {
    { TENON_JOB_RUNNING, "running", "" }, { TENON_JOB_STOPPING, "stopping", "" }, { TENON_JOB_CANCELLED, "cancelled", "the job was stopped" }, { 0, NULL, NULL },
};

static const struct moment is_stopping[] = {
    { TENON_JOB_STOPPING, "stopping", "" }, { TENON_JOB_CANCELLED, "cancelled", "the job was stopped" }, { 0, NULL, NULL },
};

static void waiting_ends(void **state)
{
    static const struct {
        const struct moment *moments;
        int32_t until, comes_to;
        tenon_status status;
        const char *told; /* the task's text, or the message */
    } rows[] = {
        { succeeds, TENON_JOB_SUBMITTING, TENON_JOB_SUBMITTING, TENON_OK, "" },
        { succeeds, TENON_JOB_STARTING, TENON_JOB_STARTING, TENON_OK, "" },
        { succeeds, TENON_JOB_RUNNING, TENON_JOB_RUNNING, TENON_OK, "http://127.0.0.1:1/v1" },
        { succeeds, TENON_JOB_SUCCEEDED, TENON_JOB_SUCCEEDED, TENON_OK, "" },
        { succeeds, TENON_JOB_CANCELLED, TENON_JOB_SUCCEEDED, TENON_OK, "" },
        { fails, TENON_JOB_RUNNING, TENON_JOB_FAILED, TENON_ERROR_FAILED, "it broke" },
        { fails, TENON_JOB_SUCCEEDED, TENON_JOB_FAILED, TENON_ERROR_FAILED, "it broke" },
        { fails, TENON_JOB_FAILED, TENON_JOB_FAILED, TENON_ERROR_FAILED, "it broke" },
        { is_stopped, TENON_JOB_SUCCEEDED, TENON_JOB_CANCELLED, TENON_ERROR_CANCELLED, "the job was stopped" },
        { is_stopped, TENON_JOB_STOPPING, TENON_JOB_STOPPING, TENON_OK, "" },
        /* One that is stopping will not run any more. */
        { is_stopping, TENON_JOB_RUNNING, TENON_JOB_CANCELLED, TENON_ERROR_CANCELLED, "the job was stopped" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        tenon_error error = { .struct_size = sizeof error };
        tenon_task *task = NULL;
        const char *text = NULL;

        fake.moments = rows[i].moments;
        fake.at = 0;
        assert_int_equal(tenon_job_wait(job, rows[i].until, &task), TENON_OK);
        assert_int_equal(tenon_task_wait(task, -1), rows[i].status);
        assert_int_equal(fake.moments[fake.at].state, rows[i].comes_to);
        tenon_task_text(task, &text);
        tenon_task_error(task, &error);
        assert_string_equal(rows[i].status == TENON_OK ? text : error.message, rows[i].told);
        if (rows[i].status == TENON_ERROR_FAILED)
            assert_string_equal(error.hint, "read its log");
        tenon_task_free(task);
    }
}

static void nonsense_is_refused(void **state)
{
    static const int32_t states[] = { 0, -1, 5, 15, 90, INT32_MAX, INT32_MIN };
    tenon_job *other = NULL;

    (void)state;
    fake.moments = succeeds;
    for (size_t i = 0; i < COUNT(states); i++)
        assert_int_equal(tenon_job_wait(job, states[i], NULL), TENON_ERROR_ARGUMENT);
    assert_int_equal(tenon_job_wait(NULL, TENON_JOB_RUNNING, NULL), TENON_ERROR_MISUSE);
    assert_int_equal(tenon_job_watch(NULL, NULL), TENON_ERROR_MISUSE);
    assert_int_equal(tenon_job_status(job, NULL), TENON_ERROR_ARGUMENT);
    assert_int_equal(tenon_job_id(job, NULL), TENON_ERROR_ARGUMENT);
    assert_int_equal(tenon_job_api_key(job, NULL), TENON_ERROR_ARGUMENT);
    assert_int_equal(tenon_job_open(context, "local:0123456789ab", NULL), TENON_ERROR_ARGUMENT);
    assert_int_equal(tenon_job_open(context, NULL, &other), TENON_ERROR_ARGUMENT);
    assert_int_equal(tenon_job_open(context, "fake:1", &other), TENON_ERROR_UNSUPPORTED);
    assert_int_equal(tenon_job_stop(job, NULL, NULL), TENON_ERROR_UNSUPPORTED);
    assert_int_equal(tenon_job_remove(job, NULL), TENON_ERROR_UNSUPPORTED);
    assert_int_equal(tenon_job_outputs(job, NULL), TENON_ERROR_UNSUPPORTED);
    assert_null(other);
}

static void a_watcher_hears_of_each_change(void **state)
{
    static const struct {
        const struct moment *moments;
        const char *heard;
    } rows[] = {
        { succeeds, "fetching starting loading running succeeded " },
        { fails, "starting failed " },
        { is_stopped, "running stopping cancelled " },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        tenon_job_report row = { .struct_size = sizeof row };
        tenon_task *task = NULL;
        char heard[200] = "";

        fake.moments = rows[i].moments;
        fake.at = 0;
        assert_int_equal(tenon_job_watch(job, &task), TENON_OK);
        while (tenon_task_next_report(task, -1, &row) == TENON_OK) {
            strcat(heard, row.stage);
            strcat(heard, " ");
        }
        assert_string_equal(heard, rows[i].heard);
        assert_int_equal(tenon_task_state(task), TENON_OK);
        tenon_task_free(task);
    }
}

/* Several may wait for one job, each goes when it likes, and the place follows only as long as somebody wants to know. */
static void followers_come_and_go(void **state)
{
    static const struct moment still[] = { { TENON_JOB_STARTING, "starting", "" }, { 0, NULL, NULL } };
    tenon_task *first = NULL, *second = NULL;

    (void)state;
    fake.moments = still;
    assert_int_equal(tenon_job_wait(job, TENON_JOB_RUNNING, &first), TENON_OK);
    assert_int_equal(tenon_job_watch(job, &second), TENON_OK);
    assert_int_equal(tenon_task_wait(first, 20), TENON_AGAIN);
    assert_true(tn_job_is_followed(job));
    assert_int_equal(fake.follows, 1);
    tenon_task_cancel(first);
    assert_int_equal(tenon_task_state(first), TENON_ERROR_CANCELLED);
    assert_true(tn_job_is_followed(job));
    tenon_task_free(second);
    assert_false(tn_job_is_followed(job));
    for (int i = 0; i < 5; i++)
        tenon_context_step(context, 0);
    assert_false(tn_co_running(&job->co));
    tenon_task_free(first);
    /* The handle may go before the task. */
    fake.moments = succeeds;
    assert_int_equal(tenon_job_wait(job, TENON_JOB_SUCCEEDED, &first), TENON_OK);
    tenon_job_free(job);
    assert_int_equal(tenon_task_wait(first, -1), TENON_OK);
    assert_int_equal(fake.follows, 2);
    tenon_task_free(first);
    assert_int_equal(open_job(context, &job), TENON_OK);
}

static void a_job_that_was_removed(void **state)
{
    tenon_job_report report = { .struct_size = sizeof report };

    (void)state;
    fake.moments = succeeds;
    fake.removed = true;
    assert_int_equal(tenon_job_wait(job, TENON_JOB_RUNNING, NULL), TENON_ERROR_NOT_FOUND);
    assert_int_equal(tenon_job_watch(job, NULL), TENON_ERROR_NOT_FOUND);
    assert_int_equal(tenon_job_status(job, &report), TENON_OK);
    assert_string_equal(report.id, "fake:1");
    assert_string_equal(report.message, "the job was removed");
    assert_int_equal(report.state, TENON_JOB_UNKNOWN);
}

/* Changes that a watcher wants to hear of have another mark, others the same. */
static void marks_tell_reports_apart(void **state)
{
    struct report report, other;

    (void)state;
    tn_report_init(&report, &context->memory);
    tn_report_init(&other, &context->memory);
    assert_true(tn_report_mark(&report) == tn_report_mark(&other));
    other.row.peak_memory_bytes = 5;
    assert_true(tn_report_mark(&report) == tn_report_mark(&other));
#define CHANGES(member, value)                                                       \
    do {                                                                             \
        other.row = report.row;                                                      \
        other.row.member = value;                                                    \
        assert_true(tn_report_mark(&report) != tn_report_mark(&other));              \
    } while (0)
    CHANGES(state, 10);
    CHANGES(cause, 1);
    CHANGES(exit_code, 0);
    CHANGES(signal, 9);
    CHANGES(process, 1);
    CHANGES(started_ms, 1);
    CHANGES(ended_ms, 1);
    CHANGES(stage, "x");
    CHANGES(address, "x");
    CHANGES(message, "x");
    /* A text that moves from one member to another is a change too. */
    report.row.stage = "x";
    CHANGES(stage, "");
    other.row.message = "x";
    assert_true(tn_report_mark(&report) != tn_report_mark(&other));
    tn_report_clear(&report);
    tn_report_clear(&other);
}

static tenon_status watch_with(struct test_memory *counts)
{
    tenon_job_report row = { .struct_size = sizeof row };
    tenon_context *own = NULL;
    tenon_job *own_job = NULL;
    tenon_task *task = NULL;
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts, .clock = &now }, &own);

    fake.moments = succeeds;
    fake.at = 0;
    if (status == TENON_OK)
        status = open_job(own, &own_job);
    if (status == TENON_OK)
        status = tenon_job_watch(own_job, &task);
    while (status == TENON_OK)
        status = tenon_task_next_report(task, -1, &row);
    if (status == TENON_DONE)
        status = tenon_job_wait(own_job, TENON_JOB_SUCCEEDED, NULL);
    if (status == TENON_OK)
        status = tenon_job_status(own_job, &row);
    tenon_task_free(task);
    tenon_job_free(own_job);
    tenon_context_free(own);
    return status;
}

static void no_memory_is_told(void **state)
{
    (void)state;
    test_every_failure(watch_with);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(waiting_ends),           EACH(nonsense_is_refused),      EACH(a_watcher_hears_of_each_change), EACH(followers_come_and_go),
        EACH(a_job_that_was_removed), EACH(marks_tell_reports_apart), EACH(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
