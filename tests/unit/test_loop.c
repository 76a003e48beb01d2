#define _GNU_SOURCE
#include "support.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop.h"

static struct test_clock now;
static tenon_context *context;
static struct loop *loop;

static int set_up(void **state)
{
    (void)state;
    now = (struct test_clock){ .now_ms = 1000 };
    context = test_open(&(struct test_hooks){ .clock = &now });
    loop = &context->loop;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tenon_context_free(context);
    return 0;
}

static bool readable(int fd)
{
    struct pollfd wanted = { .fd = fd, .events = POLLIN };

    return poll(&wanted, 1, 0) == 1;
}

/* ---- timers ---- */

struct alarm {
    struct timer timer;
    int64_t rang_at;
};

static void ring(struct timer *timer)
{
    struct alarm *alarm = TN_CONTAINER(timer, struct alarm, timer);

    assert_int_equal(alarm->rang_at, -1);
    alarm->rang_at = now.now_ms;
}

static void timers_ring_once_and_in_time(void **state)
{
    struct alarm alarm = { .timer.fire = ring, .rang_at = -1 };

    (void)state;
    assert_int_equal(tn_loop_timeout(context), -1);
    tn_timer_set(context, &alarm.timer, 50, NULL);
    assert_int_equal(tn_loop_timeout(context), 50);
    tn_loop_step(context, 0);
    assert_int_equal(alarm.rang_at, -1);
    now.now_ms += 49;
    assert_int_equal(tn_loop_step(context, 0), TENON_AGAIN);
    now.now_ms += 1;
    assert_int_equal(tn_loop_timeout(context), 0);
    assert_int_equal(tn_loop_step(context, 0), TENON_OK);
    assert_int_equal(alarm.rang_at, 1050);
    assert_false(tn_timer_running(&alarm.timer));
    assert_int_equal(tn_loop_step(context, 0), TENON_AGAIN);
    assert_int_equal(tn_loop_timeout(context), -1);
}

static void a_timer_that_never_rings(void **state)
{
    struct alarm alarm = { .timer.fire = ring, .rang_at = -1 };

    (void)state;
    tn_timer_set(context, &alarm.timer, TN_NEVER, NULL);
    assert_int_equal(tn_loop_timeout(context), -1);
    now.now_ms = INT64_MAX - 5;
    tn_loop_step(context, 0);
    assert_int_equal(alarm.rang_at, -1);
    tn_timer_set(context, &alarm.timer, 100, NULL);
    assert_int_equal(alarm.timer.due_ms, TN_NEVER);
    tn_timer_set(context, &alarm.timer, -7, NULL);
    assert_int_equal(alarm.timer.due_ms, now.now_ms);
    tn_timer_stop(context, &alarm.timer);
    tn_timer_stop(context, &alarm.timer);
}

/* Is each timer linked to the one before it, and none due before its parent? */
static bool is_heap(const struct timer *timer)
{
    const struct timer *before = timer;
    bool good = timer == NULL || timer->set;

    for (const struct timer *child = timer != NULL ? timer->child : NULL; child != NULL && good; child = child->next) {
        good = child->before == before && child->due_ms >= timer->due_ms && is_heap(child);
        before = child;
    }
    return good;
}

/* Many timers set, set anew and stopped at random: they ring in order, all of them, and only those that still run. */
static void the_heap_keeps_its_order(void **state)
{
    static struct alarm alarms[500];
    uint32_t seed = 7;
    int64_t last = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(alarms); i++)
        alarms[i] = (struct alarm){ .timer.fire = ring, .rang_at = -1 };
    for (int i = 0; i < 5000; i++) {
        struct alarm *alarm = &alarms[(seed = seed * 1664525 + 1013904223) >> 8 & 0xffff % COUNT(alarms)];

        if ((seed >> 28) < 5)
            tn_timer_stop(context, &alarm->timer);
        else
            tn_timer_set(context, &alarm->timer, seed >> 12 & 1023, NULL);
        assert_true(is_heap(loop->timers));
    }
    while (tn_loop_timeout(context) >= 0) {
        now.now_ms += tn_loop_timeout(context);
        assert_true(now.now_ms >= last);
        last = now.now_ms;
        tn_loop_step(context, 0);
    }
    for (size_t i = 0; i < COUNT(alarms); i++)
        assert_true(alarms[i].rang_at == -1 || alarms[i].rang_at == alarms[i].timer.due_ms);
}

static struct alarm first, second;

static void stop_the_other(struct timer *timer)
{
    (void)timer;
    first.rang_at = now.now_ms;
    tn_timer_stop(context, &second.timer);
}

static void a_timer_may_stop_another(void **state)
{
    (void)state;
    first = (struct alarm){ .timer.fire = stop_the_other, .rang_at = -1 };
    second = (struct alarm){ .timer.fire = ring, .rang_at = -1 };
    tn_timer_set(context, &first.timer, 5, NULL);
    tn_timer_set(context, &second.timer, 5, NULL);
    now.now_ms += 10;
    tn_loop_step(context, 0);
    assert_int_equal(first.rang_at, 1010);
    assert_int_equal(second.rang_at, -1);
}

