#include "with_asking.h"

#include "loop.h"

struct web *web;
struct asking *asking;

int asking_set_up(void **state)
{
    web = *state;
    web_clear(web);
    asking = asking_new(NULL);
    return 0;
}

int asking_tear_down(void **state)
{
    (void)state;
    asking_free(asking);
    return 0;
}

void good(tenon_status status)
{
    if (status != TENON_OK)
        fail_msg("%s: %s", tenon_status_name(status), asking->request.failure.message);
}

void asking_settle(void)
{
    while (tn_loop_step(asking->context, 0) == TENON_OK)
        ;
}
