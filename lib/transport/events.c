#include "events.h"

#include <string.h>

void tn_events_init(struct events *events, const struct memory *memory, size_t limit)
{
    memset(events, 0, sizeof *events);
    tn_text_init(&events->line, memory, limit);
    tn_text_init(&events->data, memory, limit);
    tn_text_init(&events->name, memory, 256);
}

void tn_events_clear(struct events *events)
{
    tn_text_clear(&events->line);
    tn_text_clear(&events->data);
    tn_text_clear(&events->name);
}

/* An empty line: the event is complete. */
static tenon_status dispatch(struct events *events)
{
    tenon_status status = TENON_OK;

    if (events->has_data)
        status = events->event(events->owner, tn_text(&events->name), tn_text(&events->data), events->data.length);
    events->has_data = false;
    tn_text_reset(&events->data);
    tn_text_reset(&events->name);
    return status;
}

static tenon_status take_line(struct events *events)
{
    const char *line = tn_text(&events->line);
    size_t length = events->line.length, field;
    const char *colon, *value;

    if (length == 0)
        return dispatch(events);
    colon = memchr(line, ':', length);
    field = colon != NULL ? (size_t)(colon - line) : length;
    value = line + field + (field < length);
    if (*value == ' ' && field < length)
        value++;
    if (field == 4 && memcmp(line, "data", 4) == 0) {
        if (events->has_data)
            tn_text_add_char(&events->data, '\n');
        tn_text_add_n(&events->data, value, length - (size_t)(value - line));
        events->has_data = true;
    } else if (field == 5 && memcmp(line, "event", 5) == 0) {
        tn_text_reset(&events->name);
        tn_text_add(&events->name, value);
        /* A name that is too long for anybody to mean it. */
        if (events->name.failed)
            tn_text_reset(&events->name);
    }
    return tn_text_status(&events->data);
}

static void skip_mark(struct events *events)
{
    if (!events->started && events->line.length >= 3 && memcmp(events->line.data, "\xef\xbb\xbf", 3) == 0)
        tn_text_drop(&events->line, 3);
    events->started = true;
}

tenon_status tn_events_feed(struct events *events, const char *bytes, size_t size)
{
    tenon_status status = TENON_OK;

    while (size > 0 && status == TENON_OK) {
        size_t length = 0;

        if (events->after_cr && *bytes == '\n') {
            bytes++;
            size--;
        }
        events->after_cr = false;
        while (length < size && bytes[length] != '\n' && bytes[length] != '\r')
            length++;
        tn_text_add_n(&events->line, bytes, length);
        status = tn_text_status(&events->line);
        if (length < size && status == TENON_OK) {
            skip_mark(events);
            events->after_cr = bytes[length] == '\r';
            status = take_line(events);
            tn_text_reset(&events->line);
            length++;
        }
        bytes += length;
        size -= length;
    }
    return status;
}
