#include "sizing.h"

#include <inttypes.h>
#include <string.h>

#include "number.h"

#define MIB (INT64_C(1) << 20)

/*
 * Constants. What vLLM and llama.cpp do was read in their sources and logs; what is called ours is to be calibrated by
 * measurements.
 */
enum {
    PREFILL_TOKENS = 2048, /* that vLLM takes at once by default */
    UBATCH_TOKENS = 512,   /* that llama.cpp takes at once by default */
    BLOCK_TOKENS = 16,     /* vLLM keeps K and V in blocks of so many tokens */
    KV_BYTES = 2,          /* an element of K or V, in 16 bits */
};

/* One item while it is made: its formula grows as its parts are added. */
struct item {
    const struct model_facts *facts;
    const struct sizing *sizing;
    struct text formula;
    int64_t low, high;
};

/* ---- what is known ---- */

static bool knows_layers(const struct model_shape *s)
{
    return s->layers > 0 && s->hidden > 0 && s->heads > 0 && s->kv_heads > 0 && s->head_dim > 0 && s->intermediate > 0;
}

static bool serves(const struct sizing *sizing)
{
    return sizing->purpose == TENON_PURPOSE_SERVE;
}

static int64_t queries(const struct model_shape *s)
{
    return tn_times(s->heads, s->head_dim);
}

static int64_t keys(const struct model_shape *s)
{
    return tn_times(s->kv_heads, s->head_dim);
}

/* The inner size that a token passes through in one layer. */
static int64_t inner(const struct model_shape *s)
{
    int64_t mixture = tn_plus(tn_times(s->experts_used, tn_most(s->expert_intermediate, 0)), s->shared_intermediate);

    return s->experts > 0 ? tn_most(mixture, s->dense_layers > 0 ? s->intermediate : 0) : s->intermediate;
}

bool tn_divides(const struct model_facts *facts, int64_t chips)
{
    const struct model_shape *s = &facts->shape;

    /* llama.cpp gives whole layers to each device. */
    if (chips == 1 || facts->format == MODEL_GGUF || s->heads <= 0 || s->kv_heads <= 0)
        return chips == 1 || facts->format == MODEL_GGUF;
    return s->heads % chips == 0 && (s->kv_rank > 0 || s->kv_heads % chips == 0 || chips % s->kv_heads == 0);
}

/* ---- formulas as text ---- */

static void add_share(struct item *item)
{
    if (item->sizing->chips > 1)
        tn_text_format(&item->formula, " / %" PRId32 " chips", item->sizing->chips);
}

static const char *source_of(const struct model_facts *facts)
{
    return facts->format == MODEL_GGUF ? "GGUF header" : "config.json";
}

static const char *weights_source(const struct model_facts *facts)
{
    static const char *const sources[] = {
        [MODEL_CONFIG] = "config.json", [MODEL_SAFETENSORS] = "safetensors headers", [MODEL_GGUF] = "GGUF header"
    };

    return sources[facts->format];
}

/* ---- the items of serving ---- */

/* Each says its bytes and formula, and is false where it cannot be told. */
static bool serve_weights(struct item *item)
{
    const struct model_facts *facts = item->facts;

    item->low = item->high = tn_share(facts->weights.bytes, item->sizing->chips);
    if (facts->format == MODEL_CONFIG)
        tn_text_format(&item->formula, "%" PRId64 " parameters x 2 bytes", facts->parameters);
    else
        tn_text_format(&item->formula, "%" PRId64 " bytes of tensors", facts->weights.bytes);
    add_share(item);
    return facts->weights.bytes > 0;
}

/* Over how many chips the cache of one token is spread. */
static int64_t cache_shares(const struct model_facts *facts, int64_t chips)
{
    if (facts->format == MODEL_GGUF)
        return chips;
    /* Latent attention has one K for all heads, which every chip keeps; KV heads are repeated where chips are more. */
    return facts->shape.kv_rank > 0 || facts->shape.kv_heads <= 0 ? 1 : tn_least(chips, facts->shape.kv_heads);
}

