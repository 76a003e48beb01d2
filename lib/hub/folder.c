#include "folder.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "hash.h"
#include "json.h"
#include "path.h"
#include "pattern.h"

enum { DEEPEST = 64, MANIFEST_LIMIT = 512 * 1024 * 1024 };

void tn_folder_path(const tenon_hub *hub, const struct repository *repository, struct text *out)
{
    tn_text_format(out, "%s/%s%s", hub->folder, tn_repository_prefix(repository), repository->id);
}

/* ---- plain files ---- */

/* What a working folder has besides the model: version control, caches, our own history, what is being written. */
static bool is_left_out(const char *path)
{
    const char *name = tn_path_name(path);

    return strcmp(name, ".git") == 0 || strcmp(path, ".tenon") == 0 || strcmp(path, ".cache/huggingface") == 0 ||
           tn_ends_with(name, ".tenon.incomplete");
}

/* A walk through a folder; all: as it is, else only what may be in a repository, and of that what patterns choose. */
struct walk {
    const char *folder;
    bool all;
    bool ours; /* the user's own folder: a bad name is an argument's fault, not a hub's */
    const char *const *allow;
    const char *const *ignore;
    struct tree *tree;
    struct failure *failure;
};

static tenon_status walk_below(const struct walk *walk, const char *below, int depth);

static tenon_status add_file(const struct walk *walk, const char *path, const struct file_facts *facts)
{
    struct tree_file file = { .path = path, .etag = "", .blob_id = "", .bytes = facts->exists ? facts->bytes : -1 };
    const char *reason;

    if (!tn_patterns_choose(walk->allow, walk->ignore, path))
        return TENON_OK;
    if (!walk->all && !tn_path_is_safe(path, &reason)) {
        tn_fail(walk->failure, walk->ours ? TENON_ERROR_ARGUMENT : TENON_ERROR_PROTOCOL,
                "%s has a file \"%s\" that no repository may have: %s", walk->folder, path, reason);
        return tn_hint(walk->failure, "Rename it, or leave it out.");
    }
    return tn_tree_add(walk->tree, &file, walk->failure);
}

/* Links to files count as these; links to folders are not followed, because they may lead anywhere, also back. */
static tenon_status walk_entry(const struct walk *walk, const char *path, int depth)
{
    struct file_facts named, facts = { 0 };
    struct text full;
    tenon_status status;

    tn_text_init(&full, walk->tree->memory, PATH_MAX);
    tn_text_format(&full, "%s/%s", walk->folder, path);
    status = full.failed ? tn_fail_memory(walk->failure) : tn_file_look_at_link(tn_text(&full), &named, walk->failure);
    if (status == TENON_OK)
        status = tn_file_look(tn_text(&full), &facts, walk->failure);
    if (status == TENON_OK && named.folder)
        status = walk_below(walk, path, depth + 1);
    else if (status == TENON_OK && (facts.regular || (walk->all && named.link && !facts.exists)))
        status = add_file(walk, path, &facts);
    tn_text_clear(&full);
    return status;
}

static bool is_text(const char *name)
{
    size_t left = strlen(name), length = 1;

    for (; left > 0 && length > 0; name += length, left -= length)
        length = tn_utf8_length((const unsigned char *)name, left);
    return length > 0;
}

static tenon_status walk_below(const struct walk *walk, const char *below, int depth)
{
    struct folder stream = { NULL };
    struct text path;
    const char *name;
    tenon_status status;

    if (depth > DEEPEST)
        return tn_fail(walk->failure, walk->ours ? TENON_ERROR_ARGUMENT : TENON_ERROR_PROTOCOL,
                       "%s is nested more than %d folders deep", walk->folder, (int)DEEPEST);
    tn_text_init(&path, walk->tree->memory, PATH_MAX);
    tn_text_format(&path, "%s/%s", walk->folder, below);
    status = path.failed ? tn_fail_memory(walk->failure) : tn_folder_open(&stream, tn_text(&path), walk->failure);
    while (status == TENON_OK && (name = tn_folder_next(&stream)) != NULL) {
        tn_text_reset(&path);
        tn_path_join(&path, below, name);
        if (walk->all ? is_text(name) : !is_left_out(tn_text(&path)))
            status = walk_entry(walk, tn_text(&path), depth);
    }
    tn_folder_close(&stream);
    tn_text_clear(&path);
    return status;
}

