/* The beginning of a safetensors file: whole, and cut at every length a reader might have asked for. */
#include <string.h>

#include "fuzz.h"
#include "sizes.h"

static tenon_status read_some(const uint8_t *bytes, size_t size, int64_t file_bytes, struct model_weights *weights, size_t *need)
{
    struct failure failure;
    tenon_status status;

    tn_failure_init(&failure, fuzz_memory(), NULL);
    status = tn_safetensors_read(fuzz_memory(), (const char *)bytes, size, file_bytes, need, weights, &failure);
    HOLDS(status != TENON_AGAIN || *need > size);
    HOLDS(fuzz_is_clean(failure.message));
    tn_failure_clear(&failure);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct model_facts facts = { .format = MODEL_SAFETENSORS };
    struct model_weights other = { 0 };
    size_t need = 0;

    tn_shape_init(&facts.shape);
    if (read_some(bytes, size, -1, &facts.weights, &need) == TENON_OK) {
        /* With its beginning alone, whoever reads on gets the same. */
        HOLDS(size < 8 || (read_some(bytes, 8, -1, &other, &need) == TENON_AGAIN && need <= size));
        HOLDS(read_some(bytes, need, -1, &other, &need) == TENON_OK && other.bytes == facts.weights.bytes);
        fuzz_check_model(&facts);
    }
    memset(&other, 0, sizeof other);
    read_some(bytes, size, (int64_t)size, &other, &need);
    return 0;
}
