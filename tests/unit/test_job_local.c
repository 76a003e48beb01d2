#define _GNU_SOURCE
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "local_job.h"

/* Jobs of this machine as their folders say; nothing is ever started here. */

static char *jobs;
static struct test_clock now;
static tenon_context *context;
static struct memory memory;

static tenon_status open_context(struct test_memory *counts, tenon_context **out)
{
    char setting[200], root[200];
    const char *const settings[] = { setting, root, "job.supervisor=/nowhere/tenon-supervisor", "job.path=/nowhere", NULL };

    snprintf(setting, sizeof setting, "job.folder=%s/jobs", jobs);
    snprintf(root, sizeof root, "accelerator.root=%s", jobs);
    return test_try_open(&(struct test_hooks){ .memory = counts, .clock = &now, .settings = settings }, out);
}

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    now = (struct test_clock){ .now_ms = 1000, .wall_ms = 1700000000000, .chance = 0x11, .runs = true };
    jobs = test_folder_make();
    return open_context(NULL, &context) == TENON_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    tenon_context_free(context);
    test_folder_remove(jobs);
    return 0;
}

static void put(const char *name, const char *text)
{
    char *path = test_join(jobs, name);
    struct failure failure;

    tn_failure_init(&failure, &memory, NULL);
    assert_int_equal(tn_folder_make_above(path, &failure), TENON_OK);
    test_write(path, text);
    tn_failure_clear(&failure);
    free(path);
}

static bool exists(const char *name)
{
    char *path = test_join(jobs, name);
    bool there = tn_file_exists(path);

    free(path);
    return there;
}

static void set_age(const char *name, int seconds)
{
    const struct timespec times[2] = { { 1700000000 - seconds, 0 }, { 1700000000 - seconds, 0 } };
    char *path = test_join(jobs, name);

    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    free(path);
}

/* ---- listing ---- */

/* The last digits of the jobs that are listed. */
static tenon_status list(tenon_context *owner, const tenon_job_list_options *options, char *found, size_t size)
{
    tenon_job_report row = { .struct_size = sizeof row };
    tenon_task *task = NULL;
    tenon_status status = tenon_job_list(owner, options, &task);
    size_t count = 0;

    while (status == TENON_OK && (status = tenon_task_next_report(task, -1, &row)) == TENON_OK) {
        assert_true(count + 1 < size && strlen(row.id) == strlen("local:0123456789ab"));
        found[count++] = row.id[strlen(row.id) - 1];
    }
    found[count] = '\0';
    tenon_task_free(task);
    return status;
}

static void make_jobs(void)
{
    put("jobs/00000000000a/job.json", "{}");
    put("jobs/00000000000a/state.json", "{\"id\":\"local:00000000000a\",\"mode\":\"train\",\"phase\":\"ended\",\"result\":\"succeeded\",\"labels\":[\"x=1\"]}");
    put("jobs/00000000000b/job.json", "{}");
    put("jobs/00000000000b/state.json", "{\"id\":\"local:00000000000b\",\"mode\":\"serve\",\"phase\":\"running\",\"labels\":[\"x=1\",\"y=2\",7]}");
    put("jobs/00000000000c/job.json", "{\"id\":\"local:00000000000c\",\"mode\":\"train\",\"labels\":\"x=1\"}");
    put("jobs/00000000000c/spec.json", "{}");
    put("jobs/00000000000d/job.json", "{\"id\":\"local:00000000000d\",\"mode\":\"serve\"}");
    set_age("jobs/00000000000a/job.json", 10);
    set_age("jobs/00000000000b/job.json", 30);
    set_age("jobs/00000000000c/job.json", 20);
    set_age("jobs/00000000000d/job.json", 40);
    /* Damaged, not to be read, half made, and what is no job. */
    put("jobs/00000000000e/job.json", "{}");
    put("jobs/00000000000e/state.json", "{\"phase\":");
    put("jobs/00000000000f/job.json", "{}");
    put("jobs/00000000000f/state.json/x", "");
    put("jobs/000000000001/lock", "");
    put("jobs/000000000002", "a file");
    put("jobs/.00000000000a/job.json", "{}");
    put("jobs/00000000000A/job.json", "{}");
    put("jobs/0000000000ab0/job.json", "{}");
    put("jobs/keys/x", "00000000000a");
}

