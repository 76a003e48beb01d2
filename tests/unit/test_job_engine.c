#include "support.h"

#include <string.h>

#include "engine.h"

static struct memory memory;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    return 0;
}

static void a_file_has_its_engine(void **state)
{
    static const struct {
        const char *path, *program; /* NULL: none */
    } rows[] = {
        { "model.gguf", "llama-server" }, { "q4/a-00001-of-00002.gguf", "llama-server" }, { "model.safetensors", "vllm" },
        { "model-00002-of-00005.safetensors", "vllm" }, { "model.safetensors.index.json", NULL }, { "pytorch_model.bin", NULL },
        { "gguf", NULL }, { "model.gguf.part", NULL }, { "README.md", NULL }, { "", NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct serving_engine *engine = tn_engine_for(rows[i].path);

        if (rows[i].program == NULL)
            assert_null(engine);
        else
            assert_string_equal(engine->program, rows[i].program);
    }
}

static bool has_words(const char *const *command, const char *first, const char *second)
{
    bool found = false;

    for (; command[0] != NULL && command[1] != NULL && !found; command++)
        found = strcmp(command[0], first) == 0 && (second == NULL || strcmp(command[1], second) == 0);
    return found;
}

static void engines_are_whole(void **state)
{
    static const char *const suffixes[] = { ".gguf", ".safetensors" };

    (void)state;
    for (size_t i = 0; i < COUNT(suffixes); i++) {
        const struct serving_engine *engine = tn_engine_for(suffixes[i]);
        bool in_patterns = false, in_allow = engine->allow == NULL;

        assert_string_equal(engine->command[0], engine->program);
        assert_true(has_words(engine->command, "--host", "$(TENON_HOST)"));
        assert_true(has_words(engine->command, "--port", "$(TENON_PORT)"));
        assert_true(has_words(engine->command, strcmp(engine->program, "vllm") == 0 ? "serve" : "--model", "$(TENON_MODEL)"));
        assert_true(has_words(engine->command, strcmp(engine->program, "vllm") == 0 ? "--served-model-name" : "--alias", "$(TENON_MODEL_ID)"));
        assert_string_equal(engine->health, "/health");
        assert_int_equal(engine->one_file, engine->allow == NULL);
        for (const char *const *pattern = tn_engine_patterns(); *pattern != NULL; pattern++)
            in_patterns = in_patterns || tn_ends_with(*pattern, suffixes[i]);
        for (const char *const *pattern = engine->allow; pattern != NULL && *pattern != NULL; pattern++)
            in_allow = in_allow || tn_ends_with(*pattern, suffixes[i]);
        assert_true(in_patterns && in_allow);
    }
    assert_string_equal(tn_engine_for(".gguf")->key_variable, "LLAMA_API_KEY");
    assert_string_equal(tn_engine_for(".safetensors")->key_variable, "VLLM_API_KEY");
}

/* llama-server is told the context of all sequences together, vLLM that of each. */
static void a_command_says_how_much_context(void **state)
{
    static const struct {
        const char *file;
        int64_t context_tokens, sequences;
        const char *context_option, *context, *sequences_option, *count; /* NULL: not said */
    } rows[] = {
        { "m.gguf", 0, 0, "--ctx-size", NULL, "--parallel", NULL },
        { "m.gguf", 4096, 0, "--ctx-size", "4096", "--parallel", NULL },
        { "m.gguf", 0, 3, "--ctx-size", NULL, "--parallel", "3" },
        { "m.gguf", 4096, 3, "--ctx-size", "12288", "--parallel", "3" },
        { "m.safetensors", 0, 0, "--max-model-len", NULL, "--max-num-seqs", NULL },
        { "m.safetensors", 4096, 3, "--max-model-len", "4096", "--max-num-seqs", "3" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct serving_engine *engine = tn_engine_for(rows[i].file);
        const char *const *command;
        struct arena arena;

        tn_arena_init(&arena, &memory);
        command = tn_engine_command(engine, rows[i].context_tokens, rows[i].sequences, &arena);
        for (size_t word = 0; engine->command[word] != NULL; word++)
            assert_string_equal(command[word], engine->command[word]);
        assert_int_equal(has_words(command, rows[i].context_option, rows[i].context), rows[i].context != NULL);
        assert_int_equal(has_words(command, rows[i].sequences_option, rows[i].count), rows[i].count != NULL);
        tn_arena_clear(&arena);
    }
}

/* The choice does not depend on the order in which the files come. */
static void the_best_file_is_chosen(void **state)
{
    static const struct {
        const char *files[8];
        const char *chosen; /* NULL: none */
    } rows[] = {
        { { "README.md", "config.json" }, NULL },
        { { "model.safetensors", "config.json" }, "model.safetensors" },
        { { "a.gguf", "model.safetensors" }, "a.gguf" },
        { { "b.gguf", "a.gguf" }, "a.gguf" },
        { { "m-Q2_K.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "m-F16.gguf" }, "m-Q4_K_M.gguf" },
        { { "m-Q2_K.gguf", "m-Q8_0.gguf", "m-F16.gguf" }, "m-Q8_0.gguf" },
        { { "m-BF16.gguf", "m-F16.gguf", "m-Q2_K.gguf" }, "m-F16.gguf" },
        { { "m-BF16.gguf", "m-Q2_K.gguf" }, "m-BF16.gguf" },
        /* Some write it in small letters. */
        { { "m-fp16.gguf", "m-q2_k.gguf", "m-q4_k_m.gguf", "m-q8_0.gguf" }, "m-q4_k_m.gguf" },
        { { "mmproj-model-f16.gguf" }, NULL },
        { { "mmproj-Q4_K_M.gguf", "z.gguf" }, "z.gguf" },
        { { "m-Q4_K_M-00002-of-00002.gguf", "m-Q4_K_M-00001-of-00002.gguf", "m-Q8_0.gguf" }, "m-Q4_K_M-00001-of-00002.gguf" },
        { { "m-Q4_K_M-00002-of-00002.gguf" }, NULL },
        { { "q4/m-Q4_K_M.gguf", "m-Q8_0.gguf" }, "q4/m-Q4_K_M.gguf" },
        { { "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors" }, "model-00001-of-00002.safetensors" },
        /* "of" is a word of names, too. */
        { { "state-of-the-art.gguf" }, "state-of-the-art.gguf" },
        { { "state-of-the-art-Q8_0.gguf", "state-of-the-art-Q4_K_M-00001-of-00003.gguf", "state-of-the-art-Q4_K_M-00002-of-00003.gguf" },
          "state-of-the-art-Q4_K_M-00001-of-00003.gguf" },
        { { "best-of-5-00002-of-00002.gguf" }, NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (int backwards = 0; backwards < 2; backwards++) {
            struct engine_choice choice = { 0 };
            size_t count = 0;

            while (count < COUNT(rows[i].files) && rows[i].files[count] != NULL)
                count++;
            for (size_t file = 0; file < count; file++)
                assert_true(tn_engine_offer(&choice, &memory, rows[i].files[backwards ? count - 1 - file : file]));
            assert_int_equal(choice.engine == NULL, rows[i].chosen == NULL);
            if (rows[i].chosen != NULL) {
                assert_string_equal(choice.path, rows[i].chosen);
                assert_ptr_equal(choice.engine, tn_engine_for(rows[i].chosen));
            }
            tn_engine_choice_clear(&choice, &memory);
            tn_engine_choice_clear(&choice, &memory);
        }
}

static void all_parts_have_one_pattern(void **state)
{
    /* In two, or the compiler sees a trigraph. */
    static const struct {
        const char *path, *pattern;
    } rows[] = {
        { "x-00001-of-00003.gguf", "x-?????" "-of-00003.gguf" },
        { "Q8/x-00001-of-00003.gguf", "Q8/x-?????" "-of-00003.gguf" },
        { "x.gguf", "x.gguf" },
        { "a-00001-of-00003/x.gguf", "a-00001-of-00003/x.gguf" },
        { "state-of-the-art-00001-of-00003.gguf", "state-of-the-art-?????" "-of-00003.gguf" },
        { "x-1-of-3.gguf", "x-1-of-3.gguf" },
        { "12345/-of-00003.gguf", "12345/-of-00003.gguf" },
        { "-of-.gguf", "-of-.gguf" },
        { "00001-of-00003.gguf", "?????" "-of-00003.gguf" },
    };
    struct text pattern;

    (void)state;
    tn_text_init(&pattern, &memory, 1000);
    for (size_t i = 0; i < COUNT(rows); i++) {
        tn_text_reset(&pattern);
        tn_engine_parts(rows[i].path, &pattern);
        assert_string_equal(tn_text(&pattern), rows[i].pattern);
    }
    tn_text_clear(&pattern);
}

static tenon_status choose(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    struct engine_choice choice = { 0 };
    bool good = tn_engine_offer(&choice, &failing, "a.safetensors") && tn_engine_offer(&choice, &failing, "b.gguf") &&
                tn_engine_offer(&choice, &failing, "b-Q4_K_M.gguf");

    /* What was chosen before is still there. */
    assert_true(choice.engine == NULL ? choice.path == NULL : choice.path != NULL);
    tn_engine_choice_clear(&choice, &failing);
    return good ? TENON_OK : TENON_ERROR_MEMORY;
}

static void no_memory_is_told(void **state)
{
    (void)state;
    test_every_failure(choose);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_has_its_engine),           cmocka_unit_test(engines_are_whole),
        cmocka_unit_test(a_command_says_how_much_context), cmocka_unit_test(the_best_file_is_chosen),
        cmocka_unit_test(all_parts_have_one_pattern),      cmocka_unit_test(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
