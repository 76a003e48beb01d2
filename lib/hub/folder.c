#include "folder.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "hash.h"
#include "json.h"
#include "path.h"

enum { DEEPEST = 64, MANIFEST_LIMIT = 512 * 1024 * 1024 };

void tn_folder_path(const tenon_hub *hub, const struct repository *repository, struct text *out)
{
    tn_text_format(out, "%s/%s%s", hub->folder, tn_repository_prefix(repository), repository->id);
}

/* A branch is what makes a history; the folders above it may have been left by a publication that was killed. */
bool tn_folder_has_history(const tenon_hub *hub, const struct repository *repository)
{
    const struct memory *memory = &hub->handle.context->memory;
    struct folder stream = { NULL };
    struct failure ignored;
    struct text path;
    const char *name;
    bool has = false;

    tn_text_init(&path, memory, PATH_MAX);
    tn_failure_init(&ignored, memory, NULL);
    tn_folder_path(hub, repository, &path);
    tn_text_add(&path, "/.tenon/refs/heads");
    if (!path.failed && tn_folder_open(&stream, tn_text(&path), &ignored) == TENON_OK)
        while (!has && (name = tn_folder_next(&stream)) != NULL)
            has = !tn_ends_with(name, ".tmp");
    tn_folder_close(&stream);
    tn_failure_clear(&ignored);
    tn_text_clear(&path);
    return has;
}

/* ---- plain files ---- */

/* What a working folder has besides the model: version control, caches, our own history, what is being written. */
static bool is_left_out(const char *path)
{
    const char *name = tn_path_name(path);

    return strcmp(name, ".git") == 0 || strcmp(path, ".tenon") == 0 || strcmp(path, ".cache/huggingface") == 0 ||
           tn_ends_with(name, ".tenon.incomplete");
}

static tenon_status walk(const char *folder, const char *below, int depth, struct tree *tree, struct failure *failure);

/* A link that leads nowhere has the size -1. */
static tenon_status walk_entry(const char *folder, const char *path, int depth, struct tree *tree, struct failure *failure)
{
    struct tree_file file = { .path = path, .etag = "", .blob_id = "" };
    struct file_facts facts;
    struct text full;
    const char *reason;
    tenon_status status;

    tn_text_init(&full, tree->memory, PATH_MAX);
    tn_text_format(&full, "%s/%s", folder, path);
    status = full.failed ? tn_fail_memory(failure) : tn_file_look(tn_text(&full), &facts, failure);
    if (status == TENON_OK && facts.folder)
        status = walk(folder, path, depth + 1, tree, failure);
    else if (status == TENON_OK && (facts.regular || !facts.exists)) {
        if (!tn_path_is_safe(path, &reason))
            status = tn_fail(failure, TENON_ERROR_PROTOCOL, "%s has a file \"%s\" that no repository may have: %s", folder, path, reason);
        file.bytes = facts.exists ? facts.bytes : -1;
        if (status == TENON_OK)
            status = tn_tree_add(tree, &file, failure);
    }
    tn_text_clear(&full);
    return status;
}

static tenon_status walk(const char *folder, const char *below, int depth, struct tree *tree, struct failure *failure)
{
    struct folder stream = { NULL };
    struct text path;
    const char *name;
    tenon_status status = TENON_OK;

    if (depth > DEEPEST)
        return tn_fail(failure, TENON_ERROR_PROTOCOL, "%s is nested more than %d folders deep", folder, (int)DEEPEST);
    tn_text_init(&path, tree->memory, PATH_MAX);
    tn_text_format(&path, "%s/%s", folder, below);
    status = path.failed ? tn_fail_memory(failure) : tn_folder_open(&stream, tn_text(&path), failure);
    while (status == TENON_OK && (name = tn_folder_next(&stream)) != NULL) {
        tn_text_reset(&path);
        tn_path_join(&path, below, name);
        if (!is_left_out(tn_text(&path)))
            status = walk_entry(folder, tn_text(&path), depth, tree, failure);
    }
    tn_folder_close(&stream);
    tn_text_clear(&path);
    return status;
}

tenon_status tn_folder_walk(const char *folder, bool broken, struct tree *tree, struct failure *failure)
{
    tenon_status status = walk(folder, "", 0, tree, failure);
    size_t kept = 0;

    for (size_t i = 0; i < tree->count; i++)
        if (broken || tree->files[i].bytes >= 0)
            tree->files[kept++] = tree->files[i];
    tree->count = kept;
    return status == TENON_OK ? tn_tree_sort(tree, failure) : status;
}

