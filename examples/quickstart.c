/* Fetches a repository into the cache that the official tools use, and prints where it is: quickstart [REPOSITORY] */
#include <stdio.h>

#include "tenon.h"

int main(int count, char **words)
{
    const char *repository = count > 1 ? words[1] : "hf-internal-testing/tiny-random-gpt2";
    tenon_error error = { .struct_size = sizeof error };
    tenon_context *context = NULL;
    tenon_hub *hub = NULL;
    tenon_task *task = NULL;
    const char *folder = "";

    tenon_status status = tenon_context_open(NULL, &context);
    if (status == TENON_OK)
        status = tenon_hub_open(context, NULL, NULL, &hub);
    if (status == TENON_OK)
        status = tenon_hub_snapshot(hub, repository, NULL, &task);
    if (status == TENON_OK)
        status = tenon_task_wait(task, -1);
    if (status == TENON_OK && tenon_task_text(task, &folder) == TENON_OK)
        printf("%s\n", folder);
    else if ((task != NULL ? tenon_task_error(task, &error) : tenon_context_error(context, &error)) == TENON_OK)
        fprintf(stderr, "%s\n%s\n", error.message, error.hint);

    tenon_task_free(task);
    tenon_hub_free(hub);
    tenon_context_free(context);
    return status == TENON_OK ? 0 : 1;
}
