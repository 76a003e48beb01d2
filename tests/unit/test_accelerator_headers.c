/* The parsers of model headers: config.json, safetensors, its index, GGUF. */
#define _GNU_SOURCE
#include "with_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "number.h"
#include "scan.h"

/* ---- config.json ---- */

/*
 * Published models: structure from their config.json, parameters as published, K and V by the formula of each attention
 * (the project's facts about accelerators, section 7.1).
 */
static const struct published {
    const char *name, *type;
    int64_t layers, hidden, intermediate, heads, kv_heads, vocab;
    const char *more;
    int64_t parameters, active, kv_bytes;
} published[] = {
    { "Llama-2-7b", "llama", 32, 4096, 11008, 32, 32, 32000, "", 6738415616, 6738415616, 524288 },
    { "Llama-2-13b", "llama", 40, 5120, 13824, 40, 40, 32000, "", 13015864320, 13015864320, 819200 },
    { "Llama-2-70b", "llama", 80, 8192, 28672, 64, 8, 32000, "", 68976648192, 68976648192, 327680 },
    { "Meta-Llama-3-8B", "llama", 32, 4096, 14336, 32, 8, 128256, "", 8030261248, 8030261248, 131072 },
    { "Meta-Llama-3-70B", "llama", 80, 8192, 28672, 64, 8, 128256, "", 70553706496, 70553706496, 327680 },
    { "Llama-3.1-405B", "llama", 126, 16384, 53248, 128, 8, 128256, "", 405853388800, 405853388800, 516096 },
    { "Llama-3.2-1B", "llama", 16, 2048, 8192, 32, 8, 128256, ",\"head_dim\":64,\"tie_word_embeddings\":true", 1235814400,
      1235814400, 32768 },
    { "Llama-3.2-3B", "llama", 28, 3072, 8192, 24, 8, 128256, ",\"head_dim\":128,\"tie_word_embeddings\":true", 3212749824,
      3212749824, 114688 },
    { "Mistral-7B-v0.1", "mistral", 32, 4096, 14336, 32, 8, 32000, ",\"sliding_window\":4096", 7241732096, 7241732096, 131072 },
    { "Mixtral-8x7B-v0.1", "mixtral", 32, 4096, 14336, 32, 8, 32000,
      ",\"num_local_experts\":8,\"num_experts_per_tok\":2,\"sliding_window\":null", 46702792704, 12879925248, 131072 },
    { "Mixtral-8x22B-v0.1", "mixtral", 56, 6144, 16384, 48, 8, 32000, ",\"num_local_experts\":8,\"num_experts_per_tok\":2",
      140620634112, 39152031744, 229376 },
    { "gemma-2b", "gemma", 18, 2048, 16384, 8, 1, 256000, ",\"head_dim\":256", 2506172416, 2506172416, 18432 },
    { "gemma-7b", "gemma", 28, 3072, 24576, 16, 16, 256000, ",\"head_dim\":256", 8537680896, 8537680896, 458752 },
    { "gemma-2-2b", "gemma2", 26, 2304, 9216, 8, 4, 256000, ",\"head_dim\":256,\"sliding_window\":4096", 2614341888, 2614341888,
      106496 },
    { "gemma-2-9b", "gemma2", 42, 3584, 14336, 16, 8, 256000, ",\"head_dim\":256,\"sliding_window\":4096", 9241705984, 9241705984,
      344064 },
    { "gemma-2-27b", "gemma2", 46, 4608, 36864, 32, 16, 256000, ",\"head_dim\":128,\"sliding_window\":4096", 27227128320,
      27227128320, 376832 },
    { "Qwen2.5-7B", "qwen2", 28, 3584, 18944, 28, 4, 152064, ",\"sliding_window\":131072,\"use_sliding_window\":false",
      7615616512, 7615616512, 57344 },
    { "Qwen3-8B", "qwen3", 36, 4096, 12288, 32, 8, 151936, ",\"head_dim\":128,\"attention_bias\":false", 8190735360, 8190735360,
      147456 },
    { "Qwen3-32B", "qwen3", 64, 5120, 25600, 64, 8, 151936, ",\"head_dim\":128", 32762123264, 32762123264, 262144 },
    { "DeepSeek-V3", "deepseek_v3", 61, 7168, 18432, 128, 128, 129280,
      ",\"n_routed_experts\":256,\"n_shared_experts\":1,\"num_experts_per_tok\":8,\"moe_intermediate_size\":2048,\"first_k_dense_replace\":3,"
      "\"q_lora_rank\":1536,\"kv_lora_rank\":512,\"qk_rope_head_dim\":64,\"qk_nope_head_dim\":128,\"v_head_dim\":128",
      671026419200, 37552297472, 70272 },
};