/* The one commit of a plain folder: a hash of what can be seen without reading: paths, sizes, times. */
static tenon_status plain_commit(const char *folder, const struct tree *tree, char *commit, struct failure *failure)
{
    struct hash hash = { NULL };
    struct text path;
    char line[64], hex[TN_HEX_MOST + 1];
    tenon_status status = tn_hash_start(&hash, HASH_SHA1, 0, failure);

    tn_text_init(&path, tree->memory, PATH_MAX);
    for (size_t i = 0; i < tree->count && status == TENON_OK; i++) {
        struct file_facts facts;
        int length;

        tn_text_reset(&path);
        tn_text_format(&path, "%s/%s", folder, tree->files[i].path);
        status = path.failed ? tn_fail_memory(failure) : tn_file_look(tn_text(&path), &facts, failure);
        length = snprintf(line, sizeof line, "%" PRId64 " %" PRId64, tree->files[i].bytes, status == TENON_OK ? facts.modified_ns : 0);
        tn_hash_add(&hash, tree->files[i].path, strlen(tree->files[i].path) + 1);
        tn_hash_add(&hash, line, (size_t)length + 1);
    }
    if (status == TENON_OK)
        status = tn_hash_end(&hash, hex, failure);
    if (status == TENON_OK)
        memcpy(commit, hex, 41);
    tn_hash_stop(&hash);
    tn_text_clear(&path);
    return status;
}

/* ---- history ---- */

tenon_status tn_pointer_id(const char *sha256, int64_t bytes, char *hex, struct failure *failure)
{
    char pointer[256];
    int length = snprintf(pointer, sizeof pointer, "version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %" PRId64 "\n",
                          sha256, bytes);

    return tn_hash_bytes(HASH_GIT_BLOB, pointer, (size_t)length, hex, failure);
}

tenon_status tn_folder_parse_commit(const char *text, size_t length, struct tree *tree, struct failure *failure)
{
    json_t *json = NULL, *value;
    const char *path;
    tenon_status status = tn_json_read(text, length, "a commit of a file: hub", &json, failure);

    if (status == TENON_OK && tn_json_integer(json, "format", 0) != 1)
        status = tn_fail(failure, TENON_ERROR_UNSUPPORTED, "a commit of a file: hub has another format");
    json_object_foreach(tn_json_member(json, "files"), path, value) {
        struct tree_file file = { .path = path, .etag = tn_json_text_or(value, "sha256", ""), .large = true,
                                  .bytes = tn_json_integer(value, "size", -1) };
        char pointer[TN_HEX_MOST + 1];

        if (status == TENON_OK && (!tn_path_is_safe(path, NULL) || !tn_is_hex(file.etag, 64) || file.bytes < 0))
            status = tn_fail(failure, TENON_ERROR_PROTOCOL, "a commit of a file: hub has a file \"%s\" that makes no sense", path);
        if (status == TENON_OK)
            status = tn_pointer_id(file.etag, file.bytes, pointer, failure);
        file.blob_id = pointer;
        if (status == TENON_OK)
            status = tn_tree_add(tree, &file, failure);
    }
    json_decref(json);
    return status == TENON_OK ? tn_tree_sort(tree, failure) : status;
}

static tenon_status no_revision(const struct repository *repository, struct failure *failure)
{
    tn_fail(failure, TENON_ERROR_NOT_FOUND, "%s has no revision %s", repository->id, repository->revision);
    tn_hint(failure, "Check the branch or the commit.");
    tn_failure_set_code(failure, "RevisionNotFound");
    return failure->status;
}

/* What refs/heads/REVISION says, or the revision itself where it is a commit. */
static tenon_status find_commit(const struct text *folder, const struct repository *repository, char *commit, struct failure *failure)
{
    struct text path, value;
    const char *branch = tn_starts_with(repository->revision, "refs/heads/") ? repository->revision + 11 : repository->revision;
    tenon_status status;

    if (tn_is_commit(repository->revision)) {
        memcpy(commit, repository->revision, 41);
        return TENON_OK;
    }
    tn_text_init(&path, folder->memory, PATH_MAX);
    tn_text_init(&value, folder->memory, 256);
    tn_text_format(&path, "%s/.tenon/refs/heads/%s", tn_text(folder), branch);
    status = path.failed ? tn_fail_memory(failure) : tn_file_read_whole(tn_text(&path), 128, &value, failure);
    if (status == TENON_ERROR_NOT_FOUND)
        status = no_revision(repository, failure);
    else if (status == TENON_OK && !tn_is_commit(tn_text(&value)))
        status = tn_fail(failure, TENON_ERROR_PROTOCOL, "%s names no commit", tn_text(&path));
    if (status == TENON_OK)
        memcpy(commit, tn_text(&value), 41);
    tn_text_clear(&path);
    tn_text_clear(&value);
    return status;
}

static tenon_status open_history(const struct text *folder, const struct repository *repository, char *commit, struct tree *tree, struct failure *failure)
{
    struct text path, text;
    tenon_status status = find_commit(folder, repository, commit, failure);

    tn_text_init(&path, folder->memory, PATH_MAX);
    tn_text_init(&text, folder->memory, MANIFEST_LIMIT);
    tn_text_format(&path, "%s/.tenon/commits/%s.json", tn_text(folder), commit);
    if (status == TENON_OK && path.failed)
        status = tn_fail_memory(failure);
    if (status == TENON_OK)
        status = tn_file_read_whole(tn_text(&path), MANIFEST_LIMIT, &text, failure);
    if (status == TENON_ERROR_NOT_FOUND)
        status = no_revision(repository, failure);
    if (status == TENON_OK && tree != NULL)
        status = tn_folder_parse_commit(tn_text(&text), text.length, tree, failure);
    tn_text_clear(&text);
    tn_text_clear(&path);
    return status;
}

