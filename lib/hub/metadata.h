/* Two questions that most operations begin with: which commit is a revision, and what is one file at it. */
#ifndef TN_METADATA_H
#define TN_METADATA_H

#include "cache.h"
#include "hub.h"

/* Which commit a revision stands for, and what the hub says of the repository. */
struct resolution {
    struct co co;
    struct failure failure;
    struct request request;
    tenon_hub *hub;
    const struct repository *repository; /* borrowed */
    char commit[41];
    json_t *json;
};

void tn_resolution_init(struct resolution *resolution, tenon_hub *hub);
void tn_resolution_clear(struct resolution *resolution);
/* details: sizes and ids of all files too. */
void tn_resolution_start(struct resolution *resolution, const struct repository *repository, bool details, struct co *waiter);

/* One file at a revision: commit, content id, size; by the headers of its address, without its content. */
struct metadata {
    struct co co;
    struct failure failure;
    struct request request;
    struct resolution resolution; /* for hubs that do not say the commit */
    tenon_hub *hub;
    const struct repository *repository; /* borrowed */
    char commit[41]; /* also set when the hub says that this commit has no such file */
    char etag[129];
    char xet[65];    /* "" when it is not in Xet */
    int64_t bytes;
    bool absent;     /* the commit exists and has no such file */
};

void tn_metadata_init(struct metadata *metadata, tenon_hub *hub);
void tn_metadata_clear(struct metadata *metadata);
/* retries: how often at most, -1 for the setting. path and repository are borrowed. */
void tn_metadata_start(struct metadata *metadata, const struct repository *repository, const char *path, int32_t retries,
                       struct co *waiter);

/* Copies an ETag header's value without W/ and quotes into etag; false when it cannot be a file's name. */
bool tn_etag_normal(const char *value, char *etag, size_t size);

#endif
