/* Fitting and planning as programs call them: models on this machine and in a file: hub, on a machine made of files. */
#define _GNU_SOURCE
#include "support.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "loading.h"

static char *folder;
static char *root_setting, *hub_setting, *cache_setting;
static struct memory memory;
static struct failure failure;
static tenon_context *context;
static tenon_accelerator *cpu;

static void put(const char *name, const void *bytes, size_t size, int64_t grow)
{
    char *path = test_join(folder, name);
    FILE *file;

    assert_int_equal(tn_folder_make_above(path, &failure), TENON_OK);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    /* What headers speak of need not be written: the file only has its size. */
    assert_int_equal(truncate(path, (int64_t)size + grow), 0);
    free(path);
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text), 0);
}

static char *setting(const char *format)
{
    char *text = NULL;

    assert_true(asprintf(&text, format, folder) > 0);
    return text;
}

static tenon_status open_context(struct test_memory *counts, tenon_context **out)
{
    const char *settings[] = { root_setting, hub_setting, cache_setting, NULL };

    return test_try_open(&(struct test_hooks){ .memory = counts, .settings = settings }, out);
}

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    tn_failure_init(&failure, &memory, NULL);
    folder = test_folder_make();
    root_setting = setting("accelerator.root=%s/root");
    hub_setting = setting("hub.endpoint=file://%s/hub");
    cache_setting = setting("hub.cache=%s/cache");
    put_text("root/proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n");
    put_text("root/proc/cpuinfo", "processor : 0\nmodel name : Test\n");
    put_text("hub/.keep", "");
    assert_int_equal(open_context(NULL, &context), TENON_OK);
    assert_int_equal(tenon_accelerator_open(context, "local:cpu", &cpu), TENON_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tenon_accelerator_free(cpu);
    tenon_context_free(context);
    tn_failure_clear(&failure);
    free(root_setting);
    free(hub_setting);
    free(cache_setting);
    test_folder_remove(folder);
    return 0;
}

/* ---- models ---- */

static const char config[] =
    "{\"model_type\":\"llama\",\"num_hidden_layers\":2,\"hidden_size\":64,\"intermediate_size\":172,\"num_attention_heads\":4,"
    "\"num_key_value_heads\":2,\"vocab_size\":259,\"max_position_embeddings\":512,\"tie_word_embeddings\":true}";

/* One tensor of so many 16-bit elements. */
static void put_safetensors(const char *name, const char *tensor, int64_t elements)
{
    char bytes[512] = "";
    int length = snprintf(bytes + 8, sizeof bytes - 8, "{\"%s\":{\"dtype\":\"BF16\",\"shape\":[%lld],\"data_offsets\":[0,%lld]}}",
                          tensor, (long long)elements, (long long)(2 * elements));

    bytes[0] = (char)length;
    bytes[1] = (char)(length >> 8);
    put(name, bytes, 8 + (size_t)length, 2 * elements);
}

static void put_tiny(const char *name)
{
    char path[256];

    snprintf(path, sizeof path, "%s/config.json", name);
    put_text(path, config);
    snprintf(path, sizeof path, "%s/model.safetensors", name);
    put_safetensors(path, "w", 50000);
}

struct builder {
    char *bytes;
    size_t size, room;
};

static void append(struct builder *builder, const void *more, size_t length)
{
    while (builder->size + length > builder->room) {
        builder->room = 2 * builder->room + 4096;
        builder->bytes = realloc(builder->bytes, builder->room);
        assert_non_null(builder->bytes);
    }
    memcpy(builder->bytes + builder->size, more, length);
    builder->size += length;
}

static void append_text(struct builder *builder, const char *text)
{
    uint64_t length = strlen(text);

    append(builder, &length, 8);
    append(builder, text, length);
}

static void append_number(struct builder *builder, const char *key, uint32_t value)
{
    const uint32_t pair[2] = { 4, value };

    append_text(builder, key);
    append(builder, pair, 8);
}

