/*
 * Options that only a later tenon knows, compiled against a newer header: options FOLDER_OF_A_HUB HOME SUPERVISOR
 *
 * calls.h, made by the test, gives every function that takes options a struct with an unknown field set.
 */
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
    const char *const settings[] = { home, program, NULL };
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT,
                                      .settings = settings };
    tenon_job_options work = { .struct_size = sizeof work, .accelerator = "local:cpu",
                               .recipe = "{\"command\": [\"/bin/true\"]}" };
    tenon_logger logger = { .struct_size = sizeof logger };
    struct handles handles;

    CHECK(count == 4);
    snprintf(home, sizeof home, "home=%s", words[2]);
    snprintf(program, sizeof program, "job.supervisor=%s", words[3]);
    CHECK(tenon_context_open(&options, &handles.context) == TENON_OK);
    CHECK(tenon_hub_open(handles.context, words[1], NULL, &handles.hub) == TENON_OK);
    CHECK(tenon_hub_list(handles.hub, "tenon/tiny", NULL, &handles.task) == TENON_OK);
    CHECK(tenon_accelerator_open(handles.context, "local:cpu", &handles.accelerator) == TENON_OK);
    CHECK(tenon_job_train(handles.context, &work, &handles.job) == TENON_OK);
    call_everything(&handles);
    CHECK(tenon_job_wait(handles.job, TENON_JOB_SUCCEEDED, NULL) == TENON_OK);
    tenon_job_free(handles.job);
    tenon_accelerator_free(handles.accelerator);
    tenon_task_free(handles.task);
    tenon_hub_free(handles.hub);
    tenon_context_free(handles.context);

    /* The structs within the struct keep the same rule. */
    options.logger = &logger;
    CHECK(tenon_context_open(&options, &handles.context) == TENON_OK);
    tenon_context_free(handles.context);
    logger.later = 1;
    CHECK(tenon_context_open(&options, &handles.context) == TENON_ERROR_UNSUPPORTED);
    logger.later = 0;
    options.later = 1;
    CHECK(tenon_context_open(&options, &handles.context) == TENON_ERROR_UNSUPPORTED);
    return 0;
}
