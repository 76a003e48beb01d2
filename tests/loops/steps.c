/*
 * How long a host that draws frames is held up at most: steps URL FOLDER SUPERVISOR
 *
 * Every kind of work on large content, each by steps that may do only what can be done now. For each the longest step and the
 * longest call are printed as JSON: a line for each.
 */
#include <poll.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "tenon.h"

struct measure {
    int64_t longest_call, longest_step, steps, began;
};

static tenon_context *context;

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void note(int64_t *longest, int64_t since)
{
    int64_t took = now_us() - since;

    *longest = took > *longest ? took : *longest;
}

static struct measure begin(void)
{
    return (struct measure) { .began = now_us() };
}

/* Steps until the task has ended, or has done so many bytes. */
static void follow(struct measure *measure, tenon_task *task, int64_t bytes)
{
    tenon_progress progress = { .struct_size = sizeof progress };

    note(&measure->longest_call, measure->began);
    while (tenon_task_state(task) == TENON_AGAIN && (bytes == 0 || progress.bytes < bytes)) {
        struct pollfd readable = { .fd = tenon_context_descriptor(context), .events = POLLIN };
        int64_t timeout = tenon_context_timeout(context), start;

        poll(&readable, 1, timeout < 0 || timeout > 10 ? 10 : (int)timeout);
        start = now_us();
        CHECK(tenon_context_step(context, 0) >= 0);
        note(&measure->longest_step, start);
        start = now_us();
        CHECK(tenon_task_progress(task, &progress) == TENON_OK);
        note(&measure->longest_call, start);
        measure->steps++;
    }
}

static void end(const char *what, struct measure *measure, tenon_task *task)
{
    int64_t took = now_us() - measure->began, start;

    CHECK(tenon_task_state(task) == TENON_OK);
    start = now_us();
    tenon_task_free(task);
    note(&measure->longest_call, start);
    printf("{\"what\": \"%s\", \"took_ms\": %lld, \"steps\": %lld, \"longest_step_ms\": %.1f, \"longest_call_ms\": %.1f}\n", what,
           (long long)took / 1000, (long long)measure->steps, (double)measure->longest_step / 1000,
           (double)measure->longest_call / 1000);
}

static void downloads(tenon_hub *hub)
{
    struct measure measure = begin();
    tenon_task *task;

    CHECK(tenon_hub_download(hub, "acme/large", "model.bin", NULL, &task) == TENON_OK);
    follow(&measure, task, 0);
    end("download", &measure, task);

    measure = begin();
    CHECK(tenon_hub_verify(hub, "acme/large", NULL, &task) == TENON_OK);
    follow(&measure, task, 0);
    end("verify", &measure, task);

    /* Cut off when most is there; then all that is there is read again. */
    measure = begin();
    CHECK(tenon_hub_download(hub, "acme/other", "model.bin", NULL, &task) == TENON_OK);
    follow(&measure, task, 40 << 20);
    tenon_task_cancel(task);
    tenon_task_free(task);
    measure = begin();
    CHECK(tenon_hub_download(hub, "acme/other", "model.bin", NULL, &task) == TENON_OK);
    follow(&measure, task, 0);
    end("go on", &measure, task);
}

static void folders(const char *folder, tenon_hub *from)
{
    char location[4096];
    tenon_publish_options publish = { .struct_size = sizeof publish };
    tenon_download_options plain = { .struct_size = sizeof plain };
    struct measure measure;
    tenon_task *task;
    tenon_hub *hub;
    char target[4096];

    snprintf(target, sizeof target, "%s/plain", folder);
    plain.folder = target;
    measure = begin();
    CHECK(tenon_hub_snapshot(from, "acme/large", &plain, &task) == TENON_OK);
    follow(&measure, task, 0);
    end("into a folder", &measure, task);

    snprintf(location, sizeof location, "file://%s/hub", folder);
    CHECK(tenon_hub_open(context, location, NULL, &hub) == TENON_OK);
    publish.folder = target;
    measure = begin();
    CHECK(tenon_hub_publish(hub, "acme/published", &publish, &task) == TENON_OK);
    follow(&measure, task, 0);
    end("publish", &measure, task);

    measure = begin();
    CHECK(tenon_hub_snapshot(hub, "acme/published", NULL, &task) == TENON_OK);
    follow(&measure, task, 0);
    end("from a file: hub", &measure, task);
    tenon_hub_free(hub);
}

static void machine(void)
{
    tenon_job_options work = { .struct_size = sizeof work, .accelerator = "local:cpu",
                               .recipe = "{\"command\": [\"/bin/true\"]}" };
    struct measure measure = begin();
    tenon_task *task;
    tenon_job *job;

    CHECK(tenon_accelerator_list(context, NULL, &task) == TENON_OK);
    follow(&measure, task, 0);
    end("accelerators", &measure, task);

    measure = begin();
    CHECK(tenon_job_train(context, &work, &job) == TENON_OK);
    CHECK(tenon_job_wait(job, TENON_JOB_SUCCEEDED, &task) == TENON_OK);
    follow(&measure, task, 0);
    end("job", &measure, task);
    tenon_job_free(job);
}

int main(int count, char **words)
{
    char home[4096], program[4096];
    const char *const settings[] = { home, program, "hub.no_token=1", NULL };
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT,
                                      .settings = settings };
    tenon_hub *hub;

    CHECK(count == 4);
    snprintf(home, sizeof home, "home=%s", words[2]);
    snprintf(program, sizeof program, "job.supervisor=%s", words[3]);
    CHECK(tenon_context_open(&options, &context) == TENON_OK);
    CHECK(tenon_hub_open(context, words[1], NULL, &hub) == TENON_OK);
    downloads(hub);
    folders(words[2], hub);
    machine();
    tenon_hub_free(hub);
    tenon_context_free(context);
    return 0;
}
