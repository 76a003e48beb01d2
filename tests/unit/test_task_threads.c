/* Tasks and threads, callbacks, forked children, and memory that runs out. */
#include "with_tellers.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

/* ---- several threads ---- */

struct visitor {
    tenon_context *context;
    tenon_task *task;
    pthread_barrier_t barrier;
    tenon_status status;
};

static void *visit(void *user)
{
    struct visitor *visitor = user;
    tenon_log_line line = { .struct_size = sizeof line };
    const char *text = NULL;

    pthread_barrier_wait(&visitor->barrier);
    visitor->status = tenon_task_state(visitor->task);
    if (visitor->status == TENON_ERROR_MISUSE)
        visitor->status = tenon_task_next_log_line(visitor->task, 0, &line);
    if (visitor->status == TENON_ERROR_MISUSE)
        visitor->status = tenon_context_step(visitor->context, 0);
    if (visitor->status == TENON_ERROR_MISUSE)
        visitor->status = tenon_task_text(visitor->task, &text);
    tenon_task_cancel(visitor->task);
    tenon_context_wake(visitor->context);
    pthread_barrier_wait(&visitor->barrier);
    return NULL;
}

static struct visitor *being_visited;

static void let_visitor_in(void *user)
{
    (void)user;
    pthread_barrier_wait(&being_visited->barrier);
    pthread_barrier_wait(&being_visited->barrier);
}

static void a_second_thread_is_told_misuse(void **state)
{
    static struct test_log log;
    struct visitor visitor = { .status = TENON_OK };
    pthread_t thread;

    (void)state;
    log.also = let_visitor_in;
    being_visited = &visitor;
    tenon_context_free(context);
    context = test_open(&(struct test_hooks){ .log = &log });
    visitor.context = context;
    visitor.task = start((struct telling){ .waits = true });
    settle();
    pthread_barrier_init(&visitor.barrier, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, visit, &visitor), 0);
    /* While we are inside, in a callback of our own, the other one calls. */
    assert_int_equal(tn_enter(context), TENON_OK);
    tn_log(context, TENON_LOG_ERROR, "test", "now");
    tn_leave(context, TENON_OK);
    pthread_join(thread, NULL);
    assert_int_equal(visitor.status, TENON_ERROR_MISUSE);
    assert_int_equal(tenon_task_state(visitor.task), TENON_AGAIN);
    tenon_task_free(visitor.task);
    pthread_barrier_destroy(&visitor.barrier);
}

static void *free_task(void *user)
{
    tenon_task_free(user);
    return NULL;
}

/* While its owner steps the context, waits for it with a reference of its own, or does nothing. */
static void another_thread_frees_a_task(void **state)
{
    (void)state;
    now.runs = true;
    for (int i = 0; i < 60; i++) {
        tenon_task *task = start((struct telling){ .waits = true });
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, free_task, i % 3 == 0 ? tenon_task_ref(task) : task), 0);
        if (i % 3 == 0) {
            assert_int_equal(tenon_task_wait(task, 0), TENON_AGAIN);
            tenon_task_free(task);
        } else if (i % 3 == 1)
            tenon_context_step(context, 0);
        pthread_join(thread, NULL);
    }
    assert_int_equal(cleared, 60);
}

static void linger(void *user)
{
    pthread_barrier_wait(user);
    nanosleep(&(struct timespec){ .tv_nsec = 50 * 1000 * 1000 }, NULL);
}

/* However long the other thread takes over it, and even if the log is written meanwhile: the owner's calls are as good as ever. */
static void a_free_elsewhere_is_not_somebody_inside(void **state)
{
    tenon_task *mine = start((struct telling){ .waits = true });
    pthread_barrier_t barrier;
    pthread_t thread;

    (void)state;
    now.runs = true;
    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < 4; i++) {
        tenon_task *task = start((struct telling){ .waits = true, .clearing = linger, .user = &barrier });

        settle();
        assert_int_equal(pthread_create(&thread, NULL, free_task, task), 0);
        pthread_barrier_wait(&barrier);
        if (i == 0)
            assert_int_equal(tenon_task_state(mine), TENON_AGAIN);
        else if (i == 1)
            assert_int_equal(tenon_context_step(context, 0), TENON_AGAIN);
        else if (i == 2)
            assert_int_equal(tenon_context_set(context, "hub.parts", "2"), TENON_OK);
        else
            tenon_task_free(mine);
        pthread_join(thread, NULL);
    }
    assert_int_equal(cleared, 5);
    pthread_barrier_destroy(&barrier);
}

