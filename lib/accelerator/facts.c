#include "facts.h"

#include <string.h>

#include "json.h"
#include "number.h"

void tn_shape_init(struct model_shape *shape)
{
    memset(shape, 0, sizeof *shape);
    shape->layers = shape->hidden = shape->intermediate = shape->heads = shape->kv_heads = shape->head_dim = -1;
    shape->vocab = shape->context = shape->kv_full = shape->kv_window = shape->window = -1;
    shape->norms = 2;
}

/* ---- weights ---- */

static struct dtype_count *find_dtype(struct model_weights *weights, const char *name)
{
    size_t i = 0;

    while (i < weights->dtype_count && strcmp(weights->dtypes[i].name, name) != 0)
        i++;
    if (i == DTYPES_MOST)
        i = DTYPES_MOST - 1;
    else if (i == weights->dtype_count) {
        strncpy(weights->dtypes[i].name, i == DTYPES_MOST - 1 ? "other" : name, DTYPE_SIZE - 1);
        weights->dtype_count++;
    }
    return &weights->dtypes[i];
}

void tn_weights_add(struct model_weights *weights, const char *dtype, int64_t tensors, int64_t elements, int64_t bytes)
{
    struct dtype_count *count = find_dtype(weights, dtype);

    count->elements = tn_plus(count->elements, elements);
    count->bytes = tn_plus(count->bytes, bytes);
    weights->tensors = tn_plus(weights->tensors, tensors);
    weights->elements = tn_plus(weights->elements, elements);
    weights->bytes = tn_plus(weights->bytes, bytes);
}

void tn_weights_join(struct model_weights *to, const struct model_weights *from)
{
    for (size_t i = 0; i < from->dtype_count; i++)
        tn_weights_add(to, from->dtypes[i].name, 0, from->dtypes[i].elements, from->dtypes[i].bytes);
    to->tensors = tn_plus(to->tensors, from->tensors);
    to->files = tn_plus(to->files, from->files);
}

/* ---- parameters from the structure: h hidden, a heads, k KV heads, d head size, I inner size ---- */

static int64_t attention_parameters(const struct model_shape *s)
{
    int64_t queries = tn_times(s->heads, s->head_dim), keys = tn_times(s->kv_heads, s->head_dim);
    int64_t count = tn_plus(tn_times(2 * s->hidden, queries), tn_times(2 * s->hidden, keys));

    if (s->qkv_bias || s->all_bias)
        count = tn_plus(count, tn_plus(queries, tn_plus(tn_times(2, keys), s->all_bias ? s->hidden : 0)));
    return tn_plus(count, s->qk_norm ? 2 * s->head_dim : 0);
}

/* Projections down to a rank and up again, a norm at each rank. */
static int64_t latent_parameters(const struct model_shape *s)
{
    int64_t query_width = tn_times(s->heads, s->nope_dim + s->rope_dim);
    int64_t query = s->q_rank > 0 ? tn_plus(tn_times(s->hidden + 1, s->q_rank), tn_times(s->q_rank, query_width))
                                  : tn_times(s->hidden, query_width);
    int64_t down = tn_plus(tn_times(s->hidden, s->kv_rank + s->rope_dim), s->kv_rank);
    int64_t up = tn_times(s->kv_rank, tn_times(s->heads, s->nope_dim + s->value_dim));
    int64_t output = tn_times(tn_times(s->heads, s->value_dim), s->hidden);

    return tn_plus(tn_plus(query, down), tn_plus(up, output));
}

/* One gated feed-forward network. */
static int64_t network_parameters(const struct model_shape *s, int64_t intermediate)
{
    return tn_times(3 * s->hidden, intermediate);
}

/* The layers' feed-forward networks, with as many experts of each mixture as are given. */
static int64_t networks_parameters(const struct model_shape *s, int64_t experts)
{
    int64_t dense = s->experts > 0 ? s->dense_layers : s->layers;
    int64_t router = tn_plus(tn_times(s->hidden, s->experts), s->router_bias ? s->experts : 0);
    int64_t mixture = tn_plus(tn_times(experts, network_parameters(s, tn_most(s->expert_intermediate, 0))), router);

    mixture = tn_plus(mixture, tn_plus(network_parameters(s, s->shared_intermediate), s->shared_gate ? s->hidden : 0));
    return tn_plus(tn_times(dense, network_parameters(s, s->intermediate)), tn_times(s->layers - dense, mixture));
}

int64_t tn_shape_embedding(const struct model_shape *shape)
{
    return tn_times(tn_times(tn_most(shape->vocab, 0), tn_most(shape->hidden, 0)), shape->tied ? 1 : 2);
}

