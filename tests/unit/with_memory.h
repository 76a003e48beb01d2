/* What tests of a piece stand on that needs no context: memory, and a failure that is made anew for each. */
#ifndef TN_TEST_WITH_MEMORY_H
#define TN_TEST_WITH_MEMORY_H

#include "support.h"

extern struct memory memory;
extern struct failure failure;

/* As setup and teardown of a test. */
int memory_set_up(void **state);
int memory_tear_down(void **state);

#endif
