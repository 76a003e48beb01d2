/*
 * The parts of a file that come from a hub side by side: requests of ranges, what is heard of them, and where it is written. One
 * that fails on the way is asked for again from where it was; where the server cannot do ranges there is one part, the whole.
 */
#ifndef TN_PARTS_H
#define TN_PARTS_H

#include "fetch.h"

/* One stretch of the file under way. */
struct part {
    struct request request;
    struct fetch *fetch;
    int64_t first;   /* where this request began */
    int64_t next;    /* the next byte to come */
    int64_t end;
    struct batch *batch; /* what is collected of it; NULL for nothing */
    int32_t crumbs;      /* how often in a row it brought very little */
    bool active;
    bool direct;     /* asked where the hub had led to before */
};

tenon_status tn_parts_make(struct fetch *fetch);
/* Ends those that are under way. */
void tn_parts_stop(struct fetch *fetch);
void tn_parts_clear(struct fetch *fetch);
/* A round begins: what comes of a large file is noted every now and then. */
void tn_parts_begin(struct fetch *fetch);
/* One look at everything: TENON_AGAIN while bytes are missing, TENON_OK when all are here and hashed. */
tenon_status tn_parts_pump(struct fetch *fetch);

#endif