static struct model_shape read_config(const char *text)
{
    struct model_shape shape;

    if (tn_config_read(text, strlen(text), &shape, &failure) != TENON_OK)
        fail_msg("%s: %s", text, failure.message);
    return shape;
}

static char *write_config(const struct published *model)
{
    char *text = NULL;

    assert_true(
        asprintf(&text,
                 "{\"model_type\":\"%s\",\"num_hidden_layers\":%d,\"hidden_size\":%d,\"intermediate_size\":%d,"
                 "\"num_attention_heads\":%d,\"num_key_value_heads\":%d,\"vocab_size\":%d,\"max_position_embeddings\":4096%s}",
                 model->type, (int)model->layers, (int)model->hidden, (int)model->intermediate, (int)model->heads,
                 (int)model->kv_heads, (int)model->vocab, model->more) > 0);
    return text;
}

static void test_published(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(published); i++) {
        const struct published *model = &published[i];
        char *text = write_config(model);
        struct model_shape shape = read_config(text);
        int64_t total = 0, active = 0;

        assert_true(tn_shape_parameters(&shape, &total, &active));
        if (total != model->parameters || active != model->active || 2 * (shape.kv_full + shape.kv_window) != model->kv_bytes)
            fail_msg("%s: %lld parameters, %lld active, %lld bytes of K and V", model->name, (long long)total, (long long)active,
                     (long long)(2 * (shape.kv_full + shape.kv_window)));
        assert_int_equal(shape.context, 4096);
        free(text);
    }
}

/* 21 of Gemma 2 9B's 42 layers see 4096 tokens: 2,113,929,216 bytes for 8,192 tokens (section 7.3). */
static void test_windows(void **state)
{
    struct model_shape shape;

    (void)state;
    shape = read_config("{\"model_type\":\"gemma2\",\"num_hidden_layers\":42,\"hidden_size\":3584,\"num_attention_heads\":16,"
                        "\"num_key_value_heads\":8,\"head_dim\":256,\"sliding_window\":4096}");
    assert_int_equal(2 * (8192 * shape.kv_full + 4096 * shape.kv_window), 2113929216);
    shape = read_config(
        "{\"model_type\":\"new\",\"num_hidden_layers\":4,\"hidden_size\":64,\"num_attention_heads\":4,\"sliding_window\":128,"
        "\"layer_types\":[\"sliding_attention\",\"linear_attention\",\"full_attention\",\"sliding_attention\"]}");
    assert_int_equal(shape.kv_full, 128);
    assert_int_equal(shape.kv_window, 256);
    assert_false(shape.countable);
    /* Every sixth layer of Gemma 3 sees everything; what is about text stands in a part of its own. */
    shape = read_config(
        "{\"model_type\":\"gemma3\",\"text_config\":{\"model_type\":\"gemma3_text\",\"num_hidden_layers\":34,\"hidden_size\":2560,"
        "\"num_attention_heads\":8,\"num_key_value_heads\":4,\"head_dim\":256,\"sliding_window\":1024},\"vision_config\":"
        "{\"num_hidden_layers\":27,\"hidden_size\":1152}}");
    assert_string_equal(shape.family, "gemma3_text");
    assert_int_equal(shape.layers, 34);
    assert_int_equal(shape.kv_full, 5 * 2048);
    assert_int_equal(shape.kv_window, 29 * 2048);
    /* Qwen 2 has a window only where it says so, and then in its upper layers. */
    shape = read_config(
        "{\"model_type\":\"qwen2\",\"num_hidden_layers\":4,\"hidden_size\":64,\"num_attention_heads\":4,\"sliding_window\":128,"
        "\"max_window_layers\":3,\"use_sliding_window\":true}");
    assert_int_equal(shape.kv_full, 3 * 128);
    assert_int_equal(shape.kv_window, 128);
    shape = read_config(
        "{\"model_type\":\"qwen2\",\"num_hidden_layers\":4,\"hidden_size\":64,\"num_attention_heads\":4,\"sliding_window\":128}");
    assert_int_equal(shape.kv_window, 0);
    assert_int_equal(shape.window, -1);
}

