/*
 * jobs COUNT SECONDS: starts COUNT local jobs that sleep, watches them from one thread for SECONDS, and stops them. Prints as JSON
 * what watching took: bytes of the context's allocator and of the process for each job, and the part of a processor.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "tenon.h"

enum { LONGEST_MS = 900000 }; /* jobs end by themselves where this program could not end them */

static const char RECIPE[] = "{\"command\": [\"/bin/sleep\", \"3600\"], \"resources\": {\"cpus\": 1}}";

static size_t held; /* bytes that the context holds, without malloc's own */

static void *allocate(void *user, size_t size)
{
    void *memory = malloc(size);

    (void)user;
    held += memory != NULL ? malloc_usable_size(memory) : 0;
    return memory;
}

static void release(void *user, void *memory)
{
    (void)user;
    held -= malloc_usable_size(memory);
    free(memory);
}

static void *resize(void *user, void *memory, size_t size)
{
    size_t before = malloc_usable_size(memory);
    void *moved = realloc(memory, size);

    (void)user;
    if (moved != NULL)
        held += malloc_usable_size(moved) - before;
    return moved;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Seconds of a processor that this process has used. */
static double used(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Bytes of this process that are in memory and its own. */
static long long own_memory(void)
{
    long long resident = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%*d %lld %lld", &resident, &shared) != 2)
        exit(1);
    fclose(file);
    return (resident - shared) * 4096;
}

static void check(tenon_status status, const char *what)
{
    if (status != TENON_OK) {
        fprintf(stderr, "%s: status %d\n", what, (int)status);
        exit(1);
    }
}

/* Ends what was started, whatever came of it. */
static void stop(tenon_job **jobs, int count)
{
    tenon_stop_options options = { .struct_size = sizeof options, .force = 1 };
    tenon_task **tasks = calloc((size_t)count, sizeof *tasks);

    for (int i = 0; i < count; i++)
        check(tenon_job_stop(jobs[i], &options, &tasks[i]), "stopping");
    for (int i = 0; i < count; i++) {
        check(tenon_task_wait(tasks[i], -1), "having stopped");
        tenon_task_free(tasks[i]);
    }
    free(tasks);
}

int main(int argument_count, char **words)
{
    int count = argument_count > 1 ? atoi(words[1]) : 0;
    double seconds = argument_count > 2 ? atof(words[2]) : 0, begun, cpu;
    tenon_allocator allocator = { .struct_size = sizeof allocator, .allocate = allocate, .resize = resize, .release = release };
    tenon_context_options options = { .struct_size = sizeof options, .allocator = &allocator };
    tenon_job_options what = { .struct_size = sizeof what, .recipe = RECIPE, .threads = 1, .name = "bench",
                               .expiry_ms = LONGEST_MS };
    tenon_job **jobs = calloc((size_t)count + 1, sizeof *jobs);
    tenon_task **tasks = calloc((size_t)count + 1, sizeof *tasks);
    tenon_context *context = NULL;
    size_t held_before;
    long long own_before;
    int turns = 0, alive = 0;

    check(tenon_context_open(&options, &context), "opening");
    check(tenon_job_train(context, &what, &jobs[0]), "starting");
    check(tenon_job_wait(jobs[0], TENON_JOB_RUNNING, NULL), "running");
    held_before = held;
    own_before = own_memory();
    for (int i = 1; i <= count; i++) {
        check(tenon_job_train(context, &what, &jobs[i]), "starting");
        check(tenon_job_wait(jobs[i], TENON_JOB_RUNNING, NULL), "running");
    }
    for (int i = 1; i <= count; i++)
        check(tenon_job_wait(jobs[i], TENON_JOB_SUCCEEDED, &tasks[i]), "watching");
    for (begun = now(); now() - begun < 2;) /* what the start still had to say is heard */
        tenon_context_step(context, 100);
    cpu = used();
    for (begun = now(); now() - begun < seconds; turns++)
        tenon_context_step(context, 100);
    cpu = used() - cpu;
    for (int i = 1; i <= count; i++)
        alive += tenon_task_state(tasks[i]) == TENON_AGAIN;
    printf("{\"jobs\": %d, \"watched\": %d, \"held\": %.1f, \"own\": %.1f, \"part\": %.5f, \"turns\": %.1f}\n", count, alive,
           (double)(held - held_before) / count, (double)(own_memory() - own_before) / count, cpu / (now() - begun),
           turns / seconds);
    for (int i = 1; i <= count; i++)
        tenon_task_free(tasks[i]);
    stop(jobs, count + 1);
    for (int i = 0; i <= count; i++)
        tenon_job_free(jobs[i]);
    tenon_context_free(context);
    free(jobs);
    free(tasks);
    return 0;
}