static void jobs_are_listed(void **state)
{
    static const struct {
        tenon_job_list_options options;
        const char *found;
    } rows[] = {
        { { .struct_size = 0 }, "acbd" },
        { { .mode = TENON_MODE_TRAIN }, "ac" },
        { { .mode = TENON_MODE_SERVE }, "bd" },
        { { .alive = 1 }, "cb" }, /* d was never submitted, and nobody is there to do it */
        { { .alive = 1, .mode = TENON_MODE_SERVE }, "b" },
        { { .label = "x=1" }, "ab" },
        { { .label = "y=2", .place = "local" }, "b" },
        { { .label = "x" }, "" },
        { { .label = "" }, "" },
    };
    const tenon_job_list_options elsewhere = { .struct_size = sizeof elsewhere, .place = "vertex" };
    char found[20];

    (void)state;
    assert_int_equal(list(context, NULL, found, sizeof found), TENON_DONE);
    assert_string_equal(found, "");
    make_jobs();
    for (size_t i = 0; i < COUNT(rows); i++) {
        tenon_job_list_options options = rows[i].options;

        options.struct_size = sizeof options;
        assert_int_equal(list(context, &options, found, sizeof found), TENON_DONE);
        assert_string_equal(found, rows[i].found);
    }
    assert_int_equal(list(context, &elsewhere, found, sizeof found), TENON_ERROR_UNSUPPORTED);
}

static tenon_status list_with(struct test_memory *counts)
{
    tenon_context *own = NULL;
    char found[20];
    tenon_status status = open_context(counts, &own);

    if (status == TENON_OK)
        status = list(own, NULL, found, sizeof found);
    if (status == TENON_DONE)
        assert_string_equal(found, "acbd");
    tenon_context_free(own);
    return status == TENON_DONE ? TENON_OK : status;
}

/* Half a list would be a lie. */
static void a_list_without_memory_fails(void **state)
{
    (void)state;
    make_jobs();
    test_every_failure(list_with);
}

/* ---- what a job keeps ---- */

static tenon_status outputs(tenon_context *owner, struct text *out)
{
    tenon_file row = { .struct_size = sizeof row };
    tenon_job *job = NULL;
    tenon_task *task = NULL;
    tenon_status status = tenon_job_open(owner, "local:00000000000a", &job);

    if (status == TENON_OK)
        status = tenon_job_outputs(job, &task);
    while (status == TENON_OK && (status = tenon_task_next_file(task, -1, &row)) == TENON_OK) {
        assert_true(tn_ends_with(row.local_path, row.path) && tn_starts_with(row.local_path, jobs));
        tn_text_format(out, "%s %d; ", row.path, (int)row.bytes);
    }
    tenon_task_free(task);
    tenon_job_free(job);
    return status;
}

static void put_ended_job(void)
{
    char state[300];

    snprintf(state, sizeof state, "{\"id\":\"local:00000000000a\",\"phase\":\"ended\",\"result\":\"succeeded\",\"output\":\"%s/out\"}", jobs);
    put("jobs/00000000000a/job.json", "{}");
    put("jobs/00000000000a/state.json", state);
}

static void outputs_are_listed(void **state)
{
    static const struct {
        const char *target, *name;
    } links[] = { { "b/c", "out/link" }, { "b", "out/folder" }, { "nowhere", "out/dangling" }, { "..", "out/b/up" }, { "self", "out/self" } };
    char *fifo = test_join(jobs, "out/fifo");
    struct text out;

    (void)state;
    tn_text_init(&out, &memory, 10000);
    put_ended_job();
    assert_int_equal(outputs(context, &out), TENON_DONE);
    assert_string_equal(tn_text(&out), "");
    put("out/b/c", "123");
    put("out/a", "");
    put("out/b.x", "1");
    put("out/b/d/e/\xff", "12");
    put("out/.hidden", "1");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    for (size_t i = 0; i < COUNT(links); i++) {
        char *path = test_join(jobs, links[i].name);

        assert_int_equal(symlink(links[i].target, path), 0);
        free(path);
    }
    assert_int_equal(outputs(context, &out), TENON_DONE);
    assert_string_equal(tn_text(&out), ".hidden 1; a 0; b.x 1; b/c 3; b/d/e/\xff 2; link 3; ");
    tn_text_clear(&out);
    free(fifo);
}