static void test_other_spellings(void **state)
{
    struct model_shape shape =
        read_config("{\"model_type\":\"gpt2\",\"n_layer\":12,\"n_embd\":768,\"n_head\":12,\"n_inner\":null,\"vocab_size\":50257,"
                    "\"n_positions\":1024}");
    int64_t total, active;

    (void)state;
    assert_int_equal(shape.layers, 12);
    assert_int_equal(shape.head_dim, 64);
    assert_int_equal(shape.kv_heads, 12);
    assert_int_equal(shape.intermediate, 4 * 768);
    assert_int_equal(shape.context, 1024);
    assert_false(tn_shape_parameters(&shape, &total, &active));
    shape = read_config("{\"n_layer\":1,\"n_embd\":128,\"n_head\":2,\"multi_query\":true}");
    assert_int_equal(shape.kv_heads, 1);
    shape = read_config("{\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4}}");
    assert_string_equal(shape.quantization, "gptq");
    assert_int_equal(shape.layers, -1);
    assert_int_equal(shape.kv_full, -1);
    /* Which of its layers are dense, in two more ways of saying it. */
    shape = read_config(
        "{\"model_type\":\"qwen3_moe\",\"num_hidden_layers\":8,\"num_experts\":16,\"decoder_sparse_step\":2,\"mlp_only_layers\":[1]}");
    assert_int_equal(shape.dense_layers, 5);
}

static void test_hostile_config(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "1",
        "null",
        "\"x\"",
        "{} {}",
        "{\"a\":1,\"a\":2}",
        "{\"num_hidden_layers\":-1}",
        "{\"num_hidden_layers\":1e300}",
        "{\"num_hidden_layers\":1.5}",
        "{\"hidden_size\":9223372036854775807}",
        "{\"hidden_size\":99999999999999999999}",
        "{\"vocab_size\":4294967297}",
        "\xff\xfe",
        "{\"model_type\":\"\xc3\x28\"}",
    };
    struct model_shape shape;
    char *deep = malloc(1000000);

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        if (tn_config_read(texts[i], strlen(texts[i]), &shape, &failure) != TENON_ERROR_PROTOCOL)
            fail_msg("%s", texts[i]);
    memset(deep, '[', 1000000);
    assert_int_equal(tn_config_read(deep, 1000000, &shape, &failure), TENON_ERROR_PROTOCOL);
    assert_int_equal(tn_config_read(deep, CONFIG_MOST + 1, &shape, &failure), TENON_ERROR_PROTOCOL);
    free(deep);
    /* Things of another type count as absent. */
    shape = read_config(
        "{\"num_hidden_layers\":\"32\",\"hidden_size\":null,\"model_type\":7,\"layer_types\":{\"a\":1},\"text_config\":[]}");
    assert_int_equal(shape.layers, -1);
    shape = read_config(
        "{\"num_hidden_layers\":0,\"hidden_size\":0,\"num_attention_heads\":0,\"vocab_size\":0,\"sliding_window\":0}");
    assert_int_equal(shape.kv_full, -1);
}

/* ---- safetensors ---- */

struct buffer {
    char *bytes;
    size_t size;
};

static void add(struct buffer *buffer, const void *bytes, size_t size)
{
    buffer->bytes = realloc(buffer->bytes, buffer->size + size + 1);
    assert_non_null(buffer->bytes);
    memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
}

static void add_number(struct buffer *buffer, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char byte = (char)(value >> (8 * i));

        add(buffer, &byte, 1);
    }
}

static tenon_status read_safetensors(const char *json, int64_t data_bytes, struct model_weights *weights)
{
    struct buffer buffer = { NULL, 0 };
    size_t need = 0;
    tenon_status status;

    memset(weights, 0, sizeof *weights);
    add_number(&buffer, strlen(json), 8);
    add(&buffer, json, strlen(json));
    status = tn_safetensors_read(&memory, buffer.bytes, buffer.size, data_bytes < 0 ? -1 : (int64_t)buffer.size + data_bytes,
                                 &need, weights, &failure);
    /* With any less of it the parser asks for the whole. */
    if (status == TENON_OK)
        for (size_t size = 0; size < buffer.size; size++) {
            struct model_weights none = { 0 };

            assert_int_equal(tn_safetensors_read(&memory, buffer.bytes, size, -1, &need, &none, &failure), TENON_AGAIN);
            assert_int_equal(need, size < 8 ? 8 : buffer.size);
            assert_int_equal(none.tensors, 0);
        }
    free(buffer.bytes);
    return status;
}

