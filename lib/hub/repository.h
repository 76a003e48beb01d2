/* How a repository is written, and what its parts may be. */
#ifndef TN_REPOSITORY_H
#define TN_REPOSITORY_H

#include "context.h"

struct repository {
    const struct memory *memory;
    int32_t type;   /* TENON_REPOSITORY_... */
    char *id;       /* "owner/name" or "name" */
    char *written;  /* the same with "datasets/" or "spaces/" before it */
    char *revision; /* "main" where nothing was said */
};

/*
 * Reads "owner/name", "name", "datasets/owner/name", "hf://...", a web address of the endpoint or of huggingface.co, each
 * with "@revision" if wanted. revision wins over what the text says; NULL for none. endpoint may be NULL.
 */
tenon_status tn_repository_parse(struct repository *repository, const struct memory *memory, const char *text,
                                 const char *revision, const char *endpoint, struct failure *failure);
void tn_repository_clear(struct repository *repository);

/* "models", "datasets", "spaces": in API routes, and with "--" in the cache. */
const char *tn_repository_plural(const struct repository *repository);
/* "", "datasets/", "spaces/": before the id in web routes and in how it is written. */
const char *tn_repository_prefix(const struct repository *repository);
/* Adds "models--owner--name". */
void tn_repository_folder(const struct repository *repository, struct text *out);
/* Adds what tn_repository_folder made of it, back as it is written; false for a folder of another kind. */
bool tn_repository_of_folder(const char *folder, struct text *out);
/* True when the revision is a full commit. */
bool tn_is_commit(const char *revision);

#endif