static int64_t token_bytes(const struct item *item)
{
    const struct model_shape *s = &item->facts->shape;

    return tn_share(tn_times(KV_BYTES, tn_plus(s->kv_full, s->kv_window)), cache_shares(item->facts, item->sizing->chips));
}

static bool serve_cache(struct item *item)
{
    const struct model_shape *s = &item->facts->shape;
    int64_t tokens = item->sizing->context, blocks = tn_times(tn_share(tokens, BLOCK_TOKENS), BLOCK_TOKENS);
    int64_t shares = cache_shares(item->facts, item->sizing->chips), seen = s->window > 0 ? tn_least(tokens, s->window) : tokens;
    int64_t sequences = item->sizing->sequences, least;

    if (s->kv_full < 0 || s->kv_window < 0)
        return false;
    least = tn_times(KV_BYTES, tn_plus(tn_times(tokens, s->kv_full), tn_times(seen, s->kv_window)));
    item->low = tn_times(sequences, tn_share(least, shares));
    item->high = tn_times(sequences, tn_times(blocks, token_bytes(item)));
    tn_text_format(&item->formula, "%" PRId64 " sequences x %" PRId64 " tokens x %" PRId64 " x 2 bytes", sequences, blocks,
                   tn_plus(s->kv_full, s->kv_window));
    if (shares > 1)
        tn_text_format(&item->formula, " / %" PRId64 " chips", shares);
    if (seen < tokens)
        tn_text_format(&item->formula, "; at best %" PRId64 " tokens in layers with a window (%" PRId64 " x 2 bytes a token)",
                       seen, s->kv_window);
    return true;
}

/*
 * As llama.cpp's log shows its compute buffer: at least a layer's with flash attention, where the server keeps the scores of last
 * tokens only; older ones keep those of all tokens, and without flash attention there is what each head makes of each token.
 */
static void llama_buffer(struct item *item)
{
    const struct model_shape *s = &item->facts->shape;
    int64_t context = tn_times(item->sizing->context, item->sizing->sequences), tokens = tn_least(UBATCH_TOKENS, context);
    int64_t layer = tn_plus(tn_times(3, inner(s)), tn_times(5, s->hidden)), scores = tn_plus(s->vocab, s->hidden);
    int64_t heads = tn_plus(tn_times(s->heads, context), tn_times(5, s->hidden));

    item->low = tn_plus(tn_times(4 * tokens, layer), tn_times(2 * tokens, item->sizing->context));
    item->high = tn_most(item->low, tn_times(4 * tokens, tn_most(scores, heads)));
    tn_text_format(&item->formula, "4 bytes x %" PRId64 " tokens x (3 x %" PRId64 " + 5 x %" PRId64 ") + 2 bytes x %" PRId64
                   " x %" PRId64 " tokens", tokens, inner(s), s->hidden, tokens, item->sizing->context);
    if (item->high > item->low && scores > heads)
        tn_text_format(&item->formula, ", with scores of all tokens 4 bytes x %" PRId64 " x (%" PRId64 " vocabulary + %" PRId64 ")",
                       tokens, s->vocab, s->hidden);
    else if (item->high > item->low)
        tn_text_format(&item->formula, ", without flash attention 4 bytes x %" PRId64 " x (%" PRId64 " heads x %" PRId64
                       " tokens + 5 x %" PRId64 ")", tokens, s->heads, context, s->hidden);
}