/* ---- descriptors ---- */

struct ear {
    struct source source;
    unsigned heard;
    int count;
    struct ear *unwatches;
};

static void listen_to(struct source *source, unsigned events)
{
    struct ear *ear = TN_CONTAINER(source, struct ear, source);

    ear->heard |= events;
    ear->count++;
    if (ear->unwatches != NULL)
        tn_source_unwatch(loop, &ear->unwatches->source);
}

static void make_pair(int pair[2])
{
    assert_int_equal(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
}

static void close_pair(int pair[2])
{
    close(pair[0]);
    close(pair[1]);
}

static void descriptors_are_heard(void **state)
{
    struct ear in = { .source.ready = listen_to }, out = { .source.ready = listen_to };
    int pair[2];

    (void)state;
    make_pair(pair);
    in.source.fd = pair[0];
    out.source.fd = pair[1];
    assert_int_equal(tn_source_watch(loop, &in.source, TN_READABLE), TENON_OK);
    assert_int_equal(tn_loop_step(context, 0), TENON_AGAIN);
    assert_int_equal(tn_source_watch(loop, &out.source, TN_WRITABLE), TENON_OK);
    assert_true(readable(tenon_context_descriptor(context)));
    assert_int_equal(tn_loop_step(context, -1), TENON_OK);
    assert_int_equal(out.heard, TN_WRITABLE);
    /* Changed to nothing it is not heard any more. */
    assert_int_equal(tn_source_watch(loop, &out.source, 0), TENON_OK);
    assert_int_equal(tn_loop_step(context, 0), TENON_AGAIN);
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(tn_loop_step(context, -1), TENON_OK);
    assert_int_equal(in.heard, TN_READABLE);
    tn_source_unwatch(loop, &in.source);
    tn_source_unwatch(loop, &in.source);
    tn_source_unwatch(loop, &out.source);
    assert_int_equal(tn_loop_step(context, 0), TENON_AGAIN);
    assert_int_equal(in.count, 1);
    close_pair(pair);
}

static void a_hang_up_is_heard(void **state)
{
    struct ear in = { .source.ready = listen_to };
    int pair[2];

    (void)state;
    make_pair(pair);
    in.source.fd = pair[0];
    tn_source_watch(loop, &in.source, TN_READABLE);
    close(pair[1]);
    assert_int_equal(tn_loop_step(context, -1), TENON_OK);
    assert_true(in.heard & TN_READABLE);
    tn_source_unwatch(loop, &in.source);
    close(pair[0]);
}

/* Both are ready in the same turn; the first one that is called takes the other away, whose memory may be gone then. */
static void one_ready_source_may_unwatch_another(void **state)
{
    struct ear *ears[2] = { calloc(1, sizeof **ears), calloc(1, sizeof **ears) };
    int pairs[2][2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        make_pair(pairs[i]);
        ears[i]->source = (struct source){ .fd = pairs[i][0], .ready = listen_to };
        ears[i]->unwatches = ears[1 - i];
        tn_source_watch(loop, &ears[i]->source, TN_READABLE);
        assert_int_equal(write(pairs[i][1], "x", 1), 1);
    }
    tn_loop_step(context, 0);
    assert_int_equal(ears[0]->count + ears[1]->count, 1);
    for (int i = 0; i < 2; i++) {
        tn_source_unwatch(loop, &ears[i]->source);
        close_pair(pairs[i]);
        free(ears[i]);
    }
}

/* So it is also taken out at the end: what the system still had would be called when its memory is gone. */
static void one_that_cannot_be_changed_is_watched_as_before(void **state)
{
    struct ear in = { .source.ready = listen_to };
    int pair[2], epoll = loop->epoll;

    (void)state;
    make_pair(pair);
    in.source.fd = pair[0];
    assert_int_equal(tn_source_watch(loop, &in.source, TN_READABLE), TENON_OK);
    loop->epoll = pair[0];
    assert_int_equal(tn_source_watch(loop, &in.source, 0), TENON_ERROR_IO);
    loop->epoll = epoll;
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(tn_loop_step(context, -1), TENON_OK);
    assert_int_equal(in.heard, TN_READABLE);
    tn_source_unwatch(loop, &in.source);
    assert_int_equal(tn_loop_step(context, 0), TENON_AGAIN);
    close_pair(pair);
}

/* libcurl closes sockets and opens others under the same number before it says so. */
static void a_number_that_is_used_again(void **state)
{
    struct ear ear = { .source.ready = listen_to }, later = { .source.ready = listen_to };
    int pair[2], other[2];

    (void)state;
    make_pair(pair);
    make_pair(other);
    ear.source.fd = pair[0];
    tn_source_watch(loop, &ear.source, TN_READABLE);
    assert_int_equal(dup2(other[0], pair[0]), pair[0]);
    assert_int_equal(tn_source_watch(loop, &ear.source, TN_READABLE), TENON_OK);
    assert_int_equal(write(other[1], "x", 1), 1);
    assert_int_equal(tn_loop_step(context, 0), TENON_OK);
    assert_int_equal(ear.count, 1);
    /* And one that is new to us but known to the system. */
    later.source.fd = pair[0];
    assert_int_equal(tn_source_watch(loop, &later.source, TN_READABLE), TENON_OK);
    assert_int_equal(tn_loop_step(context, 0), TENON_OK);
    assert_int_equal(later.count, 1);
    tn_source_unwatch(loop, &later.source);
    close_pair(pair);
    close_pair(other);
    assert_int_equal(tn_source_watch(loop, &ear.source, TN_READABLE), TENON_ERROR_IO);
    assert_false(ear.source.watched);
}

/* ---- waking ---- */

static void *wake_from_elsewhere(void *user)
{
    tenon_context_wake(user);
    return NULL;
}

static void a_waiting_loop_is_woken(void **state)
{
    pthread_t thread;

    (void)state;
    tn_loop_wake(loop);
    tn_loop_wake(loop);
    assert_true(readable(tenon_context_descriptor(context)));
    assert_int_equal(tn_loop_step(context, -1), TENON_OK);
    assert_int_equal(tn_loop_step(context, 0), TENON_AGAIN);
    assert_false(readable(tenon_context_descriptor(context)));
    assert_int_equal(pthread_create(&thread, NULL, wake_from_elsewhere, context), 0);
    assert_int_equal(tenon_context_step(context, -1), TENON_OK);
    pthread_join(thread, NULL);
}

struct walker {
    struct co co;
    int steps;
    int until;
};

static tenon_status walk(struct co *co)
{
    struct walker *walker = TN_CONTAINER(co, struct walker, co);

    if (++walker->steps == walker->until)
        return TENON_OK;
    tn_co_wake(co);
    return TENON_AGAIN;
}

/* A coroutine that always has something to do must not keep descriptors and timers from their turn. */
static void nobody_starves(void **state)
{
    struct walker busy = { .until = 100000 };
    struct alarm alarm = { .timer.fire = ring, .rang_at = -1 };
    struct ear ear = { .source.ready = listen_to };
    int pair[2];

    (void)state;
    make_pair(pair);
    ear.source.fd = pair[0];
    tn_source_watch(loop, &ear.source, TN_READABLE);
    tn_co_start(&busy.co, context, walk, NULL);
    tn_loop_step(context, 0);
    assert_true(busy.steps > 0 && busy.steps < busy.until);
    assert_int_equal(tn_loop_timeout(context), 0);
    assert_true(readable(tenon_context_descriptor(context)));
    assert_int_equal(write(pair[1], "x", 1), 1);
    tn_timer_set(context, &alarm.timer, 0, NULL);
    tn_loop_step(context, -1);
    assert_int_equal(ear.count, 1);
    assert_true(alarm.rang_at >= 0);
    assert_true(tn_co_running(&busy.co));
    tn_co_stop(&busy.co);
    tn_source_unwatch(loop, &ear.source);
    close_pair(pair);
}

static void what_is_started_outside_a_turn_is_told_to_a_foreign_loop(void **state)
{
    struct walker walker = { .until = 1 };
    struct alarm alarm = { .timer.fire = ring, .rang_at = -1 };

    (void)state;
    assert_false(readable(tenon_context_descriptor(context)));
    tn_co_start(&walker.co, context, walk, NULL);
    assert_true(readable(tenon_context_descriptor(context)));
    assert_int_equal(tenon_context_timeout(context), 0);
    assert_int_equal(tenon_context_step(context, 0), TENON_OK);
    assert_int_equal(walker.co.status, TENON_OK);
    assert_false(readable(tenon_context_descriptor(context)));
    /* A timer that is due sooner than all others changes how long a foreign loop may wait. */
    tn_timer_set(context, &alarm.timer, 10, NULL);
    assert_true(readable(tenon_context_descriptor(context)));
    tn_timer_stop(context, &alarm.timer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timers_ring_once_and_in_time),
        TEST(a_timer_that_never_rings),
        TEST(the_heap_keeps_its_order),
        TEST(a_timer_may_stop_another),
        TEST(descriptors_are_heard),
        TEST(a_hang_up_is_heard),
        TEST(one_ready_source_may_unwatch_another),
        TEST(one_that_cannot_be_changed_is_watched_as_before),
        TEST(a_number_that_is_used_again),
        TEST(a_waiting_loop_is_woken),
        TEST(nobody_starves),
        TEST(what_is_started_outside_a_turn_is_told_to_a_foreign_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
