#include "names.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"

void tn_names_init(struct names *names, const struct memory *memory)
{
    memset(names, 0, sizeof *names);
    names->memory = memory;
    tn_arena_init(&names->arena, memory);
}

void tn_names_clear(struct names *names)
{
    if (names->memory == NULL)
        return;
    tn_release(names->memory, names->at);
    tn_arena_clear(&names->arena);
    tn_names_init(names, names->memory);
}

static bool grow(struct names *names)
{
    size_t room = names->room == 0 ? 64 : 2 * names->room;
    const char **at = tn_resize(names->memory, names->at, room * sizeof *at);

    if (at == NULL)
        return false;
    names->at = at;
    names->room = room;
    return true;
}

tenon_status tn_names_add(struct names *names, const char *name, struct failure *failure)
{
    const char *copy = names->count < names->room || grow(names) ? tn_arena_copy(&names->arena, name) : NULL;

    if (copy == NULL)
        return tn_fail_memory(failure);
    names->at[names->count++] = copy;
    return TENON_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void tn_names_sort(struct names *names)
{
    size_t kept = 0;

    if (names->count > 0)
        qsort(names->at, names->count, sizeof *names->at, by_bytes);
    for (size_t i = 0; i < names->count; i++)
        if (kept == 0 || strcmp(names->at[kept - 1], names->at[i]) != 0)
            names->at[kept++] = names->at[i];
    names->count = kept;
}

bool tn_names_have(const struct names *names, const char *name)
{
    return names->count > 0 && bsearch(&name, names->at, names->count, sizeof *names->at, by_bytes) != NULL;
}

tenon_status tn_names_add_folder(struct names *names, const char *folder, struct failure *failure)
{
    struct folder stream = { NULL };
    const char *name;
    tenon_status status = tn_folder_exists(folder) ? tn_folder_open(&stream, folder, failure) : TENON_OK;

    while (status == TENON_OK && stream.stream != NULL && (name = tn_folder_next(&stream)) != NULL)
        status = tn_names_add(names, name, failure);
    tn_folder_close(&stream);
    tn_names_sort(names);
    return status;
}
