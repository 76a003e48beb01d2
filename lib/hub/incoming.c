#include "incoming.h"

#include <limits.h>

#include "file.h"

void tn_incoming_init(struct incoming *incoming, struct tenon_context *context, struct co *waiter)
{
    tn_copy_init(&incoming->copy, context, waiter);
    tn_text_init(&incoming->source, &context->memory, PATH_MAX);
    tn_text_init(&incoming->path, &context->memory, PATH_MAX);
}

tenon_status tn_incoming_start(struct incoming *incoming, const struct history *history, struct hash *hash)
{
    struct failure *failure = history->failure;
    tenon_status status = tn_history_scratch(history, &incoming->path);

    if (status == TENON_OK && incoming->source.failed)
        status = tn_fail_memory(failure);
    if (status == TENON_OK)
        status = tn_copy_start(&incoming->copy, tn_text(&incoming->source), -1, hash, failure);
    if (status == TENON_OK) {
        incoming->copy.output = tn_file_open(tn_text(&incoming->path), FILE_WRITE_NEW, failure);
        status = incoming->copy.output >= 0 ? TENON_OK : failure->status;
    }
    return status;
}

tenon_status tn_incoming_slice(struct incoming *incoming, struct failure *failure)
{
    return tn_copy_slice(&incoming->copy, tn_text(&incoming->source), tn_text(&incoming->path), failure);
}

static void stop(struct incoming *incoming)
{
    tn_copy_stop(&incoming->copy);
    tn_file_close(&incoming->copy.output);
}

tenon_status tn_incoming_finish(struct incoming *incoming, const char *name, struct failure *failure)
{
    tenon_status status;

    if (name == NULL)
        status = tn_file_remove(tn_text(&incoming->path), failure);
    else {
        status = tn_file_sync(incoming->copy.output, tn_text(&incoming->path), failure);
        if (status == TENON_OK)
            status = tn_file_rename(tn_text(&incoming->path), name, failure);
    }
    stop(incoming);
    if (status == TENON_OK)
        tn_text_reset(&incoming->path);
    return status;
}

void tn_incoming_clear(struct incoming *incoming)
{
    struct failure ignored;

    tn_failure_init(&ignored, &incoming->copy.context->memory, NULL);
    stop(incoming);
    if (incoming->path.length > 0 && !tn_forked(incoming->copy.context))
        tn_file_remove(tn_text(&incoming->path), &ignored);
    tn_text_clear(&incoming->source);
    tn_text_clear(&incoming->path);
    tn_failure_clear(&ignored);
}