static void test_safetensors(void **state)
{
    struct model_weights weights;

    (void)state;
    assert_int_equal(read_safetensors("{\"__metadata__\":{\"format\":\"pt\"},"
                                      "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]},"
                                      "\"a\\\"\":{\"data_offsets\":[0,8],\"shape\":[4],\"dtype\":\"BF16\"},"
                                      " \"s\" : { \"dtype\" : \"I64\" , \"shape\" : [ ] , \"data_offsets\" : [ 32 , 40 ] } } ",
                                      40, &weights),
                     TENON_OK);
    assert_int_equal(weights.tensors, 3);
    assert_int_equal(weights.elements, 11);
    assert_int_equal(weights.bytes, 40);
    assert_int_equal(weights.files, 1);
    assert_int_equal(weights.dtype_count, 3);
    /* A type of tomorrow, an empty tensor, and nothing at all. */
    assert_int_equal(read_safetensors("{\"a\":{\"dtype\":\"F3_NEW\",\"shape\":[100],\"data_offsets\":[0,37]}}", 37, &weights),
                     TENON_OK);
    assert_int_equal(weights.bytes, 37);
    assert_int_equal(read_safetensors("{\"a\":{\"dtype\":\"F16\",\"shape\":[0,7],\"data_offsets\":[0,0]}}", 0, &weights),
                     TENON_OK);
    assert_int_equal(read_safetensors("{}", 0, &weights), TENON_OK);
    assert_int_equal(read_safetensors("{\"a\":{\"dtype\":\"F4\",\"shape\":[6],\"data_offsets\":[0,3]}}", -1, &weights), TENON_OK);
}

#define ENTRY(name, type, shape, begin, end)                                                                                     \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static void test_hostile_safetensors(void **state)
{
    static const struct {
        const char *json, *message;
    } headers[] = {
        { "[]", "makes no sense" },
        { "{", "no safetensors file" },
        { "{ ", "makes no sense" },
        { "{}x", "makes no sense" },
        { "{\"a\"}", "makes no sense" },
        { "{\"a\":1}", "makes no sense" },
        { "{\"a\":{}}", "makes no sense" },
        { "{\"a\":null}", "makes no sense" },
        { "{,}", "makes no sense" },
        { "{\"__metadata__\":{\"a\":[}}", "makes no sense" },
        { "{" ENTRY("a", "F16", "[4]", "0", "8") "," ENTRY("b", "F16", "[4]", "4", "12") "}", "overlap" },
        { "{" ENTRY("a", "F16", "[4]", "0", "8") "," ENTRY("b", "F16", "[4]", "0", "8") "}", "overlap" },
        { "{" ENTRY("a", "F16", "[4]", "0", "8") "," ENTRY("b", "F16", "[4]", "9", "17") "}", "gap" },
        { "{" ENTRY("a", "F16", "[4]", "8", "16") "}", "gap" },
        { "{" ENTRY("a", "F16", "[4]", "0", "8") "," ENTRY("a", "F16", "[4]", "8", "16") "}", "twice" },
        { "{" ENTRY("a", "F16", "[5]", "0", "8") "}", "does not match" },
        { "{" ENTRY("a", "F16", "[4294967296,4294967296]", "0", "8") "}", "makes no sense" },
        { "{" ENTRY("a", "F64", "[2305843009213693952]", "0", "0") "}", "does not match" },
        { "{" ENTRY("a", "F4", "[3]", "0", "2") "}", "does not match" },
        { "{" ENTRY("a", "F16", "[-4]", "0", "8") "}", "makes no sense" },
        { "{" ENTRY("a", "F16", "[4.0]", "0", "8") "}", "makes no sense" },
        { "{" ENTRY("a", "F16", "[4]", "8", "0") "}", "makes no sense" },
        { "{" ENTRY("a", "F16", "[4]", "0", "99999999999999999999") "}", "makes no sense" },
        { "{" ENTRY("a", "F 16", "[4]", "0", "8") "}", "makes no sense" },
        { "{" ENTRY("a", "ABCDEFGHIJKLMNOPQ", "[4]", "0", "8") "}", "makes no sense" },
        { "{" ENTRY("a", "F16", "[4]", "0", "8") "," ENTRY("b", "F16", "[4]", "8", "9007199254740992") "}", "does not match" },
        { "{" ENTRY("a", "NEW", "[4]", "0", "9007199254740992") "}", "the file has" },
        { "{" ENTRY("a", "F16", "[2]", "0", "4") "}", "the file has" },
        { "{\"a\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8,9]}}", "makes no sense" },
        { "{\"a\":{\"dtype\":\"F16\",\"shape\":[4],\"x\":[[[[[[[[]]]]]]]]]}}", "makes no sense" },
    };
    struct model_weights weights;

    (void)state;
    for (size_t i = 0; i < COUNT(headers); i++)
        if (read_safetensors(headers[i].json, 8, &weights) != TENON_ERROR_PROTOCOL ||
            strstr(failure.message, headers[i].message) == NULL || weights.tensors != 0)
            fail_msg("%s: %s", headers[i].json, failure.message);
}