/* The keys of a Llama of 22 layers, 9 of them, and a tokenizer of so many tokens. */
static void append_structure(struct builder *builder, uint64_t tokens)
{
    const uint32_t array[2] = { 9, 8 }, text = 8;

    append_text(builder, "general.architecture");
    append(builder, &text, 4);
    append_text(builder, "llama");
    append_number(builder, "llama.block_count", 22);
    append_number(builder, "llama.embedding_length", 2048);
    append_number(builder, "llama.feed_forward_length", 5632);
    append_number(builder, "llama.attention.head_count", 32);
    append_number(builder, "llama.attention.head_count_kv", 4);
    append_number(builder, "llama.context_length", 2048);
    append_number(builder, "llama.vocab_size", 32000);
    append_text(builder, "tokenizer.ggml.tokens");
    append(builder, array, 8);
    append(builder, &tokens, 8);
    for (uint64_t i = 0; i < tokens; i++)
        append_text(builder, "a token of some length, to make the header long");
}

/* A GGUF file with one Q8_0 tensor of so many blocks. */
static void put_gguf(const char *name, uint64_t tokens, uint64_t blocks, bool structure)
{
    const uint64_t counts[2] = { 1, structure ? 9 : 0 }, rows = 32 * blocks, offset = 0;
    const uint32_t start[2] = { 0x46554747, 3 }, one = 1, q8_0 = 8;
    struct builder builder = { NULL, 0, 0 };
    int64_t padding, data = (int64_t)(34 * blocks + 31) / 32 * 32;

    append(&builder, start, 8);
    append(&builder, counts, 16);
    if (structure)
        append_structure(&builder, tokens);
    append_text(&builder, "w");
    append(&builder, &one, 4);
    append(&builder, &rows, 8);
    append(&builder, &q8_0, 4);
    append(&builder, &offset, 8);
    padding = (int64_t)((32 - builder.size % 32) % 32);
    put(name, builder.bytes, builder.size, padding + data);
    free(builder.bytes);
}

/* ---- asking ---- */

static char *here(const char *name)
{
    return test_join(folder, name);
}

/* Fits the model at a path below the test's folder; the facts as JSON. */
static json_t *fit(const char *model, const tenon_plan_options *options)
{
    tenon_error error = { .struct_size = sizeof error };
    tenon_task *task = NULL;
    const char *text = NULL;
    json_t *json;

    assert_int_equal(tenon_accelerator_fit(cpu, model, options, &task), TENON_OK);
    if (tenon_task_wait(task, -1) != TENON_OK) {
        tenon_task_error(task, &error);
        fail_msg("%s: %s %s", model, error.message, error.hint);
    }
    assert_int_equal(tenon_task_json(task, &text), TENON_OK);
    json = json_loads(text, 0, NULL);
    assert_non_null(json);
    tenon_task_free(task);
    return json;
}

static json_t *fit_here(const char *name, const tenon_plan_options *options)
{
    char *path = here(name);
    json_t *json = fit(path, options);

    free(path);
    return json;
}

static void expect(const json_t *json, const char *key, int64_t value)
{
    if (json_integer_value(json_object_get(json, key)) != value)
        fail_msg("%s is %lld and not %lld", key, (long long)json_integer_value(json_object_get(json, key)), (long long)value);
}

static void expect_word(const json_t *json, const char *key, const char *value)
{
    const char *found = json_string_value(json_object_get(json, key));

    if (found == NULL || strcmp(found, value) != 0)
        fail_msg("%s is %s and not %s", key, found, value);
}

/* Fails with that status, and says so with those words. */
static void refuse(const char *model, const tenon_plan_options *options, tenon_status status, const char *words)
{
    tenon_error error = { .struct_size = sizeof error };
    tenon_task *task = NULL;
    tenon_status found = tenon_accelerator_fit(cpu, model, options, &task);

    if (found == TENON_OK) {
        found = tenon_task_wait(task, -1);
        tenon_task_error(task, &error);
    } else
        tenon_context_error(context, &error);
    if (found != status || (strstr(error.message, words) == NULL && strstr(error.hint, words) == NULL))
        fail_msg("%s: %s, %s %s", model, tenon_status_name(found), error.message, error.hint);
    tenon_task_free(task);
}

static void refuse_here(const char *name, tenon_status status, const char *words)
{
    char *path = here(name);

    refuse(path, NULL, status, words);
    free(path);
}

/* ---- kinds of models ---- */

