#include "with_tellers.h"

#include <string.h>

#include "loop.h"

static void expect_error(tenon_task *task, tenon_status status, const char *message)
{
    tenon_error error = { .struct_size = sizeof error };

    assert_int_equal(tenon_task_error(task, &error), TENON_OK);
    assert_int_equal(error.status, status);
    assert_string_equal(error.message, message);
}

static void a_task_lives_and_ends(void **state)
{
    tenon_task *task = start((struct telling){ .rows = 2, .pause_ms = 10, .whole = true });
    tenon_log_line line = { .struct_size = sizeof line };
    const char *text = NULL;

    (void)state;
    assert_int_equal(tenon_task_state(task), TENON_AGAIN);
    assert_int_equal(tenon_task_text(task, &text), TENON_OK);
    assert_string_equal(text, "");
    assert_int_equal(tenon_task_json(task, &text), TENON_OK);
    assert_string_equal(text, "");
    assert_int_equal(tenon_task_next_log_line(task, 0, &line), TENON_AGAIN);
    for (int i = 0; i < 2; i++) {
        settle();
        now.now_ms += 10;
        settle();
    }
    assert_int_equal(tenon_task_state(task), TENON_OK);
    assert_int_equal(cleared, 1);
    assert_int_equal(tenon_task_wait(task, -1), TENON_OK);
    tenon_task_text(task, &text);
    assert_string_equal(text, "the text");
    tenon_task_json(task, &text);
    assert_string_equal(text, "{\"told\":2}");
    /* What was not taken can still be taken. */
    for (int i = 0; i < 2; i++) {
        line.struct_size = sizeof line;
        assert_int_equal(tenon_task_next_log_line(task, -1, &line), TENON_OK);
        assert_int_equal(line.number, i);
    }
    assert_int_equal(tenon_task_next_log_line(task, -1, &line), TENON_DONE);
    expect_error(task, TENON_OK, "");
    tenon_task_cancel(task);
    assert_int_equal(tenon_task_state(task), TENON_OK);
    tenon_task_free(task);
    assert_int_equal(cleared, 1);
}

static void a_task_fails(void **state)
{
    tenon_task *task = start((struct telling){ .rows = 1, .end = TENON_ERROR_QUOTA });
    tenon_log_line line = { .struct_size = sizeof line };

    (void)state;
    assert_int_equal(tenon_task_next_log_line(task, -1, &line), TENON_OK);
    assert_int_equal(tenon_task_next_log_line(task, -1, &line), TENON_ERROR_QUOTA);
    assert_int_equal(tenon_task_state(task), TENON_ERROR_QUOTA);
    assert_int_equal(tenon_task_wait(task, 0), TENON_ERROR_QUOTA);
    expect_error(task, TENON_ERROR_QUOTA, "told to fail");
    tenon_task_free(task);
}

static void a_blocking_call_waits(void **state)
{
    struct telling good = { .rows = 1000, .padding = 5000, .cleared = &cleared };
    struct telling bad = { .end = TENON_ERROR_GATED, .cleared = &cleared };
    tenon_error error = { .struct_size = sizeof error };

    (void)state;
    assert_int_equal(test_tell(context, &good, NULL), TENON_OK);
    assert_int_equal(cleared, 1);
    assert_int_equal(test_tell(context, &bad, NULL), TENON_ERROR_GATED);
    assert_int_equal(cleared, 2);
    assert_int_equal(tenon_context_error(context, &error), TENON_OK);
    assert_int_equal(error.status, TENON_ERROR_GATED);
    assert_string_equal(error.message, "told to fail");
}

static void rows_are_bounded(void **state)
{
    tenon_task *task = start((struct telling){ .rows = 10000, .padding = 1000 });
    tenon_log_line line = { .struct_size = sizeof line };
    tenon_progress progress = { .struct_size = sizeof progress };
    int64_t before;

    (void)state;
    settle();
    tenon_task_progress(task, &progress);
    before = progress.items;
    assert_true(before > 10 && before < 1000);
    for (int i = 0; i < 5000; i++) {
        line.struct_size = sizeof line;
        assert_int_equal(tenon_task_next_log_line(task, -1, &line), TENON_OK);
        assert_int_equal(line.number, i);
        assert_int_equal(strlen(line.text), 1000);
    }
    settle();
    tenon_task_progress(task, &progress);
    assert_true(progress.items >= 5000 + before - 1 && progress.items <= 5000 + before + 1);
    tenon_task_free(task);
}

