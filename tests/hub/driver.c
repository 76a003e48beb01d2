/*
 * One operation of a hub, from the command line: what it yields is printed as JSON, one object a line.
 *
 *   driver [--set KEY=VALUE] [--hub URL] [--cache FOLDER] [--token TOKEN] [--policy N] [--revision R] [--folder FOLDER]
 *          [--allow PATTERN] [--ignore PATTERN] [--force] [--flat] [--offset N] [--length N] [--branch B] [--parent COMMIT]
 *          [--message TEXT] [--log LEVEL] [--contexts N] [--workers N] [--progress] [--cancel-at BYTES] [--again]
 *          COMMAND [REPOSITORY [PATH]]
 *
 * {"row": ...} for each row; {"progress": ...} after each turn of the loop that changed it, with --progress; {"log": ...};
 * and at the end {"status": ..., "text": ..., "error": ..., "progress": ..., "peak": bytes}, once for each context. With
 * --contexts N the same operation runs in N contexts at once, in one loop over their descriptors. --cancel-at cancels
 * once so many bytes are done, and --again then begins anew. Bytes that are read go to the descriptor 3.
 */
#define _GNU_SOURCE
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tenon.h"

enum { MOST_VALUES = 32, MOST_CONTEXTS = 8 };

struct arguments {
    const char *settings[MOST_VALUES + 1], *allow[MOST_VALUES + 1], *ignore[MOST_VALUES + 1];
    int setting_count, allow_count, ignore_count;
    const char *hub, *cache, *token, *revision, *folder, *branch, *parent, *message;
    long long policy, offset, length, log, contexts, cancel_at, workers;
    int force, flat, progress, again;
    const char *command, *repository, *path;
};

/* One context with its operation. */
struct run {
    const struct arguments *arguments;
    tenon_context *context;
    tenon_hub *hub;
    tenon_task *task;
    tenon_status status; /* TENON_AGAIN while it runs */
    int64_t shown_bytes;
    int cancelled;
};

static void print(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);

    if (text == NULL || puts(text) < 0 || fflush(stdout) != 0)
        exit(3);
    free(text);
    json_decref(json);
}

/* ---- arguments ---- */

static int take_text(struct arguments *a, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **at;
    } texts[] = {
        { "--hub", &a->hub }, { "--cache", &a->cache }, { "--token", &a->token }, { "--revision", &a->revision }, { "--folder", &a->folder },
        { "--branch", &a->branch }, { "--parent", &a->parent }, { "--message", &a->message },
    };
    const struct {
        const char *name;
        long long *at;
    } numbers[] = {
        { "--policy", &a->policy }, { "--offset", &a->offset }, { "--length", &a->length }, { "--log", &a->log },
        { "--contexts", &a->contexts }, { "--cancel-at", &a->cancel_at }, { "--workers", &a->workers },
    };
    const struct {
        const char *name;
        const char **list;
        int *count;
    } lists[] = {
        { "--set", a->settings, &a->setting_count }, { "--allow", a->allow, &a->allow_count }, { "--ignore", a->ignore, &a->ignore_count },
    };
    int known = 0;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].at = value;
            known = 1;
        }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].at = atoll(value);
            known = 1;
        }
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (strcmp(name, lists[i].name) == 0 && *lists[i].count < MOST_VALUES) {
            lists[i].list[(*lists[i].count)++] = value;
            known = 1;
        }
    return known;
}

static int take_flag(struct arguments *a, const char *name)
{
    const struct {
        const char *name;
        int *at;
    } flags[] = { { "--force", &a->force }, { "--flat", &a->flat }, { "--progress", &a->progress }, { "--again", &a->again } };
    int known = 0;

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (strcmp(name, flags[i].name) == 0)
            *flags[i].at = known = 1;
    return known;
}

static void take_arguments(struct arguments *a, int count, char **values)
{
    const char **words[] = { &a->command, &a->repository, &a->path };
    size_t word = 0;

    a->contexts = 1;
    a->cancel_at = -1;
    for (int i = 1; i < count; i++) {
        if (strncmp(values[i], "--", 2) != 0 && word < sizeof words / sizeof words[0])
            *words[word++] = values[i];
        else if (!take_flag(a, values[i]) && !(i + 1 < count && take_text(a, values[i], values[i + 1]))) {
            fprintf(stderr, "driver: %s?\n", values[i]);
            exit(2);
        } else if (!take_flag(a, values[i]))
            i++;
    }
    if (a->command == NULL || a->contexts < 1 || a->contexts > MOST_CONTEXTS)
        exit(2);
}

/* ---- what is printed ---- */