static bool serve_activations(struct item *item)
{
    const struct model_shape *s = &item->facts->shape;
    int64_t chips = item->sizing->chips;
    int64_t tokens = tn_least(PREFILL_TOKENS, tn_times(item->sizing->context, item->sizing->sequences)), wide;

    if (!knows_layers(s) || s->vocab <= 0)
        return false;
    if (item->facts->format == MODEL_GGUF) {
        llama_buffer(item);
        return true;
    }
    wide = tn_plus(tn_times(3, inner(s)), tn_plus(queries(s), tn_times(2, keys(s))));
    item->low = tn_plus(tn_times(2 * tokens, tn_plus(4 * s->hidden, tn_share(wide, chips))),
                        tn_times(4, tn_times(item->sizing->sequences, s->vocab)));
    item->high = item->low;
    tn_text_format(&item->formula,
                   "2 bytes x %" PRId64 " tokens x (4 x %" PRId64 " + %" PRId64 " / %" PRId64 ") + 4 bytes x %" PRId64
                   " x %" PRId64 " vocabulary",
                   tokens, s->hidden, wide, chips, item->sizing->sequences, s->vocab);
    return true;
}

/* ---- the items of training ---- */

/* Chips that share a model gather the layers they are at: two of them at a time. */
static int64_t gathered(const struct item *item, int64_t bytes, int64_t parameters)
{
    const struct model_shape *s = &item->facts->shape;
    int64_t embedding = tn_least(tn_shape_embedding(s), parameters);
    double two;

    if (item->sizing->chips == 1 || s->layers <= 0 || parameters <= 0)
        return 0;
    two = (double)bytes * 2 / (double)s->layers * ((double)(parameters - embedding) / (double)parameters);
    return two < (double)INT64_MAX ? (int64_t)two : INT64_MAX;
}

/* One item of so many bytes for each parameter, in all and spread. */
static bool per_parameter(struct item *item, int64_t low, int64_t high, const char *what)
{
    int64_t parameters = item->facts->parameters;

    if (parameters <= 0)
        return false;
    item->low = tn_share(tn_times(low, parameters), item->sizing->chips);
    item->high = tn_share(tn_times(high, parameters), item->sizing->chips);
    if (low == high)
        tn_text_format(&item->formula, "%" PRId64 " bytes x %" PRId64 " parameters", low, parameters);
    else
        tn_text_format(&item->formula, "%" PRId64 " to %" PRId64 " bytes x %" PRId64 " parameters", low, high, parameters);
    add_share(item);
    tn_text_add(&item->formula, what);
    return true;
}

static void add_gathered(struct item *item, int64_t bytes)
{
    int64_t layers = gathered(item, bytes, item->facts->parameters);

    item->low = tn_plus(item->low, layers);
    item->high = tn_plus(item->high, layers);
    if (layers > 0)
        tn_text_format(&item->formula, " + %" PRId64 " bytes of two layers that are gathered", layers);
}

static bool train_weights(struct item *item)
{
    bool known = per_parameter(item, 2, 2, "");

    if (known)
        add_gathered(item, tn_times(2, item->facts->parameters));
    return known;
}

/* Few processors are quick with 16-bit numbers: programs keep 32-bit ones there, whatever the file has. */
static void add_widened(struct item *item)
{
    int64_t wide = tn_times(4, item->facts->parameters);

    if (item->sizing->kind == MACHINE_CPU && wide > item->high) {
        item->high = wide;
        tn_text_format(&item->formula, ", or 4 bytes x %" PRId64 " parameters as 32-bit numbers",
                       item->facts->parameters);
    }
}

static bool lora_weights(struct item *item)
{
    bool known = serve_weights(item);

    if (known) {
        add_gathered(item, item->facts->weights.bytes);
        add_widened(item);
    }
    return known;
}

static bool train_gradients(struct item *item)
{
    return per_parameter(item, 2, 4, " (16 or 32 bits)");
}

static bool train_optimizer(struct item *item)
{
    return per_parameter(item, 12, 12, " (AdamW: 32-bit master copy and two moments)");
}