static void waiting_drops_the_rows(void **state)
{
    tenon_task *task = start((struct telling){ .rows = 10000, .padding = 1000 });
    tenon_log_line line = { .struct_size = sizeof line };

    (void)state;
    settle();
    /* Only looking drops nothing. */
    assert_int_equal(tenon_task_wait(task, 0), TENON_AGAIN);
    assert_int_equal(tenon_task_next_log_line(task, 0, &line), TENON_OK);
    assert_int_equal(line.number, 0);
    assert_int_equal(tenon_task_wait(task, -1), TENON_OK);
    assert_int_equal(tenon_task_next_log_line(task, 0, &line), TENON_DONE);
    tenon_task_free(task);
}

static void a_wait_that_was_too_short(void **state)
{
    tenon_task *task = start((struct telling){ .rows = 1, .pause_ms = HOUR_MS });
    tenon_log_line line = { .struct_size = sizeof line };

    (void)state;
    now.runs = true;
    assert_int_equal(tenon_task_wait(task, 1), TENON_AGAIN);
    assert_int_equal(tenon_task_next_log_line(task, 1, &line), TENON_AGAIN);
    now.now_ms += HOUR_MS;
    assert_int_equal(tenon_task_next_log_line(task, INT64_MAX, &line), TENON_OK);
    assert_int_equal(tenon_task_wait(task, INT64_MAX), TENON_OK);
    tenon_task_free(task);
}

static void rows_of_another_kind(void **state)
{
    tenon_task *task = start((struct telling){ .rows = 1 });
    tenon_metric metric = { .struct_size = sizeof metric };
    tenon_reason reason = { .struct_size = sizeof reason };
    tenon_log_line line = { .struct_size = 0 };
    tenon_error error = { .struct_size = sizeof error };
    char byte;
    size_t got;

    (void)state;
    assert_int_equal(tenon_task_next_metric(task, -1, &metric), TENON_ERROR_MISUSE);
    tenon_context_error(context, &error);
    assert_string_equal(error.message, "telling yields no row of the kind metric");
    assert_int_equal(tenon_task_read(task, -1, &byte, 1, &got), TENON_ERROR_MISUSE);
    assert_int_equal(tenon_task_offer_reason(task, 0, &reason), TENON_ERROR_MISUSE);
    assert_int_equal(tenon_task_next_log_line(task, -1, &line), TENON_ERROR_ARGUMENT);
    assert_int_equal(tenon_task_next_log_line(task, -1, NULL), TENON_ERROR_ARGUMENT);
    /* The row is still there. */
    line.struct_size = sizeof line;
    assert_int_equal(tenon_task_next_log_line(task, -1, &line), TENON_OK);
    tenon_task_free(task);
}

/* ---- offers have rows of their own ---- */

static tenon_status offer_step(struct co *co)
{
    struct tenon_task *task = TN_CONTAINER(co, struct tenon_task, co);
    tenon_offer offer = { .struct_size = sizeof offer };
    tenon_reason reason = { .struct_size = sizeof reason };
    tenon_memory memory = { .struct_size = sizeof memory, .item = "weights" };
    tenon_status status = TENON_OK;

    for (int i = 0; i < 2 && status == TENON_OK; i++) {
        offer.chip = i == 0 ? "first" : "second";
        status = tn_task_push(task, &offer);
        for (int k = 0; k < 3 && status == TENON_OK; k++) {
            reason.code = k == 0 ? "zero" : k == 1 ? "one" : "two";
            status = tn_task_push_child(task, &tn_row_reason, &reason);
        }
        if (status == TENON_OK)
            status = tn_task_push_child(task, &tn_row_memory, &memory);
    }
    return status;
}

