/*
 * Recipes: what runs a job, as a JSON document. Reading one is strict: a field that is unknown, or is of another type, is
 * refused by its name, because a recipe that is half understood runs something that nobody meant.
 */
#ifndef TN_RECIPE_H
#define TN_RECIPE_H

#include "failure.h"
#include "memory.h"

struct pair {
    const char *name;
    const char *value;
};

struct recipe {
    const char *const *command; /* ends with NULL; at least one */
    const char *image;          /* NULL: none */
    struct pair *environment;   /* in the recipe's order */
    size_t environment_count;
    const char *const *files;   /* patterns of the model's files that it needs, ends with NULL; NULL: all */
    struct pair *inputs;
    size_t input_count;
    const char *const *outputs; /* ends with NULL; NULL: none */
    int32_t threads;            /* of resources.cpus; 0: not said */
    int64_t memory_bytes;       /* 0: not said */
    int64_t time_ms;            /* 0: not said */
    int32_t port;               /* -1: it has none, 0: any free one */
    const char *health;         /* NULL: not said */
};

/* Reads a document into recipe, whose texts live in arena; what names the document in a failure. */
tenon_status tn_recipe_read(struct recipe *recipe, struct arena *arena, const char *data, size_t length, const char *what,
                            struct failure *failure);

/* A name that an environment variable can have: letters, digits, _, no digit first. */
bool tn_is_variable(const char *name, size_t length);

#endif
