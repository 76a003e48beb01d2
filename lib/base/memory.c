#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BLOCK = 512, ARENA_ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t size;
    size_t used;
};

static void *system_allocate(void *user, size_t size)
{
    (void)user;
    return malloc(size);
}

static void *system_resize(void *user, void *block, size_t size)
{
    (void)user;
    return realloc(block, size);
}

static void system_release(void *user, void *block)
{
    (void)user;
    free(block);
}

struct memory tn_memory(const tenon_allocator *allocator)
{
    struct memory memory = { NULL, system_allocate, system_resize, system_release, NULL };

    if (allocator != NULL) {
        memory.user = allocator->user;
        memory.allocate = allocator->allocate;
        memory.resize = allocator->resize;
        memory.release = allocator->release;
    }
    return memory;
}

/* Counts what was wanted and not to be had. */
static void *counted(const struct memory *memory, void *block)
{
    if (block == NULL && memory->missed != NULL)
        (*memory->missed)++;
    return block;
}

void *tn_alloc(const struct memory *memory, size_t size)
{
    void *block;

    if (size == 0)
        size = 1;
    block = counted(memory, memory->allocate(memory->user, size));
    if (block != NULL)
        memset(block, 0, size);
    return block;
}

void *tn_alloc_array(const struct memory *memory, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    return tn_alloc(memory, count * size);
}

void *tn_resize(const struct memory *memory, void *block, size_t size)
{
    return counted(memory, memory->resize(memory->user, block, size == 0 ? 1 : size));
}

void tn_release(const struct memory *memory, void *block)
{
    if (block != NULL)
        memory->release(memory->user, block);
}

char *tn_copy(const struct memory *memory, const char *text)
{
    return tn_copy_n(memory, text, strlen(text));
}

char *tn_copy_n(const struct memory *memory, const char *text, size_t length)
{
    char *copy = length < SIZE_MAX ? tn_alloc(memory, length + 1) : NULL;

    if (copy != NULL)
        memcpy(copy, text, length);
    return copy;
}

void tn_arena_init(struct arena *arena, const struct memory *memory)
{
    arena->memory = memory;
    arena->blocks = NULL;
}

void tn_arena_clear(struct arena *arena)
{
    while (arena->blocks != NULL) {
        struct arena_block *block = arena->blocks;

        arena->blocks = block->next;
        tn_release(arena->memory, block);
    }
}

static struct arena_block *arena_grow(struct arena *arena, size_t size)
{
    const size_t head = (sizeof(struct arena_block) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    size_t room = size > ARENA_BLOCK - head ? size : ARENA_BLOCK - head;
    struct arena_block *block = tn_alloc(arena->memory, head + room);

    if (block != NULL) {
        block->size = head + room;
        block->used = head;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    return block;
}

void *tn_arena_alloc(struct arena *arena, size_t size)
{
    struct arena_block *block = arena->blocks;
    void *piece = NULL;

    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (block == NULL || block->size - block->used < size)
        block = arena_grow(arena, size);
    if (block != NULL) {
        piece = (char *)block + block->used;
        block->used += size;
    }
    return piece;
}

char *tn_arena_copy(struct arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = tn_arena_alloc(arena, size);

    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

tenon_status tn_arena_copy_list(struct arena *arena, const char *const *list, const char *const **copy)
{
    const char **texts;
    size_t count = 0;

    *copy = NULL;
    if (list == NULL)
        return TENON_OK;
    while (list[count] != NULL)
        count++;
    texts = tn_arena_alloc(arena, (count + 1) * sizeof *texts);
    if (texts == NULL)
        return TENON_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        texts[i] = tn_arena_copy(arena, list[i]);
        if (texts[i] == NULL)
            return TENON_ERROR_MEMORY;
    }
    texts[count] = NULL;
    *copy = texts;
    return TENON_OK;
}
