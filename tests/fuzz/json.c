/* JSON from elsewhere: what is read can be written, and is the same when it is read again. */
#include "fuzz.h"

#include <string.h>

#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct failure failure;
    json_t *json = NULL, *again = NULL;
    char *text;

    tn_failure_init(&failure, fuzz_memory(), NULL);
    if (tn_json_read((const char *)bytes, size, "the input", &json, &failure) == TENON_OK) {
        text = tn_json_write(fuzz_memory(), json);
        HOLDS(text != NULL && fuzz_is_utf8(text) && strchr(text, '\n') == NULL);
        HOLDS(tn_json_read(text, strlen(text), "the output", &again, &failure) == TENON_OK);
        HOLDS(json_equal(json, again));
        tn_release(fuzz_memory(), text);
        json_decref(again);
        json_decref(json);
    } else
        HOLDS(json == NULL && failure.status == TENON_ERROR_PROTOCOL && fuzz_is_clean(failure.message));
    tn_failure_clear(&failure);
    return 0;
}
