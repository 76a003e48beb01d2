/*
 * tenon inside an event loop of one's own, here epoll: epoll REPOSITORY FILE
 *
 * The loop waits on two things: a timer of the program's own, and the context's one descriptor. It never waits longer than
 * the context allows, and steps the context after every turn. The rest is an ordinary program.
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "tenon.h"

static int watch(int loop, int descriptor)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = descriptor };

    return epoll_ctl(loop, EPOLL_CTL_ADD, descriptor, &event);
}

/* Something of the program's own: a tick ten times a second, the first at once. */
static int open_timer(void)
{
    struct itimerspec tick = { .it_interval.tv_nsec = 100000000, .it_value.tv_nsec = 1 };
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);

    if (timer >= 0)
        timerfd_settime(timer, 0, &tick, NULL);
    return timer;
}

/* However many ticks went by since the last time: the loop has come round once. */
static int take_tick(int timer)
{
    uint64_t ticks = 0;

    return read(timer, &ticks, sizeof ticks) == sizeof ticks ? 1 : 0;
}

/* Turns the loop until the task has ended; gives the number of ticks meanwhile. */
static int run_loop(tenon_context *context, tenon_task *task, int loop, int timer)
{
    int ticks = 0;

    while (tenon_task_state(task) == TENON_AGAIN) {
        struct epoll_event events[4];
        int64_t timeout = tenon_context_timeout(context);
        int count = epoll_wait(loop, events, 4, timeout > 60000 ? 60000 : (int)timeout);

        for (int i = 0; i < count; i++)
            if (events[i].data.fd == timer)
                ticks += take_tick(timer);
        tenon_context_step(context, 0);
    }
    return ticks;
}

/* Why it did not work: the task's reason, or where there is no task yet the context's. */
static void complain(tenon_context *context, tenon_task *task)
{
    tenon_error error = { .struct_size = sizeof error };

    if ((task != NULL ? tenon_task_error(task, &error) : tenon_context_error(context, &error)) == TENON_OK)
        fprintf(stderr, "%s\n%s\n", error.message, error.hint);
}

static int report(tenon_context *context, tenon_task *task, int ticks)
{
    const char *path = "";

    if (tenon_task_state(task) != TENON_OK) {
        complain(context, task);
        return 1;
    }
    tenon_task_text(task, &path);
    printf("%s\n%d ticks of the timer meanwhile\n", path, ticks);
    return 0;
}

int main(int count, char **words)
{
    tenon_context *context = NULL;
    tenon_hub *hub = NULL;
    tenon_task *task = NULL;
    int loop = epoll_create1(EPOLL_CLOEXEC), timer = open_timer(), status = 1;

    if (count != 3)
        fprintf(stderr, "epoll REPOSITORY FILE\n");
    else if (loop >= 0 && timer >= 0 && tenon_context_open(NULL, &context) == TENON_OK && watch(loop, timer) == 0 &&
        watch(loop, tenon_context_descriptor(context)) == 0 && tenon_hub_open(context, NULL, NULL, &hub) == TENON_OK &&
        tenon_hub_download(hub, words[1], words[2], NULL, &task) == TENON_OK)
        status = report(context, task, run_loop(context, task, loop, timer));
    else
        complain(context, task);
    tenon_task_free(task);
    tenon_hub_free(hub);
    tenon_context_free(context);
    close(timer);
    close(loop);
    return status;
}
