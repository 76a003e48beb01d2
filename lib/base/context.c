#include "context.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "process.h"
#include "row.h"
#include "task.h"

enum { LOG_LINE = 1023, LOG_LIMIT = 256 * 1024, SCRATCH = 64 * 1024, MOST_WORKERS = 64 };

/* ---- who is inside ---- */

/*
 * Whoever is inside stands in `inside`: the thread's id, one bit up, and BURYING where it is there for a free only. A free is
 * allowed to everybody at any time, so whoever calls meanwhile is not in the wrong, and waits for its end.
 */
enum { BURYING = 1, BURIAL_WAIT_NS = 20 * 1000 };

static uintptr_t this_thread(void)
{
    return (uintptr_t)pthread_self() << 1;
}

bool tn_forked(const struct tenon_context *context)
{
    return context->process != getpid();
}

static bool try_bury(struct tenon_context *context)
{
    uintptr_t nobody = 0;

    return atomic_compare_exchange_strong(&context->inside, &nobody, this_thread() | BURYING);
}

/* False when somebody is inside, be it a callback of this very thread's. */
static bool enter(struct tenon_context *context)
{
    const struct timespec wait = { .tv_nsec = BURIAL_WAIT_NS };
    uintptr_t self = this_thread(), found = 0;

    while (!atomic_compare_exchange_strong(&context->inside, &found, self)) {
        if ((found & BURYING) == 0 || found == (self | BURYING))
            return false;
        nanosleep(&wait, NULL);
        found = 0;
    }
    return true;
}

tenon_status tn_enter(struct tenon_context *context)
{
    if (context == NULL || tn_forked(context) || !enter(context))
        return TENON_ERROR_MISUSE;
    /* Whoever is inside keeps the context: a callback, or another thread, may free it meanwhile. */
    atomic_fetch_add(&context->references, 1);
    return TENON_OK;
}

/* Destroys what was freed by others. The caller has a reference of its own, so the context stays. */
static void bury(struct tenon_context *context)
{
    struct handle *dead = atomic_exchange(&context->graveyard, NULL);

    while (dead != NULL) {
        struct handle *next = dead->next_dead;

        dead->destroy(dead);
        tn_context_unref(context);
        dead = next;
    }
}

static void leave(struct tenon_context *context)
{
    do {
        bury(context);
        atomic_store(&context->inside, 0);
        /* Somebody may have dug a grave between the two lines above; whoever gets in buries it. */
    } while (atomic_load(&context->graveyard) != NULL && try_bury(context));
}

tenon_status tn_leave(struct tenon_context *context, tenon_status status)
{
    leave(context);
    tn_context_unref(context);
    return status;
}

/* ---- handles ---- */

void tn_handle_init(struct handle *handle, struct tenon_context *context, void (*destroy)(struct handle *))
{
    atomic_init(&handle->references, 1);
    atomic_fetch_add(&context->references, 1);
    handle->context = context;
    handle->destroy = destroy;
    handle->next_dead = NULL;
}

void tn_handle_ref(struct handle *handle)
{
    atomic_fetch_add(&handle->references, 1);
}

void tn_handle_free(struct handle *handle)
{
    struct tenon_context *context = handle->context;

    if (atomic_fetch_sub(&handle->references, 1) > 1)
        return;
    if (tn_forked(context)) {
        handle->destroy(handle);
        tn_context_unref(context);
    } else if (try_bury(context)) {
        handle->destroy(handle);
        leave(context);
        tn_context_unref(context);
    } else {
        /* The handle's own reference to the context is given back when it is buried, which may be at once. */
        tenon_context_ref(context);
        handle->next_dead = atomic_load(&context->graveyard);
        while (!atomic_compare_exchange_weak(&context->graveyard, &handle->next_dead, handle))
            ;
        tn_loop_wake(&context->loop);
        if (try_bury(context))
            leave(context);
        tn_context_unref(context);
    }
}

/* ---- time, chance, log ---- */

