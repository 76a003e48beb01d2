/*
 * Many small operations in one process, for the suite of hostile servers. Each line of standard input is one of them:
 *
 *   NUMBER  HOME  URL  OPERATION  [REPOSITORY  [PATH]]      separated by tabs; below HOME are the cache and the folder
 *
 * and is answered with "NUMBER STATUS BYTES TEXT": how it ended, the most memory there was so far, the text of the task.
 * Every row is read to its last byte, and must be what the header promises: UTF-8, and no number below what stands for unknown.
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenon.h"

enum { MOST_WORDS = 6, LONGEST_PATH = 4096 };

struct run {
    const char *home, *url, *operation, *repository, *path;
    char cache[LONGEST_PATH], folder[LONGEST_PATH];
    tenon_context *context;
    tenon_hub *hub;
    tenon_accelerator *accelerator;
    tenon_task *task;
};

static void demand(bool fine, const char *what)
{
    if (!fine) {
        fprintf(stderr, "ERROR: a promise of the header is broken: %s\n", what);
        abort();
    }
}

/* ---- what a row may hold ---- */

/* The length of the UTF-8 sequence at text; 0 where there is none. */
static size_t sequence(const unsigned char *text)
{
    size_t length = *text < 0x80 ? 1 : *text < 0xc2 ? 0 : *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : *text < 0xf5 ? 4 : 0;
    bool bad = (*text == 0xe0 && text[1] < 0xa0) || (*text == 0xed && text[1] > 0x9f) || (*text == 0xf0 && text[1] < 0x90) ||
               (*text == 0xf4 && text[1] > 0x8f);

    for (size_t i = 1; i < length && !bad; i++)
        bad = (text[i] & 0xc0) != 0x80;
    return bad ? 0 : length;
}

static void text(const char *value)
{
    demand(value != NULL, "a text is NULL");
    for (const unsigned char *at = (const unsigned char *)value; *at != '\0';) {
        size_t length = sequence(at);

        demand(length > 0, "a text is not UTF-8");
        at += length;
    }
}

static void number(int64_t value)
{
    demand(value >= -1, "a number is below -1");
}

static tenon_status next_repository(struct run *run)
{
    tenon_repository row = { .struct_size = sizeof row };
    tenon_status status = tenon_task_next_repository(run->task, -1, &row);

    if (status == TENON_OK) {
        text(row.id), text(row.revision), text(row.commit), text(row.purpose), text(row.library), text(row.license), text(row.json);
        number(row.parameters), number(row.bytes), number(row.files), number(row.downloads), number(row.likes);
        number(row.modified_ms);
    }
    return status;
}

/* Is one of its parts ".."? A name may well begin so, as "..%2fx". */
static bool climbs(const char *path)
{
    bool found = false;

    for (const char *part = path; part != NULL && !found; part = strchr(part, '/')) {
        part += *part == '/';
        found = strcmp(part, "..") == 0 || strncmp(part, "../", 3) == 0;
    }
    return found;
}

static tenon_status next_file(struct run *run)
{
    tenon_file row = { .struct_size = sizeof row };
    tenon_status status = tenon_task_next_file(run->task, -1, &row);

    if (status == TENON_OK) {
        text(row.path), text(row.repository), text(row.commit), text(row.etag), text(row.local_path), text(row.json);
        number(row.bytes), number(row.modified_ms);
        demand(row.path[0] != '/' && !climbs(row.path), "a path leads out of its repository");
    }
    return status;
}

static tenon_status next_reference(struct run *run)
{
    tenon_reference row = { .struct_size = sizeof row };
    tenon_status status = tenon_task_next_reference(run->task, -1, &row);

    if (status == TENON_OK)
        text(row.name), text(row.reference), text(row.commit);
    return status;
}

static tenon_status next_check(struct run *run)
{
    tenon_check row = { .struct_size = sizeof row };
    tenon_status status = tenon_task_next_check(run->task, -1, &row);

    if (status == TENON_OK)
        text(row.name), text(row.message), text(row.fix);
    return status;
}

static tenon_status next_memory(struct run *run)
{
    tenon_memory row = { .struct_size = sizeof row };
    tenon_status status = tenon_task_next_memory(run->task, -1, &row);

    if (status == TENON_OK) {
        text(row.item), text(row.formula), text(row.source);
        number(row.low_bytes), number(row.high_bytes);
    }
    return status;
}

static tenon_status next_piece(struct run *run)
{
    tenon_piece row = { .struct_size = sizeof row };
    tenon_status status = tenon_task_next_piece(run->task, -1, &row);

    if (status == TENON_OK) {
        text(row.text), text(row.reasoning), text(row.stop_reason), text(row.json);
        text(row.tool_id), text(row.tool_name), text(row.tool_arguments);
        number(row.prompt_tokens), number(row.completion_tokens), number(row.choice), number(row.tool);
    }
    return status;
}

