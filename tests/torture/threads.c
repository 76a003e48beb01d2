/*
 * Ten contexts on ten threads, and two threads that free what these have made: threads HUB SERVER FOLDER SUPERVISOR
 *
 * Each of the ten downloads, asks a served model and runs jobs, over one cache and one folder of jobs. What it makes it hands
 * over to be freed while it goes on with it, while it works on something else, and after it has left; the contexts last.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "check.h"
#include "tenon.h"

enum { THREADS = 10, ROUNDS = 12, GRAVES = 2, ROOM = THREADS * ROUNDS * 16 };

static char **words;

/* ---- those who free ---- */

enum kind { CONTEXT, HUB, TASK, JOB, ACCELERATOR };

struct burial {
    enum kind kind;
    void *handle;
};

/* A queue in which everything that is to be freed has its place. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t news;
    struct burial burials[ROOM];
    int count, taken, workers;
} yard = { .mutex = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER, .workers = THREADS };

static void bury(enum kind kind, void *handle)
{
    pthread_mutex_lock(&yard.mutex);
    CHECK(yard.count < ROOM);
    yard.burials[yard.count++] = (struct burial){ kind, handle };
    pthread_cond_signal(&yard.news);
    pthread_mutex_unlock(&yard.mutex);
}

static void give_up(struct burial burial)
{
    switch (burial.kind) {
    case CONTEXT:
        tenon_context_wake(burial.handle);
        tenon_context_free(burial.handle);
        break;
    case HUB:
        tenon_hub_free(burial.handle);
        break;
    case TASK:
        tenon_task_free(burial.handle);
        break;
    case JOB:
        tenon_job_free(burial.handle);
        break;
    case ACCELERATOR:
        tenon_accelerator_free(burial.handle);
        break;
    }
}

static void *dig(void *user)
{
    bool more = true;

    (void)user;
    while (more) {
        struct burial burial = { .handle = NULL };

        pthread_mutex_lock(&yard.mutex);
        while (yard.taken == yard.count && yard.workers > 0)
            pthread_cond_wait(&yard.news, &yard.mutex);
        more = yard.taken < yard.count;
        if (more)
            burial = yard.burials[yard.taken++];
        pthread_mutex_unlock(&yard.mutex);
        if (more)
            give_up(burial);
    }
    return NULL;
}

/* ---- those who work ---- */

/* The allocator of each context: whoever works beside its loop does not call it. */
static void check_caller(void)
{
    char name[16];

    CHECK(prctl(PR_GET_NAME, name) == 0);
    CHECK(strcmp(name, "tenon-worker") != 0);
}

static void *allocate(void *user, size_t size)
{
    (void)user;
    check_caller();
    return malloc(size);
}

static void *resize(void *user, void *memory, size_t size)
{
    (void)user;
    check_caller();
    return realloc(memory, size);
}

static void release(void *user, void *memory)
{
    (void)user;
    check_caller();
    free(memory);
}

/* Every other context has workers. */
static tenon_context *open_context(void)
{
    static const tenon_allocator allocator = { .struct_size = sizeof allocator, .allocate = allocate, .resize = resize,
                                               .release = release };
    static atomic_int opened;
    char home[4096], supervisor[4096];
    const char *const settings[] = { home, supervisor, "hub.no_token=1", "hub.part_bytes=65536", "hub.parts=3", NULL };
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT, .settings = settings,
                                      .allocator = &allocator,
                                      .workers = atomic_fetch_add(&opened, 1) % 2 * 2 };
    tenon_context *context;

    snprintf(home, sizeof home, "home=%s", words[3]);
    snprintf(supervisor, sizeof supervisor, "job.supervisor=%s", words[4]);
    CHECK(tenon_context_open(&options, &context) == TENON_OK);
    return context;
}

/* Waits for it; another reference is given up meanwhile. */
static void finish(tenon_task *task)
{
    bury(TASK, tenon_task_ref(task));
    CHECK(tenon_task_wait(task, -1) == TENON_OK);
    bury(TASK, task);
}

/* Gives it up as soon as it has begun, and does a little of it all the same. */
static void leave(tenon_context *context, tenon_task *task)
{
    CHECK(tenon_context_step(context, 0) >= 0);
    bury(TASK, task);
    CHECK(tenon_context_step(context, 0) >= 0);
}

static void download(tenon_context *context, int round)
{
    tenon_download_options fresh = { .struct_size = sizeof fresh, .policy = TENON_CACHE_FRESH };
    tenon_hub *hub;
    tenon_task *task;

    CHECK(tenon_hub_open(context, words[1], NULL, &hub) == TENON_OK);
    CHECK(tenon_hub_snapshot(hub, "acme/small", &fresh, &task) == TENON_OK);
    if (round % 3 == 0)
        finish(task);
    else
        leave(context, task);
    fresh.flags = TENON_DOWNLOAD_FORCE;
    CHECK(tenon_hub_download(hub, "acme/large", "model.bin", &fresh, &task) == TENON_OK);
    bury(HUB, hub);
    if (round % 3 == 1)
        finish(task);
    else
        leave(context, task);
}

static void chat(tenon_context *context, int round)
{
    tenon_chat_options options = { .struct_size = sizeof options, .prompt = "one two three four" };
    tenon_piece piece = { .struct_size = sizeof piece };
    tenon_task *task;

    CHECK(tenon_inference_chat(context, words[2], &options, &task) == TENON_OK);
    CHECK(tenon_task_next_piece(task, -1, &piece) == TENON_OK);
    if (round % 2 == 0)
        finish(task);
    else
        leave(context, task);
}

static void work(tenon_context *context, int round)
{
    tenon_job_options options = { .struct_size = sizeof options, .accelerator = "local:cpu",
                                  .recipe = "{\"command\": [\"/bin/echo\", \"{'loss': 0.5}\"]}" };
    tenon_accelerator *accelerator;
    tenon_job *job;
    tenon_task *task;

    CHECK(tenon_accelerator_open(context, "local:cpu", &accelerator) == TENON_OK);
    bury(ACCELERATOR, accelerator);
    CHECK(tenon_job_train(context, &options, &job) == TENON_OK);
    if (round % 2 == 0)
        CHECK(tenon_job_wait(job, TENON_JOB_SUCCEEDED, NULL) == TENON_OK);
    CHECK(tenon_job_metrics(job, NULL, &task) == TENON_OK);
    leave(context, task);
    CHECK(tenon_job_watch(job, &task) == TENON_OK);
    bury(JOB, job);
    leave(context, task);
}

static void *run(void *user)
{
    tenon_context *context = open_context();

    (void)user;
    for (int round = 0; round < ROUNDS; round++) {
        download(context, round);
        chat(context, round);
        if (round % 4 == 0)
            work(context, round / 4);
    }
    bury(CONTEXT, tenon_context_ref(context));
    CHECK(tenon_context_step(context, 0) >= 0);
    bury(CONTEXT, context);
    pthread_mutex_lock(&yard.mutex);
    yard.workers--;
    pthread_cond_broadcast(&yard.news);
    pthread_mutex_unlock(&yard.mutex);
    return NULL;
}

int main(int count, char **given)
{
    pthread_t threads[THREADS + GRAVES];

    CHECK(count == 5);
    words = given;
    for (int i = 0; i < THREADS + GRAVES; i++)
        CHECK(pthread_create(&threads[i], NULL, i < THREADS ? run : dig, NULL) == 0);
    for (int i = 0; i < THREADS + GRAVES; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    printf("%d handles freed elsewhere\n", yard.count);
    return 0;
}
