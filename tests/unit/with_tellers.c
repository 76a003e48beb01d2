#include "with_tellers.h"

struct test_clock now;
tenon_context *context;
atomic_int cleared;

int tellers_set_up(void **state)
{
    (void)state;
    now = (struct test_clock){ .now_ms = 1000 };
    context = test_open(&(struct test_hooks){ .clock = &now });
    cleared = 0;
    return 0;
}

int tellers_tear_down(void **state)
{
    (void)state;
    tenon_context_free(context);
    return 0;
}

tenon_task *start(struct telling telling)
{
    tenon_task *task = NULL;

    telling.cleared = &cleared;
    assert_int_equal(test_tell(context, &telling, &task), TENON_OK);
    assert_non_null(task);
    return task;
}

void settle(void)
{
    while (tenon_context_step(context, 0) == TENON_OK)
        ;
}