static tenon_status open_plain(const struct text *folder, const struct repository *repository, char *commit, struct tree *tree, struct failure *failure)
{
    char found[41];
    tenon_status status = tn_folder_walk(tn_text(folder), false, tree, failure);

    if (status == TENON_OK)
        status = plain_commit(tn_text(folder), tree, found, failure);
    if (status == TENON_OK && strcmp(repository->revision, "main") != 0 && strcmp(repository->revision, found) != 0)
        status = no_revision(repository, failure);
    if (status == TENON_OK)
        memcpy(commit, found, sizeof found);
    return status;
}

tenon_status tn_folder_open_revision(const tenon_hub *hub, const struct repository *repository, char *commit, struct tree *tree, struct failure *failure)
{
    const struct memory *memory = &hub->handle.context->memory;
    struct tree unwanted;
    struct text folder;
    tenon_status status;

    tn_text_init(&folder, memory, PATH_MAX);
    tn_tree_init(&unwanted, memory);
    tn_folder_path(hub, repository, &folder);
    if (folder.failed)
        status = tn_fail_memory(failure);
    else if (!tn_folder_exists(tn_text(&folder))) {
        status = tn_fail(failure, TENON_ERROR_NOT_FOUND, "there is no repository %s in %s", repository->id, hub->folder);
        tn_hint(failure, "Check the name; a repository is the folder owner/name.");
        tn_failure_set_code(failure, "RepoNotFound");
    } else if (tn_folder_has_history(hub, repository))
        status = open_history(&folder, repository, commit, tree, failure);
    else
        status = open_plain(&folder, repository, commit, tree != NULL ? tree : &unwanted, failure);
    tn_tree_clear(&unwanted);
    tn_text_clear(&folder);
    return status;
}

void tn_folder_content(const tenon_hub *hub, const struct repository *repository, const struct tree_file *file, struct text *out)
{
    tn_folder_path(hub, repository, out);
    if (*file->etag != '\0')
        tn_text_format(out, "/.tenon/blobs/%s", file->etag);
    else
        tn_text_format(out, "/%s", file->path);
}

/* ---- branches ---- */

struct branches {
    const tenon_hub *hub;
    const struct repository *repository;
    tenon_status (*see)(void *owner, const char *branch, const char *commit);
    void *owner;
    struct failure *failure;
};

static tenon_status see_branch(const struct branches *branches, const char *branch)
{
    struct repository named = *branches->repository;
    char commit[41];
    tenon_status status;

    named.revision = (char *)(uintptr_t)branch;
    status = tn_folder_open_revision(branches->hub, &named, commit, NULL, branches->failure);
    return status == TENON_OK ? branches->see(branches->owner, branch, commit) : status;
}

static tenon_status see_branches(const struct branches *branches, const char *folder, const char *below, int depth)
{
    struct folder stream = { NULL };
    struct text path, name;
    const char *entry;
    tenon_status status = TENON_OK;

    tn_text_init(&path, &branches->hub->handle.context->memory, PATH_MAX);
    tn_text_init(&name, &branches->hub->handle.context->memory, PATH_MAX);
    tn_text_format(&path, "%s/%s", folder, below);
    status = path.failed ? tn_fail_memory(branches->failure) : tn_folder_open(&stream, tn_text(&path), branches->failure);
    while (status == TENON_OK && depth < DEEPEST && (entry = tn_folder_next(&stream)) != NULL) {
        tn_text_reset(&name);
        tn_path_join(&name, below, entry);
        tn_text_reset(&path);
        tn_text_format(&path, "%s/%s", folder, tn_text(&name));
        if (tn_folder_exists(tn_text(&path)))
            status = see_branches(branches, folder, tn_text(&name), depth + 1);
        else if (!tn_ends_with(entry, ".tmp"))
            status = see_branch(branches, tn_text(&name));
    }
    tn_folder_close(&stream);
    tn_text_clear(&name);
    tn_text_clear(&path);
    return status;
}

tenon_status tn_folder_branches(const tenon_hub *hub, const struct repository *repository,
                                tenon_status (*see)(void *owner, const char *branch, const char *commit), void *owner,
                                struct failure *failure)
{
    struct branches branches = { hub, repository, see, owner, failure };
    struct text folder;
    tenon_status status;

    if (!tn_folder_has_history(hub, repository))
        return see_branch(&branches, "main");
    tn_text_init(&folder, &hub->handle.context->memory, PATH_MAX);
    tn_folder_path(hub, repository, &folder);
    tn_text_add(&folder, "/.tenon/refs/heads");
    status = folder.failed ? tn_fail_memory(failure) : see_branches(&branches, tn_text(&folder), "", 0);
    tn_text_clear(&folder);
    return status;
}