/* A first number that is no length of a header. */
static void test_hostile_length(void **state)
{
    static const uint64_t lengths[] = { 0, 1, 9, 25000001, UINT64_C(1) << 63, UINT64_MAX };
    struct model_weights weights = { 0 };
    size_t need = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct buffer buffer = { NULL, 0 };

        add_number(&buffer, lengths[i], 8);
        add(&buffer, "{}", 2);
        assert_int_equal(
            tn_safetensors_read(&memory, buffer.bytes, buffer.size, (int64_t)buffer.size + 6, &need, &weights, &failure),
            TENON_ERROR_PROTOCOL);
        free(buffer.bytes);
    }
}

/* ---- the index ---- */

static tenon_status read_index(const char *json, const char ***names, size_t *count, struct arena *arena)
{
    tn_arena_init(arena, &memory);
    return tn_index_read(arena, json, strlen(json), names, count, &failure);
}

static void test_index(void **state)
{
    struct arena arena;
    const char **names = NULL;
    size_t count = 0;

    (void)state;
    assert_int_equal(read_index("{\"metadata\":{\"total_size\":12},\"weight_map\":{\"b\":\"model-00002-of-00002.safetensors\","
                                "\"a\":\"model-00001-of-00002.safetensors\",\"c\":\"model-00002-of-00002.safetensors\"}}",
                                &names, &count, &arena),
                     TENON_OK);
    assert_int_equal(count, 2);
    assert_string_equal(names[0], "model-00001-of-00002.safetensors");
    assert_string_equal(names[1], "model-00002-of-00002.safetensors");
    tn_arena_clear(&arena);
}

static void test_hostile_index(void **state)
{
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "{\"weight_map\":{}}",
        "{\"weight_map\":[\"a\"]}",
        "{\"weight_map\":{\"a\":1}}",
        "{\"weight_map\":{\"a\":\"x\"}",
        "{\"weight_map\":{\"a\":\"../../etc/passwd\"}}",
        "{\"weight_map\":{\"a\":\"/etc/passwd\"}}",
        "{\"weight_map\":{\"a\":\"\"}}",
        "{\"weight_map\":{\"a\":\"a\\\\b\"}}",
        "{\"weight_map\":{\"a\":\"\\u002e\\u002e/x\"}}",
        "{\"weight_map\":{\"a\":\"x\xff\"}}",
        "{\"weight_map\":{\"a\":\"CON\"}}",
    };
    struct arena arena;
    const char **names = NULL;
    size_t count = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (read_index(texts[i], &names, &count, &arena) != TENON_ERROR_PROTOCOL)
            fail_msg("%s", texts[i]);
        tn_arena_clear(&arena);
    }
    assert_int_equal(count, 0);
}

/* ---- GGUF ---- */

static void add_text(struct buffer *buffer, const char *text)
{
    add_number(buffer, strlen(text), 8);
    add(buffer, text, strlen(text));
}

static void add_pair(struct buffer *buffer, const char *key, uint32_t type)
{
    add_text(buffer, key);
    add_number(buffer, type, 4);
}

static void add_u32(struct buffer *buffer, const char *key, uint32_t value)
{
    add_pair(buffer, key, 4);
    add_number(buffer, value, 4);
}

static void add_tensor(struct buffer *buffer, const char *name, uint64_t rows, uint64_t columns, uint32_t type, uint64_t offset)
{
    add_text(buffer, name);
    add_number(buffer, 2, 4);
    add_number(buffer, rows, 8);
    add_number(buffer, columns, 8);
    add_number(buffer, type, 4);
    add_number(buffer, offset, 8);
}

static struct buffer begin(uint32_t version, uint64_t tensors, uint64_t pairs)
{
    struct buffer buffer = { NULL, 0 };

    add(&buffer, "GGUF", 4);
    add_number(&buffer, version, 4);
    add_number(&buffer, tensors, 8);
    add_number(&buffer, pairs, 8);
    return buffer;
}

/* A model with every type of value in its header. */
static struct buffer write_gguf(uint32_t version)
{
    static const size_t sizes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    struct buffer buffer = begin(version, 3, 24);

