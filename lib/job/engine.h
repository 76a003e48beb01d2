/* Programs that serve a model without a recipe, where they are installed. */
#ifndef TN_SERVING_ENGINE_H
#define TN_SERVING_ENGINE_H

#include "failure.h"
#include "memory.h"
#include "text.h"

struct serving_engine {
    const char *program;
    const char *format;             /* of the model's files, for messages: "GGUF" */
    const char *suffix;             /* of such a file */
    bool one_file;                  /* it wants the file itself, not the folder */
    const char *const *allow;       /* what of a repository it needs; NULL where that is the file that was chosen */
    const char *const *command;     /* as a recipe's: TENON_MODEL is the model */
    const char *context_option;     /* takes tokens of context ... */
    bool context_of_all;            /* ... of all sequences together, not of each */
    const char *sequences_option;   /* takes how many sequences there may be at once */
    const char *const *environment; /* more variables, which the recipe's and the caller's replace; ends with NULL */
    const char *key_variable;       /* where it looks for its key */
    const char *health;
};

/* The engine for a file of that name; NULL for none. */
const struct serving_engine *tn_engine_for(const char *path);
/* Its command for so many sequences of so many tokens, 0 where it shall decide; in the arena. NULL without memory. */
const char *const *tn_engine_command(const struct serving_engine *engine, int64_t context_tokens, int64_t sequences,
                                     struct arena *arena);
/* Patterns of every file that some engine knows; ends with NULL. */
const char *const *tn_engine_patterns(void);

/* A choice among the files of a model, offered one by one in any order. */
struct engine_choice {
    const struct serving_engine *engine; /* NULL: none fits */
    char *path;                          /* the file to serve, or the first of its parts */
    int rank;
};

/* False without memory. */
bool tn_engine_offer(struct engine_choice *choice, const struct memory *memory, const char *path);
void tn_engine_choice_clear(struct engine_choice *choice, const struct memory *memory);
/* Adds the pattern of all parts of a file that may be one of several: "x-00001-of-00003.gguf" becomes "x-?????-of-00003.gguf". */
void tn_engine_parts(const char *path, struct text *pattern);

#endif
