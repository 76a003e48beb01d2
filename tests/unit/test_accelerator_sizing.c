/* Memory of models on chips, and the verdicts that follow. */
#define _GNU_SOURCE
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "offer.h"

static struct memory memory;
static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    tn_arena_init(&arena, &memory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tn_arena_clear(&arena);
    return 0;
}

#define GIB ((double)(INT64_C(1) << 30))

/* ---- models and machines ---- */

static struct model_facts llama2(int64_t layers, int64_t hidden, int64_t intermediate, int64_t heads, int64_t kv_heads)
{
    struct model_facts facts = { .format = MODEL_SAFETENSORS };
    struct failure failure;
    char *config = NULL;
    int64_t total = 0, active = 0;

    tn_failure_init(&failure, &memory, NULL);
    assert_true(
        asprintf(&config,
                 "{\"model_type\":\"llama\",\"num_hidden_layers\":%d,\"hidden_size\":%d,\"intermediate_size\":%d,"
                 "\"num_attention_heads\":%d,\"num_key_value_heads\":%d,\"vocab_size\":32000,\"max_position_embeddings\":4096}",
                 (int)layers, (int)hidden, (int)intermediate, (int)heads, (int)kv_heads) > 0);
    assert_int_equal(tn_config_read(config, strlen(config), &facts.shape, &failure), TENON_OK);
    assert_true(tn_shape_parameters(&facts.shape, &total, &active));
    tn_weights_add(&facts.weights, "BF16", 291, total, 2 * total);
    tn_facts_finish(&facts);
    free(config);
    return facts;
}

static struct model_facts model_of(int size)
{
    return size == 7    ? llama2(32, 4096, 11008, 32, 32)
           : size == 13 ? llama2(40, 5120, 13824, 40, 40)
                        : llama2(80, 8192, 28672, 64, 8);
}

static struct machine chips(enum machine_kind kind, int32_t count, int64_t bytes, int64_t free_bytes)
{
    struct machine machine = { .kind = kind, .uuid = "", .index = -1 };

    machine.row = (tenon_machine){ .struct_size = sizeof machine.row,
                                   .chips = kind == MACHINE_CPU ? 0 : count,
                                   .name = "local:x",
                                   .chip = "chip",
                                   .memory_bytes = bytes,
                                   .memory_free_bytes = free_bytes,
                                   .host_memory_bytes = -1,
                                   .cpu_milli = -1,
                                   .hosts = 1 };
    return machine;
}

static struct machine v5e(int32_t count)
{
    return chips(MACHINE_TPU, count, INT64_C(16) << 30, -1);
}

static struct machine h100(int32_t count)
{
    return chips(MACHINE_CUDA, count, INT64_C(80) << 30, -1);
}

static struct offer offer_of(const struct model_facts *facts, struct machine machine, struct question question)
{
    struct offer offer;

    tn_question_finish(&question, facts);
    assert_int_equal(tn_offer_make(facts, &machine, &question, &arena, &offer), TENON_OK);
    return offer;
}

static const tenon_memory *item_of(const struct offer *offer, const char *name)
{
    for (size_t i = 0; i < offer->sized.count; i++)
        if (strcmp(offer->sized.items[i].item, name) == 0)
            return &offer->sized.items[i];
    fail_msg("there is no item %s", name);
    return NULL;
}

static const tenon_reason *reason_of(const struct offer *offer, const char *code)
{
    for (size_t i = 0; i < offer->reason_count; i++)
        if (strcmp(offer->reasons[i].code, code) == 0)
            return &offer->reasons[i];
    return NULL;
}

/* ---- expected sizes: the project's facts about accelerators, section 7.9 ---- */