static const struct operation offerer = { .name = "offering", .size = sizeof(struct tenon_task), .row = &tn_row_offer, .step = offer_step };

static void children_belong_to_the_row_taken_last(void **state)
{
    tenon_offer offer = { .struct_size = sizeof offer };
    tenon_reason reason = { .struct_size = sizeof reason };
    tenon_memory memory = { .struct_size = sizeof memory };
    tenon_task *task = NULL;

    (void)state;
    assert_int_equal(tn_enter(context), TENON_OK);
    assert_int_equal(tn_task_new(context, &offerer, &task), TENON_OK);
    assert_int_equal(tn_leave(context, tn_task_launch(task, &task)), TENON_OK);
    assert_int_equal(tenon_task_offer_reason(task, 0, &reason), TENON_ERROR_MISUSE);
    for (int i = 0; i < 2; i++) {
        offer.struct_size = sizeof offer;
        assert_int_equal(tenon_task_next_offer(task, -1, &offer), TENON_OK);
        assert_string_equal(offer.chip, i == 0 ? "first" : "second");
        assert_int_equal(tenon_task_offer_reason(task, 2, &reason), TENON_OK);
        assert_string_equal(reason.code, "two");
        assert_int_equal(tenon_task_offer_reason(task, 3, &reason), TENON_DONE);
        assert_int_equal(tenon_task_offer_memory(task, 0, &memory), TENON_OK);
        assert_string_equal(memory.item, "weights");
        assert_int_equal(tenon_task_offer_memory(task, 1, &memory), TENON_DONE);
    }
    assert_int_equal(tenon_task_next_offer(task, -1, &offer), TENON_DONE);
    tenon_task_free(task);
}

/* ---- bytes ---- */

static void bytes_are_read(void **state)
{
    tenon_task *task = start((struct telling){ .bytes = 2000 });
    tenon_progress progress = { .struct_size = sizeof progress };
    char buffer[777];
    size_t got = 0, sum = 0;
    tenon_status status;

    (void)state;
    settle();
    tenon_task_progress(task, &progress);
    assert_true(progress.items < 300);
    while ((status = tenon_task_read(task, -1, buffer, sizeof buffer, &got)) == TENON_OK) {
        assert_true(got > 0 && got <= sizeof buffer);
        for (size_t i = 0; i < got; i++)
            assert_int_equal(buffer[i], 'a' + (sum + i) / 1000 % 26);
        sum += got;
    }
    assert_int_equal(status, TENON_DONE);
    assert_int_equal(sum, 2000000);
    assert_int_equal(tenon_task_read(task, -1, NULL, 1, &got), TENON_ERROR_MISUSE);
    assert_int_equal(tenon_task_read(task, -1, buffer, 0, &got), TENON_ERROR_MISUSE);
    tenon_task_free(task);
    task = start((struct telling){ .bytes = 1, .waits = true });
    assert_int_equal(tenon_task_read(task, -1, buffer, sizeof buffer, &got), TENON_OK);
    assert_int_equal(tenon_task_read(task, 0, buffer, sizeof buffer, &got), TENON_OK);
    assert_int_equal(got, 1000 - sizeof buffer);
    assert_int_equal(tenon_task_read(task, 0, buffer, sizeof buffer, &got), TENON_AGAIN);
    tenon_task_cancel(task);
    assert_int_equal(tenon_task_read(task, 0, buffer, sizeof buffer, &got), TENON_ERROR_CANCELLED);
    tenon_task_free(task);
}

/* ---- cancelling and freeing ---- */

/* Brings a task to one of its moments: new, pausing, without room, waiting, ended. */
static tenon_task *bring_to(int moment)
{
    tenon_task *task = start((struct telling){ .rows = moment == 2 ? 1000 : 1, .padding = 10000, .pause_ms = moment == 1 ? 10 : 0,
                                               .waits = moment == 3 });

    if (moment > 0)
        settle();
    return task;
}

enum { MOMENTS = 5 };

