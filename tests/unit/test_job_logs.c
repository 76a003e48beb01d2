#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lines.h"
#include "place.h"

/* ---- a place whose jobs are nothing but a log in memory ---- */

static struct {
    const char *log;
    size_t size;
    size_t shown;       /* how much of it has been written yet */
    size_t grows;       /* with each look at the job's state */
    size_t most;        /* bytes of one read; 0: any */
    size_t shrinks_to;  /* at the first read; 0: it does not */
    tenon_status fails; /* what a read fails with */
    bool report_fails;
} fake;

static tenon_status fake_report(tenon_job *job, struct report *report, struct failure *failure)
{
    (void)job;
    if (fake.report_fails)
        return tn_fail(failure, TENON_ERROR_NOT_FOUND, "the job was removed");
    report->row.state = fake.shown == fake.size ? TENON_JOB_SUCCEEDED : TENON_JOB_RUNNING;
    fake.shown = fake.size - fake.shown > fake.grows ? fake.shown + fake.grows : fake.size;
    return TENON_OK;
}

/* There is news all the time, until nobody wants it. */
static tenon_status fake_follow(struct co *co)
{
    tenon_job *job = TN_CONTAINER(co, tenon_job, co);

    if (!tn_job_is_followed(job))
        return TENON_OK;
    tn_job_log_changed(job);
    tn_co_go_on(co);
    return TENON_AGAIN;
}

static tenon_status fake_read(tenon_job *job, int64_t offset, char *bytes, size_t size, size_t *got, struct failure *failure)
{
    (void)job;
    assert_true(offset >= 0);
    if (fake.shrinks_to > 0)
        fake.shown = fake.size = fake.shrinks_to;
    if (fake.most > 0 && size > fake.most)
        size = fake.most;
    *got = (size_t)offset < fake.shown ? fake.shown - (size_t)offset : 0;
    if (*got > size)
        *got = size;
    memcpy(bytes, fake.log + ((size_t)offset < fake.size ? (size_t)offset : fake.size), *got);
    return fake.fails != TENON_OK ? tn_fail(failure, fake.fails, "told to fail") : TENON_OK;
}

static tenon_status fake_size(tenon_job *job, int64_t *size, struct failure *failure)
{
    (void)job;
    (void)failure;
    *size = (int64_t)fake.shown;
    return TENON_OK;
}

static const struct place place = { .name = "fake", .report = fake_report, .follow = fake_follow, .read_log = fake_read, .log_size = fake_size };

static struct memory memory;
static struct test_clock now;
static tenon_context *context;
static tenon_job *job;

static tenon_status open_job(tenon_context *owner, tenon_job **out)
{
    return tn_job_new(owner, &place, "fake:1", out);
}

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    now = (struct test_clock){ .now_ms = 1000, .wall_ms = 1700000000000 };
    context = test_open(&(struct test_hooks){ .clock = &now });
    memset(&fake, 0, sizeof fake);
    fake.log = "";
    return open_job(context, &job) == TENON_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    tenon_job_free(job);
    tenon_context_free(context);
    return 0;
}

static void hold(const char *log, size_t size)
{
    fake.log = log;
    fake.size = fake.shown = size;
}

/* ---- what is read ---- */

/* Rows as "number:text\n", with their times where they are known; measurements as "step\n". */
static tenon_status read_rows(bool metrics, int64_t last, bool follow, struct text *out)
{
    const tenon_follow_options options = { .struct_size = sizeof options, .follow = follow, .last = last };
    tenon_log_line line = { .struct_size = sizeof line };
    tenon_metric metric = { .struct_size = sizeof metric };
    tenon_task *task = NULL;
    tenon_status status;

    tn_text_reset(out);
    assert_int_equal((metrics ? tenon_job_metrics : tenon_job_logs)(job, &options, &task), TENON_OK);
    while (!metrics && (status = tenon_task_next_log_line(task, -1, &line)) == TENON_OK) {
        tn_text_format(out, "%lld:%s", (long long)line.number, line.text);
        tn_text_add(out, line.time_ms >= 0 ? " (live)\n" : "\n");
        assert_true(line.time_ms == -1 || line.time_ms == now.wall_ms);
    }
    while (metrics && (status = tenon_task_next_metric(task, -1, &metric)) == TENON_OK)
        tn_text_format(out, "%lld\n", (long long)metric.step);
    tenon_task_free(task);
    assert_int_equal(tn_text_status(out), TENON_OK);
    return status;
}

