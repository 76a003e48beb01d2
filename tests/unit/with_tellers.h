/* What tests of tasks stand on: a context whose clock is set by hand, and tellers on it. */
#ifndef TN_TEST_WITH_TELLERS_H
#define TN_TEST_WITH_TELLERS_H

#include "support.h"
#include "teller.h"

enum { HOUR_MS = 3600 * 1000 };

extern struct test_clock now;
extern tenon_context *context;
extern atomic_int cleared; /* how many tellers were */

/* As setup and teardown of a test. */
int tellers_set_up(void **state);
int tellers_tear_down(void **state);

tenon_task *start(struct telling telling);
/* Turns the loop until nothing can go on. */
void settle(void);

#endif
