/* tenon_hub_cached, tenon_hub_verify: what the cache holds, and whether it is sound. */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "copy.h"
#include "file.h"
#include "folder.h"
#include "hash.h"
#include "json.h"
#include "names.h"
#include "operation.h"
#include "partial.h"
#include "path.h"

/*
 * A walk over the cache: repositories, their commits, the files of each. One step looks at one file, so that others run in
 * between.
 */
struct cached {
    struct tenon_task task;
    tenon_hub *hub;
    const char *only_folder;  /* "models--owner--name"; NULL: all */
    const char *only_revision;
    bool verifies;
    struct names repositories; /* their folders */
    size_t repository;
    struct names commits;
    size_t commit;
    struct tree tree;
    struct tree listing;      /* what the commit should have; empty where nobody knows */
    size_t file;
    json_t *verdicts;         /* of contents that were read: etag -> TENON_CONTENT_... */
    int64_t bad;
    struct copy copy;         /* of nothing: a content that is read */
    struct hash hash;
    tenon_file row;           /* the file being looked at; its texts are in scratch */
    struct text name, local_path, etag;
};

static void repository_path(const struct cached *cached, const char *below, struct text *out)
{
    tn_text_reset(out);
    tn_text_format(out, "%s/%s%s", cached->hub->cache, cached->repositories.at[cached->repository], below);
}

/* ---- downloads that were not finished ---- */

static tenon_status push_partial(struct cached *cached, const char *folder, const char *name)
{
    tenon_file row = { .struct_size = sizeof row, .kind = TENON_FILE_REGULAR, .content = TENON_CONTENT_PARTIAL, .modified_ms = -1 };
    const char *journal_end = strstr(name, ".tenon.incomplete");
    struct tenon_context *context = cached->task.handle.context;
    struct text path, etag;
    struct journal journal;
    struct file_facts facts = { 0 };
    bool ours = journal_end != NULL && journal_end[17] == '\0';
    bool is_journal;
    tenon_status status = TENON_OK;

    tn_text_init(&path, &context->memory, PATH_MAX);
    tn_text_init(&etag, &context->memory, 256);
    tn_text_format(&path, "%s/%s", folder, name);
    tn_text_add_n(&etag, name, strcspn(name, "."));
    is_journal = ours && tn_journal_generation(tn_text(&etag), name) > 0;
    row.repository = tn_text(&cached->name);
    row.etag = tn_text(&etag);
    row.local_path = tn_text(&path);
    if (is_journal && tn_journal_read(tn_text(&path), &context->memory, &journal))
        row.bytes = tn_ranges_sum(&journal.durable);
    else if (!ours && tn_file_look_at_link(tn_text(&path), &facts, &cached->task.failure) == TENON_OK)
        row.bytes = facts.bytes;
    /* Data of ours is counted by its journal. */
    if (is_journal || !ours)
        status = path.failed || etag.failed ? tn_fail_memory(&cached->task.failure) : tn_task_push(&cached->task, &row);
    tn_text_clear(&etag);
    tn_text_clear(&path);
    return status;
}

static tenon_status push_partials(struct cached *cached)
{
    struct text folder;
    struct names names;
    tenon_status status;

    tn_text_init(&folder, &cached->task.handle.context->memory, PATH_MAX);
    tn_names_init(&names, folder.memory);
    repository_path(cached, "/blobs", &folder);
    status = folder.failed ? tn_fail_memory(&cached->task.failure)
                           : tn_names_add_folder(&names, tn_text(&folder), &cached->task.failure);
    for (size_t i = 0; i < names.count && status == TENON_OK; i++)
        if (tn_name_is_unfinished(names.at[i]))
            status = push_partial(cached, tn_text(&folder), names.at[i]);
    tn_names_clear(&names);
    tn_text_clear(&folder);
    return status;
}

/* ---- commits ---- */

/* Of all commits leaves only the one that the revision stands for. */
static void choose_commit(struct cached *cached)
{
    char commit[41] = "";
    size_t kept = 0;
    struct cache cache;

    tn_cache_init(&cache, cached->task.handle.context);
    repository_path(cached, "", &cache.folder);
    if (tn_is_commit(cached->only_revision))
        memcpy(commit, cached->only_revision, sizeof commit);
    else
        tn_cache_read_ref(&cache, cached->only_revision, commit);
    for (size_t i = 0; i < cached->commits.count; i++)
        if (strcmp(cached->commits.at[i], commit) == 0)
            cached->commits.at[kept++] = cached->commits.at[i];
    cached->commits.count = kept;
    tn_cache_clear(&cache);
}

