/* Rows: the plain structs that a task yields, how they are copied, and the queue that they wait in. */
#ifndef TN_ROW_H
#define TN_ROW_H

#include <stdbool.h>
#include <stddef.h>

#include "list.h"
#include "memory.h"

/* A kind of row: its size, and where its texts are. */
struct row_kind {
    const char *name;
    size_t size;
    size_t text_count;
    const size_t *texts; /* offsets of its const char * members */
};

extern const struct row_kind tn_row_error, tn_row_setting, tn_row_progress, tn_row_repository, tn_row_file, tn_row_reference,
    tn_row_check, tn_row_machine, tn_row_memory, tn_row_offer, tn_row_reason, tn_row_report, tn_row_log_line, tn_row_metric,
    tn_row_piece, tn_row_model;

/* A row that waits to be taken, with its texts behind it and the rows that belong to it. */
struct row {
    struct link link;
    const struct row_kind *kind;
    size_t bytes;
    struct link children;
    void *data;
};

/* A copy of data and its texts; NULL when there is no memory. */
struct row *tn_row_new(const struct memory *memory, const struct row_kind *kind, const void *data);
void tn_row_free(const struct memory *memory, struct row *row);

/*
 * Writes full, as this library knows it, into the caller's struct: as much as both sides know, zeroes behind it, and
 * struct_size lowered to what was filled. Absent texts become "".
 */
tenon_status tn_row_give(const struct row_kind *kind, const void *full, void *callers);

#endif
