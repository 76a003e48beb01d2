#include <string.h>

#include "facts.h"
#include "json.h"
#include "number.h"

/* Bounds of what is taken for a model; what is beyond makes no sense. */
#define LAYERS_MOST 100000
#define SIZE_MOST (INT64_C(1) << 31)

/* A family whose parameters follow from its configuration, with what its configurations leave unsaid. */
static const struct family {
    const char *type;
    int norms;            /* per layer */
    int pattern;          /* every pattern-th layer sees all tokens, where there is a window; 0: no layer does */
    bool tied;            /* where tie_word_embeddings is not written */
    bool qkv_bias, qk_norm;
    bool window_off;      /* the window counts only with use_sliding_window */
} families[] = {
    { "llama", 2, 0, false, false, false, false },       { "mistral", 2, 0, false, false, false, false },
    { "mixtral", 2, 0, false, false, false, false },     { "phi3", 2, 0, false, false, false, false },
    { "gemma", 2, 0, true, false, false, false },        { "gemma2", 4, 2, true, false, false, false },
    { "gemma3", 4, 6, true, false, true, false },        { "gemma3_text", 4, 6, true, false, true, false },
    { "qwen2", 2, 0, false, true, false, true },         { "qwen2_moe", 2, 0, false, true, false, true },
    { "qwen3", 2, 0, false, false, true, true },         { "qwen3_moe", 2, 0, false, false, true, true },
    { "deepseek_v2", 2, 0, false, false, false, false }, { "deepseek_v3", 2, 0, false, false, false, false },
};

static const struct family *find_family(const char *type)
{
    const struct family *found = NULL;

    for (size_t i = 0; i < sizeof families / sizeof families[0] && found == NULL; i++)
        if (strcmp(families[i].type, type) == 0)
            found = &families[i];
    return found;
}

/* A configuration, with the part that is about text where the model does more. */
struct config {
    const json_t *text;
    const json_t *whole;
    bool absurd; /* a number was out of bounds */
};

static const json_t *member(const struct config *config, const char *key)
{
    const json_t *found = tn_json_member(config->text, key);

    return found != NULL ? found : tn_json_member(config->whole, key);
}

/* The first of several spellings, separated by blanks, that is there; other where none is. */
static int64_t number(struct config *config, const char *keys, int64_t most, int64_t other)
{
    char key[64];
    int64_t value = other;
    bool found = false;

    while (*keys != '\0' && !found) {
        size_t length = strcspn(keys, " ");
        const json_t *item;

        memcpy(key, keys, length);
        key[length] = '\0';
        keys += length + strspn(keys + length, " ");
        item = member(config, key);
        found = json_is_number(item);
        if (found) {
            value = tn_json_integer(tn_json_member(config->text, key) != NULL ? config->text : config->whole, key, -1);
            if (value < 0 || value > most)
                config->absurd = true;
        }
    }
    return config->absurd ? other : value;
}

static bool flag(const struct config *config, const char *key, bool other)
{
    const json_t *item = member(config, key);

    return json_is_boolean(item) ? json_is_true(item) : other;
}

static void read_sizes(struct config *config, struct model_shape *shape)
{
    shape->layers = number(config, "num_hidden_layers n_layer num_layers n_layers", LAYERS_MOST, -1);
    shape->hidden = number(config, "hidden_size n_embd d_model dim", SIZE_MOST, -1);
    shape->heads = number(config, "num_attention_heads n_head n_heads num_heads", SIZE_MOST, -1);
    shape->kv_heads = number(config, "num_key_value_heads num_kv_heads n_head_kv n_kv_heads", SIZE_MOST,
                             flag(config, "multi_query", false) ? 1 : shape->heads);
    shape->intermediate = number(config, "intermediate_size n_inner ffn_dim ffn_hidden_size d_ff", SIZE_MOST, -1);
    shape->vocab = number(config, "vocab_size padded_vocab_size", SIZE_MOST, -1);
    shape->context = number(config, "max_position_embeddings n_positions n_ctx max_seq_len seq_length", SIZE_MOST, -1);
    /* Older models leave it unsaid. */
    if (shape->intermediate < 0 && shape->hidden > 0)
        shape->intermediate = 4 * shape->hidden;
    shape->head_dim = number(config, "head_dim", SIZE_MOST, -1);
    if (shape->head_dim < 0 && shape->heads > 0 && shape->hidden > 0 && shape->hidden % shape->heads == 0)
        shape->head_dim = shape->hidden / shape->heads;
}

/* How many of the layers are dense in a model with experts. */
static int64_t count_dense(struct config *config, int64_t layers)
{
    const json_t *only = member(config, "mlp_only_layers");
    int64_t first = number(config, "first_k_dense_replace", LAYERS_MOST, 0);
    int64_t step = number(config, "decoder_sparse_step", LAYERS_MOST, 1), dense = 0;

    for (int64_t layer = 0; layer < layers; layer++) {
        bool sparse = layer >= first && (step < 1 || (layer + 1) % step == 0);

        for (size_t i = 0; i < json_array_size(only) && sparse; i++)
            sparse = json_integer_value(json_array_get(only, i)) != layer;
        dense += !sparse;
    }
    return dense;
}

static void read_experts(struct config *config, struct model_shape *shape)
{
    int64_t shared = number(config, "n_shared_experts", SIZE_MOST, 0);

    shape->experts = number(config, "num_local_experts n_routed_experts num_experts", SIZE_MOST, 0);
    if (shape->experts <= 1) {
        shape->experts = 0;
        return;
    }
    shape->experts_used = number(config, "num_experts_per_tok num_experts_per_token moe_top_k", SIZE_MOST, shape->experts);
    shape->expert_intermediate = number(config, "moe_intermediate_size expert_intermediate_size", SIZE_MOST, shape->intermediate);
    shape->shared_gate = member(config, "shared_expert_intermediate_size") != NULL;
    shape->shared_intermediate = number(config, "shared_expert_intermediate_size", SIZE_MOST,
                                        tn_times(shared, tn_most(shape->expert_intermediate, 0)));
    shape->dense_layers = shape->layers > 0 ? count_dense(config, shape->layers) : 0;
}