static void test_folder(void **state)
{
    json_t *json;

    (void)state;
    put_tiny("tiny");
    json = fit_here("tiny", NULL);
    expect_word(json, "format", "safetensors");
    expect_word(json, "architecture", "llama");
    expect_word(json, "parameters_source", "headers");
    expect(json, "parameters", 50000);
    expect(json, "weights_bytes", 100000);
    expect(json, "layers", 2);
    expect(json, "kv_heads", 2);
    expect(json, "head_dim", 16);
    expect(json, "context", 512);
    expect(json, "kv_bytes_per_token", 2 * 2 * 2 * 16 * 2);
    expect(json, "hub_calls", 0);
    assert_int_equal(json_array_size(json_object_get(json, "files")), 2);
    json_decref(json);
    json = fit_here("tiny/model.safetensors", NULL);
    expect(json, "layers", 2);
    expect(json, "weights_bytes", 100000);
    json_decref(json);
    /* From config.json alone what can be counted is counted. */
    json = fit_here("tiny/config.json", NULL);
    expect_word(json, "format", "config");
    expect_word(json, "parameters_source", "config.json");
    expect(json, "parameters", 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 172 + 2 * 64) + 64 + 259 * 64);
    json_decref(json);
}

static void test_shards(void **state)
{
    char name[64], index[1024] = "{\"metadata\":{},\"weight_map\":{";
    json_t *json;

    (void)state;
    put_text("large/config.json", config);
    for (int i = 1; i <= 9; i++) {
        char tensor[16];

        snprintf(tensor, sizeof tensor, "w%d", i);
        snprintf(name, sizeof name, "large/model-%05d-of-00009.safetensors", i);
        put_safetensors(name, tensor, 1000 * i);
        snprintf(index + strlen(index), sizeof index - strlen(index), "%s\"%s\":\"%s\"", i > 1 ? "," : "", tensor, name + 6);
    }
    strcat(index, "}}");
    put_text("large/model.safetensors.index.json", index);
    json = fit_here("large", NULL);
    expect(json, "parameters", 45000);
    expect(json, "weights_bytes", 90000);
    expect(json, "tensors", 9);
    assert_int_equal(json_array_size(json_object_get(json, "files")), 11);
    json_decref(json);
    /* One of the shards is gone. */
    snprintf(name, sizeof name, "large/model-00005-of-00009.safetensors");
    {
        char *path = here(name);

        assert_int_equal(unlink(path), 0);
        free(path);
    }
    refuse_here("large", TENON_ERROR_NOT_FOUND, "model-00005-of-00009");
    put_text("large/model-00005-of-00009.safetensors", "not what it should be");
    refuse_here("large", TENON_ERROR_PROTOCOL, "model-00005-of-00009.safetensors: ");
}

static void test_gguf(void **state)
{
    json_t *json;

    (void)state;
    put_gguf("one.gguf", 100, 1000, true);
    json = fit_here("one.gguf", NULL);
    expect_word(json, "format", "gguf");
    expect(json, "weights_bytes", 34000);
    expect(json, "parameters", 32000);
    expect(json, "layers", 22);
    expect(json, "kv_bytes_per_token", 22 * 4 * 128 * 2);
    json_decref(json);
    /* A tokenizer of several megabytes: the header is read piece by piece. */
    put_gguf("long.gguf", 60000, 1000, true);
    json = fit_here("long.gguf", NULL);
    expect(json, "weights_bytes", 34000);
    assert_true(json_integer_value(json_object_get(json, "bytes_read")) <= 4 << 20);
    json_decref(json);
}

static void test_which_gguf(void **state)
{
    tenon_plan_options options = { .struct_size = sizeof options };
    json_t *json;

    (void)state;
    put_gguf("many/m-BF16.gguf", 1, 1, true);
    put_gguf("many/m-Q8_0.gguf", 1, 2, true);
    put_gguf("many/mmproj-Q4_K_M.gguf", 1, 3, true);
    json = fit_here("many", NULL);
    expect(json, "weights_bytes", 68);
    json_decref(json);
    put_gguf("many/m-q4_k_m.gguf", 1, 4, true);
    json = fit_here("many", NULL);
    expect(json, "weights_bytes", 136);
    json_decref(json);
    options.file = "m-BF16.gguf";
    json = fit_here("many", &options);
    expect(json, "weights_bytes", 34);
    json_decref(json);
    {
        char *path = here("many");

        options.file = "m-Q2_K.gguf";
        refuse(path, &options, TENON_ERROR_NOT_FOUND, "m-Q8_0.gguf");
        options.file = "../one.gguf";
        refuse(path, &options, TENON_ERROR_ARGUMENT, "../one.gguf");
        free(path);
    }
}

