/*
 * A host that uses libcurl itself and loads tenon as a plug-in, a hundred times: plugin LIBRARY COPY URL FOLDER [careless]
 *
 * One that is careless leaves it to libcurl to begin, and makes its first handle while tenon uses libcurl already.
 *
 * The copy is the same library under another name, as two plug-ins may each bring their own. Afterwards the host has as
 * many threads and descriptors as before, and its own transfers work throughout.
 */
#include <curl/curl.h>
#include <dirent.h>
#include <dlfcn.h>
#include <string.h>

#include "check.h"
#include "tenon.h"

enum { ROUNDS = 100 };

struct plugin {
    void *library;
    __typeof__(tenon_context_open) *context_open;
    __typeof__(tenon_context_free) *context_free;
    __typeof__(tenon_hub_open) *hub_open;
    __typeof__(tenon_hub_free) *hub_free;
    __typeof__(tenon_hub_download) *hub_download;
    __typeof__(tenon_task_wait) *task_wait;
    __typeof__(tenon_task_free) *task_free;
};

struct work {
    tenon_context *context;
    tenon_hub *hub;
    tenon_task *task;
};

static void find(const struct plugin *plugin, const char *name, void *function)
{
    void *address = dlsym(plugin->library, name);

    CHECK(address != NULL);
    memcpy(function, &address, sizeof address);
}

static struct plugin load(const char *path)
{
    struct plugin plugin = { .library = dlopen(path, RTLD_NOW | RTLD_LOCAL) };

    CHECK(plugin.library != NULL);
    find(&plugin, "tenon_context_open", &plugin.context_open);
    find(&plugin, "tenon_context_free", &plugin.context_free);
    find(&plugin, "tenon_hub_open", &plugin.hub_open);
    find(&plugin, "tenon_hub_free", &plugin.hub_free);
    find(&plugin, "tenon_hub_download", &plugin.hub_download);
    find(&plugin, "tenon_task_wait", &plugin.task_wait);
    find(&plugin, "tenon_task_free", &plugin.task_free);
    return plugin;
}

static struct work start(const struct plugin *plugin, const char *url, const char *folder)
{
    char cache[4096];
    const char *const settings[] = { cache, "hub.no_token=1", NULL };
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT,
                                      .settings = settings };
    tenon_download_options fresh = { .struct_size = sizeof fresh, .policy = TENON_CACHE_FRESH, .flags = TENON_DOWNLOAD_FORCE };
    struct work work;

    snprintf(cache, sizeof cache, "hub.cache=%s", folder);
    CHECK(plugin->context_open(&options, &work.context) == TENON_OK);
    CHECK(plugin->hub_open(work.context, url, NULL, &work.hub) == TENON_OK);
    CHECK(plugin->hub_download(work.hub, "acme/small", "config.json", &fresh, &work.task) == TENON_OK);
    return work;
}

static void end(const struct plugin *plugin, struct work *work)
{
    CHECK(plugin->task_wait(work->task, -1) == TENON_OK);
    plugin->context_free(work->context);
    plugin->hub_free(work->hub);
    plugin->task_free(work->task);
}

static size_t ignore(char *bytes, size_t size, size_t count, void *user)
{
    (void)bytes;
    (void)user;
    return size * count;
}

/* The host's own use of libcurl. */
static void fetch(CURL *easy, const char *url)
{
    char address[4096];

    snprintf(address, sizeof address, "%s/api/models/acme/small", url);
    curl_easy_setopt(easy, CURLOPT_URL, address);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    CHECK(curl_easy_perform(easy) == CURLE_OK);
}

static int count_entries(const char *path)
{
    DIR *folder = opendir(path);
    int count = 0;

    CHECK(folder != NULL);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

int main(int count, char **words)
{
    int threads = 0, descriptors = 0;
    CURL *easy = NULL;

    CHECK(count == 5 || count == 6);
    if (count == 5) {
        CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
        easy = curl_easy_init();
        fetch(easy, words[3]);
    }
    for (int i = 0; i <= ROUNDS; i++) {
        struct plugin one = load(words[1]), two = load(words[2]);
        struct work first = start(&one, words[3], words[4]), second;

        CHECK(one.context_open != two.context_open);
        if (easy == NULL) {
            CHECK(one.task_wait(first.task, -1) == TENON_OK);
            easy = curl_easy_init();
        }
        if (i % 10 == 0) {
            second = start(&two, words[3], words[4]);
            end(&two, &second);
            fetch(easy, words[3]);
        }
        end(&one, &first);
        dlclose(one.library);
        dlclose(two.library);
        if (i == 0) {
            threads = count_entries("/proc/self/task");
            descriptors = count_entries("/proc/self/fd");
        }
    }
    CHECK(count_entries("/proc/self/task") == threads);
    CHECK(count_entries("/proc/self/fd") == descriptors);
    fetch(easy, words[3]);
    curl_easy_cleanup(easy);
    if (count == 5)
        curl_global_cleanup();
    printf("%d rounds: %d threads, %d descriptors\n", ROUNDS, threads - 2, descriptors - 3);
    return 0;
}