tenon_status tn_folder_walk(const char *folder, bool all, struct tree *tree, struct failure *failure)
{
    struct walk walk = { .folder = folder, .all = all, .tree = tree, .failure = failure };
    tenon_status status = walk_below(&walk, "", 0);

    return status == TENON_OK ? tn_tree_sort(tree, failure) : status;
}

tenon_status tn_folder_choose(const char *folder, const char *const *allow, const char *const *ignore, struct tree *tree,
                              struct failure *failure)
{
    struct walk walk = { .folder = folder, .ours = true, .allow = allow, .ignore = ignore, .tree = tree, .failure = failure };
    tenon_status status = walk_below(&walk, "", 0);

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
        length = snprintf(line, sizeof line, "%" PRId64 " %" PRId64, tree->files[i].bytes,
                          status == TENON_OK ? facts.modified_ns : 0);
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
    json_t *json = NULL, *files, *value;
    const char *path;
    tenon_status status = tn_json_read(text, length, "a commit of a file: hub", &json, failure);

    if (status == TENON_OK && tn_json_integer(json, "format", 0) != 1)
        status = tn_fail(failure, TENON_ERROR_UNSUPPORTED, "a commit of a file: hub has another format");
    files = status == TENON_OK ? tn_json_member(json, "files") : NULL;
    if (status == TENON_OK && !json_is_object(files))
        status = tn_fail(failure, TENON_ERROR_PROTOCOL, "a commit of a file: hub has no files");
    json_object_foreach(files, path, value) {
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

static tenon_status no_repository(const tenon_hub *hub, const struct repository *repository, struct failure *failure)
{
    tn_fail(failure, TENON_ERROR_NOT_FOUND, "there is no repository %s in %s", repository->id, hub->folder);
    tn_hint(failure, "Check the name; a repository is the folder owner/name.");
    tn_failure_set_code(failure, "RepoNotFound");
    return failure->status;
}

/* What refs/heads/REVISION says, or the revision itself where it is a commit. */
static tenon_status find_commit(const struct text *folder, const struct repository *repository, char *commit,
                                struct failure *failure)
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
    /* Of branches with a common beginning that is a folder. */
    if (status == TENON_ERROR_NOT_FOUND || (status == TENON_ERROR_IO && tn_folder_exists(tn_text(&path))))
        status = no_revision(repository, failure);
    else if (status == TENON_OK && !tn_is_commit(tn_text(&value)))
        status = tn_fail(failure, TENON_ERROR_PROTOCOL, "%s names no commit", tn_text(&path));
    if (status == TENON_OK)
        memcpy(commit, tn_text(&value), 41);
    tn_text_clear(&path);
    tn_text_clear(&value);
    return status;
}

tenon_status tn_folder_open_commit(const tenon_hub *hub, const struct repository *repository, const char *commit, struct tree *tree,
                                   struct failure *failure)
{
    const struct memory *memory = &hub->handle.context->memory;
    struct text path, text;
    tenon_status status;

    tn_text_init(&path, memory, PATH_MAX);
    tn_text_init(&text, memory, MANIFEST_LIMIT);
    tn_folder_path(hub, repository, &path);
    tn_text_format(&path, "/.tenon/commits/%s.json", commit);
    status = path.failed ? tn_fail_memory(failure) : tn_file_read_whole(tn_text(&path), MANIFEST_LIMIT, &text, failure);
    if (status == TENON_ERROR_NOT_FOUND)
        status = no_revision(repository, failure);
    if (status == TENON_OK && tree != NULL)
        status = tn_folder_parse_commit(tn_text(&text), text.length, tree, failure);
    tn_text_clear(&text);
    tn_text_clear(&path);
    return status;
}

static tenon_status open_plain(const tenon_hub *hub, const struct text *folder, const struct repository *repository, char *commit,
                               struct tree *tree, struct failure *failure)
{
    const char *revision = repository->revision;
    char found[41];
    tenon_status status = tn_folder_walk(tn_text(folder), false, tree, failure);

