#include "engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "path.h"

static const char *const llama_command[] = {
    "llama-server", "--model", "$(TENON_MODEL)", "--alias", "$(TENON_MODEL_ID)", "--host", "$(TENON_HOST)",
    "--port", "$(TENON_PORT)", "--threads", "$(TENON_THREADS)", NULL,
};

static const char *const vllm_command[] = {
    "vllm", "serve", "$(TENON_MODEL)", "--served-model-name", "$(TENON_MODEL_ID)", "--host", "$(TENON_HOST)",
    "--port", "$(TENON_PORT)", NULL,
};

/* Weights once, in the one format, and everything small beside them. */
static const char *const safetensors_files[] = {
    "*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "*.py", NULL,
};

/* By itself it keeps up to 8 GiB of old conversations beside its slots: no plan would hold, and no limit of memory. */
static const char *const llama_environment[] = { "LLAMA_ARG_CACHE_RAM=0", NULL };
static const char *const vllm_environment[] = { NULL };

static const struct serving_engine engines[] = {
    { "llama-server", "GGUF", ".gguf", true, NULL, llama_command, "--ctx-size", true, "--parallel", llama_environment,
      "LLAMA_API_KEY", "/health" },
    { "vllm", "safetensors", ".safetensors", false, safetensors_files, vllm_command, "--max-model-len", false, "--max-num-seqs",
      vllm_environment, "VLLM_API_KEY", "/health" },
};

enum { ENGINES = sizeof engines / sizeof engines[0] };

const struct serving_engine *tn_engine_for(const char *path)
{
    const struct serving_engine *engine = NULL;

    for (int i = 0; i < ENGINES && engine == NULL; i++)
        if (tn_ends_with(path, engines[i].suffix))
            engine = &engines[i];
    return engine;
}

/* The next two words: an option and its number, where there is one. False without memory. */
static bool put_number(const char **words, size_t *count, const char *option, int64_t number, struct arena *arena)
{
    char text[24];

    if (number <= 0)
        return true;
    snprintf(text, sizeof text, "%" PRId64, number);
    words[(*count)++] = option;
    words[*count] = tn_arena_copy(arena, text);
    return words[(*count)++] != NULL;
}

const char *const *tn_engine_command(const struct serving_engine *engine, int64_t context_tokens, int64_t sequences,
                                     struct arena *arena)
{
    int64_t context = engine->context_of_all && sequences > 0 ? context_tokens * sequences : context_tokens;
    size_t count = 0;
    const char **words;

    while (engine->command[count] != NULL)
        count++;
    words = tn_arena_alloc(arena, (count + 5) * sizeof *words);
    if (words == NULL)
        return NULL;
    memcpy(words, engine->command, count * sizeof *words);
    if (!put_number(words, &count, engine->context_option, context, arena) ||
        !put_number(words, &count, engine->sequences_option, sequences, arena))
        return NULL;
    words[count] = NULL;
    return words;
}

const char *const *tn_engine_patterns(void)
{
    static const char *const patterns[] = { "*.gguf", "*.safetensors", NULL };

    return patterns;
}

/* The five digits of "x-00001-of-00003.gguf" that say which part of a model a file is; NULL where it is a whole one. */
static const char *part_of(const char *path)
{
    static const char digits[] = "0123456789";
    const char *name = tn_path_name(path), *part = NULL;

    for (const char *at = strstr(name, "-of-"); at != NULL; at = strstr(at + 1, "-of-"))
        if (at - name >= 5 && strspn(at - 5, digits) == 5 && strspn(at + 4, digits) == 5)
            part = at - 5;
    return part;
}

/* Whether the word begins somewhere in the name, in large or small letters: there is an F16 in BF16, but it begins nowhere. */
static bool names_word(const char *name, const char *word)
{
    bool found = false, begins = true;

    for (; *name != '\0' && !found; name++) {
        found = begins && strncasecmp(name, word, strlen(word)) == 0;
        begins = strchr("-._ ", *name) != NULL;
    }
    return found;
}

/*
 * Of several files in one repository: the quantization that llama.cpp itself takes by default, then its neighbours, then
 * whatever there is. A projector for images is no model, and the second part of one is not its beginning.
 */
static int rank_of(const char *path)
{
    static const char *const wanted[] = { "Q4_K_M", "Q4_K_S", "Q5_K_M", "Q6_K", "Q8_0", "F16", "BF16" };
    const char *name = tn_path_name(path), *part = part_of(path);
    int rank = 1;

    for (int i = 0; i < (int)(sizeof wanted / sizeof wanted[0]) && rank == 1; i++)
        if (names_word(name, wanted[i]))
            rank = 100 - i;
    if (strstr(name, "mmproj") != NULL || (part != NULL && memcmp(part, "00001", 5) != 0))
        rank = 0;
    return rank;
}

bool tn_engine_offer(struct engine_choice *choice, const struct memory *memory, const char *path)
{
    const struct serving_engine *engine = tn_engine_for(path);
    int rank = engine != NULL && engine->one_file ? rank_of(path) : 1;
    bool better = engine != NULL && rank > 0;
    char *copy;

    if (better && choice->engine != NULL) {
        if (engine != choice->engine)
            better = engine < choice->engine;
        else
            better = rank > choice->rank || (rank == choice->rank && strcmp(path, choice->path) < 0);
    }
    if (!better)
        return true;
    copy = tn_copy(memory, path);
    if (copy == NULL)
        return false;
    tn_release(memory, choice->path);
    choice->engine = engine;
    choice->path = copy;
    choice->rank = rank;
    return true;
}

void tn_engine_choice_clear(struct engine_choice *choice, const struct memory *memory)
{
    tn_release(memory, choice->path);
    memset(choice, 0, sizeof *choice);
}

void tn_engine_parts(const char *path, struct text *pattern)
{
    const char *part = part_of(path);

    if (part != NULL) {
        tn_text_add_n(pattern, path, (size_t)(part - path));
        tn_text_add(pattern, "?????");
        tn_text_add(pattern, part + 5);
    } else
        tn_text_add(pattern, path);
}
