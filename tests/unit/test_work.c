/* Work beside the loop: at once without workers, in order with them, and given up at any moment. */
#define _GNU_SOURCE
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "work.h"

enum { ORDERS = 500, THREADS = 3 };

struct order {
    struct work work;
    struct book *book;
    pthread_t who;
    bool blocks;   /* every signal, where it was done */
    int number;    /* which one it was to be done, from 1; 0: it was not */
    int pause_us;
};

/* Counts what one worker has done. */
struct book {
    int done;
};

struct waiter {
    struct co co;
    int woken;
};

static tenon_status wait_on(struct co *co)
{
    TN_CONTAINER(co, struct waiter, co)->woken++;
    return TENON_AGAIN;
}

static tenon_context *open_with(int32_t workers, struct test_memory *counts)
{
    tenon_allocator allocator = test_allocator(counts != NULL ? counts : &(struct test_memory) { 0 });
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT, .workers = workers,
                                      .allocator = counts != NULL ? &allocator : NULL };
    tenon_context *context = NULL;

    assert_int_equal(tenon_context_open(&options, &context), TENON_OK);
    return context;
}

static void carry_out(struct work *work)
{
    struct order *order = TN_CONTAINER(work, struct order, work);
    sigset_t blocked;

    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    order->blocks = sigismember(&blocked, SIGINT) == 1 && sigismember(&blocked, SIGPROF) == 1;
    order->who = pthread_self();
    if (order->pause_us > 0)
        usleep((useconds_t)order->pause_us);
    order->number = ++order->book->done;
}

static void how_many_there_may_be(void **state)
{
    static const int32_t bad[] = { -1, 65, INT32_MIN, INT32_MAX };
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT };
    tenon_context *context = NULL;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        options.workers = bad[i];
        assert_int_equal(tenon_context_open(&options, &context), TENON_ERROR_ARGUMENT);
        assert_null(context);
    }
    context = open_with(64, NULL);
    tenon_context_free(context);
}

static void without_workers_at_once(void **state)
{
    struct book book = { 0 };
    struct order order = { .book = &book };
    tenon_context *context = open_with(0, NULL);

    (void)state;
    assert_null(tn_worker_take(context));
    tn_work_start(&order.work, NULL, carry_out, NULL);
    assert_int_equal(order.number, 1);
    assert_true(pthread_equal(order.who, pthread_self()));
    assert_false(tn_work_running(&order.work));
    tn_work_wait(&order.work);
    tn_worker_give(NULL);
    tenon_context_free(context);
}

static bool any_runs(const struct order *orders)
{
    bool runs = false;

    for (int i = 0; i < ORDERS; i++)
        runs = runs || tn_work_running(&orders[i].work);
    return runs;
}

/* One worker keeps the order, and whoever waits is woken by the loop. */
static void in_order(void **state)
{
    static struct order orders[ORDERS];
    struct book book = { 0 };
    struct waiter waiter = { .woken = 0 };
    tenon_context *context = open_with(THREADS, NULL);
    struct worker *worker = tn_worker_take(context);

    (void)state;
    assert_non_null(worker);
    tn_co_start(&waiter.co, context, wait_on, NULL);
    assert_true(tenon_context_step(context, 0) >= 0);
    assert_int_equal(waiter.woken, 1);
    for (int i = 0; i < ORDERS; i++) {
        orders[i] = (struct order) { .book = &book };
        tn_work_start(&orders[i].work, worker, carry_out, &waiter.co);
    }
    while (any_runs(orders))
        assert_true(tenon_context_step(context, 10000) >= 0);
    assert_true(waiter.woken > 1);
    for (int i = 0; i < ORDERS; i++) {
        assert_int_equal(orders[i].number, i + 1);
        assert_true(orders[i].blocks);
        assert_false(pthread_equal(orders[i].who, pthread_self()));
    }
    tn_co_stop(&waiter.co);
    tn_worker_give(worker);
    tenon_context_free(context);
}

/* Who takes a worker gets the one with the fewest users. */
static void work_is_shared_out(void **state)
{
    struct worker *workers[2 * THREADS];
    tenon_context *context = open_with(THREADS, NULL);

    (void)state;
    for (int i = 0; i < 2 * THREADS; i++)
        workers[i] = tn_worker_take(context);
    for (int i = 0; i < THREADS; i++) {
        assert_ptr_equal(workers[i], workers[i + THREADS]);
        assert_ptr_not_equal(workers[i], workers[(i + 1) % THREADS]);
    }
    tn_worker_give(workers[1]);
    assert_ptr_equal(tn_worker_take(context), workers[1]);
    tenon_context_free(context);
}

