/* Server-sent events, as they arrive: lines may be cut anywhere, and end with LF, CR LF or CR. */
#ifndef TN_EVENTS_H
#define TN_EVENTS_H

#include "text.h"

struct events {
    struct text line;
    struct text data;
    struct text name;
    bool started;     /* a byte order mark may only come first */
    bool after_cr;    /* an LF now belongs to the CR before it */
    bool has_data;
    /* One event: its name ("" for none) and its data. A status other than TENON_OK ends the feeding with it. */
    tenon_status (*event)(void *owner, const char *name, const char *data, size_t size);
    void *owner;
};

/* limit bounds one event. */
void tn_events_init(struct events *events, const struct memory *memory, size_t limit);
void tn_events_clear(struct events *events);
/* TENON_OK, what the hook gave, or TENON_ERROR_MEMORY where an event exceeds the limit. */
tenon_status tn_events_feed(struct events *events, const char *bytes, size_t size);

#endif