static const struct serving {
    int size;         /* of Llama 2, in 1e9 parameters */
    int bytes;        /* of a weight */
    bool tpu;
    int32_t chips;
    int64_t sequences;
    double gib;
    bool fits;
    int64_t tokens;   /* 0: the table has none */
} servings[] = {
    { 7, 2, true, 1, 1, 15.29, false, 0 },      { 7, 2, true, 4, 1, 4.24, true, 87296 },
    { 7, 2, false, 1, 1, 15.79, true, 119220 }, { 7, 2, true, 4, 16, 11.75, true, 0 },
    { 7, 2, false, 1, 16, 45.79, true, 0 },     { 7, 1, true, 1, 1, 9.01, true, 15132 },
    { 13, 2, true, 4, 1, 7.47, true, 40404 },   { 13, 2, false, 1, 1, 28.66, true, 60897 },
    { 13, 2, true, 4, 16, 19.20, false, 0 },    { 13, 2, true, 8, 16, 9.89, true, 0 },
    { 13, 2, false, 1, 16, 75.54, false, 0 },   { 13, 2, false, 2, 16, 38.81, true, 0 },
    { 70, 2, true, 8, 1, 16.89, false, 0 },     { 70, 2, true, 16, 1, 8.83, true, 149998 },
    { 70, 2, false, 2, 1, 66.67, true, 39005 }, { 70, 2, true, 16, 16, 11.18, true, 0 },
    { 70, 2, false, 2, 16, 76.05, false, 0 },   { 70, 2, false, 4, 16, 38.84, true, 0 },
    { 70, 1, true, 8, 1, 8.86, true, 149397 },
};

static void test_serving(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(servings); i++) {
        const struct serving *row = &servings[i];
        struct model_facts facts = model_of(row->size);
        struct offer offer;
        int32_t verdict;

        facts.weights.bytes = row->bytes * facts.parameters;
        offer = offer_of(&facts, row->tpu ? v5e(row->chips) : h100(row->chips), (struct question){ .sequences = row->sequences });
        verdict = offer.row.verdict;
        if (fabs((double)offer.row.need_bytes / GIB - row->gib) > 0.006 || (verdict == TENON_VERDICT_FITS) != row->fits ||
            (row->tokens != 0 && offer.row.most_tokens != row->tokens))
            fail_msg("row %zu: %.3f GiB, verdict %d, %lld tokens", i, (double)offer.row.need_bytes / GIB, verdict,
                     (long long)offer.row.most_tokens);
        assert_int_equal(offer.row.chips, row->chips);
    }
}

static const struct training {
    int size;
    int32_t purpose;
    bool tpu;
    int32_t chips;
    int64_t context;
    int64_t weights; /* bytes; 0: 16 bits */
    double gib;
    bool fits;
} trainings[] = {
    { 7, TENON_PURPOSE_TRAIN, true, 8, 4096, 0, 16.61, false },
    { 7, TENON_PURPOSE_TRAIN, true, 16, 4096, 0, 10.34, true },
    { 7, TENON_PURPOSE_TRAIN, false, 2, 4096, 0, 55.27, true },
    { 13, TENON_PURPOSE_TRAIN, true, 16, 4096, 0, 17.32, false },
    { 13, TENON_PURPOSE_TRAIN, true, 32, 4096, 0, 11.26, true },
    { 13, TENON_PURPOSE_TRAIN, false, 4, 4096, 0, 54.69, true },
    { 70, TENON_PURPOSE_TRAIN, true, 256, 4096, 0, 15.19, false },
    { 70, TENON_PURPOSE_TRAIN, true, 256, 2048, 0, 11.45, true },
    { 70, TENON_PURPOSE_TRAIN, false, 16, 4096, 0, 76.41, false },
    { 70, TENON_PURPOSE_TRAIN, false, 24, 4096, 0, 55.00, true },
    { 7, TENON_PURPOSE_LORA, true, 4, 4096, 0, 7.35, true },
    { 7, TENON_PURPOSE_LORA, false, 1, 4096, 0, 16.95, true },
    { 13, TENON_PURPOSE_LORA, true, 4, 4096, 0, 11.49, true },
    { 13, TENON_PURPOSE_LORA, false, 1, 4096, 0, 29.69, true },
    { 70, TENON_PURPOSE_LORA, false, 4, 4096, 0, 45.07, true },
    { 7, TENON_PURPOSE_LORA, true, 1, 4096, 3865000000, 7.50, true },
    { 7, TENON_PURPOSE_LORA, false, 1, 4096, 3865000000, 8.00, true },
    { 70, TENON_PURPOSE_LORA, false, 1, 4096, 36361000000, 45.44, true },
};