static tenon_status outputs_with(struct test_memory *counts)
{
    tenon_context *own = NULL;
    struct text out;
    tenon_status status = open_context(counts, &own);

    tn_text_init(&out, &memory, 10000);
    if (status == TENON_OK)
        status = outputs(own, &out);
    if (status == TENON_DONE)
        assert_string_equal(tn_text(&out), "a 1; b/c 3; ");
    tn_text_clear(&out);
    tenon_context_free(own);
    return status == TENON_DONE ? TENON_OK : status;
}

static void outputs_without_memory_fail(void **state)
{
    (void)state;
    put_ended_job();
    put("out/a", "1");
    put("out/b/c", "123");
    test_every_failure(outputs_with);
}

/* ---- claiming ---- */

static struct order order_of(tenon_context *owner, const char *key, char mark)
{
    struct order order = { .context = owner, .mode = TENON_MODE_TRAIN, .name = "n", .key = key, .accelerator = "local:cpu" };

    memset(order.fingerprint, mark, sizeof order.fingerprint - 1);
    return order;
}

/* The job's folder that was claimed, "*" behind it where it is for us to submit. */
static tenon_status claim(const char *key, char mark, char *name)
{
    struct order order = order_of(context, key, mark);
    struct lock lock = { -1 };
    tenon_status status = tn_local_claim(&order, name, &lock);

    if (status == TENON_OK && lock.fd >= 0)
        strcat(name, "*");
    tn_lock_release(&lock);
    now.chance++;
    return status;
}

