/* Recipes: whatever is accepted is whole, and its names are such that they can be used. */
#include "fuzz.h"

#include <string.h>

#include "contract.h"
#include "path.h"
#include "recipe.h"

static void check_command(const struct recipe *recipe, struct arena *arena, struct failure *failure)
{
    struct environment environment;
    struct text out;

    tn_environment_init(&environment, arena);
    tn_environment_set(&environment, "TENON_MODEL", "/models/a b");
    for (size_t i = 0; i < recipe->environment_count; i++)
        tn_environment_set(&environment, recipe->environment[i].name, recipe->environment[i].value);
    HOLDS(tn_environment_status(&environment) == TENON_OK);
    for (size_t i = 0; recipe->command[i] != NULL; i++) {
        tn_text_init(&out, fuzz_memory(), 64 << 20);
        if (tn_expand(recipe->command[i], &environment, &out, failure) == TENON_OK)
            HOLDS(strchr(recipe->command[i], '$') != NULL || strcmp(recipe->command[i], tn_text(&out)) == 0);
        else
            HOLDS(fuzz_is_clean(failure->message) && fuzz_is_clean(failure->hint));
        tn_text_clear(&out);
    }
}

static void check(const struct recipe *recipe)
{
    HOLDS(recipe->command[0] != NULL && *recipe->command[0] != '\0');
    HOLDS(recipe->port >= -1 && recipe->port <= 65535 && recipe->threads >= 0 && recipe->memory_bytes >= 0 && recipe->time_ms >= 0);
    HOLDS(recipe->health == NULL || *recipe->health == '/');
    for (size_t i = 0; i < recipe->environment_count; i++)
        HOLDS(tn_is_variable(recipe->environment[i].name, strlen(recipe->environment[i].name)));
    for (size_t i = 0; i < recipe->input_count; i++)
        HOLDS(*recipe->inputs[i].name != '\0' && strchr(recipe->inputs[i].name, '/') == NULL);
    for (size_t i = 0; recipe->outputs != NULL && recipe->outputs[i] != NULL; i++)
        HOLDS(tn_path_is_safe(recipe->outputs[i], NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct recipe recipe;
    struct arena arena;
    struct failure failure;
    tenon_status status;

    tn_arena_init(&arena, fuzz_memory());
    tn_failure_init(&failure, fuzz_memory(), NULL);
    status = tn_recipe_read(&recipe, &arena, (const char *)bytes, size, "the recipe", &failure);
    if (status == TENON_OK) {
        check(&recipe);
        check_command(&recipe, &arena, &failure);
    } else
        HOLDS(status == TENON_ERROR_ARGUMENT && fuzz_is_clean(failure.message) && fuzz_is_clean(failure.hint));
    tn_failure_clear(&failure);
    tn_arena_clear(&arena);
    return 0;
}