    add_u32(&buffer, "llama.block_count", 22);
    for (uint32_t type = 0; type < COUNT(sizes); type++) {
        add_pair(&buffer, "other.value", type);
        if (type == 8)
            add_text(&buffer, "text");
        else if (type == 9) {
            add_number(&buffer, 6, 4);
            add_number(&buffer, 3, 8);
            add(&buffer, "123456789012", 12);
        } else
            add(&buffer, "12345678", sizes[type]);
    }
    add_pair(&buffer, "general.architecture", 8);
    add_text(&buffer, "llama");
    add_u32(&buffer, "llama.embedding_length", 2048);
    add_u32(&buffer, "llama.feed_forward_length", 5632);
    add_u32(&buffer, "llama.attention.head_count", 32);
    add_u32(&buffer, "llama.attention.head_count_kv", 4);
    add_u32(&buffer, "llama.context_length", 2048);
    add_pair(&buffer, "llama.attention.key_length", 11);
    add_number(&buffer, 64, 8);
    add_u32(&buffer, "other.block_count", 99);
    add_pair(&buffer, "tokenizer.ggml.tokens", 9);
    add_number(&buffer, 8, 4);
    add_number(&buffer, 3, 8);
    add_text(&buffer, "<s>");
    add_text(&buffer, "");
    add_text(&buffer, "\xff");
    add_pair(&buffer, "general.alignment", 0);
    add_number(&buffer, 64, 1);
    add_tensor(&buffer, "a", 256, 3, 12, 0);         /* Q4_K: 3 blocks of 144 bytes */
    add_tensor(&buffer, "b", 10, 10, 1, 448);        /* F16: 200 bytes, behind padding to 64 */
    add_tensor(&buffer, "c", 32, 1, 77, 704);        /* a type of tomorrow */
    return buffer;
}

static void test_gguf(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        struct buffer buffer = write_gguf(version);
        struct model_weights weights = { 0 };
        struct model_shape shape;
        int64_t file_bytes = (int64_t)(buffer.size + 63) / 64 * 64 + 704 + 40;

        tn_shape_init(&shape);
        if (tn_gguf_read(buffer.bytes, buffer.size, file_bytes, &shape, &weights, &failure) != TENON_OK)
            fail_msg("%s", failure.message);
        assert_string_equal(shape.family, "llama");
        assert_int_equal(shape.layers, 22);
        assert_int_equal(shape.hidden, 2048);
        assert_int_equal(shape.heads, 32);
        assert_int_equal(shape.kv_heads, 4);
        assert_int_equal(shape.head_dim, 64);
        assert_int_equal(shape.vocab, 3);
        assert_int_equal(shape.context, 2048);
        assert_int_equal(shape.kv_full, 22 * 4 * 128);
        assert_int_equal(shape.kv_window, 0);
        assert_int_equal(weights.tensors, 3);
        assert_int_equal(weights.elements, 768 + 100 + 32);
        assert_int_equal(weights.bytes, 432 + 200 + 40);
        for (size_t size = 0; size < buffer.size; size++)
            assert_int_equal(tn_gguf_read(buffer.bytes, size, file_bytes, &shape, &weights, &failure), TENON_AGAIN);
        assert_int_equal(weights.tensors, 3);
        /* How large a tensor of that type is, only the size of the file tells. */
        assert_int_equal(tn_gguf_read(buffer.bytes, buffer.size, -1, &shape, &weights, &failure), TENON_ERROR_PROTOCOL);
        assert_int_equal(tn_gguf_read(buffer.bytes, buffer.size, file_bytes - 60, &shape, &weights, &failure),
                         TENON_ERROR_PROTOCOL);
        free(buffer.bytes);
    }
}

/* Layers may differ in their KV heads, and some have a window. */
static void test_gguf_layers(void **state)
{
    struct buffer buffer = begin(3, 0, 7);
    struct model_weights weights = { 0 };
    struct model_shape shape;

    (void)state;
    add_pair(&buffer, "general.architecture", 8);
    add_text(&buffer, "gemma3");
    add_u32(&buffer, "gemma3.block_count", 12);
    add_u32(&buffer, "gemma3.attention.head_count", 8);
    add_u32(&buffer, "gemma3.attention.key_length", 16);
    add_u32(&buffer, "gemma3.attention.value_length", 32);
    add_u32(&buffer, "gemma3.attention.sliding_window", 512);
    add_pair(&buffer, "gemma3.attention.head_count_kv", 9);
    add_number(&buffer, 5, 4);
    add_number(&buffer, 12, 8);
    for (int i = 0; i < 12; i++)
        add_number(&buffer, i < 6 ? 2 : 0, 4);
    assert_int_equal(tn_gguf_read(buffer.bytes, buffer.size, -1, &shape, &weights, &failure), TENON_OK);
    assert_int_equal(shape.kv_full + shape.kv_window, 12 * 48);
    assert_int_equal(shape.kv_full, 2 * 48);
    assert_int_equal(shape.window, 512);
    free(buffer.bytes);
}

