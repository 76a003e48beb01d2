/*
 * What is known of a model without its weights. Three parsers fill it in; each works on a buffer, keeps nothing of it, and
 * writes to its outputs only when the whole of a header was read and makes sense.
 */
#ifndef TN_FACTS_H
#define TN_FACTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "failure.h"
#include "text.h"

enum { FAMILY_SIZE = 48, DTYPE_SIZE = 16, DTYPES_MOST = 32 };

/* The structure of a transformer. A number that is not known is -1. */
struct model_shape {
    char family[FAMILY_SIZE]; /* model_type of config.json, general.architecture of GGUF; "" unknown */
    char quantization[DTYPE_SIZE]; /* method: "gptq", "awq" ...; "" for none */
    int64_t layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context;
    /* Mixtures of experts; 0 experts for a dense model. */
    int64_t experts, experts_used, expert_intermediate, shared_intermediate, dense_layers;
    /* Latent attention (DeepSeek's MLA); kv_rank 0 for the usual one. */
    int64_t q_rank, kv_rank, rope_dim, nope_dim, value_dim;
    /* Elements of K and V that one token adds to the cache: in layers that see every token, and in those with a window. */
    int64_t kv_full, kv_window, window;
    bool tied;                 /* the output uses the embedding's weights */
    bool all_bias, qkv_bias, qk_norm, router_bias, shared_gate;
    int norms;                 /* per layer */
    bool countable;            /* parameters can be counted from this structure: the family is one we know */
};

struct dtype_count {
    char name[DTYPE_SIZE];
    int64_t elements, bytes;
};

/* What headers say of the weights. */
struct model_weights {
    int64_t bytes, elements, tensors, files;
    struct dtype_count dtypes[DTYPES_MOST];
    size_t dtype_count;
};

enum model_format { MODEL_CONFIG, MODEL_SAFETENSORS, MODEL_GGUF };

struct model_facts {
    enum model_format format; /* where the weights are counted from */
    struct model_shape shape;
    struct model_weights weights; /* with MODEL_CONFIG: as they would be in 16 bits */
    int64_t parameters;           /* -1 unknown */
    int64_t active;               /* those that one token uses; -1 unknown */
    bool counted;                 /* parameters follow from the structure, not from headers */
};

void tn_shape_init(struct model_shape *shape);
/* Adds count tensors of a type; types beyond the table go into the last row, "other". */
void tn_weights_add(struct model_weights *weights, const char *dtype, int64_t tensors, int64_t elements, int64_t bytes);
void tn_weights_join(struct model_weights *to, const struct model_weights *from);
/* Parameters that follow from the structure, in all and for one token; false where they cannot be counted. */
bool tn_shape_parameters(const struct model_shape *shape, int64_t *total, int64_t *active);
int64_t tn_shape_embedding(const struct model_shape *shape);
/* Fills in parameters and active, and for a model without headers its weights. */
void tn_facts_finish(struct model_facts *facts);
/* Adds the facts to a JSON object; what is unknown is left out. False without memory. */
bool tn_facts_json(const struct model_facts *facts, json_t *json);

/* ---- the parsers ---- */

enum { CONFIG_MOST = 1 << 20, INDEX_MOST = 32 << 20, SAFETENSORS_MOST = 25000000, GGUF_MOST = 64 << 20, SHARDS_MOST = 10000 };

/* config.json. */
tenon_status tn_config_read(const char *bytes, size_t size, struct model_shape *shape, struct failure *failure);
/*
 * The beginning of a safetensors file of file_bytes (-1: unknown). TENON_AGAIN: the header ends at *need, beyond size.
 * What is found is added to weights.
 */
tenon_status tn_safetensors_read(const struct memory *memory, const char *bytes, size_t size, int64_t file_bytes, size_t *need,
                                 struct model_weights *weights, struct failure *failure);
/* model.safetensors.index.json: the names of its files, sorted, each a safe path, into arena. */
tenon_status tn_index_read(struct arena *arena, const char *bytes, size_t size, const char ***names, size_t *count,
                           struct failure *failure);
/* The beginning of a GGUF file. TENON_AGAIN: the header goes on beyond size. Structure is written where there is one. */
tenon_status tn_gguf_read(const char *bytes, size_t size, int64_t file_bytes, struct model_shape *shape,
                          struct model_weights *weights, struct failure *failure);

#endif
