/*
 * The public task: an operation's coroutine, and what it yields.
 *
 * An operation is a struct that begins with a struct tenon_task. tn_task_new makes one, tn_task_launch starts it and either
 * hands it to the caller or, where the caller gave NULL, drives the loop until it has ended.
 */
#ifndef TN_TASK_H
#define TN_TASK_H

#include <jansson.h>

#include "co.h"
#include "context.h"
#include "row.h"

struct operation {
    const char *name;
    size_t size;
    const struct row_kind *row; /* the kind of row it yields; NULL for none */
    bool yields_bytes;
    tenon_status (*step)(struct co *co);
    /* Gives back what the frame holds, at any moment, also twice. Not its results. */
    void (*clear)(struct tenon_task *task);
    /* Told when the reader has made room again; NULL to wake the coroutine. */
    void (*drained)(struct tenon_task *task);
};

/* Bytes that wait to be read. */
struct unread {
    struct text bytes;
    size_t read; /* so many of them are not any more */
    size_t room; /* how many may wait; a part of another operation may allow more */
};

struct tenon_task {
    struct handle handle;
    struct co co;
    const struct operation *operation;
    struct arena arena; /* copies of what the caller gave */
    struct failure failure;
    struct link news;
    void *user;

    struct link rows;
    size_t row_bytes;
    struct row *taken;
    struct unread *unread; /* of an operation that yields bytes */
    bool drops; /* the reader wants only the end */
    bool part;  /* of another operation: the caller does not know it */
    bool cleared;
    uint64_t missed;   /* how often the context had had no memory before */

    struct text text;
    char *json;

    tenon_progress progress; /* stage and item point to texts that outlive the task, or into its arena */
    char *item;
    int64_t started_ms;
    int64_t rate_ms;
    int64_t rate_bytes;
};

/* Makes an operation; everything behind its tenon_task is zero. */
tenon_status tn_task_new(struct tenon_context *context, const struct operation *operation, void *out);
/* Starts it. Takes it over: into *out, or where out is NULL drives the loop until its end and frees it. */
tenon_status tn_task_launch(struct tenon_task *task, tenon_task **out);
/*
 * Starts it as a part of another operation: waiter is woken by what it yields and at its end. Rows are dropped unless drops
 * is made false, then the waiter takes them from rows. Give it back with tn_task_drop.
 */
void tn_task_begin(struct tenon_task *task, struct co *waiter);
/* Gives back one that the caller was never given, at any moment; NULL is fine. */
void tn_task_drop(struct tenon_task *task);

/* ---- for the operation ---- */

/* Copies a text of the caller into the task; NULL stays NULL. */
tenon_status tn_task_keep(struct tenon_task *task, const char *text, const char **copy);
/* True while there is room for more rows, or nobody wants them. */
bool tn_task_has_room(const struct tenon_task *task);
tenon_status tn_task_push(struct tenon_task *task, const void *row);
/* Adds a row that belongs to the one pushed last. */
tenon_status tn_task_push_child(struct tenon_task *task, const struct row_kind *kind, const void *row);
tenon_status tn_task_push_bytes(struct tenon_task *task, const void *bytes, size_t size);
tenon_status tn_task_set_text(struct tenon_task *task, const char *text);
tenon_status tn_task_set_json(struct tenon_task *task, const json_t *json);
/* stage is a literal, item any text or NULL. */
void tn_task_stage(struct tenon_task *task, const char *stage, const char *item);
/* Ends the coroutine with a failure of a child. */
tenon_status tn_task_fail_from(struct tenon_task *task, struct failure *failure);

/* ---- for public functions ---- */

/* The next row of that kind, as tenon_task_next_x promises. */
tenon_status tn_task_next(tenon_task *task, int64_t timeout_ms, const struct row_kind *kind, void *row);

#endif
