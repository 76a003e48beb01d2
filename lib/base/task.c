#include "task.h"

#include <string.h>

#include "json.h"

enum { ROWS_BYTES = 256 * 1024, BYTES_ROOM = 256 * 1024, TEXT_LIMIT = 64 * 1024 * 1024, RATE_WINDOW_MS = 1000 };

/* ---- life ---- */

/* Gives back what the frame holds, once it is over. */
static void task_clear(struct tenon_task *task)
{
    if (!task->cleared) {
        task->cleared = true;
        if (task->operation->clear != NULL)
            task->operation->clear(task);
    }
}

static void tell_news(struct tenon_task *task)
{
    if (task->part) {
        if (task->co.waiter != NULL)
            tn_co_wake(task->co.waiter);
    } else if (!tn_linked(&task->news)) {
        tn_list_add(&task->handle.context->news, &task->news);
        tn_loop_hint(&task->handle.context->loop);
    }
}

static void task_destroy(struct handle *handle)
{
    struct tenon_task *task = TN_CONTAINER(handle, struct tenon_task, handle);
    const struct memory *memory = &handle->context->memory;
    struct link *link;

    tn_co_stop(&task->co);
    task_clear(task);
    tn_unlink(&task->news);
    while ((link = tn_list_take(&task->rows)) != NULL)
        tn_row_free(memory, TN_CONTAINER(link, struct row, link));
    tn_row_free(memory, task->taken);
    if (task->unread != NULL)
        tn_text_clear(&task->unread->bytes);
    tn_release(memory, task->unread);
    tn_text_clear(&task->text);
    tn_failure_clear(&task->failure);
    tn_release(memory, task->json);
    tn_release(memory, task->item);
    tn_arena_clear(&task->arena);
    tn_release(memory, task);
}

tenon_status tn_task_new(struct tenon_context *context, const struct operation *operation, void *out)
{
    const struct memory *memory = &context->memory;
    struct tenon_task *task = tn_alloc(memory, operation->size);
    struct unread *unread = operation->yields_bytes ? tn_alloc(memory, sizeof *unread) : NULL;

    if (task == NULL || (operation->yields_bytes && unread == NULL)) {
        tn_release(memory, unread);
        tn_release(memory, task);
        return tn_fail_memory(&context->failure);
    }
    tn_handle_init(&task->handle, context, task_destroy);
    task->operation = operation;
    task->co.context = context;
    task->co.status = TENON_ERROR_CANCELLED;
    task->progress.bytes_total = task->progress.items_total = task->progress.bytes_per_second = -1;
    task->progress.stage = "waiting";
    task->unread = unread;
    if (unread != NULL) {
        unread->room = BYTES_ROOM;
        tn_text_init(&unread->bytes, memory, 2 * TEXT_LIMIT);
    }
    tn_list_init(&task->rows);
    tn_arena_init(&task->arena, memory);
    tn_failure_init(&task->failure, memory, &context->secrets);
    tn_text_init(&task->text, memory, TEXT_LIMIT);
    task->missed = context->missed;
    memcpy(out, &task, sizeof task);
    return TENON_OK;
}

void tn_task_drop(struct tenon_task *task)
{
    struct tenon_context *context;

    if (task == NULL)
        return;
    /* The caller is inside; its own reference keeps the context. */
    context = task->handle.context;
    task_destroy(&task->handle);
    tn_context_unref(context);
}

/* Runs the operation's step; what an end means for the public task is done here once for all of them. */
static tenon_status task_step(struct co *co)
{
    struct tenon_task *task = TN_CONTAINER(co, struct tenon_task, co);
    tenon_status status = task->operation->step(co);

    /* Who had no memory to look for something cannot say that it is not there. */
    if (status == TENON_ERROR_OFFLINE && co->context->missed > task->missed)
        status = tn_fail_memory(&task->failure);
    if (status != TENON_AGAIN) {
        if (status < 0 && task->failure.status != status) {
            tn_failure_clear(&task->failure);
            task->failure.status = status;
        }
        task_clear(task);
        tell_news(task);
    }
    return status;
}

