/*
 * Every function with NULL for each of its pointers in turn: nulls FOLDER_OF_A_HUB HOME SUPERVISOR
 *
 * calls.h, made by the test, prints what each call answers. That nothing crashes is half of it.
 */
#include <string.h>

#include "check.h"
#include "tenon.h"

struct handles {
    tenon_context *context;
    tenon_hub *hub;
    tenon_task *task;
    tenon_accelerator *accelerator;
    tenon_job *job;
};

#include "calls.h"

int main(int count, char **words)
{
    char home[4096], program[4096];
    const char *const settings[] = { home, program, "transport.retries=0", "hub.no_token=1", NULL };
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT,
                                      .settings = settings };
    tenon_job_options work = { .struct_size = sizeof work, .accelerator = "local:cpu",
                               .recipe = "{\"command\": [\"/bin/true\"]}" };
    struct handles handles;

    CHECK(count == 4);
    snprintf(home, sizeof home, "home=%s", words[2]);
    snprintf(program, sizeof program, "job.supervisor=%s", words[3]);
    CHECK(tenon_context_open(&options, &handles.context) == TENON_OK);
    CHECK(tenon_context_set(handles.context, "hub.endpoint", words[1]) == TENON_OK);
    CHECK(tenon_hub_open(handles.context, NULL, NULL, &handles.hub) == TENON_OK);
    CHECK(tenon_hub_read(handles.hub, "tenon/tiny", "config.json", NULL, &handles.task) == TENON_OK);
    CHECK(tenon_accelerator_open(handles.context, "local:cpu", &handles.accelerator) == TENON_OK);
    CHECK(tenon_job_train(handles.context, &work, &handles.job) == TENON_OK);
    call_everything(&handles);
    tenon_job_free(handles.job);
    tenon_accelerator_free(handles.accelerator);
    tenon_task_free(handles.task);
    tenon_hub_free(handles.hub);
    tenon_context_free(handles.context);

    /* And whatever is freed may be NULL. */
    tenon_context_free(NULL);
    tenon_hub_free(NULL);
    tenon_task_free(NULL);
    tenon_accelerator_free(NULL);
    tenon_job_free(NULL);
    CHECK(tenon_context_ref(NULL) == NULL && tenon_hub_ref(NULL) == NULL && tenon_task_ref(NULL) == NULL);
    CHECK(tenon_accelerator_ref(NULL) == NULL && tenon_job_ref(NULL) == NULL);
    tenon_task_cancel(NULL);
    return 0;
}
