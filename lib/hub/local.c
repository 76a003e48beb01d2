#include "local.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "hash.h"
#include "path.h"
#include "repository.h"

static const char notes[] = ".cache/huggingface/download";

void tn_local_file(const char *folder, const char *path, struct text *out)
{
    tn_text_format(out, "%s/%s", folder, path);
}

void tn_local_lock(const char *folder, const char *path, struct text *out)
{
    tn_text_format(out, "%s/%s/%s.lock", folder, notes, path);
}

static void note_path(const char *folder, const char *path, struct text *out)
{
    tn_text_format(out, "%s/%s/%s.metadata", folder, notes, path);
}

/* The official client hashes the name, so that a long one stays short enough with what is put behind it. */
tenon_status tn_local_base(const char *folder, const char *path, const char *etag, struct text *out, struct failure *failure)
{
    const char *name = tn_path_name(path);
    char hex[TN_HEX_MOST + 1];
    struct text key;
    tenon_status status;

    tn_text_init(&key, out->memory, PATH_MAX);
    tn_text_format(&key, "%s.metadata", name);
    status = tn_hash_bytes(HASH_SHA1, tn_text(&key), key.length, hex, failure);
    if (status == TENON_OK)
        tn_text_format(out, "%s/%s/%.*s%s.%s", folder, notes, (int)(name - path), path, hex, etag);
    tn_text_clear(&key);
    return status == TENON_OK && out->failed ? tn_fail_memory(failure) : status;
}

tenon_status tn_local_check_links(const char *folder, const char *path, const struct memory *memory, struct failure *failure)
{
    tenon_status status = TENON_OK;
    struct text part;

    tn_text_init(&part, memory, PATH_MAX);
    for (const char *slash = strchr(path, '/'); slash != NULL && status == TENON_OK; slash = strchr(slash + 1, '/')) {
        struct file_facts facts = { 0 };

        tn_text_reset(&part);
        tn_text_format(&part, "%s/%.*s", folder, (int)(slash - path), path);
        status = part.failed ? tn_fail_memory(failure) : tn_file_look_at_link(tn_text(&part), &facts, failure);
        if (status == TENON_OK && facts.link)
            status = tn_fail(failure, TENON_ERROR_IO, "%s is a link; nothing is written through it", tn_text(&part));
    }
    tn_text_clear(&part);
    return status;
}

static tenon_status make_folders(const char *folder, const char *path, struct text *name, struct failure *failure)
{
    tenon_status status;

    tn_text_reset(name);
    tn_local_file(folder, path, name);
    status = name->failed ? tn_fail_memory(failure) : tn_folder_make_above(tn_text(name), failure);
    tn_text_reset(name);
    tn_local_lock(folder, path, name);
    if (status == TENON_OK)
        status = name->failed ? tn_fail_memory(failure) : tn_folder_make_above(tn_text(name), failure);
    tn_text_reset(name);
    tn_text_format(name, "%s/.cache/huggingface/.gitignore", folder);
    if (status == TENON_OK && !tn_file_exists(tn_text(name)))
        status = tn_file_replace(tn_text(name), "*", 1, 0, false, failure);
    return status;
}

tenon_status tn_local_prepare(struct tenon_context *context, const char *folder, const char *path, struct failure *failure)
{
    struct text name;
    tenon_status status = TENON_OK;

    tn_text_init(&name, &context->memory, PATH_MAX);
    if (tn_starts_with(path, ".cache/huggingface/"))
        status = tn_fail(failure, TENON_ERROR_PROTOCOL, "the hub names a file %s, which is where notes are kept", path);
    if (status == TENON_OK)
        status = tn_local_check_links(folder, path, &context->memory, failure);
    if (status == TENON_OK)
        status = make_folders(folder, path, &name, failure);
    tn_text_clear(&name);
    return status;
}

static bool parse_note(const struct text *text, struct local_note *note, int64_t *seconds)
{
    long long whole = 0;

    return sscanf(tn_text(text), "%40s\n%128s\n%18lld", note->commit, note->etag, &whole) == 3 && tn_is_commit(note->commit) &&
           tn_etag_is_safe(note->etag) && (*seconds = whole) >= 0;
}

bool tn_local_read(struct tenon_context *context, const char *folder, const char *path, struct local_note *note)
{
    struct text name, text;
    struct failure ignored;
    struct file_facts facts = { 0 };
    int64_t seconds = 0;
    bool good;

    tn_text_init(&name, &context->memory, PATH_MAX);
    tn_text_init(&text, &context->memory, 1024);
    tn_failure_init(&ignored, &context->memory, NULL);
    note_path(folder, path, &name);
    good = !name.failed && tn_file_read_whole(tn_text(&name), 1024, &text, &ignored) == TENON_OK &&
           parse_note(&text, note, &seconds);
    tn_text_reset(&name);
    tn_local_file(folder, path, &name);
    good = good && tn_file_look_at_link(tn_text(&name), &facts, &ignored) == TENON_OK && facts.regular &&
           facts.modified_ms / 1000 - 1 <= seconds;
    tn_failure_clear(&ignored);
    tn_text_clear(&name);
    tn_text_clear(&text);
    return good;
}

tenon_status tn_local_write(struct tenon_context *context, const char *folder, const char *path, const struct local_note *note,
                            struct failure *failure)
{
    int64_t now = tn_wall(context);
    struct text name, text;
    tenon_status status;

    tn_text_init(&name, &context->memory, PATH_MAX);
    tn_text_init(&text, &context->memory, 1024);
    note_path(folder, path, &name);
    tn_text_format(&text, "%s\n%s\n%" PRId64 ".%03d\n", note->commit, note->etag, now / 1000, (int)(now % 1000));
    status = name.failed || text.failed ? tn_fail_memory(failure)
                                        : tn_file_replace(tn_text(&name), tn_text(&text), text.length, 0, false, failure);
    tn_text_clear(&name);
    tn_text_clear(&text);
    return status;
}