static void cancelling_at_every_moment(void **state)
{
    (void)state;
    for (int moment = 0; moment < MOMENTS; moment++) {
        tenon_task *task = bring_to(moment);
        bool ended = moment == 4;

        cleared = ended;
        tenon_task_cancel(task);
        assert_int_equal(tenon_task_state(task), ended ? TENON_OK : TENON_ERROR_CANCELLED);
        assert_int_equal(cleared, 1);
        expect_error(task, ended ? TENON_OK : TENON_ERROR_CANCELLED, ended ? "" : "telling was cancelled");
        tenon_task_cancel(task);
        settle();
        assert_int_equal(tenon_context_timeout(context), -1);
        tenon_task_free(task);
        assert_int_equal(cleared, 1);
    }
    tenon_task_cancel(NULL);
}

static void freeing_at_every_moment(void **state)
{
    (void)state;
    for (int moment = 0; moment < MOMENTS; moment++) {
        tenon_task *task = bring_to(moment), *again = tenon_task_ref(task);

        assert_true(again == task);
        tenon_task_free(again);
        tenon_task_free(task);
        assert_int_equal(cleared, moment + 1);
        settle();
    }
    tenon_task_free(NULL);
    assert_null(tenon_task_ref(NULL));
}

static void a_task_keeps_its_context(void **state)
{
    tenon_task *task = start((struct telling){ .waits = true });

    (void)state;
    tenon_context_free(context);
    assert_int_equal(tenon_task_wait(task, 0), TENON_AGAIN);
    tenon_task_free(task);
    context = test_open(NULL);
}

/* ---- news ---- */

static void news_of_many_tasks(void **state)
{
    tenon_task *a = start((struct telling){ .rows = 3 }), *b = start((struct telling){ .waits = true });
    tenon_task *c = start((struct telling){ .end = TENON_ERROR_FAILED }), *news = NULL;
    int seen = 0;

    (void)state;
    tenon_task_set_user(a, &a);
    assert_true(tenon_task_user(a) == &a);
    assert_null(tenon_task_user(b));
    assert_int_equal(tenon_context_next_task(context, &news), TENON_DONE);
    settle();
    while (tenon_context_next_task(context, &news) == TENON_OK) {
        assert_true(news == a || news == c);
        seen++;
    }
    assert_int_equal(seen, 2);
    tenon_task_cancel(b);
    assert_int_equal(tenon_context_next_task(context, &news), TENON_OK);
    assert_true(news == b);
    assert_int_equal(tenon_context_next_task(context, NULL), TENON_ERROR_ARGUMENT);
    tenon_task_free(a);
    tenon_task_free(b);
    tenon_task_free(c);
    assert_int_equal(tenon_context_next_task(context, &news), TENON_DONE);
}

/* ---- a task that is a part of another operation ---- */

struct owner {
    struct co co;
    struct teller *part;
};

static tenon_status own(struct co *co)
{
    struct owner *owner = TN_CONTAINER(co, struct owner, co);

    CO_BEGIN(co);
    tn_task_begin(&owner->part->task, co);
    AWAIT(co, !tn_co_running(&owner->part->task.co));
    CO_END(co);
    return owner->part->task.co.status;
}

static void a_part_is_nobody_elses_business(void **state)
{
    struct telling telling = { .bytes = 5, .end = TENON_ERROR_BUSY, .cleared = &cleared };
    struct owner owner = { .part = NULL };
    tenon_task *news = NULL;

    (void)state;
    assert_int_equal(tn_enter(context), TENON_OK);
    assert_int_equal(test_teller_new(context, &test_byte_teller, &telling, &owner.part), TENON_OK);
    tn_leave(context, TENON_OK);
    tn_co_start(&owner.co, context, own, NULL);
    settle();
    assert_int_equal(owner.co.status, TENON_ERROR_BUSY);
    assert_int_equal(owner.part->task.unread->bytes.length, 5000);
    assert_int_equal(tenon_context_next_task(context, &news), TENON_DONE);
    assert_int_equal(tn_enter(context), TENON_OK);
    tn_task_drop(&owner.part->task);
    tn_task_drop(NULL);
    tn_leave(context, TENON_OK);
    assert_int_equal(cleared, 1);
}