static json_t *error_of(const tenon_error *error)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:I}", "status", tenon_status_name(error->status), "message", error->message, "hint",
                     error->hint, "code", error->code, "request_id", error->request_id, "http_status", (int)error->http_status, "system_error",
                     (int)error->system_error, "retry_after_ms", (json_int_t)error->retry_after_ms);
}

static json_t *progress_of(const struct run *run)
{
    tenon_progress p = { .struct_size = sizeof p };

    if (tenon_task_progress(run->task, &p) != TENON_OK)
        return json_null();
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "stage", p.stage, "item", p.item, "bytes", (json_int_t)p.bytes,
                     "bytes_total", (json_int_t)p.bytes_total, "bytes_present", (json_int_t)p.bytes_present, "items", (json_int_t)p.items,
                     "items_total", (json_int_t)p.items_total, "retries", (json_int_t)p.retries, "elapsed_ms", (json_int_t)p.elapsed_ms,
                     "bytes_per_second", (json_int_t)p.bytes_per_second);
}

static void print_log(void *user, const tenon_log_record *record)
{
    (void)user;
    print(json_pack("{s:{s:i, s:s, s:s}}", "log", "level", (int)record->level, "component", record->component, "text", record->text));
}

/* The most memory that this program ever had; getrusage would count what its parent had before exec. */
static long long peak_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long long kilobytes = -1;

    while (file != NULL && kilobytes < 0 && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmHWM: %lld kB", &kilobytes) != 1)
            kilobytes = -1;
    if (file != NULL)
        fclose(file);
    return kilobytes * 1024;
}

static void print_end(struct run *run)
{
    tenon_error error = { .struct_size = sizeof error };
    const char *text = "";
    json_t *end = json_object();

    if (run->task != NULL)
        tenon_task_error(run->task, &error);
    else
        tenon_context_error(run->context, &error);
    json_object_set_new(end, "status", json_string(tenon_status_name(run->status)));
    json_object_set_new(end, "peak", json_integer(peak_bytes()));
    if (error.status != TENON_OK)
        json_object_set_new(end, "error", error_of(&error));
    if (run->task != NULL) {
        tenon_task_text(run->task, &text);
        json_object_set_new(end, "text", json_string(text));
        json_object_set_new(end, "progress", progress_of(run));
    }
    print(end);
}

/* ---- rows ---- */

static void print_file(const tenon_file *row)
{
    print(json_pack("{s:{s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:i, s:I}}", "row", "kind", (int)row->kind, "path", row->path, "repository", row->repository,
                    "commit", row->commit, "etag", row->etag, "local_path", row->local_path, "bytes", (json_int_t)row->bytes, "content",
                    (int)row->content, "modified_ms", (json_int_t)row->modified_ms));
}

static void print_repository(const tenon_repository *row)
{
    print(json_pack("{s:{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i}}", "row", "type", (int)row->type, "id", row->id,
                    "revision", row->revision, "commit", row->commit, "purpose", row->purpose, "library", row->library, "license", row->license,
                    "parameters", (json_int_t)row->parameters, "bytes", (json_int_t)row->bytes, "files", (json_int_t)row->files, "downloads",
                    (json_int_t)row->downloads, "likes", (json_int_t)row->likes, "modified_ms", (json_int_t)row->modified_ms, "gated",
                    (int)row->gated, "restricted", (int)row->restricted));
}

static void print_reference(const tenon_reference *row)
{
    print(json_pack("{s:{s:i, s:s, s:s, s:s}}", "row", "kind", (int)row->kind, "name", row->name, "reference", row->reference, "commit", row->commit));
}

static void print_check(const tenon_check *row)
{
    print(json_pack("{s:{s:i, s:s, s:s, s:s}}", "row", "answer", (int)row->answer, "name", row->name, "message", row->message, "fix", row->fix));
}

static tenon_status next_file(struct run *run)
{
    tenon_file row = { .struct_size = sizeof row };
    tenon_status status = tenon_task_next_file(run->task, 0, &row);

    if (status == TENON_OK)
        print_file(&row);
    return status;
}

static tenon_status next_repository(struct run *run)
{
    tenon_repository row = { .struct_size = sizeof row };
    tenon_status status = tenon_task_next_repository(run->task, 0, &row);

    if (status == TENON_OK)
        print_repository(&row);
    return status;
}

static tenon_status next_reference(struct run *run)
{
    tenon_reference row = { .struct_size = sizeof row };
    tenon_status status = tenon_task_next_reference(run->task, 0, &row);

    if (status == TENON_OK)
        print_reference(&row);
    return status;
}

static tenon_status next_check(struct run *run)
{
    tenon_check row = { .struct_size = sizeof row };
    tenon_status status = tenon_task_next_check(run->task, 0, &row);

    if (status == TENON_OK)
        print_check(&row);
    return status;
}

