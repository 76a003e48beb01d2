/* Server-sent events: the same ones come, however their bytes are cut. */
#include "fuzz.h"

#include <string.h>

#include "events.h"

enum { LIMIT = 4096 };

static tenon_status take(void *owner, const char *name, const char *data, size_t size)
{
    struct text *all = owner;

    HOLDS(strlen(name) <= LIMIT && size <= LIMIT && data[size] == '\0');
    HOLDS(strpbrk(name, "\r\n") == NULL && memchr(data, '\r', size) == NULL);
    tn_text_format(all, "%s %zu ", name, size);
    tn_text_add_n(all, data, size);
    tn_text_add_char(all, '\n');
    return size == 7 ? TENON_ERROR_FAILED : TENON_OK;
}

static tenon_status feed(const uint8_t *bytes, size_t size, size_t piece, struct text *all)
{
    struct events events;
    tenon_status status = TENON_OK;

    tn_text_init(all, fuzz_memory(), SIZE_MAX / 4);
    tn_events_init(&events, fuzz_memory(), LIMIT);
    events.event = take;
    events.owner = all;
    for (size_t at = 0; at < size && status == TENON_OK; at += piece)
        status = tn_events_feed(&events, (const char *)bytes + at, size - at < piece ? size - at : piece);
    tn_events_clear(&events);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const size_t pieces[] = { 1, 2, 7 };
    struct text whole, cut;
    tenon_status status = feed(bytes, size, SIZE_MAX / 2, &whole);

    HOLDS(status == TENON_OK || status == TENON_ERROR_FAILED || status == TENON_ERROR_MEMORY);
    for (size_t i = 0; i < COUNT(pieces); i++) {
        HOLDS(feed(bytes, size, pieces[i], &cut) == status);
        HOLDS(cut.length == whole.length && memcmp(tn_text(&cut), tn_text(&whole), whole.length) == 0);
        tn_text_clear(&cut);
    }
    tn_text_clear(&whole);
    return 0;
}