static void cancel(struct tenon_task *task)
{
    if (tn_co_running(&task->co)) {
        tn_co_stop(&task->co);
        tn_fail(&task->failure, TENON_ERROR_CANCELLED, "%s was cancelled", task->operation->name);
        task_clear(task);
        tell_news(task);
    }
}

/* What was freed while we wait runs no further, be it the very task we wait for; its memory goes when we leave. */
static void cancel_freed(struct tenon_context *context)
{
    for (struct handle *dead = atomic_load(&context->graveyard); dead != NULL; dead = dead->next_dead)
        if (dead->destroy == task_destroy)
            cancel(TN_CONTAINER(dead, struct tenon_task, handle));
}

/* Turns the loop until the task has ended, something can be read, or time is up. */
static tenon_status drive(struct tenon_task *task, int64_t timeout_ms, bool (*enough)(const struct tenon_task *task))
{
    struct tenon_context *context = task->handle.context;
    int64_t end = timeout_ms < 0 ? TN_NEVER : tn_later(tn_now(context), timeout_ms);
    int64_t left = 1;
    tenon_status status = TENON_OK;

    while (!enough(task) && left > 0 && status >= 0) {
        left = end - tn_now(context);
        status = tn_loop_step(context, end == TN_NEVER ? -1 : left > 0 ? left : 0);
        cancel_freed(context);
    }
    if (status >= 0)
        status = TENON_AGAIN;
    return enough(task) ? TENON_OK : status;
}

static bool has_ended(const struct tenon_task *task)
{
    return !tn_co_running(&task->co);
}

void tn_task_begin(struct tenon_task *task, struct co *waiter)
{
    task->started_ms = tn_now(task->handle.context);
    task->drops = !task->operation->yields_bytes;
    task->part = true;
    tn_co_start(&task->co, task->handle.context, task_step, waiter);
}

tenon_status tn_task_launch(struct tenon_task *task, tenon_task **out)
{
    struct tenon_context *context = task->handle.context;
    tenon_status status = TENON_OK;

    task->started_ms = tn_now(context);
    tn_co_start(&task->co, context, task_step, NULL);
    if (out != NULL)
        *out = task;
    else {
        task->drops = true;
        status = drive(task, -1, has_ended);
        if (status == TENON_OK && task->co.status < 0) {
            status = task->co.status;
            tn_failure_move(&context->failure, &task->failure);
        } else if (status < 0)
            tn_fail(&context->failure, status, "the system refuses to wait for events");
        tn_task_drop(task);
    }
    return status;
}

/* ---- for the operation ---- */

tenon_status tn_task_keep(struct tenon_task *task, const char *text, const char **copy)
{
    *copy = text != NULL ? tn_arena_copy(&task->arena, text) : NULL;
    return text == NULL || *copy != NULL ? TENON_OK : tn_fail_memory(&task->handle.context->failure);
}

/* How many bytes wait to be read. */
static size_t count_unread(const struct tenon_task *task)
{
    return task->unread != NULL ? task->unread->bytes.length - task->unread->read : 0;
}

bool tn_task_has_room(const struct tenon_task *task)
{
    return task->drops || (task->row_bytes < ROWS_BYTES && (task->unread == NULL || count_unread(task) < task->unread->room));
}

tenon_status tn_task_push(struct tenon_task *task, const void *data)
{
    struct row *row;

    if (task->drops)
        return TENON_OK;
    row = tn_row_new(&task->handle.context->memory, task->operation->row, data);
    if (row == NULL)
        return tn_fail_memory(&task->failure);
    tn_list_add(&task->rows, &row->link);
    task->row_bytes += row->bytes;
    tell_news(task);
    return TENON_OK;
}

