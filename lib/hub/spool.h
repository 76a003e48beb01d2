/*
 * What has come of a large file and is on its way to the disk. Bytes are collected into batches: a call of the system for each
 * piece that TLS hands out costs as much as the writing. A batch is written, and hashed where it is the next in line, by one
 * of the context's workers, or at once where there is none. Bytes that came too early for the hash are read again later.
 */
#ifndef TN_SPOOL_H
#define TN_SPOOL_H

#include "hash.h"
#include "ranges.h"
#include "work.h"

/* Bytes that belong together. */
struct batch {
    struct work work;
    struct spool *spool;
    struct link link;  /* among those that are being written */
    char *bytes;
    int64_t first;     /* where they belong */
    size_t length;
    bool used;
    bool hashes;
    int error;         /* of its writing, as errno has it */
};

/* Bytes on disk that go into the hash. */
struct rereading {
    struct work work;
    struct spool *spool;
    char *piece;
    int64_t first;
    int64_t end;
    int error;
    bool cut;          /* there are fewer */
};

struct spool {
    struct tenon_context *context;
    struct co *waiter;       /* woken when something is done */
    struct worker *worker;   /* NULL: everything is done at once */
    const char *path;        /* for messages; borrowed */
    struct hash *hash;
    int file;
    struct ranges written;
    int64_t hashed;          /* bytes from the first on that are in the hash, or about to be */
    struct batch *batches;
    int32_t count;
    struct link pending;     /* batches, in the order they were handed over */
    int32_t pending_count;
    struct rereading again;
};

/* For so many parts side by side. What was written and hashed before stays as it is. */
tenon_status tn_spool_open(struct spool *spool, struct tenon_context *context, int32_t parts, struct co *waiter,
                           struct failure *failure);
/* Takes bytes for that place; *batch is what they are collected in, NULL at first, one for each part. */
tenon_status tn_spool_add(struct spool *spool, struct batch **batch, int64_t at, const char *bytes, size_t size,
                          struct failure *failure);
/* Hands over what was collected, full or not. */
tenon_status tn_spool_hand_over(struct spool *spool, struct batch **batch, struct failure *failure);
/* Sees what is done: it counts as written. */
tenon_status tn_spool_settle(struct spool *spool, struct failure *failure);
/* Hashes more of what is written; the waiter goes on when that is done. */
tenon_status tn_spool_catch_up(struct spool *spool, struct failure *failure);
/* The end of what holds that byte, or is to be written there: at itself when nothing is. */
int64_t tn_spool_reach(const struct spool *spool, int64_t at);
/* The first byte at or after at that is written, or about to be; limit when there is none. */
int64_t tn_spool_next(const struct spool *spool, int64_t at, int64_t limit);
/* Forgets all that was not seen to be written. */
void tn_spool_drop(struct spool *spool);
/* Gives up the memory: what was collected is written first. */
void tn_spool_close(struct spool *spool);

static inline bool tn_spool_busy(const struct spool *spool)
{
    return spool->pending_count > 0 || tn_work_running(&spool->again.work);
}

#endif