/* The table counts gradients in 16 bits and logits in full: between our low and our high. */
static void test_training(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(trainings); i++) {
        const struct training *row = &trainings[i];
        struct model_facts facts = model_of(row->size);
        const tenon_memory *activations;
        struct offer offer;
        double need;

        if (row->weights > 0)
            facts.weights.bytes = row->weights;
        offer = offer_of(&facts, row->tpu ? v5e(row->chips) : h100(row->chips),
                         (struct question){ .purpose = row->purpose, .context = row->context });
        activations = item_of(&offer, "activations");
        need = (double)(offer.sized.high - activations->high_bytes);
        if (row->purpose == TENON_PURPOSE_TRAIN)
            need -= (double)(item_of(&offer, "gradients")->high_bytes - item_of(&offer, "gradients")->low_bytes);
        need += (double)activations->high_bytes;
        if (fabs(need / GIB - row->gib) > 0.006 || (offer.row.verdict == TENON_VERDICT_FITS) != row->fits)
            fail_msg("row %zu: %.3f GiB (%.3f), verdict %d", i, need / GIB, (double)offer.sized.high / GIB,
                     (int)offer.row.verdict);
    }
}

/* Section 7.4: rank 16 on all seven linear layers, rank 8 on queries and values. */
static void test_adapters(void **state)
{
    static const struct {
        int size;
        int64_t rank, least, most;
    } adapters[] = { { 7, 16, 0, 39976960 }, { 7, 8, 4194304, 0 }, { 13, 16, 0, 62586880 }, { 70, 16, 0, 207093760 } };
    int64_t least = 0, most = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(adapters); i++) {
        struct model_facts facts = model_of(adapters[i].size);

        assert_true(tn_adapter_parameters(&facts.shape, adapters[i].rank, &least, &most));
        if (adapters[i].least > 0)
            assert_int_equal(least, adapters[i].least);
        if (adapters[i].most > 0)
            assert_int_equal(most, adapters[i].most);
    }
}

/* A processor computes with 32 bits what a file has as 16; what has 32 there already is no larger, nor is it so elsewhere. */
static void test_adapters_on_a_processor(void **state)
{
    struct question question = { .purpose = TENON_PURPOSE_LORA, .context = 512 };
    struct machine cpu = chips(MACHINE_CPU, 0, INT64_C(64) << 30, -1);
    struct model_facts facts = model_of(7);
    const tenon_memory *weights;
    struct offer offer = offer_of(&facts, cpu, question);

    (void)state;
    weights = item_of(&offer, "weights");
    assert_int_equal(weights->low_bytes, 2 * facts.parameters);
    assert_int_equal(weights->high_bytes, 4 * facts.parameters);
    assert_non_null(strstr(weights->formula, "32-bit"));
    offer = offer_of(&facts, h100(1), question);
    weights = item_of(&offer, "weights");
    assert_int_equal(weights->high_bytes, 2 * facts.parameters);
    assert_null(strstr(weights->formula, "32-bit"));
    facts.weights.bytes = 4 * facts.parameters;
    offer = offer_of(&facts, cpu, question);
    weights = item_of(&offer, "weights");
    assert_int_equal(weights->low_bytes, 4 * facts.parameters);
    assert_int_equal(weights->high_bytes, weights->low_bytes);
    assert_null(strstr(weights->formula, "32-bit"));
}

/* Activations of one layer for one token, section 7.4. */
static void test_activations(void **state)
{
    static const struct {
        int size;
        int64_t layer;
    } layers[] = { { 7, 153728 }, { 13, 192672 }, { 70, 332032 } };

    (void)state;
    for (size_t i = 0; i < COUNT(layers); i++) {
        struct model_facts facts = model_of(layers[i].size);
        struct offer offer = offer_of(&facts, h100(1), (struct question){ .purpose = TENON_PURPOSE_LORA, .context = 1 });

        assert_int_equal(item_of(&offer, "activations")->low_bytes,
                         layers[i].layer + 2 * facts.shape.hidden * facts.shape.layers);
        assert_int_equal(item_of(&offer, "activations")->high_bytes - item_of(&offer, "activations")->low_bytes, 320000);
    }
}

/* What llama.cpp has logged as its compute buffer on a CPU with batches of 512; the most is an older one's, with a short context or
   flash attention, and without. */
