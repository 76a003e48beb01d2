#include "spool.h"

#include <string.h>

#include "file.h"

enum {
    BATCH = 256 * 1024,
    WAITING = 4,         /* batches that may wait for a worker */
    SLICE = 1024 * 1024, /* read again in one go */
    PIECE = 64 * 1024    /* in pieces that stay in the processor's cache */
};

tenon_status tn_spool_open(struct spool *spool, struct tenon_context *context, int32_t parts, struct co *waiter,
                           struct failure *failure)
{
    spool->context = context;
    spool->waiter = waiter;
    spool->worker = tn_worker_take(context);
    spool->count = parts + (spool->worker != NULL ? WAITING : 0);
    spool->batches = tn_alloc_array(&context->memory, (size_t)spool->count, sizeof *spool->batches);
    spool->again.piece = tn_alloc(&context->memory, PIECE);
    tn_list_init(&spool->pending);
    if (spool->batches == NULL)
        spool->count = 0;
    return spool->batches != NULL && spool->again.piece != NULL ? TENON_OK : tn_fail_memory(failure);
}

/* ---- batches ---- */

/* Batches end where others begin, whatever part they are of: whole pages are written. */
static size_t room(const struct batch *batch)
{
    return (size_t)(BATCH - batch->first % BATCH) - batch->length;
}

static struct batch *free_batch(const struct spool *spool)
{
    for (int32_t i = 0; i < spool->count; i++)
        if (!spool->batches[i].used)
            return &spool->batches[i];
    return NULL;
}

static void write_batch(struct work *work)
{
    struct batch *batch = TN_CONTAINER(work, struct batch, work);

    batch->error = tn_file_put(batch->spool->file, batch->bytes, batch->length, batch->first);
    if (batch->hashes && batch->error == 0)
        tn_hash_add(batch->spool->hash, batch->bytes, batch->length);
}

static void forget_batch(struct spool *spool, struct batch *batch)
{
    tn_unlink(&batch->link);
    spool->pending_count--;
    batch->used = false;
}

/* It is done: does it count? */
static tenon_status settle_batch(struct spool *spool, struct batch *batch, struct failure *failure)
{
    int64_t first = batch->first, end = first + (int64_t)batch->length;

    forget_batch(spool, batch);
    if (batch->error != 0)
        return tn_fail_system(failure, batch->error, "%s cannot be written", spool->path);
    if (!tn_ranges_add(&spool->written, first, end))
        return tn_fail(failure, TENON_ERROR_INTERNAL, "%s: too many pieces", spool->path);
    return TENON_OK;
}

tenon_status tn_spool_settle(struct spool *spool, struct failure *failure)
{
    tenon_status status = TENON_OK;

    while (status == TENON_OK && !tn_list_empty(&spool->pending)) {
        struct batch *batch = TN_CONTAINER(spool->pending.next, struct batch, link);

        if (tn_work_running(&batch->work))
            break;
        status = settle_batch(spool, batch, failure);
    }
    return status;
}

static void hand_over(struct spool *spool, struct batch *batch, bool hashes)
{
    batch->hashes = hashes && batch->first == spool->hashed;
    if (batch->hashes)
        spool->hashed += (int64_t)batch->length;
    tn_list_add(&spool->pending, &batch->link);
    spool->pending_count++;
    tn_work_start(&batch->work, spool->worker, write_batch, spool->waiter);
}

tenon_status tn_spool_hand_over(struct spool *spool, struct batch **batch, struct failure *failure)
{
    if (*batch == NULL)
        return TENON_OK;
    hand_over(spool, *batch, true);
    *batch = NULL;
    return spool->worker == NULL ? tn_spool_settle(spool, failure) : TENON_OK;
}

static tenon_status take_batch(struct spool *spool, int64_t at, struct batch **out, struct failure *failure)
{
    struct batch *batch = free_batch(spool);
    tenon_status status = TENON_OK;

    /* A worker that is behind is waited for: what comes while a request pauses is kept in memory, and may be much. */
    while (batch == NULL && status == TENON_OK) {
        tn_work_wait(&TN_CONTAINER(spool->pending.next, struct batch, link)->work);
        status = tn_spool_settle(spool, failure);
        batch = free_batch(spool);
    }
    if (status != TENON_OK)
        return status;
    if (batch->bytes == NULL)
        batch->bytes = tn_alloc(&spool->context->memory, BATCH);
    if (batch->bytes == NULL)
        return tn_fail_memory(failure);
    batch->spool = spool;
    batch->first = at;
    batch->length = 0;
    batch->used = true;
    *out = batch;
    return TENON_OK;
}

tenon_status tn_spool_add(struct spool *spool, struct batch **batch, int64_t at, const char *bytes, size_t size,
                          struct failure *failure)
{
    tenon_status status = TENON_OK;