/* The commits that are wanted: all that are there, or one. */
static tenon_status open_repository(struct cached *cached)
{
    struct text path;
    tenon_status status;

    tn_text_init(&path, &cached->task.handle.context->memory, PATH_MAX);
    tn_names_clear(&cached->commits);
    cached->commit = 0;
    repository_path(cached, "/snapshots", &path);
    status = path.failed || cached->name.failed ? tn_fail_memory(&cached->task.failure)
                                                : tn_names_add_folder(&cached->commits, tn_text(&path), &cached->task.failure);
    if (status == TENON_OK && cached->only_revision != NULL)
        choose_commit(cached);
    tn_text_clear(&path);
    return status;
}

static const char *commit_name(const struct cached *cached)
{
    return cached->commits.at[cached->commit];
}

static tenon_status open_commit(struct cached *cached)
{
    struct text path;
    tenon_status status = TENON_OK;

    tn_text_init(&path, &cached->task.handle.context->memory, PATH_MAX);
    tn_tree_clear(&cached->tree);
    tn_tree_clear(&cached->listing);
    cached->file = 0;
    repository_path(cached, "/snapshots/", &path);
    tn_text_add(&path, commit_name(cached));
    /* A stray file beside the commits is nobody's. */
    if (path.failed)
        status = tn_fail_memory(&cached->task.failure);
    else if (tn_folder_exists(tn_text(&path)))
        status = tn_folder_walk(tn_text(&path), true, &cached->tree, &cached->task.failure);
    repository_path(cached, "", &path);
    if (status == TENON_OK && !path.failed)
        tn_tree_read(&cached->listing, tn_text(&path), commit_name(cached));
    tn_text_clear(&path);
    return status;
}

/* ---- one file ---- */

/* The content id: the name of the blob that the link leads to, or what the listing says. */
static void find_etag(struct cached *cached, const struct tree_file *file)
{
    const struct tree_file *listed = tn_tree_find(&cached->listing, file->path);
    struct failure ignored;
    struct text target;

    tn_text_init(&target, &cached->task.handle.context->memory, PATH_MAX);
    tn_failure_init(&ignored, &cached->task.handle.context->memory, NULL);
    tn_text_reset(&cached->etag);
    if (tn_link_read(tn_text(&cached->local_path), &target, &ignored) == TENON_OK)
        tn_text_add(&cached->etag, tn_path_name(tn_text(&target)));
    else if (listed != NULL)
        tn_text_add(&cached->etag, listed->etag);
    cached->etag.failed = cached->etag.failed || target.failed;
    tn_failure_clear(&ignored);
    tn_text_clear(&target);
}

static tenon_status look_at_file(struct cached *cached)
{
    const struct tree_file *file = &cached->tree.files[cached->file];
    const struct tree_file *listed = tn_tree_find(&cached->listing, file->path);
    struct file_facts facts = { 0 };

    memset(&cached->row, 0, sizeof cached->row);
    repository_path(cached, "/snapshots/", &cached->local_path);
    tn_text_format(&cached->local_path, "%s/%s", commit_name(cached), file->path);
    find_etag(cached, file);
    if (cached->local_path.failed || cached->etag.failed)
        return tn_fail_memory(&cached->task.failure);
    if (tn_file_look(tn_text(&cached->local_path), &facts, &cached->task.failure) != TENON_OK)
        tn_failure_clear(&cached->task.failure);
    cached->row.struct_size = sizeof cached->row;
    cached->row.kind = TENON_FILE_REGULAR;
    cached->row.path = file->path;
    cached->row.repository = tn_text(&cached->name);
    cached->row.commit = commit_name(cached);
    cached->row.etag = tn_text(&cached->etag);
    cached->row.local_path = tn_text(&cached->local_path);
    cached->row.bytes = facts.exists ? facts.bytes : -1;
    cached->row.modified_ms = facts.exists ? facts.modified_ms : -1;
    cached->row.content = facts.exists ? TENON_CONTENT_PRESENT : TENON_CONTENT_MISSING;
    if (facts.exists && listed != NULL && listed->bytes != facts.bytes)
        cached->row.content = TENON_CONTENT_CORRUPT;
    return TENON_OK;
}