static tenon_status next_bytes(struct run *run)
{
    char bytes[65536];
    size_t got = 0;
    tenon_status status = tenon_task_read(run->task, 0, bytes, sizeof bytes, &got);

    for (size_t done = 0; status == TENON_OK && done < got;) {
        ssize_t written = write(3, bytes + done, got - done);

        if (written <= 0)
            exit(3);
        done += (size_t)written;
    }
    return status;
}

static tenon_status only_end(struct run *run)
{
    tenon_status status = tenon_task_state(run->task);

    return status == TENON_OK ? TENON_DONE : status;
}

/* ---- operations ---- */

static tenon_repository_options of_repository(const struct arguments *a)
{
    return (tenon_repository_options){ .struct_size = sizeof(tenon_repository_options), .policy = (int32_t)a->policy, .revision = a->revision };
}

static tenon_download_options of_download(const struct arguments *a)
{
    return (tenon_download_options){ .struct_size = sizeof(tenon_download_options), .policy = (int32_t)a->policy, .revision = a->revision,
                                     .folder = a->folder, .allow = a->allow_count > 0 ? a->allow : NULL,
                                     .ignore = a->ignore_count > 0 ? a->ignore : NULL, .flags = a->force ? TENON_DOWNLOAD_FORCE : 0 };
}

static tenon_status start_info(struct run *run)
{
    tenon_repository_options options = of_repository(run->arguments);

    return tenon_hub_info(run->hub, run->arguments->repository, &options, &run->task);
}

static tenon_status start_list(struct run *run)
{
    const struct arguments *a = run->arguments;
    tenon_list_options options = { .struct_size = sizeof options, .policy = (int32_t)a->policy, .revision = a->revision, .folder = a->folder,
                                   .allow = a->allow_count > 0 ? a->allow : NULL, .ignore = a->ignore_count > 0 ? a->ignore : NULL,
                                   .flags = a->flat ? TENON_LIST_FLAT : 0 };

    return tenon_hub_list(run->hub, a->repository, &options, &run->task);
}

static tenon_status start_references(struct run *run)
{
    tenon_repository_options options = of_repository(run->arguments);

    return tenon_hub_references(run->hub, run->arguments->repository, &options, &run->task);
}

static tenon_status start_exists(struct run *run)
{
    tenon_repository_options options = of_repository(run->arguments);

    return tenon_hub_exists(run->hub, run->arguments->repository, run->arguments->path, &options, &run->task);
}

static tenon_status start_download(struct run *run)
{
    tenon_download_options options = of_download(run->arguments);

    return tenon_hub_download(run->hub, run->arguments->repository, run->arguments->path, &options, &run->task);
}

static tenon_status start_snapshot(struct run *run)
{
    tenon_download_options options = of_download(run->arguments);

    return tenon_hub_snapshot(run->hub, run->arguments->repository, &options, &run->task);
}

static tenon_status start_read(struct run *run)
{
    const struct arguments *a = run->arguments;
    tenon_read_options options = { .struct_size = sizeof options, .policy = (int32_t)a->policy, .revision = a->revision, .offset = a->offset,
                                   .length = a->length };

    return tenon_hub_read(run->hub, a->repository, a->path, &options, &run->task);
}

static tenon_status start_publish(struct run *run)
{
    const struct arguments *a = run->arguments;
    tenon_publish_options options = { .struct_size = sizeof options, .folder = a->folder, .message = a->message, .branch = a->branch,
                                      .allow = a->allow_count > 0 ? a->allow : NULL, .ignore = a->ignore_count > 0 ? a->ignore : NULL,
                                      .parent = a->parent };

    return tenon_hub_publish(run->hub, a->repository, &options, &run->task);
}

static tenon_status start_cached(struct run *run)
{
    tenon_repository_options options = of_repository(run->arguments);

    return tenon_hub_cached(run->hub, run->arguments->repository, &options, &run->task);
}

static tenon_status start_verify(struct run *run)
{
    tenon_repository_options options = of_repository(run->arguments);

    return tenon_hub_verify(run->hub, run->arguments->repository, &options, &run->task);
}

static tenon_status start_forget(struct run *run)
{
    tenon_repository_options options = of_repository(run->arguments);

    return tenon_hub_forget(run->hub, run->arguments->repository, &options, &run->task);
}

static tenon_status start_check(struct run *run)
{
    return tenon_hub_check(run->hub, &run->task);
}