/* What the last rows must be: the end of all rows, numbered anew. */
static void last_by_definition(const struct text *all, size_t last, bool numbered, struct text *out)
{
    const char *at = tn_text(all) + all->length;
    int number = 0;

    tn_text_reset(out);
    for (size_t i = 0; i < last && at > tn_text(all); i++)
        for (at--; at > tn_text(all) && at[-1] != '\n';)
            at--;
    for (; *at != '\0'; at += strcspn(at, "\n") + 1)
        if (numbered)
            tn_text_format(out, "%d:%.*s\n", ++number, (int)strcspn(at, "\n") - (int)strcspn(at, ":") - 1, at + strcspn(at, ":") + 1);
        else
            tn_text_format(out, "%.*s\n", (int)strcspn(at, "\n"), at);
}

static void expect_last(bool metrics, size_t most)
{
    struct text all, some, expected;

    tn_text_init(&all, &memory, 8 << 20);
    tn_text_init(&some, &memory, 8 << 20);
    tn_text_init(&expected, &memory, 8 << 20);
    assert_int_equal(read_rows(metrics, 0, false, &all), TENON_DONE);
    for (size_t last = 1; last <= most; last++) {
        assert_int_equal(read_rows(metrics, (int64_t)last, false, &some), TENON_DONE);
        last_by_definition(&all, last, !metrics, &expected);
        if (strcmp(tn_text(&some), tn_text(&expected)) != 0)
            fail_msg("the last %zu of %zu bytes: %.200s\nare not: %.200s", last, fake.size, tn_text(&some), tn_text(&expected));
    }
    tn_text_clear(&all);
    tn_text_clear(&some);
    tn_text_clear(&expected);
}

static void lines_are_given_in_order(void **state)
{
    const char log[] = "one\ntwo\r\n\nhalf\rthree\xff";
    struct text out;

    (void)state;
    hold(log, strlen(log));
    tn_text_init(&out, &memory, 1000);
    for (fake.most = 1; fake.most < sizeof log; fake.most++) {
        assert_int_equal(read_rows(false, 0, false, &out), TENON_DONE);
        assert_string_equal(tn_text(&out), "1:one\n2:two\n3:\n4:three\xef\xbf\xbd\n");
    }
    hold("", 0);
    for (int64_t last = 0; last < 3; last++) {
        assert_int_equal(read_rows(false, last, false, &out), TENON_DONE);
        assert_string_equal(tn_text(&out), "");
    }
    tn_text_clear(&out);
}

static void the_last_lines_at_every_length(void **state)
{
    static const char log[] = "one\n\ntwo\r\nthree\n\n\nfour \xc3\xbc\xff\nfive\n\n";

    (void)state;
    for (size_t size = 0; size < sizeof log; size++)
        for (fake.most = 0; fake.most < 3; fake.most++) {
            hold(log, size);
            expect_last(false, 12);
        }
}