static tenon_status next_model(struct run *run)
{
    tenon_model row = { .struct_size = sizeof row };
    tenon_status status = tenon_task_next_model(run->task, -1, &row);

    if (status == TENON_OK) {
        text(row.id), text(row.owner), text(row.json);
        number(row.context_tokens);
    }
    return status;
}

static tenon_status next_bytes(struct run *run)
{
    char bytes[65536];
    size_t got = 0;
    tenon_status status = tenon_task_read(run->task, -1, bytes, sizeof bytes, &got);

    demand(got <= sizeof bytes, "more was read than there is room");
    return status;
}

static tenon_status only_end(struct run *run)
{
    tenon_status status = tenon_task_wait(run->task, -1);

    return status == TENON_OK ? TENON_DONE : status;
}

/* ---- operations ---- */

static tenon_status start_info(struct run *run)
{
    return tenon_hub_info(run->hub, run->repository, NULL, &run->task);
}

static tenon_status start_list(struct run *run)
{
    tenon_list_options options = { .struct_size = sizeof options, .folder = run->path,
                                   .flags = run->path != NULL ? TENON_LIST_FLAT : 0 };

    return tenon_hub_list(run->hub, run->repository, &options, &run->task);
}

static tenon_status start_references(struct run *run)
{
    return tenon_hub_references(run->hub, run->repository, NULL, &run->task);
}

static tenon_status start_exists(struct run *run)
{
    return tenon_hub_exists(run->hub, run->repository, run->path, NULL, &run->task);
}

static tenon_status start_download(struct run *run)
{
    return tenon_hub_download(run->hub, run->repository, run->path, NULL, &run->task);
}

static tenon_status start_fresh(struct run *run)
{
    tenon_download_options options = { .struct_size = sizeof options, .policy = TENON_CACHE_FRESH };

    return tenon_hub_download(run->hub, run->repository, run->path, &options, &run->task);
}

static tenon_status start_folder(struct run *run)
{
    tenon_download_options options = { .struct_size = sizeof options, .folder = run->folder };

    return tenon_hub_download(run->hub, run->repository, run->path, &options, &run->task);
}

static tenon_status start_snapshot(struct run *run)
{
    return tenon_hub_snapshot(run->hub, run->repository, NULL, &run->task);
}

static tenon_status start_snapshot_folder(struct run *run)
{
    tenon_download_options options = { .struct_size = sizeof options, .folder = run->folder };

    return tenon_hub_snapshot(run->hub, run->repository, &options, &run->task);
}

static tenon_status start_read(struct run *run)
{
    return tenon_hub_read(run->hub, run->repository, run->path, NULL, &run->task);
}

static tenon_status start_read_range(struct run *run)
{
    tenon_read_options options = { .struct_size = sizeof options, .offset = 1000, .length = 100000 };

    return tenon_hub_read(run->hub, run->repository, run->path, &options, &run->task);
}

static tenon_status start_cached(struct run *run)
{
    return tenon_hub_cached(run->hub, NULL, NULL, &run->task);
}

static tenon_status start_verify(struct run *run)
{
    return tenon_hub_verify(run->hub, NULL, NULL, &run->task);
}

static tenon_status start_check(struct run *run)
{
    return tenon_hub_check(run->hub, &run->task);
}

static tenon_status start_fit(struct run *run)
{
    tenon_plan_options options = { .struct_size = sizeof options, .hub = run->hub };
    tenon_status status = tenon_accelerator_open(run->context, "local:cpu", &run->accelerator);

    return status == TENON_OK ? tenon_accelerator_fit(run->accelerator, run->repository, &options, &run->task) : status;
}

static tenon_status start_chat(struct run *run)
{
    tenon_chat_options options = { .struct_size = sizeof options, .prompt = "one two", .key = "a key of the caller" };

    return tenon_inference_chat(run->context, run->url, &options, &run->task);
}

static tenon_status start_chat_whole(struct run *run)
{
    tenon_chat_options options = { .struct_size = sizeof options, .prompt = "one two", .flags = TENON_CHAT_WHOLE };

    return tenon_inference_chat(run->context, run->url, &options, &run->task);
}

static tenon_status start_complete(struct run *run)
{
    tenon_complete_options options = { .struct_size = sizeof options, .prompt = "one two" };

    return tenon_inference_complete(run->context, run->url, &options, &run->task);
}

static tenon_status start_models(struct run *run)
{
    return tenon_inference_models(run->context, run->url, NULL, &run->task);
}

static const struct operation {
    const char *name;
    tenon_status (*start)(struct run *run);
    tenon_status (*next)(struct run *run);
} operations[] = {
    { "info", start_info, next_repository },
    { "list", start_list, next_file },
    { "references", start_references, next_reference },
    { "exists", start_exists, only_end },
    { "download", start_download, only_end },
    { "fresh", start_fresh, only_end },
    { "folder", start_folder, only_end },
    { "snapshot", start_snapshot, next_file },
    { "snapshot-folder", start_snapshot_folder, next_file },
    { "read", start_read, next_bytes },
    { "read-range", start_read_range, next_bytes },
    { "cached", start_cached, next_file },
    { "verify", start_verify, next_file },
    { "check", start_check, next_check },
    { "fit", start_fit, next_memory },
    { "chat", start_chat, next_piece },
    { "chat-whole", start_chat_whole, next_piece },
    { "complete", start_complete, next_piece },
    { "models", start_models, next_model },
};

