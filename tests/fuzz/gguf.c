/* The beginning of a GGUF file. */
#include <string.h>

#include "fuzz.h"
#include "sizes.h"

static tenon_status read_some(const uint8_t *bytes, size_t size, int64_t file_bytes, struct model_facts *facts)
{
    struct failure failure;
    tenon_status status;

    memset(facts, 0, sizeof *facts);
    facts->format = MODEL_GGUF;
    tn_shape_init(&facts->shape);
    tn_failure_init(&failure, fuzz_memory(), NULL);
    status = tn_gguf_read((const char *)bytes, size, file_bytes, &facts->shape, &facts->weights, &failure);
    HOLDS(fuzz_is_clean(failure.message) && fuzz_is_clean(failure.hint));
    tn_failure_clear(&failure);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct model_facts facts, other;
    tenon_status status = read_some(bytes, size, -1, &facts);

    /* What is cut short wants more, or was seen to be wrong before. */
    if (status == TENON_OK && size > 0)
        HOLDS(read_some(bytes, size / 2, -1, &other) != TENON_ERROR_MEMORY);
    if (status == TENON_OK) {
        HOLDS(fuzz_is_clean(facts.shape.family));
        fuzz_check_model(&facts);
    }
    read_some(bytes, size, (int64_t)size, &other);
    return 0;
}
