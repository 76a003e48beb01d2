/*
 * Names that become paths or say what is meant: the first line is a path, an etag, a revision, the name of a repository, of
 * a blob, of an accelerator and of a job; the second is a pattern.
 */
#include "fuzz.h"

#include <string.h>

#include "journal.h"
#include "local_job.h"
#include "locator.h"
#include "metadata.h"
#include "path.h"
#include "pattern.h"
#include "repository.h"

/* May a folder have a file of that name, and no more than that? */
static bool is_one_name(const char *name)
{
    return *name != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool stays_inside(const char *path)
{
    bool inside = *path != '/' && *path != '\0';

    for (const char *part = path; part != NULL && inside; part = strchr(part, '/') != NULL ? strchr(part, '/') + 1 : NULL) {
        size_t length = strcspn(part, "/");

        inside = length > 0 && length < 256 && (length > 2 || strspn(part, ".") != length);
    }
    return inside;
}

static void check_path(const char *path)
{
    const char *reason = NULL;
    char etag[129];

    if (tn_path_is_safe(path, &reason))
        HOLDS(stays_inside(path) && fuzz_is_clean(path) && strchr(path, '\\') == NULL && *reason == '\0');
    else
        HOLDS(*reason != '\0');
    if (tn_etag_is_safe(path))
        HOLDS(is_one_name(path) && tn_path_is_safe(path, NULL) && !tn_ends_with(path, ".incomplete"));
    if (tn_etag_normal(path, etag, sizeof etag))
        HOLDS(tn_etag_is_safe(etag));
    if (tn_revision_is_safe(path))
        HOLDS(stays_inside(path));
    if (tn_local_is_name(path))
        HOLDS(is_one_name(path));
}

static void check_repository(const char *name)
{
    struct repository repository, again;
    struct failure failure;
    struct text folder, written;

    tn_failure_init(&failure, fuzz_memory(), NULL);
    tn_text_init(&folder, fuzz_memory(), 4096);
    tn_text_init(&written, fuzz_memory(), 4096);
    if (tn_repository_of_folder(name, &written))
        HOLDS(stays_inside(tn_text(&written)));
    tn_text_reset(&written);
    if (tn_repository_parse(&repository, fuzz_memory(), name, NULL, "https://hub.test", &failure) == TENON_OK) {
        HOLDS(stays_inside(repository.id) && stays_inside(repository.revision) && strchr(repository.id, '@') == NULL);
        tn_repository_folder(&repository, &folder);
        HOLDS(is_one_name(tn_text(&folder)) && tn_repository_of_folder(tn_text(&folder), &written));
        HOLDS(strcmp(tn_text(&written), repository.written) == 0);
        /* With hf:// before it: an owner may be called as the hub itself is. */
        tn_text_reset(&written);
        tn_text_format(&written, "hf://%s", repository.written);
        HOLDS(tn_repository_parse(&again, fuzz_memory(), tn_text(&written), repository.revision, NULL, &failure) == TENON_OK);
        HOLDS(again.type == repository.type && strcmp(again.id, repository.id) == 0);
        tn_repository_clear(&again);
        tn_repository_clear(&repository);
    } else
        HOLDS(failure.status == TENON_ERROR_ARGUMENT && fuzz_is_clean(failure.message));
    tn_text_clear(&folder);
    tn_text_clear(&written);
    tn_failure_clear(&failure);
}

static void check_journal_name(const char *name)
{
    struct text again;
    int64_t generation = tn_journal_generation("base", name);

    tn_text_init(&again, fuzz_memory(), 4096);
    HOLDS(generation >= 0);
    if (generation > 0) {
        tn_journal_name("base", generation, &again);
        HOLDS(strcmp(tn_text(&again), name) == 0);
    }
    tn_text_clear(&again);
}

static void check_locator(const char *name)
{
    struct locator locator;
    struct failure failure;

    tn_failure_init(&failure, fuzz_memory(), NULL);
    if (tn_locator_parse(name, &locator, &failure) == TENON_OK)
        HOLDS(locator.index >= -1 && strlen(locator.uuid) < LOCATOR_UUID && strlen(locator.word) < LOCATOR_UUID);
    else
        HOLDS(fuzz_is_clean(failure.message) && fuzz_is_clean(failure.hint));
    tn_failure_clear(&failure);
}

/* What says nothing but itself: neither sets nor stars, and no slash at its end. */
static bool is_plain(const char *pattern)
{
    return strpbrk(pattern, "*?[\\") == NULL && !tn_ends_with(pattern, "/");
}

static void check_pattern(const char *pattern, const char *path)
{
    const char *const all[] = { "*", NULL }, *const none[] = { NULL };

    if (is_plain(pattern) && strchr(path, '\\') == NULL)
        HOLDS(tn_pattern_matches(pattern, path) == (strcmp(pattern, path) == 0));
    tn_pattern_matches(pattern, path);
    HOLDS(tn_patterns_choose(all, NULL, path) && !tn_patterns_choose(none, NULL, path) && !tn_patterns_choose(NULL, all, path));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *name = fuzz_text(bytes, size), *pattern = fuzz_cut(name, "\n");

    check_path(name);
    check_repository(name);
    check_journal_name(name);
    check_locator(name);
    check_pattern(pattern, name);
    free(name);
    return 0;
}
