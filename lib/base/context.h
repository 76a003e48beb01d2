/*
 * The context, and the rules of who may be inside it.
 *
 * A public call enters the context and leaves it. Entering fails with TENON_ERROR_MISUSE when another thread is inside, or
 * the caller's own callback is, or this process is a forked child. What is freed while somebody is inside goes to the
 * graveyard and is buried by whoever leaves next; what is freed while nobody is, is buried by the one who frees, and a call
 * that comes meanwhile waits for that.
 */
#ifndef TN_CONTEXT_H
#define TN_CONTEXT_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "failure.h"
#include "loop.h"
#include "memory.h"
#include "settings.h"
#include "text.h"

/* What every public handle begins with. */
struct handle {
    atomic_int references;
    struct tenon_context *context; /* holds a reference */
    struct handle *next_dead;
    /* Gives everything back; in a forked child only memory. */
    void (*destroy)(struct handle *handle);
};

/* What other folders hang on a context; each is made when it is first needed. */
enum attachment_slot { ATTACH_TRANSPORT, ATTACH_SLOTS_OF_TRANSPORT, ATTACH_WATCHER, ATTACH_FLUSHER, ATTACH_WORKERS, ATTACH_SLOTS };

struct attachment {
    void *object;
    void (*destroy)(void *object);
};

struct tenon_context {
    atomic_int references;
    atomic_uintptr_t inside; /* who is inside; 0 for nobody */
    _Atomic(struct handle *) graveyard;
    pid_t process;
    struct memory memory;
    uint64_t missed; /* how often there was no memory */
    tenon_logger logger;
    tenon_clock clock;
    int32_t workers; /* threads that may be started */
    struct settings settings;
    struct secrets secrets;
    struct failure failure; /* of the last call that failed without a task */
    struct loop loop;
    struct link news; /* tasks with news */
    struct attachment attachments[ATTACH_SLOTS];
    struct text scratch; /* texts that live until the next call */
};

tenon_status tn_enter(struct tenon_context *context);
/* Returns status, so that a function can end with it. */
tenon_status tn_leave(struct tenon_context *context, tenon_status status);
bool tn_forked(const struct tenon_context *context);

void tn_handle_init(struct handle *handle, struct tenon_context *context, void (*destroy)(struct handle *));
void tn_handle_ref(struct handle *handle);
void tn_handle_free(struct handle *handle);
void tn_context_unref(struct tenon_context *context);

int64_t tn_now(const struct tenon_context *context);
int64_t tn_wall(const struct tenon_context *context);
void tn_random(const struct tenon_context *context, void *bytes, size_t size);
/* Fills text with count random hex digits and a NUL. */
void tn_random_hex(const struct tenon_context *context, char *text, size_t count);

bool tn_logs(const struct tenon_context *context, int32_t level);
void tn_log(struct tenon_context *context, int32_t level, const char *component, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Reads an options struct of the caller: NULL gives all zero; a tail that is unknown and not zero is refused. */
tenon_status tn_options(struct tenon_context *context, const void *options, void *known, size_t size);

#endif
