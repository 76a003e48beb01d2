/*
 * One program, compiled against three headers: the library's own, an older one whose structs lack their last fields (OLDER),
 * and a newer one whose structs have one field more (LATER): sizes FOLDER_OF_A_HUB HOME
 */
#include <stddef.h>
#include <string.h>

#include "check.h"
#include "tenon.h"

/* A row with sentries behind it: whatever the caller's header does not know stays untouched. */
#define ROW(type)                                                            \
    struct {                                                                 \
        type row;                                                            \
        unsigned char sentry[64];                                            \
    }

static int sentry_stands(const unsigned char *sentry)
{
    for (int i = 0; i < 64; i++)
        if (sentry[i] != 0xa5)
            return 0;
    return 1;
}

#define READY(holder) (memset(&(holder), 0xa5, sizeof(holder)), (holder).row.struct_size = sizeof((holder).row))

#ifdef LATER
#define FILLED(holder)                                                                                    \
    ((holder).row.struct_size == offsetof(__typeof__((holder).row), later) && (holder).row.later == 0 &&  \
     sentry_stands((holder).sentry))
#else
#define FILLED(holder) ((holder).row.struct_size == sizeof((holder).row) && sentry_stands((holder).sentry))
#endif

static void read_rows(tenon_context *context, tenon_hub *hub)
{
    ROW(tenon_setting) setting;
    ROW(tenon_error) error;
    ROW(tenon_progress) progress;
    ROW(tenon_file) file;
    ROW(tenon_repository) repository;
    ROW(tenon_machine) machine;
    ROW(tenon_check) answer;
    tenon_accelerator *accelerator;
    tenon_task *task;

    READY(setting);
    CHECK(tenon_setting_at(0, &setting.row) == TENON_OK && FILLED(setting) && strcmp(setting.row.key, "home") == 0);
    CHECK(tenon_hub_download(hub, "tenon/none", "x", NULL, NULL) == TENON_ERROR_NOT_FOUND);
    READY(error);
    CHECK(tenon_context_error(context, &error.row) == TENON_OK && FILLED(error) && error.row.status == TENON_ERROR_NOT_FOUND);

    CHECK(tenon_hub_list(hub, "tenon/tiny", NULL, &task) == TENON_OK);
    READY(file);
    CHECK(tenon_task_next_file(task, -1, &file.row) == TENON_OK && FILLED(file) && file.row.path[0] != '\0');
    CHECK(tenon_task_wait(task, -1) == TENON_OK);
    READY(progress);
    CHECK(tenon_task_progress(task, &progress.row) == TENON_OK && FILLED(progress) && progress.row.ended == 1);
    READY(error);
    CHECK(tenon_task_error(task, &error.row) == TENON_OK && FILLED(error) && error.row.status == TENON_OK);
    tenon_task_free(task);

    CHECK(tenon_hub_info(hub, "tenon/tiny", NULL, &task) == TENON_OK);
    READY(repository);
    CHECK(tenon_task_next_repository(task, -1, &repository.row) == TENON_OK && FILLED(repository));
    CHECK(strcmp(repository.row.id, "tenon/tiny") == 0);
    tenon_task_free(task);

    CHECK(tenon_hub_check(hub, &task) == TENON_OK);
    READY(answer);
    CHECK(tenon_task_next_check(task, -1, &answer.row) == TENON_OK && FILLED(answer) && answer.row.name[0] != '\0');
    tenon_task_free(task);

    CHECK(tenon_accelerator_open(context, "local:cpu", &accelerator) == TENON_OK);
    READY(machine);
    CHECK(tenon_accelerator_facts(accelerator, &machine.row) == TENON_OK && FILLED(machine));
    CHECK(strcmp(machine.row.name, "local:cpu") == 0);
    tenon_accelerator_free(accelerator);

    /* Room for nothing but its size, and not even that. */
    setting.row.struct_size = sizeof(uint32_t);
    CHECK(tenon_setting_at(0, &setting.row) == TENON_OK && setting.row.struct_size == sizeof(uint32_t));
    setting.row.struct_size = 0;
    CHECK(tenon_setting_at(0, &setting.row) == TENON_ERROR_ARGUMENT);
}

static void give_options(tenon_hub *hub)
{
    tenon_list_options list = { .struct_size = sizeof list, .folder = NULL };
    tenon_read_options read = { .struct_size = sizeof read, .offset = 1 };

    CHECK(tenon_hub_list(hub, "tenon/tiny", &list, NULL) == TENON_OK);
    CHECK(tenon_hub_read(hub, "tenon/tiny", "config.json", &read, NULL) == TENON_OK);
#ifdef LATER
    list.later = 1;
    CHECK(tenon_hub_list(hub, "tenon/tiny", &list, NULL) == TENON_ERROR_UNSUPPORTED);
    read.later = INT64_MIN;
    CHECK(tenon_hub_read(hub, "tenon/tiny", "config.json", &read, NULL) == TENON_ERROR_UNSUPPORTED);
#endif
    list.struct_size = 0;
    CHECK(tenon_hub_list(hub, "tenon/tiny", &list, NULL) == TENON_ERROR_ARGUMENT);
}

int main(int count, char **words)
{
    char home[4096];
    const char *const settings[] = { home, NULL };
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT };
    tenon_hub_options hub_options = { .struct_size = sizeof hub_options };
    tenon_context *context;
    tenon_hub *hub;

    CHECK(count == 3);
    snprintf(home, sizeof home, "home=%s", words[2]);
    CHECK(tenon_context_open(&options, &context) == TENON_OK);
#ifdef OLDER
    /* An older caller cannot give what its struct has not: settings. */
    CHECK(tenon_context_set(context, "home", words[2]) == TENON_OK);
    (void)settings;
#else
    tenon_context_free(context);
    options.settings = settings;
    CHECK(tenon_context_open(&options, &context) == TENON_OK);
#endif
    CHECK(tenon_hub_open(context, words[1], &hub_options, &hub) == TENON_OK);
    read_rows(context, hub);
    give_options(hub);
    tenon_hub_free(hub);
    tenon_context_free(context);
    return 0;
}