/* Inputs of every layer are kept, what is inside of them is computed again, one at a time. */
static bool train_activations(struct item *item)
{
    const struct model_shape *s = &item->facts->shape;
    int64_t tokens = tn_times(item->sizing->context, item->sizing->sequences), layer, kept;

    if (!knows_layers(s) || s->vocab <= 0)
        return false;
    layer = tn_plus(tn_plus(8 * s->hidden, tn_times(4, queries(s))),
                    tn_plus(tn_times(4, keys(s)), tn_plus(4 * s->heads, tn_times(8, inner(s)))));
    kept = tn_times(2 * s->hidden, s->layers);
    item->low = tn_times(tokens, tn_plus(kept, layer));
    item->high = tn_plus(item->low, tn_times(tokens, tn_times(10, s->vocab)));
    tn_text_format(&item->formula,
                   "%" PRId64 " tokens x (2 bytes x %" PRId64 " x %" PRId64 " layers, checkpointed + %" PRId64
                   " of one layer + 10 bytes x %" PRId64 " vocabulary, 0 with a fused loss)",
                   tokens, s->hidden, s->layers, layer, s->vocab);
    return true;
}

static int64_t latent_width(const struct model_shape *s)
{
    int64_t up = tn_times(s->heads, s->nope_dim + s->rope_dim), down = tn_times(s->heads, s->nope_dim + s->value_dim);
    int64_t query = s->q_rank > 0 ? tn_plus(s->hidden + 2 * s->q_rank, up) : tn_plus(s->hidden, up);

    return tn_plus(query, tn_plus(s->hidden + 2 * s->kv_rank + s->rope_dim,
                                  tn_plus(down, tn_plus(tn_times(s->heads, s->value_dim), s->hidden))));
}

bool tn_adapter_parameters(const struct model_shape *s, int64_t rank, int64_t *least, int64_t *most)
{
    int64_t dense = s->experts > 0 ? s->dense_layers : s->layers, few, attention, networks;

    if (!knows_layers(s))
        return false;
    few = tn_plus(tn_plus(s->hidden, queries(s)), tn_plus(s->hidden, keys(s)));
    attention = tn_plus(tn_times(2, tn_plus(s->hidden, queries(s))), tn_times(2, tn_plus(s->hidden, keys(s))));
    if (s->kv_rank > 0 && s->value_dim > 0)
        few = attention = latent_width(s);
    networks = tn_times(dense, 3 * (s->hidden + s->intermediate));
    if (s->experts > 0) {
        int64_t mixture = tn_times(s->experts, 3 * (s->hidden + tn_most(s->expert_intermediate, 0)));

        mixture = tn_plus(mixture, s->shared_intermediate > 0 ? 3 * (s->hidden + s->shared_intermediate) : 0);
        networks = tn_plus(networks, tn_times(s->layers - dense, mixture));
    }
    *least = tn_times(rank, tn_times(s->layers, few));
    *most = tn_times(rank, tn_plus(tn_times(s->layers, attention), networks));
    return true;
}

static bool lora_adapters(struct item *item)
{
    int64_t least = 0, most = 0;

    if (!tn_adapter_parameters(&item->facts->shape, item->sizing->rank, &least, &most))
        return false;
    item->low = tn_share(tn_times(16, least), item->sizing->chips);
    item->high = tn_share(tn_times(16, most), item->sizing->chips);
    tn_text_format(&item->formula,
                   "16 bytes x %" PRId64 " (queries and values) to %" PRId64 " parameters (all linear layers), rank %" PRId64,
                   least, most, item->sizing->rank);
    add_share(item);
    return true;
}

/* ---- what every process has ---- */

