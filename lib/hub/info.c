/* tenon_hub_info: what a hub knows of a repository. */
#include <stdio.h>
#include <string.h>

#include "folder.h"
#include "json.h"
#include "metadata.h"
#include "operation.h"

struct info {
    struct hub_task base;
    struct resolution resolution;
};

/* "2026-11-23T21:56:00.000Z" as ms since 1970; -1 for anything else. */
static int64_t parse_time(const char *text)
{
    int year, month, day, hour, minute, second, milli = 0;
    int64_t years, days, ms;

    if (text == NULL || sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3d", &year, &month, &day, &hour, &minute, &second, &milli) < 6 ||
        year < 1970 || month < 1 || month > 12)
        return -1;
    /* Days of the civil calendar, its years beginning in March. */
    years = month > 2 ? year : year - 1;
    days = years * 365 + years / 4 - years / 100 + years / 400 + (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 719469;
    ms = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + milli;
    return ms >= 0 ? ms : -1;
}

/* The card's licence, or the tag that stands for it. */
static const char *license_of(const json_t *json)
{
    const char *license = tn_json_text(tn_json_member(json, "cardData"), "license");
    json_t *tag;
    size_t i;

    json_array_foreach(tn_json_member(json, "tags"), i, tag) {
        const char *text = json_string_value(tag);

        if (license == NULL && text != NULL && tn_starts_with(text, "license:"))
            license = text + strlen("license:");
    }
    return license;
}

static int64_t parameters_of(const json_t *json)
{
    int64_t total = tn_json_count(tn_json_member(json, "safetensors"), "total");

    return total >= 0 ? total : tn_json_count(tn_json_member(json, "gguf"), "total");
}

static void count_files(const json_t *json, tenon_repository *row)
{
    json_t *siblings = tn_json_member(json, "siblings"), *file;
    size_t i;

    row->files = json_is_array(siblings) ? (int64_t)json_array_size(siblings) : -1;
    row->bytes = json_is_array(siblings) ? 0 : -1;
    json_array_foreach(siblings, i, file) {
        int64_t bytes = tn_json_integer(file, "size", -1);

        row->bytes = row->bytes < 0 || bytes < 0 ? -1 : tn_sum_of_sizes(row->bytes, bytes);
    }
    if (row->bytes < 0)
        row->bytes = tn_json_count(json, "usedStorage");
}

static tenon_status push_row(struct info *info, const json_t *json, const char *commit)
{
    struct tenon_task *task = &info->base.task;
    json_t *gated = tn_json_member(json, "gated");
    tenon_repository row = { .struct_size = sizeof row, .type = info->base.repository.type };
    tenon_status status = tn_task_set_json(task, json);

    row.id = tn_json_text_or(json, "id", info->base.repository.id);
    row.revision = info->base.repository.revision;
    row.commit = commit;
    row.purpose = tn_json_text(json, "pipeline_tag");
    row.library = tn_json_text(json, "library_name");
    row.license = license_of(json);
    row.json = task->json;
    row.parameters = parameters_of(json);
    row.downloads = tn_json_count(json, "downloads");
    row.likes = tn_json_count(json, "likes");
    row.modified_ms = parse_time(tn_json_text(json, "lastModified"));
    row.gated = gated == NULL ? -1 : !json_is_false(gated);
    row.restricted = tn_json_flag(json, "private");
    count_files(json, &row);
    if (status == TENON_OK)
        status = tn_task_push(task, &row);
    return status == TENON_OK ? tn_task_set_text(task, commit) : status;
}

/* ---- a folder ---- */

/* "key: value" lines between the first two lines "---" of a model card. Quotes around a value go. */
static void read_card(const char *text, json_t *json)
{
    static const char *const keys[] = { "license", "pipeline_tag", "library_name" };
    const char *line = strncmp(text, "---\n", 4) == 0 ? text + 4 : "";

    while (*line != '\0' && strncmp(line, "---", 3) != 0) {
        size_t length = strcspn(line, "\n");

        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
            size_t key = strlen(keys[i]);

            if (length > key + 1 && strncmp(line, keys[i], key) == 0 && line[key] == ':') {
                size_t skip = key + 1 + strspn(line + key + 1, " \"'"), end = length;

                while (end > skip && strchr(" \"'\r", line[end - 1]) != NULL)
                    end--;
                json_object_set_new(json, keys[i], json_stringn(line + skip, end > skip ? end - skip : 0));
            }
        }
        line += length + (line[length] == '\n');
    }
}

