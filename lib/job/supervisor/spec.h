/* How a job is run, as its submitter wrote it down: spec.json. */
#ifndef TN_SPEC_H
#define TN_SPEC_H

#include <jansson.h>

#include "contract.h"
#include "failure.h"

struct spec {
    json_t *json;                /* what the texts below live in */
    const char *id;              /* "local:..." */
    const char *home;            /* folder to run in */
    const char *output;
    const json_t *command;       /* texts with $(NAME) */
    const json_t *variables;     /* "NAME=value", as they are */
    const json_t *recipe;        /* [name, value with $(NAME)], in order */
    const json_t *environment;   /* "NAME=value", as they are; the caller's, last */
    const json_t *outputs;       /* paths that must be there at the end */
    int64_t time_ms;             /* 0: no limit */
    int64_t memory_bytes;        /* 0: no limit */
    int64_t grace_ms;
    int32_t port;                /* -1: none, 0: any */
};

tenon_status spec_read(struct spec *spec, const char *folder, struct failure *failure);
void spec_clear(struct spec *spec);

/* The command and the environment with everything filled in; port 0 where it has none. They live in the arena. */
tenon_status spec_expand(const struct spec *spec, int32_t port, struct arena *arena, const char *const **command,
                         struct environment *environment, struct failure *failure);

#endif