/* Opens the content for reading, unless its verdict is known or it has no hash to compare with. */
static tenon_status start_reading(struct cached *cached)
{
    json_t *verdict = json_object_get(cached->verdicts, tn_text(&cached->etag));
    enum hash_kind kind;
    tenon_status status = TENON_OK;

    if (cached->row.content != TENON_CONTENT_PRESENT || !cached->verifies)
        return TENON_OK;
    if (verdict != NULL)
        cached->row.content = (int32_t)json_integer_value(verdict);
    else if (tn_hash_of_etag(tn_text(&cached->etag), &kind)) {
        status = tn_hash_start(&cached->hash, kind, cached->row.bytes, &cached->task.failure);
        if (status == TENON_OK)
            status = tn_copy_start(&cached->copy, tn_text(&cached->local_path), -1, &cached->hash, &cached->task.failure);
    }
    return status;
}

/* TENON_AGAIN while there is more. */
static tenon_status read_slice(struct cached *cached)
{
    int64_t before = cached->copy.bytes;
    tenon_status status = tn_copy_slice(&cached->copy, tn_text(&cached->local_path), "", &cached->task.failure);

    cached->task.progress.bytes += cached->copy.bytes - before;
    return status;
}

static tenon_status judge(struct cached *cached)
{
    char hex[TN_HEX_MOST + 1];
    tenon_status status;

    if (!tn_copy_running(&cached->copy))
        return TENON_OK;
    status = tn_hash_end(&cached->hash, hex, &cached->task.failure);
    tn_copy_stop(&cached->copy);
    if (status == TENON_OK) {
        cached->row.content = strcmp(hex, tn_text(&cached->etag)) == 0 ? TENON_CONTENT_VERIFIED : TENON_CONTENT_CORRUPT;
        json_object_set_new(cached->verdicts, tn_text(&cached->etag), json_integer(cached->row.content));
    }
    return status;
}

static tenon_status push_file(struct cached *cached)
{
    if (cached->row.content == TENON_CONTENT_CORRUPT || cached->row.content == TENON_CONTENT_MISSING)
        cached->bad++;
    cached->task.progress.items++;
    return tn_task_push(&cached->task, &cached->row);
}

/* What the listing has and the snapshot has not is no fault: a part of a repository may have been wanted. */

static tenon_status conclude(struct cached *cached)
{
    tenon_status status = TENON_OK;

    if (cached->verifies && cached->bad > 0) {
        status = tn_fail(&cached->task.failure, TENON_ERROR_INTEGRITY, "%" PRId64 " files of the cache are corrupt or missing",
                         cached->bad);
        tn_hint(&cached->task.failure, "Remove the repository from the cache (tenon cache rm) and download it again.");
    }
    return status;
}

static tenon_status find_repositories(struct cached *cached)
{
    struct failure *failure = &cached->task.failure;
    tenon_status status;

    cached->verdicts = json_object();
    if (cached->only_folder != NULL)
        status = tn_names_add(&cached->repositories, cached->only_folder, failure);
    else
        status = tn_names_add_folder(&cached->repositories, cached->hub->cache, failure);
    return status == TENON_OK && cached->verdicts == NULL ? tn_fail_memory(failure) : status;
}

/* False for a folder that is none of a repository. */
static bool is_repository(struct cached *cached)
{
    tn_text_reset(&cached->name);
    return tn_repository_of_folder(cached->repositories.at[cached->repository], &cached->name);
}