tenon_status tn_task_push_child(struct tenon_task *task, const struct row_kind *kind, const void *data)
{
    struct row *row, *owner;

    if (task->drops || tn_list_empty(&task->rows))
        return TENON_OK;
    row = tn_row_new(&task->handle.context->memory, kind, data);
    if (row == NULL)
        return tn_fail_memory(&task->failure);
    owner = TN_CONTAINER(task->rows.previous, struct row, link);
    tn_list_add(&owner->children, &row->link);
    return TENON_OK;
}

tenon_status tn_task_push_bytes(struct tenon_task *task, const void *bytes, size_t size)
{
    struct unread *unread = task->unread;

    if (task->drops)
        return TENON_OK;
    if (unread->read > 0) {
        tn_text_drop(&unread->bytes, unread->read);
        unread->read = 0;
    }
    tn_text_add_n(&unread->bytes, bytes, size);
    tell_news(task);
    return tn_text_status(&unread->bytes) == TENON_OK ? TENON_OK : tn_fail_memory(&task->failure);
}

tenon_status tn_task_set_text(struct tenon_task *task, const char *text)
{
    tn_text_reset(&task->text);
    tn_text_add(&task->text, text);
    return tn_text_status(&task->text) == TENON_OK ? TENON_OK : tn_fail_memory(&task->failure);
}

tenon_status tn_task_set_json(struct tenon_task *task, const json_t *json)
{
    const struct memory *memory = &task->handle.context->memory;
    char *text = tn_json_write(memory, json);

    if (text == NULL)
        return tn_fail_memory(&task->failure);
    tn_release(memory, task->json);
    task->json = text;
    return TENON_OK;
}

void tn_task_stage(struct tenon_task *task, const char *stage, const char *item)
{
    const struct memory *memory = &task->handle.context->memory;

    task->progress.stage = stage;
    tn_release(memory, task->item);
    task->item = item != NULL ? tn_copy(memory, item) : NULL;
}

tenon_status tn_task_fail_from(struct tenon_task *task, struct failure *failure)
{
    return tn_failure_move(&task->failure, failure);
}

/* ---- public calls ---- */

tenon_task *tenon_task_ref(tenon_task *task)
{
    if (task != NULL)
        tn_handle_ref(&task->handle);
    return task;
}

void tenon_task_free(tenon_task *task)
{
    if (task != NULL)
        tn_handle_free(&task->handle);
}

static tenon_status enter_task(tenon_task *task)
{
    return task != NULL ? tn_enter(task->handle.context) : TENON_ERROR_MISUSE;
}

static tenon_status leave_task(tenon_task *task, tenon_status status)
{
    return tn_leave(task->handle.context, status);
}

/* How the task ended: its own status where it failed, else OK. */
static tenon_status outcome(const struct tenon_task *task)
{
    return task->co.status < 0 || task->co.status == TENON_AGAIN ? task->co.status : TENON_OK;
}

static void make_room(struct tenon_task *task)
{
    if (tn_co_running(&task->co) && task->operation->drained != NULL)
        task->operation->drained(task);
    else
        tn_co_wake(&task->co);
}

static void drop_everything(struct tenon_task *task)
{
    struct link *link;

    while ((link = tn_list_take(&task->rows)) != NULL)
        tn_row_free(&task->handle.context->memory, TN_CONTAINER(link, struct row, link));
    task->row_bytes = 0;
    if (task->unread != NULL) {
        tn_text_reset(&task->unread->bytes);
        task->unread->read = 0;
    }
}

tenon_status tenon_task_wait(tenon_task *task, int64_t timeout_ms)
{
    tenon_status status = enter_task(task);

    if (status != TENON_OK)
        return status;
    if (tn_co_running(&task->co) && timeout_ms != 0) {
        task->drops = true;
        drop_everything(task);
        make_room(task);
    }
    status = drive(task, timeout_ms, has_ended);
    if (status == TENON_OK)
        status = outcome(task);
    if (tn_co_running(&task->co))
        task->drops = false;
    return leave_task(task, status);
}