static void test_parts_of_gguf(void **state)
{
    json_t *json;

    (void)state;
    put_gguf("parts/m-Q4_K_M-00001-of-00003.gguf", 1, 10, true);
    put_gguf("parts/m-Q4_K_M-00003-of-00003.gguf", 1, 30, false);
    refuse_here("parts", TENON_ERROR_NOT_FOUND, "m-Q4_K_M-00002-of-00003.gguf");
    put_gguf("parts/m-Q4_K_M-00002-of-00003.gguf", 1, 20, false);
    json = fit_here("parts", NULL);
    expect(json, "weights_bytes", 60 * 34);
    expect(json, "layers", 22);
    assert_int_equal(json_array_size(json_object_get(json, "files")), 3);
    json_decref(json);
}

static void test_hub(void **state)
{
    tenon_plan_options options = { .struct_size = sizeof options };
    json_t *json;

    (void)state;
    put_tiny("hub/owner/tiny");
    put_text("hub/owner/tiny/README.md", "# tiny\n");
    put_gguf("hub/owner/ggufs/sub/m-Q8_0.gguf", 60000, 7, true);
    json = fit("owner/tiny", NULL);
    expect(json, "parameters", 50000);
    expect(json, "hub_calls", 3);
    assert_int_equal(strlen(json_string_value(json_object_get(json, "revision"))), 40);
    json_decref(json);
    json = fit("owner/ggufs", NULL);
    expect(json, "weights_bytes", 7 * 34);
    json_decref(json);
    /* A hub of one's own, and a revision. */
    {
        char *location = setting("file://%s/hub");

        assert_int_equal(tenon_hub_open(context, location, NULL, &options.hub), TENON_OK);
        free(location);
    }
    options.revision = "main";
    json = fit("owner/tiny", &options);
    expect(json, "layers", 2);
    json_decref(json);
    options.revision = "no-such-branch";
    refuse("owner/tiny", &options, TENON_ERROR_NOT_FOUND, "no-such-branch");
    tenon_hub_free(options.hub);
}

/* More files than a list keeps waiting at once. */
static void test_many_files(void **state)
{
    json_t *json;

    (void)state;
    for (int i = 0; i < 3000; i++) {
        char name[128];

        snprintf(name, sizeof name, "hub/owner/many/a-rather-long-folder-name-to-fill-the-rows/%05d/model-IQ1_S.gguf", i);
        put_text(name, "");
    }
    put_gguf("hub/owner/many/m-Q8_0.gguf", 1, 3, true);
    json = fit("owner/many", NULL);
    expect(json, "weights_bytes", 3 * 34);
    json_decref(json);
}

