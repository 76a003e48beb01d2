/*
 * A program that draws sixty frames a second, as games and editors do, and downloads meanwhile: frame_loop REPOSITORY
 *
 * Nothing blocks and nothing calls back. A frame steps the context once, reads how far the download is, and draws a bar.
 */
#include <stdio.h>
#include <time.h>

#include "tenon.h"

enum { FRAME_NS = 1000000000 / 60, BAR = 40 };

static void draw_bar(const tenon_progress *progress)
{
    int full = progress->bytes_total > 0 ? (int)(BAR * progress->bytes / progress->bytes_total) : 0;

    printf("\r[");
    for (int i = 0; i < BAR; i++)
        putchar(i < full ? '#' : '.');
    printf("] %.1f of %.1f MB ", (double)progress->bytes / 1e6, (double)(progress->bytes_total > 0 ? progress->bytes_total : 0) / 1e6);
    fflush(stdout);
}

/* Draws until the task has ended; gives the number of frames. */
static int run_frames(tenon_context *context, tenon_task *download)
{
    tenon_progress progress = { .struct_size = sizeof progress };
    tenon_file file = { .struct_size = sizeof file };
    struct timespec next;
    int frames = 0;

    clock_gettime(CLOCK_MONOTONIC, &next);
    while (!progress.ended) {
        tenon_context_step(context, 0);
        while (tenon_task_next_file(download, 0, &file) == TENON_OK)
            printf("\r%-70s\n", file.path);
        tenon_task_progress(download, &progress);
        draw_bar(&progress);
        frames++;

        next.tv_nsec += FRAME_NS;
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    putchar('\n');
    return frames;
}

/* Why it did not work: the task's reason, or where there is no task yet the context's. */
static void complain(tenon_context *context, tenon_task *task)
{
    tenon_error error = { .struct_size = sizeof error };

    if ((task != NULL ? tenon_task_error(task, &error) : tenon_context_error(context, &error)) == TENON_OK)
        fprintf(stderr, "%s\n%s\n", error.message, error.hint);
}

static int report(tenon_context *context, tenon_task *download, int frames)
{
    const char *folder = "";

    if (tenon_task_state(download) != TENON_OK) {
        complain(context, download);
        return 1;
    }
    tenon_task_text(download, &folder);
    printf("%s\n%d frames\n", folder, frames);
    return 0;
}

int main(int count, char **words)
{
    tenon_context *context = NULL;
    tenon_hub *hub = NULL;
    tenon_task *download = NULL;
    int status = 1;

    if (count != 2)
        fprintf(stderr, "frame_loop REPOSITORY\n");
    else if (tenon_context_open(NULL, &context) == TENON_OK && tenon_hub_open(context, NULL, NULL, &hub) == TENON_OK &&
        tenon_hub_snapshot(hub, words[1], NULL, &download) == TENON_OK)
        status = report(context, download, run_frames(context, download));
    else
        complain(context, download);
    tenon_task_free(download);
    tenon_hub_free(hub);
    tenon_context_free(context);
    return status;
}