static bool runtime(struct item *item)
{
    const bool llama = serves(item->sizing) && item->facts->format == MODEL_GGUF;
    const char *what = "";

    if (item->sizing->kind == MACHINE_TPU) {
        item->low = item->high = 512 * MIB;
        what = "the TPU runtime and compiled programs";
    } else if (item->sizing->kind != MACHINE_CPU) {
        item->high = item->sizing->chips > 1 ? 1536 * MIB : 1024 * MIB;
        item->low = llama ? item->high / 2 : item->high;
        what = item->sizing->chips > 1 ? "the driver's context, libraries and buffers for the other chips"
                                       : "the driver's context and libraries";
    } else {
        item->low = (llama ? 24 : 64) * MIB;
        item->high = (llama ? 256 : 512) * MIB;
        what = llama ? "the server itself" : "from a small program to Python with PyTorch";
    }
    tn_text_format(&item->formula, "%" PRId64 " to %" PRId64 " MiB: %s", item->low / MIB, item->high / MIB, what);
    return true;
}

/* ---- the whole ---- */

/* Which items a purpose has. NULL as source: that of the weights. */
struct part {
    const char *item;
    bool (*compute)(struct item *item);
    const char *(*source)(const struct model_facts *facts);
};

static const char *constant(const struct model_facts *facts)
{
    (void)facts;
    return "constant of tenon, to be calibrated";
}

static const struct part serving[] = {
    { "weights", serve_weights, weights_source }, { "kv_cache", serve_cache, source_of },
    { "activations", serve_activations, source_of }, { "runtime", runtime, constant }, { NULL, NULL, NULL },
};

static const struct part training[] = {
    { "weights", train_weights, weights_source }, { "gradients", train_gradients, weights_source },
    { "optimizer", train_optimizer, weights_source }, { "activations", train_activations, source_of },
    { "runtime", runtime, constant }, { NULL, NULL, NULL },
};

static const struct part adapting[] = {
    { "weights", lora_weights, weights_source }, { "adapters", lora_adapters, source_of },
    { "activations", train_activations, source_of }, { "runtime", runtime, constant }, { NULL, NULL, NULL },
};

static const struct part *parts_of(int32_t purpose)
{
    return purpose == TENON_PURPOSE_TRAIN ? training : purpose == TENON_PURPOSE_LORA ? adapting : serving;
}

static tenon_status put(struct sized *out, struct arena *arena, const char *name, const char *source, struct item *item)
{
    tenon_memory *row = &out->items[out->count];
    char *formula = tn_text_status(&item->formula) == TENON_OK ? tn_arena_copy(arena, tn_text(&item->formula)) : NULL;

    if (formula == NULL)
        return TENON_ERROR_MEMORY;
    *row = (tenon_memory){ .struct_size = sizeof *row,
                           .item = name,
                           .formula = formula,
                           .source = source,
                           .low_bytes = item->low,
                           .high_bytes = item->high };
    out->count++;
    return TENON_OK;
}

tenon_status tn_size(const struct model_facts *facts, const struct sizing *sizing, struct arena *arena, struct sized *out)
{
    struct item item = { .facts = facts, .sizing = sizing };
    struct sized found = { .count = 0 };
    tenon_status status = TENON_OK;

    tn_text_init(&item.formula, arena->memory, 4096);
    for (const struct part *part = parts_of(sizing->purpose); part->item != NULL && status == TENON_OK; part++) {
        item.low = item.high = 0;
        tn_text_reset(&item.formula);
        if (!part->compute(&item)) {
            found.missing = found.missing != NULL ? found.missing : part->item;
            continue;
        }
        status = put(&found, arena, part->item, part->source(facts), &item);
        found.low = tn_plus(found.low, item.low);
        found.high = tn_plus(found.high, item.high);
        if (part->compute == serve_cache)
            found.token_bytes = token_bytes(&item);
    }
    item.low = found.low;
    item.high = found.high;
    tn_text_reset(&item.formula);
    tn_text_add(&item.formula, "sum of the items");
    if (found.missing != NULL)
        tn_text_format(&item.formula, "; %s cannot be told", found.missing);
    if (status == TENON_OK)
        status = put(&found, arena, "total", "", &item);
    tn_text_clear(&item.formula);
    if (status == TENON_OK)
        *out = found;
    return status;
}
