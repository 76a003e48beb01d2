/* Somebody else's program in C: program LOCATION_OF_A_HUB HOME; prints the configuration's path. */
#include <stdio.h>
#include <string.h>
#include <tenon.h>

int main(int count, char **words)
{
    char home[4096];
    const char *const settings[] = { home, NULL };
    tenon_context_options options = { .struct_size = sizeof options, .settings = settings };
    tenon_context *context = NULL;
    tenon_hub *hub = NULL;
    tenon_task *task = NULL;
    const char *path = "";
    tenon_status status = count == 3 ? TENON_OK : TENON_ERROR_ARGUMENT;

    if (status == TENON_OK) {
        snprintf(home, sizeof home, "home=%s", words[2]);
        status = tenon_context_open(&options, &context);
    }
    if (status == TENON_OK)
        status = tenon_hub_open(context, words[1], NULL, &hub);
    if (status == TENON_OK)
        status = tenon_hub_download(hub, "tenon/tiny", "config.json", NULL, &task);
    if (status == TENON_OK)
        status = tenon_task_wait(task, -1);
    if (status == TENON_OK)
        status = tenon_task_text(task, &path);
    puts(status == TENON_OK ? path : tenon_status_name(status));
    tenon_task_free(task);
    tenon_hub_free(hub);
    tenon_context_free(context);
    return status == TENON_OK ? 0 : 1;
}
