/* Ten contexts on ten threads at once, over one cache; every handle is freed by another thread: threads URL FOLDER */
#include <pthread.h>

#include "check.h"
#include "tenon.h"

enum { THREADS = 10, ROUNDS = 10 };

static const char *url;
static const char *folder;

struct handles {
    pthread_t thread;
    tenon_context *context;
    tenon_hub *hub;
    tenon_task *tasks[ROUNDS];
};

static void *work(void *user)
{
    struct handles *mine = user;
    char home[4096];
    const char *const settings[] = { home, "hub.no_token=1", NULL };
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT,
                                      .settings = settings };
    tenon_download_options fresh = { .struct_size = sizeof fresh, .policy = TENON_CACHE_FRESH };

    snprintf(home, sizeof home, "home=%s", folder);
    CHECK(tenon_context_open(&options, &mine->context) == TENON_OK);
    CHECK(tenon_hub_open(mine->context, url, NULL, &mine->hub) == TENON_OK);
    for (int i = 0; i < ROUNDS; i++) {
        CHECK(tenon_hub_snapshot(mine->hub, "acme/small", &fresh, &mine->tasks[i]) == TENON_OK);
        CHECK(tenon_task_wait(mine->tasks[i], i % 2 == 0 ? -1 : 0) >= 0);
    }
    return NULL;
}

int main(int count, char **words)
{
    struct handles handles[THREADS];

    CHECK(count == 3);
    url = words[1];
    folder = words[2];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&handles[i].thread, NULL, work, &handles[i]) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(handles[i].thread, NULL) == 0);
    for (int i = 0; i < THREADS; i++) {
        tenon_context_free(handles[i].context);
        tenon_hub_free(handles[i].hub);
        for (int j = 0; j < ROUNDS; j++)
            tenon_task_free(handles[i].tasks[j]);
    }
    return 0;
}
