/* An order: what a caller wants a job to be, checked, copied, with everything named in full. */
#ifndef TN_ORDER_H
#define TN_ORDER_H

#include "context.h"
#include "hub.h"
#include "recipe.h"

/* Something that a job needs: a path on this machine, or a repository that has to be fetched. */
struct supply {
    const char *name;       /* of a recipe's input */
    const char *given;      /* as the caller wrote it; NULL: there is none */
    const char *path;       /* absolute; NULL while it has to be fetched */
    const char *repository; /* NULL where it is a path */
};

struct order {
    struct tenon_context *context;
    struct arena arena; /* what everything below lives in */
    int32_t mode;
    const char *name;
    const char *key;         /* NULL: none */
    const char *accelerator; /* its one full name */
    struct supply model;
    const char *revision;
    const char *file;        /* of the model; NULL: the engine's choice */
    struct supply data;
    struct supply *inputs;
    size_t input_count;
    tenon_hub *hub;          /* a reference; NULL where nothing has to be fetched */
    bool has_recipe;
    struct recipe recipe;
    const char *home;        /* folder that a recipe runs in */
    const char *output;      /* absolute; NULL: one is made with the job */
    const char *const *labels;      /* ends with NULL; NULL: none */
    const char *const *environment; /* the caller's */
    struct pair visible[3];  /* variables that show the accelerator to the process, and hide others; ends with a NULL name */
    int32_t threads;
    int64_t context_tokens;  /* 0: not said, as the next */
    int64_t sequences;
    int64_t time_ms;         /* limits; 0: none */
    int64_t memory_bytes;
    int32_t port;            /* -1: it has none, 0: any free one */
    char fingerprint[65];    /* of everything that was asked for */
};

/* Checks and copies what the caller asks for. A failure is in the context's. */
tenon_status tn_order_read(struct order *order, struct tenon_context *context, const tenon_job_options *options, int32_t mode);
void tn_order_clear(struct order *order);
/* Hands everything over. */
void tn_order_move(struct order *to, struct order *from);

#endif
