/* tenon cache */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tool.h"

/* What is kept of each row. */
struct entry {
    char *repository;
    char *etag;
    int64_t bytes;
    bool partial;
    bool new_commit; /* the first one of its revision */
};

struct entries {
    struct entry *list;
    size_t count;
    size_t room;
    char commit[41]; /* of the row that came last */
};

/* ---- rows ---- */

static void entries_clear(struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        free(entries->list[i].repository);
        free(entries->list[i].etag);
    }
    free(entries->list);
}

/* Rows of one revision come one after the other. */
static bool entries_add(struct entries *entries, const tenon_file *file)
{
    struct entry *entry;

    if (entries->count == entries->room) {
        size_t room = entries->room > 0 ? 2 * entries->room : 64;
        struct entry *list = realloc(entries->list, room * sizeof *list);

        if (list == NULL)
            return false;
        entries->list = list;
        entries->room = room;
    }
    entry = &entries->list[entries->count++];
    entry->repository = strdup(file->repository);
    entry->etag = strdup(file->etag);
    entry->bytes = file->bytes > 0 ? file->bytes : 0;
    entry->partial = file->content == TENON_CONTENT_PARTIAL;
    entry->new_commit = !entry->partial && strncmp(entries->commit, file->commit, sizeof entries->commit - 1) != 0;
    if (!entry->partial)
        snprintf(entries->commit, sizeof entries->commit, "%s", file->commit);
    return entry->repository != NULL && entry->etag != NULL;
}

static tenon_status cached(struct tool *tool, tenon_task **task)
{
    const struct arguments *arguments = &tool->arguments;
    tenon_repository_options options = { .struct_size = sizeof options, .revision = arguments->revision };

    return tenon_hub_cached(tool->hub, arguments->operand_count > 1 ? arguments->operands[1] : NULL, &options, task);
}

/* ---- ls ---- */

static int print_rows(struct tool *tool, tenon_task *task)
{
    tenon_file file = { .struct_size = sizeof file };
    struct json_array array;
    tenon_status status;

    json_array_begin(&array, stdout);
    while ((status = tenon_task_next_file(task, -1, &file)) == TENON_OK) {
        json_array_next(&array);
        json_row(stdout, file_fields, &file);
    }
    json_array_end(&array);
    fputc('\n', stdout);
    return status < 0 ? fail_task(tool, task) : EXIT_OK;
}

static int compare(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    int order = strcmp(a->repository, b->repository);

    if (order == 0)
        order = (int)a->partial - (int)b->partial;
    return order != 0 ? order : strcmp(a->etag, b->etag);
}

/* What a repository has on disk: content that several revisions share is counted once. */
struct sum {
    int64_t bytes;
    size_t files;
    size_t revisions;
    size_t partial;
    int64_t partial_bytes;
};

/* Entries are sorted, so content that is shared stands together. */
static struct sum add_up(const struct entry *first, size_t count)
{
    struct sum sum = { 0 };

    for (const struct entry *entry = first; entry < first + count; entry++) {
        bool shared = entry > first && *entry->etag != '\0' && strcmp(entry->etag, entry[-1].etag) == 0 && !entry->partial;

        if (entry->partial) {
            sum.partial++;
            sum.partial_bytes += entry->bytes;
        } else {
            sum.files += !shared;
            sum.bytes += shared ? 0 : entry->bytes;
            sum.revisions += entry->new_commit;
        }
    }
    return sum;
}

static void print_sum(const char *repository, int width, const struct sum *sum)
{
    put_column(stdout, repository, width);
    printf("  %9s  %5zu  %9zu", say_bytes(sum->bytes).text, sum->files, sum->revisions);
    if (sum->partial > 0)
        printf("  %zu, %s", sum->partial, say_bytes(sum->partial_bytes).text);
    fputc('\n', stdout);
}

static int repository_width(const struct entries *entries)
{
    int width = (int)strlen("REPOSITORY");

    for (size_t i = 0; i < entries->count; i++) {
        int columns = text_columns(entries->list[i].repository);

        width = columns > width ? columns : width;
    }
    return width;
}

static void print_sums(struct tool *tool, struct entries *entries)
{
    int width = repository_width(entries);
    int64_t bytes = 0;
    size_t first = 0;

    qsort(entries->list, entries->count, sizeof *entries->list, compare);
    printf("%s%-*s  %9s  %5s  %9s  %s%s\n", style(&tool->out, STYLE_DIM), width, "REPOSITORY", "SIZE", "FILES", "REVISIONS", "UNFINISHED",
           style(&tool->out, STYLE_PLAIN));
    while (first < entries->count) {
        size_t next = first + 1;
        struct sum sum;

        while (next < entries->count && strcmp(entries->list[next].repository, entries->list[first].repository) == 0)
            next++;
        sum = add_up(&entries->list[first], next - first);
        print_sum(entries->list[first].repository, width, &sum);
        bytes += sum.bytes + sum.partial_bytes;
        first = next;
    }
    remark(tool, "%s in all", say_bytes(bytes).text);
}

static int list_repositories(struct tool *tool, tenon_task *task)
{
    struct entries entries = { 0 };
    tenon_file file = { .struct_size = sizeof file };
    tenon_status status = TENON_OK;
    bool memory = true;
    int exit = EXIT_OK;

    while (memory && (status = tenon_task_next_file(task, -1, &file)) == TENON_OK) {
        memory = entries_add(&entries, &file);
    }
    if (!memory)
        exit = fail_memory(tool);
    else if (status < 0)
        exit = fail_task(tool, task);
    else if (entries.count == 0)
        remark(tool, "the cache is empty");
    else
        print_sums(tool, &entries);
    entries_clear(&entries);
    return exit;
}