    while (status == TENON_OK && size > 0) {
        if (*batch == NULL)
            status = take_batch(spool, at, batch, failure);
        if (status == TENON_OK) {
            size_t part = size < room(*batch) ? size : room(*batch);

            memcpy((*batch)->bytes + (*batch)->length, bytes, part);
            (*batch)->length += part;
            bytes += part;
            at += (int64_t)part;
            size -= part;
            if (room(*batch) == 0)
                status = tn_spool_hand_over(spool, batch, failure);
        }
    }
    return status;
}

int64_t tn_spool_reach(const struct spool *spool, int64_t at)
{
    at = tn_ranges_reach(&spool->written, at);
    for (int32_t i = 0; i < spool->count; i++) {
        const struct batch *batch = &spool->batches[i];

        if (batch->used && at >= batch->first && at < batch->first + (int64_t)batch->length)
            at = batch->first + (int64_t)batch->length;
    }
    return at;
}

int64_t tn_spool_next(const struct spool *spool, int64_t at, int64_t limit)
{
    int64_t next = tn_ranges_next(&spool->written, at, limit);

    for (int32_t i = 0; i < spool->count; i++)
        if (spool->batches[i].used && spool->batches[i].first >= at && spool->batches[i].first < next)
            next = spool->batches[i].first;
    return next;
}

/* ---- the hash of what came too early for it ---- */

static void reread(struct work *work)
{
    struct rereading *again = TN_CONTAINER(work, struct rereading, work);
    size_t got = 0;

    for (int64_t at = again->first; at < again->end && again->error == 0 && !again->cut; at += (int64_t)got) {
        size_t want = again->end - at < PIECE ? (size_t)(again->end - at) : PIECE;

        again->error = tn_file_get(again->spool->file, again->piece, want, at, &got);
        again->cut = got != want;
        if (again->error == 0 && !again->cut)
            tn_hash_add(again->spool->hash, again->piece, got);
    }
}

/* What became of it, as far as that is known. */
static tenon_status look_at_reread(const struct spool *spool, struct failure *failure)
{
    const struct rereading *again = &spool->again;
    tenon_status status = TENON_OK;

    if (!tn_work_running(&again->work) && again->error != 0)
        status = tn_fail_system(failure, again->error, "%s cannot be read", spool->path);
    else if (!tn_work_running(&again->work) && again->cut)
        status = tn_fail(failure, TENON_ERROR_IO, "%s: bytes that were written are gone", spool->path);
    return status;
}

tenon_status tn_spool_catch_up(struct spool *spool, struct failure *failure)
{
    struct rereading *again = &spool->again;
    int64_t reach = tn_ranges_reach(&spool->written, spool->hashed);
    tenon_status status = look_at_reread(spool, failure);

    if (status == TENON_OK && !tn_work_running(&again->work) && reach > spool->hashed) {
        again->spool = spool;
        again->first = spool->hashed;
        again->end = reach - spool->hashed < SLICE ? reach : spool->hashed + SLICE;
        spool->hashed = again->end;
        tn_work_start(&again->work, spool->worker, reread, spool->waiter);
        status = look_at_reread(spool, failure);
        if (spool->worker == NULL)
            tn_co_go_on(spool->waiter);
    }
    return status;
}

/* ---- its end ---- */

void tn_spool_drop(struct spool *spool)
{
    tn_work_drop(&spool->again.work);
    spool->again.error = 0;
    spool->again.cut = false;
    for (int32_t i = 0; i < spool->count; i++) {
        tn_work_drop(&spool->batches[i].work);
        if (tn_linked(&spool->batches[i].link))
            forget_batch(spool, &spool->batches[i]);
        spool->batches[i].used = false;
    }
}

/* What is being written, and what was only collected, is waited for. Whether it could be written whoever reads it will see. */
static void finish(struct spool *spool)
{
    struct failure ignored;

    tn_failure_init(&ignored, &spool->context->memory, NULL);
    for (int32_t i = 0; i < spool->count; i++) {
        struct batch *batch = &spool->batches[i];

        if (batch->used && !tn_linked(&batch->link))
            hand_over(spool, batch, false);
    }
    for (int32_t i = 0; i < spool->count; i++)
        tn_work_wait(&spool->batches[i].work);
    while (!tn_list_empty(&spool->pending))
        settle_batch(spool, TN_CONTAINER(spool->pending.next, struct batch, link), &ignored);
    tn_failure_clear(&ignored);
}

void tn_spool_close(struct spool *spool)
{
    if (spool->context == NULL)
        return;
    if (!tn_forked(spool->context))
        finish(spool);
    tn_spool_drop(spool);
    for (int32_t i = 0; i < spool->count; i++)
        tn_release(&spool->context->memory, spool->batches[i].bytes);
    tn_release(&spool->context->memory, spool->batches);
    tn_release(&spool->context->memory, spool->again.piece);
    tn_worker_give(spool->worker);
    spool->batches = NULL;
    spool->again.piece = NULL;
    spool->worker = NULL;
    spool->count = 0;
    spool->context = NULL;
}