/* The last reference goes while the owner waits: the wait ends at once. */
static void *free_when_waiting(void *user)
{
    struct visitor *visitor = user;

    while (atomic_load(&visitor->context->inside) == 0)
        ;
    tenon_task_free(visitor->task);
    return NULL;
}

static void the_last_reference_goes_while_the_owner_waits(void **state)
{
    (void)state;
    now.runs = true;
    for (int i = 0; i < 50; i++) {
        struct visitor visitor = { .context = context, .task = start((struct telling){ .waits = true }) };
        pthread_t thread;

        cleared = 0;
        assert_int_equal(pthread_create(&thread, NULL, free_when_waiting, &visitor), 0);
        assert_int_equal(tenon_task_wait(visitor.task, -1), TENON_ERROR_CANCELLED);
        pthread_join(thread, NULL);
        assert_int_equal(cleared, 1);
    }
}

static void *free_one_then_the_other(void *user)
{
    struct visitor *visitors = user;

    free_when_waiting(&visitors[0]);
    while (atomic_load(&cleared) == 0)
        ;
    tenon_task_free(visitors[1].task);
    return NULL;
}

/* One waits for a task of its own; what another thread frees meanwhile stops at once, not when the wait is over. */
static void what_is_freed_during_a_wait_stops(void **state)
{
    tenon_task *other = start((struct telling){ .waits = true }), *mine = start((struct telling){ .waits = true });
    struct visitor visitors[2] = { { .context = context, .task = other }, { .task = mine } };
    pthread_t thread;

    (void)state;
    now.runs = true;
    assert_int_equal(pthread_create(&thread, NULL, free_one_then_the_other, visitors), 0);
    assert_int_equal(tenon_task_wait(mine, -1), TENON_ERROR_CANCELLED);
    pthread_join(thread, NULL);
    assert_int_equal(cleared, 2);
}

/* Many threads use one context in turn, each with tasks of its own, and free them wherever they are. */
static void *use_in_turn(void *user)
{
    tenon_context *shared = user;

    for (int i = 0; i < 300; i++) {
        struct telling telling = { .rows = 3, .waits = i % 3 == 0 };
        tenon_log_line line = { .struct_size = sizeof line };
        tenon_task *task = NULL;

        if (test_tell(shared, &telling, &task) != TENON_OK)
            continue;
        tenon_task_next_log_line(task, 0, &line);
        tenon_context_wake(shared);
        tenon_task_free(task);
    }
    tenon_context_free(shared);
    return NULL;
}

static void threads_in_turn(void **state)
{
    pthread_t threads[4];
    tenon_context *shared = test_open(NULL);

    (void)state;
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_in_turn, tenon_context_ref(shared)), 0);
    tenon_context_free(shared);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
}

/* ---- callbacks ---- */

static tenon_task *to_be_freed;
static tenon_status heard_inside;

static void free_all(void *user)
{
    tenon_task *task = to_be_freed;

    (void)user;
    to_be_freed = NULL;
    if (task == NULL)
        return;
    heard_inside = tenon_task_state(task);
    tenon_task_free(task);
    tenon_context_free(context);
    tenon_context_wake(context);
}

static tenon_status chatter_step(struct co *co)
{
    tn_log(co->context, TENON_LOG_INFO, "test", "a milestone");
    return TENON_OK;
}

static const struct operation chatter = { .name = "chatting", .size = sizeof(struct tenon_task), .step = chatter_step };