tenon_status tenon_task_state(tenon_task *task)
{
    tenon_status status = enter_task(task);

    if (status != TENON_OK)
        return status;
    return leave_task(task, outcome(task));
}

void tenon_task_cancel(tenon_task *task)
{
    if (enter_task(task) != TENON_OK)
        return;
    cancel(task);
    leave_task(task, TENON_OK);
}

/* The rate of the last second or so; and from it the time left. */
static void measure_rate(struct tenon_task *task, int64_t now)
{
    tenon_progress *progress = &task->progress;
    int64_t moved = progress->bytes - progress->bytes_present;
    int64_t left = progress->bytes_total - progress->bytes;

    if (task->rate_ms == 0)
        task->rate_ms = task->started_ms;
    if (now - task->rate_ms >= RATE_WINDOW_MS) {
        int64_t rate = (moved - task->rate_bytes) * 1000 / (now - task->rate_ms);

        /* What was thrown away and is fetched anew is no progress. */
        rate = rate < 0 ? 0 : rate;
        progress->bytes_per_second = progress->bytes_per_second < 0 ? rate : (progress->bytes_per_second + rate) / 2;
        task->rate_ms = now;
        task->rate_bytes = moved;
    }
    progress->left_ms = -1;
    /* A server may claim any size. */
    if (progress->bytes_per_second > 0 && left >= 0 && left < INT64_MAX / 1000)
        progress->left_ms = left * 1000 / progress->bytes_per_second;
}

tenon_status tenon_task_progress(tenon_task *task, tenon_progress *row)
{
    tenon_status status = enter_task(task);

    if (status != TENON_OK)
        return status;
    if (tn_co_running(&task->co)) {
        int64_t now = tn_now(task->handle.context);

        task->progress.elapsed_ms = now - task->started_ms;
        measure_rate(task, now);
    } else {
        task->progress.ended = 1;
        task->progress.left_ms = 0;
    }
    task->progress.item = task->item;
    return leave_task(task, tn_row_give(&tn_row_progress, &task->progress, row));
}

tenon_status tenon_task_error(tenon_task *task, tenon_error *error)
{
    tenon_status status = error != NULL ? enter_task(task) : TENON_ERROR_ARGUMENT;

    if (status != TENON_OK)
        return status;
    return leave_task(task, tn_failure_row(&task->failure, error));
}

tenon_status tenon_task_text(tenon_task *task, const char **text)
{
    tenon_status status = text != NULL ? enter_task(task) : TENON_ERROR_ARGUMENT;

    if (status != TENON_OK)
        return status;
    *text = tn_text(&task->text);
    return leave_task(task, TENON_OK);
}

tenon_status tenon_task_json(tenon_task *task, const char **json)
{
    tenon_status status = json != NULL ? enter_task(task) : TENON_ERROR_ARGUMENT;

    if (status != TENON_OK)
        return status;
    *json = task->json != NULL ? task->json : "";
    return leave_task(task, TENON_OK);
}

void tenon_task_set_user(tenon_task *task, void *user)
{
    if (task != NULL)
        task->user = user;
}

void *tenon_task_user(tenon_task *task)
{
    return task != NULL ? task->user : NULL;
}

static bool has_bytes(const struct tenon_task *task)
{
    return has_ended(task) || count_unread(task) > 0;
}

tenon_status tenon_task_read(tenon_task *task, int64_t timeout_ms, void *buffer, size_t size, size_t *got)
{
    tenon_status status = enter_task(task);
    size_t count;

    if (status != TENON_OK)
        return status;
    if (!task->operation->yields_bytes || buffer == NULL || size == 0 || got == NULL)
        return leave_task(task, TENON_ERROR_MISUSE);
    status = drive(task, timeout_ms, has_bytes);
    count = count_unread(task);
    if (status == TENON_OK && count > 0) {
        count = count < size ? count : size;
        memcpy(buffer, task->unread->bytes.data + task->unread->read, count);
        task->unread->read += count;
        *got = count;
        make_room(task);
    } else if (status == TENON_OK)
        status = outcome(task) == TENON_OK ? TENON_DONE : outcome(task);
    return leave_task(task, status);
}