bool tn_shape_parameters(const struct model_shape *s, int64_t *total, int64_t *active)
{
    int64_t common;
    bool known = s->countable && s->layers > 0 && s->hidden > 0 && s->intermediate > 0 && s->heads > 0 && s->kv_heads > 0 &&
                 s->head_dim > 0 && s->vocab > 0;

    if (!known)
        return false;
    common = tn_times(s->layers, tn_plus(s->kv_rank > 0 ? latent_parameters(s) : attention_parameters(s), s->norms * s->hidden));
    common = tn_plus(common, tn_plus(s->hidden, tn_shape_embedding(s)));
    *total = tn_plus(common, networks_parameters(s, s->experts));
    *active = tn_plus(common, networks_parameters(s, s->experts_used));
    return true;
}

/* ---- the whole ---- */

void tn_facts_finish(struct model_facts *facts)
{
    int64_t total = -1, active = -1;
    bool countable = tn_shape_parameters(&facts->shape, &total, &active);

    facts->parameters = facts->active = -1;
    /* Packed weights hide several in one element of their header. */
    facts->counted = countable && (facts->format == MODEL_CONFIG || facts->shape.quantization[0] != '\0');
    if (facts->counted)
        facts->parameters = total;
    else if (facts->format != MODEL_CONFIG)
        facts->parameters = facts->weights.elements;
    if (countable)
        facts->active = active;
    if (facts->format == MODEL_CONFIG && countable)
        tn_weights_add(&facts->weights, "BF16", 0, total, tn_times(2, total));
}

static int compare_dtypes(const void *a, const void *b)
{
    return strcmp(((const struct dtype_count *)a)->name, ((const struct dtype_count *)b)->name);
}

static bool add_dtypes(const struct model_weights *weights, json_t *json)
{
    struct dtype_count sorted[DTYPES_MOST];
    json_t *dtypes = json_object();
    bool good = true;

    memcpy(sorted, weights->dtypes, sizeof sorted);
    qsort(sorted, weights->dtype_count, sizeof sorted[0], compare_dtypes);
    for (size_t i = 0; i < weights->dtype_count; i++) {
        json_t *row = json_object();

        good = good && tn_json_set_integer(row, "elements", sorted[i].elements) &&
               tn_json_set_integer(row, "bytes", sorted[i].bytes);
        good = json_object_set_new(dtypes, sorted[i].name, row) == 0 && good;
    }
    return json_object_set_new(json, "dtypes", dtypes) == 0 && good;
}

bool tn_facts_json(const struct model_facts *facts, json_t *json)
{
    static const char *const formats[] = {
        [MODEL_CONFIG] = "config", [MODEL_SAFETENSORS] = "safetensors", [MODEL_GGUF] = "gguf"
    };
    const struct model_shape *s = &facts->shape;
    const bool known_kv = s->kv_full >= 0 && s->kv_window >= 0;
    const struct {
        const char *key;
        int64_t value;
        int64_t unknown;
    } members[] = {
        { "parameters", facts->parameters, -1 },
        { "active_parameters", facts->active, -1 },
        { "weights_bytes", facts->weights.bytes, -1 },
        { "tensors", facts->weights.tensors, -1 },
        { "layers", s->layers, -1 },
        { "hidden", s->hidden, -1 },
        { "intermediate", s->intermediate, -1 },
        { "heads", s->heads, -1 },
        { "kv_heads", s->kv_heads, -1 },
        { "head_dim", s->head_dim, -1 },
        { "vocab", s->vocab, -1 },
        { "context", s->context, -1 },
        { "window", s->window, -1 },
        { "experts", s->experts, 0 },
        { "experts_used", s->experts_used, 0 },
        { "kv_bytes_per_token", known_kv ? tn_times(2, tn_plus(s->kv_full, s->kv_window)) : -1, -1 },
    };
    bool good = tn_json_set_text(json, "format", formats[facts->format]) &&
                tn_json_set_text(json, "architecture", s->family[0] != '\0' ? s->family : NULL) &&
                tn_json_set_text(json, "quantization", s->quantization[0] != '\0' ? s->quantization : NULL) &&
                tn_json_set_text(json, "parameters_source",
                                 facts->parameters < 0 ? NULL
                                 : facts->counted      ? "config.json"
                                                       : "headers");

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (members[i].value != members[i].unknown)
            good = good && tn_json_set_integer(json, members[i].key, members[i].value);
    return good && add_dtypes(&facts->weights, json);
}
