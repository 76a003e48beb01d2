#include "store.h"

#include <limits.h>
#include <string.h>

#include "path.h"

enum { REFS_LIMIT = 16 * 1024 * 1024 };

/* A folder without the marker is somebody else's, and is left alone. */
static bool is_store(const char *root, const struct memory *memory)
{
    struct text path, marker;
    struct failure ignored;
    bool is;

    tn_text_init(&path, memory, PATH_MAX);
    tn_text_init(&marker, memory, 64);
    tn_failure_init(&ignored, memory, NULL);
    tn_text_format(&path, "%s/blobs/.huggingface-shared-blobs", root);
    is = !path.failed && tn_file_read_whole(tn_text(&path), 16, &marker, &ignored) == TENON_OK &&
         strcmp(tn_text(&marker), "1\n") == 0;
    tn_failure_clear(&ignored);
    tn_text_clear(&marker);
    tn_text_clear(&path);
    return is;
}

/* "../../blobs/XX/HASH" as a repository's link has it: adds CACHE/blobs/XX/HASH; false for any other link. */
static bool payload_of(const char *root, const char *target, struct text *out)
{
    static const char start[] = "../../blobs/";
    const char *rest = tn_starts_with(target, start) ? target + strlen(start) : "";
    bool good = strlen(rest) == 67 && rest[2] == '/' && tn_is_hex(rest + 3, 64) && strncmp(rest, rest + 3, 2) == 0;

    if (good)
        tn_text_format(out, "%s/blobs/%s", root, rest);
    return good && !out->failed;
}

/* Does the line of the references, a path below the cache, still lead to the payload? What cannot be told is taken to do so. */
static bool still_links(const char *root, const char *line, size_t length, const char *payload, struct text *scratch)
{
    struct failure ignored;
    struct file_facts facts = { 0 };
    struct text path, target;
    tenon_status status;
    bool links = true;

    tn_failure_init(&ignored, scratch->memory, NULL);
    tn_text_init(&path, scratch->memory, PATH_MAX);
    tn_text_init(&target, scratch->memory, PATH_MAX);
    tn_text_reset(scratch);
    tn_text_format(&path, "%s/%.*s", root, (int)length, line);
    if (path.full || (!path.failed && !tn_path_is_safe(tn_text(&path) + strlen(root) + 1, NULL)))
        links = false;
    else if (!path.failed) {
        status = tn_file_look_at_link(tn_text(&path), &facts, &ignored);
        if (status == TENON_OK && facts.link)
            status = tn_link_read(tn_text(&path), &target, &ignored);
        if (status == TENON_OK)
            links = facts.link && (payload_of(root, tn_text(&target), scratch) ? strcmp(tn_text(scratch), payload) == 0
                                                                               : scratch->failed);
    }
    tn_failure_clear(&ignored);
    tn_text_clear(&path);
    tn_text_clear(&target);
    return links;
}

/* Under the payload's lock: the references that still hold; without any the payload goes. Without a list nothing does. */
static tenon_status tidy(const char *root, const char *payload, struct text *refs_path, struct text *refs, int64_t *freed,
                         struct failure *failure)
{
    struct text kept, scratch;
    struct file_facts facts = { 0 };
    tenon_status status = TENON_OK;

    tn_text_init(&kept, refs->memory, REFS_LIMIT);
    tn_text_init(&scratch, refs->memory, PATH_MAX);
    for (const char *line = tn_text(refs); *line != '\0';) {
        size_t length = strcspn(line, "\n");

        if (length > 0 && still_links(root, line, length, payload, &scratch)) {
            tn_text_add_n(&kept, line, length);
            tn_text_add_char(&kept, '\n');
        }
        line += length + (line[length] == '\n');
    }
    if (kept.failed)
        status = tn_fail_memory(failure);
    else if (kept.length > 0)
        status = tn_file_replace(tn_text(refs_path), tn_text(&kept), kept.length, 0, true, failure);
    else {
        status = tn_file_look(payload, &facts, failure);
        if (status == TENON_OK)
            status = tn_file_remove(payload, failure);
        if (status == TENON_OK)
            status = tn_file_remove(tn_text(refs_path), failure);
        *freed += status == TENON_OK ? facts.bytes : 0;
    }
    tn_text_clear(&scratch);
    tn_text_clear(&kept);
    return status;
}

/* Best effort: a payload that somebody else holds is tidied by whoever comes next. */
static void release_payload(struct tenon_context *context, const char *root, const char *payload, int64_t *freed)
{
    struct lock lock = { -1 };
    struct failure ignored;
    struct text path, refs;

    tn_failure_init(&ignored, &context->memory, NULL);
    tn_text_init(&path, &context->memory, PATH_MAX);
    tn_text_init(&refs, &context->memory, REFS_LIMIT);
    tn_text_format(&path, "%s.lock", payload);
    if (!path.failed && tn_lock_try(&lock, tn_text(&path), &ignored) == TENON_OK) {
        tn_text_reset(&path);
        tn_text_format(&path, "%s.refs", payload);
        if (tn_file_read_whole(tn_text(&path), REFS_LIMIT, &refs, &ignored) == TENON_OK)
            tidy(root, payload, &path, &refs, freed, &ignored);
    }
    tn_lock_release(&lock);
    tn_text_clear(&refs);
    tn_text_clear(&path);
    tn_failure_clear(&ignored);
}

tenon_status tn_store_remove_blob(struct tenon_context *context, const char *root, const char *blob, int64_t *freed,
                                  struct failure *failure)
{
    struct text target, payload;
    struct file_facts facts;
    bool stored = false;
    tenon_status status = tn_file_look_at_link(blob, &facts, failure);

    tn_text_init(&target, &context->memory, PATH_MAX);
    tn_text_init(&payload, &context->memory, PATH_MAX);
    if (status == TENON_OK && facts.link)
        status = tn_link_read(blob, &target, failure);
    if (status == TENON_OK && facts.link)
        stored = payload_of(root, tn_text(&target), &payload) && is_store(root, &context->memory);
    if (payload.failed)
        status = tn_fail_memory(failure);
    if (status == TENON_OK)
        status = tn_file_remove(blob, failure);
    if (status == TENON_OK && stored)
        release_payload(context, root, tn_text(&payload), freed);
    else if (status == TENON_OK && facts.exists && !facts.link)
        *freed += facts.bytes;
    tn_text_clear(&payload);
    tn_text_clear(&target);
    return status;
}
