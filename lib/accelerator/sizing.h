/* How much memory a model needs on each chip, item by item, each with its formula and where its numbers come from. */
#ifndef TN_SIZING_H
#define TN_SIZING_H

#include "facts.h"
#include "machine.h"

/* What is asked. */
struct sizing {
    enum machine_kind kind;
    int32_t chips;   /* that share the model; 1 for a CPU */
    int32_t purpose; /* TENON_PURPOSE_... */
    int64_t context; /* tokens of each sequence */
    int64_t sequences;
    int64_t rank;    /* of adapters */
};

enum { SIZED_MOST = 8 };

/* What comes out. */
struct sized {
    tenon_memory items[SIZED_MOST]; /* the total last; texts live in the arena */
    size_t count;
    int64_t low, high;      /* the total */
    int64_t token_bytes;    /* what one more token of context adds; 0 where context does not count */
    const char *missing;    /* an item that cannot be told; NULL when the total is complete */
};

/* TENON_ERROR_MEMORY is the one way to fail. */
tenon_status tn_size(const struct model_facts *facts, const struct sizing *sizing, struct arena *arena, struct sized *out);

/* Parameters of low-rank adapters: on the query and value projections alone, and on every linear layer; false unknown. */
bool tn_adapter_parameters(const struct model_shape *shape, int64_t rank, int64_t *least, int64_t *most);
/* True where so many chips can share the model: its heads must be divided evenly, or KV heads repeated evenly. */
bool tn_divides(const struct model_facts *facts, int64_t chips);

#endif