static tenon_status cached_step(struct co *co)
{
    struct cached *cached = TN_CONTAINER(co, struct cached, task.co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_task_stage(&cached->task, cached->verifies ? "verifying" : "listing", cached->hub->cache);
    status = find_repositories(cached);
    for (; status == TENON_OK && cached->repository < cached->repositories.count; cached->repository++) {
        if (!is_repository(cached))
            continue;
        status = open_repository(cached);
        for (; status == TENON_OK && cached->commit < cached->commits.count; cached->commit++) {
            status = open_commit(cached);
            for (; status == TENON_OK && cached->file < cached->tree.count; cached->file++) {
                AWAIT(co, tn_task_has_room(&cached->task));
                status = look_at_file(cached);
                if (status == TENON_OK)
                    status = start_reading(cached);
                if (status == TENON_OK && tn_copy_running(&cached->copy))
                    AWAIT(co, (status = read_slice(cached)) != TENON_AGAIN || tn_copy_go_on(&cached->copy));
                if (status == TENON_OK)
                    status = judge(cached);
                if (status == TENON_OK)
                    status = push_file(cached);
                if (status != TENON_OK)
                    break;
            }
        }
        if (status == TENON_OK && !cached->verifies)
            status = push_partials(cached);
    }
    if (status == TENON_OK)
        status = conclude(cached);
    CO_END(co);
    return status;
}

static void cached_clear(struct tenon_task *task)
{
    struct cached *cached = TN_CONTAINER(task, struct cached, task);

    if (cached->hub == NULL)
        return;
    tn_copy_stop(&cached->copy);
    tn_hash_stop(&cached->hash);
    tn_names_clear(&cached->repositories);
    tn_names_clear(&cached->commits);
    json_decref(cached->verdicts);
    tn_tree_clear(&cached->tree);
    tn_tree_clear(&cached->listing);
    tn_text_clear(&cached->name);
    tn_text_clear(&cached->local_path);
    tn_text_clear(&cached->etag);
    tn_hub_drop(cached->hub);
    cached->hub = NULL;
}

static const struct operation listing = { .name = "listing the cache", .size = sizeof(struct cached), .row = &tn_row_file,
                                          .step = cached_step, .clear = cached_clear };
static const struct operation verifying = { .name = "verifying the cache", .size = sizeof(struct cached), .row = &tn_row_file,
                                            .step = cached_step, .clear = cached_clear };

/* Checks the name, where there is one, and keeps its folder. */
static tenon_status keep_names(struct cached *cached, const char *repository, const char *revision)
{
    struct tenon_context *context = cached->task.handle.context;
    struct repository parsed;
    struct text folder;
    tenon_status status;

    if (repository == NULL)
        return tn_task_keep(&cached->task, revision, &cached->only_revision);
    status = tn_repository_parse(&parsed, &context->memory, repository, revision, cached->hub->endpoint, &context->failure);
    if (status != TENON_OK)
        return status;
    tn_text_init(&folder, &context->memory, PATH_MAX);
    tn_repository_folder(&parsed, &folder);
    status = tn_task_keep(&cached->task, tn_text(&folder), &cached->only_folder);
    if (status == TENON_OK && (revision != NULL || strchr(repository, '@') != NULL))
        status = tn_task_keep(&cached->task, parsed.revision, &cached->only_revision);
    tn_text_clear(&folder);
    tn_repository_clear(&parsed);
    return status;
}

static tenon_status cached_new(tenon_hub *hub, const char *repository, const tenon_repository_options *given, bool verifies,
                               tenon_task **task)
{
    struct tenon_context *context = hub->handle.context;
    tenon_repository_options options;
    struct cached *cached = NULL;
    tenon_status status = tn_options(context, given, &options, sizeof options);

    if (status == TENON_OK)
        status = tn_task_new(context, verifies ? &verifying : &listing, &cached);
    if (status != TENON_OK)
        return status;
    cached->hub = tenon_hub_ref(hub);
    cached->verifies = verifies;
    tn_copy_init(&cached->copy, context, &cached->task.co);
    tn_names_init(&cached->repositories, &context->memory);
    tn_names_init(&cached->commits, &context->memory);
    tn_tree_init(&cached->tree, &context->memory);
    tn_tree_init(&cached->listing, &context->memory);
    tn_text_init(&cached->name, &context->memory, PATH_MAX);
    tn_text_init(&cached->local_path, &context->memory, PATH_MAX);
    tn_text_init(&cached->etag, &context->memory, 256);
    status = keep_names(cached, repository, options.revision);
    if (status == TENON_OK)
        *task = &cached->task;
    else
        tn_task_drop(&cached->task);
    return status;
}

tenon_status tenon_hub_cached(tenon_hub *hub, const char *repository, const tenon_repository_options *options, tenon_task **task)
{
    TN_HUB_CALL(hub, cached_new(hub, repository, options, false, &made), task);
}

tenon_status tenon_hub_verify(tenon_hub *hub, const char *repository, const tenon_repository_options *options, tenon_task **task)
{
    TN_HUB_CALL(hub, cached_new(hub, repository, options, true, &made), task);
}
