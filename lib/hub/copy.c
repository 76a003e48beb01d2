#include "copy.h"

#include "file.h"

enum { SLICE = 1024 * 1024 };

void tn_copy_init(struct copy *copy, struct tenon_context *context, struct co *waiter)
{
    *copy = (struct copy) { .context = context, .waiter = waiter, .input = -1, .output = -1 };
}

tenon_status tn_copy_start(struct copy *copy, const char *source, int output, struct hash *hash, struct failure *failure)
{
    tn_copy_stop(copy);
    tn_copy_init(copy, copy->context, copy->waiter);
    copy->hash = hash;
    copy->output = output;
    copy->input = tn_file_open(source, FILE_READ, failure);
    if (copy->input >= 0)
        copy->worker = tn_worker_take(copy->context);
    return copy->input >= 0 ? TENON_OK : failure->status;
}

/* ---- a slice ---- */

static void do_slice(struct work *work)
{
    struct copy *copy = TN_CONTAINER(work, struct copy, work);

    copy->error = tn_file_get(copy->input, copy->slice, SLICE, copy->bytes, &copy->got);
    copy->unread = copy->error != 0;
    if (copy->error == 0 && copy->output >= 0)
        copy->error = tn_file_put(copy->output, copy->slice, copy->got, copy->bytes);
    if (copy->error == 0 && copy->hash != NULL)
        tn_hash_add(copy->hash, copy->slice, copy->got);
}

static tenon_status start_slice(struct copy *copy, struct failure *failure)
{
    if (copy->slice == NULL)
        copy->slice = tn_alloc(&copy->context->memory, SLICE);
    if (copy->slice == NULL)
        return tn_fail_memory(failure);
    copy->read = true;
    tn_work_start(&copy->work, copy->worker, do_slice, copy->waiter);
    return TENON_OK;
}

/* What became of it. */
static tenon_status look(struct copy *copy, const char *source, const char *target, struct failure *failure)
{
    copy->read = false;
    if (copy->error != 0)
        return tn_fail_system(failure, copy->error, copy->unread ? "%s cannot be read" : "%s cannot be written",
                              copy->unread ? source : target);
    copy->bytes += (int64_t)copy->got;
    copy->ended = copy->got < SLICE;
    return TENON_OK;
}

/* Sees to it that the disk keeps up. The system tells once that it lost something: each order is heard of. */
static tenon_status keep_durable(struct copy *copy, const char *target, struct failure *failure)
{
    int64_t most = tn_setting_integer(&copy->context->settings, SETTING_HUB_PART_BYTES);
    bool due = copy->bytes - copy->ordered >= most;
    tenon_status status = TENON_OK;

    copy->behind = tn_durable_running(&copy->durable) && (due || copy->ended);
    if (copy->output < 0 || tn_durable_running(&copy->durable))
        return TENON_OK;
    status = tn_durable_end(&copy->durable, target, failure);
    if (status == TENON_OK && due && !copy->ended) {
        copy->ordered = copy->bytes;
        tn_durable_start(&copy->durable, copy->context, copy->output, copy->waiter);
    }
    return status;
}

tenon_status tn_copy_slice(struct copy *copy, const char *source, const char *target, struct failure *failure)
{
    tenon_status status = TENON_OK;

    if (!copy->read && !copy->ended && !copy->behind)
        status = start_slice(copy, failure);
    if (status == TENON_OK && copy->read && !tn_work_running(&copy->work))
        status = look(copy, source, target, failure);
    if (status == TENON_OK)
        status = keep_durable(copy, target, failure);
    copy->waits = copy->behind || tn_work_running(&copy->work);
    return status == TENON_OK && (copy->waits || !copy->ended) ? TENON_AGAIN : status;
}

bool tn_copy_go_on(const struct copy *copy)
{
    return copy->waits ? false : tn_co_go_on(copy->waiter);
}

void tn_copy_stop(struct copy *copy)
{
    tn_work_drop(&copy->work);
    tn_durable_stop(&copy->durable);
    tn_worker_give(copy->worker);
    tn_release(&copy->context->memory, copy->slice);
    copy->worker = NULL;
    copy->slice = NULL;
    copy->waits = false;
    tn_file_close(&copy->input);
}
