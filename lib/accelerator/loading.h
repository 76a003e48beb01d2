/*
 * The facts of a model, from headers alone: finds out which files it has, chooses those that count, reads config.json, the
 * index, and the beginning of each file with weights.
 */
#ifndef TN_LOADING_H
#define TN_LOADING_H

#include "facts.h"
#include "origin.h"

enum { LANES = 4 };

/* Reads the headers of one file after the other; several lanes do so at once. */
struct lane {
    struct co co;
    struct loading *loading;
    struct reading reading;
    const char *path;
    int64_t file_bytes;
    size_t want; /* bytes of the file's beginning that are asked for */
};

struct loading {
    struct co co;
    struct origin origin;
    struct failure failure;
    struct listing listing;
    struct reading reading;      /* of config.json and the index */
    const char *config, *index;  /* paths; NULL for none */
    const char **headers;        /* paths of the files with weights */
    size_t header_count;
    size_t next;                 /* the next header to be read */
    tenon_status headers_status; /* of the lanes */
    struct lane lanes[LANES];
    struct model_facts facts;
};

/* As tn_origin_open; tn_loading_clear must be called in any case. */
tenon_status tn_loading_open(struct loading *loading, struct tenon_context *context, tenon_hub *hub, const char *model,
                             const char *revision, const char *file);
void tn_loading_start(struct loading *loading, struct co *waiter);
/* Gives back everything, at any moment, also twice; the caller is inside the context. */
void tn_loading_clear(struct loading *loading);
/* The facts and where they came from, for a person or a program; NULL without memory. */
json_t *tn_loading_json(const struct loading *loading, const char *model);

/*
 * The GGUF file that a server takes of several, as llama.cpp does: Q4_K_M, else Q8_0, else the first by name; not what goes
 * with a model, nor a part that is not the first. NULL where there is none.
 */
const struct model_file *tn_choose_gguf(const struct origin *origin);

#endif