/* Blocks are read from the end of the log backwards, so lines begin before, at and behind every edge of one. */
static void the_last_lines_across_blocks(void **state)
{
    static const size_t lengths[] = { 16382, 16383, 16384, 16385, 32767, 32768, 50000 };
    struct text log;

    (void)state;
    tn_text_init(&log, &memory, 1 << 20);
    for (size_t i = 0; i < COUNT(lengths); i++)
        for (size_t behind = 0; behind < 3; behind++) {
            tn_text_reset(&log);
            tn_text_add(&log, "first\nsecond\n");
            for (size_t n = 0; n < lengths[i]; n++)
                tn_text_add_char(&log, 'x');
            for (size_t n = 0; n < behind; n++)
                tn_text_add(&log, "\n");
            hold(tn_text(&log), log.length);
            expect_last(false, 5);
        }
    tn_text_reset(&log);
    for (int i = 0; i < 9000; i++)
        tn_text_format(&log, "line %d\n", i);
    hold(tn_text(&log), log.length);
    for (size_t cut = 0; cut < 12; cut++) {
        struct text out, all, expected;

        hold(tn_text(&log), log.length - cut);
        tn_text_init(&out, &memory, 1 << 20);
        tn_text_init(&all, &memory, 1 << 20);
        tn_text_init(&expected, &memory, 1 << 20);
        read_rows(false, 0, false, &all);
        for (size_t last = 1; last < 9500; last = 3 * last - 1 + (last == 1)) {
            assert_int_equal(read_rows(false, (int64_t)last, false, &out), TENON_DONE);
            last_by_definition(&all, last, true, &expected);
            assert_string_equal(tn_text(&out), tn_text(&expected));
        }
        tn_text_clear(&out);
        tn_text_clear(&all);
        tn_text_clear(&expected);
    }
    tn_text_clear(&log);
}

/* One that is longer than a piece may be counts as one line, wherever it begins. */
static void a_long_line_is_one_line(void **state)
{
    struct text log, out;

    (void)state;
    tn_text_init(&log, &memory, 1 << 20);
    tn_text_init(&out, &memory, 1 << 20);
    for (size_t shift = 0; shift < 5; shift++) {
        tn_text_reset(&log);
        tn_text_add(&log, "first\nsecond\n");
        while (log.length < strlen("first\nsecond\n") + 5 * 16384 - 3 + shift)
            tn_text_add_char(&log, 'x');
        tn_text_add(&log, "\n");
        hold(tn_text(&log), log.length);
        assert_int_equal(read_rows(false, 1, false, &out), TENON_DONE);
        assert_true(tn_starts_with(tn_text(&out), "1:xxx"));
        assert_int_equal(read_rows(false, 2, false, &out), TENON_DONE);
        assert_true(tn_starts_with(tn_text(&out), "1:second\n2:xxx"));
        tn_text_add(&log, "last\n");
        hold(tn_text(&log), log.length);
        assert_int_equal(read_rows(false, 1, false, &out), TENON_DONE);
        assert_string_equal(tn_text(&out), "1:last\n");
        assert_int_equal(read_rows(false, 3, false, &out), TENON_DONE);
        assert_true(tn_starts_with(tn_text(&out), "1:second\n2:xxx"));
    }
    tn_text_clear(&log);
    tn_text_clear(&out);
}

static void the_last_measurements(void **state)
{
    struct text log;

    (void)state;
    tn_text_init(&log, &memory, 1 << 20);
    for (int i = 0; i < 400; i++)
        tn_text_format(&log, i % 3 == 0 ? "{\"step\": %d, \"loss\": 1.5}\n" : i % 3 == 1 ? "words %d\n" : "50%%\r{'loss': 1.0, 'step': %d}\r\n", i);
    for (size_t cut = 0; cut < 30; cut += 3) {
        hold(tn_text(&log), log.length - cut);
        expect_last(true, 3);
    }
    expect_last(true, 300);
    tn_text_clear(&log);
}

static void what_is_written_meanwhile_is_given(void **state)
{
    const char log[] = "one\ntwo\nthree";
    struct text out;

    (void)state;
    tn_text_init(&out, &memory, 1000);
    for (size_t grows = 1; grows <= sizeof log; grows++) {
        hold(log, strlen(log));
        fake.shown = 4;
        fake.grows = grows;
        assert_int_equal(read_rows(false, 0, true, &out), TENON_DONE);
        assert_string_equal(tn_text(&out), "1:one\n2:two (live)\n3:three (live)\n");
    }
    fake.shown = 4;
    fake.grows = 1;
    assert_int_equal(read_rows(false, 1, true, &out), TENON_DONE);
    assert_string_equal(tn_text(&out), "1:one\n2:two (live)\n3:three (live)\n");
    tn_text_clear(&out);
}

