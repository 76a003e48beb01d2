#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "number.h"

enum { NAMES_MOST = 4096, NUMBER_SIZE = 64 };

bool tn_root_path(char path[ROOT_PATH], const char *root, const char *name)
{
    size_t length = strlen(root);
    int written;

    while (length > 0 && root[length - 1] == '/')
        length--;
    written = snprintf(path, ROOT_PATH, "%.*s/%s", (int)tn_least((int64_t)length, ROOT_PATH), root, name + strspn(name, "/"));
    return written > 0 && written < ROOT_PATH;
}

bool tn_root_exists(const char *root, const char *name)
{
    char path[ROOT_PATH];

    return tn_root_path(path, root, name) && tn_file_exists(path);
}

/* A pipe or a device in place of a file could keep us waiting for ever. */
static bool is_plain(const char *path, struct failure *failure)
{
    struct file_facts facts;

    return tn_file_look(path, &facts, failure) == TENON_OK && facts.regular;
}

bool tn_root_read(const char *root, const char *name, size_t limit, struct text *out)
{
    char path[ROOT_PATH];
    struct failure failure;
    bool memory = true;

    tn_failure_init(&failure, out->memory, NULL);
    tn_text_reset(out);
    if (tn_root_path(path, root, name) && is_plain(path, &failure) &&
        tn_file_read_whole(path, limit, out, &failure) != TENON_OK) {
        memory = failure.status != TENON_ERROR_MEMORY;
        tn_text_reset(out);
    }
    tn_failure_clear(&failure);
    return memory;
}

static bool parse_number(const char *text, int64_t *number)
{
    char *end = NULL;
    long long value;
    bool hex = tn_starts_with(text, "0x");

    if (*text < '0' || *text > '9')
        return false;
    value = strtoll(text, &end, hex ? 16 : 10);
    if (end[strspn(end, " \n")] != '\0')
        return false;
    *number = value;
    return true;
}

bool tn_root_integer(const struct memory *memory, const char *root, const char *name, int64_t *number)
{
    char path[ROOT_PATH], text[NUMBER_SIZE] = "";
    struct failure failure;
    size_t got = 0;
    int fd = -1;
    bool found = false;

    tn_failure_init(&failure, memory, NULL);
    if (tn_root_path(path, root, name) && is_plain(path, &failure))
        fd = tn_file_open(path, FILE_READ, &failure);
    if (fd >= 0 && tn_file_read_at(fd, text, sizeof text - 1, 0, &got, path, &failure) == TENON_OK)
        found = got < sizeof text - 1 && parse_number(text, number);
    tn_file_close(&fd);
    tn_failure_clear(&failure);
    return found;
}

/* Numbers inside names count as numbers, so that "10" comes after "9". */
static int compare_names(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    size_t same = 0;

    while (x[same] != '\0' && x[same] == y[same])
        same++;
    while (same > 0 && x[same - 1] >= '0' && x[same - 1] <= '9')
        same--;
    x += same;
    y += same;
    if (*x >= '0' && *x <= '9' && *y >= '0' && *y <= '9') {
        size_t digits_x = strspn(x, "0123456789"), digits_y = strspn(y, "0123456789");

        if (digits_x != digits_y)
            return digits_x < digits_y ? -1 : 1;
    }
    return strcmp(x, y);
}

/* Reads the names into an arena. */
static tenon_status read_names(const char *folder_path, struct arena *arena, char **names, size_t *count, struct failure *failure)
{
    struct folder folder;
    const char *name;
    tenon_status status = tn_folder_open(&folder, folder_path, failure);

    if (status != TENON_OK)
        return status;
    while (status == TENON_OK && *count < NAMES_MOST && (name = tn_folder_next(&folder)) != NULL) {
        names[*count] = tn_arena_copy(arena, name);
        if (names[*count] == NULL)
            status = TENON_ERROR_MEMORY;
        else
            ++*count;
    }
    tn_folder_close(&folder);
    return status;
}

tenon_status tn_root_folder(const struct memory *memory, const char *root, const char *path,
                            bool (*see)(void *user, const char *name), void *user)
{
    char **names = tn_alloc_array(memory, NAMES_MOST, sizeof *names);
    char whole[ROOT_PATH];
    struct failure failure;
    struct arena arena;
    size_t count = 0;
    tenon_status status = TENON_ERROR_MEMORY;

    tn_failure_init(&failure, memory, NULL);
    tn_arena_init(&arena, memory);
    if (names == NULL)
        goto done;
    status = tn_root_path(whole, root, path) ? read_names(whole, &arena, names, &count, &failure) : TENON_OK;
    if (status != TENON_ERROR_MEMORY)
        status = TENON_OK;
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count && status == TENON_OK; i++)
        if (!see(user, names[i]))
            break;
done:
    tn_arena_clear(&arena);
    tn_failure_clear(&failure);
    tn_release(memory, names);
    return status;
}

char *tn_cut(char **rest, char separator)
{
    char *piece = *rest;
    char *end = piece != NULL ? strchr(piece, separator) : NULL;

    if (end != NULL)
        *end++ = '\0';
    *rest = end;
    return piece != NULL && *piece == '\0' && end == NULL ? NULL : piece;
}

tenon_status tn_probe(struct tenon_context *context, struct inventory *inventory)
{
    static tenon_status (*const probes[])(struct inventory *, const char *) = { tn_probe_cpu, tn_probe_nvidia, tn_probe_amd,
                                                                                tn_probe_tpu };
    struct text root;
    tenon_status status;

    tn_text_init(&root, &context->memory, 64 * 1024);
    tn_setting_path(&context->settings, SETTING_ACCELERATOR_ROOT, &root);
    status = tn_text_status(&root);
    for (size_t i = 0; i < sizeof probes / sizeof probes[0] && status == TENON_OK; i++)
        status = probes[i](inventory, root.length > 0 ? tn_text(&root) : "/");
    tn_text_clear(&root);
    return status;
}