/* Some that take their time. */
static void give(struct worker *worker, struct order *orders, int count, int pause_us, struct book *book, struct waiter *waiter)
{
    for (int i = 0; i < count; i++) {
        orders[i] = (struct order) { .book = book, .pause_us = pause_us };
        tn_work_start(&orders[i].work, worker, carry_out, &waiter->co);
    }
}

/* Waiting for the last of them lets the loop do nothing: the others are done all the same. */
static void one_can_be_waited_for(void **state)
{
    struct book book = { 0 };
    struct order orders[5];
    struct waiter waiter = { .woken = 0 };
    tenon_context *context = open_with(1, NULL);
    struct worker *worker = tn_worker_take(context);

    (void)state;
    tn_co_start(&waiter.co, context, wait_on, NULL);
    give(worker, orders, 5, 2000, &book, &waiter);
    tn_work_wait(&orders[4].work);
    assert_int_equal(orders[4].number, 5);
    assert_int_equal(waiter.woken, 0);
    tn_work_wait(&orders[0].work);
    tn_work_wait(&orders[0].work);
    assert_false(tn_work_running(&orders[0].work));
    while (tn_work_running(&orders[3].work))
        assert_true(tenon_context_step(context, 10000) >= 0);
    tn_co_stop(&waiter.co);
    tn_worker_give(worker);
    tenon_context_free(context);
}

/* What stands in line is not done once it is dropped; what was begun is. */
static void some_is_dropped(void **state)
{
    struct book book = { 0 };
    struct order orders[3];
    struct waiter waiter = { .woken = 0 };
    tenon_context *context = open_with(1, NULL);
    struct worker *worker = tn_worker_take(context);

    (void)state;
    tn_co_start(&waiter.co, context, wait_on, NULL);
    give(worker, orders, 3, 50000, &book, &waiter);
    tn_work_drop(&orders[1].work);
    assert_int_equal(orders[1].number, 0);
    tn_work_wait(&orders[2].work);
    tn_work_drop(&orders[0].work);
    tn_work_drop(&orders[0].work);
    assert_int_equal(orders[0].number, 1);
    assert_int_equal(orders[2].number, 2);
    tn_co_stop(&waiter.co);
    tn_worker_give(worker);
    tenon_context_free(context);
}

/* In a forked child nobody works: nothing is waited for, and the memory is given back. */
static void free_in_child(void *user)
{
    tenon_context *context = ((void **)user)[0];
    struct order *order = ((void **)user)[1];

    tn_work_wait(&order->work);
    tenon_context_free(context);
    if (tn_work_running(&order->work))
        _exit(3);
}

static void a_forked_child_waits_for_nobody(void **state)
{
    struct test_memory counts = { 0 };
    struct book book = { 0 };
    struct order order = { .book = &book, .pause_us = 200000 };
    struct waiter waiter = { .woken = 0 };
    tenon_context *context = open_with(2, &counts);
    struct worker *worker = tn_worker_take(context);

    (void)state;
    tn_co_start(&waiter.co, context, wait_on, NULL);
    tn_work_start(&order.work, worker, carry_out, &waiter.co);
    assert_int_equal(test_in_child(free_in_child, (void *[]) { context, &order }), 0);
    tn_work_wait(&order.work);
    assert_int_equal(order.number, 1);
    tn_co_stop(&waiter.co);
    tn_worker_give(worker);
    tenon_context_free(context);
    assert_int_equal(counts.live, 0);
}

/* Where there is no memory for workers, whoever wants one does it alone. */
static void without_memory(void **state)
{
    struct test_memory counts = { 0 };
    tenon_context *context = open_with(2, &counts);
    struct worker *worker;

    (void)state;
    counts.fail_at = counts.asked + 1;
    assert_null(tn_worker_take(context));
    worker = tn_worker_take(context);
    assert_non_null(worker);
    tn_worker_give(worker);
    tenon_context_free(context);
    assert_int_equal(counts.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(how_many_there_may_be),
        cmocka_unit_test(without_workers_at_once),
        cmocka_unit_test(in_order),
        cmocka_unit_test(work_is_shared_out),
        cmocka_unit_test(one_can_be_waited_for),
        cmocka_unit_test(some_is_dropped),
        cmocka_unit_test(a_forked_child_waits_for_nobody),
        cmocka_unit_test(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
