#include "teller.h"

#include <string.h>

#include "json.h"
#include "loop.h"
#include "support.h"

static tenon_status tell_row(struct teller *teller)
{
    tenon_log_line line = { .struct_size = sizeof line, .text = teller->padding, .number = teller->told };

    return tn_task_push(&teller->task, &line);
}

static tenon_status tell_bytes(struct teller *teller)
{
    char bytes[1000];

    memset(bytes, 'a' + teller->told % 26, sizeof bytes);
    return tn_task_push_bytes(&teller->task, bytes, sizeof bytes);
}

static tenon_status tell_whole(struct teller *teller)
{
    json_t *json = json_pack("{s:i}", "told", teller->told);
    tenon_status status = tn_task_set_text(&teller->task, "the text");

    if (status == TENON_OK)
        status = tn_task_set_json(&teller->task, json);
    json_decref(json);
    return status;
}

static tenon_status teller_step(struct co *co)
{
    struct teller *teller = TN_CONTAINER(co, struct teller, task.co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_task_stage(&teller->task, "telling", "an item");
    for (teller->told = 0; teller->told < teller->telling.rows + teller->telling.bytes; teller->told++) {
        if (teller->telling.pause_ms > 0) {
            tn_timer_set(co->context, &teller->timer, teller->telling.pause_ms, co);
            AWAIT(co, !tn_timer_running(&teller->timer));
        }
        AWAIT(co, tn_task_has_room(&teller->task));
        status = teller->told < teller->telling.rows ? tell_row(teller) : tell_bytes(teller);
        if (status != TENON_OK)
            return status;
        teller->task.progress.items++;
    }
    if (teller->telling.whole && tell_whole(teller) != TENON_OK)
        return TENON_ERROR_MEMORY;
    AWAIT(co, !teller->telling.waits);
    CO_END(co);
    if (teller->telling.end < 0)
        tn_fail(&teller->task.failure, teller->telling.end, "told to fail");
    return teller->telling.end;
}

static void teller_clear(struct tenon_task *task)
{
    struct teller *teller = TN_CONTAINER(task, struct teller, task);

    tn_timer_stop(task->handle.context, &teller->timer);
    tn_release(&task->handle.context->memory, teller->padding);
    teller->padding = NULL;
    if (teller->telling.clearing != NULL)
        teller->telling.clearing(teller->telling.user);
    if (teller->telling.cleared != NULL)
        atomic_fetch_add(teller->telling.cleared, 1);
}

static void teller_drained(struct tenon_task *task)
{
    struct teller *teller = TN_CONTAINER(task, struct teller, task);

    assert_false(task->cleared);
    ++*teller->telling.drained;
    tn_co_wake(&task->co);
}

const struct operation test_row_teller = { .name = "telling", .size = sizeof(struct teller), .row = &tn_row_log_line,
                                             .step = teller_step, .clear = teller_clear };
const struct operation test_byte_teller = { .name = "telling", .size = sizeof(struct teller), .yields_bytes = true,
                                              .step = teller_step, .clear = teller_clear };
static const struct operation drained_teller = { .name = "telling", .size = sizeof(struct teller), .row = &tn_row_log_line,
                                                 .step = teller_step, .clear = teller_clear, .drained = teller_drained };

tenon_status test_teller_new(tenon_context *context, const struct operation *operation, const struct telling *telling, struct teller **out)
{
    struct teller *teller = NULL;
    tenon_status status = tn_task_new(context, operation, &teller);

    if (status != TENON_OK)
        return status;
    teller->telling = *telling;
    teller->padding = tn_alloc(&context->memory, telling->padding + 1);
    if (teller->padding == NULL) {
        tn_task_drop(&teller->task);
        return tn_fail_memory(&context->failure);
    }
    memset(teller->padding, 'x', telling->padding);
    *out = teller;
    return TENON_OK;
}

tenon_status test_tell(tenon_context *context, const struct telling *telling, tenon_task **task)
{
    struct teller *teller = NULL;
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    status = test_teller_new(context, telling->drained != NULL ? &drained_teller : telling->bytes > 0 ? &test_byte_teller : &test_row_teller, telling, &teller);
    if (status == TENON_OK)
        status = tn_task_launch(&teller->task, task);
    return tn_leave(context, status);
}
