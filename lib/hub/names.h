/* A set of names: of the files in a folder, of the blobs that somebody uses. */
#ifndef TN_NAMES_H
#define TN_NAMES_H

#include "failure.h"
#include "memory.h"

struct names {
    const struct memory *memory;
    struct arena arena;
    const char **at; /* in order, each once, after tn_names_sort */
    size_t count;
    size_t room;
};

void tn_names_init(struct names *names, const struct memory *memory);
void tn_names_clear(struct names *names);
/* Adds a copy of name. */
tenon_status tn_names_add(struct names *names, const char *name, struct failure *failure);
void tn_names_sort(struct names *names);
/* Only after tn_names_sort. */
bool tn_names_have(const struct names *names, const char *name);
/* Adds what is in a folder, and sorts; an absent folder has nothing in it. */
tenon_status tn_names_add_folder(struct names *names, const char *folder, struct failure *failure);

#endif