static void test_bad_models(void **state)
{
    (void)state;
    put_text("empty/notes.txt", "nothing here");
    put_text("strange/config.json", "{\"model_type\":\"strange\",\"num_hidden_layers\":2}");
    put_text("broken/config.json", "{\"model_type\":");
    put_text("cut/model.safetensors", "\x40\0\0\0\0\0\0\0{\"a\":");
    put("short.gguf", "GGUF\3\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, 0);
    put_text("notes.txt", "nothing");
    refuse(NULL, NULL, TENON_ERROR_ARGUMENT, "no model");
    refuse("", NULL, TENON_ERROR_ARGUMENT, "no model");
    refuse("/no/such/folder", NULL, TENON_ERROR_NOT_FOUND, "/no/such/folder");
    refuse("./no-such-folder", NULL, TENON_ERROR_NOT_FOUND, "no-such-folder");
    refuse("owner/no-such-model", NULL, TENON_ERROR_NOT_FOUND, "no-such-model");
    refuse("not a name", NULL, TENON_ERROR_ARGUMENT, "not a name");
    refuse("/dev/null", NULL, TENON_ERROR_NOT_FOUND, "neither a file nor a folder");
    refuse_here("empty", TENON_ERROR_NOT_FOUND, "config.json");
    refuse_here("notes.txt", TENON_ERROR_NOT_FOUND, ".gguf file");
    refuse_here("strange", TENON_ERROR_NOT_FOUND, "strange");
    refuse_here("broken", TENON_ERROR_PROTOCOL, "config.json");
    refuse_here("cut", TENON_ERROR_PROTOCOL, "model.safetensors");
    refuse_here("short.gguf", TENON_ERROR_PROTOCOL, "ends within its header");
}

static void test_bad_options(void **state)
{
    tenon_plan_options options = { .struct_size = sizeof options, .purpose = 7 };

    (void)state;
    put_tiny("tiny");
    refuse("owner/tiny", &options, TENON_ERROR_ARGUMENT, "purpose");
    options = (tenon_plan_options){ .struct_size = sizeof options, .context_tokens = -1 };
    refuse("owner/tiny", &options, TENON_ERROR_ARGUMENT, "negative");
    options = (tenon_plan_options){ .struct_size = 0 };
    refuse("owner/tiny", &options, TENON_ERROR_ARGUMENT, "struct_size");
    assert_int_equal(tenon_accelerator_fit(NULL, "owner/tiny", NULL, NULL), TENON_ERROR_MISUSE);
    assert_int_equal(tenon_accelerator_plan(NULL, "owner/tiny", NULL, NULL), TENON_ERROR_MISUSE);
}

/* ---- rows ---- */

static void test_rows(void **state)
{
    static const char *const items[] = { "weights", "kv_cache", "activations", "runtime", "total" };
    tenon_memory row = { .struct_size = sizeof row };
    const char *text = NULL;
    tenon_task *task = NULL;
    int64_t low = 0, high = 0;
    char *path = here("tiny");

    (void)state;
    put_tiny("tiny");
    assert_int_equal(tenon_accelerator_fit(cpu, path, NULL, &task), TENON_OK);
    for (size_t i = 0; i < COUNT(items); i++) {
        assert_int_equal(tenon_task_next_memory(task, -1, &row), TENON_OK);
        assert_string_equal(row.item, items[i]);
        assert_true(row.formula[0] != '\0' && row.low_bytes <= row.high_bytes);
        if (i + 1 < COUNT(items)) {
            assert_true(row.source[0] != '\0');
            low += row.low_bytes;
            high += row.high_bytes;
        }
    }
    assert_int_equal(row.low_bytes, low);
    assert_int_equal(row.high_bytes, high);
    assert_int_equal(tenon_task_next_memory(task, -1, &row), TENON_DONE);
    assert_int_equal(tenon_task_text(task, &text), TENON_OK);
    assert_non_null(strstr(text, "It fits local:cpu: "));
    assert_non_null(strstr(text, " of 8.0 GiB."));
    tenon_task_free(task);
    free(path);
}

static void test_does_not_fit(void **state)
{
    tenon_memory row = { .struct_size = sizeof row };
    tenon_error error = { .struct_size = sizeof error };
    tenon_task *task = NULL;
    char *path = here("huge");
    int rows = 0;

    (void)state;
    put_text("huge/config.json", config);
    put_safetensors("huge/model.safetensors", "w", INT64_C(8) << 30);
    assert_int_equal(tenon_accelerator_fit(cpu, path, NULL, &task), TENON_OK);
    while (tenon_task_next_memory(task, -1, &row) == TENON_OK)
        rows++;
    assert_int_equal(rows, 5);
    assert_int_equal(tenon_task_state(task), TENON_ERROR_DOES_NOT_FIT);
    assert_int_equal(tenon_task_error(task, &error), TENON_OK);
    assert_non_null(strstr(error.message, "It does not fit local:cpu: it needs 16."));
    assert_string_equal(error.hint, "Weights in 4-bit would fit.");
    tenon_task_free(task);
    assert_int_equal(tenon_accelerator_fit(cpu, path, NULL, NULL), TENON_ERROR_DOES_NOT_FIT);
    /* To a plan that is no failure. */
    assert_int_equal(tenon_accelerator_plan(context, path, NULL, NULL), TENON_OK);
    free(path);
}

static void test_plan(void **state)
{
    tenon_plan_options options = {
        .struct_size = sizeof options, .purpose = TENON_PURPOSE_LORA, .context_tokens = 64, .sequences = 2, .lora_rank = 4
    };
    tenon_offer offer = { .struct_size = sizeof offer };
    tenon_reason reason = { .struct_size = sizeof reason };
    tenon_memory row = { .struct_size = sizeof row };
    const char *name = NULL;
    tenon_task *task = NULL;
    uint32_t count = 0;

    (void)state;
    put_tiny("hub/owner/tiny");
    put_text("root/sys/bus/pci/devices/0000:00:04.0/vendor", "0x1ae0\n");
    put_text("root/sys/bus/pci/devices/0000:00:04.0/device", "0x0063\n");
    assert_int_equal(tenon_accelerator_plan(context, "owner/tiny", &options, &task), TENON_OK);
    assert_int_equal(tenon_task_next_offer(task, -1, &offer), TENON_OK);
    assert_string_equal(offer.accelerator, "local:tpu");
    assert_int_equal(offer.verdict, TENON_VERDICT_FITS);
    assert_int_equal(offer.chips, 1);
    assert_int_equal(offer.hour_usd_micros, 0);
    assert_int_equal(offer.most_tokens, -1);
    assert_int_equal(tenon_task_offer_reason(task, 0, &reason), TENON_OK);
    assert_string_equal(reason.code, "memory");
    assert_int_equal(tenon_task_offer_reason(task, 99, &reason), TENON_DONE);
    while (tenon_task_offer_memory(task, count, &row) == TENON_OK)
        count++;
    assert_int_equal(count, 5);
    assert_string_equal(row.item, "total");
    assert_int_equal(row.high_bytes, offer.need_bytes);
    assert_int_equal(tenon_task_offer_memory(task, 1, &row), TENON_OK);
    assert_string_equal(row.item, "adapters");
    assert_int_equal(row.high_bytes, 16 * 4 * 2 * (2 * 128 + 2 * 96 + 3 * 236));
    assert_int_equal(tenon_task_next_offer(task, -1, &offer), TENON_OK);
    assert_string_equal(offer.accelerator, "local:cpu");
    assert_int_equal(offer.have_bytes, INT64_C(8) << 30);
    assert_int_equal(offer.chips, 0);
    assert_int_equal(tenon_task_next_offer(task, -1, &offer), TENON_DONE);
    assert_int_equal(tenon_task_json(task, &name), TENON_OK);
    assert_non_null(strstr(name, "\"model\":\"owner/tiny\""));
    tenon_task_free(task);
}

/* ---- cancelled, freed, out of memory ---- */

/* Given back after every number of turns that it can take. */
static void test_given_up(void **state)
{
    bool done = false;

    (void)state;
    put_tiny("hub/owner/tiny");
    for (int turns = 0; !done; turns++) {
        tenon_task *task = NULL;

        assert_int_equal(tenon_accelerator_plan(context, "owner/tiny", NULL, &task), TENON_OK);
        for (int i = 0; i < turns; i++)
            tenon_context_step(context, 0);
        done = tenon_task_state(task) != TENON_AGAIN;
        if (turns % 2 == 0)
            tenon_task_cancel(task);
        assert_true(done || turns % 2 != 0 || tenon_task_state(task) == TENON_ERROR_CANCELLED);
        tenon_task_free(task);
        assert_true(turns < 1000);
    }
}

/* No task but the caller's own is ever news. */
static void test_news(void **state)
{
    tenon_task *task = NULL, *news = NULL;

    (void)state;
    put_tiny("hub/owner/tiny");
    assert_int_equal(tenon_accelerator_plan(context, "owner/tiny", NULL, &task), TENON_OK);
    while (tenon_task_state(task) == TENON_AGAIN) {
        tenon_context_step(context, -1);
        if (tenon_context_next_task(context, &news) == TENON_OK)
            assert_ptr_equal(news, task);
    }
    tenon_task_free(task);
}

static const char *model_for_memory;

static tenon_status plan_all(struct test_memory *counts)
{
    tenon_offer offer = { .struct_size = sizeof offer };
    tenon_context *counted = NULL;
    tenon_task *task = NULL;
    tenon_status status = open_context(counts, &counted);

    if (status == TENON_OK)
        status = tenon_accelerator_plan(counted, model_for_memory, NULL, &task);
    while (status == TENON_OK)
        status = tenon_task_next_offer(task, -1, &offer);
    tenon_task_free(task);
    tenon_context_free(counted);
    return status == TENON_DONE ? TENON_OK : status;
}

static void test_no_memory(void **state)
{
    char *path = here("tiny");

    (void)state;
    put_tiny("tiny");
    model_for_memory = path;
    test_every_failure(plan_all);
    free(path);
}

static void test_no_memory_in_hub(void **state)
{
    (void)state;
    put_tiny("hub/owner/tiny");
    model_for_memory = "owner/tiny";
    test_every_failure(plan_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shards, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gguf, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_which_gguf, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_parts_of_gguf, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hub, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_models, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_does_not_fit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_plan, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_news, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory_in_hub, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