static void room_is_told_while_the_task_runs(void **state)
{
    int drained = 0;
    tenon_task *task = start((struct telling){ .rows = 100, .padding = 10000, .drained = &drained });
    tenon_log_line line = { .struct_size = sizeof line };

    (void)state;
    settle();
    while (tenon_task_next_log_line(task, -1, &line) == TENON_OK)
        line.struct_size = sizeof line;
    assert_true(drained > 0 && drained < 100);
    tenon_task_free(task);
}

/* ---- progress ---- */

static void progress_is_told(void **state)
{
    tenon_task *task = start((struct telling){ .waits = true });
    tenon_progress progress = { .struct_size = sizeof progress };

    (void)state;
    tenon_task_progress(task, &progress);
    assert_string_equal(progress.stage, "waiting");
    assert_string_equal(progress.item, "");
    assert_int_equal(progress.bytes_total, -1);
    assert_int_equal(progress.bytes_per_second, -1);
    assert_int_equal(progress.left_ms, -1);
    settle();
    task->progress.bytes_total = 10000;
    task->progress.bytes = 2000;
    task->progress.bytes_present = 1000;
    now.now_ms += 2000;
    tenon_task_progress(task, &progress);
    assert_string_equal(progress.stage, "telling");
    assert_string_equal(progress.item, "an item");
    assert_int_equal(progress.elapsed_ms, 2000);
    assert_int_equal(progress.bytes_per_second, 500);
    assert_int_equal(progress.left_ms, 16000);
    /* What was lost again is no negative speed, and what a server claims may be absurd. */
    task->progress.bytes = 1000;
    now.now_ms += 1000;
    tenon_task_progress(task, &progress);
    assert_int_equal(progress.bytes_per_second, 250);
    task->progress.bytes_total = INT64_MAX;
    tenon_task_progress(task, &progress);
    assert_int_equal(progress.left_ms, -1);
    task->progress.bytes_total = 500;
    tenon_task_progress(task, &progress);
    assert_int_equal(progress.left_ms, -1);
    assert_int_equal(progress.ended, 0);
    tenon_task_cancel(task);
    tenon_task_progress(task, &progress);
    assert_int_equal(progress.ended, 1);
    assert_int_equal(progress.left_ms, 0);
    assert_int_equal(tenon_task_progress(task, NULL), TENON_ERROR_ARGUMENT);
    tenon_task_free(task);
}

static void nothing_at_all(void **state)
{
    tenon_error error = { .struct_size = sizeof error };
    tenon_progress progress = { .struct_size = sizeof progress };
    tenon_log_line line = { .struct_size = sizeof line };
    const char *text = NULL;
    size_t got;

    (void)state;
    assert_true(tenon_task_state(NULL) < 0);
    assert_true(tenon_task_wait(NULL, -1) < 0);
    assert_true(tenon_task_error(NULL, &error) < 0);
    assert_true(tenon_task_progress(NULL, &progress) < 0);
    assert_true(tenon_task_text(NULL, &text) < 0);
    assert_true(tenon_task_json(NULL, &text) < 0);
    assert_true(tenon_task_next_log_line(NULL, -1, &line) < 0);
    assert_true(tenon_task_read(NULL, -1, &line, 1, &got) < 0);
    assert_null(tenon_task_user(NULL));
    tenon_task_set_user(NULL, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tellers_set_up, tellers_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_task_lives_and_ends),
        TEST(a_task_fails),
        TEST(a_blocking_call_waits),
        TEST(rows_are_bounded),
        TEST(waiting_drops_the_rows),
        TEST(a_wait_that_was_too_short),
        TEST(rows_of_another_kind),
        TEST(children_belong_to_the_row_taken_last),
        TEST(bytes_are_read),
        TEST(cancelling_at_every_moment),
        TEST(freeing_at_every_moment),
        TEST(a_task_keeps_its_context),
        TEST(news_of_many_tasks),
        TEST(a_part_is_nobody_elses_business),
        TEST(room_is_told_while_the_task_runs),
        TEST(progress_is_told),
        TEST(nothing_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