/* In the logger, in the middle of a step of the very task: the last references to it and to the context. */
static void freeing_everything_in_a_callback(void **state)
{
    static struct test_log log;
    tenon_task *task = NULL;

    (void)state;
    log.also = free_all;
    tenon_context_free(context);
    context = test_open(&(struct test_hooks){ .log = &log, .level = TENON_LOG_DEBUG });
    assert_int_equal(tn_enter(context), TENON_OK);
    assert_int_equal(tn_task_new(context, &chatter, &task), TENON_OK);
    tn_leave(context, tn_task_launch(task, &task));
    to_be_freed = task;
    assert_int_equal(tenon_context_step(context, 0), TENON_OK);
    assert_int_equal(heard_inside, TENON_ERROR_MISUSE);
    context = test_open(NULL);
}

/* ---- memory ---- */

static tenon_status tell_much(struct test_memory *counts)
{
    struct telling rows = { .rows = 8, .padding = 100, .pause_ms = 1, .whole = true };
    struct telling bytes = { .bytes = 8 };
    tenon_log_line line = { .struct_size = sizeof line };
    tenon_context *failing = NULL;
    tenon_task *task = NULL, *reading = NULL;
    char buffer[500];
    size_t got;
    tenon_status status;

    now.runs = true;
    status = test_try_open(&(struct test_hooks){ .memory = counts, .clock = &now }, &failing);
    if (status == TENON_OK)
        status = test_tell(failing, &rows, &task);
    if (status == TENON_OK)
        status = test_tell(failing, &bytes, &reading);
    while (status == TENON_OK) {
        line.struct_size = sizeof line;
        status = tenon_task_next_log_line(task, -1, &line);
    }
    while (status == TENON_DONE && tenon_task_read(reading, -1, buffer, sizeof buffer, &got) == TENON_OK)
        ;
    if (status == TENON_DONE)
        status = tenon_task_wait(reading, -1);
    if (status == TENON_OK)
        status = test_tell(failing, &rows, NULL);
    tenon_task_free(task);
    tenon_task_free(reading);
    tenon_context_free(failing);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    test_every_failure(tell_much);
}

/* ---- a forked child ---- */

static void use_in_child(void *user)
{
    tenon_task *task = user;
    tenon_log_line line = { .struct_size = sizeof line };
    struct telling telling = { .waits = true };
    tenon_task *other = NULL;
    const char *text;

    if (tenon_task_state(task) != TENON_ERROR_MISUSE || tenon_task_wait(task, -1) != TENON_ERROR_MISUSE ||
        tenon_task_next_log_line(task, -1, &line) != TENON_ERROR_MISUSE || tenon_task_text(task, &text) != TENON_ERROR_MISUSE ||
        test_tell(context, &telling, &other) != TENON_ERROR_MISUSE || tenon_context_step(context, -1) != TENON_ERROR_MISUSE ||
        tenon_context_next_task(context, &other) != TENON_ERROR_MISUSE || tenon_context_descriptor(context) != -1 ||
        tenon_context_set(context, "hub.offline", "1") != TENON_ERROR_MISUSE)
        _exit(1);
    tenon_task_cancel(task);
    tenon_context_wake(context);
    tenon_task_free(task);
    tenon_context_free(context);
}

static void a_forked_child_only_gives_back_memory(void **state)
{
    tenon_task *task = start((struct telling){ .rows = 3, .pause_ms = 1 });
    tenon_log_line line = { .struct_size = sizeof line };

    (void)state;
    now.runs = true;
    assert_int_equal(tenon_task_next_log_line(task, -1, &line), TENON_OK);
    assert_int_equal(test_in_child(use_in_child, task), 0);
    /* The parent notices nothing. */
    line.struct_size = sizeof line;
    assert_int_equal(tenon_task_next_log_line(task, -1, &line), TENON_OK);
    assert_int_equal(tenon_task_wait(task, -1), TENON_OK);
    tenon_task_free(task);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tellers_set_up, tellers_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_thread_is_told_misuse),
        TEST(another_thread_frees_a_task),
        TEST(a_free_elsewhere_is_not_somebody_inside),
        TEST(the_last_reference_goes_while_the_owner_waits),
        TEST(what_is_freed_during_a_wait_stops),
        TEST(threads_in_turn),
        TEST(freeing_everything_in_a_callback),
        TEST(without_memory),
        TEST(a_forked_child_only_gives_back_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