static void refuse_gguf(struct buffer buffer, int64_t file_bytes, const char *message)
{
    struct model_weights weights = { 0 };
    struct model_shape shape;
    tenon_status status = tn_gguf_read(buffer.bytes, buffer.size, file_bytes, &shape, &weights, &failure);

    if (status != TENON_ERROR_PROTOCOL || strstr(failure.message, message) == NULL || weights.tensors != 0)
        fail_msg("%s: %s, %s", message, tenon_status_name(status), failure.message != NULL ? failure.message : "");
    free(buffer.bytes);
}

static struct buffer with_tensor(uint64_t rows, uint64_t columns, uint32_t type, uint64_t offset)
{
    struct buffer buffer = begin(3, 1, 0);

    add_tensor(&buffer, "a", rows, columns, type, offset);
    return buffer;
}

static struct buffer with_alignment(uint32_t alignment)
{
    struct buffer buffer = begin(3, 0, 1);

    add_u32(&buffer, "general.alignment", alignment);
    return buffer;
}

static struct buffer with_array(uint32_t type, uint64_t count)
{
    struct buffer buffer = begin(3, 0, 1);

    add_pair(&buffer, "a", 9);
    add_number(&buffer, type, 4);
    add_number(&buffer, count, 8);
    return buffer;
}

static void test_hostile_gguf(void **state)
{
    struct buffer buffer = { NULL, 0 };

    (void)state;
    add(&buffer, "GGML12345678901234567890", 24);
    refuse_gguf(buffer, -1, "does not begin with GGUF");
    refuse_gguf(begin(1, 0, 0), -1, "version");
    refuse_gguf(begin(4, 0, 0), -1, "version");
    refuse_gguf(begin(0x03000000, 0, 0), -1, "version");
    refuse_gguf(begin(3, UINT64_MAX, 0), -1, "too many");
    refuse_gguf(begin(3, 0, UINT64_C(1) << 40), -1, "too many");
    refuse_gguf(with_tensor(UINT64_MAX, 1, 0, 0), -1, "too large");
    refuse_gguf(with_tensor(UINT64_C(1) << 32, UINT64_C(1) << 32, 0, 0), -1, "too large");
    refuse_gguf(with_tensor(INT64_MAX / 2, 1, 28, 0), -1, "shape that its type cannot have");
    refuse_gguf(with_tensor(100, 1, 12, 0), -1, "shape that its type cannot have");
    refuse_gguf(with_tensor(4, 4, 0, 32), -1, "overlap");
    refuse_gguf(with_tensor(4, 4, 0, UINT64_MAX), -1, "beyond the end");
    refuse_gguf(with_tensor(4, 4, 0, 0), 100, "beyond the end");
    refuse_gguf(with_alignment(0), -1, "alignment");
    refuse_gguf(with_alignment(48), -1, "alignment");
    refuse_gguf(with_alignment(UINT32_MAX), -1, "alignment");
    refuse_gguf(with_array(13, 1), -1, "type that GGUF does not have");
    refuse_gguf(with_array(9, 1), -1, "type that GGUF does not have");
    refuse_gguf(with_array(8, UINT64_MAX), -1, "too long");
    buffer = begin(3, 0, 1);
    add_number(&buffer, UINT64_MAX, 8);
    refuse_gguf(buffer, -1, "too long");
    buffer = begin(3, 0, 2);
    add_pair(&buffer, "general.architecture", 8);
    add_text(&buffer, "llama");
    add_u32(&buffer, "llama.block_count", UINT32_MAX);
    refuse_gguf(buffer, -1, "size that no model has");
    buffer = begin(3, 0, 3);
    add_pair(&buffer, "general.architecture", 8);
    add_text(&buffer, "llama");
    add_u32(&buffer, "llama.block_count", 1);
    add_u32(&buffer, "llama.block_count", 1);
    refuse_gguf(buffer, -1, "twice");
    buffer = begin(3, 0, 1);
    add_pair(&buffer, "general.architecture", 8);
    add_text(&buffer, "a name that is far too long to be the name of any architecture");
    refuse_gguf(buffer, -1, "architecture");
    buffer = begin(3, 2, 0);
    add_tensor(&buffer, "a", 4, 4, 0, 0);
    add_tensor(&buffer, "b", 4, 4, 0, 32);
    refuse_gguf(buffer, -1, "overlap");
    buffer = begin(3, 1, 0);
    add_text(&buffer, "a");
    add_number(&buffer, 5, 4);
    refuse_gguf(buffer, -1, "dimensions");
}

