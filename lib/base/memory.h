/* Memory of a context: the caller's allocator behind four calls. Every one of them may fail. */
#ifndef TN_MEMORY_H
#define TN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenon.h"

struct memory {
    void *user;
    void *(*allocate)(void *user, size_t size);
    void *(*resize)(void *user, void *memory, size_t size);
    void (*release)(void *user, void *memory);
    uint64_t *missed; /* how often there was none, where that is counted; NULL: nowhere */
};

/* Takes the caller's allocator, or malloc and its sisters where that is NULL. */
struct memory tn_memory(const tenon_allocator *allocator);

/* Zeroed memory; NULL when there is none. Size 0 counts as 1. */
void *tn_alloc(const struct memory *memory, size_t size);
/* Zeroed memory for count items; NULL also when the product is too large. */
void *tn_alloc_array(const struct memory *memory, size_t count, size_t size);
void *tn_resize(const struct memory *memory, void *block, size_t size);
void tn_release(const struct memory *memory, void *block);
char *tn_copy(const struct memory *memory, const char *text);
char *tn_copy_n(const struct memory *memory, const char *text, size_t length);

/* An arena: small things that all live as long as their owner. Its memory is given back in one go. */
struct arena {
    const struct memory *memory;
    struct arena_block *blocks;
};

void tn_arena_init(struct arena *arena, const struct memory *memory);
void tn_arena_clear(struct arena *arena);
void *tn_arena_alloc(struct arena *arena, size_t size);
char *tn_arena_copy(struct arena *arena, const char *text);
/* A copy of a list of texts that ends with NULL; NULL stays NULL and is no failure. */
tenon_status tn_arena_copy_list(struct arena *arena, const char *const *list, const char *const **copy);

#endif