static const struct operation *find_operation(const char *name)
{
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        if (strcmp(operations[i].name, name) == 0)
            return &operations[i];
    fprintf(stderr, "hostile: %s?\n", name);
    exit(2);
}

/* ---- running ---- */

/* The finest level of the log: its lines are foreign text too. */
static void hear(void *user, const tenon_log_record *record)
{
    (void)user;
    text(record->component), text(record->text);
}

static tenon_status open_run(struct run *run)
{
    char home[LONGEST_PATH];
    /* Nothing waits longer than it must, and a JSON answer of more than a megabyte is too large. */
    const char *const settings[] = { home, "transport.backoff_ms=0", "transport.retries=1", "transport.wait_ms=5",
                                     "transport.idle_ms=20000", "inference.idle_ms=20000", "transport.json_bytes=1048576",
                                     "hub.part_bytes=262144", "hub.lock_ms=1000", NULL };
    tenon_logger logger = { .struct_size = sizeof logger, .level = TENON_LOG_DEBUG, .write = hear };
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT, .logger = &logger,
                                      .settings = settings };
    tenon_hub_options hub = { .struct_size = sizeof hub, .token = "hf_good", .cache = run->cache };
    tenon_status status;

    snprintf(home, sizeof home, "home=%s/home", run->home);
    snprintf(run->cache, sizeof run->cache, "%s/cache", run->home);
    snprintf(run->folder, sizeof run->folder, "%s/folder", run->home);
    status = tenon_context_open(&options, &run->context);
    demand(status == TENON_OK, "no context can be opened");
    return tenon_hub_open(run->context, run->url, &hub, &run->hub);
}

/* The most memory that this process ever had; getrusage would count what its parent had before exec. */
static long long peak_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long long kilobytes = -1;

    demand(file != NULL, "there is no /proc");
    while (kilobytes < 0 && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmHWM: %lld kB", &kilobytes) != 1)
            kilobytes = -1;
    fclose(file);
    return kilobytes * 1024;
}

static void look_at_error(struct run *run, tenon_status status)
{
    tenon_error error = { .struct_size = sizeof error };

    if (run->task != NULL)
        tenon_task_error(run->task, &error);
    else
        tenon_context_error(run->context, &error);
    demand(error.status == status, "the error is not that of the status");
    demand(error.message[0] != '\0' && strpbrk(error.message, "\r\n") == NULL, "the message is not one line");
    text(error.message), text(error.hint), text(error.code), text(error.request_id);
    number(error.retry_after_ms);
}

static void look_at_task(struct run *run)
{
    tenon_progress progress = { .struct_size = sizeof progress };
    const char *json = "";

    demand(tenon_task_progress(run->task, &progress) == TENON_OK && progress.ended, "a task that ended has not ended");
    text(progress.stage), text(progress.item);
    number(progress.bytes), number(progress.bytes_total), number(progress.bytes_present);
    number(progress.items), number(progress.items_total);
    if (tenon_task_json(run->task, &json) == TENON_OK)
        text(json);
}

static void operate(const char *id, struct run *run)
{
    const struct operation *operation = find_operation(run->operation);
    tenon_status status = open_run(run);
    const char *answer = "";

    if (status == TENON_OK)
        status = operation->start(run);
    while (status == TENON_OK)
        status = operation->next(run);
    if (status < 0)
        look_at_error(run, status);
    else
        demand(status == TENON_DONE, "a task ended without an end");
    if (run->task != NULL)
        look_at_task(run);
    if (run->task != NULL && tenon_task_text(run->task, &answer) == TENON_OK)
        text(answer);
    printf("%s %s %lld ", id, tenon_status_name(status), peak_bytes());
    for (; *answer != '\0'; answer++)
        putchar((unsigned char)*answer < ' ' ? ' ' : *answer);
    putchar('\n');
    fflush(stdout);
    tenon_task_free(run->task);
    tenon_accelerator_free(run->accelerator);
    tenon_hub_free(run->hub);
    tenon_context_free(run->context);
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;

    while (getline(&line, &size, stdin) > 0) {
        char *rest = line, *words[MOST_WORDS] = { NULL };

        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < MOST_WORDS && rest != NULL; i++)
            words[i] = strsep(&rest, "\t");
        if (words[3] == NULL)
            exit(2);
        operate(words[0], &(struct run){ .home = words[1], .url = words[2], .operation = words[3], .repository = words[4],
                                         .path = words[5] });
    }
    free(line);
    return 0;
}