static void test_llama_buffer(void **state)
{
    struct model_facts facts = llama2(32, 4096, 14336, 32, 8);
    struct offer offer;

    (void)state;
    facts.format = MODEL_GGUF;
    facts.shape.vocab = 128256; /* Llama 3 8B: 258.50 MiB, 296.01 MiB */
    offer = offer_of(&facts, chips(MACHINE_CPU, 0, INT64_C(64) << 30, -1), (struct question){ .context = 4096 });
    assert_int_equal(item_of(&offer, "activations")->low_bytes, INT64_C(128) << 20);
    assert_int_equal(item_of(&offer, "activations")->high_bytes, INT64_C(296) << 20);
    offer = offer_of(&facts, chips(MACHINE_CPU, 0, INT64_C(64) << 30, -1), (struct question){ .context = 2048 });
    assert_int_equal(item_of(&offer, "activations")->high_bytes, 517 * 524288);
    assert_int_equal(item_of(&offer, "kv_cache")->high_bytes, INT64_C(256) << 20);
}

/* SmolLM2-135M on a llama-server of 2026: 15.14, 18.64 and 22.64 MiB for one sequence, 16.64 MiB for four of 2048 tokens. */
static void test_llama_server(void **state)
{
    static const struct {
        int64_t context, sequences;
        double logged; /* MiB */
    } rows[] = { { 512, 1, 15.14 }, { 4096, 1, 18.64 }, { 8192, 1, 22.64 }, { 2048, 4, 16.64 } };
    struct model_facts facts = llama2(30, 576, 1536, 9, 3);

    (void)state;
    facts.format = MODEL_GGUF;
    facts.shape.vocab = 49152;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct offer offer = offer_of(&facts, chips(MACHINE_CPU, 0, INT64_C(64) << 30, -1),
                                      (struct question){ .context = rows[i].context, .sequences = rows[i].sequences });
        double low = (double)item_of(&offer, "activations")->low_bytes / (1 << 20);

        assert_true(low > rows[i].logged - 0.05 && low < rows[i].logged + 0.05);
        assert_int_equal(item_of(&offer, "kv_cache")->high_bytes, rows[i].context * rows[i].sequences * 23040);
        assert_int_equal(item_of(&offer, "runtime")->low_bytes, 24 << 20);
    }
}

/* ---- verdicts ---- */

static void test_verdicts(void **state)
{
    struct model_facts facts = model_of(7);
    struct question question = { .context = 4096 };
    struct offer offer = offer_of(&facts, chips(MACHINE_CUDA, 1, INT64_C(80) << 30, -1), question);
    int64_t need = offer.row.need_bytes;

    (void)state;
    assert_int_equal(offer.row.verdict, TENON_VERDICT_FITS);
    assert_int_equal(offer.row.short_bytes, 0);
    offer = offer_of(&facts, chips(MACHINE_CUDA, 1, need * 10 / 9 + 10, -1), question);
    assert_int_equal(offer.row.verdict, TENON_VERDICT_FITS);
    offer = offer_of(&facts, chips(MACHINE_CUDA, 1, need * 10 / 9 - 10, -1), question);
    assert_int_equal(offer.row.verdict, TENON_VERDICT_TIGHT);
    offer = offer_of(&facts, chips(MACHINE_CUDA, 1, need, -1), question);
    assert_int_equal(offer.row.verdict, TENON_VERDICT_TIGHT);
    offer = offer_of(&facts, chips(MACHINE_CUDA, 1, need - 1, -1), question);
    assert_int_equal(offer.row.verdict, TENON_VERDICT_NO);
    assert_int_equal(offer.row.short_bytes, 1);
    offer = offer_of(&facts, chips(MACHINE_CUDA, 1, -1, -1), question);
    assert_int_equal(offer.row.verdict, TENON_VERDICT_UNKNOWN);
    assert_int_equal(offer.row.most_tokens, -1);
    assert_non_null(strstr(offer.row.summary, "cannot be told"));
    /* What others hold now does not count as there. */
    offer = offer_of(&facts, chips(MACHINE_CUDA, 1, INT64_C(80) << 30, INT64_C(10) << 30), question);
    assert_int_equal(offer.row.verdict, TENON_VERDICT_NO);
    assert_int_equal(offer.row.have_bytes, INT64_C(10) << 30);
    assert_non_null(reason_of(&offer, "memory_in_use"));
    assert_non_null(strstr(reason_of(&offer, "memory_in_use")->message, "70.0 GiB of its 80.0 GiB"));
}