/* One repository: its files, revision by revision. */
static int list_files(struct tool *tool, tenon_task *task)
{
    tenon_file file = { .struct_size = sizeof file };
    char commit[41] = "";
    int64_t count = 0;
    tenon_status status;

    while ((status = tenon_task_next_file(task, -1, &file)) == TENON_OK) {
        if (strncmp(commit, file.commit, sizeof commit - 1) != 0) {
            snprintf(commit, sizeof commit, "%s", file.commit);
            printf("%s%s%s\n", style(&tool->out, STYLE_BOLD), commit, style(&tool->out, STYLE_PLAIN));
        }
        printf("%10s  ", say_bytes(file.bytes).text);
        put_text(stdout, *file.path != '\0' ? file.path : file.etag);
        printf("%s\n", file.content == TENON_CONTENT_PARTIAL ? "  unfinished" : "");
        count++;
    }
    if (status >= 0 && count == 0)
        remark(tool, "nothing of it is in the cache");
    return status < 0 ? fail_task(tool, task) : EXIT_OK;
}

static int command_ls(struct tool *tool)
{
    tenon_task *task = NULL;
    int status;

    if (cached(tool, &task) != TENON_OK)
        return fail_context(tool);
    if (tool->arguments.json)
        status = print_rows(tool, task);
    else if (tool->arguments.operand_count > 1)
        status = list_files(tool, task);
    else
        status = list_repositories(tool, task);
    tenon_task_free(task);
    return status;
}

/* ---- verify ---- */

static bool is_bad(const tenon_file *file)
{
    return file->content == TENON_CONTENT_CORRUPT || file->content == TENON_CONTENT_MISSING;
}

static void print_bad(struct tool *tool, const tenon_file *file)
{
    printf("%s%-8s%s  ", style(&tool->out, STYLE_BAD), content_word(file->content), style(&tool->out, STYLE_PLAIN));
    put_text(stdout, file->repository);
    printf("@%.8s  ", file->commit);
    put_text(stdout, file->path);
    fputc('\n', stdout);
}

/* With --json every file is a line as soon as it was read; else only what is bad. */
static tenon_status verify_rows(struct tool *tool, tenon_task *task, int64_t *good)
{
    struct progress shown = { 0 };
    tenon_file file = { .struct_size = sizeof file };
    tenon_status status = TENON_AGAIN;

    while (status == TENON_AGAIN || status == TENON_OK) {
        status = tenon_task_next_file(task, TURN_MS, &file);
        if (status == TENON_OK) {
            *good += file.content == TENON_CONTENT_VERIFIED;
            if (tool->arguments.json || is_bad(&file))
                screen_erase(&tool->err);
            if (tool->arguments.json) {
                json_row(stdout, file_fields, &file);
                fputc('\n', stdout);
            } else if (is_bad(&file))
                print_bad(tool, &file);
        }
        progress_show(tool, &shown, task);
    }
    screen_erase(&tool->err);
    return status;
}

static int command_verify(struct tool *tool)
{
    const struct arguments *arguments = &tool->arguments;
    tenon_repository_options options = { .struct_size = sizeof options, .revision = arguments->revision };
    const char *repository = arguments->operand_count > 1 ? arguments->operands[1] : NULL;
    tenon_task *task = NULL;
    int64_t good = 0;
    int status = EXIT_OK;

    if (tenon_hub_verify(tool->hub, repository, &options, &task) != TENON_OK)
        return fail_context(tool);
    if (verify_rows(tool, task, &good) < 0)
        status = fail_task(tool, task);
    else
        remark(tool, "%" PRId64 " files are what they should be", good);
    tenon_task_free(task);
    return status;
}

/* ---- rm ---- */

static int print_given_back(struct tool *tool, tenon_task *task)
{
    const char *bytes = "";

    if (tenon_task_text(task, &bytes) != TENON_OK)
        return fail_task(tool, task);
    if (tool->arguments.json)
        printf("{\"bytes\": %" PRId64 "}\n", (int64_t)strtoll(bytes, NULL, 10));
    else
        remark(tool, "%s given back", say_bytes(strtoll(bytes, NULL, 10)).text);
    return EXIT_OK;
}

static int command_forget(struct tool *tool)
{
    const struct arguments *arguments = &tool->arguments;
    tenon_repository_options options = { .struct_size = sizeof options, .revision = arguments->revision };
    tenon_task *task = NULL;
    int status;

    if (arguments->operand_count < 2)
        return fail_usage(tool, "tenon cache rm REPO[@REVISION]", "tenon cache rm needs to be told what");
    if (tenon_hub_forget(tool->hub, arguments->operands[1], &options, &task) != TENON_OK)
        return fail_context(tool);
    status = tenon_task_wait(task, -1) < 0 ? fail_task(tool, task) : print_given_back(tool, task);
    tenon_task_free(task);
    return status;
}

/* ---- all three ---- */

int command_cache(struct tool *tool)
{
    static const struct {
        const char *name;
        int (*run)(struct tool *tool);
    } parts[] = { { "ls", command_ls }, { "verify", command_verify }, { "rm", command_forget } };
    const char *name = tool->arguments.operand_count > 0 ? tool->arguments.operands[0] : "ls";

    if (tenon_hub_open(tool->context, NULL, NULL, &tool->hub) != TENON_OK)
        return fail_context(tool);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strcmp(parts[i].name, name) == 0)
            return parts[i].run(tool);
    return fail_usage(tool, "It is ls, verify or rm.", "tenon cache does not understand \"%s\"", name);
}
