#define _GNU_SOURCE
#include "durable.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file.h"

enum { MOST = 128, BATCH = 32 };

struct flusher {
    struct tenon_context *context;
    aio_context_t aio;
    struct source source; /* readable when something has ended */
    struct co co;         /* orders what waits */
    struct link waiting;  /* those of this turn: all are ordered at once, which costs little more than one */
    struct link flushes;  /* those that are under way */
};

struct flush {
    struct link link;
    struct flusher *flusher;
    struct durable *owner; /* NULL: nobody waits any more */
    int fd;                /* until it is ordered; then -1 */
};

/* What became of it, for whoever still waits. */
static void tell_owner(struct flush *flush, int error)
{
    struct durable *owner = flush->owner;

    if (owner != NULL) {
        flush->owner = NULL;
        owner->flush = NULL;
        owner->error = error;
        if (owner->waiter != NULL)
            tn_co_wake(owner->waiter);
    }
}

static void end_flush(struct flush *flush, int error)
{
    tell_owner(flush, error);
    tn_unlink(&flush->link);
    tn_release(&flush->flusher->context->memory, flush);
}

/* The system does not tell what has ended, but it may yet know of each: only the waiting ends. */
static void give_up(struct flusher *flusher, int error)
{
    for (struct link *link = flusher->flushes.next; link != &flusher->flushes; link = link->next)
        tell_owner(TN_CONTAINER(link, struct flush, link), error);
}

/* Hears what has ended, once so many have. */
static void hear(struct flusher *flusher, long least)
{
    struct io_event ended[BATCH];
    long count;

    do {
        count = syscall(SYS_io_getevents, flusher->aio, least, (long)BATCH, ended, NULL);
        for (long i = 0; i < count; i++)
            end_flush((struct flush *)(uintptr_t)ended[i].data, ended[i].res < 0 ? (int)-ended[i].res : 0);
        /* After a whole batch there need not be more. */
        least = count > 0 ? 0 : least;
    } while (count == BATCH || (count < 0 && errno == EINTR));
    if (count < 0)
        give_up(flusher, errno);
}

static void events_ready(struct source *source, unsigned events)
{
    (void)events;
    tn_signal_take(source->fd);
    hear(TN_CONTAINER(source, struct flusher, source), 0);
}

/* Orders the first of those that wait: how many it were. */
static long order_some(struct flusher *flusher)
{
    struct iocb orders[BATCH], *list[BATCH];
    long count = 0, taken;

    memset(orders, 0, sizeof orders);
    for (struct link *link = flusher->waiting.next; link != &flusher->waiting && count < BATCH; link = link->next) {
        struct flush *flush = TN_CONTAINER(link, struct flush, link);

        list[count] = &orders[count];
        orders[count].aio_lio_opcode = IOCB_CMD_FDSYNC;
        orders[count].aio_flags = IOCB_FLAG_RESFD;
        orders[count].aio_fildes = (uint32_t)flush->fd;
        orders[count].aio_resfd = (uint32_t)flusher->source.fd;
        orders[count].aio_data = (uintptr_t)flush;
        count++;
    }
    taken = syscall(SYS_io_submit, flusher->aio, count, list);
    for (long i = 0; i < taken; i++) {
        struct flush *flush = TN_CONTAINER(tn_list_take(&flusher->waiting), struct flush, link);

        flush->fd = -1;
        tn_list_add(&flusher->flushes, &flush->link);
    }
    return taken;
}

/* Orders all that wait; for what the system does not take nobody goes on before it is done. */
static void order(struct flusher *flusher)
{
    while (!tn_list_empty(&flusher->waiting))
        if (order_some(flusher) <= 0) {
            struct flush *flush = TN_CONTAINER(flusher->waiting.next, struct flush, link);

            end_flush(flush, tn_file_flush(flush->fd));
        }
}

static tenon_status order_step(struct co *co)
{
    order(TN_CONTAINER(co, struct flusher, co));
    return TENON_AGAIN;
}

static void flusher_destroy(void *object)
{
    struct flusher *flusher = object;
    struct tenon_context *context = flusher->context;
    struct link *link;

    tn_co_stop(&flusher->co);
    /* Waits for what is under way. In a forked child it is the parent's. */
    if (!tn_forked(context)) {
        syscall(SYS_io_destroy, flusher->aio);
        tn_source_unwatch(&context->loop, &flusher->source);
    }
    close(flusher->source.fd);
    while ((link = tn_list_take(&flusher->waiting)) != NULL || (link = tn_list_take(&flusher->flushes)) != NULL)
        tn_release(&context->memory, TN_CONTAINER(link, struct flush, link));
    tn_release(&context->memory, flusher);
}

static bool flusher_open(struct flusher *flusher, struct tenon_context *context)
{
    flusher->context = context;
    flusher->source.ready = events_ready;
    tn_list_init(&flusher->waiting);
    tn_list_init(&flusher->flushes);
    if (!tn_signal_watch(&context->loop, &flusher->source))
        return false;
    if (syscall(SYS_io_setup, (long)MOST, &flusher->aio) == 0) {
        tn_co_start(&flusher->co, context, order_step, NULL);
        return true;
    }
    tn_source_unwatch(&context->loop, &flusher->source);
    close(flusher->source.fd);
    return false;
}

/* The context's flusher, made when it is first needed; NULL where there is none to be had. */
static struct flusher *flusher_of(struct tenon_context *context)
{
    struct attachment *attachment = &context->attachments[ATTACH_FLUSHER];
    struct flusher *flusher = attachment->object;

    if (flusher != NULL)
        return flusher;
    flusher = tn_alloc(&context->memory, sizeof *flusher);
    if (flusher == NULL || !flusher_open(flusher, context)) {
        tn_release(&context->memory, flusher);
        return NULL;
    }
    attachment->object = flusher;
    attachment->destroy = flusher_destroy;
    return flusher;
}

/* The flush of a file, to be ordered soon; NULL where only waiting for it helps. */
static struct flush *begin_flush(struct tenon_context *context, int fd)
{
    struct flusher *flusher = flusher_of(context);
    struct flush *flush = flusher != NULL ? tn_alloc(&context->memory, sizeof *flush) : NULL;

    if (flush == NULL)
        return NULL;
    flush->flusher = flusher;
    flush->fd = fd;
    tn_list_add(&flusher->waiting, &flush->link);
    tn_co_wake(&flusher->co);
    return flush;
}

void tn_durable_start(struct durable *durable, struct tenon_context *context, int fd, struct co *waiter)
{
    tn_durable_stop(durable);
    durable->waiter = waiter;
    durable->flush = begin_flush(context, fd);
    if (durable->flush != NULL)
        durable->flush->owner = durable;
    else
        durable->error = tn_file_flush(fd);
}

tenon_status tn_durable_end(const struct durable *durable, const char *path, struct failure *failure)
{
    return durable->error == 0 ? TENON_OK : tn_fail_system(failure, durable->error, "%s cannot be made durable", path);
}

void tn_durable_wait(struct durable *durable, struct tenon_context *context)
{
    if (durable->flush != NULL)
        order(durable->flush->flusher);
    while (durable->flush != NULL)
        hear(flusher_of(context), 1);
}

void tn_durable_stop(struct durable *durable)
{
    struct flush *flush = durable->flush;

    durable->flush = NULL;
    if (flush != NULL)
        flush->owner = NULL;
    /* Whoever does not wait may close the file. */
    if (flush != NULL && flush->fd >= 0)
        end_flush(flush, 0);
}