static bool has_row(const struct tenon_task *task)
{
    return has_ended(task) || !tn_list_empty(&task->rows);
}

tenon_status tn_task_next(tenon_task *task, int64_t timeout_ms, const struct row_kind *kind, void *row)
{
    tenon_status status = enter_task(task);

    if (status != TENON_OK)
        return status;
    if (task->operation->row != kind) {
        tn_fail(&task->handle.context->failure, TENON_ERROR_MISUSE, "%s yields no row of the kind %s", task->operation->name,
                kind->name);
        return leave_task(task, TENON_ERROR_MISUSE);
    }
    status = drive(task, timeout_ms, has_row);
    if (status == TENON_OK && !tn_list_empty(&task->rows)) {
        struct row *next = TN_CONTAINER(task->rows.next, struct row, link);

        status = tn_row_give(kind, next->data, row);
        if (status == TENON_OK) {
            tn_row_free(&task->handle.context->memory, task->taken);
            tn_unlink(&next->link);
            task->row_bytes -= next->bytes;
            task->taken = next;
            make_room(task);
        }
    } else if (status == TENON_OK)
        status = outcome(task) == TENON_OK ? TENON_DONE : outcome(task);
    return leave_task(task, status);
}

/* The child of that kind and index of the row that was taken last. */
static tenon_status give_child(tenon_task *task, uint32_t index, const struct row_kind *kind, void *row)
{
    tenon_status status = enter_task(task);

    if (status != TENON_OK)
        return status;
    if (task->taken == NULL || task->taken->kind != &tn_row_offer)
        return leave_task(task, TENON_ERROR_MISUSE);
    status = TENON_DONE;
    for (struct link *link = task->taken->children.next; link != &task->taken->children && status == TENON_DONE;
         link = link->next) {
        struct row *child = TN_CONTAINER(link, struct row, link);

        if (child->kind == kind && index-- == 0)
            status = tn_row_give(kind, child->data, row);
    }
    return leave_task(task, status);
}

tenon_status tenon_task_offer_reason(tenon_task *task, uint32_t index, tenon_reason *reason)
{
    return give_child(task, index, &tn_row_reason, reason);
}

tenon_status tenon_task_offer_memory(tenon_task *task, uint32_t index, tenon_memory *memory)
{
    return give_child(task, index, &tn_row_memory, memory);
}

#define NEXT(word, type)                                                                    \
    tenon_status tenon_task_next_##word(tenon_task *task, int64_t timeout_ms, type *row)    \
    {                                                                                       \
        return tn_task_next(task, timeout_ms, &tn_row_##word, row);                         \
    }

NEXT(repository, tenon_repository)
NEXT(file, tenon_file)
NEXT(reference, tenon_reference)
NEXT(check, tenon_check)
NEXT(machine, tenon_machine)
NEXT(memory, tenon_memory)
NEXT(offer, tenon_offer)
NEXT(report, tenon_job_report)
NEXT(log_line, tenon_log_line)
NEXT(metric, tenon_metric)
NEXT(piece, tenon_piece)
NEXT(model, tenon_model)

tenon_status tenon_context_next_task(tenon_context *context, tenon_task **task)
{
    tenon_status status = task != NULL ? tn_enter(context) : TENON_ERROR_ARGUMENT;
    struct link *link;

    if (status != TENON_OK)
        return status;
    link = tn_list_take(&context->news);
    if (link != NULL)
        *task = TN_CONTAINER(link, struct tenon_task, news);
    return tn_leave(context, link != NULL ? TENON_OK : TENON_DONE);
}