static int64_t read_clock(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_monotonic(void *user)
{
    (void)user;
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t system_wall(void *user)
{
    (void)user;
    return read_clock(CLOCK_REALTIME);
}

static void system_random(void *user, uint8_t *bytes, size_t size)
{
    (void)user;
    tn_system_random(bytes, size);
}

int64_t tn_now(const struct tenon_context *context)
{
    return context->clock.monotonic_ms(context->clock.user);
}

int64_t tn_wall(const struct tenon_context *context)
{
    return context->clock.wall_ms(context->clock.user);
}

void tn_random(const struct tenon_context *context, void *bytes, size_t size)
{
    context->clock.random(context->clock.user, bytes, size);
}

void tn_random_hex(const struct tenon_context *context, char *text, size_t count)
{
    static const char digits[] = "0123456789abcdef";

    tn_random(context, text, count);
    for (size_t i = 0; i < count; i++)
        text[i] = digits[(unsigned char)text[i] & 15];
    text[count] = '\0';
}

bool tn_logs(const struct tenon_context *context, int32_t level)
{
    int32_t wanted = context->logger.level == TENON_LOG_OFF ? TENON_LOG_WARNING : context->logger.level;

    return context->logger.write != NULL && level <= wanted;
}

void tn_log(struct tenon_context *context, int32_t level, const char *component, const char *format, ...)
{
    tenon_log_record record = { .struct_size = sizeof record, .level = level, .component = component };
    struct text text;
    va_list arguments;

    if (!tn_logs(context, level))
        return;
    tn_text_init(&text, &context->memory, LOG_LIMIT);
    va_start(arguments, format);
    tn_text_format_v(&text, format, arguments);
    va_end(arguments);
    if (!text.failed) {
        tn_clean_line(&context->secrets, text.data, LOG_LINE);
        record.text = text.data;
        context->logger.write(context->logger.user, &record);
    }
    tn_text_clear(&text);
}

/* ---- options ---- */

static bool all_zero(const unsigned char *bytes, size_t size)
{
    unsigned char any = 0;

    for (size_t i = 0; i < size; i++)
        any |= bytes[i];
    return any == 0;
}

/* The rule itself, for callers that have no context yet. */
static tenon_status read_options(const void *options, void *known, size_t size)
{
    uint32_t given = 0;
    tenon_status status = TENON_OK;

    memset(known, 0, size);
    if (options == NULL)
        return TENON_OK;
    memcpy(&given, options, sizeof given);
    if (given < sizeof given)
        status = TENON_ERROR_ARGUMENT;
    else if (given > size && !all_zero((const unsigned char *)options + size, given - size))
        status = TENON_ERROR_UNSUPPORTED;
    else
        memcpy(known, options, given < size ? given : size);
    return status;
}

tenon_status tn_options(struct tenon_context *context, const void *options, void *known, size_t size)
{
    tenon_status status = read_options(options, known, size);

    if (status == TENON_ERROR_ARGUMENT) {
        tn_fail(&context->failure, status, "an options struct has no struct_size");
        tn_hint(&context->failure, "Set struct_size to sizeof the struct.");
    } else if (status == TENON_ERROR_UNSUPPORTED) {
        tn_fail(&context->failure, status, "an option was set that this version of tenon (%s) does not know", tenon_version());
        tn_hint(&context->failure, "Load a newer tenon, or leave the option out.");
    }
    return status;
}

/* ---- open and close ---- */

static tenon_status copy_hooks(struct tenon_context *context, const tenon_context_options *options)
{
    static const tenon_clock system_clock = { .struct_size = sizeof system_clock, .monotonic_ms = system_monotonic,
                                              .wall_ms = system_wall, .random = system_random };
    tenon_status status = read_options(options->logger, &context->logger, sizeof context->logger);

    context->clock = system_clock;
    if (status == TENON_OK && options->clock != NULL)
        status = read_options(options->clock, &context->clock, sizeof context->clock);
    if (status == TENON_OK &&
        (context->clock.monotonic_ms == NULL || context->clock.wall_ms == NULL || context->clock.random == NULL))
        status = TENON_ERROR_ARGUMENT;
    return status;
}

static tenon_status context_fill(struct tenon_context *context, const tenon_context_options *options)
{
    bool some = options->workers >= 0 && options->workers <= MOST_WORKERS;
    tenon_status status = some ? copy_hooks(context, options) : TENON_ERROR_ARGUMENT;

    context->workers = options->workers;
    if (status == TENON_OK)
        status = tn_loop_init(&context->loop, &context->memory);
    if (status == TENON_OK)
        status = tn_settings_open(&context->settings, &context->memory, &context->secrets,
                                  (options->flags & TENON_CONTEXT_NO_ENVIRONMENT) == 0);
    for (const char *const *row = options->settings; status == TENON_OK && row != NULL && *row != NULL; row++)
        status = tn_settings_assign(&context->settings, *row, &context->failure);
    return status;
}

static void context_destroy(struct tenon_context *context)
{
    struct memory memory = context->memory;

    for (int i = ATTACH_SLOTS - 1; i >= 0; i--)
        if (context->attachments[i].object != NULL)
            context->attachments[i].destroy(context->attachments[i].object);
    tn_loop_clear(&context->loop);
    tn_settings_clear(&context->settings);
    tn_failure_clear(&context->failure);
    tn_secrets_clear(&context->secrets);
    tn_text_clear(&context->scratch);
    tn_release(&memory, context);
}

tenon_status tenon_context_open(const tenon_context_options *given, tenon_context **out)
{
    struct tenon_context *context = NULL;
    tenon_context_options options;
    tenon_allocator allocator;
    struct memory memory;
    tenon_status status = out != NULL ? read_options(given, &options, sizeof options) : TENON_ERROR_ARGUMENT;

    if (status == TENON_OK)
        status = read_options(options.allocator, &allocator, sizeof allocator);
    if (status == TENON_OK && options.allocator != NULL &&
        (allocator.allocate == NULL || allocator.resize == NULL || allocator.release == NULL))
        status = TENON_ERROR_ARGUMENT;
    if (status != TENON_OK)
        goto done;
    memory = tn_memory(options.allocator != NULL ? &allocator : NULL);
    context = tn_alloc(&memory, sizeof *context);
    if (context == NULL) {
        status = TENON_ERROR_MEMORY;
        goto done;
    }
    context->memory = memory;
    context->memory.missed = &context->missed;
    context->process = getpid();
    context->loop.epoll = context->loop.wake = -1;
    context->loop.memory = &context->memory;
    context->secrets.memory = &context->memory;
    atomic_init(&context->references, 1);
    tn_list_init(&context->news);
    tn_failure_init(&context->failure, &context->memory, &context->secrets);
    tn_text_init(&context->scratch, &context->memory, SCRATCH);
    status = context_fill(context, &options);
    if (status != TENON_OK)
        goto done;
    *out = context;
    context = NULL;
done:
    if (context != NULL)
        context_destroy(context);
    return status;
}

tenon_context *tenon_context_ref(tenon_context *context)
{
    if (context != NULL)
        atomic_fetch_add(&context->references, 1);
    return context;
}

void tn_context_unref(struct tenon_context *context)
{
    if (atomic_fetch_sub(&context->references, 1) == 1)
        context_destroy(context);
}

void tenon_context_free(tenon_context *context)
{
    if (context != NULL)
        tn_context_unref(context);
}

/* ---- the rest of the public calls ---- */

tenon_status tenon_context_set(tenon_context *context, const char *key, const char *value)
{
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    return tn_leave(context, tn_settings_set(&context->settings, key, value, &context->failure));
}

tenon_status tenon_context_get(tenon_context *context, const char *key, const char **value)
{
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    tn_text_reset(&context->scratch);
    status = tn_settings_show(&context->settings, key, &context->scratch, &context->failure);
    if (status == TENON_OK && value == NULL)
        status = tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "value is NULL");
    if (status == TENON_OK)
        *value = tn_text(&context->scratch);
    return tn_leave(context, status);
}

int32_t tenon_context_descriptor(tenon_context *context)
{
    return context == NULL || tn_forked(context) ? -1 : context->loop.epoll;
}

int64_t tenon_context_timeout(tenon_context *context)
{
    int64_t timeout = 0;

    if (tn_enter(context) == TENON_OK) {
        timeout = tn_loop_timeout(context);
        tn_leave(context, TENON_OK);
    }
    return timeout;
}

tenon_status tenon_context_step(tenon_context *context, int64_t timeout_ms)
{
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    return tn_leave(context, tn_loop_step(context, timeout_ms));
}

void tenon_context_wake(tenon_context *context)
{
    if (context != NULL && !tn_forked(context))
        tn_loop_wake(&context->loop);
}

tenon_status tenon_context_error(tenon_context *context, tenon_error *error)
{
    tenon_status status = error != NULL ? tn_enter(context) : TENON_ERROR_ARGUMENT;

    if (status != TENON_OK)
        return status;
    return tn_leave(context, tn_failure_row(&context->failure, error));
}