static void read_latent(struct config *config, struct model_shape *shape)
{
    shape->kv_rank = number(config, "kv_lora_rank", SIZE_MOST, 0);
    if (shape->kv_rank == 0)
        return;
    shape->q_rank = number(config, "q_lora_rank", SIZE_MOST, 0);
    shape->rope_dim = number(config, "qk_rope_head_dim", SIZE_MOST, 0);
    shape->nope_dim = number(config, "qk_nope_head_dim", SIZE_MOST, 0);
    shape->value_dim = number(config, "v_head_dim", SIZE_MOST, 0);
}

/* ---- which layers keep how much ---- */

struct layer_counts {
    int64_t full, window;
};

/* layer_types names each layer; one that is neither kind of attention keeps no growing cache. */
static bool count_types(const struct config *config, struct layer_counts *counts)
{
    const json_t *types = member(config, "layer_types");

    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));

        if (type != NULL && strcmp(type, "full_attention") == 0)
            counts->full++;
        else if (type != NULL && (strcmp(type, "sliding_attention") == 0 || strcmp(type, "chunked_attention") == 0))
            counts->window++;
    }
    return json_array_size(types) > 0;
}

static void count_layers(struct config *config, const struct family *family, struct model_shape *shape,
                         struct layer_counts *counts)
{
    int64_t pattern =
        number(config, "sliding_window_pattern _sliding_window_pattern", LAYERS_MOST, family != NULL ? family->pattern : 0);
    bool off = !flag(config, "use_sliding_window", family == NULL || !family->window_off);

    if (off || shape->window <= 0)
        counts->full = shape->layers;
    else if (pattern > 0)
        counts->full = shape->layers / pattern;
    else if (family != NULL && family->window_off)
        counts->full = tn_least(number(config, "max_window_layers", LAYERS_MOST, shape->layers), shape->layers);
    counts->window = shape->layers - counts->full;
}

static void read_cache(struct config *config, const struct family *family, struct model_shape *shape)
{
    struct layer_counts counts = { 0, 0 };
    int64_t width = -1;

    shape->window = number(config, "sliding_window attention_chunk_size", SIZE_MOST, -1);
    if (shape->layers < 0 || config->absurd)
        return;
    if (!count_types(config, &counts))
        count_layers(config, family, shape, &counts);
    if (shape->kv_rank > 0)
        width = shape->kv_rank + shape->rope_dim;
    else if (shape->kv_heads >= 0 && shape->head_dim >= 0)
        width = tn_times(2, tn_times(shape->kv_heads, shape->head_dim));
    if (width >= 0) {
        shape->kv_full = tn_times(counts.full, width);
        shape->kv_window = tn_times(counts.window, width);
    }
    if (counts.window == 0)
        shape->window = -1;
}

/* ---- the whole ---- */

static void keep_word(char *out, size_t size, const char *word)
{
    size_t length = 0;

    for (; word != NULL && word[length] != '\0' && length < size - 1; length++)
        out[length] = (char)(word[length] > ' ' && word[length] < 0x7f ? word[length] : '_');
    out[length] = '\0';
}

static void read_rules(struct config *config, struct model_shape *shape)
{
    const char *type = tn_json_text(config->text, "model_type");
    const json_t *quantization = member(config, "quantization_config");
    const struct family *family;

    if (type == NULL)
        type = tn_json_text_or(config->whole, "model_type", "");
    family = find_family(type);
    keep_word(shape->family, sizeof shape->family, type);
    if (quantization != NULL)
        keep_word(shape->quantization, sizeof shape->quantization, tn_json_text_or(quantization, "quant_method", "unknown"));
    shape->countable = family != NULL && json_is_number(member(config, "intermediate_size"));
    shape->norms = family != NULL ? family->norms : 2;
    shape->tied = flag(config, "tie_word_embeddings", family != NULL && family->tied);
    shape->qkv_bias = family != NULL && family->qkv_bias;
    shape->qk_norm = family != NULL && family->qk_norm;
    shape->all_bias = flag(config, "attention_bias", false);
    shape->router_bias = strcmp(type, "deepseek_v3") == 0;
    read_cache(config, family, shape);
}

tenon_status tn_config_read(const char *bytes, size_t size, struct model_shape *shape, struct failure *failure)
{
    struct config config = { NULL, NULL, false };
    struct model_shape found;
    json_t *json = NULL;
    tenon_status status;

    if (size > CONFIG_MOST)
        return tn_fail(failure, TENON_ERROR_PROTOCOL, "config.json is larger than %d bytes", (int)CONFIG_MOST);
    status = tn_json_read(bytes, size, "config.json", &json, failure);
    if (status != TENON_OK)
        return status;
    config.whole = json;
    config.text = tn_json_member(json, "text_config");
    if (!json_is_object(config.text))
        config.text = json;
    tn_shape_init(&found);
    read_sizes(&config, &found);
    read_experts(&config, &found);
    read_latent(&config, &found);
    read_rules(&config, &found);
    if (!json_is_object(json))
        status = tn_fail(failure, TENON_ERROR_PROTOCOL, "config.json is no JSON object");
    else if (config.absurd)
        status = tn_fail(failure, TENON_ERROR_PROTOCOL, "config.json has a size that no model has");
    else
        *shape = found;
    json_decref(json);
    return status;
}