/* Each "no" names the cheapest change that makes it a "yes", and the change really does. */
static void test_changes(void **state)
{
    struct model_facts facts = model_of(7), large = model_of(70);
    struct question question = { .context = 4096, .sequences = 16 };
    struct offer offer;
    int tokens = 0, count = 0;

    (void)state;
    offer = offer_of(&facts, chips(MACHINE_CUDA, 1, INT64_C(24) << 30, -1), question);
    assert_int_equal(offer.row.verdict, TENON_VERDICT_NO);
    assert_int_equal(sscanf(offer.reasons[0].change, "A context of %d tokens would fit.", &tokens), 1);
    question.context = tokens;
    assert_int_equal(offer_of(&facts, chips(MACHINE_CUDA, 1, INT64_C(24) << 30, -1), question).row.verdict, TENON_VERDICT_FITS);
    question = (struct question){ .context = 256 };
    offer = offer_of(&facts, chips(MACHINE_CUDA, 1, INT64_C(12) << 30, -1), question);
    assert_string_equal(offer.reasons[0].change, "Weights in 8-bit would fit.");
    offer = offer_of(&facts, chips(MACHINE_CUDA, 1, INT64_C(6) << 30, -1), question);
    assert_string_equal(offer.reasons[0].change, "Weights in 4-bit would fit.");
    offer = offer_of(&large, h100(1), (struct question){ .purpose = TENON_PURPOSE_TRAIN });
    assert_int_equal(sscanf(offer.reasons[0].change, "%d of these chips together would fit it.", &count), 1);
    assert_int_equal(offer_of(&large, h100(count), (struct question){ .purpose = TENON_PURPOSE_TRAIN }).row.verdict,
                     TENON_VERDICT_FITS);
    assert_int_not_equal(offer_of(&large, h100(count / 2), (struct question){ .purpose = TENON_PURPOSE_TRAIN }).row.verdict,
                         TENON_VERDICT_FITS);
    offer = offer_of(&facts, h100(1), (struct question){ .purpose = TENON_PURPOSE_TRAIN });
    assert_non_null(strstr(offer.reasons[0].change, "LoRA"));
    offer = offer_of(&facts, chips(MACHINE_CPU, 0, INT64_C(2) << 30, -1), question);
    assert_non_null(strstr(offer.reasons[0].change, "It takes"));
}

static void test_heads(void **state)
{
    struct model_facts facts = model_of(13), grouped = model_of(70);
    struct offer offer = offer_of(&facts, h100(16), (struct question){ .context = 4096 });

    (void)state;
    /* 40 heads: never 16. */
    assert_int_equal(offer.row.chips, 10);
    assert_non_null(strstr(reason_of(&offer, "heads")->message, "16 chips cannot share 40 heads"));
    assert_true(tn_divides(&grouped, 16) && tn_divides(&grouped, 4) && !tn_divides(&grouped, 3) && !tn_divides(&grouped, 128));
    /* Training spreads it anyhow. */
    offer = offer_of(&facts, h100(16), (struct question){ .purpose = TENON_PURPOSE_TRAIN });
    assert_int_equal(offer.row.chips, 16);
    facts.format = MODEL_GGUF;
    assert_true(tn_divides(&facts, 7));
}

static void test_reasons(void **state)
{
    struct model_facts facts = model_of(7);
    struct machine old = h100(1);
    struct offer offer;

    (void)state;
    old.capability = 75;
    offer = offer_of(&facts, old, (struct question){ .context = 8192 });
    assert_non_null(reason_of(&offer, "no_bf16"));
    assert_non_null(reason_of(&offer, "context"));
    assert_non_null(strstr(reason_of(&offer, "context")->change, "4096"));
    memcpy(facts.weights.dtypes[0].name, "F8_E4M3", 8);
    old.capability = 80;
    offer = offer_of(&facts, old, (struct question){ .context = 256 });
    assert_non_null(reason_of(&offer, "no_fp8"));
    assert_null(reason_of(&offer, "no_bf16"));
    old.capability = 90;
    offer = offer_of(&facts, old, (struct question){ .context = 256 });
    assert_int_equal(offer.reason_count, 1);
    facts.format = MODEL_GGUF;
    offer = offer_of(&facts, chips(MACHINE_CPU, 0, INT64_C(4) << 30, -1), (struct question){ .context = 256 });
    assert_non_null(reason_of(&offer, "mapped"));
    offer = offer_of(&facts, h100(1), (struct question){ .purpose = TENON_PURPOSE_LORA });
    assert_non_null(reason_of(&offer, "format"));
}

