/*
 * An operation of the tests' own: it tells rows or bytes, pauses in between, and ends as it is told.
 */
#ifndef TN_TEST_TELLER_H
#define TN_TEST_TELLER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "task.h"

struct telling {
    int32_t rows;
    int32_t bytes;      /* pieces of 1000 */
    int64_t pause_ms;   /* before each */
    size_t padding;     /* bytes of text in each row */
    tenon_status end;
    bool waits;         /* for ever, at the end */
    bool whole;         /* yields text and JSON too */
    atomic_int *cleared; /* counts calls of the clear function */
    int *drained;
    void (*clearing)(void *user); /* called by the clear function; NULL for none */
    void *user;
};

struct teller {
    struct tenon_task task;
    struct telling telling;
    struct timer timer;
    char *padding;
    int32_t told;
};

extern const struct operation test_row_teller, test_byte_teller;

tenon_status test_teller_new(tenon_context *context, const struct operation *operation, const struct telling *telling, struct teller **out);
/* As a public function of the library would look. */
tenon_status test_tell(tenon_context *context, const struct telling *telling, tenon_task **task);

#endif
