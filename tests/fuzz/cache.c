/*
 * A cache and a file: hub as others left them: their files stand in the input, as fuzz.h says, below hub/ and repositories/.
 * They are listed, verified, downloaded from, published to and forgotten. Whatever they are: every row is sound, and nothing
 * is written outside of the home folder.
 */
#include "fuzz.h"

#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* ---- what is left in the folder ---- */

static int look_at(const char *path, const struct stat *facts, int type, struct FTW *where)
{
    const char *home = path + strlen(fuzz_folder());

    (void)facts;
    (void)where;
    HOLDS(type != FTW_NS && (*home == '\0' || strncmp(home, "/home", 5) == 0));
    return 0;
}

/* ---- the operations ---- */

/* Ends what was started, if it was. */
static void run(tenon_status status, tenon_task **task)
{
    HOLDS((status == TENON_OK) == (*task != NULL));
    fuzz_finish(*task);
    *task = NULL;
}

static void take_files(tenon_status status, tenon_task **task)
{
    tenon_file file = { .struct_size = sizeof file };
    tenon_status started = status;

    while (fuzz_goes_on(status)) {
        status = tenon_task_next_file(*task, 0, &file);
        if (status == TENON_OK)
            HOLDS(file.bytes >= -1 && fuzz_is_utf8(file.path) && fuzz_is_utf8(file.repository));
    }
    run(started, task);
}

static void use_cache(tenon_context *context)
{
    tenon_hub_options offline = { .struct_size = sizeof offline, .policy = TENON_CACHE_OFFLINE };
    tenon_hub *hub = NULL;
    tenon_task *task = NULL;

    HOLDS(tenon_hub_open(context, NULL, &offline, &hub) == TENON_OK);
    take_files(tenon_hub_cached(hub, NULL, NULL, &task), &task);
    take_files(tenon_hub_verify(hub, "acme/small", NULL, &task), &task);
    run(tenon_hub_snapshot(hub, "acme/small", NULL, &task), &task);
    run(tenon_hub_download(hub, "acme/small", "config.json", NULL, &task), &task);
    run(tenon_hub_info(hub, "acme/small", NULL, &task), &task);
    run(tenon_hub_forget(hub, "acme/small", NULL, &task), &task);
    tenon_hub_free(hub);
}

static void use_folder(tenon_context *context)
{
    char location[PATH_MAX], here[PATH_MAX];
    tenon_download_options into = { .struct_size = sizeof into, .folder = here };
    tenon_publish_options publish = { .struct_size = sizeof publish, .folder = here };
    tenon_hub *hub = NULL;
    tenon_task *task = NULL;

    snprintf(location, sizeof location, "file://%s/home/repositories", fuzz_folder());
    snprintf(here, sizeof here, "%s/home/here", fuzz_folder());
    if (tenon_hub_open(context, location, NULL, &hub) != TENON_OK)
        return;
    take_files(tenon_hub_list(hub, "acme/small", NULL, &task), &task);
    run(tenon_hub_references(hub, "acme/small", NULL, &task), &task);
    run(tenon_hub_info(hub, "acme/small", NULL, &task), &task);
    run(tenon_hub_snapshot(hub, "acme/small", &into, &task), &task);
    run(tenon_hub_publish(hub, "acme/small", &publish, &task), &task);
    run(tenon_hub_download(hub, "acme/small", "config.json", NULL, &task), &task);
    tenon_hub_free(hub);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char home[PATH_MAX], cache[PATH_MAX];
    tenon_context *context;

    fuzz_empty_folder();
    snprintf(home, sizeof home, "%s/home", fuzz_folder());
    if (!fuzz_lay_out(home, bytes, size))
        return -1;
    snprintf(cache, sizeof cache, "%s/home/hub", fuzz_folder());
    context = fuzz_context();
    HOLDS(tenon_context_set(context, "hub.cache", cache) == TENON_OK);
    use_cache(context);
    use_folder(context);
    tenon_context_free(context);
    HOLDS(nftw(fuzz_folder(), look_at, 16, FTW_PHYS) == 0);
    return 0;
}