/* Half a "window" model: at best what its window keeps, at worst all tokens. */
static void test_window(void **state)
{
    struct model_facts facts = model_of(7);
    struct offer offer;

    (void)state;
    facts.shape.kv_window = facts.shape.kv_full / 2;
    facts.shape.kv_full -= facts.shape.kv_window;
    facts.shape.window = 1024;
    offer = offer_of(&facts, h100(1), (struct question){ .context = 4096 });
    assert_int_equal(item_of(&offer, "kv_cache")->high_bytes, INT64_C(4096) * 524288);
    assert_int_equal(item_of(&offer, "kv_cache")->low_bytes, INT64_C(5120) * 262144);
    assert_non_null(reason_of(&offer, "window"));
}

/* Section 7.3: Mistral 7B v0.1 at 32,768 tokens, half a GiB with its window of 4,096 and four where an engine ignores that. */
static void test_window_of_all_layers(void **state)
{
    struct model_facts facts = llama2(32, 4096, 14336, 32, 8);
    struct offer offer;

    (void)state;
    facts.shape.kv_window = facts.shape.kv_full;
    facts.shape.kv_full = 0;
    facts.shape.window = 4096;
    offer = offer_of(&facts, h100(1), (struct question){ .context = 32768 });
    assert_int_equal(item_of(&offer, "kv_cache")->low_bytes, INT64_C(1) << 29);
    assert_int_equal(item_of(&offer, "kv_cache")->high_bytes, INT64_C(4) << 30);
}

/* Latent attention is kept whole by every chip; and blocks are never broken. */
static void test_cache_shares(void **state)
{
    struct model_facts facts = model_of(70);
    struct offer offer = offer_of(&facts, h100(4), (struct question){ .context = 17 });

    (void)state;
    assert_int_equal(item_of(&offer, "kv_cache")->high_bytes, 32 * 327680 / 4);
    facts.shape.kv_rank = 512;
    offer = offer_of(&facts, h100(4), (struct question){ .context = 17 });
    assert_int_equal(item_of(&offer, "kv_cache")->high_bytes, 32 * 327680);
}

/* Weights alone, without a word on how the model is built. */
static void test_unknown_structure(void **state)
{
    struct model_facts facts = { .format = MODEL_SAFETENSORS };
    struct offer offer;

    (void)state;
    tn_shape_init(&facts.shape);
    tn_weights_add(&facts.weights, "F16", 1, INT64_C(1) << 30, INT64_C(2) << 30);
    tn_facts_finish(&facts);
    offer = offer_of(&facts, h100(1), (struct question){ .context = 0 });
    assert_int_equal(offer.row.verdict, TENON_VERDICT_UNKNOWN);
    assert_string_equal(offer.sized.missing, "kv_cache");
    assert_non_null(reason_of(&offer, "structure"));
    assert_int_equal(offer.row.most_tokens, -1);
    offer = offer_of(&facts, chips(MACHINE_CUDA, 1, INT64_C(1) << 30, -1), (struct question){ .context = 0 });
    assert_int_equal(offer.row.verdict, TENON_VERDICT_NO);
    offer = offer_of(&facts, h100(2), (struct question){ .purpose = TENON_PURPOSE_LORA });
    assert_int_equal(offer.row.verdict, TENON_VERDICT_UNKNOWN);
    /* 16 bytes for each parameter are known all the same. */
    offer = offer_of(&facts, chips(MACHINE_CUDA, 1, INT64_C(8) << 30, -1), (struct question){ .purpose = TENON_PURPOSE_TRAIN });
    assert_int_equal(offer.row.verdict, TENON_VERDICT_NO);
}

/* A model of a hundred thousand parameters needs what its program needs, not gigabytes. */
static void test_tiny(void **state)
{
    struct model_facts facts = llama2(2, 64, 172, 4, 4);
    struct machine small = chips(MACHINE_CPU, 0, INT64_C(4) << 30, INT64_C(1) << 30);

    (void)state;
    for (int32_t purpose = TENON_PURPOSE_SERVE; purpose <= TENON_PURPOSE_LORA; purpose++) {
        struct offer offer = offer_of(&facts, small, (struct question){ .purpose = purpose, .context = 128 });

        assert_int_equal(offer.row.verdict, TENON_VERDICT_FITS);
        assert_true(offer.row.need_bytes - item_of(&offer, "runtime")->high_bytes < 128 << 20);
        assert_int_equal(offer.row.chips, 0);
    }
}

