#include "with_memory.h"

struct memory memory;
struct failure failure;

int memory_set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    tn_failure_init(&failure, &memory, NULL);
    return 0;
}

int memory_tear_down(void **state)
{
    (void)state;
    tn_failure_clear(&failure);
    return 0;
}
