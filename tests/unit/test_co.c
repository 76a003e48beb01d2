#include "support.h"

#include <string.h>

#include "co.h"
#include "loop.h"

static struct test_clock now;
static tenon_context *context;
static char order[200];

static int set_up(void **state)
{
    (void)state;
    now = (struct test_clock){ .now_ms = 1000 };
    context = test_open(&(struct test_hooks){ .clock = &now });
    order[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tenon_context_free(context);
    return 0;
}

/* Turns the loop until nothing can go on. */
static void step(void)
{
    while (tn_loop_step(context, 0) == TENON_OK)
        ;
}

/* Says its name, waits for a door, says it again, waits for a pause, and ends. */
struct walker {
    struct co co;
    const char *name;
    bool door;
    struct timer pause;
    tenon_status end;
    int looked; /* how often it has looked at the door */
};

static void say(const char *name)
{
    assert_true(strlen(order) + strlen(name) < sizeof order);
    strcat(order, name);
}

static bool look(struct walker *walker)
{
    walker->looked++;
    return walker->door;
}

static tenon_status walk(struct co *co)
{
    struct walker *walker = TN_CONTAINER(co, struct walker, co);

    CO_BEGIN(co);
    say(walker->name);
    AWAIT(co, look(walker));
    say(walker->name);
    tn_timer_set(co->context, &walker->pause, 10, co);
    AWAIT(co, !tn_timer_running(&walker->pause));
    say(".");
    CO_END(co);
    return walker->end;
}

static void a_coroutine_reads_from_top_to_bottom(void **state)
{
    struct walker a = { .name = "a", .end = TENON_ERROR_BUSY };

    (void)state;
    tn_co_start(&a.co, context, walk, NULL);
    assert_string_equal(order, "");
    assert_true(tn_co_running(&a.co));
    step();
    assert_string_equal(order, "a");
    step();
    step();
    assert_int_equal(a.looked, 1);
    /* Woken without its condition having come true it looks and waits on. */
    tn_co_wake(&a.co);
    tn_co_wake(&a.co);
    step();
    assert_int_equal(a.looked, 2);
    assert_string_equal(order, "a");
    a.door = true;
    step();
    assert_int_equal(a.looked, 2);
    tn_co_wake(&a.co);
    step();
    assert_string_equal(order, "aa");
    now.now_ms += 10;
    step();
    assert_string_equal(order, "aa.");
    assert_false(tn_co_running(&a.co));
    assert_int_equal(a.co.status, TENON_ERROR_BUSY);
    tn_co_wake(&a.co);
    step();
    assert_string_equal(order, "aa.");
}

static void coroutines_take_turns_in_order(void **state)
{
    struct walker a = { .name = "a", .door = true }, b = { .name = "b", .door = true }, c = { .name = "c", .door = true };

    (void)state;
    tn_co_start(&b.co, context, walk, NULL);
    tn_co_start(&a.co, context, walk, NULL);
    tn_co_start(&c.co, context, walk, NULL);
    step();
    assert_string_equal(order, "bbaacc");
    tn_co_stop(&a.co);
    now.now_ms += 10;
    step();
    assert_string_equal(order, "bbaacc..");
    tn_timer_stop(context, &a.pause);
}

/* ---- one that waits for another ---- */

struct parent {
    struct co co;
    struct walker child;
    int steps;
};

static tenon_status wait_for_child(struct co *co)
{
    struct parent *parent = TN_CONTAINER(co, struct parent, co);

    parent->steps++;
    CO_BEGIN(co);
    parent->child.name = "c";
    tn_co_start(&parent->child.co, co->context, walk, co);
    AWAIT(co, !tn_co_running(&parent->child.co));
    say("p");
    CO_END(co);
    return parent->child.co.status;
}

static void a_child_wakes_its_waiter(void **state)
{
    struct parent parent = { .child.end = TENON_ERROR_QUOTA, .child.door = true };

    (void)state;
    tn_co_start(&parent.co, context, wait_for_child, NULL);
    step();
    step();
    assert_string_equal(order, "cc");
    assert_int_equal(parent.steps, 1);
    now.now_ms += 10;
    step();
    step();
    assert_string_equal(order, "cc.p");
    assert_int_equal(parent.steps, 2);
    assert_int_equal(parent.co.status, TENON_ERROR_QUOTA);
}

static void stopping_is_possible_at_every_moment(void **state)
{
    (void)state;
    for (int moment = 0; moment < 5; moment++) {
        struct parent parent = { .child.door = false };

        if (moment > 0)
            tn_co_start(&parent.co, context, wait_for_child, NULL);
        if (moment > 1)
            step();
        if (moment > 2)
            parent.child.door = true;
        if (moment > 3) {
            tn_co_wake(&parent.child.co);
            step();
        }
        tn_co_stop(&parent.child.co);
        tn_co_stop(&parent.co);
        tn_co_stop(&parent.co);
        tn_timer_stop(context, &parent.child.pause);
        assert_false(tn_co_running(&parent.co));
        if (moment > 0)
            assert_int_equal(parent.co.status, TENON_ERROR_CANCELLED);
        order[0] = '\0';
        now.now_ms += 100;
        step();
        assert_string_equal(order, "");
        assert_int_equal(tn_loop_timeout(context), -1);
    }
}

static void stopping_a_child_wakes_nobody(void **state)
{
    struct parent parent = { .child.door = false };

    (void)state;
    tn_co_start(&parent.co, context, wait_for_child, NULL);
    step();
    step();
    tn_co_stop(&parent.child.co);
    step();
    assert_int_equal(parent.steps, 1);
    tn_co_stop(&parent.co);
}

/* ---- one that stops another that is ready to go on ---- */

static struct walker victim;

static tenon_status stop_victim(struct co *co)
{
    (void)co;
    tn_co_stop(&victim.co);
    memset(&victim, 0xff, sizeof victim);
    return TENON_OK;
}

static void one_may_stop_another_that_is_ready(void **state)
{
    struct co killer;

    (void)state;
    memset(&victim, 0, sizeof victim);
    victim.name = "v";
    tn_co_start(&killer, context, stop_victim, NULL);
    tn_co_start(&victim.co, context, walk, NULL);
    step();
    assert_string_equal(order, "");
}

/* ---- slices ---- */

struct slicer {
    struct co co;
    int left;
};

static tenon_status cut(struct slicer *slicer)
{
    say("s");
    return --slicer->left > 0 ? TENON_AGAIN : TENON_OK;
}

static tenon_status slice(struct co *co)
{
    struct slicer *slicer = TN_CONTAINER(co, struct slicer, co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    AWAIT(co, (status = cut(slicer)) != TENON_AGAIN || tn_co_go_on(co));
    CO_END(co);
    return status;
}

static void long_work_lets_others_in_between(void **state)
{
    struct slicer slicer = { .left = 3 };
    struct walker a = { .name = "a" };

    (void)state;
    tn_co_start(&slicer.co, context, slice, NULL);
    tn_co_start(&a.co, context, walk, NULL);
    step();
    assert_string_equal(order, "sass");
    assert_int_equal(a.looked, 1);
    assert_int_equal(slicer.co.status, TENON_OK);
    tn_co_stop(&a.co);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_coroutine_reads_from_top_to_bottom),
        TEST(coroutines_take_turns_in_order),
        TEST(a_child_wakes_its_waiter),
        TEST(stopping_is_possible_at_every_moment),
        TEST(stopping_a_child_wakes_nobody),
        TEST(one_may_stop_another_that_is_ready),
        TEST(long_work_lets_others_in_between),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
