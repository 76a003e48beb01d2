/*
 * tenon inside GLib's main loop: glib REPOSITORY FILE
 *
 * A source of GLib's own kind: it watches the context's one descriptor, lets the loop wait no longer than the context allows,
 * and steps the context when either is due. A timer of the program's own ticks meanwhile.
 */
#include <glib.h>
#include <stdio.h>

#include "tenon.h"

/* The source; what GLib knows of it comes first. */
struct tenon_source {
    GSource source;
    tenon_context *context;
    gpointer readable;
};

struct program {
    GMainLoop *loop;
    int ticks;
    tenon_context *context;
    tenon_hub *hub;
    tenon_task *task;
};

/* Asked before the loop waits: how long it may. */
static gboolean prepare(GSource *source, gint *timeout_ms)
{
    int64_t timeout = tenon_context_timeout(((struct tenon_source *)source)->context);

    *timeout_ms = timeout > G_MAXINT ? G_MAXINT : (gint)timeout;
    return timeout == 0;
}

static gboolean check(GSource *source)
{
    struct tenon_source *own = (struct tenon_source *)source;

    return g_source_query_unix_fd(source, own->readable) != 0 || tenon_context_timeout(own->context) == 0;
}

/* One turn of tenon's loop, and a look at what came of it. */
static gboolean dispatch(GSource *source, GSourceFunc look, gpointer user)
{
    tenon_context_step(((struct tenon_source *)source)->context, 0);
    return look(user);
}

static gboolean look(gpointer user)
{
    struct program *program = user;

    if (tenon_task_state(program->task) != TENON_AGAIN)
        g_main_loop_quit(program->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean tick(gpointer user)
{
    struct program *program = user;

    program->ticks++;
    return G_SOURCE_CONTINUE;
}

static void run(struct program *program)
{
    static GSourceFuncs functions = { .prepare = prepare, .check = check, .dispatch = dispatch };
    GSource *source = g_source_new(&functions, sizeof(struct tenon_source));
    struct tenon_source *own = (struct tenon_source *)source;
    guint ticker = g_timeout_add(100, tick, program);

    own->context = program->context;
    own->readable = g_source_add_unix_fd(source, tenon_context_descriptor(program->context), G_IO_IN);
    g_source_set_callback(source, look, program, NULL);
    g_source_attach(source, NULL);
    program->loop = g_main_loop_new(NULL, FALSE);
    g_main_loop_run(program->loop);
    g_main_loop_unref(program->loop);
    g_source_remove(ticker);
    g_source_destroy(source);
    g_source_unref(source);
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

    if (count != 3)
        fprintf(stderr, "glib REPOSITORY FILE\n");
    else if (tenon_context_open(NULL, &program.context) == TENON_OK &&
             tenon_hub_open(program.context, NULL, NULL, &program.hub) == TENON_OK &&
             tenon_hub_download(program.hub, words[1], words[2], NULL, &program.task) == TENON_OK) {
        run(&program);
        status = report(&program);
    } else
        complain(program.context, program.task);
    tenon_task_free(program.task);
    tenon_hub_free(program.hub);
    tenon_context_free(program.context);
    return status;
}
