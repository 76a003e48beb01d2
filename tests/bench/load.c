/* load REPOSITORY: loads libtenon, opens a context, and makes its first request, to the hub of HF_ENDPOINT. */
#include <stdio.h>

#include "tenon.h"

int main(int count, char **words)
{
    tenon_context *context = NULL;
    tenon_hub *hub = NULL;
    tenon_status status = tenon_context_open(NULL, &context);

    if (status == TENON_OK)
        status = tenon_hub_open(context, NULL, NULL, &hub);
    if (status == TENON_OK)
        status = tenon_hub_info(hub, count > 1 ? words[1] : "", NULL, NULL);
    if (status != TENON_OK)
        fprintf(stderr, "status %d\n", (int)status);
    tenon_hub_free(hub);
    tenon_context_free(context);
    return status == TENON_OK ? 0 : 1;
}
