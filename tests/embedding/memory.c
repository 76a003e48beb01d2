/*
 * A host that counts what tenon takes: memory URL FOLDER
 *
 * Work that succeeds, work that fails and work that is cut short; at the end all of it was given back. What libcurl, jansson
 * and OpenSSL take beside it comes from malloc, and is told apart.
 */
#include <malloc.h>
#include <string.h>

#include "check.h"
#include "tenon.h"

/* The size stands before each block. */
enum { HEAD = 16 };

struct count {
    size_t blocks, bytes, peak, calls;
};

static void *resize(void *user, void *memory, size_t size)
{
    struct count *count = user;
    char *block = memory != NULL ? (char *)memory - HEAD : NULL;
    size_t before = 0;

    CHECK(size > 0);
    if (block != NULL)
        memcpy(&before, block, sizeof before);
    block = realloc(block, HEAD + size);
    CHECK(block != NULL);
    memcpy(block, &size, sizeof size);
    count->calls++;
    count->blocks += memory == NULL;
    count->bytes += size - before;
    count->peak = count->bytes > count->peak ? count->bytes : count->peak;
    return block + HEAD;
}

static void *allocate(void *user, size_t size)
{
    return resize(user, NULL, size);
}

static void release(void *user, void *memory)
{
    struct count *count = user;
    size_t size;

    if (memory == NULL)
        return;
    memcpy(&size, (char *)memory - HEAD, sizeof size);
    count->blocks--;
    count->bytes -= size;
    free((char *)memory - HEAD);
}

static size_t taken_by_others(const struct count *count, size_t before)
{
    return mallinfo2().uordblks - before - count->bytes - count->blocks * HEAD;
}

static void use(tenon_context *context, const char *url, struct count *count, size_t before, size_t *others)
{
    tenon_error error = { .struct_size = sizeof error };
    tenon_file file = { .struct_size = sizeof file };
    tenon_plan_options plan = { .struct_size = sizeof plan };
    tenon_task *task;
    tenon_hub *hub;

    CHECK(tenon_hub_open(context, url, NULL, &hub) == TENON_OK);
    plan.hub = hub;
    CHECK(tenon_hub_snapshot(hub, "acme/small", NULL, NULL) == TENON_OK);
    *others = taken_by_others(count, before);
    CHECK(tenon_hub_download(hub, "acme/none", "config.json", NULL, NULL) < 0);
    CHECK(tenon_context_error(context, &error) == TENON_OK && error.message[0] != '\0');
    CHECK(tenon_hub_list(hub, "acme/small", NULL, &task) == TENON_OK);
    CHECK(tenon_task_next_file(task, -1, &file) == TENON_OK);
    tenon_task_free(task);
    CHECK(tenon_hub_download(hub, "acme/large", "model.bin", NULL, &task) == TENON_OK);
    CHECK(tenon_context_step(context, 100) >= 0);
    tenon_task_cancel(task);
    tenon_task_free(task);
    CHECK(tenon_accelerator_plan(context, "acme/small", &plan, NULL) == TENON_OK);
    CHECK(tenon_accelerator_list(context, NULL, NULL) == TENON_OK);
    CHECK(tenon_context_set(context, "no.such", "setting") == TENON_ERROR_ARGUMENT);
    CHECK(tenon_hub_snapshot(hub, "acme/large", NULL, &task) == TENON_OK);
    /* Still running: the context is freed first, the task last. */
    tenon_hub_free(hub);
    tenon_context_free(context);
    tenon_task_free(task);
}

int main(int words_count, char **words)
{
    struct count count = { 0 };
    tenon_allocator allocator = { .struct_size = sizeof allocator, .user = &count,
                                  .allocate = allocate, .resize = resize, .release = release };
    char home[4096];
    const char *const settings[] = { home, "hub.no_token=1", NULL };
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT,
                                      .allocator = &allocator, .settings = settings };
    size_t before = mallinfo2().uordblks, others = 0;
    tenon_context *context;

    CHECK(words_count == 3);
    snprintf(home, sizeof home, "home=%s", words[2]);
    CHECK(tenon_context_open(&options, &context) == TENON_OK);
    printf("a context takes %zu bytes in %zu blocks\n", count.bytes, count.blocks);
    use(context, words[1], &count, before, &others);
    printf("%zu calls, %zu bytes at most; beside them libcurl and its like %zu bytes\n", count.calls, count.peak, others);
    CHECK(count.blocks == 0 && count.bytes == 0);

    /* A context that cannot be opened takes nothing along. */
    options.settings = (const char *const[]) { "no.such=setting", NULL };
    CHECK(tenon_context_open(&options, &context) == TENON_ERROR_ARGUMENT);
    CHECK(count.blocks == 0 && count.bytes == 0);
    return 0;
}