/* Every byte of a good header changed to something else: whatever comes out, it comes out. */
static void test_damaged(void **state)
{
    static const unsigned char values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
    struct buffer buffer = write_gguf(3);

    (void)state;
    for (size_t i = 0; i < buffer.size; i++)
        for (size_t j = 0; j < COUNT(values); j++) {
            char before = buffer.bytes[i];
            struct model_weights weights = { 0 };
            struct model_shape shape;
            tenon_status status;

            buffer.bytes[i] = (char)values[j];
            status = tn_gguf_read(buffer.bytes, buffer.size, 10000, &shape, &weights, &failure);
            assert_true(status == TENON_OK || status == TENON_AGAIN || status == TENON_ERROR_PROTOCOL);
            buffer.bytes[i] = before;
        }
    free(buffer.bytes);
}

/* ---- numbers and the scanner ---- */

static void test_numbers(void **state)
{
    static const struct {
        int64_t bytes;
        const char *text;
    } sizes[] = { { 0, "0 bytes" },
                  { 1023, "1023 bytes" },
                  { 1024, "1.0 KiB" },
                  { 16965120819, "15.8 GiB" },
                  { 85899345920, "80.0 GiB" },
                  { 1073741823, "1024.0 MiB" },
                  { INT64_MAX, "8.0 EiB" } };
    char text[TN_HUMAN];

    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++)
        assert_string_equal(tn_human(text, sizes[i].bytes), sizes[i].text);
    assert_int_equal(tn_times(INT64_MAX, 2), INT64_MAX);
    assert_int_equal(tn_plus(INT64_MAX, 1), INT64_MAX);
    assert_int_equal(tn_share(7, 2), 4);
    assert_int_equal(tn_share(8, 2), 4);
}

static void test_skipping(void **state)
{
    static const char *const good[] = {
        "1", "-1.5e3", "true", "null", "\"\\\"\"", "[]", "{}", "[1,[2,{\"a\":[]}],3]", "{\"a\":{\"b\":[1,2]},\"c\":null}"
    };
    static const char *const bad[] = { "",      "}",    "]",       "[",           "{",        "[1", "{\"a\":",
                                       "\"",    "\"\\", "\"\\x\"", "\"\\u12G4\"", "\"\xff\"", "[}", "{]",
                                       "[1,2}", ",",    ":",       "\x01",        "[\"\n\"]" };
    struct scan scan;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        scan = tn_scan(good[i], strlen(good[i]));
        if (!tn_scan_skip(&scan) || !tn_scan_done(&scan))
            fail_msg("%s", good[i]);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        scan = tn_scan(bad[i], strlen(bad[i]));
        if (tn_scan_skip(&scan) && tn_scan_done(&scan))
            fail_msg("%s", bad[i]);
    }
}

static tenon_status parse_all(struct test_memory *counts)
{
    static const char json[] = "{" ENTRY("a", "F16", "[4]", "0", "8") "," ENTRY("b", "F16", "[4]", "8", "16") "}";
    static const char map[] = "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"y.safetensors\"}}";
    struct memory counting = test_memory(counts);
    struct model_weights weights = { 0 };
    struct buffer buffer = { NULL, 0 };
    const char **names = NULL;
    struct failure found;
    struct arena arena;
    size_t count = 0, need = 0;
    tenon_status status;

    tn_failure_init(&found, &counting, NULL);
    tn_arena_init(&arena, &counting);
    add_number(&buffer, strlen(json), 8);
    add(&buffer, json, strlen(json));
    status = tn_safetensors_read(&counting, buffer.bytes, buffer.size, -1, &need, &weights, &found);
    if (status == TENON_OK)
        status = tn_index_read(&arena, map, strlen(map), &names, &count, &found);
    tn_arena_clear(&arena);
    tn_failure_clear(&found);
    free(buffer.bytes);
    return status;
}

static void test_no_memory(void **state)
{
    (void)state;
    test_every_failure(parse_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_published, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_windows, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_other_spellings, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_hostile_config, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_safetensors, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_hostile_safetensors, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_hostile_length, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_index, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_hostile_index, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_gguf, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_gguf_layers, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_hostile_gguf, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_damaged, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_numbers, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_skipping, memory_set_up, memory_tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, memory_set_up, memory_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
