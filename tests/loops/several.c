/*
 * Several tasks in a host's own loop, which is plain poll(2): several URL HOME
 *
 * The loop knows nothing of tenon but one descriptor and one timeout. Five downloads trickle in, a sixth stalls; a tick of the
 * host's own goes on meanwhile. When the five are there the sixth is cancelled. What came of it is printed as JSON.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>

#include "check.h"
#include "tenon.h"

enum { DOWNLOADS = 5, TASKS = DOWNLOADS + 1, TICK_US = 10000 };

struct loop {
    tenon_context *context;
    tenon_hub *hub;
    tenon_task *tasks[TASKS];
    int64_t next_tick;
    int64_t longest_step;
    int64_t longest_gap; /* by how much a tick was late at most */
    int ticks, turns, done;
};

static tenon_context *to_wake;

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int wait_at_most(struct loop *loop, int64_t most_us)
{
    struct pollfd readable = { .fd = tenon_context_descriptor(loop->context), .events = POLLIN };
    int64_t timeout = tenon_context_timeout(loop->context);
    int64_t wait = most_us / 1000 + 1;

    if (timeout >= 0 && timeout < wait)
        wait = timeout;
    return poll(&readable, 1, (int)wait);
}

static void step(struct loop *loop)
{
    int64_t start = now_us(), took;

    CHECK(tenon_context_step(loop->context, 0) >= 0);
    took = now_us() - start;
    loop->longest_step = took > loop->longest_step ? took : loop->longest_step;
}

static void turn(struct loop *loop)
{
    int64_t late;

    late = loop->next_tick - now_us();
    wait_at_most(loop, late > 0 ? late : 0);
    late = now_us() - loop->next_tick;
    if (late >= 0) {
        loop->ticks++;
        loop->longest_gap = late > loop->longest_gap ? late : loop->longest_gap;
        loop->next_tick = now_us() + TICK_US;
    }
    step(loop);
    loop->turns++;
}

static void take_news(struct loop *loop)
{
    tenon_task *task;

    while (tenon_context_next_task(loop->context, &task) == TENON_OK) {
        struct loop **user = tenon_task_user(task);

        CHECK(*user == loop);
        if (tenon_task_state(task) != TENON_AGAIN) {
            CHECK(tenon_task_state(task) == TENON_OK);
            loop->done++;
        }
    }
}

static void start(struct loop *loop, int index)
{
    static const char *const names[TASKS] = { "acme/one", "acme/two", "acme/three", "acme/four", "acme/five", "acme/stalled" };
    static struct loop *user;

    user = loop;
    CHECK(tenon_hub_download(loop->hub, names[index], "model.bin", NULL, &loop->tasks[index]) == TENON_OK);
    tenon_task_set_user(loop->tasks[index], &user);
}

/* The time until the stalled one says that it was cancelled. */
static int64_t cancel_last(struct loop *loop)
{
    tenon_progress progress = { .struct_size = sizeof progress };
    int64_t start;

    CHECK(tenon_task_state(loop->tasks[DOWNLOADS]) == TENON_AGAIN);
    CHECK(tenon_task_progress(loop->tasks[DOWNLOADS], &progress) == TENON_OK && progress.bytes > 0);
    start = now_us();
    tenon_task_cancel(loop->tasks[DOWNLOADS]);
    CHECK(tenon_task_state(loop->tasks[DOWNLOADS]) == TENON_ERROR_CANCELLED);
    return now_us() - start;
}

static void *wake_later(void *user)
{
    struct timespec pause = { .tv_nsec = 20000000 };

    (void)user;
    nanosleep(&pause, NULL);
    tenon_context_wake(to_wake);
    return NULL;
}

static void on_signal(int number)
{
    (void)number;
    tenon_context_wake(to_wake);
}

/* A loop that sleeps without end comes round when another thread, or a signal handler, wakes the context. */
static void be_woken(struct loop *loop)
{
    struct sigaction action = { .sa_handler = on_signal };
    struct pollfd readable = { .fd = tenon_context_descriptor(loop->context), .events = POLLIN };
    pthread_t thread;

    while (tenon_context_step(loop->context, 0) == TENON_OK)
        ;
    CHECK(poll(&readable, 1, 0) == 0);
    to_wake = loop->context;
    CHECK(pthread_create(&thread, NULL, wake_later, NULL) == 0);
    CHECK(poll(&readable, 1, 60000) == 1);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(tenon_context_step(loop->context, 0) == TENON_OK && poll(&readable, 1, 0) == 0);

    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && raise(SIGUSR1) == 0);
    CHECK(poll(&readable, 1, 60000) == 1);
    CHECK(tenon_context_step(loop->context, 60000) == TENON_OK && poll(&readable, 1, 0) == 0);
}

int main(int count, char **words)
{
    char home[4096];
    const char *const settings[] = { home, "hub.no_token=1", NULL };
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT,
                                      .settings = settings };
    struct loop loop = { .ticks = 0 };
    int64_t begin, took, cancelled;
    int descriptor;

    CHECK(count == 3);
    snprintf(home, sizeof home, "home=%s", words[2]);
    CHECK(tenon_context_open(&options, &loop.context) == TENON_OK);
    CHECK(tenon_hub_open(loop.context, words[1], NULL, &loop.hub) == TENON_OK);
    be_woken(&loop);
    descriptor = tenon_context_descriptor(loop.context);
    for (int i = 0; i < TASKS; i++)
        start(&loop, i);
    begin = now_us();
    loop.next_tick = begin + TICK_US;
    while (loop.done < DOWNLOADS) {
        turn(&loop);
        take_news(&loop);
    }
    took = now_us() - begin;
    cancelled = cancel_last(&loop);
    CHECK(tenon_context_descriptor(loop.context) == descriptor);
    printf("{\"took_ms\": %lld, \"ticks\": %d, \"turns\": %d, \"longest_step_us\": %lld, \"latest_tick_us\": %lld, "
           "\"cancel_us\": %lld}\n", (long long)took / 1000, loop.ticks, loop.turns, (long long)loop.longest_step,
           (long long)loop.longest_gap, (long long)cancelled);
    for (int i = 0; i < TASKS; i++)
        tenon_task_free(loop.tasks[i]);
    tenon_hub_free(loop.hub);
    tenon_context_free(loop.context);
    return 0;
}