    /* A folder without files is none: it may be what a publication that was killed has left. */
    if (status == TENON_OK && tree->count == 0)
        status = no_repository(hub, repository, failure);
    if (status == TENON_OK)
        status = plain_commit(tn_text(folder), tree, found, failure);
    if (status == TENON_OK && strcmp(revision, "main") != 0 && strcmp(revision, "refs/heads/main") != 0 &&
        strcmp(revision, found) != 0)
        status = no_revision(repository, failure);
    if (status == TENON_OK)
        memcpy(commit, found, sizeof found);
    return status;
}

/* Adds the names of the branches below a folder of refs/heads. */
static tenon_status add_branches(const char *folder, const char *below, int depth, struct names *branches, struct failure *failure)
{
    struct text path, name;
    struct names entries;
    tenon_status status;

    tn_text_init(&path, branches->memory, PATH_MAX);
    tn_text_init(&name, branches->memory, PATH_MAX);
    tn_names_init(&entries, branches->memory);
    tn_text_format(&path, "%s/%s", folder, below);
    status = path.failed ? tn_fail_memory(failure) : tn_names_add_folder(&entries, tn_text(&path), failure);
    for (size_t i = 0; i < entries.count && status == TENON_OK && depth < DEEPEST; i++) {
        tn_text_reset(&name);
        tn_path_join(&name, below, entries.at[i]);
        tn_text_reset(&path);
        tn_text_format(&path, "%s/%s", folder, tn_text(&name));
        if (path.failed)
            status = tn_fail_memory(failure);
        else if (tn_folder_exists(tn_text(&path)))
            status = add_branches(folder, tn_text(&name), depth + 1, branches, failure);
        else
            status = tn_names_add(branches, tn_text(&name), failure);
    }
    tn_names_clear(&entries);
    tn_text_clear(&name);
    tn_text_clear(&path);
    return status;
}

tenon_status tn_folder_branches(const tenon_hub *hub, const struct repository *repository, struct names *branches,
                                struct failure *failure)
{
    struct text folder;
    tenon_status status;

    tn_text_init(&folder, branches->memory, PATH_MAX);
    tn_folder_path(hub, repository, &folder);
    tn_text_add(&folder, "/.tenon/refs/heads");
    status = folder.failed ? tn_fail_memory(failure) : add_branches(tn_text(&folder), "", 0, branches, failure);
    tn_names_sort(branches);
    tn_text_clear(&folder);
    return status;
}

tenon_status tn_folder_open_revision(const tenon_hub *hub, const struct repository *repository, char *commit, struct tree *tree,
                                     struct failure *failure)
{
    const struct memory *memory = &hub->handle.context->memory;
    struct names branches;
    struct tree unwanted;
    struct text folder;
    tenon_status status;

    tn_text_init(&folder, memory, PATH_MAX);
    tn_names_init(&branches, memory);
    tn_tree_init(&unwanted, memory);
    tn_folder_path(hub, repository, &folder);
    if (folder.failed)
        status = tn_fail_memory(failure);
    else if (!tn_folder_exists(tn_text(&folder)))
        status = no_repository(hub, repository, failure);
    else
        status = tn_folder_branches(hub, repository, &branches, failure);
    if (status == TENON_OK && branches.count > 0) {
        status = find_commit(&folder, repository, commit, failure);
        if (status == TENON_OK)
            status = tn_folder_open_commit(hub, repository, commit, tree, failure);
    } else if (status == TENON_OK)
        status = open_plain(hub, &folder, repository, commit, tree != NULL ? tree : &unwanted, failure);
    tn_tree_clear(&unwanted);
    tn_names_clear(&branches);
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
