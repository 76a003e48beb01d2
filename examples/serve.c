/*
 * Serves a model on this machine and asks it something: serve [MODEL [RECIPE]]
 *
 * Without arguments the model is that of the example hub and its server the example workload:
 * HF_ENDPOINT=file://$PWD/examples/hub build/examples/serve
 */
#include <stdio.h>
#include <stdlib.h>

#include "tenon.h"

static tenon_context *tenon;

static void check(tenon_status status)
{
    tenon_error error = { .struct_size = sizeof error };

    if (status >= 0)
        return;
    tenon_context_error(tenon, &error);
    fprintf(stderr, "%s\n%s\n", error.message, error.hint);
    exit(1);
}

int main(int count, char **words)
{
    tenon_job_options options = { .struct_size = sizeof options,
        .model = count > 1 ? words[1] : "tenon/tiny",
        .recipe = count > 2 ? words[2] : "examples/workload/serve.json",
        .accelerator = "local:cpu" };
    tenon_chat_options question = { .struct_size = sizeof question, .prompt = "What is a tenon?", .max_tokens = 64 };
    tenon_piece piece = { .struct_size = sizeof piece };
    tenon_job *job = NULL;
    tenon_task *answer = NULL;
    const char *id;

    check(tenon_context_open(NULL, &tenon));
    check(tenon_job_serve(tenon, &options, &job));
    check(tenon_job_wait(job, TENON_JOB_RUNNING, NULL));
    check(tenon_job_id(job, &id));
    check(tenon_inference_chat(tenon, id, &question, &answer));
    while (tenon_task_next_piece(answer, -1, &piece) == TENON_OK)
        fputs(piece.text, stdout);
    fputs("\n", stdout);
    check(tenon_job_stop(job, NULL, NULL));

    tenon_task_free(answer);
    tenon_job_free(job);
    tenon_context_free(tenon);
}
