/* What tests of requests stand on: the simulator that their group has started, and a request that is made anew for each. */
#ifndef TN_TEST_WITH_ASKING_H
#define TN_TEST_WITH_ASKING_H

#include "support.h"
#include "web.h"

extern struct web *web;
extern struct asking *asking;

/* As setup and teardown of a test. */
int asking_set_up(void **state);
int asking_tear_down(void **state);

/* The test fails, with the request's words, when the request did. */
void good(tenon_status status);
/* Turns the loop until nothing can go on. */
void asking_settle(void);

#endif
