/*
 * tenon inside libuv's loop: libuv REPOSITORY FILE
 *
 * uv_poll_t watches the context's one descriptor, uv_timer_t keeps the longest wait that the context allows, and whichever of
 * the two fires steps the context. A timer of the program's own ticks meanwhile.
 */
#include <stdio.h>
#include <uv.h>

#include "tenon.h"

struct program {
    uv_loop_t loop;
    uv_poll_t readable;
    uv_timer_t due;
    uv_timer_t tick;
    int ticks;
    tenon_context *context;
    tenon_hub *hub;
    tenon_task *task;
};

static void on_due(uv_timer_t *timer);

static void close_handles(struct program *program)
{
    uv_close((uv_handle_t *)&program->readable, NULL);
    uv_close((uv_handle_t *)&program->due, NULL);
    uv_close((uv_handle_t *)&program->tick, NULL);
}

/* One turn of tenon's loop; then the timeout is read again, as it may have changed. */
static void step(struct program *program)
{
    int64_t timeout;

    tenon_context_step(program->context, 0);
    timeout = tenon_context_timeout(program->context);
    if (tenon_task_state(program->task) != TENON_AGAIN)
        close_handles(program);
    else if (timeout >= 0)
        uv_timer_start(&program->due, on_due, (uint64_t)timeout, 0);
    else
        uv_timer_stop(&program->due);
}

static void on_due(uv_timer_t *timer)
{
    step(timer->data);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    step(poll->data);
}

static void on_tick(uv_timer_t *timer)
{
    struct program *program = timer->data;

    program->ticks++;
}

static void watch(struct program *program)
{
    uv_poll_init(&program->loop, &program->readable, tenon_context_descriptor(program->context));
    uv_timer_init(&program->loop, &program->due);
    uv_timer_init(&program->loop, &program->tick);
    program->readable.data = program->due.data = program->tick.data = program;
    uv_poll_start(&program->readable, UV_READABLE, on_readable);
    uv_timer_start(&program->tick, on_tick, 0, 100);
    uv_timer_start(&program->due, on_due, 0, 0);
}

/* Why it did not work: the task's reason, or where there is no task yet the context's. */
static void complain(tenon_context *context, tenon_task *task)
{
    tenon_error error = { .struct_size = sizeof error };

    if ((task != NULL ? tenon_task_error(task, &error) : tenon_context_error(context, &error)) == TENON_OK)
        fprintf(stderr, "%s\n%s\n", error.message, error.hint);
}

static int report(struct program *program)
{
    const char *path = "";

    if (tenon_task_state(program->task) != TENON_OK) {
        complain(program->context, program->task);
        return 1;
    }
    tenon_task_text(program->task, &path);
    printf("%s\n%d ticks of the timer meanwhile\n", path, program->ticks);
    return 0;
}

int main(int count, char **words)
{
    struct program program = { .ticks = 0 };
    int status = 1;

    uv_loop_init(&program.loop);
    if (count != 3)
        fprintf(stderr, "libuv REPOSITORY FILE\n");
    else if (tenon_context_open(NULL, &program.context) == TENON_OK &&
        tenon_hub_open(program.context, NULL, NULL, &program.hub) == TENON_OK &&
        tenon_hub_download(program.hub, words[1], words[2], NULL, &program.task) == TENON_OK) {
        watch(&program);
        uv_run(&program.loop, UV_RUN_DEFAULT);
        status = report(&program);
    } else
        complain(program.context, program.task);
    uv_loop_close(&program.loop);
    tenon_task_free(program.task);
    tenon_hub_free(program.hub);
    tenon_context_free(program.context);
    return status;
}
