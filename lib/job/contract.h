/*
 * The contract of a job with its process: environment variables, the same at every place; and what $(NAME) stands for.
 */
#ifndef TN_CONTRACT_H
#define TN_CONTRACT_H

#include "failure.h"
#include "memory.h"
#include "text.h"

/* An environment under way: "NAME=value" pairs, each name once. Texts live in the arena. */
struct environment {
    struct arena *arena;
    const char **pairs; /* ends with NULL */
    size_t count;
    size_t room;
    bool failed; /* without memory once, so always from then on */
};

void tn_environment_init(struct environment *environment, struct arena *arena);
/* Sets a variable in place of an earlier one of that name; a value that is NULL sets nothing. */
void tn_environment_set(struct environment *environment, const char *name, const char *value);
/* The same from "NAME=value". */
void tn_environment_put(struct environment *environment, const char *pair);
/* Its value; NULL where it is not set. */
const char *tn_environment_get(const struct environment *environment, const char *name, size_t length);
/* TENON_OK, or TENON_ERROR_MEMORY when something could not be set. */
tenon_status tn_environment_status(const struct environment *environment);

/*
 * Adds text with $(NAME) replaced by that variable's value and $$ by a dollar sign; any other dollar sign is itself. A
 * name that is not set is an error: a job must not run with half of its command.
 */
tenon_status tn_expand(const char *text, const struct environment *environment, struct text *out, struct failure *failure);

/* What a job's process is told. NULL leaves a variable out. */
struct contract {
    const char *id;
    const char *mode; /* "train" or "serve" */
    const char *model;
    const char *model_id;
    const char *data;
    const char *output;
    const char *host;
    const char *key;
    int32_t threads;
    int64_t context_tokens; /* 0 leaves it out, as the next */
    int64_t sequences;
};

void tn_contract_fill(const struct contract *contract, struct environment *environment);

#endif
