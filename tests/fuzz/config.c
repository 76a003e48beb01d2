/* config.json of a model, and model.safetensors.index.json. */
#include <string.h>

#include "fuzz.h"
#include "path.h"
#include "sizes.h"

static void check_index(const char *bytes, size_t size)
{
    struct arena arena;
    struct failure failure;
    const char **names = NULL;
    size_t count = 0;

    tn_arena_init(&arena, fuzz_memory());
    tn_failure_init(&failure, fuzz_memory(), NULL);
    if (tn_index_read(&arena, bytes, size, &names, &count, &failure) == TENON_OK) {
        HOLDS(count <= SHARDS_MOST);
        for (size_t i = 0; i < count; i++)
            HOLDS(tn_path_is_safe(names[i], NULL) && (i == 0 || strcmp(names[i - 1], names[i]) < 0));
    } else
        HOLDS(fuzz_is_clean(failure.message));
    tn_failure_clear(&failure);
    tn_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct model_facts facts = { .format = MODEL_CONFIG };
    struct failure failure;

    tn_failure_init(&failure, fuzz_memory(), NULL);
    tn_shape_init(&facts.shape);
    if (tn_config_read((const char *)bytes, size, &facts.shape, &failure) == TENON_OK)
        fuzz_check_model(&facts);
    else
        HOLDS(fuzz_is_clean(failure.message));
    tn_failure_clear(&failure);
    check_index((const char *)bytes, size);
    return 0;
}
