/* Headers of an answer: links, ranges, numbers, etags, and where a redirect leads. Each line of the input is a header. */
#include "fuzz.h"

#include <string.h>

#include "metadata.h"
#include "path.h"
#include "request.h"
#include "url.h"

static void check_range(const struct request *request)
{
    int64_t first, last, total;

    if (tn_response_range(request, &first, &last, &total))
        HOLDS(first >= 0 && first <= last && (total == -1 || last < total));
}

static void check_link(const struct request *request, struct text *out)
{
    struct text address;

    tn_text_init(&address, fuzz_memory(), URL_LIMIT);
    if (tn_response_link(request, "next", out)) {
        HOLDS(strchr(tn_text(out), '>') == NULL && strchr(tn_text(out), '\n') == NULL);
        if (tn_url_resolve("https://hub.test/api/models/x/tree/main", tn_text(out), &address))
            HOLDS(strncmp(tn_text(&address), "http", 4) == 0);
    }
    tn_text_clear(&address);
}

static void check_etag(const struct request *request, struct text *out)
{
    char etag[129];
    const char *value = tn_response_header(request, "etag", out);

    if (value != NULL && tn_etag_normal(value, etag, sizeof etag))
        HOLDS(tn_etag_is_safe(etag) && tn_path_is_safe(etag, NULL) && strchr(etag, '/') == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    tenon_context *context = fuzz_context();
    struct request request;
    struct text out;
    char *lines = fuzz_text(bytes, size);

    tn_request_init(&request, context);
    tn_text_init(&out, fuzz_memory(), 4096);
    tn_text_add(&request.exchange.answer, lines);
    check_range(&request);
    check_link(&request, &out);
    check_etag(&request, &out);
    HOLDS(tn_response_integer(&request, "x-linked-size", -1) >= -1);
    tn_text_clear(&out);
    tn_request_clear(&request);
    tenon_context_free(context);
    free(lines);
    return 0;
}