/* Numbers at the edge of what fits into 64 bits: large they stay. */
static void test_absurd(void **state)
{
    struct model_facts facts = model_of(70);

    (void)state;
    for (int32_t purpose = TENON_PURPOSE_SERVE; purpose <= TENON_PURPOSE_LORA; purpose++) {
        struct offer offer =
            offer_of(&facts, h100(8),
                     (struct question){ .purpose = purpose, .context = INT64_MAX, .sequences = INT64_MAX, .rank = INT64_MAX });

        assert_int_equal(offer.row.verdict, TENON_VERDICT_NO);
        assert_true(offer.row.short_bytes > 0 && offer.sized.low >= 0 && offer.sized.high >= offer.sized.low);
    }
    facts.shape.layers = 1;
    facts.shape.hidden = facts.shape.intermediate = facts.shape.heads = facts.shape.kv_heads = facts.shape.head_dim =
        facts.shape.vocab = INT64_C(1) << 31;
    facts.parameters = facts.weights.bytes = INT64_MAX;
    for (int32_t purpose = TENON_PURPOSE_SERVE; purpose <= TENON_PURPOSE_LORA; purpose++) {
        struct offer offer = offer_of(&facts, h100(8), (struct question){ .purpose = purpose });

        assert_int_equal(offer.row.verdict, TENON_VERDICT_NO);
        for (size_t i = 0; i < offer.sized.count; i++)
            assert_true(offer.sized.items[i].low_bytes >= 0 && offer.sized.items[i].high_bytes >= offer.sized.items[i].low_bytes);
    }
    facts = model_of(7);
    facts.shape.heads = facts.shape.kv_heads = 0;
    assert_true(offer_of(&facts, h100(8), (struct question){ .context = 0 }).row.verdict == TENON_VERDICT_UNKNOWN);
}

static void test_order(void **state)
{
    struct model_facts facts = model_of(7);
    const struct question question = { .context = 4096 };
    struct offer offers[7];

    (void)state;
    offers[0] = offer_of(&facts, chips(MACHINE_CPU, 0, INT64_C(64) << 30, -1), question);
    offers[1] = offer_of(&facts, h100(2), question);
    offers[2] = offer_of(&facts, chips(MACHINE_CUDA, 1, INT64_C(8) << 30, -1), question);
    offers[3] = offer_of(&facts, chips(MACHINE_CUDA, 1, -1, -1), question);
    offers[4] = offer_of(&facts, h100(1), question);
    offers[5] = offer_of(&facts, chips(MACHINE_CUDA, 1, INT64_C(16) << 30, -1), question);
    offers[6] = offer_of(&facts, chips(MACHINE_CUDA, 1, INT64_C(4) << 30, -1), question);
    qsort(offers, COUNT(offers), sizeof offers[0], tn_offer_compare);
    assert_int_equal(offers[0].row.have_bytes, INT64_C(80) << 30);
    assert_int_equal(offers[0].row.chips, 1);
    assert_int_equal(offers[1].row.chips, 2);
    assert_int_equal(offers[2].row.chips, 0);
    assert_int_equal(offers[3].row.verdict, TENON_VERDICT_TIGHT);
    assert_int_equal(offers[4].row.verdict, TENON_VERDICT_UNKNOWN);
    assert_int_equal(offers[5].row.have_bytes, INT64_C(8) << 30);
    assert_int_equal(offers[6].row.have_bytes, INT64_C(4) << 30);
}

static tenon_status judge_all(struct test_memory *counts)
{
    struct memory counting = test_memory(counts);
    struct model_facts facts = model_of(7);
    struct machine machine = chips(MACHINE_CUDA, 2, INT64_C(3) << 30, INT64_C(2) << 30);
    struct question question = { .purpose = TENON_PURPOSE_SERVE };
    struct arena counted;
    struct offer offer;
    tenon_status status;

    tn_question_finish(&question, &facts);
    tn_arena_init(&counted, &counting);
    status = tn_offer_make(&facts, &machine, &question, &counted, &offer);
    tn_arena_clear(&counted);
    return status;
}

static void test_no_memory(void **state)
{
    (void)state;
    test_every_failure(judge_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_serving, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_training, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_adapters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_adapters_on_a_processor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_activations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_llama_buffer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_llama_server, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_verdicts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_heads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reasons, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_window_of_all_layers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cache_shares, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_structure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tiny, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_absurd, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