static void add_card(struct info *info, const struct tree *tree, json_t *json)
{
    const struct tree_file *card = tn_tree_find(tree, "README.md");
    const struct memory *memory = &info->base.task.handle.context->memory;
    struct text path, text;
    struct failure ignored;

    if (card == NULL)
        return;
    tn_text_init(&path, memory, 4096);
    tn_text_init(&text, memory, 1024 * 1024);
    tn_failure_init(&ignored, memory, NULL);
    tn_folder_content(info->base.hub, &info->base.repository, card, &path);
    if (!path.failed && tn_file_read_whole(tn_text(&path), 512 * 1024, &text, &ignored) == TENON_OK)
        read_card(tn_text(&text), json);
    if (tn_json_text(json, "license") != NULL)
        json_object_set_new(json, "cardData", json_pack("{s:O}", "license", json_object_get(json, "license")));
    tn_failure_clear(&ignored);
    tn_text_clear(&text);
    tn_text_clear(&path);
}

/* The same description as a hub would give, made from the folder. */
static tenon_status describe_folder(struct info *info)
{
    struct tenon_task *task = &info->base.task;
    struct tree tree;
    char commit[41];
    json_t *json = json_object(), *siblings = json_array();
    tenon_status status;

    tn_tree_init(&tree, &task->handle.context->memory);
    status = tn_folder_open_revision(info->base.hub, &info->base.repository, commit, &tree, &task->failure);
    for (size_t i = 0; status == TENON_OK && i < tree.count; i++)
        json_array_append_new(siblings, json_pack("{s:s, s:I}", "rfilename", tree.files[i].path, "size",
                                                  (json_int_t)tree.files[i].bytes));
    if (status == TENON_OK) {
        tn_json_set_text(json, "id", info->base.repository.id);
        tn_json_set_text(json, "sha", commit);
        json_object_set_new(json, "private", json_false());
        json_object_set_new(json, "gated", json_false());
        json_object_set(json, "siblings", siblings);
        add_card(info, &tree, json);
        status = push_row(info, json, commit);
    }
    json_decref(siblings);
    json_decref(json);
    tn_tree_clear(&tree);
    return status;
}

/* ---- the cache ---- */

static tenon_status describe_cache(struct info *info)
{
    char commit[41];
    json_t *json;
    tenon_status status;

    if (tn_is_commit(info->base.repository.revision))
        memcpy(commit, info->base.repository.revision, sizeof commit);
    else if (!tn_cache_read_ref(&info->base.cache, info->base.repository.revision, commit))
        return tn_hub_fail_offline(&info->base.task.failure, info->base.repository.id);
    json = json_pack("{s:s, s:s}", "id", info->base.repository.id, "sha", commit);
    status = json != NULL ? push_row(info, json, commit) : tn_fail_memory(&info->base.task.failure);
    json_decref(json);
    return status;
}

/* ---- the operation ---- */

static tenon_status info_step(struct co *co)
{
    struct info *info = TN_CONTAINER(co, struct info, base.task.co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    if (info->base.hub->folder != NULL)
        status = describe_folder(info);
    else if (tn_hub_is_offline(info->base.hub, info->base.policy))
        status = describe_cache(info);
    else {
        tn_task_stage(&info->base.task, "asking", info->base.repository.id);
        tn_resolution_start(&info->resolution, &info->base.repository, true, co);
        AWAIT(co, !tn_co_running(&info->resolution.co));
        status = info->resolution.co.status;
        if (status != TENON_OK)
            status = tn_task_fail_from(&info->base.task, &info->resolution.failure);
        else
            status = push_row(info, info->resolution.json, info->resolution.commit);
    }
    CO_END(co);
    return status;
}

static void info_clear(struct tenon_task *task)
{
    struct info *info = TN_CONTAINER(task, struct info, base.task);

    tn_resolution_clear(&info->resolution);
    tn_hub_task_clear(&info->base);
}

static const struct operation operation = { .name = "asking about a repository", .size = sizeof(struct info),
                                            .row = &tn_row_repository, .step = info_step, .clear = info_clear };

tenon_status tn_hub_info_new(tenon_hub *hub, const char *repository, const tenon_repository_options *given, tenon_task **task)
{
    tenon_repository_options options;
    struct info *info = NULL;
    tenon_status status = tn_options(hub->handle.context, given, &options, sizeof options);

    if (status == TENON_OK)
        status = tn_hub_task_new(hub, &operation, repository, options.revision, options.policy, &info);
    if (status == TENON_OK) {
        tn_resolution_init(&info->resolution, hub);
        *task = &info->base.task;
    }
    return status;
}

tenon_status tenon_hub_info(tenon_hub *hub, const char *repository, const tenon_repository_options *options, tenon_task **task)
{
    TN_HUB_CALL(hub, tn_hub_info_new(hub, repository, options, &made), task);
}