static void a_log_that_becomes_shorter(void **state)
{
    struct text log, out;

    (void)state;
    tn_text_init(&log, &memory, 1 << 20);
    tn_text_init(&out, &memory, 1 << 20);
    for (int i = 0; i < 9000; i++)
        tn_text_format(&log, "line %d\n", i);
    for (size_t size = log.length - 16384 - 10; size < log.length; size += 1111) {
        hold(tn_text(&log), log.length);
        fake.shrinks_to = size;
        assert_int_equal(read_rows(false, 5, false, &out), TENON_DONE);
        assert_true(out.length < 100);
    }
    fake.shrinks_to = 1;
    hold(tn_text(&log), log.length);
    assert_int_equal(read_rows(false, 5, false, &out), TENON_DONE);
    assert_string_equal(tn_text(&out), "1:l\n");
    tn_text_clear(&log);
    tn_text_clear(&out);
}

static void failures_end_it(void **state)
{
    struct text out;

    (void)state;
    tn_text_init(&out, &memory, 1000);
    hold("one\ntwo\n", 8);
    fake.fails = TENON_ERROR_IO;
    assert_int_equal(read_rows(false, 0, false, &out), TENON_ERROR_IO);
    assert_int_equal(read_rows(false, 1, false, &out), TENON_ERROR_IO);
    assert_int_equal(read_rows(true, 1, true, &out), TENON_ERROR_IO);
    fake.fails = TENON_OK;
    fake.report_fails = true;
    assert_int_equal(read_rows(false, 0, true, &out), TENON_ERROR_NOT_FOUND);
    assert_string_equal(tn_text(&out), "1:one\n2:two\n");
    tn_text_clear(&out);
}

static tenon_status read_with(struct test_memory *counts, bool metrics)
{
    const tenon_follow_options options = { .struct_size = sizeof options, .last = 2 };
    tenon_log_line line = { .struct_size = sizeof line };
    tenon_metric metric = { .struct_size = sizeof metric };
    tenon_context *own = NULL;
    tenon_job *own_job = NULL;
    tenon_task *task = NULL;
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts, .clock = &now }, &own);

    if (status == TENON_OK)
        status = open_job(own, &own_job);
    if (status == TENON_OK)
        status = (metrics ? tenon_job_metrics : tenon_job_logs)(own_job, &options, &task);
    while (status == TENON_OK)
        status = metrics ? tenon_task_next_metric(task, -1, &metric) : tenon_task_next_log_line(task, -1, &line);
    tenon_task_free(task);
    tenon_job_free(own_job);
    tenon_context_free(own);
    return status == TENON_DONE ? TENON_OK : status;
}

static tenon_status read_lines_with(struct test_memory *counts)
{
    return read_with(counts, false);
}

static tenon_status read_metrics_with(struct test_memory *counts)
{
    return read_with(counts, true);
}

static void no_memory_is_told(void **state)
{
    static const char log[] = "one\n{\"step\": 1, \"loss\": 2}\n{\"step\": 2, \"loss\": 2}\n{\"step\": 3, \"loss\": 2}\n";

    (void)state;
    hold(log, strlen(log));
    test_every_failure(read_lines_with);
    test_every_failure(read_metrics_with);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(lines_are_given_in_order),
        EACH(the_last_lines_at_every_length),
        EACH(the_last_lines_across_blocks),
        EACH(a_long_line_is_one_line),
        EACH(the_last_measurements),
        EACH(what_is_written_meanwhile_is_given),
        EACH(a_log_that_becomes_shorter),
        EACH(failures_end_it),
        EACH(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