static const struct command {
    const char *name;
    tenon_status (*start)(struct run *run);
    tenon_status (*next)(struct run *run);
} commands[] = {
    { "info", start_info, next_repository },    { "list", start_list, next_file },       { "references", start_references, next_reference },
    { "exists", start_exists, only_end },       { "download", start_download, only_end }, { "snapshot", start_snapshot, next_file },
    { "read", start_read, next_bytes },         { "publish", start_publish, only_end },  { "cached", start_cached, next_file },
    { "verify", start_verify, next_file },      { "forget", start_forget, only_end },    { "check", start_check, next_check },
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    exit(2);
}

/* ---- running ---- */

static void open_run(struct run *run, const struct command *command)
{
    const struct arguments *a = run->arguments;
    tenon_logger logger = { .struct_size = sizeof logger, .level = (int32_t)a->log, .write = print_log };
    tenon_context_options options = { .struct_size = sizeof options, .logger = a->log > 0 ? &logger : NULL, .settings = a->settings,
                                      .workers = (int32_t)a->workers };
    tenon_hub_options hub = { .struct_size = sizeof hub, .token = a->token, .cache = a->cache };

    run->status = tenon_context_open(&options, &run->context);
    if (run->status != TENON_OK) {
        /* There is nothing yet that could hold a message. */
        print(json_pack("{s:s, s:{s:s, s:s}}", "status", tenon_status_name(run->status), "error", "message",
                        "no context can be opened", "hint", ""));
        exit(1);
    }
    run->status = tenon_hub_open(run->context, a->hub, &hub, &run->hub);
    if (run->status == TENON_OK)
        run->status = command->start(run);
    if (run->status == TENON_OK)
        run->status = TENON_AGAIN;
    run->shown_bytes = -1;
}

static void show_progress(struct run *run)
{
    tenon_progress now = { .struct_size = sizeof now };

    tenon_task_progress(run->task, &now);
    if (run->arguments->progress && now.bytes != run->shown_bytes) {
        run->shown_bytes = now.bytes;
        print(json_pack("{s:o}", "progress", progress_of(run)));
    }
}

/* Takes what is there; begins anew after a cancellation where that is wanted. */
static void look(struct run *run, const struct command *command)
{
    tenon_progress now = { .struct_size = sizeof now };
    tenon_status status;

    do
        status = command->next(run);
    while (status == TENON_OK);
    show_progress(run);
    tenon_task_progress(run->task, &now);
    if (status == TENON_AGAIN && run->arguments->cancel_at >= 0 && !run->cancelled && now.bytes >= run->arguments->cancel_at) {
        tenon_task_cancel(run->task);
        run->cancelled = 1;
        status = command->next(run);
    }
    if (status == TENON_ERROR_CANCELLED && run->arguments->again) {
        run->status = status;
        print_end(run);
        tenon_task_free(run->task);
        run->task = NULL;
        status = command->start(run);
        if (status == TENON_OK)
            status = TENON_AGAIN;
    }
    run->status = status == TENON_DONE ? TENON_OK : status;
}

/* Waits for the descriptors of all contexts, at most as long as they say. */
static void wait_for_any(struct run *runs, long long count)
{
    struct pollfd fds[MOST_CONTEXTS];
    int64_t timeout = -1;

    for (long long i = 0; i < count; i++) {
        int64_t mine = tenon_context_timeout(runs[i].context);

        fds[i] = (struct pollfd){ .fd = tenon_context_descriptor(runs[i].context), .events = POLLIN };
        if (mine >= 0 && (timeout < 0 || mine < timeout))
            timeout = mine;
    }
    poll(fds, (nfds_t)count, timeout > 60000 ? 60000 : (int)timeout);
}

int main(int count, char **values)
{
    struct arguments arguments = { 0 };
    struct run runs[MOST_CONTEXTS] = { 0 };
    const struct command *command;
    int running = 1, bad = 0;

    take_arguments(&arguments, count, values);
    command = find_command(arguments.command);
    for (long long i = 0; i < arguments.contexts; i++) {
        runs[i].arguments = &arguments;
        open_run(&runs[i], command);
    }
    while (running) {
        running = 0;
        for (long long i = 0; i < arguments.contexts; i++)
            if (runs[i].status == TENON_AGAIN) {
                tenon_context_step(runs[i].context, 0);
                look(&runs[i], command);
                running = running || runs[i].status == TENON_AGAIN;
            }
        if (running)
            wait_for_any(runs, arguments.contexts);
    }
    for (long long i = 0; i < arguments.contexts; i++) {
        print_end(&runs[i]);
        bad = bad || runs[i].status != TENON_OK;
        tenon_task_free(runs[i].task);
        tenon_hub_free(runs[i].hub);
        tenon_context_free(runs[i].context);
    }
    return bad;
}