static void a_job_is_claimed(void **state)
{
    char name[20], *folder, *output;
    struct stat facts;
    json_t *job = NULL;
    struct failure failure;

    (void)state;
    tn_failure_init(&failure, &memory, NULL);
    assert_int_equal(claim(NULL, 'a', name), TENON_OK);
    assert_string_equal(name, "111111111111*");
    folder = test_join(jobs, "jobs/111111111111");
    assert_int_equal(tn_job_read_file(folder, "job.json", &job, &failure), TENON_OK);
    assert_string_equal(tn_json_text(job, "id"), "local:111111111111");
    assert_string_equal(tn_json_text(job, "mode"), "train");
    assert_int_equal(tn_json_integer(job, "submitted_ms", 0), 1700000000000);
    output = test_join(jobs, "jobs/111111111111/output");
    assert_string_equal(tn_json_text(job, "output"), output);
    free(output);
    assert_null(tn_json_text(job, "key"));
    json_decref(job);
    assert_int_equal(stat(folder, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    free(folder);
    assert_int_equal(claim(NULL, 'a', name), TENON_OK);
    assert_string_equal(name, "222222222222*");
}

static void a_key_has_one_job(void **state)
{
    char name[20];
    char *folder = test_join(jobs, "jobs/111111111111");
    struct failure failure;

    (void)state;
    tn_failure_init(&failure, &memory, NULL);
    assert_int_equal(claim("key", 'a', name), TENON_OK);
    assert_string_equal(name, "111111111111*");
    /* Its submitter is gone, so whoever comes next goes on. */
    assert_int_equal(claim("key", 'a', name), TENON_OK);
    assert_string_equal(name, "111111111111*");
    assert_int_equal(claim("key", 'b', name), TENON_ERROR_CONFLICT);
    assert_string_equal(context->failure.message, "the job local:111111111111 has this key and was submitted with other options");
    assert_int_equal(claim("other key", 'b', name), TENON_OK);
    assert_string_equal(name, "444444444444*");
    /* Submitted: nobody else's any more. */
    put("jobs/111111111111/spec.json", "{}");
    assert_int_equal(claim("key", 'a', name), TENON_OK);
    assert_string_equal(name, "111111111111");
    /* Taken away by hand: the key is free again. */
    assert_int_equal(tn_folder_remove(folder, &failure), TENON_OK);
    assert_int_equal(claim("key", 'c', name), TENON_OK);
    assert_string_equal(name, "666666666666*");
    assert_int_equal(claim("key", 'c', name), TENON_OK);
    assert_string_equal(name, "666666666666*");
    free(folder);
}

static void a_key_that_is_damaged_is_told(void **state)
{
    static const char *const contents[] = { "", "12345678901", "../../../etc", "0123456789abc" };
    char name[20], path[200];

    (void)state;
    for (size_t i = 0; i < COUNT(contents); i++) {
        /* The SHA-256 of "key". */
        snprintf(path, sizeof path, "jobs/keys/%s", "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683");
        put(path, contents[i]);
        assert_int_not_equal(claim("key", 'a', name), TENON_OK);
        assert_non_null(strstr(context->failure.message, "2c70e12b7a0646f9"));
    }
}

static tenon_status claim_with(struct test_memory *counts)
{
    char *folder = test_join(jobs, "jobs");
    tenon_context *own = NULL;
    struct failure failure;
    struct lock lock = { -1 };
    char name[LOCAL_HEX + 1];
    tenon_status status;

    tn_failure_init(&failure, &memory, NULL);
    tn_folder_remove(folder, &failure);
    tn_failure_clear(&failure);
    free(folder);
    status = open_context(counts, &own);
    if (status == TENON_OK) {
        struct order order = order_of(own, "key", 'a');

        status = tn_local_claim(&order, name, &lock);
        assert_true(status != TENON_OK || lock.fd >= 0);
        tn_lock_release(&lock);
    }
    tenon_context_free(own);
    /* Nothing that is half made is left. */
    if (status != TENON_OK)
        assert_false(exists("jobs/.111111111111") || exists("jobs/111111111111"));
    return status;
}

static void claiming_without_memory_fails(void **state)
{
    (void)state;
    test_every_failure(claim_with);
}

/* ---- stopping and removing ---- */

static void a_wish_to_stop_is_noted(void **state)
{
    static const struct {
        const char *reason, *detail;
        int64_t grace_ms;
        const char *text;
    } rows[] = {
        { "stop", NULL, 0, "{\"reason\":\"stop\",\"grace_ms\":0}" },
        { "health", "HTTP 503", -1, "{\"reason\":\"health\",\"detail\":\"HTTP 503\"}" },
    };
    char *folder = test_join(jobs, "jobs/00000000000a");
    struct failure failure;

    (void)state;
    tn_failure_init(&failure, &memory, NULL);
    put_ended_job();
    for (size_t i = 0; i < COUNT(rows); i++) {
        json_t *stop = NULL;
        char *text;

        assert_int_equal(tn_local_ask_to_stop(folder, rows[i].reason, rows[i].detail, rows[i].grace_ms, &failure), TENON_OK);
        assert_int_equal(tn_job_read_file(folder, "stop.json", &stop, &failure), TENON_OK);
        text = tn_json_write(&memory, stop);
        assert_string_equal(text, rows[i].text);
        tn_release(&memory, text);
        json_decref(stop);
    }
    free(folder);
}

static void one_that_has_ended_is_not_stopped(void **state)
{
    tenon_job *job = NULL;

    (void)state;
    put_ended_job();
    assert_int_equal(tenon_job_open(context, "local:00000000000a", &job), TENON_OK);
    assert_int_equal(tenon_job_stop(job, NULL, NULL), TENON_OK);
    assert_false(exists("jobs/00000000000a/stop.json"));
    tenon_job_free(job);
}

#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void a_job_is_removed(void **state)
{
    static const struct {
        const char *job, *holder;
        bool key_stays;
    } rows[] = {
        { "{}", "00000000000a", true },
        { "{\"key\":\"" KEY "\"}", "00000000000a", false },
        { "{\"key\":\"" KEY "\"}", "00000000000b", true }, /* the key is another's by now */
        { "{\"key\":\"../" KEY "\"}", "00000000000a", true },
        { "{\"key\":7}", "00000000000a", true },
    };
    tenon_job_report report = { .struct_size = sizeof report };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        tenon_job *job = NULL, *again = NULL;

        put_ended_job();
        put("jobs/00000000000a/job.json", rows[i].job);
        put("jobs/00000000000a/output/file", "x");
        put("jobs/keys/" KEY, rows[i].holder);
        assert_int_equal(tenon_job_open(context, "local:00000000000a", &job), TENON_OK);
        assert_int_equal(tenon_job_remove(job, NULL), TENON_OK);
        assert_false(exists("jobs/00000000000a"));
        assert_false(exists("jobs/.00000000000a"));
        assert_int_equal(exists("jobs/keys/" KEY), rows[i].key_stays);
        assert_int_equal(tenon_job_status(job, &report), TENON_OK);
        assert_string_equal(report.message, "the job was removed");
        assert_int_equal(tenon_job_remove(job, NULL), TENON_ERROR_NOT_FOUND);
        assert_int_equal(tenon_job_open(context, "local:00000000000a", &again), TENON_ERROR_NOT_FOUND);
        tenon_job_free(job);
    }
}

static void one_that_runs_is_not_removed(void **state)
{
    tenon_job *job = NULL;

    (void)state;
    put("jobs/00000000000a/state.json", "{\"phase\":\"running\"}");
    assert_int_equal(tenon_job_open(context, "local:00000000000a", &job), TENON_OK);
    assert_int_equal(tenon_job_remove(job, NULL), TENON_ERROR_BUSY);
    assert_true(exists("jobs/00000000000a/state.json"));
    tenon_job_free(job);
}

static tenon_status remove_with(struct test_memory *counts)
{
    tenon_context *own = NULL;
    tenon_job *job = NULL;
    tenon_status status;

    put_ended_job();
    put("jobs/00000000000a/job.json", "{\"key\":\"" KEY "\"}");
    put("jobs/keys/" KEY, "00000000000a");
    status = open_context(counts, &own);
    if (status == TENON_OK)
        status = tenon_job_open(own, "local:00000000000a", &job);
    if (status == TENON_OK)
        status = tenon_job_remove(job, NULL);
    if (status == TENON_OK)
        assert_false(exists("jobs/00000000000a"));
    tenon_job_free(job);
    tenon_context_free(own);
    return status;
}

static void removing_without_memory_fails(void **state)
{
    (void)state;
    test_every_failure(remove_with);
}

/* ---- is all there that jobs need? ---- */

static tenon_status check(tenon_context *owner, struct text *out)
{
    static const char *const answers[] = { "?", "yes", "no" };
    tenon_check row = { .struct_size = sizeof row };
    tenon_accelerator *accelerator = NULL;
    tenon_task *task = NULL;
    tenon_status status = tenon_accelerator_open(owner, "local:cpu", &accelerator);

    if (status == TENON_OK)
        status = tenon_accelerator_check(accelerator, &task);
    while (status == TENON_OK && (status = tenon_task_next_check(task, -1, &row)) == TENON_OK) {
        int32_t answer = row.answer == TENON_CHECK_YES ? 1 : row.answer == TENON_CHECK_NO ? 2 : 0;

        tn_text_format(out, "%s: %s; ", row.name, answers[answer]);
    }
    tenon_task_free(task);
    tenon_accelerator_free(accelerator);
    return status;
}

static void what_jobs_need_is_checked(void **state)
{
    struct text out;

    (void)state;
    tn_text_init(&out, &memory, 10000);
    assert_int_equal(check(context, &out), TENON_DONE);
    assert_true(tn_starts_with(tn_text(&out), "supervisor: no; jobs folder: yes; room: "));
    assert_non_null(strstr(tn_text(&out), "limits: yes; llama-server: ?; vllm: ?; "));
    assert_null(strstr(tn_text(&out), "driver"));
    tn_text_clear(&out);
}

static tenon_status check_with(struct test_memory *counts)
{
    tenon_context *own = NULL;
    struct text out;
    tenon_status status = open_context(counts, &own);

    tn_text_init(&out, &memory, 10000);
    if (status == TENON_OK)
        status = check(own, &out);
    tn_text_clear(&out);
    tenon_context_free(own);
    return status == TENON_DONE ? TENON_OK : status;
}

static void checks_without_memory_fail(void **state)
{
    (void)state;
    test_every_failure(check_with);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(jobs_are_listed),
        EACH(a_list_without_memory_fails),
        EACH(outputs_are_listed),
        EACH(outputs_without_memory_fail),
        EACH(a_job_is_claimed),
        EACH(a_key_has_one_job),
        EACH(a_key_that_is_damaged_is_told),
        EACH(claiming_without_memory_fails),
        EACH(a_wish_to_stop_is_noted),
        EACH(one_that_has_ended_is_not_stopped),
        EACH(a_job_is_removed),
        EACH(one_that_runs_is_not_removed),
        EACH(removing_without_memory_fails),
        EACH(what_jobs_need_is_checked),
        EACH(checks_without_memory_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
